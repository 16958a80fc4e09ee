"""What is wrong on either side is reported by record; the rest goes on, and what was wrong is tried again."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from integration.carryover.portals import Site, write_job
from integration.carryover.test_carry_over import doubles, now, run, start
from integration.carryover.unreliable_proxy import unreliable

pytestmark = pytest.mark.integration


def carried(box: Site, lead: int, column: str = "ID") -> object:
    """A column of the box's record of a lead of the cloud; None where there is none."""
    return box.value(f"SELECT {column} FROM b_crm_lead WHERE ORIGINATOR_ID='encaja' AND ORIGIN_ID=%s", str(lead))


def test_webhook_without_the_scopes_is_reported_which_it_lacks(portals: tuple[Site, Site], tmp_path: Path) -> None:
    cloud, box = portals
    narrow = cloud.tool("webhook", "--user", "1", "--title", "narrow", "--scope", "crm")
    job = write_job(tmp_path, cloud, box, since=now(), cloud_webhook=f"{cloud.url}/rest/{narrow}/")
    reported = run("once", job, code=2)["error"]
    assert "cloud's webhook" in reported and "lacks the scopes user, task" in reported
    assert narrow.partition("/")[2] not in reported


def test_reference_that_never_comes_is_reported_and_completed_when_it_does(
    portals: tuple[Site, Site], tmp_path: Path
) -> None:
    cloud, box = portals
    job = write_job(tmp_path, cloud, box, since=now())
    lame = cloud.rest("crm.lead.add", fields={"TITLE": "lame"})
    cloud.sql("UPDATE b_crm_lead SET CONTACT_ID=900001 WHERE ID=%s", lame)
    cloud.sql(
        "INSERT INTO b_crm_lead_contact (LEAD_ID, CONTACT_ID, SORT, IS_PRIMARY) VALUES (%s, 900001, 10, 'Y')", lame
    )
    whole = cloud.rest("crm.lead.add", fields={"TITLE": "whole"})
    first = run("once", job)["result"]
    assert carried(box, whole) and carried(box, lame), "the rest goes on"
    [fault] = first["faults"]
    assert (fault["entity"], fault["cloud"]) == ("lead", str(lame))
    assert "refers to contact 900001, which is not there" in fault["what"]
    assert first["differences"] == 1

    cloud.sql(
        "INSERT INTO b_crm_contact (ID, DATE_CREATE, DATE_MODIFY, CREATED_BY_ID, ASSIGNED_BY_ID, NAME, OPENED)"
        " VALUES (900001, NOW(), NOW(), 1, 1, 'Late', 'Y')"
    )
    second = run("once", job)["result"]
    assert (second["faults"], second["differences"]) == ([], 0), second["records"]
    assert box.value("SELECT NAME FROM b_crm_contact WHERE ID=%s", carried(box, lame, "CONTACT_ID")) == "Late"


@pytest.mark.fault("portal 500", "carry-over", "pages come in place of answers")
def test_pages_in_place_of_answers_lose_and_double_nothing(portals: tuple[Site, Site], tmp_path: Path) -> None:
    """Every fifth answer of the cloud is a page; so is that to every second import, which the box has done by then."""
    cloud, box = portals
    since = now()
    leads = [cloud.rest("crm.lead.add", fields={"TITLE": f"behind a proxy {number}"}) for number in range(50)]
    imports: list[int] = []

    def lie(_: int, body: bytes) -> str:
        if b"originId" not in body or b'"data"' not in body:
            return ""
        imports.append(len(imports))
        return "after" if len(imports) % 2 else ""

    with (
        unreliable(cloud.url, lambda number, _: "before" if number % 5 == 4 else "") as before,
        unreliable(box.url, lie) as after,
    ):
        job = write_job(tmp_path, replace(cloud, url=before), replace(box, url=after), since=since)
        proof = run("once", job)["result"]
    assert imports, "the box was asked through the proxy"
    assert (proof["missing"], proof["doubled"], proof["differences"]) == (0, 0, 0), proof["records"]
    assert all(carried(box, lead) for lead in leads)
    assert doubles(box, "b_crm_lead") == []


@pytest.mark.parametrize(("cloud_off", "box_off"), [(0, -90), (600, 0), (-600, 120)])
@pytest.mark.fault("clock jump", "carry-over", "cloud and box differ by minutes")
def test_clocks_that_differ_lose_nothing_and_keep_the_times(
    portals: tuple[Site, Site], tmp_path: Path, cloud_off: int, box_off: int
) -> None:
    cloud, box = portals
    try:
        cloud.option("encaja", "clock", str(cloud_off))
        box.option("encaja", "clock", str(box_off))
        job = write_job(tmp_path, cloud, box)
        assert run("prepare", job)["result"]["since"]
        time.sleep(1.1)
        leads = [cloud.rest("crm.lead.add", fields={"TITLE": f"skewed {number}"}) for number in range(3)]
        cloud.rest("crm.lead.update", id=leads[0], fields={"TITLE": "skewed and changed"})
        proof = run("once", job)["result"]
        assert (proof["missing"], proof["doubled"], proof["differences"]) == (0, 0, 0), proof["records"]
        assert any("the box's clock is" in note for note in proof["notes"])
        made = [cloud.value("SELECT DATE_CREATE FROM b_crm_lead WHERE ID=%s", lead) for lead in leads]
        assert [carried(box, lead, "DATE_CREATE") for lead in leads] == made
        assert carried(box, leads[0], "TITLE") == "skewed and changed"
    finally:
        for site in portals:
            site.option("encaja", "clock", "0")


def test_deletions_come_by_the_clouds_own_events_while_it_follows(portals: tuple[Site, Site], tmp_path: Path) -> None:
    cloud, box = portals
    job = write_job(tmp_path, cloud, box, cloud_token=cloud.tool("app", "--code", "encaja.events"))
    prepared = run("prepare", job)["result"]
    assert (prepared["events"], prepared["not_bound"]) == ("bound", {})
    assert run("prepare", job)["result"]["since"] == prepared["since"], "the first moment counts"
    time.sleep(1.1)
    # From before it is followed, as between the order of the backup and its restore.
    cloud.rest("crm.lead.delete", id=41)
    lead = cloud.rest("crm.lead.add", fields={"TITLE": "to be deleted"})

    def until(holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 120
        while not holds():
            assert follower.poll() is None, follower.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.2)

    follower = start("follow", job)
    try:
        until(lambda: carried(box, lead) and not box.value("SELECT COUNT(*) FROM b_crm_lead WHERE ID=41"))
        cloud.rest("crm.lead.delete", id=lead)
        until(lambda: not carried(box, lead))
        # Those of other applications stay where they are.
        own = "APP_ID = (SELECT ID FROM b_rest_app WHERE CODE = 'encaja.events')"
        until(lambda: not cloud.value(f"SELECT COUNT(*) FROM b_rest_event_offline WHERE {own}"))
        assert cloud.value("SELECT COUNT(*) FROM b_rest_event_offline")
    finally:
        follower.send_signal(signal.SIGTERM)
        follower.communicate()


@pytest.mark.parametrize("language", ["es", "de", "ru"])
def test_portals_in_any_language_take_older_records_and_miss_nothing_that_is_gone(
    portals: tuple[Site, Site], tmp_path: Path, language: str
) -> None:
    cloud, box = portals
    try:
        for site in portals:
            site.sql("UPDATE b_user SET LANGUAGE_ID=%s WHERE ID=1", language)
        job = write_job(tmp_path, cloud, box, since=now())
        fields = {"PHONE": [{"VALUE": "+34600", "VALUE_TYPE": "MOBILE"}], "EMAIL": [{"VALUE": "e@x.test"}]}
        leads = [cloud.rest("crm.lead.add", fields={"TITLE": f"older {n}", **fields}) for n in range(25)]
        call = {"OWNER_TYPE_ID": 1, "TYPE_ID": 6, "SUBJECT": "call", "RESPONSIBLE_ID": 3}
        calls = [cloud.rest("crm.activity.add", fields={**call, "OWNER_ID": lead}) for lead in leads[:2]]
        time.sleep(2.1)
        box.rest("crm.lead.add", fields={"TITLE": "made in the box since"})
        proof = run("once", job)["result"]
        assert (proof["missing"], proof["doubled"], proof["differences"]) == (0, 0, 0), proof["records"]
        assert proof["faults"] == []
        for lead in leads:
            there = cloud.value("SELECT DATE_CREATE FROM b_crm_lead WHERE ID=%s", lead)
            assert carried(box, lead, "DATE_CREATE") == there
        multi = "SELECT TYPE_ID, VALUE_TYPE, VALUE FROM b_crm_field_multi WHERE ENTITY_ID='LEAD' AND ELEMENT_ID=%s"
        assert box.sql(f"{multi} ORDER BY ID", carried(box, leads[0])) == cloud.sql(f"{multi} ORDER BY ID", leads[0])

        # One is gone from both sides, one from the cloud.
        box.rest("crm.activity.delete", id=box.value("SELECT ID FROM b_crm_act WHERE ORIGIN_ID=%s", str(calls[0])))
        for number in calls:
            cloud.rest("crm.activity.delete", id=number)
        for lead in leads[:2]:
            cloud.rest("crm.lead.delete", id=lead)
        second = run("once", job)["result"]
        assert (second["faults"], second["differences"]) == ([], 0), second["records"]
        assert not carried(box, leads[0])
        assert not box.value("SELECT COUNT(*) FROM b_crm_act WHERE ORIGIN_ID IN (%s, %s)", *map(str, calls))
    finally:
        for site in portals:
            site.sql("UPDATE b_user SET LANGUAGE_ID='en' WHERE ID=1")


def test_users_without_a_department_keep_their_records(portals: tuple[Site, Site], tmp_path: Path) -> None:
    cloud, box = portals
    job = write_job(tmp_path, cloud, box, since=now())
    outside = cloud.value("SELECT ID FROM b_user WHERE XML_ID='twin'")
    lead = cloud.rest("crm.lead.add", fields={"TITLE": "of a partner", "ASSIGNED_BY_ID": outside})
    proof = run("once", job)["result"]
    assert (carried(box, lead, "ASSIGNED_BY_ID"), proof["faults"]) == (outside, [])


@pytest.mark.fault("answer lost", "carry-over", "to the second attempt of an import")
def test_lost_answer_to_an_import_without_times_doubles_nothing_of_another_system(
    portals: tuple[Site, Site], tmp_path: Path
) -> None:
    cloud, box = portals
    since = now()
    origins = [{"ORIGINATOR_ID": "shop", "ORIGIN_ID": f"order {n}"} for n in range(3)]
    leads = [cloud.rest("crm.lead.add", fields={"TITLE": "of a shop", **origin}) for origin in origins]
    time.sleep(2.1)
    box.rest("crm.lead.add", fields={"TITLE": "made in the box since"})
    lost: list[bytes] = []

    def lie(_: int, body: bytes) -> str:
        if b'"data"' in body and b"order 1" in body and b"createdTime" not in body and not lost:
            lost.append(body)
            return "after"
        return ""

    with unreliable(box.url, lie) as after:
        job = write_job(tmp_path, cloud, replace(box, url=after), since=since)
        proof = run("once", job)["result"]
    assert lost, "the answer to the second attempt was lost"
    assert (proof["missing"], proof["doubled"], proof["differences"]) == (0, 0, 0), proof["records"]
    rows = box.sql("SELECT ORIGIN_ID, DATE_CREATE FROM b_crm_lead WHERE ORIGINATOR_ID='shop' ORDER BY ID")
    there = [cloud.value("SELECT DATE_CREATE FROM b_crm_lead WHERE ID=%s", lead) for lead in leads]
    assert [(row["ORIGIN_ID"], row["DATE_CREATE"]) for row in rows] == list(
        zip([origin["ORIGIN_ID"] for origin in origins], there, strict=True)
    )
