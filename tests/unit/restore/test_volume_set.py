"""The vendor's own archives come out byte for byte, and every damage to a volume is found in that volume."""

from __future__ import annotations

import hashlib
import random
import shutil
from pathlib import Path

import pytest
from backup_archives import FIXTURES, PASSWORDS, tar_entry, write_archive

from encaja.restore.archive import crypt, naming, unpack, volume_set
from encaja.restore.errors import BackupError, BackupUsageError, BadVolume, WrongPassword


def manifest(folder: Path) -> dict[str, str]:
    """The reference list of digests; `sha256sum` escapes names with a newline by a leading backslash."""
    listed = {}
    for line in (folder / "TREE.sha256").read_text().splitlines():
        escaped = line.startswith("\\")
        digest, name = line.removeprefix("\\").split("  ", 1)
        listed[(name.replace("\\n", "\n").replace("\\\\", "\\") if escaped else name).removeprefix("./")] = digest
    return listed


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_unpacks_byte_for_byte(fixture_archive, tmp_path):
    folder, password = fixture_archive
    unpack.unpack(naming.find_volumes(folder), tmp_path / "out", password)
    assert tree(tmp_path / "out") == manifest(folder)


def test_describes(fixture_archive):
    folder, password = fixture_archive
    described = volume_set.describe(naming.find_volumes(folder))
    assert described.problems == [] and described.missing == []
    assert described.encrypted == (password is not None)
    assert described.expected == (17 if ".gz" in described.name else None)
    assert described.present == (17 if ".gz" in described.name else 8)


def test_verifies(fixture_archive):
    folder, password = fixture_archive
    found = volume_set.verify(naming.find_volumes(folder), password)
    assert found.good and {verdict.state for verdict in found.volumes} == {"good"}


@pytest.mark.parametrize("name", ["plain", "encrypted"])
def test_one_flipped_bit_is_found_in_its_volume(name, tmp_path):
    shutil.copytree(FIXTURES / name, tmp_path / "a")
    volumes = naming.find_volumes(tmp_path / "a")
    chance = random.Random(26)
    for number, path in volumes.volumes.items():
        clean = path.read_bytes()
        # Member data: the bytes after the first (empty) member and the second one's header, before its checksum.
        at = chance.randrange(37 + 10, len(clean))
        damaged = bytearray(clean)
        damaged[at] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        found = volume_set.verify(volumes)
        bad = [verdict.number for verdict in found.volumes if verdict.state != "good"]
        assert bad == [number] or _harmless(clean, damaged, at), (number, at, bad)
        path.write_bytes(clean)


def _harmless(clean: bytes, damaged: bytes, at: int) -> bool:
    """Bits of a member's header that say nothing about its content (time, level, system)."""
    start = clean.rfind(b"\x1f\x8b\x08\x00", 0, at + 1)
    return start >= 0 and 4 <= at - start < 10 and damaged[at] != clean[at]


@pytest.mark.parametrize("name", ["plain", "encrypted", "uncompressed"])
def test_a_volume_in_its_neighbours_place_is_found_wherever_it_is(name, tmp_path):
    """Most of these lie within one long file, where no header would show it."""
    shutil.copytree(FIXTURES / name, tmp_path / "a")
    volumes = naming.find_volumes(tmp_path / "a")
    for number in range(2, len(volumes.volumes) - 1):
        clean = volumes.path(number).read_bytes()
        shutil.copy(volumes.path(number - 1), volumes.path(number))
        bad = [verdict for verdict in volume_set.verify(volumes).volumes if verdict.state != "good"]
        assert number in [verdict.number for verdict in bad], "it is among those that its headers accuse"
        volumes.path(number).write_bytes(clean)


def test_equal_neighbours_of_an_empty_image_are_good(tmp_path):
    name = "20261001_210000_full_image.tar.gz"
    write_archive(tmp_path, [(b"bitrix/disk.img", bytes(200_000))], slot=32768, name=name)
    volumes = naming.find_volumes(tmp_path)
    assert volumes.path(2).read_bytes() == volumes.path(3).read_bytes()
    assert volume_set.verify(volumes).good


@pytest.mark.parametrize("damage", ["truncated", "longer", "empty", "not gzip", "unfinished"])
@pytest.mark.parametrize("number", [0, 3, 16])
def test_damage_of_a_whole_volume(damage, number, tmp_path):
    shutil.copytree(FIXTURES / "plain", tmp_path / "a")
    volumes = naming.find_volumes(tmp_path / "a")
    path = volumes.path(number)
    clean = path.read_bytes()
    path.write_bytes(
        {
            "truncated": clean[: len(clean) * 2 // 3],
            "longer": clean + b"more",
            "empty": b"",
            "not gzip": b"<html>" + clean,
            "unfinished": clean[:18] + b"0000" + clean[22:],
        }[damage]
    )
    found = volume_set.verify(volumes)
    assert [(verdict.number, verdict.state) for verdict in found.volumes if verdict.state != "good"] == [
        (number, "bad")
    ]


@pytest.mark.parametrize("number", [1, 9, 16])
def test_missing_volume_is_named(number, tmp_path):
    shutil.copytree(FIXTURES / "plain", tmp_path / "a")
    volumes = naming.find_volumes(tmp_path / "a")
    volumes.path(number).unlink()
    volumes = naming.find_volumes(tmp_path / "a")
    assert volume_set.describe(volumes).missing == [number]
    assert [verdict.number for verdict in volume_set.verify(volumes).volumes if verdict.state == "missing"] == [number]
    with pytest.raises(BackupError, match="1 of 17 volumes are missing"):
        unpack.unpack(volumes, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["uncompressed", "encrypted-raw"])
def test_damaged_headers_without_gzip(name, tmp_path):
    shutil.copytree(FIXTURES / name, tmp_path / "a")
    volumes = naming.find_volumes(tmp_path / "a")
    last = volumes.path(7)
    last.write_bytes(bytes(byte ^ 0xFF for byte in last.read_bytes()))
    path = volumes.path(3)
    path.write_bytes(path.read_bytes()[:-512])
    found = {verdict.number: verdict.state for verdict in volume_set.verify(volumes, PASSWORDS[name]).volumes}
    assert {number for number, state in found.items() if state != "good"} == {3, 7}


def test_of_three_volumes_the_short_one_is_the_bad_one(tmp_path):
    first = write_archive(tmp_path, [(b"bitrix/a", b"x" * 5000)], slot=2048, name="a.tar")
    first.write_bytes(first.read_bytes()[:1024])
    found = volume_set.verify(naming.find_volumes(tmp_path))
    assert [verdict.number for verdict in found.volumes if verdict.state == "bad"] == [0]


@pytest.mark.parametrize("name", ["encrypted", "encrypted-raw"])
@pytest.mark.parametrize("password", ["wrong", "", None])
def test_wrong_password_writes_nothing(name, password, tmp_path):
    with pytest.raises(WrongPassword):
        unpack.unpack(naming.find_volumes(FIXTURES / name), tmp_path / "out", password)
    assert not (tmp_path / "out").exists()


def test_blowfish(tmp_path):
    context = crypt._blowfish(crypt.archive_key("old"))  # the machine's own cipher object, for encrypting
    if context is None:
        pytest.skip("this machine's OpenSSL has no Blowfish")
    from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

    clear = (b"1" * 32).ljust(100, b"\0") + crypt.SIGNATURE.ljust(90, b"\0") + b"1.1".ljust(10, b"\0") + bytes(56)
    body = tar_entry(b"a/b.txt", b"text" * 1000)
    encryptor = Cipher(Blowfish(crypt.archive_key("old")), modes.ECB()).encryptor()
    (tmp_path / "x.enc").write_bytes(clear + encryptor.update(clear + body))
    volumes = naming.find_volumes(tmp_path)
    assert volume_set.verify(volumes, "old").good
    unpack.unpack(volumes, tmp_path / "out", "old")
    assert (tmp_path / "out/a/b.txt").read_bytes() == b"text" * 1000
    assert crypt.open_header((tmp_path / "x.enc").read_bytes()[:512], "old").name == "Blowfish-ECB"


def test_two_archives_in_one_folder(tmp_path):
    write_archive(tmp_path, [(b"a", b"1")], name="a.tar.gz")
    first = write_archive(tmp_path, [(b"b", b"2")], name="b.tar.gz")
    with pytest.raises(BackupUsageError, match=r"2 archives in one folder: a\.tar\.gz, b\.tar\.gz"):
        naming.find_volumes(tmp_path)
    assert naming.find_volumes(first).first.stem == "b"


def test_natural_order(tmp_path):
    for number in range(12):
        (tmp_path / (f"a.tar.{number}" if number else "a.tar")).touch()
    assert list(naming.find_volumes(tmp_path).volumes) == list(range(12))


@pytest.mark.parametrize("name", ["a.zip", "tar", "a.tar.x", "a.tar.gz.01", "TREE.sha256"])
def test_no_volume_names(name):
    assert naming.VolumeName.parse(name) is None


def test_stem_may_hold_dots():
    parsed = naming.VolumeName.parse("crm.example.com_2026.tar.gz.10")
    assert parsed is not None
    assert (parsed.stem, parsed.number, parsed.archive) == ("crm.example.com_2026", 10, "crm.example.com_2026.tar.gz")


@pytest.mark.parametrize("name", [b"../x", b"a/../../x", b"/etc/x", b"a/..", b".."])
def test_no_path_leaves_the_destination(name, tmp_path):
    first = write_archive(tmp_path, [(b"good", b"1"), (name, b"2")])
    with pytest.raises(BackupError, match="leaves the tree"):
        unpack.unpack(naming.find_volumes(first), tmp_path / "deep" / "out")
    assert {path.name for path in tmp_path.rglob("*")} == {"a.tar.gz", "deep", "out", "good"}


@pytest.mark.parametrize("kind", [b"1", b"2"])
def test_links_are_refused(kind, tmp_path):
    (tmp_path / "a.tar").write_bytes(tar_entry(b"link", kind=kind))
    with pytest.raises(BackupError, match="a link in the archive"):
        unpack.unpack(naming.find_volumes(tmp_path), tmp_path / "out")


def test_destination_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(BackupUsageError, match="not empty"):
        unpack.unpack(naming.find_volumes(FIXTURES / "plain"), tmp_path / "out")


def test_bad_volume_is_named_while_unpacking(tmp_path):
    shutil.copytree(FIXTURES / "plain", tmp_path / "a")
    volumes = naming.find_volumes(tmp_path / "a")
    data = bytearray(volumes.path(13).read_bytes())
    data[5000] ^= 1
    volumes.path(13).write_bytes(data)
    with pytest.raises(BadVolume, match="volume 13 is bad") as caught:
        unpack.unpack(volumes, tmp_path / "out")
    assert caught.value.where.endswith(".gz.13")


def test_splits_between_a_header_and_its_long_name(tmp_path):
    long = "каталог/".encode() * 20 + b"name"
    first = write_archive(tmp_path, [(long, b"x" * 700), (b"b" * 101, b"")], slot=512)
    unpack.unpack(naming.find_volumes(first), tmp_path / "out")
    assert tree(tmp_path / "out") == {
        long.decode(): hashlib.sha256(b"x" * 700).hexdigest(),
        "b" * 101: hashlib.sha256(b"").hexdigest(),
    }


def test_names_in_cp1251_become_utf8(tmp_path):
    first = write_archive(tmp_path, [("файл.txt".encode("cp1251"), b"1")])
    unpack.unpack(naming.find_volumes(first), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["файл.txt"]
