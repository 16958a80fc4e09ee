"""A copy of a portal that can go live by the switch of the restore: a tree of its own with a database of its own.

Uploaded files are linked, not copied: the portal writes each of them once. Caches and backups are left out.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encaja import nightly_backup
from encaja.errors import EncajaError
from encaja.portal import php, restored
from encaja.portal.site import Portal
from encaja.restore import finish, space
from encaja.restore.load import database

LEFT_OUT = frozenset(
    {"backup", "cache", "html_pages", "managed_cache", "stack_cache", "tmp", "updates"}
)  # of the folder bitrix
_SOCKET = "/run/mysqld/mysqld.sock"
_LONGEST_NAME = 64


@dataclass(frozen=True)
class Source:
    """The live portal's database, as its settings name it."""

    name: str
    client: nightly_backup.Database
    socket: str
    server: database.Server

    @classmethod
    def of(cls, portal: Portal) -> Source:
        """Read it.

        Raises:
            EncajaError: the settings name none, or do so in a file that a copy cannot be told of.
        """
        where = str(portal.settings_path)
        if "connections" in portal.extra:
            raise EncajaError("it names the database as well", str(portal.extra_path), f"move connections into {where}")
        try:
            said = portal.section("connections")["default"]
            client = nightly_backup.Database(
                str(said["host"]), str(said["database"]), str(said["login"]), str(said["password"])
            )
        except (KeyError, TypeError) as fault:
            raise EncajaError("no default database connection", where, "restore the section 'connections'") from fault
        host, _, tail = client.host.partition(":")
        if not client.is_local:
            port = int(tail) if tail.isdecimal() else 3306
            server = database.Server(client.name, client.login, client.password, host, port, ca=said.get("ssl_ca"))
            return cls(client.name, client, "", server)
        socket = tail if tail.startswith("/") else _SOCKET
        server = database.Server(client.name, "root", socket=socket, admin_user="root", admin_socket=socket)
        return cls(client.name, client, socket, server)


def database_name(live: str, stamp: str) -> str:
    """The name of the copy's database, which the portal's user may make by the beginning of its name."""
    plain = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in stamp)
    return f"{live[: _LONGEST_NAME - 8 - len(plain)]}_before_{plain}"


def take(portal: Portal, tree: Path, name: str) -> dict[str, Any]:
    """Copy the portal into ``tree`` and database ``name``; what an earlier, stopped attempt left there is replaced.

    Returns:
        Tables and rows of the copy.

    Raises:
        EncajaError: no room, or something was not copied.
    """
    source = Source.of(portal)
    shutil.rmtree(tree, ignore_errors=True)
    _check_room(portal, source, tree)
    try:
        counted = _copy_database(source, name)
    except nightly_backup.BackupError as fault:
        raise EncajaError(str(fault), f"copy of database {source.name}", "fix it and run the update again") from fault
    copy_tree(portal.root.resolve(), tree)
    _point(portal, tree, name)
    database.force_to_disk(database.Server(**{**vars(source.server), "name": name}))
    finish.sync_tree(tree)
    return {"tables": len(counted), "rows": sum(counted.values())}


def _check_room(portal: Portal, source: Source, tree: Path) -> None:
    size = portal.database.count(
        "SELECT SUM(DATA_LENGTH + INDEX_LENGTH) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()"
    )
    done = subprocess.run(
        ["du", "--summarize", "--block-size=1", *_copied(portal.root.resolve())],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    files = sum(int(line.split("\t")[0]) for line in done.stdout.splitlines())
    needs = [space.Need("copy of the tree", tree.parent, files)]
    if source.socket:
        needs.append(space.Need("copy of the database", Path("/var/lib"), size))
    space.check_space(needs, low_disk=True)


def _copied(live: Path) -> list[str]:
    """What is copied file by file: the tree without uploads, caches and backups."""
    top = [path for path in sorted(live.iterdir()) if path.name not in {"bitrix", "upload"}]
    return [str(path) for path in [*top, *_of_bitrix(live)]]


def _of_bitrix(live: Path) -> list[Path]:
    return [path for path in sorted((live / "bitrix").iterdir()) if path.name not in LEFT_OUT]


def copy_tree(live: Path, tree: Path) -> None:
    """Copy a tree; uploaded files are linked."""
    for folder in (live, live / "bitrix"):
        new = tree / folder.relative_to(live)
        new.mkdir()
        shutil.copystat(folder, new)
        os.chown(new, folder.stat().st_uid, folder.stat().st_gid)
    inner = {str(path) for path in _of_bitrix(live)}
    _copy(tree, [path for path in _copied(live) if path not in inner])
    _copy(tree / "bitrix", sorted(inner))
    if (live / "upload").exists():
        _copy(tree, [str(live / "upload")], "--link")


def _copy(target: Path, paths: list[str], how: str = "--reflink=auto") -> None:
    if not paths:
        return
    done = subprocess.run(
        ["cp", "--archive", how, f"--target-directory={target}", *paths], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EncajaError(
            f"not copied: {done.stderr.strip().splitlines()[-1][:200]}", str(target), "fix it and run the update again"
        )


def _copy_database(source: Source, name: str) -> dict[str, int]:
    """Copy by a consistent dump; returns the rows of every table of the copy."""
    form = nightly_backup.client(
        source.client, "information_schema",
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM SCHEMATA"  # noqa: S608  a name of the settings
        f" WHERE SCHEMA_NAME = '{source.name}'",
    ).split()  # fmt: skip
    make = f"CREATE DATABASE `{name}` CHARACTER SET {form[0]} COLLATE {form[1]}"
    nightly_backup.client(source.client, "information_schema", f"DROP DATABASE IF EXISTS `{name}`; {make}")
    before = nightly_backup.table_rows(source.client, source.name)
    nightly_backup.copy_database(source.client, name)
    after = nightly_backup.table_rows(source.client, name)
    if faults := nightly_backup.compare_rows(before, after):
        raise nightly_backup.BackupError(f"it differs from its source: {'; '.join(faults[:5])}")
    return after


def _point(portal: Portal, tree: Path, name: str) -> None:
    """Make the copied tree name the copied database."""
    settings = tree / portal.settings_path.relative_to(portal.root)
    said = copy.deepcopy(portal.settings["connections"])
    said["value"]["default"]["database"] = name
    settings.write_bytes(php.encode(php.render_settings({**portal.settings, "connections": said})))
    dbconn = tree / portal.dbconn_path.relative_to(portal.root)
    if php.read_variable(portal.dbconn, "DBName") is not None:
        dbconn.write_bytes(php.encode(php.edit_variable(portal.dbconn, "DBName", name)))
    if record := restored.read_record(portal.root):
        (tree / restored.RECORD).write_text(json.dumps({**record, "database": name}, indent=1) + "\n")
