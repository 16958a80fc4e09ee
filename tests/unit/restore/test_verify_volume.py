"""The proof of one volume against each lie that a transfer can tell."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from encaja.restore.archive import verify_volume
from encaja.restore.archive.verify_volume import DigestMismatch, Expected, Stopped, common_size, prove
from encaja.restore.errors import BadVolume

DATA = bytes(range(256)) * 8  # 2048 bytes
KNOWN = Expected(1, False, 2048, 2048, None, None, 3, None)


@pytest.fixture
def name() -> Any:
    class Name:
        """A volume that is not compressed."""

        compressed = False

    return Name()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "volume"
    found.write_bytes(DATA)
    return found


def check(name: Any, file: Path, **changes: Any) -> None:
    prove(name, file, replace(KNOWN, **changes), lambda: False)


def test_a_volume_as_it_should_be(name: Any, file: Path) -> None:
    check(name, file)
    check(name, file, size=None, slot=None)
    check(name, file, sha256=hashlib.sha256(DATA).hexdigest(), etag=f'"{hashlib.md5(DATA).hexdigest()}"')
    check(name, file, etag=f'"{hashlib.md5(DATA).hexdigest().upper()}"')
    check(name, file, etag='W/"0123"')
    check(name, file, etag=f'"{hashlib.md5(DATA).hexdigest()}-7"')


@pytest.mark.parametrize("size", [2047, 2049, 0])
def test_another_size_than_the_server_announced(name: Any, file: Path, size: int) -> None:
    with pytest.raises(BadVolume, match=f"2048 bytes arrived, the server announced {size}"):
        check(name, file, size=size)


@pytest.mark.parametrize(("slot", "last", "bad"), [(2048, True, False), (4096, True, False), (4096, False, True),
                                                   (1024, False, True), (1024, True, True)])  # fmt: skip
def test_only_the_last_volume_may_be_smaller_and_none_larger(
    name: Any, file: Path, slot: int, last: bool, bad: bool
) -> None:
    if bad:
        with pytest.raises(BadVolume, match=f"holds 2048 unpacked bytes, the others {slot}"):
            check(name, file, slot=slot, last=last)
    else:
        check(name, file, slot=slot, last=last)


@pytest.mark.parametrize("length", [0, 511, 513, 2000])
def test_a_volume_that_is_no_number_of_blocks(name: Any, file: Path, length: int) -> None:
    file.write_bytes(DATA[:length])
    with pytest.raises(BadVolume, match=f"{length} bytes, no multiple of 512"):
        check(name, file, size=None, slot=None)


def test_one_flipped_bit_against_a_listing_and_against_the_servers_tag(name: Any, file: Path) -> None:
    sha256, md5 = hashlib.sha256(DATA).hexdigest(), hashlib.md5(DATA).hexdigest()
    damaged = DATA[:-1] + b"\0"
    file.write_bytes(damaged)
    with pytest.raises(BadVolume, match="its SHA-256 is not the expected one"):
        check(name, file, sha256=sha256)
    with pytest.raises(DigestMismatch) as caught:
        check(name, file, etag=f'"{md5}"')
    assert caught.value.md5 == hashlib.md5(damaged).hexdigest()
    check(name, file, etag=f'"{md5}"', rejected_md5=caught.value.md5)  # the same twice: the tag is no MD5 of it
    with pytest.raises(DigestMismatch):
        check(name, file, etag=f'"{md5}"', rejected_md5="f" * 32)


def test_a_stop_is_no_verdict(name: Any, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name.compressed = True

    def volume(_: Path, __: int, step: Any) -> int:
        step(1)
        return 2048

    monkeypatch.setattr(verify_volume.gzips, "prove_volume", volume)
    monkeypatch.setattr(verify_volume, "_check_count", lambda *_: None)
    prove(name, file, KNOWN, lambda: False)
    with pytest.raises(Stopped):
        prove(name, file, KNOWN, lambda: True)


def test_the_size_that_most_have() -> None:
    assert common_size([]) is None
    assert common_size([5, 9, 5]) == 5
    assert common_size([5, 9]) == 9, "transfers lose bytes, and gain none"
