"""Fetching from a server that misbehaves in every way we know; the volumes always come out right, or the message
does."""

from __future__ import annotations

import random
import re
import shutil
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from backup_archives import FIXTURES, write_archive

from encaja.restore.archive.naming import VolumeName
from encaja.restore.archive.stream import ArchiveStream
from encaja.restore.archive.tars import TarError, parse_header
from encaja.restore.errors import BackupError, BackupUsageError, BadVolume, LinkExpired, NoAnswer
from encaja.restore.fetch import Fetcher, FetchOptions
from encaja.restore.fetch import fetcher as fetcher_module
from encaja.restore.fetch.headers import fetch_and_prove
from encaja.restore.fetch.links import Link, read_index, read_listing, redact
from encaja.restore.fetch.state import FILE_NAME, gaps, load_state, merge
from encaja.restore.fetch.throttle import Backoff, Limit
from lab.misbehaving_server import Fault, MisbehavingServer, running, serving

QUICK = FetchOptions(
    connections=6,
    piece=64 << 10,
    stall_seconds=0.4,
    slow_seconds=0.3,
    patience_seconds=6,
    pause_seconds=0.02,
    attempts=3,
)
# On a busy machine a connection that gives nothing for a moment is not stuck.
PATIENT = replace(QUICK, stall_seconds=10, slow_seconds=10)
NAMES = {
    "plain": "20261001_210000_full_k3Jd92LmQx7PzVtB.tar.gz",
    "encrypted-raw": "20261004_210000_full_encryptedraw0001.enc",
    "uncompressed": "20261003_210000_full_uncompressed0001.tar",
}


def volumes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in (FILE_NAME, "TREE.sha256")}


def fetch(server, to: Path, kind: str = "plain", options: FetchOptions = QUICK, **link) -> Fetcher:
    fetcher = Fetcher(Link(server.url + NAMES[kind], **link), to, options)
    fetcher.run()
    return fetcher


def volume(number: int, kind: str = "plain") -> str:
    return f"{NAMES[kind]}.{number}" if number else NAMES[kind]


@pytest.mark.parametrize("kind", sorted(NAMES))
def test_all_volumes_arrive(kind, tmp_path):
    with serving(FIXTURES / kind) as server:
        fetched = fetch(server, tmp_path, kind)
    assert volumes(tmp_path) == volumes(FIXTURES / kind)
    progress = fetched.progress()
    assert progress.good == progress.count == (17 if kind == "plain" else 8)
    assert progress.done == progress.total == sum(map(len, volumes(tmp_path).values()))


@pytest.mark.parametrize("number", range(17))
@pytest.mark.fault("volume corrupt", "restore", "one bit of each volume in turn on the link")
def test_one_flipped_bit_costs_only_its_volume(number, tmp_path):
    clean = (FIXTURES / "plain" / volume(number)).read_bytes()
    at = random.Random(number).randrange(60, len(clean) - 20)
    with serving(
        FIXTURES / "plain", [Fault("flip", volume(number), times=2 if at < 65536 and number == 0 else 1, at=at)]
    ) as server:
        fetched = fetch(server, tmp_path, options=PATIENT)
    assert volumes(tmp_path) == volumes(FIXTURES / "plain")
    assert fetched.progress().rejected <= 1
    for name, data in volumes(FIXTURES / "plain").items():
        again = 2 if name == volume(number) else 1
        assert server.record.sent[name] <= again * len(data) + 65536 * (name == volume(0)) * 3


SMALL = "20261001_210000_full_small"
SMALL_VOLUMES = 6


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An archive of six volumes of 32 KiB, with and without gzip."""
    folder = tmp_path_factory.mktemp("small")
    chance = random.Random(5)
    members = [(b"bitrix/f%d" % number, chance.randbytes(7000)) for number in range(24)]
    for suffix in (".tar.gz", ".tar"):
        (folder / suffix).mkdir()
        write_archive(folder / suffix, members, slot=32768, name=SMALL + suffix)
        assert len(list((folder / suffix).iterdir())) == SMALL_VOLUMES
    return folder


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar"])
@pytest.mark.parametrize("number", range(SMALL_VOLUMES))
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("truncate", marks=pytest.mark.fault("volume truncated", "restore", "each volume in turn")),
        pytest.param("missing", marks=pytest.mark.fault("volume missing", "restore", "each volume in turn, once")),
        pytest.param("endless", marks=pytest.mark.fault("volume corrupt", "restore", "each volume in turn has no end")),
        pytest.param("slow", marks=pytest.mark.fault("slow link", "restore", "each volume in turn, 900 bytes/s")),
        pytest.param("reset", marks=pytest.mark.fault("network cut", "restore", "in each volume in turn")),
        "no-range",
        "wrong-length",
    ],
)
def test_each_volume_in_turn(fault, number, suffix, small, tmp_path):
    name = f"{SMALL}{suffix}.{number}" if number else f"{SMALL}{suffix}"
    at = {"truncate": 1024, "slow": 900, "reset": 3000, "wrong-length": 700}.get(fault, 0)
    times = {"reset": None, "no-range": None}.get(fault, 1)
    after = int(number == 0 and times == 1)  # the first request for the first volume is the look at its head
    with serving(small / suffix, [Fault(fault, name, times, at, after)]) as server:
        fetcher = Fetcher(Link(f"{server.url}{SMALL}{suffix}"), tmp_path, replace(QUICK, piece=8192, stall_seconds=0.2))
        fetch_and_prove(fetcher, None)
    assert volumes(tmp_path) == volumes(small / suffix)


@pytest.mark.parametrize("number", [0, 5, 13, 16])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("truncate", times=1, at=900),
        Fault("endless", times=1),
        Fault("slow", times=1, at=1500),
        Fault("stuck", times=1, at=300),
        Fault("reset", times=3, at=500),
        Fault("no-range"),
        Fault("wrong-length", times=1, at=700),
        Fault("wrong-range", times=2),
        Fault("missing", times=2),
        Fault("etag"),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_volume_served_badly(number, fault, tmp_path):
    with serving(FIXTURES / "plain", [Fault(fault.kind, volume(number), fault.times, fault.at)]) as server:
        fetch(server, tmp_path)
    assert volumes(tmp_path) == volumes(FIXTURES / "plain")


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            [Fault("status", after=3, times=25, at=503)],
            marks=pytest.mark.fault("portal 500", "restore", "25 requests in turn for volumes"),
        ),
        [Fault("reset", times=40, at=20000)],
        [Fault("reset", at=30000)],
        [Fault("no-range")],
        [Fault("endless", volume(number), times=1) for number in range(17)],
        [
            Fault("reset", after=5, times=10, at=0),
            Fault("status", after=3, times=5, at=500),
            Fault("stuck", after=2, times=4, at=1),
        ],
    ],
    ids=["503 bursts", "resets", "reset every 30 KB", "no ranges", "endless", "mixed"],
)
def test_a_server_that_misbehaves_everywhere(faults, tmp_path):
    with serving(FIXTURES / "plain", faults) as server:
        fetch(server, tmp_path)
    assert volumes(tmp_path) == volumes(FIXTURES / "plain")


def test_a_volume_that_stays_bad_is_given_up_alone(tmp_path):
    with serving(FIXTURES / "plain", [Fault("flip", volume(9), at=20000)]) as server:
        with pytest.raises(BadVolume, match=r"volume 9 is bad.*arrived damaged 3 times") as caught:
            fetch(server, tmp_path)
        assert caught.value.number == 9
        assert volumes(tmp_path).keys() == volumes(FIXTURES / "plain").keys() - {volume(9)}
        server.faults.clear()
        before = server.record.sent.copy()
        fetch(server, tmp_path)
    assert volumes(tmp_path) == volumes(FIXTURES / "plain")
    assert set(server.record.sent - before) == {volume(9)}


@pytest.mark.parametrize(
    ("kind", "fault", "bad", "lost"), [("plain", "flip", 9, 12), ("uncompressed", "missing", 3, 5)]
)
def test_bad_and_missing_volumes_are_named_together(kind, fault, bad, lost, tmp_path):
    faults = [Fault(fault, volume(bad, kind), at=20000), Fault("missing", volume(lost, kind))]
    with serving(FIXTURES / kind, faults) as server, pytest.raises(BadVolume) as caught:
        count = len(volumes(FIXTURES / kind))
        fetch_and_prove(Fetcher(Link(server.url + NAMES[kind]), tmp_path, QUICK), None)
    assert caught.value.number == bad
    assert f"volume {bad} is bad: " in str(caught.value)
    assert f"; volume {lost} too: it is not at the link (404)" in str(caught.value)
    assert len(volumes(tmp_path)) == count - 2


@pytest.mark.parametrize("number", [1, 16])
def test_a_volume_missing_at_the_link(number, tmp_path):
    with (
        serving(FIXTURES / "plain", [Fault("missing", volume(number))]) as server,
        pytest.raises(BadVolume, match=r"not at the link \(404\), though the archive has 17 volumes"),
    ):
        fetch(server, tmp_path)
    assert len(volumes(tmp_path)) == 16


@pytest.mark.parametrize("status", [403, 404, 410])
@pytest.mark.fault("link expired", "restore", "403, 404 and 410 while it downloads")
def test_expired_link_goes_on_with_a_new_one(status, tmp_path):
    with (
        serving(FIXTURES / "plain", [Fault("status", after=15, at=status)]) as server,
        pytest.raises(LinkExpired, match="get a new link"),
    ):
        Fetcher(Link(server.url + NAMES["plain"] + "?token=old"), tmp_path, QUICK).run()
    kept = volumes(tmp_path)
    with serving(FIXTURES / "plain") as server:
        Fetcher(Link(server.url + NAMES["plain"] + "?token=new"), tmp_path, QUICK).run()
        good = {name for name in kept if not name.endswith(".part")}
        assert not good & set(server.record.sent)
    assert volumes(tmp_path) == volumes(FIXTURES / "plain")


@pytest.mark.parametrize("status", [0, 403])
@pytest.mark.fault("link expired", "restore", "a page to log in comes in place of a volume")
def test_link_that_answers_with_a_page_has_expired(status, tmp_path):
    """What is here of the volumes under way stays, though the page would be another file of another size."""
    faults = (
        [Fault("page", after=20)]
        if not status
        else [Fault("status", after=20, times=2, at=403), Fault("page", after=20)]
    )
    with serving(FIXTURES / "plain", faults) as server, pytest.raises(LinkExpired, match="web page in place"):
        fetch(server, tmp_path)
    parts = [path for path in tmp_path.iterdir() if path.name.endswith(".part")]
    with serving(FIXTURES / "plain") as server:
        fetched = fetch(server, tmp_path)
    assert parts and fetched.progress().rejected == 0
    assert volumes(tmp_path) == volumes(FIXTURES / "plain")


def test_link_that_leads_to_a_page_from_the_start(tmp_path):
    with serving(FIXTURES / "plain", [Fault("page")]) as server, pytest.raises(LinkExpired, match="does not lead to"):
        fetch(server, tmp_path)


@pytest.mark.fault("volume doubled", "restore", "one comes in its neighbour's place over the link")
@pytest.mark.parametrize("doubled", [(2, 3), (3, 2)])
@pytest.mark.parametrize("kind", sorted(NAMES))
def test_a_volume_that_comes_in_its_neighbours_place_is_fetched_again(kind, doubled, tmp_path):
    source, (right, wrong) = tmp_path / "source", doubled
    shutil.copytree(FIXTURES / kind, source)
    shutil.copy(source / volume(right, kind), source / volume(wrong, kind))
    with serving(source) as server:
        with pytest.raises(BadVolume, match=r"volume [23] is bad: it holds the same as .*; it arrived damaged 3 times"):
            fetch(server, tmp_path / "to", kind)
        shutil.copy(FIXTURES / kind / volume(wrong, kind), source)
        if wrong < right:  # it may have been read already: a person has to say so
            with suppress(BadVolume):
                fetch(server, tmp_path / "to", kind)
            (tmp_path / "to" / volume(wrong, kind)).unlink(missing_ok=True)
        fetch(server, tmp_path / "to", kind)
    assert volumes(tmp_path / "to") == volumes(FIXTURES / kind)


@pytest.mark.fault("slow link", "restore", "400 KB a second for everything, and then none")
def test_a_link_that_is_slow_everywhere_is_used_and_not_given_up(tmp_path):
    with serving(FIXTURES / "uncompressed", total_rate=400_000) as server:
        fetcher = Fetcher(Link(server.url + NAMES["uncompressed"]), tmp_path, QUICK)
        thread = threading.Thread(target=fetcher.run)
        thread.start()
        while fetcher.progress().done < 300_000:
            time.sleep(0.01)
        server.total_rate = None
        thread.join()
    assert volumes(tmp_path) == volumes(FIXTURES / "uncompressed")


@pytest.mark.fault("clock jump", "restore", "a day forth and two back, while volumes arrive")
def test_a_clock_that_jumps_while_volumes_arrive_costs_nothing(tmp_path, monkeypatch):
    real, off = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + off[0])
    with serving(FIXTURES / "plain", total_rate=4e6) as server:
        fetcher = Fetcher(Link(server.url + NAMES["plain"]), tmp_path, PATIENT)
        thread = threading.Thread(target=fetcher.run)
        thread.start()
        for jump, reached in ((86400.0, 200_000), (-86400.0, 900_000)):
            while fetcher.progress().done < reached:
                time.sleep(0.005)
            off[0] = jump
        thread.join()
    assert volumes(tmp_path) == volumes(FIXTURES / "plain")
    assert sum(server.record.sent.values()) < 1.3 * sum(map(len, volumes(FIXTURES / "plain").values()))


@pytest.mark.fault("network cut", "restore", "nobody listens for a second")
def test_network_that_is_away_for_a_while(tmp_path):
    """Nobody listens for a second; then the download goes on by itself."""
    server = MisbehavingServer(FIXTURES / "plain", total_rate=2e6)
    port = server.server_address[1]
    fetcher = Fetcher(Link(server.url + NAMES["plain"]), tmp_path, QUICK)
    thread = threading.Thread(target=fetcher.run)
    with running(server):
        thread.start()
        while sum(server.record.sent.values()) < 500_000:
            time.sleep(0.01)
        server.faults = [Fault("reset", at=0)]
        time.sleep(0.2)
    time.sleep(0.8)
    with running(MisbehavingServer(FIXTURES / "plain", port=port)):
        thread.join()
    assert volumes(tmp_path) == volumes(FIXTURES / "plain")


def test_file_that_became_shorter_at_the_server(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(FIXTURES / "uncompressed", source)
    with serving(source) as server:
        fetcher = Fetcher(Link(server.url + NAMES["uncompressed"]), tmp_path / "to", QUICK)
        fetcher.prepare()
        state = fetcher._volumes[3].state
        state.state, state.size, state.done = "partial", 10_000_000, [(0, 65536)]
        fetcher._volumes[3].part.allocate(3, 10_000_000)
        fetcher._adopt(fetcher._volumes[3])
        fetcher.run()
    assert volumes(tmp_path / "to") == volumes(source)
    assert fetcher.progress().rejected == 1


@pytest.mark.fault("kill -9: host tool", "restore", "while a server ignores ranges")
def test_part_of_a_server_that_forgot_ranges_is_not_taken_for_another(tmp_path):
    """Range is ignored midway and the process dies: the intervals of the old file must not count for the new one."""
    before, after = tmp_path / "before", tmp_path / "after"
    over = threading.Event()
    with serving(FIXTURES / "uncompressed", total_rate=3e6) as server:
        fetcher = Fetcher(Link(server.url + NAMES["uncompressed"]), before, QUICK)
        thread = threading.Thread(target=fetcher.run)
        thread.start()
        while not any(volume.state.done for volume in list(fetcher._volumes.values())):
            time.sleep(0.005)
        fetcher._save()
        server.faults = [Fault("no-range")]
        while not any(volume.whole for volume in fetcher._volumes.values()):
            time.sleep(0.005)
        fetcher._write_state = over.wait  # whoever would write the state stands still, as in a killed process
        time.sleep(0.1)
        shutil.copytree(before, after)
        over.set()
        fetcher.stop()
        thread.join()
    with serving(FIXTURES / "uncompressed") as server:
        fetch(server, after, "uncompressed")
    assert volumes(after) == volumes(FIXTURES / "uncompressed")


def test_going_on_with_few_volumes_ahead(tmp_path):
    """What was consumed and deleted before counts, or the next ones would never be asked for."""
    with serving(FIXTURES / "plain") as server:
        for first in (0, 9):
            fetcher = Fetcher(Link(server.url + NAMES["plain"]), tmp_path, QUICK, ahead=3)
            fetcher.prepare()
            thread = threading.Thread(target=fetcher.run, kwargs={"hold": True})
            thread.start()
            for number in range(first, 9 if not first else 17):
                fetcher.wait(number)
                fetcher.consumed(number, delete=True)
            fetcher.stop()
            thread.join()
    assert {state.state for state in load_state(tmp_path, NAMES["plain"]).volumes.values()} == {"used"}


def is_header(block: bytes) -> bool:
    with suppress(TarError):
        return bool(parse_header(block, 0))
    return False


@pytest.mark.parametrize("kind", ["uncompressed", "encrypted-raw"])
def test_headers_prove_volumes_without_gzip_on_arrival(kind, tmp_path):
    password = "correct horse" if kind == "encrypted-raw" else None
    last = FIXTURES / kind / volume(7, kind)
    head = (FIXTURES / kind / NAMES[kind]).read_bytes()[:512] if password else None
    plain = b"".join(ArchiveStream(VolumeName.require(NAMES[kind]), password, head).pieces(7, last))
    header = next(at for at in range(0, len(plain), 512) if is_header(plain[at : at + 512]))
    with serving(FIXTURES / kind, [Fault("flip", last.name, times=1, at=header + 3)]) as server:
        fetcher = Fetcher(Link(server.url + NAMES[kind]), tmp_path, QUICK)
        fetch_and_prove(fetcher, password)
    assert volumes(tmp_path) == volumes(FIXTURES / kind)
    assert fetcher.progress().rejected == 1


def test_limit_shares_one_rate(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    limit = Limit(1_000_000)
    for _ in range(50):
        limit.take(65_536)
    assert clock[0] - 100 == pytest.approx(50 * 65_536 / 1e6)
    Limit(None).take(1 << 40)
    assert clock[0] - 100 == pytest.approx(50 * 65_536 / 1e6)


def test_many_failures_at_once_are_one(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    backoff = Backoff(1.0)
    for _ in range(16):
        backoff.failed(99.0)
    assert 100.5 <= backoff.until <= 101
    clock[0] = 102.0
    backoff.failed(101.5)
    assert 103 <= backoff.until <= 104
    backoff.failed(101.5, after=30)
    assert backoff.until == 132
    backoff.arrived()
    assert backoff.until == 0


def test_stopped_anywhere_it_goes_on(tmp_path):
    chance = random.Random(3)
    sent = 0
    with serving(FIXTURES / "plain", total_rate=6e6) as server:
        for _ in range(6):
            fetcher = Fetcher(Link(server.url + NAMES["plain"]), tmp_path, QUICK)
            threading.Timer(chance.uniform(0.02, 0.2), fetcher.stop).start()
            fetcher.run()
            sent = sum(server.record.sent.values())
        fetch(server, tmp_path)
    assert volumes(tmp_path) == volumes(FIXTURES / "plain")
    assert sent > 0


def test_second_run_asks_for_nothing(tmp_path):
    with serving(FIXTURES / "plain") as server:
        fetch(server, tmp_path)
        before = len(server.record.requests)
        fetch(server, tmp_path)
        assert len(server.record.requests) == before


@pytest.mark.fault("volume corrupt", "restore", "copied into the folder of the download")
def test_volumes_laid_there_by_hand_are_proven_and_used(tmp_path):
    for number in (2, 3):
        shutil.copy(FIXTURES / "plain" / volume(number), tmp_path)
    (tmp_path / volume(3)).write_bytes(b"damaged")
    with serving(FIXTURES / "plain") as server:
        fetch(server, tmp_path)
    assert volumes(tmp_path) == volumes(FIXTURES / "plain")
    assert server.record.sent[volume(2)] == 0 and server.record.sent[volume(3)] > 0


def test_a_dead_server_is_given_up(tmp_path):
    with serving(FIXTURES / "plain") as server:
        url = server.url
    options = FetchOptions(patience_seconds=0.3, pause_seconds=0.05)
    with pytest.raises(BackupError, match="no answer"):
        Fetcher(Link(url + NAMES["plain"]), tmp_path, options).run()


@pytest.fixture
def nameless(monkeypatch):
    """No name resolves; addresses do."""
    real = socket.getaddrinfo

    def resolve(host, *rest, **more):
        if host not in ("127.0.0.1", b"127.0.0.1"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.usefixtures("nameless")
def test_a_name_that_does_not_resolve_is_told_at_once_and_given_up_early_before_anything_was_fetched(tmp_path):
    told = []
    options = FetchOptions(patience_seconds=3600, unknown_name_seconds=0.3, pause_seconds=0.02)
    with pytest.raises(NoAnswer, match=r"no answer from nowhere\.invalid for .* s: its name does not resolve"):
        Fetcher(Link(f"http://nowhere.invalid/{NAMES['plain']}"), tmp_path, options, tell=told.append).run()
    assert told[0] == "asking nowhere.invalid for the archive's first bytes"
    assert re.fullmatch(r"waiting for nowhere\.invalid \(its name does not resolve\) since \S+Z, until \S+Z", told[1])
    assert len(set(told[1:])) == 1, "one wait is one line"


@pytest.mark.usefixtures("nameless")
def test_a_name_that_does_not_resolve_is_waited_for_once_a_download_was_begun(tmp_path):
    """The machine that resolves names is away, too, when the network is."""
    with serving(FIXTURES / "plain") as server:
        Fetcher(Link(server.url + NAMES["plain"]), tmp_path, QUICK).prepare()
        half = Fetcher(Link(server.url + NAMES["plain"]), tmp_path, replace(QUICK, rate=200_000))
        thread = threading.Thread(target=half.run)
        thread.start()
        while half.progress().done < 100_000:
            time.sleep(0.01)
        half.stop()
        thread.join()
        for path in tmp_path.glob("*.tar.gz"):
            path.unlink()
    told = []
    options = FetchOptions(patience_seconds=0.8, unknown_name_seconds=-1, pause_seconds=0.02)
    with pytest.raises(NoAnswer, match="its name does not resolve"):
        Fetcher(Link(f"http://nowhere.invalid/{NAMES['plain']}"), tmp_path, options, tell=told.append).run()
    assert len(told) > 2, "it was asked for again"


@pytest.mark.fault("DNS gone", "restore", "midway, and back")
def test_a_name_that_is_unknown_for_a_while_midway_costs_nothing(tmp_path, monkeypatch):
    real, gone, asked = socket.getaddrinfo, threading.Event(), threading.Event()

    def resolve(host, *rest, **more):
        if gone.is_set():
            asked.set()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with serving(FIXTURES / "plain", total_rate=3e6) as server:
        url = server.url.replace("127.0.0.1", "cloud.encaja.test")
        fetcher = Fetcher(Link(url + NAMES["plain"]), tmp_path, PATIENT)
        thread = threading.Thread(target=fetcher.run)
        thread.start()
        while fetcher.progress().done < 300_000:
            time.sleep(0.005)
        gone.set()
        server.faults = [Fault("reset", times=6, at=0)]
        assert asked.wait(60), "its connections were made again"
        gone.clear()
        thread.join()
    assert volumes(tmp_path) == volumes(FIXTURES / "plain")


def test_a_download_says_what_it_waits_for(tmp_path, monkeypatch):
    monkeypatch.setattr(fetcher_module, "_QUIET_SECONDS", 0.1)
    seen = set()
    with serving(FIXTURES / "plain", [Fault("reset", after=6, at=0)]) as server:
        fetcher = Fetcher(Link(server.url + NAMES["plain"]), tmp_path, replace(QUICK, patience_seconds=1.0))
        thread = threading.Thread(target=_run, args=(fetcher,))
        thread.start()
        while thread.is_alive():
            seen.add(fetcher.progress().waiting)
            time.sleep(0.02)
    assert any(line.startswith(f"waiting for 127.0.0.1:{server.server_address[1]} (") for line in seen)


def _run(fetcher):
    with suppress(BackupError):
        fetcher.run()


def test_a_server_that_stops_answering_midway_is_given_up(tmp_path):
    options = FetchOptions(connections=3, piece=32768, stall_seconds=0.2, patience_seconds=0.6, pause_seconds=0.05)
    with (
        serving(FIXTURES / "plain", [Fault("reset", after=6, at=0)]) as server,
        pytest.raises(BackupError, match="nothing arrived for"),
    ):
        fetch(server, tmp_path, options=options)


def test_not_an_archive(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.tar.gz").write_bytes(b"<html>log in</html>")
    with serving(source) as server, pytest.raises(BackupError, match=r"not a \.tar\.gz archive"):
        Fetcher(Link(server.url + "a.tar.gz"), tmp_path / "to", QUICK).run()


def test_raw_archive_needs_a_number_of_volumes(tmp_path):
    with serving(FIXTURES / "uncompressed", listing=False) as server:
        with pytest.raises(BackupError, match="does not say how many volumes"):
            fetch(server, tmp_path, "uncompressed")
        fetch(server, tmp_path, "uncompressed", given_count=8)
    assert volumes(tmp_path) == volumes(FIXTURES / "uncompressed")


def test_hashes_of_a_listing_are_checked(tmp_path):
    with serving(FIXTURES / "plain") as server:
        link = Link(server.url + NAMES["plain"])
        entries = read_listing(f"{'0' * 64}  {volume(4)}\n", link)
        with pytest.raises(BadVolume, match=r"volume 4 .*SHA-256"):
            Fetcher(Link(link.url, entries), tmp_path, QUICK).run()


def test_rejected_by_its_consumer_it_is_fetched_again(tmp_path):
    with serving(FIXTURES / "plain") as server:
        fetcher = Fetcher(Link(server.url + NAMES["plain"]), tmp_path, QUICK)
        thread = threading.Thread(target=fetcher.run, kwargs={"hold": True})
        thread.start()
        for number in range(17):
            fetcher.wait(number)
        fetcher.reject(7, "bad header")
        assert fetcher.wait(7).read_bytes() == (FIXTURES / "plain" / volume(7)).read_bytes()
        fetcher.stop()
        thread.join()
        assert fetcher.progress().rejected == 1


def test_ahead_bounds_what_lies_there(tmp_path):
    with serving(FIXTURES / "plain") as server:
        fetcher = Fetcher(Link(server.url + NAMES["plain"]), tmp_path, QUICK, ahead=3)
        thread = threading.Thread(target=fetcher.run)
        thread.start()
        most = 0
        for number in range(17):
            fetcher.wait(number)
            names = {path.name.removesuffix(".part") for path in tmp_path.iterdir()}
            most = max(most, len([name for name in names if name.startswith(NAMES["plain"])]))
            fetcher.consumed(number, delete=True)
        thread.join()
    assert most <= 4
    assert volumes(tmp_path) == {}
    assert {state.state for state in load_state(tmp_path, NAMES["plain"]).volumes.values()} == {"used"}


def test_links():
    link = Link("https://user:secret@host:8443/dir/a%20b.tar.gz?token=t")
    assert str(link.name) == "a b.tar.gz"
    assert link.target(3).url == "https://user:secret@host:8443/dir/a%20b.tar.gz.3?token=t"
    assert redact(link.url) == "https://host:8443/dir/a%20b.tar.gz?…"
    page = '<a href="a%20b.tar.gz">x</a> <A class="f" HREF=\'a%20b.tar.gz.1\'>y</A> <a href="other.tar.gz.2">z</a>'
    assert {number: entry.url for number, entry in read_index(page, link.folder, link.name).items()} == {
        0: "https://user:secret@host:8443/dir/a%20b.tar.gz",
        1: "https://user:secret@host:8443/dir/a%20b.tar.gz.1",
    }


@pytest.mark.parametrize("url", ["ftp://h/a.tar.gz", "https://h/a.zip", "https://h/a.tar.gz.3", "a.tar.gz"])
def test_bad_links(url):
    with pytest.raises(BackupUsageError):
        Link(url)


def test_intervals():
    assert merge([(5, 9), (0, 3), (3, 4), (8, 12), (7, 7)]) == [(0, 4), (5, 12)]
    assert gaps([(0, 4), (5, 12)], 20, 6) == [(4, 5), (12, 18), (18, 20)]
    assert gaps([], 3, 10) == [(0, 3)]
    assert gaps([(0, 3)], 3, 10) == []
