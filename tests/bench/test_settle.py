"""Settling a portal, and the scan for its old host, against what would be typed by hand.

The scan runs over a database of ENCAJA_BENCH_SCAN_MB megabytes of dump (default 300) on a server of its own; the
baseline is ``mariadb-dump | grep``. Settling runs on the lab's test host, or on the one of ENCAJA_E2E_INVENTORY and
ENCAJA_E2E_HOST; the baseline is Ansible itself, a ping of the same host. What was found is asserted, never how long it
took.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.restored_portal import Host, find_host, make, remove
from encaja.portal import domain, php
from encaja.portal.site import Portal
from support.mariadb import KillableMariaDB

SIZE = int(os.environ.get("ENCAJA_BENCH_SCAN_MB", "300"))
OLD = "acme.bitrix24.es"
TEXT = (
    "La visita queda para el jueves; el plano de la planta baja va en el archivo adjunto, con la memoria de calidades. "
)


def timed(work: Callable[[], object]) -> float:
    """Seconds that the work took."""
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def processor_seconds(server: KillableMariaDB) -> float:
    """What the server has used of the processor so far; a busy machine does not change it much."""
    assert server.process
    words = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillableMariaDB]:
    """A server with one table of messages in which every hundredth names the old host."""
    if not shutil.which("mariadbd"):
        pytest.skip("needs MariaDB (apt-get install mariadb-server)")
    server = KillableMariaDB(tmp_path_factory.mktemp("bench"), memory_mb=1024)
    server.initialise()
    server.start()
    server.run("CREATE DATABASE portal CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    server.run("CREATE TABLE b_lang (LID char(2) PRIMARY KEY, SERVER_NAME varchar(255))", "portal")
    server.run(
        "CREATE TABLE b_im_message (ID int AUTO_INCREMENT PRIMARY KEY, CHAT_ID int, AUTHOR_ID int,"
        " DATE_CREATE datetime, MESSAGE mediumtext, NOTIFY_EVENT varchar(255))",
        "portal",
    )
    rows = SIZE * 1_000_000 // 520
    server.run(
        "INSERT INTO b_im_message (CHAT_ID, AUTHOR_ID, DATE_CREATE, MESSAGE)"
        f" SELECT seq % 900, seq % 60, '2026-01-01', CONCAT(REPEAT('{TEXT}', 4), IF(seq % 100, '', 'https://{OLD}/docs/'))"
        f" FROM seq_1_to_{rows}",
        "portal",
    )
    yield server
    server.stop()


def test_scan(database: KillableMariaDB, tmp_path: Path) -> None:
    (tmp_path / "www" / "bitrix").mkdir(parents=True)
    default = {"host": f"localhost:{database.socket}", "login": "root", "password": "", "database": "portal"}
    settings = {"connections": {"value": {"default": default}, "readonly": True}}
    (tmp_path / "www/bitrix/.settings.php").write_text(php.render_settings(settings))
    portal = Portal(tmp_path / "www", tmp_path / "state")
    dump = ["mariadb-dump", "--no-defaults", f"--socket={database.socket}", "-uroot", "portal"]
    size = int(subprocess.run(["sh", "-c", '"$@" | wc -c', "sh", *dump], capture_output=True, check=True).stdout)
    by_hand = timed(lambda: subprocess.run(["sh", "-c", f'"$@" | grep -c {OLD}', "sh", *dump], check=True,
                                           stdout=subprocess.DEVNULL))  # fmt: skip
    found: list[domain.Remains] = []
    worked = processor_seconds(database)
    ours = timed(lambda: found.append(domain.scan(portal, [OLD])))
    worked = processor_seconds(database) - worked
    assert found[0].tables == {"b_im_message.MESSAGE": SIZE * 1_000_000 // 520 // 100}
    print(
        f"\nscan of {size / 1e6:.0f} MB of dump: {ours:.2f} s, {size / 1e6 / ours:.0f} MB/s (target 100);"
        f" {size / 1e6 / worked:.0f} MB per second of the server's processor;"
        f" {ours / by_hand:.2f} x the time of 'mariadb-dump | grep' ({by_hand:.2f} s)"
    )


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host with a freshly restored portal."""
    try:
        found = find_host()
    except AssertionError as fault:
        pytest.skip(f"needs a host: {fault}")
    make(found)
    yield found
    remove(found)


def test_settling(host: Host) -> None:
    ping = timed(host.ping)
    first = timed(lambda: _changes(host, expected=True))
    host.play("settle", settle_search_engine="bitrix")  # the index, which is measured apart
    second = timed(lambda: _changes(host, expected=False))
    print(
        f"\nsettling everything: {first:.1f} s (target 15), {first / ping:.1f} x a ping ({ping:.1f} s);"
        f" nothing: {second:.1f} s (target 5), {second / ping:.1f} x"
    )


def _changes(host: Host, *, expected: bool) -> None:
    changed = host.play("settle", settle_reindex="never", settle_search_engine="bitrix")
    assert (changed > 0) == expected
