"""What the stand-in writes, against archives that the vendor's own writer made."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest

from lab.backup_writer import dump, encryption, tar
from lab.backup_writer.archive import Options, write_backup
from lab.backup_writer.errors import BackupWriterError
from lab.backup_writer.volumes import VolumeWriter
from unit.backup_writer.vendor_archive import FIXTURES, PASSWORD, TarEntry, Volume, entries, stream, volumes

SETS = {"plain": 524_288, "encrypted": 524_288, "uncompressed": 1_048_576, "encrypted-raw": 1_048_576}
GZIPPED = ("plain", "encrypted")


@pytest.fixture(params=SETS)
def vendor(request: pytest.FixtureRequest) -> list[Volume]:
    return volumes(FIXTURES / request.param)


def limit_of(archive: list[Volume]) -> int:
    return SETS[archive[0].path.parent.name]


def rewritten(archive: list[Volume], to: Path, *, hit: int = 262_144) -> list[Volume]:
    """The vendor's own stream through our volume writer."""
    first = to / archive[0].path.name
    encrypt, lead = None, b""
    if ".enc" in first.name:
        encrypt = encryption.encryptor(PASSWORD)
        lead = archive[0].unpacked[:512]
    with VolumeWriter(
        first, limit=limit_of(archive), compress=".gz" in first.name, hit=hit, encrypt=encrypt, preamble=lead
    ) as writer:
        data = stream(archive)
        for start in range(0, len(data), 51_200):
            writer.write(data[start : start + 51_200])
    return volumes(to)


def header_like(entry: TarEntry) -> bytes:
    return tar.entry_header(
        entry.path,
        mode=entry.number(100, 8),
        uid=entry.number(108, 8),
        gid=entry.number(116, 8),
        size=len(entry.content),
        mtime=entry.number(136, 12),
        directory=entry.kind == b"5",
    )


def test_every_header_is_the_vendors_byte_for_byte(vendor: list[Volume]) -> None:
    found = entries(stream(vendor))
    assert len(found) > 100
    for entry in found:
        assert header_like(entry) == entry.header, entry.path


def test_headers_content_and_padding_make_the_whole_stream(vendor: list[Volume]) -> None:
    data = stream(vendor)
    assert data == b"".join(header_like(e) + e.content + tar.padding(len(e.content)) for e in entries(data))


def test_volumes_have_the_vendors_names_and_uncompressed_bytes(vendor: list[Volume], tmp_path: Path) -> None:
    ours = rewritten(vendor, tmp_path)
    assert [volume.path.name for volume in ours] == [volume.path.name for volume in vendor]
    assert [volume.unpacked for volume in ours] == [volume.unpacked for volume in vendor]


@pytest.mark.parametrize("name", GZIPPED)
def test_first_gzip_member_is_the_vendors_byte_for_byte(name: str, tmp_path: Path) -> None:
    vendor = volumes(FIXTURES / name)
    ours = rewritten(vendor, tmp_path)
    assert [volume.members[0] for volume in ours] == [volume.members[0] for volume in vendor]
    assert len(ours[0].members[0][0]) == 37


@pytest.mark.parametrize("name", GZIPPED)
def test_a_hit_makes_a_member_with_the_vendors_header(name: str, tmp_path: Path) -> None:
    vendor = volumes(FIXTURES / name)
    ours = rewritten(vendor, tmp_path, hit=262_144)
    assert {len(volume.members) for volume in ours[:-1]} == {3}
    headers = {packed[:10] for volume in vendor for packed, _ in volume.members[1:]}
    assert {packed[:10] for volume in ours for packed, _ in volume.members[1:]} == headers
    assert all(len(data) % 512 == 0 for volume in ours for _, data in volume.members)


def test_an_unfinished_volume_says_so(tmp_path: Path) -> None:
    writer = VolumeWriter(tmp_path / "x.tar.gz", limit=1024, hit=512, threads=1)
    with pytest.raises(OSError, match="no more"), writer:
        writer.write(bytes(8192))
        raise OSError("no more")
    last = volumes(tmp_path)[-1].content
    assert last[18:22] == b"0000"


def test_one_volume_has_no_count_of_volumes(tmp_path: Path) -> None:
    with VolumeWriter(tmp_path / "x.tar.gz", limit=1024) as writer:
        writer.write(bytes(1024))
    (volume,) = volumes(tmp_path)
    assert volume.content[12:16] == bytes(4)
    assert int.from_bytes(volume.content[18:22], "little") == 1024


@pytest.mark.parametrize("name", ["encrypted", "encrypted-raw"])
def test_service_block_has_the_vendors_layout(name: str) -> None:
    theirs = volumes(FIXTURES / name)[0].unpacked[:512]
    encrypt = encryption.encryptor(PASSWORD)
    ours = encryption.service_block(encrypt)
    assert encrypt(theirs[:256]) == theirs[256:]
    assert encrypt(ours[:256]) == ours[256:]
    assert ours[32:256] == theirs[32:256]
    assert re.fullmatch(rb"[0-9a-f]{32}", ours[:32])
    assert ours[:32] != encryption.service_block(encrypt)[:32]


def test_blowfish_has_the_same_layout_and_other_bytes() -> None:
    block = encryption.service_block(encryption.encryptor(PASSWORD, "bf-ecb"))
    assert block[100:121] == encryption.SIGNATURE
    assert encryption.encryptor(PASSWORD, "bf-ecb")(block[:256]) == block[256:]
    assert encryption.encryptor(PASSWORD)(block[:256]) != block[256:]


@pytest.mark.parametrize("name", ["plain", "uncompressed"])
def test_backing_up_the_vendors_tree_gives_the_vendors_entries(name: str, tmp_path: Path) -> None:
    """All but the three files that a writer makes or masks, and the owner, who is whoever unpacks the fixture here."""
    data = stream(volumes(FIXTURES / name))
    root, out = tmp_path / "root", tmp_path / "out"
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        archive.extraction_filter = getattr(tarfile, "tar_filter", None)  # not in the Python of Debian 12
        archive.extractall(root)
    options = Options(volume_size=SETS[name], compress=name == "plain", hit=131_072)
    result = write_backup(root, out, "20261001_210000_full_k3Jd92LmQx7PzVtB", options=options)
    ours, theirs = entries(stream(volumes(out))), entries(data)

    def comparable(found: list[TarEntry]) -> dict[bytes, tuple[bytes, ...]]:
        made = (b"bitrix/backup/", b"bitrix/.settings.php")
        return {e.path: (e.content, *fields(e.header)) for e in found if not e.path.startswith(made)}

    def fields(header: bytes) -> list[bytes]:
        """Name, mode, size, time and kind of each header, with a long name's block as it is."""
        blocks = [header[at : at + 512] for at in range(0, len(header), 512)]
        return [b"".join((b[:108], b[124:148], b[156:])) if i != 1 else b for i, b in enumerate(blocks)]

    assert comparable(ours) == comparable(theirs)
    assert result.files + result.directories == len(ours)
    assert not any(e.path.startswith(b"bitrix/backup/") for e in ours)


def test_statements_are_cut_where_the_vendor_cuts_them() -> None:
    """The rows of every INSERT of the vendor's dump, joined again by our rules, make the vendor's statements."""
    sql = next(e for e in entries(stream(volumes(FIXTURES / "plain"))) if e.path.endswith(b"VtB.sql"))
    statements = re.findall(rb"^INSERT INTO `(\w+)` VALUES\n((?:\(.*\)[,;]\n)+)", sql.content, re.MULTILINE)
    assert [name for name, _ in statements] == [b"b_blob", b"b_crm_lead", b"b_legacy", b"b_option"]
    for name, rows in statements:
        made = list(dump.insert_statements(name.decode(), (row[:-1] for row in rows.splitlines())))
        assert b"".join(statement for statement, _ in made) in sql.content
        assert len(made) == 1


def test_a_batch_is_closed_by_the_row_that_exceeds_it() -> None:
    made = list(dump.insert_statements("t", [b"(1)"] * 7, batch=8))
    assert made == [
        (b"INSERT INTO `t` VALUES\n(1),\n(1),\n(1);\n", 3),
        (b"INSERT INTO `t` VALUES\n(1),\n(1),\n(1);\n", 3),
        (b"INSERT INTO `t` VALUES\n(1);\n", 1),
    ]


def test_definitions_have_the_vendors_lines() -> None:
    sql = next(e for e in entries(stream(volumes(FIXTURES / "plain"))) if e.path.endswith(b"VtB.sql")).content
    table = re.search(rb"^CREATE TABLE `b_option` .*?(?=;\n)", sql, re.MULTILINE | re.DOTALL)
    view = re.search(rb"^CREATE ALGORITHM.*?(?=;\n)", sql, re.MULTILINE)
    assert table
    assert view
    assert b"".join(dump.definition("b_option", table[0].decode())) in sql
    assert b"".join(dump.definition("v_open", view[0].decode(), view=True)) in sql


def test_a_part_of_the_dump_starts_at_a_statement(tmp_path: Path) -> None:
    out = dump.PartWriter(tmp_path / "n.sql", limit=10)
    for statement in (b"12345", b"6789", b"0", b"abcdefghijk", b"l"):
        out.write(statement)
    out.close()
    assert [(part.name, part.read_bytes()) for part in out.dump.parts] == [
        ("n.sql", b"123456789"),
        ("n.sql.1", b"0"),
        ("n.sql.2", b"abcdefghijk"),
        ("n.sql.3", b"l"),
    ]


def test_a_path_over_512_bytes_is_refused() -> None:
    with pytest.raises(BackupWriterError, match="Path is too long"):
        tar.entry_header(b"x" * 513, mode=0o644, uid=0, gid=0, size=0, mtime=0, directory=False)


def test_a_file_over_the_size_field_is_refused() -> None:
    with pytest.raises(BackupWriterError, match="12 octal digits"):
        tar.entry_header(b"x", mode=0o644, uid=0, gid=0, size=8**12, mtime=0, directory=False)
