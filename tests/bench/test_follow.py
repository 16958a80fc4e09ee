"""How far behind the box is while the cloud works, and how long the freeze is.

Two stand-ins with real limits. Baselines of the same run: for the delay, one bare listing of the cloud and one bare
import into the box, the least that any way of carrying takes; for the freeze, carrying the same window in one go.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from integration.carryover.portals import Sales, Site, cloud_and_box, write_job
from integration.carryover.test_carry_over import run, start

SECONDS = float(os.environ.get("ENCAJA_BENCH_SECONDS", "60"))
PER_SECOND = 5.0


class Arrivals(threading.Thread):
    """When each lead of the cloud is in the box."""

    def __init__(self, box: Site) -> None:
        super().__init__(daemon=True)
        self.box, self.at, self.halt = box, dict[int, float](), threading.Event()

    def run(self) -> None:
        while not self.halt.wait(0.2):
            now = time.time()
            for row in self.box.sql("SELECT ORIGIN_ID FROM b_crm_lead WHERE ORIGINATOR_ID='encaja'"):
                self.at.setdefault(int(row["ORIGIN_ID"]), now)


@pytest.fixture(scope="module")
def portals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Site]]:
    with cloud_and_box(tmp_path_factory.mktemp("portals")) as both:
        yield both


def bare(cloud: Site, box: Site) -> float:
    """Seconds of one listing and one import, without anything around them."""
    spent = []
    for number in range(10):
        began = time.perf_counter()
        cloud.rest("crm.item.list", entityTypeId=1, filter={">id": 0}, select=["*"], start=-1)
        data = [{"title": f"bare {number} {n}", "PHONE": [{"VALUE": "+34600"}]} for n in range(5)]
        box.rest("crm.item.batchImport", entityTypeId=1, data=data)
        spent.append(time.perf_counter() - began)
    box.sql("DELETE FROM b_crm_lead WHERE TITLE LIKE 'bare%%'")
    return statistics.median(spent)


def test_follow_and_freeze(portals: tuple[Site, Site], tmp_path: Path) -> None:
    cloud, box = portals
    least = bare(cloud, box)
    job = write_job(tmp_path, cloud, box, since=datetime.now(UTC).isoformat(timespec="seconds"), interval=1.0)
    sales, arrivals = Sales(cloud, PER_SECOND), Arrivals(box)
    follower = start("follow", job)
    sales.start()
    arrivals.start()
    time.sleep(SECONDS)
    sales.halt.set()
    sales.join()
    frozen = time.perf_counter()
    follower.send_signal(signal.SIGTERM)
    follower.communicate()
    proof = run("once", job)["result"]
    freeze = time.perf_counter() - frozen
    time.sleep(0.5)
    arrivals.halt.set()
    arrivals.join()
    fresh = write_job(tmp_path / "fresh", cloud, box, since=json.loads(job.read_text())["since"])
    box.sql("DELETE FROM b_crm_lead WHERE ORIGINATOR_ID='encaja'")
    began = time.perf_counter()
    run("once", fresh)
    at_once = time.perf_counter() - began

    delays = sorted(arrivals.at[key] - sales.at[key] for key in sales.made if key in arrivals.at)
    assert (proof["missing"], proof["doubled"], proof["differences"]) == (0, 0, 0)
    assert len(delays) == len(sales.made)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    median, slow = statistics.median(delays), delays[int(len(delays) * 0.95)]
    rate = len(delays) / SECONDS
    print(
        f"\nfollow: {len(delays)} leads at {rate:.1f}/s: in the box after {median:.1f} s (median), {slow:.1f} s (95 %);"
        f" {median / least:.0f} x one bare listing and import ({least:.2f} s)"
        f"\nfreeze to drained and reconciled: {freeze:.1f} s, {freeze / at_once:.2f} x carrying the window at once"
        f" ({at_once:.1f} s); peak memory of any process {peak:.0f} MB"
    )
