"""What hangs from a CRM record or a task, as a carry-over reads and writes it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from unit.lab_portal.standin import PortalUnderTest

pytestmark = pytest.mark.integration


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def fetched(portal: PortalUnderTest, address: str) -> str:
    answer = portal.download(address)
    assert answer.headers["content-disposition"].startswith("attachment")
    return answer.text


def held(portal: PortalUnderTest, identifier: int) -> str:
    """What a file of the disk holds."""
    return fetched(portal, portal.result("disk.file.get", {"id": identifier})["DOWNLOAD_URL"])


@pytest.fixture
def company(portal: PortalUnderTest) -> int:
    return int(portal.result("crm.company.add", {"fields": {"TITLE": "Solaria"}}))


def test_requisites_with_bank_details_and_addresses(portal: PortalUnderTest, company: int) -> None:
    fields = {"ENTITY_TYPE_ID": 4, "ENTITY_ID": company, "PRESET_ID": 1, "NAME": "Fiscal", "RQ_VAT_ID": "ESB1",
              "DATE_CREATE": "2001-01-01T00:00:00+00:00"}  # fmt: skip
    requisite = portal.result("crm.requisite.add", {"fields": fields})
    got = portal.result("crm.requisite.get", {"id": requisite})
    assert (got["RQ_VAT_ID"], got["DATE_MODIFY"], got["DATE_CREATE"][:4] > "2001") == ("ESB1", None, True)
    bank = portal.result(
        "crm.requisite.bankdetail.add", {"fields": {"ENTITY_ID": requisite, "NAME": "Banco", "RQ_IBAN": "ES12"}}
    )
    address = {"TYPE_ID": 1, "ENTITY_TYPE_ID": 8, "ENTITY_ID": requisite, "CITY": "Sevilla"}
    assert portal.result("crm.address.add", {"fields": address}) is True
    assert "error" in portal.rest("crm.address.add", {"fields": address}), "there is one of this type"
    portal.result("crm.address.update", {"fields": {**address, "CITY": "Cádiz"}})
    (found,) = portal.result("crm.address.list", {"filter": {"ENTITY_TYPE_ID": 8, "@ENTITY_ID": [requisite]}})
    assert (found["CITY"], found["ANCHOR_TYPE_ID"], found["ANCHOR_ID"]) == ("Cádiz", "4", str(company))
    assert portal.result("crm.requisite.get", {"id": requisite})["DATE_MODIFY"], "an address is a part of it"
    assert [row["NAME"] for row in portal.result("crm.requisite.preset.list", {"order": {"ID": "ASC"}})] == [
        "Organization",
        "Person",
    ]
    portal.result("crm.company.delete", {"id": company})
    for method, identifier in (("crm.requisite.get", requisite), ("crm.requisite.bankdetail.get", bank)):
        assert portal.rest(method, {"id": identifier})["error_description"] == "Not found"
    assert portal.result("crm.address.list", {"filter": {"ENTITY_TYPE_ID": 8, "ENTITY_ID": requisite}}) == []


def test_user_fields_of_every_kind_are_kept_and_described(portal: PortalUnderTest) -> None:
    def add(name: str, kind: str, **more: Any) -> int:
        return int(
            portal.result("crm.deal.userfield.add", {"fields": {"FIELD_NAME": name, "USER_TYPE_ID": kind, **more}})
        )

    items = [{"VALUE": "Norte"}, {"VALUE": "Sur", "DEF": "Y"}]
    made = [
        add("ZONE", "enumeration", LIST=items, EDIT_FORM_LABEL="Zona"),
        add("PLAN", "file"),
        add("PHOTOS", "file", MULTIPLE="Y"),
        add("TAGS", "string", MULTIPLE="Y"),
    ]
    try:
        zone = portal.result("crm.deal.userfield.get", {"id": made[0]})
        assert [item["VALUE"] for item in zone["LIST"]] == ["Norte", "Sur"]
        listed = portal.rest("crm.deal.userfield.list", {"order": {"ID": "DESC"}})
        assert listed["result"][0]["FIELD_NAME"] == "UF_CRM_TAGS"
        described = portal.result("crm.item.fields", {"entityTypeId": 2})["fields"]
        assert (described["ufCrmZone"]["title"], described["ufCrmZone"]["type"]) == ("Zona", "enumeration")
        assert [item["ID"] for item in described["ufCrmZone"]["items"]] == [item["ID"] for item in zone["LIST"]]
        assert (described["ufCrmPhotos"]["type"], described["ufCrmPhotos"]["isMultiple"]) == ("file", True)
        fields = {
            "title": "con campos",
            "ufCrmZone": zone["LIST"][1]["ID"],
            "ufCrmPlan": ["plano.txt", b64("plano")],
            "ufCrmPhotos": [["a.txt", b64("A")], ["b.txt", b64("B")]],
            "ufCrmTags": ["x", "y"],
        }
        deal = portal.result("crm.item.add", {"entityTypeId": 2, "fields": fields})["item"]
        assert (deal["ufCrmZone"], deal["ufCrmTags"]) == (int(zone["LIST"][1]["ID"]), ["x", "y"])
        assert fetched(portal, deal["ufCrmPlan"]["urlMachine"]) == "plano"
        assert [fetched(portal, file["urlMachine"]) for file in deal["ufCrmPhotos"]] == ["A", "B"]
        original = portal.result("crm.item.get", {"entityTypeId": 2, "id": deal["id"], "useOriginalUfNames": "Y"})[
            "item"
        ]
        assert (original["UF_CRM_TAGS"], "ufCrmTags" in original) == (["x", "y"], False)
        kept = {"ufCrmPhotos": [{"id": deal["ufCrmPhotos"][1]["id"]}], "ufCrmPlan": {"remove": "Y"}}
        changed = portal.result("crm.item.update", {"entityTypeId": 2, "id": deal["id"], "fields": kept})["item"]
        assert ([fetched(portal, file["urlMachine"]) for file in changed["ufCrmPhotos"]], changed["ufCrmPlan"]) == (
            ["B"],
            None,
        )
    finally:
        for identifier in made:
            portal.result("crm.deal.userfield.delete", {"id": identifier})
    assert "ufCrmZone" not in portal.result("crm.item.fields", {"entityTypeId": 2})["fields"]


def test_lists_of_items_bring_links_and_rows_of_many(portal: PortalUnderTest) -> None:
    contacts = [portal.result("crm.contact.add", {"fields": {"NAME": f"C{n}"}}) for n in range(3)]
    deals = [portal.result("crm.deal.add", {"fields": {"TITLE": f"D{n}"}}) for n in range(2)]
    items = [{"CONTACT_ID": contacts[0], "SORT": 10}, {"CONTACT_ID": contacts[2], "SORT": 20, "IS_PRIMARY": "Y"}]
    portal.result("crm.deal.contact.items.set", {"id": deals[0], "items": items})
    given = {"entityTypeId": 2, "select": ["*"], "order": {"id": "ASC"}}
    listed = portal.result("crm.item.list", {**given, "filter": {"@id": deals}})["items"]
    assert [item["contactIds"] for item in listed] == [[contacts[2], contacts[0]], []]
    assert listed[0]["contactId"] == contacts[2]
    links = portal.result("crm.deal.contact.items.get", {"id": deals[0]})
    assert [(link["CONTACT_ID"], link["IS_PRIMARY"]) for link in links] == [
        (str(contacts[2]), "Y"), (str(contacts[0]), "N"),
    ]  # fmt: skip
    assert set(portal.result("crm.item.list", {"entityTypeId": 2, "select": ["id", "title"]})["items"][0]) == {
        "id", "title",
    }  # fmt: skip
    for number, deal in enumerate(deals):
        rows = [{"productName": f"P{number}{n}", "price": 10, "quantity": 1} for n in range(30)]
        portal.result("crm.item.productrow.set", {"ownerType": "D", "ownerId": deal, "productRows": rows})
    asked = {"filter": {"=ownerType": "D", "=ownerId": deals}, "order": {"id": "ASC"}}
    first = portal.rest("crm.item.productrow.list", asked)
    assert (len(first["result"]["productRows"]), first["total"], first["next"]) == (50, 60, 50)
    asked["filter"][">id"] = first["result"]["productRows"][-1]["id"]
    rest = portal.result("crm.item.productrow.list", {**asked, "start": -1})["productRows"]
    assert [row["productName"] for row in rest] == [f"P1{n}" for n in range(20, 30)]
    assert {row["ownerId"] for row in rest} == {deals[1]}


def test_comments_keep_their_files_and_count_as_activity(portal: PortalUnderTest, company: int) -> None:
    before = portal.result("crm.item.get", {"entityTypeId": 4, "id": company})["item"]
    portal.sql("UPDATE b_crm_company SET LAST_ACTIVITY_TIME='2020-01-01' WHERE ID=%s", company)
    fields = {
        "ENTITY_ID": company,
        "ENTITY_TYPE": "company",
        "COMMENT": "con plano",
        "FILES": [["plano.txt", b64("muro")]],
    }
    comment = portal.result("crm.timeline.comment.add", {"fields": fields})
    after = portal.result("crm.item.get", {"entityTypeId": 4, "id": company})["item"]
    assert after["updatedTime"] == before["updatedTime"]
    assert after["lastActivityTime"] > "2021"
    (listed,) = portal.result("crm.timeline.comment.list", {"filter": {"ENTITY_ID": company, "ENTITY_TYPE": "company"}})
    (file,) = listed["FILES"].values()
    assert (file["name"], file["size"], held(portal, file["id"])) == ("plano.txt", 4, "muro")
    portal.result("crm.timeline.comment.update", {"id": comment, "fields": {"COMMENT": "sin plano", "FILES": []}})
    got = portal.result("crm.timeline.comment.get", {"id": comment})
    assert (got["COMMENT"], "FILES" in got) == ("sin plano", False)


def test_activity_is_bound_to_several_records(portal: PortalUnderTest, company: int) -> None:
    fields = {"OWNER_TYPE_ID": 4, "OWNER_ID": company, "TYPE_ID": 1, "SUBJECT": "visita",
              "COMMUNICATIONS": [{"TYPE": "PHONE", "VALUE": "1"}]}  # fmt: skip
    activity = portal.result("crm.activity.add", {"fields": fields})
    assert portal.result("crm.activity.binding.add", {"activityId": activity, "entityTypeId": 1, "entityId": 5}) is True
    assert "error" in portal.rest(
        "crm.activity.binding.add", {"activityId": activity, "entityTypeId": 1, "entityId": 5}
    )
    both = [{"entityTypeId": 4, "entityId": company}, {"entityTypeId": 1, "entityId": 5}]
    assert portal.result("crm.activity.binding.list", {"activityId": activity}) == both
    bound = portal.result("crm.activity.list", {"filter": {"BINDINGS": [{"OWNER_TYPE_ID": 1, "OWNER_ID": 5}]}})
    assert str(activity) in {row["ID"] for row in bound}
    assert "COMMUNICATIONS" not in bound[0], "they are given where they are selected"
    (row,) = portal.result("crm.activity.list", {"filter": {"ID": activity}, "select": ["ID", "COMMUNICATIONS"]})
    assert (set(row), len(row["COMMUNICATIONS"])) == ({"ID", "COMMUNICATIONS"}, 1)


def test_task_with_files_comments_and_checklist(portal: PortalUnderTest) -> None:
    folder = portal.result("disk.storage.getlist")[0]["ROOT_OBJECT_ID"]
    upload = {"id": folder, "data": {"NAME": "acta.txt"}, "fileContent": ["acta.txt", b64("acta")]}
    file = portal.result("disk.folder.uploadfile", upload)["ID"]
    fields = {"TITLE": "obra", "RESPONSIBLE_ID": 3, "UF_TASK_WEBDAV_FILES": [f"n{file}"], "AUDITORS": [4]}
    task = portal.result("tasks.task.add", {"fields": fields})["task"]["id"]
    got = portal.result("tasks.task.get", {"taskId": task, "select": ["ID", "TITLE", "UF_CRM_TASK", "AUDITORS"]})[
        "task"
    ]
    (attached,) = got["ufTaskWebdavFiles"]
    assert (got["title"], got["auditors"], "changedDate" in got) == ("obra", ["4"], False)
    shown = portal.result("disk.attachedObject.get", {"id": attached})
    assert (shown["NAME"], held(portal, shown["OBJECT_ID"])) == ("acta.txt", "acta")

    message = {"POST_MESSAGE": "mira", "AUTHOR_ID": 3, "UF_FORUM_MESSAGE_DOC": [f"n{file}"]}
    comment = portal.result("task.commentitem.add", {"TASKID": task, "FIELDS": message})
    (listed,) = portal.result("task.commentitem.getlist", {"TASKID": task})
    (attachment,) = listed["ATTACHED_OBJECTS"].values()
    assert held(portal, attachment["FILE_ID"]) == "acta"
    portal.result("task.commentitem.update", {"TASKID": task, "ITEMID": comment, "FIELDS": {"POST_MESSAGE": "mirad"}})
    assert portal.result("task.commentitem.get", {"TASKID": task, "ITEMID": comment})["POST_MESSAGE"] == "mirad"

    top = portal.result("task.checklistitem.add", {"TASKID": task, "FIELDS": {"TITLE": "Lista", "PARENT_ID": 0}})
    item = portal.result(
        "task.checklistitem.add", {"TASKID": task, "FIELDS": {"TITLE": "uno", "PARENT_ID": top, "IS_IMPORTANT": "Y"}}
    )
    portal.result("task.checklistitem.complete", {"TASKID": task, "ITEMID": item})
    got = portal.result("task.checklistitem.get", {"TASKID": task, "ITEMID": item})
    assert (got["IS_COMPLETE"], got["IS_IMPORTANT"], got["PARENT_ID"], got["TOGGLED_BY"]) == ("Y", "Y", str(top), "1")
    portal.result("task.checklistitem.delete", {"TASKID": task, "ITEMID": top})
    assert portal.result("task.checklistitem.getlist", {"TASKID": task}) == [], "what is below goes along"

    portal.result("tasks.task.update", {"taskId": task, "fields": {"STATUS": 5}})
    assert portal.value("SELECT CLOSED_DATE FROM b_tasks WHERE ID=%s", task)
    portal.result("tasks.task.delete", {"taskId": task})
    assert "error" in portal.rest("tasks.task.get", {"taskId": task})


def test_all_of_it_is_noted_as_offline_events(portal: PortalUnderTest, company: int) -> None:
    names = [
        "ONCRMREQUISITEADD", "ONCRMREQUISITEDELETE", "ONCRMBANKDETAILADD", "ONCRMADDRESSREGISTER",
        "ONCRMADDRESSUNREGISTER", "ONCRMTIMELINECOMMENTDELETE", "ONTASKDELETE", "ONTASKCOMMENTDELETE",
    ]  # fmt: skip
    for name in names:
        portal.result("event.bind", {"event": name, "event_type": "offline"}, app=True)
    fields = {"ENTITY_TYPE_ID": 4, "ENTITY_ID": company, "NAME": "R"}
    requisite = portal.result("crm.requisite.add", {"fields": fields})
    portal.result("crm.requisite.bankdetail.add", {"fields": {"ENTITY_ID": requisite, "NAME": "B"}})
    address = {"TYPE_ID": 1, "ENTITY_TYPE_ID": 8, "ENTITY_ID": requisite, "CITY": "X"}
    portal.result("crm.address.add", {"fields": address})
    portal.result("crm.address.delete", {"fields": address})
    portal.result("crm.requisite.delete", {"id": requisite})
    comment = {"ENTITY_ID": company, "ENTITY_TYPE": "company", "COMMENT": "c"}
    portal.result("crm.timeline.comment.delete", {"id": portal.result("crm.timeline.comment.add", {"fields": comment})})
    task = portal.result("tasks.task.add", {"fields": {"TITLE": "t"}})["task"]["id"]
    said = portal.result("task.commentitem.add", {"TASKID": task, "FIELDS": {"POST_MESSAGE": "m"}})
    portal.result("task.commentitem.delete", {"TASKID": task, "ITEMID": said})
    portal.result("tasks.task.delete", {"taskId": task})
    events = portal.result("event.offline.get", {"limit": 100}, app=True)["events"]
    assert sorted(event["EVENT_NAME"] for event in events) == sorted(names)


def test_addresses_of_files_are_for_their_purpose_only(portal: PortalUnderTest) -> None:
    root = portal.result("disk.storage.getlist")[0]["ROOT_OBJECT_ID"]
    file = {"id": root, "data": {"NAME": "n.txt"}, "fileContent": ["n.txt", b64("note")]}
    number = portal.result("disk.folder.uploadfile", file)["ID"]
    signed = portal.result("disk.file.get", {"id": number})["DOWNLOAD_URL"]
    assert fetched(portal, signed) == "note"
    assert portal.download(f"{signed}&auth={portal.hook}").json()["error"] == "expired_token"
    assert portal.download(signed[:-1] + ("0" if signed[-1] != "0" else "1")).json()["error"] == "access_denied"
    assert portal.download(signed, **{"User-Agent": "python-httpx/0.27"}).status_code == 404
    inner = portal.result("batch", {"cmd": {"a": "download?token=x"}})
    assert inner["result_error"]["a"]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"
    # For a browser: what others get instead is no error, by its status.
    page = portal.client().get(f"/disk/downloadFile/{number}/")
    assert (page.status_code, 'id="login-form"' in page.text) == (200, True)
    denied = portal.client().get("/bitrix/tools/disk/uf.php?attachedId=1&action=download&ncc=1")
    assert (denied.status_code, denied.json()["status"]) == (200, "denied")
    shown = portal.client().get(f"/bitrix/tools/crm_show_file.php?fileId={number}")
    assert (shown.status_code, shown.text) == (200, "Access denied.")
    assert portal.client("admin").get(f"/disk/downloadFile/{number}/").text == "note"
