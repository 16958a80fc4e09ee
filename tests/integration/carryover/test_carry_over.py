"""From a stand-in cloud into the box restored from its backup, by the host tools as systemd starts them."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from encaja.cli.carryover import read_answers
from integration.carryover.portals import Sales, Site, write_job
from integration.carryover.windows import fill_window

pytestmark = pytest.mark.integration
PYTHON = Path(__file__).parents[3] / "python"


def start(mode: str, job: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "encaja.host_tools", f"carry-over-{mode}", str(job)],
        env=os.environ | {"PYTHONPATH": str(PYTHON)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(mode: str, job: Path, code: int = 0) -> dict[str, Any]:
    """Run a tool to its end; returns its status."""
    process = start(mode, job)
    _, reported = process.communicate(timeout=300)
    assert process.returncode == code, reported
    state = json.loads(job.read_text())["state"]
    return dict(json.loads((Path(state) / f"{mode}.json").read_text()))


def now() -> str:
    """The moment from which on records count; the second is over when this returns."""
    text = datetime.now(UTC).isoformat(timespec="seconds")
    time.sleep(1.05)
    return text


def doubles(box: Site, table: str) -> list[dict[str, Any]]:
    return box.sql(
        f"SELECT ORIGIN_ID, COUNT(*) n FROM {table} WHERE ORIGINATOR_ID='encaja' GROUP BY ORIGIN_ID HAVING n > 1"
    )


def carried_once(box: Site, leads: list[int]) -> bool:
    """Whether the box has each of the cloud's leads, and none of them twice."""
    origins = [row["ORIGIN_ID"] for row in box.sql("SELECT ORIGIN_ID FROM b_crm_lead WHERE ORIGINATOR_ID='encaja'")]
    return {str(lead) for lead in leads} <= set(origins) and len(origins) == len(set(origins))


def test_records_with_links_arrive_whole_and_once(portals: tuple[Site, Site], tmp_path: Path) -> None:
    cloud, box = portals
    job = write_job(tmp_path, cloud, box, since=now())
    company = cloud.rest("crm.company.add", fields={"TITLE": "Nueva SL", "PHONE": [{"VALUE": "+34911111111"}]})
    contact = cloud.rest(
        "crm.contact.add", fields={"NAME": "Eva", "COMPANY_ID": company, "EMAIL": [{"VALUE": "eva@x.test"}]}
    )
    text = f"https://cloud.encaja.test/crm/contact/details/{contact}/ [USER=3]Ana[/USER]"
    lead = cloud.rest(
        "crm.lead.add", fields={"TITLE": "L", "CONTACT_ID": contact, "UF_CRM_BRANCH": "N", "COMMENTS": text}
    )
    deal = cloud.rest(
        "crm.deal.add",
        fields={
            "TITLE": "D",
            "CONTACT_ID": contact,
            "CONTACT_IDS": [contact, 3],
            "COMPANY_ID": company,
            "LEAD_ID": lead,
            "OPPORTUNITY": 12.5,
        },
    )
    time.sleep(1.05)
    box.rest("crm.lead.add", fields={"TITLE": "made in the box"})  # so that identifiers run apart
    box.rest("crm.contact.add", fields={"NAME": "made in the box"})
    shown = run("preview", job)["result"]
    assert shown["new"] == {"company": 1, "contact": 1, "lead": 1, "deal": 1}
    assert not box.value("SELECT COUNT(*) FROM b_crm_deal WHERE ORIGINATOR_ID='encaja'")

    proof = run("once", job)["result"]
    assert (proof["differences"], proof["missing"], proof["doubled"]) == (0, 0, 0), proof
    here = {kind: box.sql(f"SELECT * FROM b_crm_{kind} WHERE ORIGINATOR_ID='encaja'")[0]
            for kind in ("company", "contact", "lead", "deal")}  # fmt: skip
    assert here["lead"]["ID"] != lead
    assert here["contact"]["ID"] != contact
    assert here["contact"]["COMPANY_ID"] == here["company"]["ID"]
    assert here["lead"]["CONTACT_ID"] == here["contact"]["ID"]
    assert here["deal"]["LEAD_ID"] == here["lead"]["ID"]
    assert here["lead"]["COMMENTS"] == f"{box.url}/crm/contact/details/{here['contact']['ID']}/ [USER=3]Ana[/USER]"
    linked = box.sql("SELECT CONTACT_ID FROM b_crm_deal_contact WHERE DEAL_ID=%s ORDER BY SORT", here["deal"]["ID"])
    assert [row["CONTACT_ID"] for row in linked] == [here["contact"]["ID"], 3]
    there = cloud.sql("SELECT DATE_CREATE, CREATED_BY_ID FROM b_crm_lead WHERE ID=%s", lead)[0]
    assert (here["lead"]["DATE_CREATE"], here["lead"]["CREATED_BY_ID"]) == tuple(there.values())
    assert run("once", job)["result"]["carried"] == proof["carried"]
    assert box.value("SELECT COUNT(*) FROM b_crm_deal WHERE ORIGIN_ID=%s", deal) == 1


def test_a_rehearsal_ends_while_people_work_on_in_the_cloud(portals: tuple[Site, Site], tmp_path: Path) -> None:
    cloud, box = portals
    job = write_job(tmp_path, cloud, box, since=now(), in_use=True)
    sales = Sales(cloud, per_second=2)
    sales.start()
    try:
        time.sleep(3)
        proof = run("once", job)["result"]
        again = run("reconcile", job)["result"]
    finally:
        sales.halt.set()
        sales.join()
    for body in (proof, again):
        assert (body["differences"], body["missing"], body["doubled"]) == (0, 0, 0), body["records"]
        assert (body["frozen"], body["stragglers"]) == ("", [])
    assert again["carried"] >= 3, "what was there when it began was compared"
    assert again["later"] > 0, "what came meanwhile is counted"
    last = run("once", job)["result"]
    assert (last["differences"], last["later"]) == (0, 0)
    assert carried_once(box, sales.made)


def test_what_is_being_written_when_the_freeze_begins_is_carried(portals: tuple[Site, Site], tmp_path: Path) -> None:
    cloud, box = portals
    job = write_job(tmp_path, cloud, box, since=now(), overlap=10.0)
    seen = cloud.rest("crm.lead.add", fields={"TITLE": "seen"})
    stamp = cloud.value("SELECT DATE_CREATE FROM b_crm_lead WHERE ID=%s", seen)
    with cloud.being_written("b_crm_lead", seen, TITLE="slow", DATE_CREATE=stamp, DATE_MODIFY=stamp):
        process = start("once", job)
        while not box.value("SELECT COUNT(*) FROM b_crm_lead WHERE ORIGIN_ID=%s", str(seen)):
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(1)  # some rounds in which there is nothing new
    _, reported = process.communicate(timeout=300)
    assert process.returncode == 0, reported
    assert box.value("SELECT COUNT(*) FROM b_crm_lead WHERE TITLE='slow' AND ORIGINATOR_ID='encaja'") == 1


def test_the_freeze_ends_though_somebody_goes_on_and_says_who(portals: tuple[Site, Site], tmp_path: Path) -> None:
    cloud, box = portals
    job = write_job(tmp_path, cloud, box, since=now())
    sales = Sales(cloud, per_second=2)
    sales.start()
    try:
        time.sleep(2)
        proof = run("once", job)["result"]
    finally:
        sales.halt.set()
        sales.join()
    assert proof["stragglers"]
    assert proof["later"] == 0, "at the freeze nothing is left out of the comparison"
    assert run("once", job)["result"]["differences"] == 0
    assert not doubles(box, "b_crm_lead")
    assert carried_once(box, sales.made)


def test_changes_conflicts_and_deletions(portals: tuple[Site, Site], tmp_path: Path) -> None:
    cloud, box = portals
    moment = now()
    job = write_job(tmp_path, cloud, box, since=moment, restored=datetime.now().isoformat(timespec="seconds"),
                    conflicts="box")  # fmt: skip
    run("once", job)
    time.sleep(1.1)
    cloud.rest("crm.lead.update", id=5, fields={"TITLE": "from the cloud", "PHONE": [{"VALUE": "+34600999888"}]})
    cloud.rest("crm.lead.update", id=6, fields={"TITLE": "cloud", "NAME": "same"})
    box.rest("crm.lead.update", id=6, fields={"TITLE": "box", "NAME": "same", "POST": "only in the box"})
    cloud.rest("crm.deal.delete", id=7)
    cloud.rest("crm.deal.delete", id=8)
    box.rest("crm.deal.update", id=8, fields={"TITLE": "worked on in the box"})
    proof = run("once", job)["result"]
    assert proof["differences"] == 0, proof["records"]
    assert box.value("SELECT TITLE FROM b_crm_lead WHERE ID=5") == "from the cloud"
    assert (
        box.value(
            "SELECT COUNT(*) FROM b_crm_field_multi WHERE ENTITY_ID='LEAD' AND ELEMENT_ID=5 AND VALUE='+34600999888'"
        )
        == 1
    )
    assert box.value("SELECT TITLE FROM b_crm_lead WHERE ID=6") == "box"
    listed = {(item["entity"], item["cloud"], item["field"]): item for item in proof["conflicts"]}
    assert listed["lead", "6", "title"]["value_in_cloud"] == "cloud"
    assert listed["lead", "6", "title"]["value_in_box"] == "box"
    assert ("lead", "6", "post") not in listed or listed["lead", "6", "post"]["decided_for"] == "box"
    assert not box.value("SELECT COUNT(*) FROM b_crm_deal WHERE ID=7")
    assert box.value("SELECT COUNT(*) FROM b_crm_deal WHERE ID=8") == 1
    assert ("deal", "8", "(record)") in listed


def test_webhooks_that_cannot_be_used_are_reported_before_anything_happens(
    portals: tuple[Site, Site], tmp_path: Path
) -> None:
    cloud, box = portals
    expired = write_job(tmp_path, cloud, box, since=now(), cloud_webhook=f"{cloud.url}/rest/1/expired-code/")
    assert "refused" in run("once", expired, code=2)["error"]
    poor = cloud.tool("webhook", "--user", "3", "--title", "poor")
    job = write_job(tmp_path, cloud, box, since=now(), cloud_webhook=f"{cloud.url}/rest/{poor}/")
    reported = run("once", job, code=2)["error"]
    assert "not an administrator's" in reported
    assert "expired-code" not in reported and poor.partition("/")[2] not in reported


@pytest.mark.fault("kill -9: host tool", "carry-over", "at random moments")
def test_killed_at_random_moments_nothing_is_missing_and_nothing_doubled(
    portals: tuple[Site, Site], tmp_path: Path
) -> None:
    cloud, box = portals
    job = write_job(tmp_path, cloud, box, since=now(), patience=2.0)
    for number in range(150):
        fields = {"TITLE": f"K{number}", "PHONE": [{"VALUE": f"+346{number:08d}"}]}
        lead = cloud.rest("crm.lead.add", fields=fields)
        if number % 10 == 0:
            said = {"ENTITY_TYPE": "lead", "ENTITY_ID": lead, "COMMENT": f"said K{number}"}
            cloud.rest("crm.timeline.comment.add", fields=said)
            call = {
                "OWNER_TYPE_ID": 1,
                "OWNER_ID": lead,
                "TYPE_ID": 2,
                "SUBJECT": f"call K{number}",
                "RESPONSIBLE_ID": 3,
            }
            cloud.rest("crm.activity.add", fields=call)
            cloud.rest("tasks.task.add", fields={"TITLE": f"task K{number}", "RESPONSIBLE_ID": 3})
    many = {"contacts": 150, "leads": 150, "deals": 100}
    fill_window(cloud, many)
    dice = random.Random(6)
    for _ in range(20):
        process = start("once", job)
        time.sleep(0.7 + dice.random() * 4)
        process.kill()
        process.communicate()
    proof = run("once", job)["result"]
    assert (proof["missing"], proof["doubled"], proof["differences"]) == (0, 0, 0), proof["records"]
    assert box.value("SELECT COUNT(*) FROM b_crm_lead WHERE TITLE LIKE 'K%%' AND ORIGINATOR_ID='encaja'") == 150
    for kind, number in many.items():
        table = f"b_crm_{kind[:-1]}"
        name = "LAST_NAME" if kind == "contacts" else "TITLE"
        arrived = box.value(f"SELECT COUNT(*) FROM {table} WHERE {name} LIKE 'bulk %%' AND ORIGINATOR_ID='encaja'")
        assert (arrived, doubles(box, table)) == (number, [])
    for table, field in (("b_crm_timeline", "COMMENT"), ("b_crm_act", "SUBJECT"), ("b_tasks", "TITLE")):
        arrived = [row[field] for row in box.sql(f"SELECT {field} FROM {table} WHERE {field} LIKE '%% K%%0'")]
        assert len(arrived) == len(set(arrived)) == 15, (table, sorted(arrived))


def test_what_is_left_open_is_decided_by_a_person_and_applied_by_the_next_pass(
    portals: tuple[Site, Site], tmp_path: Path
) -> None:
    cloud, box = portals
    job = write_job(tmp_path, cloud, box, since=now(), restored=datetime.now().isoformat(timespec="seconds"),
                    conflicts="ask", deletions="ask")  # fmt: skip
    run("once", job)
    time.sleep(1.1)
    for number in (21, 22, 23):
        cloud.rest("crm.lead.update", id=number, fields={"TITLE": f"cloud {number}", "PHONE": [{"VALUE": "+34699"}]})
        box.rest("crm.lead.update", id=number, fields={"TITLE": f"box {number}"})
    rows = [{"PRODUCT_NAME": "Piso", "PRICE": 7, "QUANTITY": 1}]
    cloud.rest("crm.deal.productrows.set", id=21, rows=rows)
    box.rest("crm.deal.productrows.set", id=21, rows=[{**rows[0], "PRICE": 9}])
    for number in (31, 32):
        cloud.rest("crm.deal.delete", id=number)
    proof = run("once", job)["result"]
    assert proof["open_conflicts"] >= 5, proof["conflicts"]
    title = "SELECT TITLE FROM b_crm_lead WHERE ID=%s"
    assert [box.value(title, number) for number in (21, 22, 23)] == ["box 21", "box 22", "box 23"]

    def decide(*texts: str) -> dict[str, Any]:
        state = Path(json.loads(job.read_text())["state"])
        (state / "decisions.json").write_text(json.dumps(read_answers(texts)))
        return dict(run("decide", job)["result"])

    listed = {(row["entity"], row["cloud"], row["field"]): row for row in decide()["open"]}
    row = listed["lead", "21", "title"]
    assert (row["value_in_cloud"], row["value_in_box"]) == ("cloud 21", "box 21")
    decide("lead:21.title=cloud", "lead:22.title=box", "lead:23.title=cloud", "deal:31=cloud", "deal:32=box")
    box.rest("crm.lead.update", id=23, fields={"TITLE": "changed once more"})
    proof = run("once", job)["result"]
    assert [box.value(title, number) for number in (21, 22, 23)] == ["cloud 21", "box 22", "changed once more"]
    assert (box.value("SELECT COUNT(*) FROM b_crm_deal WHERE ID=31"),
            box.value("SELECT COUNT(*) FROM b_crm_deal WHERE ID=32")) == (0, 1)  # fmt: skip
    decided = {(item["cloud"], item["field"]): item["decided_for"] for item in proof["conflicts"]}
    assert (decided["21", "title"], decided["22", "title"]) == ("cloud", "box")
    assert decided["23", "title"] == "open", "what was decided on is not what is there any more"
    left = {(row["cloud"], row["field"]): row["value_in_box"] for row in decide()["open"]}
    assert left["23", "title"] == "changed once more"
    if ("product_rows", "D:21", "rows") in listed:
        decide("product_rows:D:21=cloud")
        run("once", job)
        assert box.value("SELECT PRICE FROM b_crm_product_row WHERE OWNER_TYPE='D' AND OWNER_ID=21") == 7
