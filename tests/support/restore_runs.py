"""Restores of the fixtures: their jobs, runs of the host tool, and what they have to end in."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from support.mariadb import KillableMariaDB

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "backups"
NAMES = {
    "plain": "20261001_210000_full_k3Jd92LmQx7PzVtB.tar.gz",
    "encrypted": "20261002_210000_full_Wq81ZsPo4RtYu6Nm.enc.gz",
    "uncompressed": "20261003_210000_full_uncompressed0001.tar",
    "encrypted-raw": "20261004_210000_full_encryptedraw0001.enc",
}
PASSWORD = "correct horse"
QUICK = {
    "connections": 4,
    "piece": 64 << 10,
    "stall_seconds": 1.0,
    "slow_seconds": 0.5,
    "patience_seconds": 15,
    "pause_seconds": 0.02,
    "attempts": 3,
}


def job(home: Path, database: KillableMariaDB, kind: str = "plain", **changes) -> dict:
    """The job of a restore of a fixture."""
    return {
        "stamp": "s1",
        "directory": str(FIXTURES / kind),
        "password": PASSWORD if kind.startswith("encrypted") else None,
        "home": str(home),
        "work": str(home / "work"),
        "domain": "portal.example",
        "database": {"name": "portal_s1", "user": "root", "socket": str(database.socket)},
        "fetch": QUICK,
        "cloud_mirrors": [],
        **changes,
    }


def write_job(file: Path, content: dict) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def start(file: Path, tool: str = "restore") -> subprocess.Popen:
    """Start the host tool as systemd would, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    return subprocess.Popen(
        [sys.executable, "-m", "encaja.host_tools", tool, str(file)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(file: Path, tool: str = "restore") -> tuple[int, str]:
    process = start(file, tool)
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def rows(database: KillableMariaDB, name: str) -> dict[str, str]:
    """A digest of all rows of every table and view."""
    connection = database.connect(name)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            tables = sorted(row[0] for row in cursor.fetchall())
            found = {}
            for table in tables:
                cursor.execute(f"SELECT * FROM `{table}`")
                found[table] = hashlib.sha256(repr(sorted(map(repr, cursor.fetchall()))).encode()).hexdigest()
            return found
    finally:
        connection.close()


def definitions(database: KillableMariaDB, name: str) -> dict[str, str]:
    """The definition of every table and view, without counters."""
    connection = database.connect(name)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            tables = sorted(row[0] for row in cursor.fetchall())
            found = {}
            for table in tables:
                cursor.execute(f"SHOW CREATE TABLE `{table}`")
                found[table] = re.sub(r" AUTO_INCREMENT=\d+", "", cursor.fetchone()[1])
            return found
    finally:
        connection.close()


def manifest(kind: str) -> dict[str, str]:
    listed = {}
    for line in (FIXTURES / kind / "TREE.sha256").read_text().splitlines():
        escaped = line.startswith("\\")
        digest, name = line.removeprefix("\\").split("  ", 1)
        listed[(name.replace("\\n", "\n").replace("\\\\", "\\") if escaped else name).removeprefix("./")] = digest
    return listed


def expected_tree(kind: str) -> dict[str, str]:
    """The files of the archive as a restore leaves them; those it writes itself are left out."""
    wanted = manifest(kind)
    for own in ("bitrix/.settings.php", "bitrix/php_interface/dbconn.php"):
        wanted.pop(own, None)
    for name in list(wanted):
        if name.startswith("bitrix/backup/") and ".sql" in name:
            del wanted[name]
    for name in (".htaccess", ".htsecure"):
        if name in wanted:
            wanted[f"{name}.restore"] = wanted.pop(name)
    return wanted


def tree(folder: Path) -> dict[str, str]:
    own = {"bitrix/.settings.php", "bitrix/php_interface/dbconn.php", ".htaccess", "bitrix/.encaja-restore.json"}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and (name := str(path.relative_to(folder))) not in own
    }


def made_archive(first: Path, members: list[tuple[str, bytes]], *, limit: int = 4 << 20, cipher: str = "") -> Path:
    """An archive in the vendor's format of what the fixtures do not hold; encrypted with a cipher of the writer."""
    from lab.backup_writer import encryption
    from lab.backup_writer.tar import entry_header, padding
    from lab.backup_writer.volumes import VolumeWriter

    encrypt = encryption.encryptor(PASSWORD.encode(), cipher) if cipher else None
    preamble = encryption.service_block(encrypt) if encrypt else b""
    first.parent.mkdir(parents=True, exist_ok=True)
    compress = first.name.endswith(".gz")
    with VolumeWriter(first, limit=limit, compress=compress, level=1, encrypt=encrypt, preamble=preamble) as writer:
        for name, data in members:
            header = entry_header(name.encode(), mode=0o644, uid=0, gid=0, size=len(data), mtime=0, directory=False)
            writer.write(header + data + padding(len(data)))
    return first


def load_reference(database: KillableMariaDB, kind: str, name: str, scratch: Path) -> None:
    """Load the dump the ordinary way, through the server's own client."""
    from encaja.restore.archive import naming, unpack

    unpack.unpack(naming.find_volumes(FIXTURES / kind), scratch, PASSWORD if kind.startswith("encrypted") else None)
    database.run(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    for file in sorted(scratch.glob("bitrix/backup/*.sql")):
        if "after_connect" in file.name:
            continue
        text = (
            file.read_bytes()
            .replace(b"utf8mb4_0900_ai_ci", b"utf8mb4_unicode_ci")
            .replace(b"ENGINE=MyISAM", b"ENGINE=InnoDB")
        )
        subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={database.socket}", "-uroot", "--max-allowed-packet=1G",
             "--init-command=SET sql_mode='', foreign_key_checks=0", name],
            input=text, check=True,
        )  # fmt: skip
    shutil.rmtree(scratch)
