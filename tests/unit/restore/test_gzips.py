"""One volume's gzip layer: every lie that its bytes can tell is a bad volume, with its number and reason."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest

from encaja.restore.archive import gzips
from encaja.restore.archive.gzips import GzipDecoder, VolumeHeader, prove_volume, read_header, read_volume
from encaja.restore.errors import BadVolume

DATA = bytes(range(256)) * 40  # 10,240 bytes, twenty blocks


def member(data: bytes = DATA, *, size: int | None = None, last: int | None = 3, mark: bytes = b"BX") -> bytes:
    """A volume as the vendor writes it: its size, and the number of the last one, in an extra field."""
    said = len(data) if size is None else size
    number = b"\0\0\0\0" if last is None else b"LN" + struct.pack("<H", last)
    head = b"\x1f\x8b\x08\x04" + b"\0" * 6 + b"\x0a\x00" + number + mark + struct.pack("<I", said)
    packer = zlib.compressobj(wbits=-15)
    return head + packer.compress(data) + packer.flush() + struct.pack("<II", zlib.crc32(data), len(data) % 2**32)


def volume(folder: Path, data: bytes) -> Path:
    file = folder / "volume"
    file.write_bytes(data)
    return file


def test_what_a_header_says() -> None:
    assert read_header(member()) == VolumeHeader(3, len(DATA))
    assert read_header(member(last=None)) == VolumeHeader(None, len(DATA))
    assert read_header(member(mark=b"XX")) == VolumeHeader(None, None)
    assert read_header(member(last=0)) == VolumeHeader(0, len(DATA))
    assert read_header(member()[: gzips.HEADER_LENGTH]) == VolumeHeader(3, len(DATA))
    assert read_header(member()[: gzips.HEADER_LENGTH - 1]) == VolumeHeader(None, None)
    assert read_header(b"\x1f\x8b\x08\x00" + member()[4:]) == VolumeHeader(None, None)
    assert read_header(b"<html>") is None
    assert read_header(b"") is None
    unfinished = read_header(member(size=gzips._UNFINISHED))
    assert unfinished == VolumeHeader(3, None, unfinished=True)


def test_a_volume_is_unpacked_whole_and_told_as_it_goes(tmp_path: Path) -> None:
    steps: list[int] = []
    assert prove_volume(volume(tmp_path, member()), 0, steps.append) == sum(steps) == len(DATA)
    assert prove_volume(volume(tmp_path, member(mark=b"XX")), 0) == len(DATA)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>log in</html>", "it is not a gzip file"),
        (member(size=gzips._UNFINISHED), "its writer never finished it"),
        (member(size=len(DATA) - 1), "unpacks to more than the 10239 bytes that it may"),
        (member(size=len(DATA) + 512), "unpacks to 10240 bytes, its size field says 10752"),
        (member(DATA[:-1]), "unpacks to 10239 bytes, no multiple of 512"),
        (member()[:-1], "the stream ends before its last member does"),
        (member()[:-9], "the stream ends before"),
        (member()[:-8] + b"\0\0\0\0" + member()[-4:], "gzip: incorrect data check"),
        (member()[:-4] + b"\0\0\0\0", "gzip: incorrect length check"),
        (member()[:40] + b"\xff" + member()[41:], "gzip: "),
        (member() + b"junk", "gzip: incorrect header check"),
        (member() + member()[:30], "unpacks to more than the 10240 bytes that it may"),
    ],
)
def test_each_lie_is_a_bad_volume(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(BadVolume) as caught:
        prove_volume(volume(tmp_path, data), 7)
    assert reason in str(caught.value)
    assert caught.value.number == 7


def test_a_flipped_bit_is_found_or_changes_no_content(tmp_path: Path) -> None:
    whole = member(DATA[:512])
    quiet = []
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        try:
            found = b"".join(read_volume(volume(tmp_path, damaged), 0))
        except BadVolume:
            continue
        assert found == DATA[:512], at
        quiet.append(at)
    assert len(quiet) < 24, "some of the header, and bits that no one reads"


def test_members_one_after_another_are_one_stream_however_it_is_cut() -> None:
    stream = member(DATA[:512]) + member(DATA[512:])
    for size in (1, 7, 100, len(stream)):
        decoder = GzipDecoder()
        found = b"".join(piece for at in range(0, len(stream), size) for piece in decoder.feed(stream[at : at + size]))
        decoder.finish()
        assert (found, decoder.produced) == (DATA, len(DATA))


def test_a_large_volume_comes_in_pieces(tmp_path: Path) -> None:
    pieces = list(read_volume(volume(tmp_path, member(bytes(10 << 20))), 0))
    assert len(pieces) > 1 and max(map(len, pieces)) <= 4 << 20
    assert sum(map(len, pieces)) == 10 << 20
