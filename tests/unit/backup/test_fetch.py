"""Fetching from a server that misbehaves in every way we know; the volumes always come out right, or the message
does."""

from __future__ import annotations

import random
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from backup_archives import FIXTURES

from encaja.backup.errors import BackupError, BackupUsageError, BadVolume, LinkExpired
from encaja.backup.fetch import Fetcher, FetchOptions
from encaja.backup.fetch.links import Link, read_index, read_listing, redact
from encaja.backup.fetch.state import FILE_NAME, gaps, load_state, merge
from lab.misbehaving_server import Fault, serving

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
        [Fault("status", after=3, times=25, at=503)],
        [Fault("reset", times=40, at=20000)],
        [Fault("no-range")],
        [Fault("endless", volume(number), times=1) for number in range(17)],
        [
            Fault("reset", after=5, times=10, at=0),
            Fault("status", after=3, times=5, at=500),
            Fault("stuck", after=2, times=4, at=1),
        ],
    ],
    ids=["503 bursts", "resets", "no ranges", "endless", "mixed"],
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


@pytest.mark.parametrize("number", [1, 16])
def test_a_volume_missing_at_the_link(number, tmp_path):
    with (
        serving(FIXTURES / "plain", [Fault("missing", volume(number))]) as server,
        pytest.raises(BadVolume, match=r"not at the link \(404\), though the archive has 17 volumes"),
    ):
        fetch(server, tmp_path)
    assert len(volumes(tmp_path)) == 16


@pytest.mark.parametrize("status", [403, 404, 410])
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
