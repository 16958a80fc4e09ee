"""What a restore does to the new tree and database after the last byte, as the vendor's own restore leaves them.

From restore.php (26 November 2023): root ``restore.php`` is left out; root ``.htaccess`` and ``.htsecure`` are kept as
``*.restore`` and a default ``.htaccess`` is written; credentials go into ``.settings.php``; ``DOC_ROOT`` of sites is
emptied; the CDN is switched off when its domain is another one, and so is the restriction to host names that lacks the
new one; caches are deleted. It leaves the masked credentials in ``dbconn.php``; here they are filled in, because old
modules read them.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pymysql

from encaja.atomic import write_atomically
from encaja.portal import php, restored, settings
from encaja.restore.errors import BackupError
from encaja.restore.load.database import Connection, Server, query

SETTINGS = "bitrix/.settings.php"
DBCONN = "bitrix/php_interface/dbconn.php"
CLOUD_MANIFESTS = ("bitrix/restore_cloud.php", "bitrix/restore_cloud.txt")
FREEZE = ("NO_AGENT_CHECK", "DisableEventsCheck")
"""Constants that stop agents, mail queue and SMS while they are defined (main 26.250)."""
_GONE = ("restore.php", "bitrixsetup.php", restored.RECORD)
_CACHES = ("cache", "stack_cache", "managed_cache", "resize_cache", "tmp")
_HTACCESS = """Options -Indexes
ErrorDocument 404 /404.php

<IfModule mod_rewrite.c>
  Options +FollowSymLinks
  RewriteEngine On
  RewriteCond %{REQUEST_FILENAME} !-f
  RewriteCond %{REQUEST_FILENAME} !-l
  RewriteCond %{REQUEST_FILENAME} !-d
  RewriteCond %{REQUEST_FILENAME} !/bitrix/urlrewrite.php$
  RewriteRule ^(.*)$ /bitrix/urlrewrite.php [L]
</IfModule>
"""


def place(path: bytes) -> bytes | None:
    """Where a file of the archive goes in the new tree; None for nowhere."""
    if path == b"restore.php":
        return None
    if path in (b".htaccess", b".htsecure"):
        return path + b".restore"
    if path.startswith(b"bitrix/backup/clouds/"):
        return b"upload/clouds/" + path.removeprefix(b"bitrix/backup/clouds/")
    return path


def host_of(server: Server) -> str:
    """The database host as the portal's configuration writes it."""
    return server.host if server.port == 3306 else f"{server.host}:{server.port}"


def fill_settings(text: str, server: Server, path: str = SETTINGS, *, freeze: bool = False) -> str:
    """``.settings.php`` with the new database in its default connection, its Messenger stopped until the release."""
    wanted = php.parse_settings(text, path)
    section = wanted.get("connections")
    if not isinstance(section, dict) or not isinstance(section.get("value"), dict):
        raise BackupError("no section 'connections'", path, "put the vendor's section back and rerun the command")
    default = section["value"].setdefault("default", {})
    default.update(
        {"host": host_of(server), "database": server.name, "login": server.user, "password": server.password}
    )
    return php.render_settings(settings.freeze(wanted) if freeze else wanted)


def fill_dbconn(text: str, server: Server, *, freeze: bool) -> str:
    """``dbconn.php`` with the new database where it assigns one, and frozen until the portal is settled."""
    values = {"DBHost": host_of(server), "DBLogin": server.user, "DBPassword": server.password, "DBName": server.name}
    for name, value in values.items():
        if php.read_variable(text, name) is not None:
            text = php.edit_variable(text, name, value)
    for name in FREEZE if freeze else ():
        text = php.edit_define(text, name, True)
    return text


def configure(tree: Path, server: Server, owner: tuple[int, int] | None, *, freeze: bool) -> None:
    """Write credentials and freeze into the new tree, and leave its other files as the vendor's restore does.

    Raises:
        BackupError: the tree lacks the portal's configuration.
    """
    configuration, dbconn = tree / SETTINGS, tree / DBCONN
    if not configuration.is_file():
        raise BackupError("the archive has no portal in it", SETTINGS, "take a full backup")
    _replace(configuration, fill_settings(_text(configuration), server, freeze=freeze), owner, 0o640)
    dbconn.parent.mkdir(parents=True, exist_ok=True)
    text = _text(dbconn) if dbconn.is_file() else "<?php\n"
    _replace(dbconn, fill_dbconn(text, server, freeze=freeze), owner, 0o640)
    if not (tree / ".htaccess").exists():
        _replace(tree / ".htaccess", _HTACCESS, owner, 0o644)
    for name in _GONE:
        (tree / name).unlink(missing_ok=True)
    for name in _CACHES:
        shutil.rmtree(tree / "bitrix" / name, ignore_errors=True)
    backup = tree / "bitrix" / "backup"
    for file in backup.glob("*.sql*") if backup.is_dir() else ():
        file.unlink()


def _text(file: Path) -> str:
    return php.decode(file.read_bytes())


def _replace(file: Path, text: str, owner: tuple[int, int] | None, mode: int) -> None:
    write_atomically(file, php.encode(text), mode, owner)


def adjust_database(
    connection: Connection, domain: str | None, *, fulltext_failed: bool, clouds: Path | None
) -> list[str]:
    """Change what the vendor's restore changes in the database.

    Args:
        connection: to the new database.
        domain: the portal's host name.
        fulltext_failed: whether a full-text key could not be made.
        clouds: folder with files of cloud buckets, when the archive held them.

    Returns:
        Descriptions of what was done.
    """
    tables = {str(row[0]) for row in query(connection, "SHOW TABLES")}
    done: list[str] = []

    def change(table: str, what: str, sql: str, *values: object) -> None:
        if table not in tables:
            return
        try:
            with connection.cursor() as cursor:
                count = cursor.execute(sql, values or None)
        except (pymysql.err.OperationalError, pymysql.err.ProgrammingError) as error:
            if error.args[0] != 1054:  # a table of another version, without this column
                raise
            return
        if count:
            done.append(f"{what} ({count} rows)")

    change("b_lang", "document roots of sites emptied", "UPDATE b_lang SET DOC_ROOT = '' WHERE DOC_ROOT <> ''")
    if fulltext_failed:
        change(
            "b_option",
            "full-text flags reset",
            "UPDATE b_option SET VALUE = 'a:0:{}' WHERE MODULE_ID = 'main' AND NAME LIKE '~ft\\_%'",
        )
    if domain:
        _adjust_domain(connection, change, domain, tables)
    for bucket in sorted(clouds.iterdir()) if clouds and clouds.is_dir() else ():
        if bucket.name.isdigit():
            change(
                "b_file",
                f"files of bucket {bucket.name} taken from the tree",
                "UPDATE b_file SET SUBDIR = CONCAT(%s, SUBDIR), HANDLER_ID = NULL WHERE HANDLER_ID = %s",
                f"clouds/{bucket.name}/",
                bucket.name,
            )
    return done


def _adjust_domain(connection: Connection, change: Any, domain: str, tables: set[str]) -> None:
    if "b_bitrixcloud_option" in tables:
        cdn = query(connection, "SELECT PARAM_VALUE FROM b_bitrixcloud_option WHERE NAME = 'cdn_config_domain'")
        if cdn and str(cdn[0][0]) != domain:
            change(
                "b_bitrixcloud_option",
                "CDN switched off",
                "UPDATE b_bitrixcloud_option SET PARAM_VALUE = '0' WHERE NAME = 'cdn_config_active'",
            )
            change(
                "b_bitrixcloud_option",
                "CDN's expiry moved away",
                "UPDATE b_bitrixcloud_option SET PARAM_VALUE = UNIX_TIMESTAMP(NOW() + INTERVAL 10 YEAR) "
                "WHERE NAME = 'cdn_config_expire_time'",
            )
    if "b_option" in tables and "b_module_to_module" in tables:
        hosts = query(
            connection, "SELECT VALUE FROM b_option WHERE MODULE_ID = 'security' AND NAME = 'restriction_hosts_hosts'"
        )
        if domain not in (str(hosts[0][0]) if hosts else ""):
            change(
                "b_module_to_module",
                "restriction to other host names removed",
                "DELETE FROM b_module_to_module WHERE FROM_MODULE_ID = 'main' AND MESSAGE_ID = 'OnPageStart' "
                "AND TO_CLASS LIKE '%HostRestriction%'",
            )
