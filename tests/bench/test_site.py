"""The whole lab: its first `site.yml` against a bare `apt-get install`, the one after with stock Ansible and with the
accelerator, and the whole demo's memory.

Needs the lab's names for itself, so it is skipped while one of its hosts is there. The memory is the whole machine's,
beyond what was in use at the start: measure on a quiet one.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from encaja.ansible.accelerator import accelerator_environment
from encaja.lab import engine, estate

ROOT = Path(__file__).parents[2]
LAB = estate.ESTATES["lab"]
ROUNDS = 3  # one alone says little: a machine's speed differs by a tenth from one minute to the next
NAMES = """
- hosts: production:preproduction:test
  roles: [topology]
  tasks:
    - ansible.builtin.copy:
        content: "{{ topology_packages | to_json }}"
        dest: "FOLDER/{{ inventory_hostname }}.json"
      delegate_to: localhost
      vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""


@dataclass
class Play:
    """One run: seconds, CPU-seconds of the controller, Ansible's recap."""

    seconds: float
    cpu: float
    output: str

    @property
    def tasks(self) -> dict[str, int]:
        """Tasks per host, those that were skipped included."""
        found = re.findall(r"^(\S+) +: ok=(\d+).*skipped=(\d+)", self.output, re.MULTILINE)
        return {host: int(ok) + int(skipped) for host, ok, skipped in found}

    @property
    def changed(self) -> int:
        return sum(map(int, re.findall(r"changed=(\d+)", self.output)))


def play(playbook: str, *options: str, stock: bool = False) -> Play:
    begun, before = time.monotonic(), os.times()
    done = subprocess.run(
        ["ansible-playbook", "-i", LAB.inventory, playbook, *options],
        cwd=ROOT, env={**os.environ, **({} if stock else accelerator_environment())},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds, after = time.monotonic() - begun, os.times()
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Play(seconds, cpu, done.stdout)


@contextmanager
def memory() -> Iterator[list[float]]:
    """The most memory in use meanwhile beyond that at the start, of the whole machine, in bytes, as the only item."""

    def available() -> float:
        return float(re.findall(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())[0]) * 1024

    start, peak, over = available(), [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.25):
            peak[0] = max(peak[0], start - available())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def workspace() -> Iterator[estate.Workspace]:
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    if taken := [host.name for host, state in estate.status("lab") if state != "absent"]:
        pytest.skip(f"the lab is in use ({', '.join(taken)}): 'encaja lab down --estate lab' first")
    workspace = estate.Workspace(ROOT)
    yield workspace
    estate.down_one(workspace, "lab")


def bare(folder: Path) -> float:
    """Seconds that `apt-get` alone takes for the same packages on the same hosts, all hosts at once."""
    (folder / "names.yml").write_text(NAMES.replace("FOLDER", str(folder)))
    play(str(folder / "names.yml"))

    def install(path: Path) -> None:
        names = " ".join(json.loads(path.read_text()))
        container = LAB.container(LAB.host(path.name.split(".")[0]))
        script = (
            f"apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install {names}"
        )
        subprocess.run(engine.command("exec", container, "sh", "-ec", script), check=True, capture_output=True)

    lists = sorted(folder.glob("*.json"))
    begun = time.monotonic()
    with ThreadPoolExecutor(max_workers=len(lists)) as pool:
        list(pool.map(install, lists))
    return time.monotonic() - begun


def table(rows: Sequence[tuple[str, str, str]]) -> None:
    print("\n\n" + "\n".join(f"{what:<48}  {value:<28} {target}" for what, value, target in rows))


def fresh(workspace: estate.Workspace) -> None:
    """A lab on which nothing has been done."""
    estate.down_one(workspace, "lab")
    estate.up(workspace, "lab")


def test_site(workspace: estate.Workspace, tmp_path: Path) -> None:
    """Two fresh labs per round, one after the other: a bare installation on the one, ``site.yml`` on the other."""
    usual, whole = [], []
    for _ in range(ROUNDS):
        fresh(workspace)
        looked = play("site.yml", "--check", "--diff")
        assert looked.changed > 0
        usual.append(bare(tmp_path))
        fresh(workspace)
        whole.append(play("site.yml").seconds)
        second = play("site.yml")
        assert second.changed == 0, second.output[-4000:]
    ratios = [one / other for one, other in zip(whole, usual, strict=True)]
    table([
        ("--check --diff on virgin hosts", f"{looked.seconds:.1f} s", "green"),
        ("bare apt-get install on the same hosts at once", ", ".join(f"{seconds:.0f}" for seconds in usual) + " s", ""),
        ("first site.yml", ", ".join(f"{seconds:.0f}" for seconds in whole) + " s", ""),
        ("first site.yml by bare apt-get, of each round", ", ".join(f"{ratio:.2f}" for ratio in ratios) + " x", ""),
        ("their median", f"{median(ratios):.2f} x", "<= 1.2 x"),
        *((f"tasks on {host}", str(count), "") for host, count in sorted(second.tasks.items())),
    ])  # fmt: skip


def test_second_site(workspace: estate.Workspace) -> None:
    """Runs that change nothing, in turns: where every task asks its host, with stock Ansible, with the accelerator.

    On the lab that the test before has left or on a new one.
    """
    estate.up(workspace, "lab")
    ways: dict[str, tuple[list[str], bool]] = {
        "stock Ansible, every task asking its host": (["--skip-tags", "converged"], True),
        "stock Ansible": ([], True),
        "with the accelerator": ([], False),
    }
    play("site.yml")
    runs: dict[str, list[Play]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, (options, stock) in ways.items():
            done = play("site.yml", *options, stock=stock)
            assert done.changed == 0, done.output[-4000:]
            runs[way].append(done)
    baseline, stock, accelerated = (median(play.seconds for play in played) for played in runs.values())
    table([
        *(
            (f"second site.yml, {way}", ", ".join(f"{play.seconds:.1f}" for play in played) + " s",
             f"{median(play.cpu for play in played):.1f} CPU-seconds of the controller")
            for way, played in runs.items()
        ),
        ("stock by every task asking", f"{stock / baseline:.2f} x", ""),
        ("accelerated by every task asking", f"{accelerated / baseline:.2f} x", ""),
        ("stock by accelerated", f"{stock / accelerated:.2f} x", ""),
        ("stock", f"{stock:.1f} s", "<= 10 s"),
    ])  # fmt: skip


def test_memory(workspace: estate.Workspace, tmp_path: Path) -> None:
    """The demo, on the lab that the test before has left or on a new one."""
    with memory() as peak:
        done = subprocess.run(
            [str(ROOT / "tools" / "demo")], cwd=ROOT, env={**os.environ, "ENCAJA_STATE": str(tmp_path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    table([("peak memory of the demo", f"{peak[0] / 2**30:.1f} GiB", "< 8 GiB")])
