"""Command line: `python3 -m backup_writer --root /srv/portal/www --database portal --output DIR`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .archive import Options, make_name, write_backup
from .encryption import CIPHERS
from .errors import BackupWriterError
from .volumes import DEFAULT_HIT, DEFAULT_LIMIT

if TYPE_CHECKING:
    import pymysql


def main(arguments: list[str] | None = None) -> int:
    """Make one backup and print what it is as JSON; 0 done, 1 failed, 2 bad usage."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()
    try:
        sites = dict(_site(text) for text in options.site)
        connection = _connect(options) if options.database else None
        result = write_backup(
            options.root,
            options.output,
            options.name or make_name(options.server_name),
            connection=connection,
            sites=sites,
            options=Options(
                volume_size=options.volume_size,
                compress=not options.no_compress,
                level=options.level,
                hit=options.hit_size,
                password=_first_line(options.password_file) if options.password_file else None,
                cipher=options.cipher,
                upload=options.upload_dir,
                skip_rows=tuple(options.skip_rows),
            ),
        )
    except (BackupWriterError, OSError) as error:
        print(f"backup_writer: {error}", file=sys.stderr)
        return 1
    print(json.dumps({**result.as_dict(), "seconds": round(time.monotonic() - started, 3)}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("backup_writer", description="Write a backup in the vendor's archive format.")
    parser.add_argument("--root", type=Path, required=True, help="document root")
    parser.add_argument("--output", type=Path, required=True, help="directory for the volumes")
    parser.add_argument("--name", default="", help="name without extension (default: made as the vendor makes it)")
    parser.add_argument("--server-name", default="", help="starts a name that is made")
    parser.add_argument("--database", default="", help="database to dump (default: none)")
    parser.add_argument("--socket", default="/run/mysqld/mysqld.sock", help="MariaDB's socket")
    parser.add_argument("--user", default="root", help="database user")
    parser.add_argument("--database-password-file", type=Path, help="file with the database user's password")
    parser.add_argument("--skip-rows", action="append", default=[], metavar="PATTERN", help="tables to create empty")
    parser.add_argument("--password-file", type=Path, help="file with the password to encrypt the archive with")
    parser.add_argument("--cipher", choices=CIPHERS, default=CIPHERS[0])
    parser.add_argument("--volume-size", type=int, default=DEFAULT_LIMIT, help="uncompressed bytes in a volume")
    parser.add_argument("--hit-size", type=int, default=DEFAULT_HIT, help="uncompressed bytes in a gzip member")
    parser.add_argument("--no-compress", action="store_true", help="plain .tar or .enc")
    parser.add_argument("--level", type=int, choices=range(1, 10), default=6, metavar="1-9", help="gzip level")
    parser.add_argument("--upload-dir", default="upload")
    parser.add_argument("--site", action="append", default=[], metavar="ID=ROOT", help="a further site's document root")
    return parser


def _site(text: str) -> tuple[str, Path]:
    name, separator, root = text.partition("=")
    if not (name and separator and root):
        raise BackupWriterError(f"--site {text}: give it as ID=ROOT")
    return name, Path(root)


def _connect(options: argparse.Namespace) -> pymysql.Connection[Any]:
    try:
        import pymysql
    except ImportError:
        raise BackupWriterError("PyMySQL is missing: apt-get install python3-pymysql") from None
    try:
        return pymysql.connect(
            unix_socket=options.socket,
            user=options.user,
            password=_first_line(options.database_password_file).decode() if options.database_password_file else "",
            database=options.database,
            charset="utf8mb4",
            # Backslash escapes and SHOW CREATE's form depend on the mode.
            sql_mode="",
        )
    except pymysql.MySQLError as error:
        raise BackupWriterError(f"Database {options.database} at {options.socket}: {error}") from error


def _first_line(path: Path) -> bytes:
    return path.read_bytes().split(b"\n", 1)[0].rstrip(b"\r")


if __name__ == "__main__":
    sys.exit(main())
