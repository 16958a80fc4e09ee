"""What hangs from records: requisites, addresses, rows, activities with files, comments, tasks."""

from __future__ import annotations

import base64
import time
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest

from integration.carryover.portals import Site, write_job
from integration.carryover.test_carry_over import now, run

pytestmark = pytest.mark.integration


def test_everything_that_hangs_from_a_record_arrives_once(portals: tuple[Site, Site], tmp_path: Path) -> None:
    cloud, box = portals
    job = write_job(tmp_path, cloud, box, since=now())
    box.rest("crm.activity.add", fields={"OWNER_TYPE_ID": 1, "OWNER_ID": 2, "TYPE_ID": 6, "SUBJECT": "of the box"})
    company = cloud.rest("crm.company.add", fields={"TITLE": "Con todo SL"})
    requisite = cloud.rest(
        "crm.requisite.add",
        fields={"ENTITY_TYPE_ID": 4, "ENTITY_ID": company, "PRESET_ID": 1, "NAME": "R", "RQ_VAT_ID": "ESB1"},
    )
    cloud.rest("crm.address.add", fields={"TYPE_ID": 1, "ENTITY_TYPE_ID": 8, "ENTITY_ID": requisite, "CITY": "Elche"})
    deal = cloud.rest("crm.deal.add", fields={"TITLE": "Con filas", "COMPANY_ID": company})
    cloud.rest("crm.deal.productrows.set", id=deal, rows=[{"PRODUCT_NAME": "Piso", "PRICE": 100, "QUANTITY": 2}])
    content = base64.b64encode(b"a paper").decode()
    call = cloud.rest(
        "crm.activity.add",
        fields={"OWNER_TYPE_ID": 2, "OWNER_ID": deal, "TYPE_ID": 2, "SUBJECT": "Call", "COMPLETED": "Y",
                "RESPONSIBLE_ID": 3,
                "COMMUNICATIONS": [{"TYPE": "PHONE", "VALUE": "+34600", "ENTITY_ID": company, "ENTITY_TYPE_ID": 4}],
                "FILES": [{"fileData": ["paper.txt", content]}]},
    )  # fmt: skip
    said = "said [USER=3]Ana[/USER]"
    cloud.rest("crm.timeline.comment.add",
               fields={"ENTITY_TYPE": "deal", "ENTITY_ID": deal, "AUTHOR_ID": 4, "COMMENT": said})  # fmt: skip
    cloud.rest("crm.timeline.comment.add", fields={"ENTITY_TYPE": "lead", "ENTITY_ID": 3, "COMMENT": "on an old lead"})
    task = cloud.rest(
        "tasks.task.add", fields={"TITLE": "Visit", "RESPONSIBLE_ID": 3, "CREATED_BY": 4, "UF_CRM_TASK": [f"D_{deal}"]}
    )["task"]["id"]
    cloud.rest("task.commentitem.add", TASKID=task, FIELDS={"POST_MESSAGE": "done soon", "AUTHOR_ID": 3})
    cloud.rest("task.checklistitem.add", TASKID=task, FIELDS={"TITLE": "keys", "IS_COMPLETE": "Y"})
    papers = {"TITLE": "papers", "PARENT_ID": 0, "SORT_INDEX": 1}
    second = cloud.rest("task.checklistitem.add", TASKID=task, FIELDS=papers)
    cloud.rest("task.checklistitem.add", TASKID=task, FIELDS={"TITLE": "plan", "PARENT_ID": second})
    time.sleep(1.05)
    first = run("once", job)["result"]
    assert first["faults"] == [], first["faults"]
    assert first["differences"] == 0, first["records"]
    second = run("once", job)["result"]
    assert second["faults"] == [] and second["carried"] == first["carried"]

    here = {name: int(box.value(f"SELECT ID FROM b_crm_{name} WHERE ORIGIN_ID=%s AND ORIGINATOR_ID='encaja'", number))
            for name, number in (("company", company), ("deal", deal))}  # fmt: skip
    [bill] = box.sql("SELECT * FROM b_crm_requisite WHERE ENTITY_TYPE_ID=4 AND ENTITY_ID=%s", here["company"])
    assert bill["RQ_VAT_ID"] == "ESB1"
    assert box.value("SELECT CITY FROM b_crm_addr WHERE ENTITY_TYPE_ID=8 AND ENTITY_ID=%s", bill["ID"]) == "Elche"
    [row] = box.sql("SELECT * FROM b_crm_product_row WHERE OWNER_TYPE='D' AND OWNER_ID=%s", here["deal"])
    assert (row["PRODUCT_NAME"], float(row["PRICE"]), float(row["QUANTITY"])) == ("Piso", 100.0, 2.0)
    [activity] = box.sql("SELECT * FROM b_crm_act WHERE OWNER_TYPE_ID=2 AND OWNER_ID=%s AND TYPE_ID=2", here["deal"])
    there = cloud.sql("SELECT * FROM b_crm_act WHERE ID=%s", call)[0]
    assert activity["ID"] != call
    assert (activity["CREATED"], activity["AUTHOR_ID"]) == (there["CREATED"], there["AUTHOR_ID"])
    [file] = box.rest("crm.activity.get", id=activity["ID"])["FILES"]
    assert box.rest("disk.file.get", id=file["id"])["NAME"].startswith("paper")
    [comment] = box.sql(
        "SELECT t.* FROM b_crm_timeline t JOIN b_crm_timeline_bind b ON b.OWNER_ID=t.ID"
        " WHERE b.ENTITY_TYPE_ID=2 AND b.ENTITY_ID=%s AND t.TYPE_ID=7", here["deal"],
    )  # fmt: skip
    assert (comment["COMMENT"], comment["AUTHOR_ID"]) == ("said [USER=3]Ana[/USER]", 4)
    assert box.value("SELECT COUNT(*) FROM b_crm_timeline WHERE COMMENT='on an old lead'") == 1
    [job_] = box.sql("SELECT * FROM b_tasks WHERE TITLE='Visit'")
    assert (job_["CREATED_BY"], job_["RESPONSIBLE_ID"]) == (4, 3)
    about = box.rest("tasks.task.get", taskId=job_["ID"], select=["UF_CRM_TASK"])["task"]["ufCrmTask"]
    assert about == [f"D_{here['deal']}"]
    assert box.value("SELECT COUNT(*) FROM b_forum_message WHERE POST_MESSAGE='done soon'") == 1
    items = box.sql(
        "SELECT i.TITLE, i.IS_COMPLETE, p.TITLE LIST FROM b_tasks_checklist_items i"
        " LEFT JOIN b_tasks_checklist_items_tree t ON t.CHILD_ID=i.ID AND t.LEVEL=1"
        " LEFT JOIN b_tasks_checklist_items p ON p.ID=t.PARENT_ID WHERE i.TASK_ID=%s", job_["ID"],
    )  # fmt: skip
    assert {(item["TITLE"], item["IS_COMPLETE"], item["LIST"]) for item in items} == {
        ("BX_CHECKLIST_1", "N", None), ("keys", "Y", "BX_CHECKLIST_1"), ("papers", "N", None), ("plan", "N", "papers"),
    }  # fmt: skip


def test_files_in_fields_arrive_change_and_stay_where_the_backup_brought_them(
    portals: tuple[Site, Site], tmp_path: Path
) -> None:
    cloud, box = portals

    def data(text: str) -> list[str]:
        return [f"{text}.txt", base64.b64encode(text.encode()).decode()]

    def held(site: Site, number: int, name: str) -> list[tuple[str, str]]:
        """Name and content of a lead's files."""
        value = site.rest("crm.item.get", entityTypeId=1, id=number)["item"][name]
        found = []
        for item in value if isinstance(value, list) else [value] if value else []:
            asked = {"User-Agent": "Test/1.0", "Accept-Language": "en", "Referer": f"{site.url}/"}
            answer = httpx.get(item["urlMachine"], headers=asked)
            found.append((unquote(answer.headers["content-disposition"].rpartition("''")[2]), answer.text))
        return found

    for site in portals:
        for name, several in (("PLAN", "N"), ("PAPERS", "Y")):
            site.rest(
                "crm.lead.userfield.add", fields={"FIELD_NAME": name, "USER_TYPE_ID": "file", "MULTIPLE": several}
            )
    for site in portals:  # as if the backup had brought it
        site.rest("crm.item.update", entityTypeId=1, id=9, fields={"ufCrmPlan": data("old plan")})
    job = write_job(tmp_path, cloud, box, since=now(), restored=datetime.now().isoformat(timespec="seconds"))
    cloud.rest("crm.item.update", entityTypeId=1, id=9, fields={"title": "with an old plan"})
    lead = cloud.rest("crm.item.add", entityTypeId=1, fields={
        "title": "With papers", "ufCrmPlan": data("plan"), "ufCrmPapers": [data("one"), data("two")],
    })["item"]["id"]  # fmt: skip
    gone = cloud.rest("crm.item.add", entityTypeId=1, fields={"title": "G", "ufCrmPlan": data("lost")})["item"]
    cloud.sql("UPDATE b_file SET SUBDIR='nowhere' WHERE ID=%s", gone["ufCrmPlan"]["id"])
    before = box.rest("crm.item.get", entityTypeId=1, id=9)["item"]["ufCrmPlan"]["id"]
    first = run("once", job)["result"]
    here = box.value("SELECT ID FROM b_crm_lead WHERE ORIGINATOR_ID='encaja' AND ORIGIN_ID=%s", str(lead))
    assert held(box, here, "ufCrmPlan") == [("plan.txt", "plan")]
    assert held(box, here, "ufCrmPapers") == [("one.txt", "one"), ("two.txt", "two")]
    assert box.rest("crm.item.get", entityTypeId=1, id=9)["item"]["ufCrmPlan"]["id"] == before
    assert [item["cloud"] for item in first["faults"]] == [f"lead:{gone['id']}:ufCrmPlan"], first["faults"]
    assert {row["what"]["en"]: row["count"] for row in first["not_carried"]}["files in fields of records"] == 1
    assert [row["in_cloud"] for row in first["records"]] == ["files of field ufCrmPlan"], first["records"]

    kept = cloud.rest("crm.item.get", entityTypeId=1, id=lead)["item"]["ufCrmPapers"][1]["id"]
    fields = {"ufCrmPlan": data("new plan"), "ufCrmPapers": [{"id": kept}, data("three")]}
    cloud.rest("crm.item.update", entityTypeId=1, id=lead, fields=fields)
    cloud.rest("crm.item.delete", entityTypeId=1, id=gone["id"])
    second = run("once", job)["result"]
    assert held(box, here, "ufCrmPlan") == [("new plan.txt", "new plan")]
    assert held(box, here, "ufCrmPapers") == [("two.txt", "two"), ("three.txt", "three")]
    assert (second["differences"], second["faults"]) == (0, []), (second["records"], second["faults"])
    files = box.value("SELECT COUNT(*) FROM b_file")
    run("once", job)
    assert box.value("SELECT COUNT(*) FROM b_file") == files, "what has not changed is not sent again"


@pytest.mark.parametrize(
    ("how", "reason"), [("login", "leads to the page /auth/"), ("page", "with text/html"), ("denied", "(denied)")]
)
def test_what_comes_in_place_of_a_file_is_a_fault_and_never_stored(
    portals: tuple[Site, Site], tmp_path: Path, how: str, reason: str
) -> None:
    cloud, box = portals
    if "ufCrmOffer" not in cloud.rest("crm.item.fields", entityTypeId=1)["fields"]:
        for site in portals:
            site.rest("crm.lead.userfield.add", fields={"FIELD_NAME": "OFFER", "USER_TYPE_ID": "file"})
    job = write_job(tmp_path, cloud, box, since=now())
    file = ["offer.pdf", base64.b64encode(b"%PDF-1.7").decode()]
    lead = cloud.rest("crm.item.add", entityTypeId=1, fields={"title": "F", "ufCrmOffer": file})["item"]["id"]
    call = {"OWNER_TYPE_ID": 1, "OWNER_ID": lead, "TYPE_ID": 6, "SUBJECT": "F", "FILES": [{"fileData": file}]}
    activity = cloud.rest("crm.activity.add", fields={**call, "RESPONSIBLE_ID": 3})
    said = {"ENTITY_TYPE": "lead", "ENTITY_ID": lead, "COMMENT": f"F {how}", "FILES": [file]}
    comment = cloud.rest("crm.timeline.comment.add", fields=said)
    before = box.value("SELECT COUNT(*) FROM b_file")
    cloud.option("encaja", "downloads", how)
    try:
        proof = run("once", job)["result"]
    finally:
        cloud.option("encaja", "downloads", "")
    faults = {(item["entity"], item["cloud"]): item["what"] for item in proof["faults"]}
    named = {("file", f"lead:{lead}:ufCrmOffer"), ("activity", str(activity)), ("comment", str(comment))}
    assert named <= set(faults), faults
    assert all(reason in faults[key] for key in named), faults
    assert box.value("SELECT COUNT(*) FROM b_file") == before
    run("once", job)
    assert box.value("SELECT MAX(FILE_SIZE) FROM b_file WHERE ORIGINAL_NAME='offer.pdf'") == 8, "it is tried again"


def test_rows_of_many_records_arrive_few_many_and_none(portals: tuple[Site, Site], tmp_path: Path) -> None:
    cloud, box = portals
    job = write_job(tmp_path, cloud, box, since=now())
    counts = {
        10 + number: count for number, count in enumerate((1, 3, 90, 0, 2, 1))
    }  # more than a batch takes, and none
    for deal, count in counts.items():
        rows = [{"PRODUCT_NAME": f"Piso {n}", "PRICE": n, "QUANTITY": 2} for n in range(count)]
        cloud.rest("crm.deal.productrows.set", id=deal, rows=rows)
    for _ in range(2):
        proof = run("once", job)["result"]
        assert (proof["differences"], proof["faults"], proof["conflicts"]) == (0, [], [])
        here = {deal: box.sql("SELECT PRODUCT_NAME, PRICE FROM b_crm_product_row WHERE OWNER_TYPE='D' AND OWNER_ID=%s"
                              " ORDER BY SORT", deal) for deal in counts}  # fmt: skip
        assert {deal: len(rows) for deal, rows in here.items()} == counts
        assert [row["PRODUCT_NAME"] for row in here[12]] == [f"Piso {n}" for n in range(90)]
    more = [{"PRODUCT_NAME": f"Piso {n}", "PRICE": n, "QUANTITY": 3} for n in range(91)]
    cloud.rest("crm.deal.productrows.set", id=12, rows=more)
    proof = run("once", job)["result"]
    assert (proof["differences"], proof["faults"], proof["conflicts"]) == (0, [], []), "all of the box's rows are seen"
    assert box.value("SELECT COUNT(*) FROM b_crm_product_row WHERE OWNER_TYPE='D' AND OWNER_ID=12 AND QUANTITY=3") == 91
