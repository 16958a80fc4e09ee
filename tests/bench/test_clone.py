"""Copying a database against ``mariadb-dump | mariadb``, refreshing files against the first copy, and users meanwhile.

Source and target are two servers of this machine; what is measured is the kit's own code with its programs started
directly in place of over SSH, on both sides of every ratio. ENCAJA_BENCH_ROWS rows in each of 8 tables (default
400000, about 1 GB with their keys), 20,000 files. Only what was copied is asserted, never how long it took.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from encaja.clone import database, files, manifest
from support.clone_servers import Here, Server, physical_copy, source, started
from unit.lab_portal.standin import LAB, free_port

ROWS = int(os.environ.get("ENCAJA_BENCH_ROWS", "400000"))
TABLES = 8
FILES = 20_000
PAGE_SECONDS = 15.0
PAUSE = 0.02
MEMORY_MB = 512


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("mariadb-backup"):
        pytest.skip("needs mariadb-backup (apt-get install mariadb-server mariadb-backup)")
    return tmp_path_factory.mktemp("clone")


@pytest.fixture(scope="module")
def production(folder: Path) -> Iterator[Server]:
    """A server with 8 tables of five secondary keys each."""
    server = started(folder, "production", MEMORY_MB)
    server.run("CREATE DATABASE portal CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    for number in range(TABLES):
        server.run(
            f"CREATE TABLE b_bench_{number} (ID int AUTO_INCREMENT PRIMARY KEY, TITLE varchar(200), A int, B int,"
            " C int, D datetime, TEXT varchar(200), KEY (TITLE), KEY (A), KEY (B), KEY (C), KEY (D))",
            "portal",
        )
        server.run(
            f"INSERT INTO b_bench_{number} (TITLE, A, B, C, D, TEXT) SELECT MD5(seq), seq * 7 % 1000, seq * 13 % 50000,"
            f" seq % 17, NOW(), CONCAT(MD5(seq + 1), MD5(seq + 2)) FROM seq_1_to_{ROWS}",
            "portal",
        )
    yield server
    server.stop()


def test_database(folder: Path, production: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The physical copy, proven table by table, against what a person types."""
    target = started(folder, "piped", MEMORY_MB)
    began = time.monotonic()
    target.run("CREATE DATABASE portal CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    pipe = (
        f"mariadb-dump --no-defaults --socket={production.socket} -uroot --single-transaction portal"
        f" | mariadb --no-defaults --socket={target.socket} -uroot portal"
    )
    subprocess.run(["sh", "-c", pipe], check=True)
    usual = time.monotonic() - began
    target.stop()
    onto = started(folder, "copied", MEMORY_MB)
    onto.stop()
    copy = physical_copy(production, onto, "copied", monkeypatch)
    began = time.monotonic()
    copy.fetch(lambda _: None)
    copy.switch()
    ours = time.monotonic() - began
    monkeypatch.setenv("MYSQL_UNIX_PORT", str(onto.socket))
    began = time.monotonic()
    proven = copy.prove()
    proof = time.monotonic() - began
    assert proven["tables"] == TABLES
    assert proven["rows"] == TABLES * ROWS
    print(f"\nmariadb-dump | mariadb: {usual:.1f} s")
    print(f"copy, prepared and served: {ours:.1f} s = {ours / usual:.2f} x (target <= 0.4 x)")
    print(f"with every table proven: {ours + proof:.1f} s = {(ours + proof) / usual:.2f} x")


def test_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh after 1 % of the files changed, against the first copy; both with the manifests compared."""
    home, copy = folder / "source", folder / "copy"
    tree = home / "trees/t1"
    some = random.Random(1)
    for number in range(FILES):
        path = tree / f"upload/{number % 200}/{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(some.randbytes(some.randrange(1_000, 40_000)))
    (home / "www").symlink_to("trees/t1")
    (folder / "rsync-state").mkdir()
    shell = folder / "rsh"
    shell.write_text(f'#!/bin/sh\nshift 3\ncd {home}\nexec "$@"\n')
    shell.chmod(0o755)
    found = Here("here", Path("k"), Path("h"))
    for name, value in (("environment", {"MYSQL_HOME": "", "MYSQL_UNIX_PORT": ""}), ("home", home)):
        object.__setattr__(found, name, value)
    monkeypatch.setattr(Here, "ssh", lambda _: [str(shell)])
    monkeypatch.setattr(Here, "facts", lambda _: {"time": time.time()})

    def once() -> float:
        began = time.monotonic()
        proof = files.FileProof(found, folder / "rsync-state", "t1", contents=False)
        proof.begin()
        files.copy_tree(found, copy, "t1", lambda _: None)
        files.copy_tree(found, copy, "t1", lambda _: None, delete=False)
        assert proof.prove(copy)["alike"] > FILES
        return time.monotonic() - began

    first = once()
    for number in some.sample(range(FILES), FILES // 100):
        (tree / f"upload/{number % 200}/{number}.bin").write_bytes(some.randbytes(20_000))
    again = once()
    assert dict(manifest.entries(tree, True)) == dict(manifest.entries(copy / "trees/t1", True))
    print(f"\nfirst copy of {FILES} files: {first:.1f} s")
    print(f"refresh after 1 % changed: {again:.1f} s = {again / first:.2f} x (target <= 0.4 x)")


@pytest.fixture(scope="module")
def page(folder: Path, production: Server) -> Iterator[str]:
    """The address of a page of the stand-in portal that works on production's server."""
    if not shutil.which("php"):
        pytest.skip("needs PHP (apt-get install php-cli php-mysql)")
    root = folder / "portal"
    shutil.copytree(LAB / "portal/www", root)
    config = folder / "portal.json"
    place = f"localhost:{production.socket}"
    production.run("CREATE DATABASE pages CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
    config.write_text(
        '{"host": "127.0.0.1", "protocol": "http", "admin": {"login": "admin", "password": "Admin2026!"},'
        f' "database": {{"host": "{place}", "name": "pages", "login": "root", "password": ""}}}}'
    )
    subprocess.run(["php", "bitrix/stand-in/install.php", str(config)], cwd=root, check=True, capture_output=True)
    port = free_port()
    serving = subprocess.Popen(
        ["php", "-S", f"127.0.0.1:{port}", "-t", str(root), str(LAB / "portal/serve.php")],
        env=os.environ | {"PHP_CLI_SERVER_WORKERS": "4"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    time.sleep(2)
    yield f"http://127.0.0.1:{port}/auth/"
    os.killpg(serving.pid, 15)
    serving.wait()


def page_times(address: str, until: threading.Event, seconds: float) -> list[float]:
    """What pages take, one after another, for some seconds or until something has ended."""
    taken: list[float] = []
    began = time.monotonic()
    while not until.is_set() and time.monotonic() - began < seconds:
        asked = time.monotonic()
        with urllib.request.urlopen(address, timeout=60) as answer:
            answer.read()
        taken.append(time.monotonic() - asked)
        time.sleep(PAUSE)
    return taken


def percentile(taken: list[float]) -> float:
    """The 95th, in milliseconds."""
    return sorted(taken)[int(len(taken) * 0.95)] * 1000


def _elsewhere(copy: database.PhysicalCopy) -> None:
    """Receive a copy as if on another machine: with what this one has left over."""
    os.setsid()
    Path("/proc/self/autogroup").write_text("19")
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    copy.fetch(lambda _: None)


@pytest.fixture
def elsewhere(folder: Path) -> Iterator[Path]:
    """Where the other machine keeps its copy: in memory, if there is room, so that its disk is not production's."""
    shared = Path("/dev/shm")
    room = shared.is_dir() and shutil.disk_usage(shared).free > 8 * TABLES * ROWS * 300
    place = Path(tempfile.mkdtemp(dir=shared if room else folder))
    yield place
    shutil.rmtree(place)


def test_pages_meanwhile(folder: Path, production: Server, page: str, elsewhere: Path) -> None:
    """What users of production notice while its database is copied, against the time before and after."""
    never, over = threading.Event(), threading.Event()
    page_times(page, never, 3)
    usual = page_times(page, never, PAGE_SECONDS / 2)
    (elsewhere / "state").mkdir()
    given = (source(production, folder), elsewhere / "data", elsewhere / "state", "meanwhile")
    copy = database.PhysicalCopy(*given)
    receiver = multiprocessing.get_context("fork").Process(target=_elsewhere, args=(copy,))
    receiver.start()
    threading.Thread(target=lambda: (receiver.join(), over.set())).start()
    busy = page_times(page, over, 600)
    usual += page_times(page, never, PAGE_SECONDS / 2)
    assert copy.is_fetched()
    before, during = percentile(usual), percentile(busy)
    print(f"\npage time of production, 95th percentile: {before:.1f} ms of {len(usual)} pages")
    print(f"during the copy: {during:.1f} ms of {len(busy)} pages = {during / before:.2f} x (target <= 1.5 x)")
