"""Reading and carry_over 10,000 leads, 10,000 contacts and 5,000 deals within the vendor's limits.

The baseline is what the limits allow: a bucket of 50 requests that leaks 2 per second, requests of 50 commands, pages
of 50 rows. Fewer requests than these commands need are not possible, and they cannot be sent faster.

``ENCAJA_BENCH_SCALE=0.25`` carries a quarter of the records within a quarter of the limits: the same seconds for a
machine on which four portals' worth of PHP would be slower than the limits.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import resource
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.reconcile import reconcile
from encaja.carryover.rounds import open_carry_over
from encaja.carryover.settings import read_settings
from encaja.carryover.source.reader import Reader
from encaja.rest.client import RestClient
from encaja.rest.command import BATCH
from encaja.rest.limiter import Limiter, Limits
from encaja.rest.webhook import Webhook
from integration.carryover.portals import (
    BUFFERS,
    Site,
    cloud_and_box,
    install_cloud,
    served,
    write_job,
)
from integration.carryover.windows import fill_window
from support.mariadb import disposable_mariadb

pytestmark = pytest.mark.integration
SIZES = {
    "users": 20,
    "companies": 1000,
    "contacts": 10_000,
    "leads": 10_000,
    "deals": 5000,
    "tasks": 20,
    "messages": 20,
}
EVER = datetime(2000, 1, 1, tzinfo=UTC)
ITEMS = ("company", "contact", "lead", "deal")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("cloud")
    (home / "db").mkdir()
    with disposable_mariadb(home / "db", BUFFERS) as sock:
        site = install_cloud(home, sock, SIZES)
        with served(site, workers=4):
            yield site


@pytest.fixture(scope="module")
def portals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Site]]:
    """A small cloud and its box, with compiled PHP kept: it is not PHP's start that is measured."""
    with cloud_and_box(tmp_path_factory.mktemp("portals"), compiled=True) as both:
        yield both


def _carry(job: str, told: Any) -> None:
    async def whole() -> dict[str, Any]:
        began, cpu = time.monotonic(), time.process_time()
        async with open_carry_over(read_settings(Path(job))) as carry_over:
            await carry_over.round()
            seconds, cpu = time.monotonic() - began, time.process_time() - cpu
            limiter = carry_over.cloud._limiter
            found = {"carried": carry_over.context.tally.new, "seconds": seconds, "cpu": cpu,
                     "requests": carry_over.cloud.requests, "waited": limiter.waited}  # fmt: skip
            began = time.monotonic()
            proof = await reconcile(carry_over.context, thorough=False)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            return {**found, "proof": proof, "proven": time.monotonic() - began, "memory": memory,
                    "refusals": limiter.refusals}  # fmt: skip

    told.put(asyncio.run(whole()))


def bare_imports(box: Site) -> float:
    """Seconds that the box takes for one record, without anything around it."""
    data = [{"title": f"bare {n}", "name": "Ana", "assignedById": 2, "stageId": "NEW"} for n in range(20)]
    began = time.perf_counter()
    for _ in range(10):
        box.rest("crm.item.batchImport", entityTypeId=1, data=data)
    seconds = (time.perf_counter() - began) / 200
    box.sql("DELETE FROM b_crm_lead WHERE TITLE LIKE 'bare%%'")
    return seconds


def _read(url: str, folder: str, entities: tuple[str, ...], told: Any) -> None:
    async def whole() -> dict[str, Any]:
        webhook = Webhook.parse(url)
        limiter = Limiter(webhook.host, Path(folder), Limits())
        found: Counter[str] = Counter()
        async with RestClient(webhook, limiter) as portal:
            began = time.monotonic()
            for entity in entities:
                async for page in Reader(portal).changed(entity, EVER):
                    found[entity] += len(page)
            seconds = time.monotonic() - began
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            return {"found": found, "seconds": seconds, "requests": portal.requests, "refusals": limiter.refusals,
                    "waited": limiter.waited, "memory": memory}  # fmt: skip

    told.put(asyncio.run(whole()))


def read(cloud: Site, folder: Path, entities: tuple[str, ...]) -> dict[str, Any]:
    """Read in a process of its own, whose memory is told as well."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    worker = context.Process(target=_read, args=(cloud.webhook, str(folder), entities, told))
    worker.start()
    result: dict[str, Any] = told.get(timeout=600)
    worker.join()
    return result


def allowed(requests: int, scale: float = 1.0) -> float:
    """Seconds that so many requests take at least."""
    return max(0.0, (requests - 50 * scale) / (2 * scale))


def test_window_of_records_with_links_is_carried(portals: tuple[Site, Site], tmp_path: Path) -> None:
    """The whole way: read, imported, read back, remembered; with their rows, addresses and comments asked for."""
    cloud, box = portals
    scale = float(os.environ.get("ENCAJA_BENCH_SCALE", "1"))
    counts = {name: int(SIZES[name] * scale) for name in ("contacts", "leads", "deals")}
    since = fill_window(cloud, counts)
    cloud.option("encaja", "rest_bucket", str(int(50 * scale)))
    cloud.option("encaja", "rest_rate", str(2 * scale))
    job = write_job(tmp_path, cloud, box, since=since, rate=2 * scale, burst=int(50 * scale), patience=60)
    bare = bare_imports(box)
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    worker = context.Process(target=_carry, args=(str(job), told))
    worker.start()
    result = told.get(timeout=3600)
    worker.join()
    total = sum(counts.values())
    # Comments are listed by record only; rows and addresses of 20 records fit on a page.
    pages = [math.ceil(number / 50) for number in counts.values()]
    commands = (
        sum(pages) + total + math.ceil((counts["leads"] + counts["deals"]) / 20) + math.ceil(counts["leads"] / 20)
    )
    least = math.ceil(commands / BATCH)
    limits, alone = allowed(least, scale), total * bare
    print(
        f"\ncarried: {total} records in {result['seconds']:.0f} s ({total / result['seconds']:.0f}/s), own CPU"
        f" {1000 * result['cpu'] / total:.2f} ms a record, {result['refusals']} refused, {result['memory']:.0f} MB;"
        f" the limits allow {limits:.0f} s for the {least} requests needed ({result['requests']} sent):"
        f" {limits / result['seconds']:.0%} of what they allow; bare imports into this box alone take {alone:.0f} s:"
        f" {result['seconds'] / alone:.2f} x; proven in {result['proven']:.0f} s"
    )
    proof = result["proof"]
    assert (proof["missing"], proof["doubled"], proof["differences"]) == (0, 0, 0), proof["records"][:3]
    assert {f"{name}s": number for name, number in result["carried"].items()} == counts
    assert result["refusals"] == 0
    assert result["memory"] < 300


def test_records_with_links_and_rows_are_read_within_the_burst(cloud: Site, tmp_path: Path) -> None:
    result = read(cloud, tmp_path, (*ITEMS, "product_rows"))
    rows = sum(result["found"][entity] for entity in ITEMS)
    least = sum(math.ceil(SIZES[name] / 2500) for name in ("companies", "contacts", "leads", "deals"))
    print(
        f"\nitems with links, product rows: {rows} records in {result['seconds']:.1f} s"
        f" ({rows / result['seconds']:.0f}/s), {result['requests']} requests where the items alone fill {least},"
        f" {result['refusals']} refused, {result['memory']:.0f} MB"
    )
    assert [result["found"][entity] for entity in ITEMS] == [1000, 10_000, 10_000, 5000]
    assert result["found"]["product_rows"] == 15_000
    assert result["refusals"] == 0
    assert result["requests"] <= 50
    assert result["memory"] < 300


def test_comments_of_every_record_use_nine_tenths_of_the_limits(cloud: Site, tmp_path: Path) -> None:
    """REST lists comments by record only: a command for each of 15,000 leads and deals, in requests of 50."""
    for table in ("b_crm_contact", "b_crm_company"):
        cloud.sql(f"UPDATE {table} SET DATE_MODIFY='1999-01-01', LAST_ACTIVITY_TIME='1999-01-01'")
    time.sleep(25)  # what the other test left in the bucket leaks away
    result = read(cloud, tmp_path, ("comment",))
    owners = SIZES["leads"] + SIZES["deals"]
    least = math.ceil(owners / BATCH)
    sent, needed = allowed(result["requests"]), allowed(least)
    print(
        f"\ncomments: {result['found']['comment']} of {owners} records in {result['seconds']:.0f} s,"
        f" {result['refusals']} refused, {result['memory']:.0f} MB; the limits allow {sent:.0f} s for the"
        f" {result['requests']} requests sent: {sent / result['seconds']:.0%} of what they allow;"
        f" {needed:.0f} s for the {least} that the comments alone fill: {needed / result['seconds']:.0%}"
    )
    assert result["found"]["comment"] == cloud.value(
        "SELECT COUNT(*) FROM b_crm_timeline t JOIN b_crm_timeline_bind b ON b.OWNER_ID=t.ID"
        " WHERE t.TYPE_ID=7 AND b.ENTITY_TYPE_ID IN (1, 2)"
    )
    assert result["refusals"] == 0
    assert result["memory"] < 300
