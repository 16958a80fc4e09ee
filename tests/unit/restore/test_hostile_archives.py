"""What strangers send is refused or harmless, in 10 s of the processor and 300 MB, and never ends in a traceback."""

from __future__ import annotations

import multiprocessing
import re
import resource
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from backup_archives import gzip_volume, tar_entry
from hostile_archives import DUMP, DUMP_NAME, HARMLESS, HOSTILE, Maker, header, honest
from hypothesis import given
from hypothesis import strategies as st

from encaja.errors import EncajaError
from encaja.restore.archive import gzips, naming, tars, unpack, verify_volume, volume_set
from encaja.restore.archive.sqldump import Splitter, Statement
from encaja.restore.archive.tree import safe_name
from encaja.restore.space import dump_size

SECONDS = 10
MEGABYTES = 300


def _memory(name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def _work(folder: Path, place: Path, said: Connection) -> None:
    """Do everything that ``encaja backup`` does with an archive; tell how each step ended, and the memory it took."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmRSS")
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, ((_memory("VmSize") << 10) + (2 << 30),) * 2)
    outcomes = {}

    def described() -> Any:
        return volume_set.describe(naming.find_volumes(place)).problems

    def verified() -> Any:
        found = volume_set.verify(naming.find_volumes(place), "password")
        return [*found.problems, *(verdict.reason for verdict in found.volumes if verdict.state != "good")]

    def unpacked() -> Any:
        unpack.unpack(naming.find_volumes(place), folder / "out", "password")
        return []

    for step in (described, verified, unpacked):
        try:
            problems = step()
        except EncajaError as error:
            problems = [str(error)]
        except BaseException as error:
            outcomes[step.__name__] = f"{type(error).__name__}: {error}"
            continue
        outcomes[step.__name__] = problems
    said.send((outcomes, (_memory("VmHWM") - before) >> 10))


def outcome(make: Maker, folder: Path) -> dict[str, list[str]]:
    """The problems that each step found; a traceback, a hang or a hunger fails the test."""
    place = folder / "archive"
    place.mkdir()
    make(place)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(folder, place, there))
    child.start()
    there.close()
    try:
        assert here.poll(20 * SECONDS), "it hangs"
        outcomes, megabytes = here.recv()
    except EOFError:
        pytest.fail(f"it took more than {SECONDS} s of the processor")
    finally:
        child.kill()
        child.join()
    for step, problems in outcomes.items():
        assert isinstance(problems, list), f"{step}: {problems}"
    assert megabytes < MEGABYTES
    assert sorted(path.name for path in folder.iterdir()) in (["archive"], ["archive", "out"])
    assert not Path("/tmp/encaja-escaped").exists()
    return dict(outcomes)


@pytest.mark.parametrize("name", HOSTILE)
def test_refused(name: str, tmp_path: Path) -> None:
    found = outcome(HOSTILE[name], tmp_path)
    assert found["unpacked"], "nobody said anything"
    assert all("\n" not in problem and len(problem) < 600 for problem in found["unpacked"])


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless(name: str, tmp_path: Path) -> None:
    found = outcome(HARMLESS[name], tmp_path)
    assert found["verified"] == found["unpacked"] == []


def test_the_corpus_is_large() -> None:
    assert len(HOSTILE) + len(HARMLESS) >= 60


@pytest.mark.parametrize(
    ("field", "number"),
    [(b"17", 15), (b"000000000017", 15), (b" 17 \0", 15), (b"", 0), (b"\x80" + bytes(9) + b"\x01\0", 256)],
)
def test_numbers_that_archives_have(field: bytes, number: int) -> None:
    assert tars.parse_header(header(size=field), 0).member.size == number


class _Sink:
    """Counts what comes; nothing may come outside of a member."""

    def __init__(self) -> None:
        self.left: int | None = None

    def begin(self, member: tars.Member) -> None:
        assert self.left is None and member.size >= 0
        self.left = member.size

    def data(self, piece: memoryview) -> None:
        assert self.left is not None and 0 < len(piece) <= self.left
        self.left -= len(piece)

    def end(self) -> None:
        assert self.left == 0
        self.left = None


HEADERS = st.builds(
    header,
    st.binary(max_size=100),
    size=st.binary(max_size=12) | st.integers(-2000, 2000).map(lambda size: b"%o" % size),
    mode=st.binary(max_size=8) | st.just(b"644"),
    kind=st.sampled_from([b"0", b"\0", b"5", b"L", b"2", b"x"]) | st.binary(min_size=1, max_size=1),
)
STREAMS = st.lists(HEADERS | st.binary(max_size=2048) | st.just(bytes(512)), max_size=8).map(b"".join)


@given(STREAMS, st.integers(1, 700))
def test_any_stream_is_read_or_refused(stream: bytes, piece: int) -> None:
    reader = tars.TarReader(_Sink())
    try:
        for at in range(0, len(stream), piece):
            reader.feed(stream[at : at + piece])
            assert reader.offset <= at + piece
        reader.finish()
    except EncajaError:
        pass
    for look in (lambda: verify_volume.check_front(stream, "here"), lambda: dump_size(stream)):
        try:
            look()
        except EncajaError:
            continue


@given(STREAMS, st.binary(max_size=64), st.sampled_from(["a.tar", "a.tar.gz", "a.enc", "a.enc.gz"]))
def test_any_volume_is_verified_or_refused(
    tmp_path_factory: pytest.TempPathFactory, stream: bytes, more: bytes, name: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / name).write_bytes((gzip_volume(stream) if name.endswith(".gz") else stream) + more)
    try:
        volumes = naming.find_volumes(folder)
        volume_set.describe(volumes)
        volume_set.verify(volumes, "password")
        unpack.unpack(volumes, folder / "out", "password")
    except EncajaError:
        pass


@given(st.binary(max_size=200))
def test_any_name_stays_in_the_tree_or_is_refused(raw: bytes) -> None:
    try:
        name = safe_name(raw)
    except EncajaError:
        return
    assert not name.startswith(b"/") and b".." not in name.split(b"/") and b"\0" not in name


WORDS = st.sampled_from([b";\n", b"`", b"-- ", b"\n", b"INSERT INTO ", b"CREATE TABLE "])


@given(st.lists(WORDS | st.binary(), max_size=20))
def test_any_dump_is_split_or_refused(pieces: list[bytes]) -> None:
    splitter = Splitter()
    try:
        found = [statement for piece in pieces for statement in splitter.feed(piece)] + list(splitter.end_part())
    except EncajaError:
        return
    assert all(isinstance(statement, Statement) for statement in found)


@pytest.mark.parametrize(
    "text",
    [
        b"INSERT INTO `mysql`.`user` VALUES (1);\n",
        b"DROP TABLE IF EXISTS `mysql` . `user`;\n",
        b"CREATE TABLE `" + b"a" * 300 + b"` (a int);\n",
        b"CREATE TABLE `" + b"a" * (1 << 20) + b";\n",
        b"--\n" * (1 << 20) + b"GRANT ALL;\n",
    ],
)
def test_statements_that_no_backup_holds(text: bytes) -> None:
    with pytest.raises(EncajaError, match="a statement that a backup never holds"):
        list(Splitter().feed(text))


def test_a_bomb_is_left_where_it_exceeds_what_it_declares(tmp_path: Path) -> None:
    found = outcome(HOSTILE["bomb of 2 GiB that declares little"], tmp_path)
    assert "it unpacks to more than the 1024 bytes that it may" in found["verified"][0]


def test_an_honest_volume_larger_than_its_field_can_say_is_not_taken_for_a_bomb() -> None:
    declared = gzips.VolumeHeader(None, 512)
    assert gzips.most_unpacked(declared, 1 << 30) >= (5 << 32) + 512
    assert gzips.most_unpacked(declared, 1 << 20) == 512


def test_what_is_honest_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(gzip_volume(honest(tar_entry(b"index.php", b"<?php"))))
    unpack.unpack(naming.find_volumes(tmp_path), tmp_path / "out")
    assert (tmp_path / "out" / "index.php").read_bytes() == b"<?php"
    assert (tmp_path / "out" / DUMP_NAME.decode()).read_bytes() == DUMP
