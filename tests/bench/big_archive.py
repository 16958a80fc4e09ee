"""Makes archives of any size in the vendor's format, from made-up rows and files."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.backup_writer.tar import entry_header, padding
from lab.backup_writer.volumes import VolumeWriter

_TABLES = 8
_ROW_BYTES = 230
_WORDS = ("deal", "lead", "contact", "company", "call", "meeting", "contract", "flat", "plan", "price", "task", "chat")
_CREATE = """-- -----------------------------------
-- Dumping table {name}
-- -----------------------------------
DROP TABLE IF EXISTS `{name}`;
CREATE TABLE `{name}` (
  `ID` int(11) NOT NULL AUTO_INCREMENT,
  `USER_ID` int(11) DEFAULT NULL,
  `DATE_CREATE` datetime DEFAULT NULL,
  `TITLE` varchar(255) DEFAULT NULL,
  `STATUS` varchar(30) DEFAULT NULL,
  `AMOUNT` decimal(18,2) DEFAULT NULL,
  `EXTERNAL_ID` varchar(50) DEFAULT NULL,
  `BODY` text DEFAULT NULL,
  PRIMARY KEY (`ID`),
  KEY `ix_user` (`USER_ID`),
  KEY `ix_date` (`DATE_CREATE`),
  KEY `ix_title` (`TITLE`(100)),
  KEY `ix_status` (`STATUS`,`USER_ID`),
  KEY `ix_external` (`EXTERNAL_ID`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci;

"""


@dataclass(frozen=True)
class BigArchive:
    """What was made: first volume, the dump beside it, and the numbers of files and rows."""

    first: Path
    dump: Path
    volumes: int
    files: int
    rows: int
    unpacked: int


def _row(number: int, phrases: list[str], chance: random.Random) -> str:
    date = f"20{chance.randrange(10, 27)}-0{chance.randrange(1, 10)}-1{number % 10} 10:00:{number % 50 + 10}"
    title, body = phrases[chance.randrange(2000)][:60], phrases[chance.randrange(2000)]
    return (
        f"({number}, {chance.randrange(900)}, '{date}', '{title} {number}', 'STATUS_{number % 17}', "
        f"{number * 7 % 100000}.50, 'ext-{chance.getrandbits(48):x}', '{body}')"
    )


def dump_text(size: int, chance: random.Random) -> Iterator[bytes]:
    """A dump of about so many bytes, in the vendor's form."""
    yield b"-- Started: 2026-10-01 21:00:00\nSET NAMES 'utf8mb4';\n"
    phrases = [" ".join(chance.choices(_WORDS, k=14)) for _ in range(2000)]
    per_table = size // _TABLES // _ROW_BYTES
    for table in range(_TABLES):
        name = f"b_bench_{table}"
        yield _CREATE.format(name=name).encode()
        number = 0
        while number < per_table:
            batch = min(4000, per_table - number)
            rows = ",\n".join(_row(number + i + 1, phrases, chance) for i in range(batch))
            yield f"INSERT INTO `{name}` VALUES\n{rows};\n".encode()
            number += batch
        yield b"\n"
    yield b"-- Finished: 2026-10-01 21:10:00"


def make(
    folder: Path, *, unpacked: int, sql: int, files: int, volumes: int = 10, seed: int = 1, tables: bytes = b""
) -> BigArchive:
    """Make an archive.

    Args:
        folder: for the volumes and the dump.
        unpacked: bytes of the whole tar.
        sql: bytes of the dump in it.
        files: number of files.
        volumes: number of volumes.
        seed: of the made-up content.
        tables: statements that make further tables, which stay empty.
    """
    chance = random.Random(seed)
    folder.mkdir(parents=True)
    dump = folder.parent / f"{folder.name}.sql"
    with dump.open("wb") as out:
        out.write(tables)
        for text in dump_text(sql, chance):
            out.write(text)
    name = "20261001_210000_full_benchmark0000001"
    mean = (unpacked - dump.stat().st_size) // files
    pool = chance.randbytes(4 << 20) + (" ".join(chance.choices(_WORDS, k=400_000))).encode()
    limit = ((unpacked + files * 1024) // volumes // 512 + 1) * 512  # a file costs a header and its padding
    first = folder / f"{name}.tar.gz"

    def entry(path: str, size: int) -> bytes:
        return entry_header(path.encode(), mode=0o644, uid=0, gid=0, size=size, mtime=0, directory=False)

    with VolumeWriter(first, limit=limit, level=4) as writer:
        after = b"SET NAMES 'utf8mb4';\nALTER DATABASE `<DATABASE>` COLLATE utf8mb4_unicode_ci;\n"
        writer.write(entry(f"bitrix/backup/{name}_after_connect.sql", len(after)) + after + padding(len(after)))
        size = dump.stat().st_size
        writer.write(entry(f"bitrix/backup/{name}.sql", size))
        with dump.open("rb") as source:
            while piece := source.read(1 << 20):
                writer.write(piece)
        writer.write(padding(size))
        settings = b"<?php return array('connections' => array('value' => array('default' => array())));"
        writer.write(entry("bitrix/.settings.php", len(settings)) + settings + padding(len(settings)))
        for number in range(files):
            size = chance.randrange(1, 2 * mean)
            start = chance.randrange(len(pool) - size) if size < len(pool) else 0
            data = pool[start : start + size]
            path = f"upload/{number % 97:02d}/{number % 89:02d}/file{number}.bin"
            writer.write(entry(path, len(data)) + data + padding(len(data)))
    rows = _TABLES * (sql // _TABLES // _ROW_BYTES)
    return BigArchive(first, dump, writer.volumes, files + 1, rows, unpacked)
