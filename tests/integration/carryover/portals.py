"""A cloud with a company in it, and the box that was restored from its backup: two stand-ins on one private server."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pymysql
import pymysql.cursors

from support.mariadb import disposable_mariadb
from unit.lab_portal.standin import install, serving

BUFFERS = "--innodb-buffer-pool-size=128M"
_ADDRESSES = itertools.count()
SIZES = {"users": 20, "companies": 30, "contacts": 60, "leads": 120, "deals": 60, "tasks": 20, "messages": 20}


@dataclass
class Site:
    """One running stand-in."""

    root: Path
    url: str
    database: str
    socket: Path
    hook: str = ""

    @property
    def webhook(self) -> str:
        return f"{self.url}/rest/{self.hook}/"

    def tool(self, *arguments: str) -> str:
        command = ["php", "bitrix/stand-in/tool.php", *arguments]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def sql(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        with (
            pymysql.connect(unix_socket=str(self.socket), user="root", database=self.database, autocommit=True,
                            charset="utf8mb4") as connection,
            connection.cursor(pymysql.cursors.DictCursor) as cursor,
        ):  # fmt: skip
            cursor.execute(statement, arguments or None)
            return list(cursor.fetchall())

    @contextmanager
    def being_written(self, table: str, like: int, **fields: Any) -> Iterator[None]:
        """A row like another one, but for its identifier and ``fields``, that nobody else sees before the end."""
        columns = [row["Field"] for row in self.sql(f"SHOW COLUMNS FROM {table}") if row["Field"] != "ID"]
        taken = ", ".join("%s" if column in fields else column for column in columns)
        values = [fields[column] for column in columns if column in fields]
        with pymysql.connect(unix_socket=str(self.socket), user="root", database=self.database) as connection:
            connection.cursor().execute(
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {taken} FROM {table} WHERE ID=%s", [*values, like]
            )
            yield
            connection.commit()

    def value(self, statement: str, *arguments: Any) -> Any:
        rows = self.sql(statement, *arguments)
        return next(iter(rows[0].values())) if rows else None

    def rest(self, method: str, **parameters: Any) -> Any:
        # From an address of its own each time: the cloud counts requests per address.
        number = next(_ADDRESSES)
        transport = httpx.HTTPTransport(local_address=f"127.1.{number // 250 % 250}.{number % 250 + 1}")
        with httpx.Client(transport=transport, timeout=60) as client:
            answer = client.post(f"{self.webhook}{method}.json", json=parameters).json()
        assert "error" not in answer, answer
        return answer["result"]

    def option(self, module: str, name: str, value: str) -> None:
        self.sql("REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES (%s,%s,%s)", module, name, value)
        shutil.rmtree(self.root / "bitrix/managed_cache", ignore_errors=True)


def install_cloud(home: Path, sock: Path, sizes: dict[str, int]) -> Site:
    """Install a cloud and fill it; it is not served yet."""
    root = install(home, sock, "cloud", sizes)
    site = Site(root, "", "cloud", sock)
    site.hook = site.tool("webhook", "--user", "1", "--title", "encaja")
    site.option("main", "check_agents", "N")
    site.option("security", "restriction_hosts_hosts", "cloud.encaja.test\n127.*")
    return site


def restore_box(home: Path, cloud: Site) -> Site:
    """What a restored and settled backup of the cloud is: the same rows, without the cloud's module."""
    root = home / "box"
    if root.exists():
        shutil.rmtree(root)
    shutil.copytree(cloud.root, root, ignore=shutil.ignore_patterns("managed_cache", "cache"))
    dump = ["mariadb-dump", f"--socket={cloud.socket}", "--user=root", "--skip-lock-tables", cloud.database]
    rows = subprocess.run(dump, check=True, capture_output=True).stdout
    with pymysql.connect(unix_socket=str(cloud.socket), user="root") as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE IF EXISTS box")
        cursor.execute("CREATE DATABASE box")
    subprocess.run(["mariadb", f"--socket={cloud.socket}", "--user=root", "box"], input=rows, check=True)
    for name in ("bitrix/.settings.php", "bitrix/php_interface/dbconn.php"):
        path = root / name
        text = path.read_text().replace("'database' => 'cloud'", "'database' => 'box'")
        text = text.replace("$DBName = 'cloud'", "$DBName = 'box'")
        path.write_text(re.sub(r"define\('BX24_[^\n]*\n", "", text))
    (root / "bitrix/.config.php").unlink(missing_ok=True)
    box = Site(root, "", "box", cloud.socket, cloud.hook)
    box.sql("DELETE FROM b_module WHERE ID='bitrix24'")
    return box


@contextmanager
def served(site: Site, workers: int = 2, *, compiled: bool = False) -> Iterator[Site]:
    """The site, answering on a port of its own; ``compiled`` as for ``serving``."""
    with serving(site.root, workers=workers, compiled=compiled) as url:
        site.url = url
        yield site


@contextmanager
def cloud_and_box(home: Path, *, compiled: bool = False) -> Iterator[tuple[Site, Site]]:
    """A small cloud and the box that was restored from it, both served."""
    (home / "db").mkdir()
    with disposable_mariadb(home / "db", BUFFERS) as sock:
        cloud = install_cloud(home, sock, SIZES)
        box = restore_box(home, cloud)
        with served(cloud, workers=4 if compiled else 2, compiled=compiled), served(box, compiled=compiled):
            yield cloud, box


def write_job(folder: Path, cloud: Site, box: Site, **more: Any) -> Path:
    """A job file for the host tools."""
    job = {
        "cloud_webhook": cloud.webhook, "box_webhook": box.webhook, "state": str(folder / "state"), "patience": 3.0,
        "portal_root": str(box.root), "interval": 0.5, "overlap": 2.0,
        "cloud_hosts": ["cloud.encaja.test"], **more,
    }  # fmt: skip
    folder.mkdir(exist_ok=True)
    path = folder / "carry-over.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(job))
    return path


class Sales(threading.Thread):
    """People who go on working in the cloud: leads at a steady rate, until they are stopped."""

    def __init__(self, cloud: Site, per_second: float) -> None:
        super().__init__(daemon=True)
        self.cloud, self.pause = cloud, 1 / per_second
        self.made: list[int] = []
        self.at: dict[int, float] = {}
        self.halt = threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        # From addresses of their own: the carry-over's limits are not theirs, and one address alone may not do this.
        clients = [
            httpx.Client(transport=httpx.HTTPTransport(local_address=f"127.0.0.{number}"), timeout=60)
            for number in range(2, 10)
        ]
        for client in itertools.cycle(clients):
            if self.halt.wait(max(0.0, began + len(self.made) * self.pause - time.monotonic())):
                break
            fields = {"TITLE": f"Lead {len(self.made)}", "NAME": "Ana", "PHONE": [{"VALUE": "+34600000000"}]}
            answer = client.post(f"{self.cloud.webhook}crm.lead.add.json", json={"fields": fields}).json()
            if "result" in answer:
                self.made.append(int(answer["result"]))
                self.at[self.made[-1]] = time.time()
        for client in clients:
            client.close()
