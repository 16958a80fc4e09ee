"""A whole backup: the dump first, then the document root, in volumes."""

from __future__ import annotations

import os
import secrets
import string
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import dump, encryption, tar, tree
from .errors import BackupWriterError
from .masking import MASKED
from .volumes import DEFAULT_HIT, DEFAULT_LIMIT, VolumeWriter

if TYPE_CHECKING:
    import pymysql

_READ = 1 << 20
_CONFIG = Path("bitrix/.config.php")
_NAME_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Options:
    """How an archive is made; sizes in bytes."""

    volume_size: int = DEFAULT_LIMIT
    compress: bool = True
    level: int = 6
    hit: int = DEFAULT_HIT
    password: bytes | None = None
    cipher: str = "aes-256-ecb"
    upload: str = "upload"
    skip_rows: tuple[str, ...] = ()
    part_limit: int = dump.PART_LIMIT


@dataclass
class Result:
    """What was written. `size` is the sum of the volumes' uncompressed bytes."""

    first: str
    volumes: int = 0
    size: int = 0
    files: int = 0
    directories: int = 0
    tables: int = 0
    rows: int = 0
    sql_bytes: int = 0

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def make_name(server: str = "", now: time.struct_time | None = None) -> str:
    """A name as the vendor's writer makes it: up to 20 characters of the server's, the time, 16 random characters."""
    prefix = f"{server}_"[:20] if server else ""
    tail = "".join(secrets.choice(_NAME_ALPHABET) for _ in range(16))
    return f"{prefix}{time.strftime('%Y%m%d_%H%M%S', now or time.localtime())}_full_{tail}"


def extension(*, compress: bool, encrypted: bool) -> str:
    """The extension of the first volume."""
    return (".enc" if encrypted else ".tar") + (".gz" if compress else "")


def write_backup(
    root: Path,
    output: Path,
    name: str,
    *,
    connection: pymysql.Connection[Any] | None = None,
    sites: dict[str, Path] | None = None,
    options: Options | None = None,
) -> Result:
    """Back up the document root, and the connection's database where one is given, to volumes in `output`.

    The dump lies in `output` while it is being archived, and is removed afterwards.
    """
    options = options or Options()
    if not root.is_dir():
        raise BackupWriterError(f"No document root at {root}: give its directory with --root")
    output.mkdir(parents=True, exist_ok=True)
    first = output / (name + extension(compress=options.compress, encrypted=options.password is not None))
    if first.exists():
        raise BackupWriterError(f"{first} exists: choose another --name or another --output")
    result = Result(str(first))
    dumped: list[Path] = []
    try:
        if connection is not None:
            dumped = _dump(connection, output, name, options, result)
        with volume_writer(first, options) as writer:
            _write_all(writer, _plan(root, sites or {}, dumped, options), result)
    finally:
        for path in dumped:
            path.unlink(missing_ok=True)
    result.volumes, result.size = writer.volumes, writer.size
    return result


def volume_writer(first: Path, options: Options) -> VolumeWriter:
    """Volumes that start at `first`, with the service block already in them when they are encrypted."""
    encrypt = encryption.encryptor(options.password, options.cipher) if options.password is not None else None
    return VolumeWriter(
        first,
        limit=options.volume_size,
        compress=options.compress,
        level=options.level,
        hit=options.hit,
        encrypt=encrypt,
        preamble=encryption.service_block(encrypt) if encrypt is not None else b"",
    )


def write_entry(writer: VolumeWriter, entry: tree.Entry) -> None:
    """Append one file or directory, masked where it holds credentials."""
    status = entry.status
    mask = MASKED.get(entry.path)
    content = mask(Path(os.fsdecode(entry.source)).read_bytes()) if mask is not None else None
    size = 0 if entry.directory else len(content) if content is not None else status.st_size
    writer.write(
        tar.entry_header(
            entry.path,
            mode=status.st_mode,
            uid=status.st_uid,
            gid=status.st_gid,
            size=size,
            mtime=int(status.st_mtime),
            directory=entry.directory,
        )
    )
    if not size:
        return
    if content is not None:
        writer.write(content)
    else:
        _copy(writer, entry.source, size)
    writer.write(tar.padding(size))


def _dump(connection: pymysql.Connection[Any], output: Path, name: str, options: Options, result: Result) -> list[Path]:
    connect = output / f"{name}_after_connect.sql"
    connect.write_bytes(dump.after_connect(connection))
    written = dump.write_dump(
        connection, output / f"{name}.sql", skip_rows=options.skip_rows, part_limit=options.part_limit
    )
    result.tables, result.rows, result.sql_bytes = written.tables, written.rows, written.size
    return [connect, *written.parts]


def _plan(root: Path, sites: dict[str, Path], dumped: Sequence[Path], options: Options) -> Iterator[tree.Entry]:
    config = root / _CONFIG
    if config.is_file():
        yield tree.Entry(os.fsencode(_CONFIG), os.fsencode(config), config.stat())
    for path in dumped:
        yield tree.Entry(b"bitrix/backup/" + os.fsencode(path.name), os.fsencode(path), path.stat())
    for entry in tree.entries(root, upload=options.upload):
        if entry.path != os.fsencode(_CONFIG):
            yield entry
    for site, directory in sites.items():
        yield from tree.site_entries(directory, site)


def _write_all(writer: VolumeWriter, plan: Iterable[tree.Entry], result: Result) -> None:
    for entry in plan:
        write_entry(writer, entry)
        if entry.directory:
            result.directories += 1
        else:
            result.files += 1


def _copy(writer: VolumeWriter, source: bytes, size: int) -> None:
    """Exactly `size` bytes: a file that grew meanwhile is cut, one that shrank is filled up, as its header says so."""
    left = size
    with open(source, "rb", buffering=0) as file:  # noqa: PTH123 - paths are bytes here
        while left:
            data = file.read(min(_READ, left)) or bytes(min(_READ, left))
            writer.write(data)
            left -= len(data)
