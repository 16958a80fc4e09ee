"""Reading a stand-in cloud within its limits: everything that changed, nothing twice, and never a refusal."""

from __future__ import annotations

import asyncio
import base64
import multiprocessing
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.source.offline_events import OfflineEvents
from encaja.carryover.source.reader import READ, Reader, Record
from encaja.rest.client import RestClient
from encaja.rest.command import Command
from encaja.rest.errors import AccessError
from encaja.rest.limiter import Limiter, Limits
from encaja.rest.webhook import Webhook
from integration.carryover.portals import BUFFERS, SIZES, Site, install_cloud, served
from support.mariadb import disposable_mariadb

pytestmark = pytest.mark.integration
EVER = datetime(2000, 1, 1, tzinfo=UTC)
FREE = Limits(rate=1000, burst=100_000)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("cloud")
    (home / "db").mkdir()
    with disposable_mariadb(home / "db", BUFFERS) as sock:
        site = install_cloud(home, sock, SIZES)
        site.option("encaja", "rest_bucket", "100000")
        with served(site, workers=4):
            yield site


def use(
    site: Site, folder: Path, scene: Callable[[RestClient], Awaitable[Any]], limits: Limits = FREE, **more: Any
) -> Any:
    async def whole() -> Any:
        webhook = more.pop("webhook", None) or Webhook.parse(site.webhook)
        limiter = Limiter(webhook.host, folder, limits)
        async with RestClient(webhook, limiter, patience=20, **more) as portal:
            result = await scene(portal)
            assert limiter.refusals == 0
            return result

    return asyncio.run(whole())


def changed(site: Site, folder: Path, entity: str, since: datetime) -> dict[str, Record]:
    async def scene(portal: RestClient) -> dict[str, Record]:
        found: dict[str, Record] = {}
        async for page in Reader(portal).changed(entity, since):
            for record in page:
                assert record.id not in found, "nothing comes twice"
                found[record.id] = record
        return found

    return dict(use(site, folder, scene))


COUNTS = {
    "lead": "SELECT COUNT(*) FROM b_crm_lead",
    "deal": "SELECT COUNT(*) FROM b_crm_deal",
    "contact": "SELECT COUNT(*) FROM b_crm_contact",
    "company": "SELECT COUNT(*) FROM b_crm_company",
    "requisite": "SELECT COUNT(*) FROM b_crm_requisite",
    "bank_detail": "SELECT COUNT(*) FROM b_crm_bank_detail",
    "address": "SELECT COUNT(*) FROM b_crm_addr WHERE ENTITY_TYPE_ID=1 OR"
    " (ENTITY_TYPE_ID=8 AND ENTITY_ID IN (SELECT ID FROM b_crm_requisite))",
    "activity": "SELECT COUNT(*) FROM b_crm_act",
    "comment": "SELECT COUNT(*) FROM b_crm_timeline t JOIN b_crm_timeline_bind b ON b.OWNER_ID=t.ID WHERE t.TYPE_ID=7",
    "task": "SELECT COUNT(*) FROM b_tasks WHERE ZOMBIE='N'",
    "task_comment": "SELECT COUNT(*) FROM b_forum_message m JOIN b_tasks t ON t.FORUM_TOPIC_ID=m.TOPIC_ID"
    " WHERE m.NEW_TOPIC<>'Y' AND m.APPROVED='Y' AND m.FORUM_ID=8",
    "checklist": "SELECT COUNT(*) FROM b_tasks_checklist_items",
}


@pytest.mark.parametrize("entity", [entity for entity in READ if entity in COUNTS])
def test_everything_is_read_once(cloud: Site, tmp_path: Path, entity: str) -> None:
    expected = cloud.value(COUNTS[entity])
    assert expected > 0 or entity == "bank_detail"
    assert len(changed(cloud, tmp_path, entity, EVER)) == expected


def test_product_rows_hang_from_their_owners(cloud: Site, tmp_path: Path) -> None:
    records = changed(cloud, tmp_path, "product_rows", EVER)
    assert len(records) == cloud.value(COUNTS["lead"]) + cloud.value(COUNTS["deal"])
    rows = [row for record in records.values() for row in record.fields["rows"]]
    assert len(rows) == cloud.value("SELECT COUNT(*) FROM b_crm_product_row") > 0
    assert all(str(row["ownerId"]) == record.id[2:] for record in records.values() for row in record.fields["rows"])


def test_what_changes_is_reported_with_what_belongs_to_it(cloud: Site, tmp_path: Path) -> None:
    time.sleep(1.1)
    since = datetime.now(UTC).replace(microsecond=0)
    company = cloud.rest("crm.company.add", fields={"TITLE": "Solaria"})
    contact = cloud.rest("crm.contact.add", fields={"NAME": "Eva", "COMPANY_IDS": [company, 1]})
    requisite = cloud.rest("crm.requisite.add", fields={"ENTITY_TYPE_ID": 4, "ENTITY_ID": company, "NAME": "Fiscal"})
    bank = cloud.rest("crm.requisite.bankdetail.add", fields={"ENTITY_ID": requisite, "NAME": "Banco"})
    address = {"TYPE_ID": 1, "ENTITY_TYPE_ID": 8, "ENTITY_ID": requisite, "CITY": "Sevilla"}
    cloud.rest("crm.address.add", fields=address)
    cloud.rest("crm.deal.update", id=3, fields={"TITLE": "cambiado", "CONTACT_IDS": [contact, 2]})
    file = ["plano.txt", base64.b64encode(b"muro").decode()]
    comment = cloud.rest(
        "crm.timeline.comment.add", fields={"ENTITY_TYPE": "lead", "ENTITY_ID": 5, "COMMENT": "nuevo", "FILES": [file]}
    )
    fields = {"OWNER_TYPE_ID": 1, "OWNER_ID": 6, "TYPE_ID": 4, "SUBJECT": "correo", "FILES": [{"fileData": file}],
              "COMMUNICATIONS": [{"TYPE": "EMAIL", "VALUE": "a@b.test"}]}  # fmt: skip
    activity = cloud.rest("crm.activity.add", fields=fields)
    cloud.rest("crm.activity.binding.add", activityId=activity, entityTypeId=2, entityId=3)
    said = cloud.rest("task.commentitem.add", TASKID=2, FIELDS={"POST_MESSAGE": "hecho"})
    item = cloud.rest("task.checklistitem.add", TASKID=4, FIELDS={"TITLE": "revisar"})

    found = {entity: changed(cloud, tmp_path, entity, since) for entity in READ}
    assert {entity: set(records) for entity, records in found.items() if entity != "checklist"} == {
        "company": {str(company)},
        "contact": {str(contact)},
        "lead": set(),
        "deal": {"3"},
        "requisite": {str(requisite)},
        "bank_detail": {str(bank)},
        "activity": {str(activity)},
        "task": {"4"},
        "product_rows": {"D:3"},
        "address": {f"1:8:{requisite}"},
        "comment": {str(comment)},
        "task_comment": set(found["task_comment"]),
    }
    assert str(item) in found["checklist"]
    assert str(said) in found["task_comment"]
    assert found["deal"]["3"].fields["contactIds"] == [contact, 2]
    assert found["contact"][str(contact)].fields["companyIds"] == [company, 1]
    letter = found["activity"][str(activity)].fields
    assert letter["BINDINGS"] == [{"entityTypeId": 1, "entityId": 6}, {"entityTypeId": 2, "entityId": 3}]
    assert letter["COMMUNICATIONS"][0]["VALUE"] == "a@b.test"
    (attached,) = found["comment"][str(comment)].fields["FILES"].values()

    async def download(portal: RestClient) -> list[int]:
        sizes = []
        for number, file in enumerate((letter["FILES"][0], attached)):
            held = (await portal.call("disk.file.get", {"id": file["id"]})).result
            target = tmp_path / f"file{number}"
            sizes.append((await portal.fetch(held["DOWNLOAD_URL"], target, limit=10, size=int(held["SIZE"]))).size)
        return sizes

    assert use(cloud, tmp_path, download) == [4, 4]
    assert {(tmp_path / f"file{n}").read_text() for n in range(2)} == {"muro"}


def test_records_are_fetched_by_identifier_and_the_missing_left_out(cloud: Site, tmp_path: Path) -> None:
    async def scene(portal: RestClient) -> dict[str, list[str]]:
        reader = Reader(portal)
        kinds = ("lead", "activity", "task", "comment")
        return {kind: [record.id for record in await reader.fetch(kind, ["1", "999999", "2"])] for kind in kinds}

    found = use(cloud, tmp_path, scene)
    comments = {str(row["ID"]) for row in cloud.sql("SELECT ID FROM b_crm_timeline WHERE TYPE_ID=7 AND ID < 3")}
    assert found == {"lead": ["1", "2"], "activity": ["1", "2"], "task": ["1", "2"], "comment": sorted(comments)}


def test_deletions_show_in_the_events_of_an_application(cloud: Site, tmp_path: Path) -> None:
    token = cloud.tool("app", "--code", "encaja.carry")
    application = Webhook(cloud.url, token=token)

    async def prepare(portal: RestClient) -> bool:
        assert await OfflineEvents(portal).bind() == {}
        return await OfflineEvents(portal).confirmable()

    assert use(cloud, tmp_path, prepare, webhook=application) is True
    lead = cloud.rest("crm.lead.add", fields={"TITLE": "fugaz"})
    cloud.rest("crm.lead.delete", id=lead)
    task = cloud.rest("tasks.task.add", fields={"TITLE": "fugaz"})["task"]["id"]
    cloud.rest("tasks.task.delete", taskId=task)

    async def lost(portal: RestClient) -> None:
        await OfflineEvents(portal).take()  # and nobody hears of it

    async def taken(portal: RestClient) -> set[tuple[str, str]]:
        events = OfflineEvents(portal)
        parts = await events.take()
        for part in parts:
            await events.confirm(part)
        assert await events.take() == []
        return {(change.entity, change.id) for part in parts for change in part.changes if change.what == "deleted"}

    use(cloud, tmp_path, lost, webhook=application)
    assert use(cloud, tmp_path, taken, webhook=application) == {("lead", str(lead)), ("task", str(task))}


def test_webhook_that_may_not_is_reported_what_it_lacks(cloud: Site, tmp_path: Path) -> None:
    narrow = Webhook.parse(
        f"{cloud.url}/rest/{cloud.tool('webhook', '--user', '1', '--title', 'n', '--scope', 'task')}/"
    )
    for webhook, hint in (
        (narrow, "give the webhook the scope crm"),
        (Webhook(cloud.url, "1/nothing"), "make one as an active administrator"),
        (Webhook(cloud.url, token="gone"), "make a new webhook"),
    ):
        with pytest.raises(AccessError, match=hint):
            use(cloud, tmp_path, lambda portal: portal.call("crm.lead.list"), webhook=webhook)


def _read_titles(url: str, folder: str, address: str, reported: Any) -> None:
    async def whole() -> None:
        import httpx

        limiter = Limiter("cloud", Path(folder), Limits(rate=4, burst=30))
        transport = httpx.AsyncHTTPTransport(local_address=address)
        async with RestClient(Webhook.parse(url), limiter, transport=transport) as portal:
            for _ in range(12):
                await asyncio.gather(*(portal.call("server.time") for _ in range(2)))
            reported.put((limiter.refusals, portal.requests))

    asyncio.run(whole())


def test_processes_share_one_address_and_none_is_refused(cloud: Site, tmp_path: Path) -> None:
    """Three processes, 72 requests, a bucket of 30 and 4 per second."""
    cloud.option("encaja", "rest_bucket", "30")
    cloud.option("encaja", "rest_rate", "4")
    try:
        context = multiprocessing.get_context("spawn")
        reported = context.Queue()
        arguments = (cloud.webhook, str(tmp_path), "127.0.0.9", reported)
        workers = [context.Process(target=_read_titles, args=arguments) for _ in range(3)]
        for worker in workers:
            worker.start()
        results = [reported.get(timeout=120) for _ in workers]
        for worker in workers:
            worker.join()
        assert results == [(0, 24)] * 3
    finally:
        cloud.option("encaja", "rest_bucket", "100000")
        cloud.option("encaja", "rest_rate", "2")


def test_operating_time_is_waited_for_until_the_portal_frees_it(cloud: Site, tmp_path: Path) -> None:
    """A limit of one second, of which each call takes a part; the window goes on in the limiter's own clock."""
    cloud.option("encaja", "rest_operating_limit", "1")
    cloud.option("encaja", "rest_operating_factor", "20")
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        raise TimeoutError

    async def whole() -> int:
        limiter = Limiter("cloud", tmp_path, Limits(rate=1000, burst=100_000, operating=1.0), sleep=sleep)
        async with RestClient(Webhook.parse(cloud.webhook), limiter) as portal:
            for number in range(1000):
                try:
                    await portal.batch([Command("crm.lead.list", {"start": -1})])
                except TimeoutError:
                    assert limiter.refusals == 0
                    return number
        raise AssertionError("it never had to wait")

    try:
        assert asyncio.run(whole()) > 0
        assert 1 < pauses[-1] <= 60
    finally:
        cloud.option("encaja", "rest_operating_limit", "480")
        cloud.option("encaja", "rest_operating_factor", "1")
