"""Hands on a running stand-in portal, for its tests."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pymysql
import pymysql.cursors

LAB = Path(__file__).parents[2] / "lab"
PASSWORD = "Encaja2026!"
SIZES = {"users": 20, "companies": 30, "contacts": 60, "leads": 120, "deals": 60, "tasks": 40, "messages": 120}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(ready: Callable[[], bool]) -> None:
    for _ in range(1200):  # a busy machine takes its time
        if ready():
            return
        time.sleep(0.1)
    raise TimeoutError("a service of the test did not come up")


@dataclass
class PortalUnderTest:
    """The running portal: its tree, its address, and hands on its database."""

    root: Path
    url: str
    database: pymysql.Connection[Any]
    mails: Path
    hook: str = ""
    app: str = ""
    opened: list[httpx.Client] = field(default_factory=list)

    def php(self, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            ["php", "-d", f"sendmail_path={self.mails}/send", *arguments],
            cwd=self.root,
            input=stdin,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def tool(self, *arguments: str) -> str:
        return self.php("bitrix/stand-in/tool.php", *arguments)

    def sql(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        with self.database.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(statement, arguments)
            return list(cursor.fetchall())

    def value(self, statement: str, *arguments: Any) -> Any:
        rows = self.sql(statement, *arguments)
        return next(iter(rows[0].values())) if rows else None

    def purge(self) -> None:
        shutil.rmtree(self.root / "bitrix/managed_cache", ignore_errors=True)

    def option(self, module: str, name: str, value: str | None) -> None:
        """Set (or with None remove) an option as an administrator does, so that it counts at once."""
        self.sql("DELETE FROM b_option WHERE MODULE_ID=%s AND NAME=%s", module, name)
        if value is not None:
            self.sql("INSERT INTO b_option (MODULE_ID, NAME, VALUE) VALUES (%s,%s,%s)", module, name, value)
        self.purge()

    def client(self, user: str | None = None, password: str = PASSWORD, address: str = "127.0.0.1") -> httpx.Client:
        transport = httpx.HTTPTransport(local_address=address)
        client = httpx.Client(base_url=self.url, follow_redirects=True, transport=transport, timeout=20)
        self.opened.append(client)
        if user is not None:
            login(client, user, password)
        return client

    def rest(self, method: str, parameters: dict[str, Any] | None = None, *, app: bool = False) -> dict[str, Any]:
        address = f"{self.url}/rest/{method}.json?auth={self.app}" if app else f"{self.url}/rest/{self.hook}/{method}"
        return dict(httpx.post(address, json=parameters or {}, timeout=20).json())

    def download(self, address: str, **headers: str) -> httpx.Response:
        """Fetch a signed address as the product asks a client to."""
        asked = {"User-Agent": "Test/1.0", "Accept": "*/*", "Accept-Language": "en", "Referer": f"{self.url}/"}
        return httpx.get(address, headers=asked | headers)

    def result(self, method: str, parameters: dict[str, Any] | None = None, *, app: bool = False) -> Any:
        answer = self.rest(method, parameters, app=app)
        assert "error" not in answer, answer
        return answer["result"]


def login(client: httpx.Client, user: str, password: str = PASSWORD, kind: str = "AUTH") -> httpx.Response:
    form = {"TYPE": kind, "USER_LOGIN": user, "USER_PASSWORD": password, "backurl": "/stream/"}
    return client.post("/auth/?login=yes", data=form)


def logged_in(answer: httpx.Response) -> bool:
    return 'id="user-block"' in answer.text


def install(home: Path, sock: Path, name: str, sizes: dict[str, int]) -> Path:
    """Install a cloud in ``home/name`` with a database of that name, and fill it; it is not served yet."""
    root = home / name
    shutil.copytree(LAB / "portal/www", root)
    settings = {
        "database": {"host": f"localhost:{sock}", "name": name, "login": "root", "password": ""},
        "host": "cloud.encaja.test", "cloud": True, "company": "Desarrollos", "licence_key": "CLOUD-1",
        "admin": {"password": PASSWORD},
    }  # fmt: skip
    with pymysql.connect(unix_socket=str(sock), user="root") as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    config = home / f"{name}.json"
    config.write_text(json.dumps(settings))
    subprocess.run(["php", "bitrix/stand-in/install.php", str(config)], cwd=root, check=True, capture_output=True)
    fill = [sys.executable, "-m", "company", "--docroot", str(root), "--config", str(config)]
    words = [text for kind, number in sizes.items() for text in (f"--{kind}", str(number))]
    subprocess.run([*fill, *words], cwd=LAB, check=True, capture_output=True)
    return root


@contextmanager
def serving(root: Path, *, workers: int = 2, compiled: bool = False, sendmail: str = "/bin/true") -> Iterator[str]:
    """Serve a portal, and give its address; ``compiled`` keeps compiled PHP, as a web server does.

    Without it a settings file that was changed twice within a second is read twice.
    """
    port = free_port()
    values = f"opcache.enable={int(compiled)}", f"sendmail_path={sendmail}"
    process = subprocess.Popen(
        ["php", *(word for value in values for word in ("-d", value)), "-S", f"127.0.0.1:{port}", "-t", str(root),
         str(LAB / "portal/serve.php")],
        env=os.environ | {"PHP_CLI_SERVER_WORKERS": str(workers)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, 15)
        process.wait(10)
