"""Reading a cloud of 10,000 leads, 10,000 contacts and 5,000 deals within the vendor's limits.

The baseline is what the limits allow: a bucket of 50 requests that leaks 2 per second, requests of 50 commands, pages
of 50 rows. Fewer requests than these commands need are not possible, and they cannot be sent faster.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.limiter import Limiter, Limits
from encaja.carryover.readers import Reader
from encaja.carryover.rest import BATCH, Portal, Webhook
from integration.carryover.portals import Site, database_server, install_cloud, served

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
    with database_server(home / "db") as sock:
        site = install_cloud(home, sock, SIZES)
        with served(site, workers=4):
            yield site


def _read(url: str, folder: str, entities: tuple[str, ...], told: Any) -> None:
    async def whole() -> dict[str, Any]:
        webhook = Webhook.parse(url)
        limiter = Limiter(webhook.host, Path(folder), Limits())
        found: Counter[str] = Counter()
        async with Portal(webhook, limiter) as portal:
            began = time.monotonic()
            for entity in entities:
                async for page in Reader(portal).changed(entity, EVER):
                    found[entity] += len(page)
            seconds = time.monotonic() - began
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            return {"found": found, "seconds": seconds, "requests": portal.requests, "told_off": limiter.told_off,
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


def allowed(requests: int) -> float:
    """Seconds that so many requests take at least."""
    return max(0.0, (requests - 50) / 2)


def test_records_with_links_and_rows_are_read_within_the_burst(cloud: Site, tmp_path: Path) -> None:
    result = read(cloud, tmp_path, (*ITEMS, "product_rows"))
    rows = sum(result["found"][entity] for entity in ITEMS)
    least = sum(math.ceil(SIZES[name] / 2500) for name in ("companies", "contacts", "leads", "deals"))
    print(
        f"\nitems with links, product rows: {rows} records in {result['seconds']:.1f} s"
        f" ({rows / result['seconds']:.0f}/s), {result['requests']} requests where the items alone fill {least},"
        f" {result['told_off']} refused, {result['memory']:.0f} MB"
    )
    assert [result["found"][entity] for entity in ITEMS] == [1000, 10_000, 10_000, 5000]
    assert result["found"]["product_rows"] == 15_000
    assert result["told_off"] == 0
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
        f" {result['told_off']} refused, {result['memory']:.0f} MB; the limits allow {sent:.0f} s for the"
        f" {result['requests']} requests sent: {sent / result['seconds']:.0%} of what they allow;"
        f" {needed:.0f} s for the {least} that the comments alone fill: {needed / result['seconds']:.0%}"
    )
    assert result["found"]["comment"] == cloud.value(
        "SELECT COUNT(*) FROM b_crm_timeline t JOIN b_crm_timeline_bind b ON b.OWNER_ID=t.ID"
        " WHERE t.TYPE_ID=7 AND b.ENTITY_TYPE_ID IN (1, 2)"
    )
    assert result["told_off"] == 0
    assert result["memory"] < 300
