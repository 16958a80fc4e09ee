"""The restore engine against ``gzip | tar`` and ``mariadb``, and on limited links.

Sizes in GB unpacked come from ENCAJA_BENCH_SIZES (the first one is measured in full), default "1"; 300 MB of SQL
and 20,000 files a GB. Archives are kept in ENCAJA_BENCH_ARCHIVES, if it is given, and used again. Nothing is deleted
between runs: ext4 is slow for minutes after a big tree was deleted. The table at the end is what to read; only what was
restored is asserted, never how long it took.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.request import urlopen

import pytest

from bench.big_archive import BigArchive, make
from lab.misbehaving_server import Fault, serving
from support.mariadb import KillableMariaDB
from support.restore_runs import job, start, write_job

SIZES = [float(size) for size in os.environ.get("ENCAJA_BENCH_SIZES", "1").split(",")]
SQL_SHARE = 0.3
FILES_PER_GB = 20_000


@dataclass
class Run:
    """One restore: seconds, peak memory in bytes, its journal."""

    seconds: float
    memory: int
    journal: dict


@dataclass
class Bench:
    folder: Path
    database: KillableMariaDB
    table: list[tuple[str, str, str]] = field(default_factory=list)
    counter: int = 0

    def note(self, what: str, value: str, target: str = "") -> None:
        self.table.append((what, value, target))
        print(f"\n{what}: {value} {f'(target {target})' if target else ''}")

    def restore(self, archive: BigArchive, **changes) -> Run:
        self.counter += 1
        home = self.folder / f"home{self.counter}"
        (home / "trees").mkdir(parents=True)
        stamp = f"b{self.counter}"
        content = job(home, self.database, directory=str(archive.first.parent), stamp=stamp, fetch={}, **changes)
        content["database"]["name"] = f"bench_{stamp}"
        begun = time.monotonic()
        process = start(write_job(home / "job.json", content))
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
        assert status == 0, process.stderr.read()
        journal = json.loads((home / "work" / stamp / "journal.json").read_text())
        assert journal["report"]["files"] == archive.files
        rows = sum(self.database.run(f"SELECT COUNT(*) FROM b_bench_{n}", f"bench_{stamp}")[0][0] for n in range(8))
        assert rows == archive.rows
        return Run(seconds, usage.ru_maxrss * 1024, journal)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    if not shutil.which("mariadbd"):
        pytest.skip("needs MariaDB (apt-get install mariadb-server)")
    folder = tmp_path_factory.mktemp("bench")
    database = KillableMariaDB(folder, memory_mb=1024)
    database.initialise()
    database.start()
    found = Bench(folder, database)
    yield found
    database.stop()
    width = max(len(row[0]) for row in found.table)
    print("\n\n" + "\n".join(f"{what:<{width}}  {value:<24} {target}" for what, value, target in found.table))


def archive_of(bench: Bench, size: float) -> BigArchive:
    kept = Path(os.environ.get("ENCAJA_BENCH_ARCHIVES") or bench.folder)
    about = kept / f"archive{size}.json"
    if not about.exists():
        made = make(
            kept / f"archive{size}",
            unpacked=int(size * 1e9),
            sql=int(size * SQL_SHARE * 1e9),
            files=int(size * FILES_PER_GB),
        )
        about.write_text(json.dumps(asdict(made), default=str))
    content = json.loads(about.read_text())
    return BigArchive(**{**content, "first": Path(content["first"]), "dump": Path(content["dump"])})


@pytest.fixture(scope="module")
def archive(bench) -> BigArchive:
    return archive_of(bench, SIZES[0])


def baseline(bench: Bench, archive: BigArchive, name: str) -> float:
    """What a person types today."""
    tree = bench.folder / f"baseline-{name}"
    tree.mkdir()
    bench.database.run(f"CREATE DATABASE `baseline_{name}`")
    begun = time.monotonic()
    command = f"cat $(ls -1v {archive.first}*) | gzip -dc | tar xf - -C {tree}"
    subprocess.run(["sh", "-c", command], check=True, stderr=subprocess.DEVNULL)
    dump = next(tree.glob("bitrix/backup/*1.sql"))
    with dump.open("rb") as source:
        subprocess.run(
            ["mariadb", "--no-defaults", f"--socket={bench.database.socket}", "-uroot", f"baseline_{name}"],
            stdin=source,
            check=True,
        )
    return time.monotonic() - begun


def test_local(bench, archive):
    """Verify, unpack and load of a local archive."""
    usual = baseline(bench, archive, "local")
    run = bench.restore(archive)
    ours = run.journal["seconds"]["stream"]
    bench.note("gzip | tar, then mariadb <", f"{usual:.1f} s")
    bench.note("verify + unpack + load", f"{ours:.1f} s = {ours / usual:.2f} x", "<= 0.5 x")
    bench.note("the whole command with configuration and switch", f"{run.seconds:.1f} s = {run.seconds / usual:.2f} x")
    bench.note("peak memory", f"{run.memory / 1e6:.0f} MB", "< 300 MB")


@pytest.mark.skipif(len(SIZES) < 2, reason="give several ENCAJA_BENCH_SIZES")
def test_growth(bench):
    """Time and memory by size."""
    first = 0.0
    for size in sorted(SIZES):
        run = bench.restore(archive_of(bench, size))
        seconds = run.journal["seconds"]["stream"] / size
        first = first or seconds
        bench.note(
            f"{size} GB",
            f"{run.journal['seconds']['stream']:.1f} s = {seconds:.1f} s a GB = {seconds / first:.2f} x the smallest, "
            f"{run.memory / 1e6:.0f} MB",
        )


def test_limited_link_and_a_corrupt_volume(bench, archive):
    """20 MB/s in total; then the same with one volume damaged once."""
    stored = sum(path.stat().st_size for path in archive.first.parent.iterdir())
    with serving(archive.first.parent, total_rate=20e6) as server:
        clean = bench.restore(
            BigArchive(bench.folder / "volumes1" / "x", archive.dump, archive.volumes, archive.files, archive.rows, 0),
            url=server.url + archive.first.name,
        )
    after = clean.journal["report"]["seconds_after_last_byte"]
    download = stored / 20e6
    bench.note("20 MB/s in total: download", f"{download:.1f} s")
    bench.note("from the last byte to the last row", f"{after:.1f} s", f"<= {download * 0.1 + 5:.1f} s")
    damaged = archive.first.parent / f"{archive.first.name}.4"
    fault = Fault("flip", damaged.name, times=1, at=damaged.stat().st_size // 2)
    with serving(archive.first.parent, [fault], total_rate=20e6) as server:
        corrupt = bench.restore(
            BigArchive(bench.folder / "volumes2" / "x", archive.dump, archive.volumes, archive.files, archive.rows, 0),
            url=server.url + archive.first.name,
        )
    bench.note("one corrupt volume of ten", f"{corrupt.seconds / clean.seconds:.2f} x", "<= 1.15 x")


def test_many_connections(bench, archive):
    """800 KB/s per connection: the whole archive over 16 of them, against one volume over a single one."""
    stored = sum(path.stat().st_size for path in archive.first.parent.iterdir())
    with serving(archive.first.parent, rate=800e3) as server:
        begun = time.monotonic()
        with urlopen(f"{server.url}{archive.first.name}.{archive.volumes - 1}") as answer:
            single = len(answer.read()) / (time.monotonic() - begun)
        begun = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "encaja.cli", "backup", "fetch", server.url + archive.first.name,
             "--to", str(bench.folder / "fetched"), "--connections", "16"],
            check=True, capture_output=True, env={**os.environ, "PYTHONPATH": "python"},
        )  # fmt: skip
        many = stored / (time.monotonic() - begun)
    bench.note("800 KB/s per connection, one of them", f"{single / 1e6:.2f} MB/s")
    bench.note("sixteen, with start and proof", f"{many / 1e6:.1f} MB/s = {many / single:.1f} x one", ">= 8 x")
