"""The portal's database, reached with the credentials of its own ``.settings.php``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pymysql
import pymysql.cursors

from ..errors import EncajaError
from .tls_faults import certificate_fault

SOCKETS: Final = ("/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock", "/tmp/mysql.sock")  # noqa: S108
MASKED: Final = "******"
"""What the writer of a backup puts in the place of credentials. Source: portal.md 1.2."""


def address(host: str) -> dict[str, Any]:
    """Where PHP's mysqli connects for ``host``, ``host:port``, ``localhost`` (the socket) or ``localhost:/socket``."""
    name, _, rest = host.removeprefix("p:").partition(":")
    if rest.startswith("/"):
        return {"unix_socket": rest}
    if name in {"", "localhost"} and not rest:
        return {"unix_socket": next((path for path in SOCKETS if Path(path).exists()), SOCKETS[0])}
    return {"host": name, "port": int(rest) if rest.isdigit() else 3306}


def quoted(name: str) -> str:
    """A table or column name in back quotes."""
    return "`" + name.replace("`", "``") + "`"


class Database:
    """One connection; every method names what it returns, and errors say which statement failed."""

    def __init__(self, connection: pymysql.connections.Connection[Any], name: str) -> None:
        self.connection = connection
        self.name = name

    @classmethod
    def connect(cls, settings: Mapping[Any, Any], where: str) -> Database:
        """Connect as the portal does.

        Args:
            settings: the parsed ``.settings.php``.
            where: its path, for messages.
        """
        try:
            default = settings["connections"]["value"]["default"]
            arguments = {"user": default["login"], "password": default["password"], "database": default["database"]}
            target = address(str(default.get("host", "localhost")))
            # What role portal writes for a database on another host, which refuses a connection without TLS.
            if authority := default.get("ssl_ca"):
                target |= {"ssl_ca": str(authority), "ssl_verify_cert": True, "ssl_verify_identity": True}
        except (KeyError, TypeError) as fault:
            raise EncajaError("no default database connection", where, "restore the section 'connections'") from fault
        if arguments["password"] == MASKED:
            raise EncajaError("the credentials are masked", where, "give the portal its database first")
        try:
            connection = pymysql.connect(
                **arguments, **target, charset="utf8mb4", autocommit=True, connect_timeout=10,
                cursorclass=pymysql.cursors.DictCursor,
            )  # fmt: skip
        except pymysql.MySQLError as fault:
            if found := certificate_fault(fault, str(target.get("host", "localhost"))):
                raise EncajaError(f"no connection to the database, {found.what}", found.where, found.hint) from fault
            raise EncajaError(
                f"no connection to the database: {_text(fault)}", where, "check server and credentials"
            ) from fault
        return cls(connection, str(default["database"]))

    def execute(self, sql: str, *arguments: Any) -> int:
        """Run a statement; returns the number of rows that it changed."""
        try:
            with self.connection.cursor() as cursor:
                return int(cursor.execute(sql, arguments or None))
        except pymysql.MySQLError as fault:
            raise EncajaError(
                f"{_text(fault)} in: {sql[:200]}", f"database {self.name}", "see the server's log"
            ) from fault

    def rows(self, sql: str, *arguments: Any) -> list[dict[str, Any]]:
        """All rows of a query."""
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(sql, arguments or None)
                return list(cursor.fetchall())
        except pymysql.MySQLError as fault:
            raise EncajaError(
                f"{_text(fault)} in: {sql[:200]}", f"database {self.name}", "see the server's log"
            ) from fault

    def each(self, sql: str, *arguments: Any) -> Iterator[dict[str, Any]]:
        """The rows of a query one by one; nothing else can be asked before the last one."""
        try:
            with self.connection.cursor(pymysql.cursors.SSDictCursor) as cursor:
                cursor.execute(sql, arguments or None)
                yield from cursor
        except pymysql.MySQLError as fault:
            raise EncajaError(
                f"{_text(fault)} in: {sql[:200]}", f"database {self.name}", "see the server's log"
            ) from fault

    def value(self, sql: str, *arguments: Any) -> Any:
        """The first column of the first row of a query, or None."""
        found = self.rows(sql, *arguments)
        return next(iter(found[0].values())) if found else None

    def count(self, sql: str, *arguments: Any) -> int:
        """The number that a ``SELECT COUNT(…)`` or ``SELECT SUM(…)`` gives."""
        return int(self.value(sql, *arguments) or 0)

    def columns(self) -> dict[str, dict[str, str]]:
        """Base tables of the database with their columns and the data type of each."""
        # Two queries: a join of these two views opens every table again for every column, seconds on a whole portal.
        tables = self.rows(
            "SELECT TABLE_NAME AS t FROM information_schema.TABLES"
            " WHERE TABLE_SCHEMA = %s AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME",
            self.name,
        )
        found: dict[str, dict[str, str]] = {row["t"]: {} for row in tables}
        for row in self.rows(
            "SELECT TABLE_NAME AS t, COLUMN_NAME AS c, DATA_TYPE AS d FROM information_schema.COLUMNS"
            " WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME, ORDINAL_POSITION",
            self.name,
        ):
            if row["t"] in found:
                found[row["t"]][row["c"]] = row["d"].lower()
        return found

    def primary_key(self, table: str) -> list[str]:
        """Columns of a table's primary key, in order; empty when it has none."""
        found = self.rows(f"SHOW KEYS FROM {quoted(table)} WHERE Key_name = 'PRIMARY'")
        return [row["Column_name"] for row in sorted(found, key=lambda row: int(row["Seq_in_index"]))]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside take effect together or, after an exception, not at all."""
        self.connection.begin()
        try:
            yield
        except BaseException:
            self.connection.rollback()
            raise
        self.connection.commit()

    def close(self) -> None:
        """End the connection."""
        self.connection.close()


def _text(fault: pymysql.MySQLError) -> str:
    text = str(fault.args[1]) if len(fault.args) > 1 else str(fault)
    return re.sub(r"\s+", " ", text).strip()
