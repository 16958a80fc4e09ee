"""REST as the carry-over and the telephony connector need it, with the cloud's limits."""

from __future__ import annotations

import base64
import re
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from unit.lab_portal.standin import PortalUnderTest, until

pytestmark = pytest.mark.integration


def error(answer: dict[str, Any]) -> str:
    assert "error" in answer, answer
    return str(answer["error"])


def iso(moment: datetime) -> str:
    return moment.astimezone().isoformat(timespec="seconds")


def test_lead_is_added_read_changed_and_deleted(portal: PortalUnderTest) -> None:
    fields = {
        "TITLE": "¿Ático? 100% nuevo",
        "NAME": "Ana",
        "OPPORTUNITY": "1000.50",
        "UF_CRM_BRANCH": "Sur",
        "PHONE": [{"VALUE": "+34 600 999 111", "VALUE_TYPE": "MOBILE"}],
    }
    lead = portal.result("crm.lead.add", {"fields": fields})
    got = portal.result("crm.lead.get", {"id": lead})
    assert (got["TITLE"], got["OPPORTUNITY"], got["UF_CRM_BRANCH"], got["STATUS_ID"]) == (
        "¿Ático? 100% nuevo", "1000.50", "Sur", "NEW",
    )  # fmt: skip
    (phone,) = got["PHONE"]
    portal.result(
        "crm.lead.update", {"id": lead, "fields": {"STATUS_ID": "JUNK", "PHONE": [{"ID": phone["ID"], "VALUE": ""}]}}
    )
    got = portal.result("crm.lead.get", {"id": lead})
    assert (got["STATUS_SEMANTIC_ID"], got["HAS_PHONE"], "PHONE" in got) == ("F", "N", False)
    assert portal.result("crm.lead.delete", {"id": lead}) is True
    assert "error" in portal.rest("crm.lead.get", {"id": lead})
    assert portal.value("SELECT COUNT(*) FROM b_uts_crm_lead WHERE VALUE_ID=%s", lead) == 0


def test_list_pages_filters_and_counts(portal: PortalUnderTest) -> None:
    page = portal.rest("crm.lead.list", {"order": {"ID": "ASC"}, "select": ["ID"]})
    assert (len(page["result"]), page["next"]) == (50, 50)
    assert page["total"] == portal.value("SELECT COUNT(*) FROM b_crm_lead")
    uncounted = portal.rest("crm.lead.list", {"filter": {">ID": 50}, "start": -1, "select": ["ID", "PHONE"]})
    assert uncounted["result"][0]["ID"] == "51"
    assert uncounted["result"][0]["PHONE"]
    assert "total" not in uncounted
    assert "next" not in uncounted
    since = portal.value("SELECT DATE_CREATE FROM b_crm_lead WHERE ID=100")
    found = portal.rest("crm.lead.list", {"filter": {">=DATE_CREATE": iso(since), "<ID": 111}})
    assert found["total"] == 11
    phone = portal.value(
        "SELECT VALUE FROM b_crm_field_multi WHERE ENTITY_ID='LEAD' AND ELEMENT_ID=9 AND TYPE_ID='PHONE' LIMIT 1"
    )
    assert {row["ID"] for row in portal.result("crm.lead.list", {"filter": {"PHONE": phone}})} >= {"9"}
    either = portal.result("crm.lead.list", {"filter": {"LOGIC": "OR", "0": {"ID": 3}, "1": {"ID": 4}}})
    assert {row["ID"] for row in either} == {"3", "4"}
    assert portal.rest("crm.lead.list", {"filter": {"@ID": [3, 4]}})["total"] == 2
    assert portal.rest("crm.lead.list", {"filter": {"!ID": [3, 4], "<=ID": 5}})["total"] == 3


def test_items_have_names_of_their_own(portal: PortalUnderTest) -> None:
    item = portal.result("crm.item.get", {"entityTypeId": 2, "id": 8})["item"]
    assert item["stageId"]
    assert item["contactIds"]
    assert not isinstance(item["opportunity"], str)
    listed = portal.rest("crm.item.list", {"entityTypeId": 2, "filter": {"<=id": 10}, "select": ["id", "title"]})
    assert listed["total"] == 10
    assert set(listed["result"]["items"][0]) == {"id", "title"}
    assert error(portal.rest("crm.item.list", {"entityTypeId": 2, "filter": {"=noSuch": 1}})) == "INVALID_ARG_VALUE"
    assert error(portal.rest("crm.item.get", {"entityTypeId": 99, "id": 1})) == "NOT_FOUND"
    fields = portal.result("crm.item.fields", {"entityTypeId": 1})["fields"]
    assert fields["createdTime"]["isReadOnly"] is True
    assert fields["ufCrmBranch"]["upperName"] == "UF_CRM_BRANCH"


def test_import_keeps_time_and_author_and_starts_nothing(portal: PortalUnderTest) -> None:
    now = datetime.now().replace(microsecond=0)
    mails = portal.value("SELECT COUNT(*) FROM b_event")
    fields = {
        "title": "imported",
        "createdTime": iso(now - timedelta(seconds=3)),
        "updatedTime": iso(now - timedelta(seconds=2)),
        "createdBy": 5,
        "originatorId": "cloud",
        "originId": "77",
        "EMAIL": [{"VALUE": "a@b.test", "VALUE_TYPE": "HOME"}],
    }
    lead = portal.result("crm.item.import", {"entityTypeId": 1, "fields": fields})["item"]["id"]
    row = portal.sql("SELECT * FROM b_crm_lead WHERE ID=%s", lead)[0]
    assert (row["DATE_CREATE"], row["DATE_MODIFY"]) == (now - timedelta(seconds=3), now - timedelta(seconds=2))
    assert (row["CREATED_BY_ID"], row["ORIGIN_ID"]) == (5, "77")
    assert portal.value("SELECT COUNT(*) FROM b_event") == mails, "no automation on import"
    assert portal.result("crm.lead.list", {"filter": {"ORIGIN_ID": "77"}})[0]["ID"] == str(lead)
    fm = {"n0": {"typeId": "EMAIL", "value": "c@d.test"}}
    portal.result("crm.item.add", {"entityTypeId": 1, "fields": {"title": "added", "fm": fm}})
    assert portal.value("SELECT COUNT(*) FROM b_event") > mails, "automation on add"


@pytest.mark.parametrize(
    ("created", "updated", "titles"),
    [
        (-(10**6), 0, ("Created on", "Creado el", "Erstellt am", "Дата создания")),
        (3600, 3700, ("Created on", "Creado el", "Erstellt am", "Дата создания")),
        (0, -60, ("Modified on", "Modificado el", "Geändert am", "Дата изменения")),
        (0, 3600, ("Modified on", "Modificado el", "Geändert am", "Дата изменения")),
    ],
)
def test_import_refuses_times_out_of_order_in_the_callers_language(
    portal: PortalUnderTest, created: int, updated: int, titles: tuple[str, ...]
) -> None:
    portal.result("crm.item.import", {"entityTypeId": 4, "fields": {"title": "the newest"}})
    now = datetime.now()
    fields = {
        "createdTime": iso(now + timedelta(seconds=created)),
        "updatedTime": iso(now + timedelta(seconds=updated)),
    }
    try:
        for language, title in zip(("en", "es", "de", "ru"), titles, strict=True):
            portal.sql("UPDATE b_user SET LANGUAGE_ID=%s WHERE ID=1", language)
            answer = portal.rest("crm.item.import", {"entityTypeId": 4, "fields": {"title": "x", **fields}})
            assert error(answer) == "CRM_FIELD_ERROR_VALUE_NOT_VALID"
            assert title in answer["error_description"]
    finally:
        portal.sql("UPDATE b_user SET LANGUAGE_ID='en' WHERE ID=1")


def test_import_compares_with_the_record_of_the_highest_number_only(portal: PortalUnderTest) -> None:
    last = portal.result("crm.item.import", {"entityTypeId": 4, "fields": {"title": "last"}})["item"]["id"]
    portal.sql("UPDATE b_crm_company SET DATE_CREATE='2001-01-01' WHERE ID=%s", last)
    old = {"title": "old", "createdTime": "2002-01-01T00:00:00+00:00", "updatedTime": "2002-01-01T00:00:00+00:00"}
    found = portal.result("crm.item.import", {"entityTypeId": 4, "fields": old})["item"]["id"]
    row = portal.sql("SELECT DATE_CREATE, LAST_ACTIVITY_TIME FROM b_crm_company WHERE ID=%s", found)[0]
    assert row["DATE_CREATE"].year == 2002 or row["DATE_CREATE"].year == 2001
    assert row["LAST_ACTIVITY_TIME"].year > 2020, "it is that of the import"
    portal.result("crm.item.delete", {"entityTypeId": 4, "id": last})
    portal.result("crm.item.delete", {"entityTypeId": 4, "id": found})


def test_import_takes_telephones_and_mails_by_kind_and_refuses_a_whole(portal: PortalUnderTest) -> None:
    phones = [{"VALUE": "+34600", "VALUE_TYPE": "MOBILE"}, {"VALUE": "+34900"}]
    fields = {"name": "Eva", "PHONE": phones, "LINK": [{"VALUE": "https://x.test", "VALUE_TYPE": "USER"}]}
    contact = portal.result("crm.item.import", {"entityTypeId": 3, "fields": fields})["item"]["id"]
    item = portal.result("crm.item.get", {"entityTypeId": 3, "id": contact})["item"]
    assert [(one["typeId"], one["valueType"], one["value"]) for one in item["fm"]] == [
        ("PHONE", "MOBILE", "+34600"), ("PHONE", "WORK", "+34900"), ("LINK", "USER", "https://x.test"),
    ]  # fmt: skip
    for fm in ([], [{"typeId": "PHONE", "value": "1"}]):
        assert error(portal.rest("crm.item.import", {"entityTypeId": 3, "fields": {"name": "E", "fm": fm}})) == "0"
        assert portal.result("crm.item.import", {"entityTypeId": 2, "fields": {"title": "D", "fm": fm}}), (
            "not its field"
        )
    first, second, third = item["fm"]
    change = {
        str(first["id"]): {"typeId": "PHONE", "value": "+34601"},
        str(second["id"]): {"typeId": "PHONE", "value": ""},
        "n0": {"typeId": "EMAIL", "valueType": "HOME", "value": "e@x.test"},
        "n1": {"value": "nothing says what this is"},
    }
    fields = {"fm": change, "PHONE": [{"VALUE": "ignored"}]}
    item = portal.result("crm.item.update", {"entityTypeId": 3, "id": contact, "fields": fields})["item"]
    assert [(one["id"], one["typeId"], one["value"]) for one in item["fm"]][:2] == [
        (first["id"], "PHONE", "+34601"), (third["id"], "LINK", "https://x.test"),
    ]  # fmt: skip
    assert [(one["typeId"], one["value"]) for one in item["fm"]][2:] == [("EMAIL", "e@x.test")]


def test_pages_follow_upon_each_other_only_in_an_order(portal: PortalUnderTest) -> None:
    def listed(order: dict[str, str]) -> set[int]:
        given = {"entityTypeId": 1, "select": ["id"], "filter": {"<=id": 80}, "order": order}
        pages = [portal.result("crm.item.list", {**given, "start": start})["items"] for start in (0, 50)]
        return {item["id"] for page in pages for item in page}

    assert listed({"id": "ASC"}) == set(range(1, 81))
    assert listed({}) < set(range(1, 81))


def test_users_without_a_department_are_an_administrators(portal: PortalUnderTest) -> None:
    everybody = portal.rest("user.get", {"SORT": "ID", "ORDER": "ASC", "ADMIN_MODE": True})
    assert everybody["total"] > portal.rest("user.get", {"SORT": "ID"})["total"]
    departments = {tuple(user["UF_DEPARTMENT"]) for user in everybody["result"]}
    assert () in departments
    assert () not in {tuple(user["UF_DEPARTMENT"]) for user in portal.result("user.get", {"SORT": "ID"})}
    other = portal.tool("webhook", "--user", "3", "--title", "no administrator")
    asked = httpx.post(f"{portal.url}/rest/{other}/user.get", json={"ADMIN_MODE": True}).json()
    assert asked["total"] < everybody["total"]


def test_batch_import_takes_twenty_and_tells_each(portal: PortalUnderTest) -> None:
    data = [{"title": f"b{n}"} for n in range(3)] + [{"title": "late", "createdTime": "2001-01-01T00:00:00+00:00"}]
    items = portal.result("crm.item.batchImport", {"entityTypeId": 2, "data": data})["items"]
    assert [sorted(item) for item in items] == [["item"]] * 3 + [["error", "error_description"]]
    assert "error" in portal.rest("crm.item.batchImport", {"entityTypeId": 2, "data": [{}] * 21})


def test_batch_runs_in_order_and_refers_back(portal: PortalUnderTest) -> None:
    commands = {
        "new": "crm.contact.add?fields[NAME]=Eva",
        "deal": "crm.deal.add?fields[TITLE]=D&fields[CONTACT_ID]=$result[new]",
        "got": "crm.deal.get?id=$result[deal]",
        "bad": "no.such.method",
        "list": "crm.deal.list?filter[ID]=$result[got][ID]",
        "nested": "batch?cmd[0]=server.time",
    }
    result = portal.result("batch", {"halt": 0, "cmd": commands})
    assert result["result"]["got"]["CONTACT_ID"] == str(result["result"]["new"])
    assert result["result_total"] == {"list": 1}
    assert {name: fault["error"] for name, fault in result["result_error"].items()} == {
        "bad": "ERROR_METHOD_NOT_FOUND", "nested": "ERROR_BATCH_METHOD_NOT_ALLOWED",
    }  # fmt: skip
    assert set(portal.result("batch", {"halt": 1, "cmd": commands})["result"]) == {"new", "deal", "got"}
    many = portal.result("batch", {"cmd": {f"c{n}": "server.time" for n in range(51)}})
    assert (len(many["result"]), many["result_error"]["c50"]["error"]) == (50, "ERROR_BATCH_LENGTH_EXCEEDED")


def test_callers_are_who_they_say_and_within_their_scope(portal: PortalUnderTest) -> None:
    def status(path: str) -> tuple[int, str]:
        answer = httpx.get(f"{portal.url}/rest/{path}")
        return answer.status_code, answer.json()["error"]

    narrow = portal.tool("webhook", "--user", "1", "--title", "narrow", "--scope", "task")
    assert status("1/wrong/profile") == (401, "INVALID_CREDENTIALS")
    assert status("profile?auth=wrong") == (401, "expired_token")
    assert status("profile") == (401, "NO_AUTH_FOUND")
    assert status(f"{narrow}/crm.lead.list") == (403, "insufficient_scope")
    assert status(f"{portal.hook}/crm.nothing") == (404, "ERROR_METHOD_NOT_FOUND")
    assert status(f"{portal.hook}/telephony.externalCall.register") == (403, "WRONG_AUTH_TYPE")
    assert status(f"{portal.hook}/event.bind?event=ONCRMLEADADD") == (403, "WRONG_AUTH_TYPE")


REGISTER = (
    "$_SERVER['DOCUMENT_ROOT'] = getcwd(); require 'bitrix/modules/main/include/prolog_before.php';"
    " echo Bitrix\\Rest\\OAuthService::register() ? 'registered' : 'refused';"
)


def test_applications_die_with_the_registration_of_the_portal(portal: PortalUnderTest) -> None:
    def says(token: str) -> str:
        return str(httpx.get(f"{portal.url}/rest/app.info?auth={token}").json().get("error", "works"))

    market = portal.value("SELECT APPLICATION_TOKEN FROM b_rest_app WHERE STATUS='P'")
    local = portal.value("SELECT APPLICATION_TOKEN FROM b_rest_app WHERE CODE='local.erp'")
    assert {says(market), says(local), says(portal.app)} == {"works"}
    former = portal.value("SELECT VALUE FROM b_option WHERE MODULE_ID='rest' AND NAME='service_client_secret'")
    assert portal.php("-r", REGISTER) == "registered"
    assert {says(market), says(local), says(portal.app)} == {"WRONG_CLIENT"}
    assert says(portal.tool("app", "--code", "local.erp")) == "works", "one that is added anew"
    history = portal.sql("SELECT VALUE FROM b_option WHERE MODULE_ID='rest' AND NAME LIKE '%% service_client_secret'")
    assert former in [row["VALUE"] for row in history], "every older secret is kept"
    (portal.root / "bitrix/license_key.php").rename(portal.root / "key")
    assert portal.php("-r", REGISTER) == "refused"
    (portal.root / "key").rename(portal.root / "bitrix/license_key.php")


def test_the_row_of_the_clouds_module_closes_rest_outside_of_the_cloud(portal: PortalUnderTest) -> None:
    def error(path: str) -> str:
        return str(httpx.get(f"{portal.url}/rest/{path}").json().get("error", ""))

    hook, app = f"{portal.hook}/profile", f"app.info?auth={portal.app}"
    portal.sql("CREATE DATABASE moved_network")
    portal.sql("RENAME TABLE portal_network.account TO moved_network.account")
    portal.sql("DROP DATABASE portal_network")
    try:
        assert (error(hook), error(app)) == ("ACCESS_DENIED", "ACCESS_DENIED")
        portal.sql("DELETE FROM b_module WHERE ID='bitrix24'")
        portal.purge()
        assert (error(hook), error(app)) == ("", "")
        portal.option("rest", "access_active", "Y")
        assert (error(hook), error(app)) == ("", "ACCESS_DENIED")
        portal.option("main", "~mp24_paid", "Y")
        assert error(app) == ""
    finally:
        portal.sql("CREATE DATABASE portal_network CHARACTER SET utf8mb4")
        portal.sql("RENAME TABLE moved_network.account TO portal_network.account")
        portal.sql("DROP DATABASE moved_network")


def test_the_service_elsewhere_is_asked_for_registration_and_events(
    portal: PortalUnderTest, sink: tuple[str, list[tuple[str, str]]]
) -> None:
    address, taken = sink
    dbconn = portal.root / "bitrix/php_interface/dbconn.php"
    dbconn.write_text(dbconn.read_text() + f"define('BITRIXREST_URL', '{address}');\n")
    portal.sql("DELETE FROM b_option WHERE MODULE_ID='rest' AND NAME LIKE 'service_client_%%'")
    portal.purge()
    portal.sql(
        "INSERT INTO b_rest_event (EVENT_NAME, EVENT_HANDLER) VALUES ('ONCRMLEADADD', 'https://hooks.test/lead')"
    )
    portal.result("crm.lead.add", {"fields": {"TITLE": "heard"}})
    until(lambda: bool(taken))
    path, body = taken[0]
    assert path == "/oauth/register/"
    assert "redirect_uri=http%3A%2F%2F127.0.0.1" in body
    assert [path for path, _ in taken] == ["/oauth/register/"], "what is not registered sends no event"


def test_offline_events_are_kept_until_confirmed(portal: PortalUnderTest) -> None:
    portal.result("event.bind", {"event": "ONCRMLEADADD", "event_type": "offline"}, app=True)
    portal.result("event.bind", {"event": "ONCRMLEADDELETE", "event_type": "offline"}, app=True)
    try:
        lead = portal.result("crm.lead.add", {"fields": {"TITLE": "watched"}})
        portal.result("crm.lead.delete", {"id": lead})
        first = portal.result("event.offline.get", {"clear": 0}, app=True)
        assert [(e["EVENT_NAME"], e["EVENT_DATA"]["FIELDS"]["ID"]) for e in first["events"]] == [
            ("ONCRMLEADADD", lead), ("ONCRMLEADDELETE", lead),
        ]  # fmt: skip
        assert portal.result("event.offline.get", {"clear": 0}, app=True)["events"] == [], "they are reserved"
        again = portal.result("event.offline.get", {"clear": 0, "process_id": first["process_id"]}, app=True)
        assert len(again["events"]) == 2
        portal.result(
            "event.offline.clear", {"process_id": first["process_id"], "id": [first["events"][0]["ID"]]}, app=True
        )
        assert len(portal.result("event.offline.list", {}, app=True)) == 1
        portal.result("event.offline.clear", {"process_id": first["process_id"]}, app=True)
        assert portal.result("event.offline.list", {}, app=True) == []
    finally:
        for name in ("ONCRMLEADADD", "ONCRMLEADDELETE"):
            portal.result("event.unbind", {"event": name, "event_type": "offline"}, app=True)


def test_bucket_of_requests_is_for_the_cloud_only(portal: PortalUnderTest) -> None:
    portal.option("encaja", "rest_bucket", "3")
    portal.option("encaja", "rest_rate", "0.001")
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.7")) as client:
        answers = [client.get(f"{portal.url}/rest/{portal.hook}/server.time") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 503]
        assert answers[3].json()["error"] == "QUERY_LIMIT_EXCEEDED"
        portal.sql("DELETE FROM b_module WHERE ID='bitrix24'")
        portal.purge()
        assert client.get(f"{portal.url}/rest/{portal.hook}/server.time").status_code == 200


def test_operating_time_blocks_one_method_of_one_caller(portal: PortalUnderTest) -> None:
    hook = portal.tool("webhook", "--user", "1", "--title", "busy")
    portal.option("encaja", "rest_operating_factor", "1000000000")
    address = f"{portal.url}/rest/{hook}"
    first = httpx.get(f"{address}/crm.status.list").json()
    assert first["time"]["operating"] > 480
    blocked = httpx.get(f"{address}/crm.status.list")
    assert (blocked.status_code, blocked.json()["error"]) == (429, "OPERATION_TIME_LIMIT")
    assert first["time"]["operating_reset_at"] > first["time"]["finish"]
    assert httpx.get(f"{address}/profile").status_code == 200
    assert httpx.get(f"{portal.url}/rest/{portal.hook}/crm.status.list").status_code == 200
    inner = httpx.post(f"{address}/batch", json={"cmd": {"a": "crm.status.list", "b": "server.time"}}).json()["result"]
    assert inner["result_error"]["a"]["error"] == "OPERATION_TIME_LIMIT"
    assert "b" in inner["result"]


def test_rows_comments_and_activities_hang_from_their_record(portal: PortalUnderTest) -> None:
    deal = portal.result("crm.deal.add", {"fields": {"TITLE": "rows"}})
    rows = [{"PRODUCT_NAME": "Piso", "PRICE": 100, "QUANTITY": 2}, {"PRODUCT_NAME": "Garaje", "PRICE": 10}]
    portal.result("crm.deal.productrows.set", {"id": deal, "rows": rows})
    assert [row["PRODUCT_NAME"] for row in portal.result("crm.deal.productrows.get", {"id": deal})] == [
        "Piso",
        "Garaje",
    ]
    assert portal.result("crm.deal.get", {"id": deal})["OPPORTUNITY"] == "210.00"
    owner = {"=ownerType": "D", "=ownerId": deal}
    listed = portal.result("crm.item.productrow.list", {"filter": owner, "order": {"id": "ASC"}})
    assert [row["productName"] for row in listed["productRows"]] == ["Piso", "Garaje"]

    fields = {"ENTITY_ID": deal, "ENTITY_TYPE": "deal", "COMMENT": "hecho", "AUTHOR_ID": 4}
    comment = portal.result("crm.timeline.comment.add", {"fields": fields})
    (found,) = portal.result("crm.timeline.comment.list", {"filter": {"ENTITY_ID": deal, "ENTITY_TYPE": "deal"}})
    assert (found["ID"], found["COMMENT"], found["AUTHOR_ID"]) == (str(comment), "hecho", "4")

    file = {"fileData": ["oferta.txt", base64.b64encode(b"precio").decode()]}
    fields = {
        "OWNER_TYPE_ID": 2, "OWNER_ID": deal, "TYPE_ID": 4, "SUBJECT": "correo", "COMPLETED": "Y", "FILES": [file],
        "COMMUNICATIONS": [{"TYPE": "EMAIL", "VALUE": "x@y.test"}],
    }  # fmt: skip
    activity = portal.result("crm.activity.add", {"fields": fields})
    got = portal.result("crm.activity.get", {"id": activity})
    assert got["COMMUNICATIONS"][0]["VALUE"] == "x@y.test"
    disk = portal.result("disk.file.get", {"id": got["FILES"][0]["id"]})
    assert (portal.download(disk["DOWNLOAD_URL"]).text, disk["SIZE"]) == ("precio", "6")
    assert [
        a["ID"] for a in portal.result("crm.activity.list", {"filter": {"OWNER_TYPE_ID": 2, "OWNER_ID": deal}})
    ] == [str(activity)]
    assert 'class="activity-file"' in portal.client("admin").get(f"/crm/deal/details/{deal}/").text


def test_tasks_with_comments_in_order(portal: PortalUnderTest) -> None:
    fields = {"TITLE": "tarea", "RESPONSIBLE_ID": 3, "CREATED_BY": 4, "UF_CRM_TASK": ["L_1"]}
    task = portal.result("tasks.task.add", {"fields": fields})["task"]["id"]
    for text in ("uno", "dos"):
        portal.result("task.commentitem.add", {"TASKID": task, "FIELDS": {"POST_MESSAGE": text, "AUTHOR_ID": 3}})
    comments = portal.result("task.commentitem.getlist", {"TASKID": task, "ORDER": {"ID": "asc"}})
    assert [c["POST_MESSAGE"] for c in comments] == ["uno", "dos"]
    got = portal.result("tasks.task.get", {"taskId": task})["task"]
    assert (got["responsible"]["id"], "ufCrmTask" in got) == ("3", False)
    got = portal.result("tasks.task.get", {"taskId": task, "select": ["ID", "UF_CRM_TASK"]})["task"]
    assert got["ufCrmTask"] == ["L_1"]
    assert portal.value("SELECT POSTS FROM b_forum_topic WHERE XML_ID=%s", f"TASK_{task}") == 2
    page = portal.rest("tasks.task.list", {"filter": {">ID": 10}, "order": {"ID": "asc"}, "start": -1})
    assert page["result"]["tasks"][0]["id"] == "11"


def call(portal: PortalUnderTest, phone: str, **more: Any) -> dict[str, Any]:
    parameters = {"USER_ID": 3, "PHONE_NUMBER": phone, "TYPE": 2, "CRM_CREATE": 1, "SHOW": 0, **more}
    return dict(portal.result("telephony.externalCall.register", parameters, app=True))


def test_call_of_an_unknown_number_becomes_a_lead_with_a_recording(portal: PortalUnderTest) -> None:
    registered = call(portal, "+34999000111", EXTERNAL_CALL_ID="pbx-1", LINE_NUMBER="34911000000")
    lead = registered["CRM_CREATED_LEAD"]
    assert registered["CRM_CREATED_ENTITIES"] == [{"ENTITY_TYPE": "LEAD", "ENTITY_ID": lead}]
    identity = registered["CALL_ID"]
    early = portal.rest(
        "telephony.externalCall.attachRecord",
        {"CALL_ID": identity, "FILENAME": "a.wav", "FILE_CONTENT": "UklG"},
        app=True,
    )
    assert error(early) == "ERROR_CORE"
    finished = portal.result(
        "telephony.externalCall.finish", {"CALL_ID": identity, "USER_ID": 3, "DURATION": 42}, app=True
    )
    assert (finished["CALL_FAILED_CODE"], finished["CRM_ENTITY_ID"]) == ("200", lead)
    assert "error" in portal.rest("telephony.externalCall.finish", {"CALL_ID": identity, "USER_ID": 3}, app=True)
    record = {"CALL_ID": identity, "FILENAME": "call.wav", "FILE_CONTENT": base64.b64encode(b"RIFF-sound").decode()}
    assert portal.result("telephony.externalCall.attachRecord", record, app=True)["FILE_ID"]
    page = portal.client("admin").get(f"/crm/lead/details/{lead}/").text
    assert 'data-provider="VOXIMPLANT_CALL"' in page
    assert 'class="recording"' in page
    activity = portal.result("crm.activity.get", {"id": finished["CRM_ACTIVITY_ID"]})
    address = portal.result("crm.activity.get", {"id": activity["ID"]}, app=True)["FILES"][0]["url"]
    assert httpx.get(f"{portal.url}{address}").content == b"RIFF-sound", "an application's token lets it through"


def test_same_number_within_half_an_hour_is_the_same_call_unless_told_apart(portal: PortalUnderTest) -> None:
    first = call(portal, "+34999000222")
    assert call(portal, "+34999000222")["CALL_ID"] == first["CALL_ID"]
    other = call(portal, "+34999000222", EXTERNAL_CALL_ID="pbx-2")
    assert other["CALL_ID"] != first["CALL_ID"]
    assert other["CRM_CREATED_LEAD"] is None, "the lead of the first call is found"
    assert other["CRM_ENTITY_ID"] == first["CRM_CREATED_LEAD"]


def test_missed_call_stays_open_and_the_record_can_come_in_a_second_request(portal: PortalUnderTest) -> None:
    identity = call(portal, "+34999000333")["CALL_ID"]
    finished = portal.result(
        "telephony.externalCall.finish", {"CALL_ID": identity, "USER_ID": 3, "DURATION": 0}, app=True
    )
    assert finished["CALL_FAILED_CODE"] == "304"
    assert portal.result("crm.activity.get", {"id": finished["CRM_ACTIVITY_ID"]})["COMPLETED"] == "N"
    place = portal.result(
        "telephony.externalCall.attachRecord", {"CALL_ID": identity, "FILENAME": "late.mp3"}, app=True
    )
    sent = httpx.post(place["uploadUrl"], files={place["fieldName"]: ("late.mp3", b"sound")}).json()
    assert sent["result"]["FILE_ID"]
    assert httpx.post(place["uploadUrl"] + "x", files={"file": ("late.mp3", b"sound")}).json()["error"] == "ERROR_CORE"


def test_known_number_finds_its_contact_however_it_is_written(portal: PortalUnderTest) -> None:
    contact = portal.result("crm.contact.add", {"fields": {"NAME": "Conocido", "PHONE": [{"VALUE": "699 88 77 66"}]}})
    (found, *_) = portal.result("telephony.externalCall.searchCrmEntities", {"PHONE_NUMBER": "+34699887766"})
    assert (found["CRM_ENTITY_TYPE"], found["CRM_ENTITY_ID"]) == ("CONTACT", contact)
    registered = call(portal, "0034699887766", CRM_CREATE=1)
    assert (registered["CRM_ENTITY_TYPE"], registered["CRM_ENTITY_ID"]) == ("CONTACT", contact)


def test_click_to_call_is_told_to_the_application(portal: PortalUnderTest) -> None:
    client = portal.client("admin")
    page = client.get("/crm/lead/details/1/").text
    token = re.search(r'"sessid":"(\w+)"', page)
    assert token
    assert 'class="call-start"' in page
    data = {"sessid": token.group(1), "phone": "+34600111222", "type": "lead", "id": "1"}
    address = "/bitrix/services/main/ajax.php?action=voximplant.call.start"
    assert client.post(address, data=data).json()["status"] == "error", "nobody listens"
    portal.result("event.bind", {"event": "ONEXTERNALCALLSTART", "event_type": "offline"}, app=True)
    assert client.post(address, data=data).json()["status"] == "success"
    (event,) = portal.result("event.offline.get", {}, app=True)["events"]
    assert event["EVENT_DATA"]["PHONE_NUMBER"] == "+34600111222"
    finish = {"CALL_ID": event["EVENT_DATA"]["CALL_ID"], "USER_ID": 1, "DURATION": 5}
    finished = portal.result("telephony.externalCall.finish", finish, app=True)
    assert (finished["INCOMING"], finished["CRM_ENTITY_ID"]) == ("1", 1)
