"""What becomes of applications and webhooks, held against the stand-in: what is said to work works there, no other."""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from encaja.errors import EncajaError
from encaja.portal import applications, checks_case, cloud, silence
from encaja.portal.copy_state import CopyState
from encaja.portal.plan import Plan
from encaja.portal.serialized import serialize
from encaja.portal.site import Portal
from integration.portal.cloud_portal import again, connect
from support.silence_rules import shipped
from unit.lab_portal.standin import install, serving

pytestmark = pytest.mark.integration
SIZES = {"users": 6, "companies": 3, "contacts": 3, "leads": 3, "deals": 3, "tasks": 3, "messages": 3}
POLICY = cloud.CloudPolicy("BOX-LICENCE")


class _Scene:
    def __init__(self, portal: Portal) -> None:
        self.portal, self.copy = portal, CopyState(False, "", "")


@pytest.fixture
def moved(server: Path, tmp_path: Path) -> Iterator[tuple[Portal, str]]:
    """A restored cloud outside of the cloud, and its address; not settled yet."""
    root = install(tmp_path, server, "moved", SIZES)
    with connect(server, "moved") as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE moved_network")
        cursor.execute("UPDATE b_lang SET SERVER_NAME = 'crm.acme.es'")
        cursor.execute("DELETE FROM b_module_to_module WHERE TO_CLASS LIKE '%HostRestriction'")
        cursor.execute("INSERT INTO b_rest_event (EVENT_NAME, EVENT_HANDLER) VALUES"
                       " ('ONCRMLEADADD', 'https://shop.acme.es/hook?key=hunter2')")  # fmt: skip
        cursor.execute(
            "INSERT INTO b_rest_ap (ID, USER_ID, PASSWORD, TITLE) VALUES (77, 4, 'hunter2hunter2xx', 'Gone')"
        )
        cursor.execute("UPDATE b_user SET ACTIVE = 'N' WHERE ID = 4")
    with serving(root) as url:
        yield Portal(root, tmp_path / "state"), url
    with connect(server) as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE moved")


def settle(portal: Portal, tmp_path: Path, policy: cloud.CloudPolicy = POLICY) -> Portal:
    note = applications.cloud_note(portal, off=policy.applications == "deactivate")
    cloud.plan_cloud(portal, policy).apply(portal.database, tmp_path / "kept")
    portal.note(cloud_rest=note)
    now = again(portal)
    for folder in (now.root / "bitrix/managed_cache").glob("*"):
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
    return now


def fates(portal: Portal) -> dict[str, str]:
    return {str(row["name"]): row["fate"] for row in applications.inventory(portal)}


def works(portal: Portal, url: str) -> dict[str, bool]:
    """Which webhooks and applications the portal lets in."""
    tried = {}
    for row in portal.database.rows("SELECT TITLE, USER_ID, PASSWORD FROM b_rest_ap"):
        tried[row["TITLE"]] = f"{row['USER_ID']}/{row['PASSWORD']}/profile"
    for row in portal.database.rows("SELECT APP_NAME, APPLICATION_TOKEN FROM b_rest_app WHERE INSTALLED = 'Y'"):
        tried[row["APP_NAME"]] = f"app.info?auth={row['APPLICATION_TOKEN']}"
    return {name: "error" not in httpx.get(f"{url}/rest/{path}", timeout=20).json() for name, path in tried.items()}


def tool(portal: Portal, *arguments: str) -> None:
    subprocess.run(["php", "bitrix/stand-in/tool.php", *arguments], cwd=portal.root, check=True, capture_output=True)


def test_each_works_exactly_where_it_is_said_to(moved: tuple[Portal, str], tmp_path: Path) -> None:
    portal, url = moved
    assert {fates(portal)[name] for name in ("Web shop", "Accounting")} == {"closed"}
    assert not any(works(portal, url).values()), "the row of the cloud's module"
    found = checks_case.applications(_Scene(portal))  # type: ignore[arg-type]
    assert found.state == "found"

    portal = settle(portal, tmp_path)
    told = fates(portal)
    assert told.items() >= {
        "Web shop": "lives", "Accounting": "lives", "Gone": "owner", "ONCRMLEADADD to shop.acme.es": "register",
        "Acme telephony": "buy", "Web forms": "install", "BI reports": "buy", "ERP exchange": "remake",
    }.items()  # fmt: skip
    assert works(portal, url) == {name: told[name] == "lives" for name in works(portal, url)}
    finding = checks_case.applications(_Scene(portal))  # type: ignore[arg-type]
    assert finding.state == "people"
    assert "1 application dead: the vendor knows it as the cloud's: ERP exchange" in finding.evidence
    rest = checks_case.rest_service(_Scene(portal))  # type: ignore[arg-type]
    assert rest.state == "people"


def test_the_kernel_registers_the_box_and_settling_again_leaves_it(moved: tuple[Portal, str], tmp_path: Path) -> None:
    portal, url = moved
    with pytest.raises(EncajaError, match="not settled yet"):
        applications.register(portal, "crm.acme.es", "https", "root")
    portal = applications.register(settle(portal, tmp_path), "crm.acme.es", "https", "root")
    assert portal.option("rest", "service_client_id").endswith(".crm.acme.es")
    assert fates(portal)["ONCRMLEADADD to shop.acme.es"] == "lives"
    assert fates(portal)["ERP exchange"] == "remake", "a registration revives no application"
    tool(portal, "app", "--code", "Made again")
    portal.database.execute("UPDATE b_rest_app SET ACTIVE = 'Y' WHERE APP_NAME = 'Web forms'")  # installed again
    portal = settle(again(portal), tmp_path)
    assert portal.option("rest", "service_client_id").endswith(".crm.acme.es")
    assert (fates(portal)["Made again"], fates(portal)["Web forms"]) == ("lives", "lives")
    assert works(portal, url)["Made again"]
    assert not cloud.plan_cloud(portal, POLICY).changed


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("define('BITRIXREST_URL', 'http://127.0.0.1:1');", "did not register the portal"),
        ("$LICENSE_KEY = 'DEMO';", "without a licence"),
    ],
)
def test_what_the_vendor_does_not_confirm_is_no_registration(
    moved: tuple[Portal, str], tmp_path: Path, code: str, said: str
) -> None:
    portal = settle(moved[0], tmp_path)
    path = portal.root / ("bitrix/license_key.php" if "LICENSE" in code else "bitrix/php_interface/dbconn.php")
    path.write_text(f"<?php {code} ?>" + path.read_text() if "LICENSE" not in code else f"<?php {code}\n")
    with pytest.raises(EncajaError, match=said):
        applications.register(again(portal), "crm.acme.es", "https", "root")


def test_the_cloud_leaves_no_pair_behind(moved: tuple[Portal, str], tmp_path: Path) -> None:
    portal = settle(moved[0], tmp_path)
    assert not [name for module, name in portal.options if module == "rest" and "service_client" in name]


def test_the_list_is_for_people_and_without_secrets(moved: tuple[Portal, str], tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = applications.inventory(settle(moved[0], tmp_path))
    english, spanish = applications.as_csv(rows), applications.as_csv(rows, "es")
    assert len(english.splitlines()) == len(spanish.splitlines()) == len(rows) + 1
    assert "aplicación,4,ERP exchange,muerto: el proveedor lo conoce como de la nube," in spanish
    assert "1 bots" in english and "hunter2" not in english + spanish


def test_connectors_pay_systems_and_steps_of_a_dead_application_are_told(
    moved: tuple[Portal, str], tmp_path: Path
) -> None:
    portal, code = moved[0], "5f4dcc3b5aa765d61d8327deb882cf99"
    client = portal.database.value("SELECT CLIENT_ID FROM b_rest_app WHERE APP_NAME = 'ERP exchange'")
    insert = portal.database.execute
    insert("INSERT INTO b_imconnectors_custom_connectors (ID_CONNECTOR, NAME, REST_APP_ID) VALUES ('erp', 'x', 4)")
    insert("INSERT INTO b_sale_pay_system_rest_handlers (NAME, CODE, APP_ID) VALUES ('x', 'erp', %s)", client)
    insert("INSERT INTO b_bp_rest_activity (APP_ID, CODE, INTERNAL_CODE, HANDLER) VALUES (%s, 'e', %s, 'x')",
           client, code)  # fmt: skip
    step = [{"Type": "SequentialWorkflowActivity", "Children": [{"Type": f"rest_{code}", "Name": "A1"}]}]
    text = serialize(step)
    for name, stored in (("Invoice", zlib.compress(text)), ("Old form", text), ("Cut off", zlib.compress(text)[:20]),
                         ("Other", zlib.compress(text.replace(code.encode(), b"0" * 32)))):  # fmt: skip
        insert("INSERT INTO b_bp_workflow_template (NAME, MODULE_ID, ENTITY, DOCUMENT_TYPE, MODIFIED, TEMPLATE)"
               " VALUES (%s, 'crm', 'CCrmDocumentDeal', 'DEAL', '2026-01-01', %s)", name, stored)  # fmt: skip
    rows = {row["name"]: row for row in applications.inventory(settle(portal, tmp_path))}
    assert rows["ERP exchange"]["templates"] == ["Invoice", "Old form"]
    assert rows["ERP exchange"]["hanging"].items() >= {
        "b_imconnectors_custom_connectors": 1, "b_sale_pay_system_rest_handlers": 1, "b_bp_workflow_template": 2,
    }.items()  # fmt: skip
    told = applications.as_csv(rows.values(), "es")
    assert "1 conectores de canales abiertos" in told and "2 plantillas con sus pasos: Invoice, Old form" in told
    assert applications.summary(rows.values()).endswith("templates with dead steps: Invoice, Old form")


def test_what_depends_on_an_application_is_told_while_it_is_away(portal: Portal) -> None:
    database = portal.database
    application = database.value("SELECT ID FROM b_rest_app LIMIT 1")
    for app, event in ((application, "ONCRMLEADADD"), (0, "ONCRMDEALADD")):
        database.execute(
            "INSERT INTO b_rest_event (APP_ID, EVENT_NAME, EVENT_HANDLER) VALUES (%s, %s, 'https://erp.acme.es/x')",
            app, event,
        )  # fmt: skip
    before = applications.inventory(again(portal))
    assert any(row["hanging"].get("b_rest_event") == 1 for row in before)
    plan = Plan()
    silence.plan_hold(database, plan, shipped())
    plan.apply(database)
    assert database.count("SELECT COUNT(*) FROM b_rest_event") == 0
    assert applications.inventory(again(portal)) == before
