from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from encaja.errors import EncajaError
from encaja.portal import masking
from encaja.portal.site import Portal
from integration.portal.cloud_portal import again

pytestmark = pytest.mark.integration
ROLE = yaml.safe_load((Path(__file__).parents[3] / "roles/neutralise/defaults/main.yml").read_text())
RULES = [
    {**rule, "where": rule["where"].replace("{{ neutralise_real_users }}", ROLE["neutralise_real_users"])}
    if "where" in rule
    else rule
    for rule in ROLE["neutralise_mask_rules"]
]
KEY = b"key"


def fill(portal: Portal) -> None:
    run = portal.database.execute
    run("UPDATE b_user SET NAME='Ana', LAST_NAME='García', PERSONAL_MOBILE='+34 600 123 456' WHERE ID = 2")
    run("UPDATE b_user SET NAME='Marta', LAST_NAME='the bot' WHERE ID = 9")
    now = "'2026-01-01'"
    for table in ("b_crm_contact", "b_crm_lead"):
        run(
            f"INSERT INTO {table} (ID, DATE_CREATE, DATE_MODIFY, CREATED_BY_ID, NAME, LAST_NAME, FULL_NAME, COMMENTS)"
            f" VALUES (1, {now}, {now}, 1, 'Ana', 'GARCÍA', 'Ana García', 'calls at night')"
        )
    run("UPDATE b_crm_lead SET TITLE = 'Ana García'")
    company = "INSERT INTO b_crm_company (DATE_CREATE, DATE_MODIFY, CREATED_BY_ID, TITLE)"
    run(f"{company} VALUES ({now}, {now}, 1, 'García e hijos')")
    multi = "INSERT INTO b_crm_field_multi (ENTITY_ID, ELEMENT_ID, TYPE_ID, VALUE_TYPE, VALUE)"
    for kind, value in (("PHONE", "600123456"), ("EMAIL", "Ana@acme.es"), ("WEB", "ana.example")):
        run(f"{multi} VALUES ('CONTACT', 1, %s, 'WORK', %s)", kind, value)


def one(portal: Portal, sql: str) -> Any:
    return portal.database.value(sql)


def test_people_are_masked_alike_everywhere_and_a_second_run_changes_nothing(portal: Portal) -> None:
    fill(portal)
    told = {item.id: item for item in masking.mask(portal.database, RULES, KEY, check=True)}
    assert told["contacts"].rows == 3
    assert one(portal, "SELECT NAME FROM b_crm_contact") == "Ana"
    done = {item.id: item for item in masking.mask(portal.database, RULES, KEY, check=False)}
    assert done["contacts"].state == "changed"
    assert done["calls"].state in {"absent", "masked"}
    mask = masking.Mask(KEY)
    ana, garcia = mask.name("Ana"), mask.name("García")
    assert one(portal, "SELECT NAME FROM b_user WHERE ID = 2") == ana == one(portal, "SELECT NAME FROM b_crm_contact")
    assert (
        one(portal, "SELECT FULL_NAME FROM b_crm_contact")
        == f"{ana} {garcia}"
        == one(portal, "SELECT TITLE FROM b_crm_lead")
    )
    assert one(portal, "SELECT LAST_NAME FROM b_crm_contact") == garcia
    assert garcia in one(portal, "SELECT TITLE FROM b_crm_company")
    phone = one(portal, "SELECT VALUE FROM b_crm_field_multi WHERE TYPE_ID = 'PHONE'")
    assert phone == one(portal, "SELECT PERSONAL_MOBILE FROM b_user WHERE ID = 2")
    mail = one(portal, "SELECT VALUE FROM b_crm_field_multi WHERE TYPE_ID = 'EMAIL'")
    assert (
        mail
        == one(portal, "SELECT EMAIL FROM b_user WHERE ID = 2")
        == one(portal, "SELECT LOGIN FROM b_user WHERE ID = 2")
    )
    assert one(portal, "SELECT COMMENTS FROM b_crm_lead") == ""
    assert one(portal, "SELECT NAME FROM b_user WHERE ID = 9") == "Marta"
    assert one(portal, "SELECT LOGIN FROM b_user WHERE ID = 1") == "admin"
    second = masking.mask(portal.database, RULES, KEY, check=False)
    assert {item.state for item in second} <= {"masked", "absent"}


def test_a_masking_that_was_cut_off_goes_on(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(portal)
    half = len(RULES) // 2
    masking.mask(portal.database, RULES[:half], KEY, check=False)
    masking.mask(portal.database, RULES, KEY, check=False)
    assert one(portal, "SELECT NAME FROM b_user WHERE ID = 2") == masking.Mask(KEY).name("Ana")
    monkeypatch.setattr(masking._Columns, "_write", lambda *_: None)
    portal.database.execute("UPDATE b_crm_contact SET NAME = 'Luz'")
    with pytest.raises(EncajaError, match="still not masked: contacts"):
        masking.mask(portal.database, RULES, KEY, check=False)


def test_test_users_are_made_changed_and_shut_out_and_no_others(portal: Portal) -> None:
    wanted = [
        {"login": "seller", "password": "hunter2", "groups": [1, 2], "department": 5, "name": "Vera"},
        {"login": "boss", "password": "hunter3"},
    ]
    database = portal.database
    assert masking.converge_users(database, wanted, check=True) == ["seller", "boss"]
    assert one(portal, "SELECT COUNT(*) FROM b_user WHERE XML_ID = 'encaja-test'") == 0
    assert masking.converge_users(database, wanted, check=False) == ["seller", "boss"]
    assert masking.converge_users(database, wanted, check=False) == []
    stored = one(portal, "SELECT PASSWORD FROM b_user WHERE LOGIN = 'seller'")
    assert masking.hashed("hunter2", stored.split("$")[2]) == stored
    number = one(portal, "SELECT ID FROM b_user WHERE LOGIN = 'seller'")
    assert one(portal, f"SELECT COUNT(*) FROM b_user_group WHERE USER_ID = {number}") == 2
    masking.mask(database, RULES, KEY, check=False)
    assert one(portal, "SELECT NAME FROM b_user WHERE LOGIN = 'seller'") == "Vera"
    changed = [{**wanted[0], "password": "another"}]
    assert masking.converge_users(database, changed, check=False) == ["seller", "boss"]
    assert one(portal, "SELECT ACTIVE FROM b_user WHERE LOGIN = 'boss'") == "N"
    assert one(portal, "SELECT ACTIVE FROM b_user WHERE LOGIN = 'admin'") == "Y"
    assert ("main", "encaja_test_users") in again(portal).options


def test_a_real_user_is_never_made_a_test_user(portal: Portal) -> None:
    with pytest.raises(EncajaError) as fault:
        masking.converge_users(portal.database, [{"login": "admin", "password": "x"}, {"login": "y"}], check=False)
    assert "admin is a real user" in str(fault.value)
    assert "needs login and password" in str(fault.value)
    assert one(portal, "SELECT COUNT(*) FROM b_user WHERE XML_ID = 'encaja-test'") == 0


def test_passwords_are_hashed_as_the_portal_keeps_them() -> None:
    made = masking.hashed("hunter2")
    assert made.startswith("$6$")
    assert masking.hashed("hunter2", made.split("$")[2]) == made
    assert masking.hashed("hunter3", made.split("$")[2]) != made
