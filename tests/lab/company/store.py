"""Where the company goes: the database, in large inserts, and files under the upload directory."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pymysql
import pymysql.cursors

CONTENT_TYPES = {".pdf": "application/pdf", ".jpg": "image/jpeg"}


class LongInserts(pymysql.cursors.Cursor):
    """A cursor whose inserts of many rows go out in statements of up to 4 MiB."""

    max_stmt_length = 4 << 20


class Store:
    """One connection to the portal's database and its document root."""

    def __init__(self, database: Mapping[str, str], docroot: Path, bucket: Path | None) -> None:
        host, _, tail = database["host"].partition(":")
        socket = (
            tail if tail.startswith("/") else ("/run/mysqld/mysqld.sock" if host == "localhost" and not tail else None)
        )
        self.name = database["name"]
        self.connection = pymysql.connect(
            host=host,
            port=int(tail) if tail.isdigit() else 3306,
            unix_socket=socket,
            user=database["login"],
            password=database["password"],
            database=self.name,
            charset="utf8mb4",
            autocommit=False,
            max_allowed_packet=16 << 20,
        )
        self.docroot = docroot
        self.bucket = bucket
        self.execute("SET SESSION sql_mode='', foreign_key_checks=0, unique_checks=0")

    def execute(self, sql: str, arguments: tuple[Any, ...] | None = None) -> None:
        """Run one statement."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, arguments)

    def value(self, sql: str) -> Any:
        """Return the first column of the first row, or None."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
        return row[0] if row else None

    def insert(self, table: str, rows: Iterable[Mapping[str, Any]], verb: str = "INSERT") -> int:
        """Insert rows that all have the keys of the first one; returns how many."""
        listed = list(rows)
        if not listed:
            return 0
        columns = list(listed[0])
        sql = f"{verb} INTO {table} ({','.join(f'`{c}`' for c in columns)}) VALUES ({','.join(['%s'] * len(columns))})"
        with self.connection.cursor(LongInserts) as cursor:
            cursor.executemany(sql, [tuple(row[c] for c in columns) for row in listed])
        return len(listed)

    def next_id(self, table: str, column: str = "ID") -> int:
        """Return the first free key of a table."""
        return int(self.value(f"SELECT IFNULL(MAX({column}), 0) + 1 FROM {table}"))

    def file(self, number: int, module: str, name: str, content: bytes, *, cloud: bool = False) -> dict[str, Any]:
        """Write a file's body and return its row of b_file; with ``cloud`` the body goes into the bucket."""
        digest = hashlib.md5(f"{number}/{name}".encode(), usedforsecurity=False).hexdigest()
        folder, stored = f"{module}/{digest[:3]}", f"{digest}{Path(name).suffix}"
        base = self.bucket if cloud and self.bucket is not None else self.docroot / "upload"
        (base / folder).mkdir(parents=True, exist_ok=True)
        (base / folder / stored).write_bytes(content)
        return {
            "ID": number,
            "MODULE_ID": module,
            "FILE_SIZE": len(content),
            "CONTENT_TYPE": CONTENT_TYPES.get(Path(name).suffix, "text/plain"),
            "SUBDIR": folder,
            "FILE_NAME": stored,
            "ORIGINAL_NAME": name,
            "DESCRIPTION": "",
            "HANDLER_ID": "1" if cloud and self.bucket is not None else None,
            "EXTERNAL_ID": digest,
        }


def php(value: Any) -> str:
    """Serialise as PHP does: string lengths count bytes."""
    match value:
        case None:
            return "N;"
        case bool():
            return f"b:{int(value)};"
        case int():
            return f"i:{value};"
        case float():
            return f"d:{value};"
        case str():
            return f's:{len(value.encode())}:"{value}";'
        case list() | tuple():
            return php(dict(enumerate(value)))
        case dict():
            return f"a:{len(value)}:{{{''.join(php(k) + php(v) for k, v in value.items())}}}"
    raise TypeError(f"no PHP form for {type(value).__name__}")


def gz(value: Any) -> bytes:
    """Serialise and compress, as workflow templates are stored."""
    return zlib.compress(php(value).encode(), 9)


def ascii_name(text: str) -> str:
    """Return a text as it may stand in an address: lower case ASCII."""
    plain = text.lower().translate(str.maketrans("áéíóúüñ", "aeiouun"))
    return re.sub(r"[^a-z0-9.]+", "-", plain)
