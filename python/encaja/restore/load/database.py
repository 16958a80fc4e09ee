"""The target database: connections, rights, the server's settings for the load."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import pymysql
from pymysql.constants import ER

from encaja.portal import silence
from encaja.restore.errors import BackupError, BackupUsageError, TargetNotReady
from encaja.restore.load.ddl import Collations
from encaja.status import waiting_for

STATE_TABLE = "encaja_restore"
PROBE = "encaja_probe"
_MAKE_STATE = (
    f"CREATE TABLE IF NOT EXISTS `{STATE_TABLE}` (name VARBINARY(256) PRIMARY KEY, stage VARCHAR(8) NOT NULL, "
    "frames BIGINT NOT NULL, loaded BIGINT NOT NULL, note BLOB NOT NULL) ENGINE=InnoDB"
)
LARGEST_PACKET = 1 << 30
_NAME = re.compile(r"[0-9A-Za-z_]{1,64}")
_LOST = frozenset({2002, 2003, 2006, 2013, 2014, 2055, ER.SERVER_SHUTDOWN, 1927, 1040, 0})
_REFUSED = frozenset({ER.DBACCESS_DENIED_ERROR, ER.ACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR, 1227, 1370, 1698})

LOAD_SETTINGS: dict[str, int] = {"max_allowed_packet": LARGEST_PACKET, "innodb_flush_log_at_trx_commit": 2}
"""Global settings for the load. Rows of the dump can exceed 16 MB (vendor: main 26.250, ``MakeDump``). The log is
written at every commit but flushed once a second: a killed server loses nothing, a power cut one second, which is
loaded again."""


@dataclass(frozen=True)
class Server:
    """How to reach the database server and the new database.

    Attributes:
        name: the new database.
        user: its user; needs all rights on it.
        password: of the user.
        host: of the server.
        port: of the server.
        socket: path of its local socket, instead of host and port.
        ca: file of the authorities that vouch for the server; with it the connection is encrypted and its name checked.
        admin_user: may set global variables; None when there is none (a managed server).
        admin_password: of the admin.
        admin_socket: local socket for the admin (root without a password on Debian).
    """

    name: str
    user: str
    password: str = ""
    host: str = "localhost"
    port: int = 3306
    socket: str | None = None
    ca: str | None = None
    admin_user: str | None = None
    admin_password: str = ""
    admin_socket: str | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BackupUsageError(
                f"{self.name!r} is no name for a database", "database.name", "use letters, digits and _"
            )

    @property
    def place(self) -> str:
        """The server and database for messages."""
        return f"{self.socket or f'{self.host}:{self.port}'}/{self.name}"


Answer = TypeVar("Answer")
Connection: TypeAlias = "pymysql.connections.Connection[Any]"


def _address(server: Server, socket: str | None) -> dict[str, Any]:
    if socket:
        return {"unix_socket": socket}
    tls = {"ssl_ca": server.ca, "ssl_verify_cert": True, "ssl_verify_identity": True} if server.ca else {}
    return {"host": server.host, "port": server.port, **tls}


def connect(
    server: Server, *, database: bool = True, charset: str = "utf8mb4", collation: str | None = None
) -> Connection:
    """Open a connection for loading: no strict mode, no foreign key checks, as the vendor's restore sets them."""
    connection = pymysql.connect(
        user=server.user,
        password=server.password,
        database=server.name if database else None,
        charset="utf8mb4",
        connect_timeout=10,
        autocommit=False,
        **_address(server, server.socket),
    )
    names = f"SET NAMES '{charset}'" + (f" COLLATE '{collation}'" if collation else "")
    for statement in (
        names,
        "SET SESSION sql_mode=''",
        "SET SESSION foreign_key_checks=0",
        "SET SESSION innodb_strict_mode=0",
    ):
        connection.query(statement)
    return connection


def lost(error: Exception) -> bool:
    """Whether an error means that the connection is gone and may come again."""
    return isinstance(error, (pymysql.err.OperationalError, pymysql.err.InterfaceError)) and bool(
        error.args and error.args[0] in _LOST
    )


def query(connection: Connection, sql: str | bytes, *values: object) -> list[tuple[Any, ...]]:
    """Run one statement and fetch its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall())


def explain(error: Exception, server: Server) -> BackupError:
    """Explain an error of the server."""
    code = error.args[0] if error.args else 0
    text = str(error.args[1] if len(error.args) > 1 else error)
    if code in _REFUSED:
        return TargetNotReady(
            f"the database user lacks rights: {text}",
            server.place,
            f"GRANT ALL ON `{server.name}`.* TO '{server.user}'",
        )
    if lost(error):
        return TargetNotReady(f"no connection: {text}", server.place, "start the server and rerun the command")
    if code in (1114, 1021, 3, 28):
        return TargetNotReady(f"the server's disk is full: {text}", server.place, "free space and rerun the command")
    return BackupError(f"the database refuses a statement: {code} {text}", server.place, "fix it and rerun the command")


def patiently(
    action: Callable[[], Answer], server: Server, seconds: float, tell: Callable[[str], None], check: Callable[[], None]
) -> Answer:
    """Do something that may be repeated, and repeat it when a server that went away is back.

    Args:
        action: what is done.
        server: the server that it needs.
        seconds: how long to wait for a server that is away.
        tell: called with what is waited for, and with an empty text when the wait is over.
        check: called while waiting; what it raises ends the wait.

    Raises:
        BackupError: the server stayed away, or refuses.
    """
    since, began, pause, is_away = time.time(), time.monotonic(), 0.2, False
    while True:
        try:
            answer = action()
        except (BackupError, pymysql.err.Error) as error:
            cause = error.__cause__ if isinstance(error, BackupError) else error
            if not isinstance(cause, pymysql.err.Error):
                raise
            explained = error if isinstance(error, BackupError) else explain(error, server)
            if not lost(cause) or time.monotonic() - began > seconds:
                raise explained from cause
            reason = str(cause.args[1] if len(cause.args) > 1 else cause)
            tell(waiting_for(f"the database server {server.place}", reason, since, since + seconds))
            is_away = True
            check()
            time.sleep(pause)
            pause = min(5.0, pause * 1.5)
        else:
            if is_away:
                tell("")
            return answer


def force_to_disk(server: Server) -> None:
    """Force everything committed so far to the disk, whatever the server's own setting is.

    With ``innodb_flush_log_at_trx_commit`` other than 1 the server forces its log to the disk every
    ``innodb_flush_log_at_timeout`` seconds; set to 1, the next commit forces all of it.

    Raises:
        BackupError: the server is away, or refuses.
    """
    setting = "innodb_flush_log_at_trx_commit"
    try:
        connection = connect(server)
        try:
            (before, seconds), *_ = query(
                connection, f"SELECT @@GLOBAL.{setting}, @@GLOBAL.innodb_flush_log_at_timeout"
            )
            if int(before) != 1 and not apply_settings(server, {setting: 1}):
                time.sleep(int(seconds) + 1)
                return
            try:
                connection.query(_MAKE_STATE)
                query(
                    connection,
                    f"INSERT INTO `{STATE_TABLE}` VALUES ('.', 'disk', 1, 0, '') "  # noqa: S608
                    "ON DUPLICATE KEY UPDATE frames = frames + 1",
                )
                connection.commit()
            finally:
                if int(before) != 1:
                    apply_settings(server, {setting: int(before)})
        finally:
            connection.close()
    except pymysql.err.Error as error:
        raise explain(error, server) from error


def count_tables(server: Server) -> tuple[int, int]:
    """How many tables the database has, views and the restore's own apart; and how many of them the kit holds data in.

    Raises:
        TargetNotReady: no connection.
    """
    try:
        connection = connect(server, database=False)
        try:
            rows = query(
                connection,
                "SELECT COUNT(*), SUM(TABLE_NAME LIKE %s) FROM information_schema.TABLES "
                "WHERE TABLE_SCHEMA = %s AND TABLE_TYPE = 'BASE TABLE' AND TABLE_NAME <> %s",
                f"{silence.TABLE}%",
                server.name,
                STATE_TABLE,
            )
        finally:
            connection.close()
    except pymysql.err.Error as error:
        raise explain(error, server) from error
    return int(rows[0][0]), int(rows[0][1] or 0)


def known_collations(connection: Connection) -> Collations:
    """Ask the server which collations it has."""
    rows = query(
        connection, "SELECT LOWER(COLLATION_NAME) FROM information_schema.COLLATIONS WHERE COLLATION_NAME IS NOT NULL"
    )
    version = str(query(connection, "SELECT VERSION()")[0][0])
    return Collations(frozenset(str(row[0]) for row in rows), "mariadb" in version.lower())


def look(server: Server) -> Path | None:
    """Check whether the new database can be created, without creating it.

    Returns:
        The folder of its files when they are on this machine.

    Raises:
        TargetNotReady: no connection, or the database holds other tables.
    """
    try:
        connection = connect(server, database=False)
        try:
            rows = query(
                connection, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s", server.name
            )
            _require_empty({str(row[0]) for row in rows}, server)
            folder = Path(str(query(connection, "SELECT @@datadir")[0][0]))
        finally:
            connection.close()
    except pymysql.err.Error as error:
        raise explain(error, server) from error
    local = server.socket or server.host in ("localhost", "127.0.0.1", "::1")
    return folder if local and folder.is_dir() else None


def _require_empty(tables: set[str], server: Server) -> None:
    theirs = tables - {PROBE, f"{PROBE}_view"}  # a run killed while it tried its rights may have left these
    if STATE_TABLE not in tables and theirs:
        raise TargetNotReady(
            f"the database is not empty ({len(theirs)} tables)", server.place, "name a new database or drop this one"
        )


def prepare_database(server: Server, run: str) -> Collations:
    """Create the new database, or recognise our own half-loaded one; try the rights that the load needs.

    Args:
        server: how to reach it.
        run: identity of this restore.

    Returns:
        The collations that the server knows.

    Raises:
        TargetNotReady: it holds other tables, or rights are missing.
    """
    try:
        connection = connect(server, database=False)
        try:
            known = "SELECT 1 FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s"
            made = not query(connection, known, server.name)
            connection.query(
                f"CREATE DATABASE IF NOT EXISTS `{server.name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
            )
            connection.select_db(server.name)
            tables = {str(row[0]) for row in query(connection, "SHOW TABLES")}
            _require_empty(tables, server)
            if STATE_TABLE not in tables:
                try:
                    _try_rights(connection)
                except pymysql.err.Error:
                    if made:
                        with suppress(pymysql.err.Error):
                            connection.query(f"DROP DATABASE `{server.name}`")
                    raise
                connection.query(_MAKE_STATE)
            owner = query(connection, f"SELECT note FROM `{STATE_TABLE}` WHERE name = ''")  # noqa: S608
            if not owner:
                query(connection, f"INSERT INTO `{STATE_TABLE}` VALUES ('', 'run', 0, 0, %s)", run)  # noqa: S608
                connection.commit()
            elif owner[0][0].decode() != run:
                raise TargetNotReady(
                    "another restore has started in this database", server.place, "name a new database or drop this one"
                )
            return known_collations(connection)
        finally:
            connection.close()
    except pymysql.err.Error as error:
        raise explain(error, server) from error


def _try_rights(connection: Connection) -> None:
    probe = PROBE
    for statement in (
        f"DROP VIEW IF EXISTS `{probe}_view`",
        f"DROP TABLE IF EXISTS `{probe}`",
        f"CREATE TABLE `{probe}` (a INT, b INT) ENGINE=InnoDB",
        f"ALTER TABLE `{probe}` ADD KEY k (a)",
        f"INSERT INTO `{probe}` VALUES (1, 1)",  # noqa: S608
        f"UPDATE `{probe}` SET b = 2",  # noqa: S608
        f"CREATE VIEW `{probe}_view` AS SELECT a FROM `{probe}`",  # noqa: S608
        f"DROP VIEW `{probe}_view`",
        f"DROP TABLE `{probe}`",
        "ALTER DATABASE COLLATE utf8mb4_unicode_ci",
    ):
        connection.query(statement)


def _admin(server: Server) -> Connection:
    return pymysql.connect(
        user=server.admin_user or server.user,
        password=server.admin_password if server.admin_user else server.password,
        connect_timeout=10,
        autocommit=True,
        **_address(server, server.admin_socket or server.socket),
    )


def read_settings(server: Server) -> dict[str, int]:
    """The global settings as they are before the load."""
    connection = _admin(server)
    try:
        names = ", ".join(f"@@GLOBAL.{name}" for name in LOAD_SETTINGS)
        return dict(zip(LOAD_SETTINGS, map(int, query(connection, f"SELECT {names}")[0]), strict=True))
    finally:
        connection.close()


def apply_settings(server: Server, settings: dict[str, int]) -> bool:
    """Set global settings.

    Returns:
        False when the user lacks the right.
    """
    connection = _admin(server)
    try:
        for name, value in settings.items():
            if name in LOAD_SETTINGS:
                connection.query(f"SET GLOBAL {name} = {int(value)}")
    except pymysql.err.OperationalError as error:
        if error.args[0] not in _REFUSED:
            raise
        return False
    finally:
        connection.close()
    return True
