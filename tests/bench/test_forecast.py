"""How good the forecast is: ten seeded moves, each a rehearsal and a cut-over of a few seconds, really run.

Every pass goes through the conductor as a user's would: a playbook, a real download from a server on loopback whose
rate is drawn by the seed and wavers while it serves, the proof of every volume, the unpacking, and a second playbook.
The rehearsal's link is another one than the cut-over's (a third to three times as fast). What is judged is the second
pass: by `encaja forecast` made before it with the link as a short look at the server shows it, and by
`encaja forecast --backtest` afterwards. Baseline: the same without knowing anything of the link ("as last time").
"""

from __future__ import annotations

import json
import math
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.big_archive import BigArchive, make
from bench.test_conductor import compiled
from encaja.restore.fetch import Fetcher, FetchOptions
from encaja.restore.fetch.links import make_link
from lab.misbehaving_server import MisbehavingServer, serving

# "0:10" are ten seeds; a slower machine measures them in parts.
SEEDS = range(*(int(word) for word in os.environ.get("ENCAJA_BENCH_SEEDS", "0:10").split(":")))
BASE_RATE = 3.0e6
LOOK_SECONDS = 1.5
RUNBOOK = """\
version: 1
base: none
phases: {1: {title: Move, urgency: high}}
move: {inventory: [inventory.yml], variables: {into: none, url: none}}
steps:
  - {id: prepare, phase: 1, title: Prepare, owner: contractor, estimate: 10s, run: {playbook: work.yml}}
  - {id: fetch, phase: 1, title: Fetch, owner: contractor, estimate: 1h, scale: link, needs: [prepare],
     run: {command: [encaja, backup, fetch, $url, --to, $into/volumes, --connections, "4"]}}
  - {id: prove, phase: 1, title: Prove, owner: contractor, estimate: 10s, scale: bytes, needs: [fetch],
     run: {command: [encaja, backup, verify, $into/volumes]}}
  - {id: unpack, phase: 1, title: Unpack, owner: contractor, estimate: 10s, scale: bytes, needs: [prove],
     run: {command: [encaja, backup, unpack, $into/volumes, --to, $into/tree]}}
  - {id: settle, phase: 1, title: Settle, owner: contractor, estimate: 10s, needs: [unpack], run: {playbook: work.yml}}
"""
PLAYBOOK = """\
- hosts: all
  gather_facts: false
  tasks:
    - {name: Say it, ansible.builtin.debug: {msg: "{{ item }}"}, loop: "{{ range(20) | list }}"}
    - {name: Do it, ansible.builtin.command: sha256sum /usr/bin/python3, changed_when: false, loop: [1, 2, 3]}
"""
INVENTORY = f"""\
all: {{hosts: {{here.test: {{ansible_connection: local, ansible_python_interpreter: "{sys.executable}"}}}}}}
"""


@dataclass(frozen=True)
class Outcome:
    """One seed: the cut-over's seconds and what was forecast (low, median, high)."""

    seed: int
    rates: tuple[float, float]
    actual: float
    before: tuple[float, float, float]
    backtest: tuple[float, float, float]
    as_last_time: float

    def inside(self, band: tuple[float, float, float]) -> bool:
        return band[0] <= self.actual <= band[2]

    def error(self, median: float) -> float:
        return abs(median - self.actual) / self.actual


@contextmanager
def link(archive: BigArchive, rate: float, chance: random.Random) -> Iterator[MisbehavingServer]:
    """Serves the archive at about `rate` bytes a second, a little more or less from moment to moment."""
    with serving(archive.first.parent, total_rate=rate) as server:
        ended = threading.Event()

        def waver() -> None:
            while not ended.wait(0.3):
                server.total_rate = rate * chance.lognormvariate(0.0, 0.2)

        thread = threading.Thread(target=waver, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            ended.set()
            thread.join()


def look(url: str, into: Path) -> float:
    """The link's rate in bytes a second, from the first moments of a download."""
    fetcher = Fetcher(make_link(url, None, None), into, FetchOptions(connections=4))
    fetcher.prepare()
    thread = threading.Thread(target=fetcher.run, daemon=True)
    begun = time.monotonic()
    before = fetcher.progress().done
    thread.start()
    time.sleep(LOOK_SECONDS)
    moved, seconds = fetcher.progress().done - before, time.monotonic() - begun
    fetcher.stop()
    thread.join()
    return moved / seconds


def encaja(project: Path, *words: str) -> str:
    """Runs the program as somebody who uses the kit: bytecode is kept from one start to the next."""
    done = subprocess.run(
        [sys.executable, "-m", "encaja.cli", *words], cwd=project, capture_output=True, text=True, check=False,
        env=compiled(project.parent), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def one_move(project: Path, archive: BigArchive, seed: int) -> Outcome:
    chance = random.Random(seed)
    (project / "playbooks").mkdir(parents=True)
    (project / "playbooks/work.yml").write_text(PLAYBOOK)
    (project / "inventory.yml").write_text(INVENTORY)
    (project / "runbook.yml").write_text(RUNBOOK)
    rates = (BASE_RATE * chance.uniform(0.8, 1.25), BASE_RATE * math.exp(chance.uniform(-math.log(3), math.log(3))))

    def go(name: str, server: MisbehavingServer) -> None:
        url = server.url + archive.first.name
        encaja(project, "run", "--pass", name, "--set", f"url={url}", "--set", f"into={project / name}")

    with link(archive, rates[0], chance) as server:
        go("rehearsal-1", server)
    with link(archive, rates[1], chance) as server:
        rate = look(server.url + archive.first.name, project / "look")
        told = json.loads(encaja(project, "forecast", "--pass", "cutover", "--json", "--link", str(round(rate))))
        as_last_time = json.loads(encaja(project, "forecast", "--pass", "cutover", "--json"))
        go("cutover", server)
    lines = json.loads(encaja(project, "forecast", "--backtest", "--json"))
    whole = next(item for item in lines if not item["step"])
    return Outcome(
        seed, rates, whole["actual"], _band(told["whole"]), _band(whole["forecast"]), as_last_time["whole"]["median"]
    )


def _band(spread: dict[str, float]) -> tuple[float, float, float]:
    return spread["low"], spread["median"], spread["high"]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> BigArchive:
    return make(
        tmp_path_factory.mktemp("archive") / "volumes", unpacked=26_000_000, sql=2_000_000, files=300, volumes=8
    )


def test_second_pass_is_forecast_from_the_first(tmp_path: Path, archive: BigArchive, capsys) -> None:
    found = []
    one_move(tmp_path / "before", archive, 99)  # compiles what a user's machine has compiled long ago
    for seed in SEEDS:
        found.append(one_move(tmp_path / str(seed), archive, seed))
        item = found[-1]
        with capsys.disabled():
            print(
                f"\nforecast: seed {seed}, link {item.rates[0] / 1e6:.1f} then {item.rates[1] / 1e6:.1f} MB/s, "
                f"took {item.actual:.1f} s; before it {_said(item, item.before)}; "
                f"backtest {_said(item, item.backtest)}; as last time {item.as_last_time:.1f} s",
                end="",
            )
    with capsys.disabled():
        for name, bands in (
            ("before", [item.before for item in found]),
            ("backtest", [item.backtest for item in found]),
        ):
            inside = sum(item.inside(band) for item, band in zip(found, bands, strict=True))
            error = statistics.median(item.error(band[1]) for item, band in zip(found, bands, strict=True))
            wide = statistics.median(band[2] / band[0] for band in bands)
            said = f"{inside} of {len(found)} inside the 90 % band, median error {100 * error:.1f} %"
            print(f"\nforecast {name}: {said}, band {wide:.2f} x wide (median)", end="")
        baseline = statistics.median(item.error(item.as_last_time) for item in found)
        print(f"\nforecast as last time: median error {100 * baseline:.1f} %")
    assert all(item.actual > 0 for item in found)


def _said(item: Outcome, band: tuple[float, float, float]) -> str:
    return f"{band[0]:.1f} to {band[2]:.1f} ({band[1]:.1f}) {'in' if item.inside(band) else 'OUT'}"
