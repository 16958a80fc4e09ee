"""A stand-in cloud with a small company, on a private database and PHP's own server."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pymysql
import pytest

from support.mariadb import disposable_mariadb
from unit.lab_portal.jobs import Jobs
from unit.lab_portal.standin import SIZES, PortalUnderTest, install, serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a MariaDB of its own."""
    with disposable_mariadb(tmp_path_factory.mktemp("mariadb")) as sock:
        yield sock


@pytest.fixture(scope="session")
def installed(server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PortalUnderTest]:
    home = tmp_path_factory.mktemp("portal")
    mails = home / "mails"
    mails.mkdir()
    script = mails / "send"
    script.write_text(f'#!/bin/sh\nfile=$(mktemp {mails}/XXXXXX)\ncat > "$file"\nmv "$file" "$file.eml"\n')
    script.chmod(0o755)
    root = install(home, server, "portal", SIZES)
    database = pymysql.connect(
        unix_socket=str(server), user="root", database="portal", charset="utf8mb4", autocommit=True
    )
    with serving(root, sendmail=str(script)) as url, closing(database):
        portal = PortalUnderTest(root, url, database, mails)
        portal.hook = portal.tool("webhook", "--user", "1", "--title", "test")
        portal.app = portal.tool("app", "--code", "encaja.test")
        yield portal


@pytest.fixture
def portal(installed: PortalUnderTest) -> Iterator[PortalUnderTest]:
    """The portal, with its settings put back afterwards; agents and mails are still unless a test wants them."""
    tables = ("b_option", "b_option_site", "b_lang", "b_module", "b_group", "b_rest_app", "b_rest_event")
    kept = {table: installed.sql(f"SELECT * FROM {table}") for table in tables}
    dbconn = installed.root / "bitrix/php_interface/dbconn.php"
    text = dbconn.read_text()
    dbconn.write_text(text + "define('NO_AGENT_CHECK', true);\ndefine('DisableEventsCheck', true);\n")
    installed.option("encaja", "rest_bucket", "100000")
    installed.option("security", "restriction_hosts_hosts", "cloud.encaja.test\n127.*")
    try:
        yield installed
    finally:
        for client in installed.opened:
            client.close()
        installed.opened.clear()
        dbconn.write_text(text)
        for table, rows in kept.items():
            installed.sql(f"DELETE FROM {table}")
            for row in rows:
                columns = ",".join(f"`{name}`" for name in row)
                installed.sql(f"INSERT INTO {table} ({columns}) VALUES ({','.join(['%s'] * len(row))})", *row.values())
        installed.purge()


@pytest.fixture
def jobs(portal: PortalUnderTest) -> Iterator[Jobs]:
    """The portal with queues that a test fills; they are put back afterwards."""
    tables = ("b_agent", "b_event", "b_main_messenger_message", "b_messageservice_message")
    for table in tables:
        portal.sql(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
    result = Jobs(portal)
    try:
        yield result
    finally:
        result.lesson.unlink()
        for table in tables:
            portal.sql(f"DELETE FROM {table}")
            portal.sql(f"INSERT INTO {table} SELECT * FROM kept_{table}")
            portal.sql(f"DROP TABLE kept_{table}")


@pytest.fixture
def sink() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """An address that takes any POST, and what it was sent: (path with query, body)."""
    taken: list[tuple[str, str]] = []

    class Taker(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append((self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the inherited name
            pass

    taker = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    thread = threading.Thread(target=taker.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{taker.server_port}", taken
    finally:
        taker.shutdown()
        thread.join()
        taker.server_close()
