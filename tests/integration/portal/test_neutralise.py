"""The shipped rules on a portal's tables: what is live becomes harmless, once, and what nobody knows is named."""

from __future__ import annotations

import contextlib
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from encaja.errors import EncajaError
from encaja.portal import credentials, neutralise
from encaja.portal.database import Database
from encaja.portal.serialized import serialize
from encaja.portal.site import Portal
from lab.company import keys
from support.neutralise_rules import harmless, shipped
from unit.ansible.test_portal_modules import load, task

pytestmark = pytest.mark.integration
RULES = shipped()
HARMLESS = harmless()
OWN = {"b_option", "b_option_site", "b_lang", "b_lang_domain"}


@pytest.fixture
def database(portal: Portal) -> Database:
    found = portal.database
    found.execute("INSERT INTO b_mail_mailbox (LID, ACTIVE, SERVER, PASSWORD) VALUES ('s1', 'Y', 'imap.world', 'x')")
    found.execute("INSERT INTO b_pull_push (USER_ID, DEVICE_TOKEN, DATE_CREATE) VALUES (1, 't', NOW())")
    found.execute("INSERT INTO b_clouds_file_bucket (READ_ONLY, SETTINGS) VALUES ('N', 'keys')")
    found.execute("INSERT INTO b_rest_ap (USER_ID, PASSWORD, ACTIVE) VALUES (1, 'hook', 'Y')")
    for module, name, value in (
        ("main", "server_uniq_id", "production's"), ("pull", "path_to_websocket", "wss://production/"),
        ("pull", "push", "Y"), ("socialservices", "google_appsecret", "x"), ("messageservice", "sender.sms.x", "x"),
    ):  # fmt: skip
        found.execute("REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES (%s, %s, %s)", module, name, value)
    found.execute("REPLACE INTO b_option_site (MODULE_ID, NAME, SITE_ID, VALUE) VALUES ('pull', 'push', 's1', 'Y')")
    return found


def option(database: Database, module: str, name: str) -> Any:
    return database.value("SELECT VALUE FROM b_option WHERE MODULE_ID = %s AND NAME = %s", module, name)


def test_everything_live_becomes_harmless_and_a_second_run_changes_nothing(database: Database) -> None:
    looked = neutralise.apply(database, RULES, check=True)
    assert option(database, "pull", "push") == "Y", "check mode changes nothing"
    done = {one.id: one for one in neutralise.apply(database, RULES, check=False)}
    assert {one.id: one.rows for one in looked} == {name: one.rows for name, one in done.items()}
    assert done["mailboxes"].rows == 1
    assert done["cloud-buckets"].rows >= 1
    assert option(database, "pull", "push") == "N"
    assert option(database, "pull", "path_to_websocket") is None
    assert option(database, "socialservices", "google_appsecret") is None
    assert database.count("SELECT COUNT(*) FROM b_option_site WHERE MODULE_ID = 'pull'") == 0
    own = option(database, "main", "server_uniq_id")
    assert own != "production's"
    assert len(own) == 64
    assert [one.id for one in neutralise.apply(database, RULES, check=False) if one.rows] == []
    assert option(database, "main", "server_uniq_id") == own


def everything(database: Database) -> bytes:
    """All values of the whole database, and what is inside the packed ones."""
    parts: list[bytes] = []
    for table in database.columns():
        for row in database.rows(f"SELECT * FROM `{table}`"):
            for value in row.values():
                data = value if isinstance(value, bytes) else str(value).encode()
                parts.append(data)
                with contextlib.suppress(zlib.error):
                    parts.append(zlib.decompress(data))
    return b"\n".join(parts)


def test_every_credential_of_a_whole_portal_goes_without_anybody_s_acknowledgement(
    portal: Portal, database: Database, server: Path
) -> None:
    """One in every column and option that is known to hold some: serialised, in JSON, packed, inside each other."""
    access = {"host": f"localhost:{server}", "name": "portal", "login": "root", "password": ""}
    store = keys.Store(access, portal.root, None)
    marks = keys.plant(store, datetime(2026, 1, 1))
    store.connection.commit()
    store.connection.close()
    before = everything(database)
    assert [place for place, mark in marks.items() if mark.encode() not in before] == []
    assert neutralise.unknown_secrets(database, RULES, HARMLESS) == []
    neutralise.apply(database, RULES, check=False)
    after = everything(database)
    assert [place for place, mark in marks.items() if mark.encode() in after] == []
    assert "España".encode() in after
    assert neutralise.unknown_secrets(database, RULES, HARMLESS) == []
    assert [one.id for one in neutralise.apply(database, RULES, check=False) if one.rows] == []
    assert database.count("SELECT COUNT(*) FROM b_bp_workflow_template WHERE DOCUMENT_STATUS = 'off:QZ'") == 1
    assert database.count("SELECT COUNT(*) FROM b_crm_automation_trigger WHERE ENTITY_STATUS NOT LIKE 'off:%'") == 0


def test_a_portal_with_something_in_every_column_needs_nobody_s_acknowledgement(database: Database) -> None:
    """Whatever a column of the real schema may hold by its name: a word, a foreign address, a token inside."""
    database.execute("SET SESSION sql_mode = ''")
    inside = serialize({"access_token": "xyzzy", "n": {"url": "https://a.partner.test/?token=xyzzy"}})
    short = []
    for table, columns in database.columns().items():
        values: dict[str, str | bytes] = {}
        for column, kind in columns.items():
            if kind not in neutralise.TEXTS or kind == "char" or table in OWN:
                continue
            if credentials.CONTAINER.search(column) and not credentials.SECRET.search(column):
                values[column] = inside
            elif credentials.SECRET.search(column):
                values[column] = "xyzzy"
            elif credentials.ENDPOINT.search(column):
                values[column] = "https://a.partner.test/"
        if values:
            marks = ", ".join(f"`{column}` = %s" for column in values)
            database.execute(f"INSERT IGNORE INTO `{table}` SET {marks}", *values.values())
            short.append(table)
    assert len(short) > 250
    database.execute("SET SESSION sql_mode = DEFAULT")
    found = neutralise.unknown_secrets(database, RULES, HARMLESS)
    assert found == []
    neutralise.apply(database, RULES, check=False)
    assert neutralise.unknown_secrets(database, RULES, HARMLESS) == []
    assert [one.id for one in neutralise.apply(database, RULES, check=False) if one.rows] == []


def test_a_template_that_cannot_be_read_is_named_and_the_rest_goes_on(portal: Portal, database: Database) -> None:
    secret = serialize([{"Properties": {"apiKey": "xyzzy", "Title": "España"}}])
    for template in (b"\x1f\x8b\xff no gz", zlib.compress(secret, 9)[:-9], zlib.compress(secret, 9), secret):
        database.execute(
            "INSERT INTO b_bp_workflow_template (ENTITY, DOCUMENT_TYPE, TEMPLATE, MODIFIED)"
            " VALUES ('CCrmDocumentLead', 'LEAD', %s, NOW())", template,
        )  # fmt: skip
    first, cut, packed, bare = (row["ID"] for row in database.rows("SELECT ID FROM b_bp_workflow_template ORDER BY ID"))
    done = {one.id: one for one in neutralise.apply(database, RULES, check=False)}["workflow-keys"]
    assert done.rows == 2
    assert [value.split(":")[0] for value in done.unread] == [
        f"b_bp_workflow_template.TEMPLATE[{number}]" for number in (first, cut)
    ]
    found = {row["ID"]: row["TEMPLATE"] for row in database.rows("SELECT ID, TEMPLATE FROM b_bp_workflow_template")}
    clean = serialize([{"Properties": {"apiKey": "", "Title": "España"}}])
    assert (found[packed], found[bare]) == (zlib.compress(clean, 9), clean)
    assert found[first] == b"\x1f\x8b\xff no gz"


def test_own_tables_are_covered_by_patterns_too(database: Database) -> None:
    """Columns by their names, values by what is in them; a table without a key, a column in which no two are equal."""
    database.execute("CREATE TABLE acme_a (NAME varchar(9), SETTINGS text, PASSWORD varchar(9))")
    database.execute("""INSERT INTO acme_a VALUES ('a', '{"token":"X"}', 'p'), ('b', '{"Token":"x"}', '')""")
    database.execute("CREATE TABLE acme_b (ID int PRIMARY KEY, TOKEN varchar(9) UNIQUE)")
    database.execute("INSERT INTO acme_b VALUES (1, 'x'), (2, 'y')")
    assert neutralise.unknown_secrets(database, RULES, HARMLESS) == [
        "acme_a.SETTINGS", "acme_a.PASSWORD", "acme_b.TOKEN",
    ]  # fmt: skip
    rules = [{"id": "names", "sweep": ["acme_*"]}, {"id": "values", "walk": ["acme_*"]}]
    assert [one.rows for one in neutralise.apply(database, rules, check=True)] == [3, 2]
    assert [one.rows for one in neutralise.apply(database, rules, check=False)] == [3, 2]
    assert database.rows("SELECT SETTINGS, PASSWORD FROM acme_a ORDER BY NAME") == [
        {"SETTINGS": '{"token":""}', "PASSWORD": ""}, {"SETTINGS": '{"Token":""}', "PASSWORD": ""},
    ]  # fmt: skip
    assert database.count("SELECT COUNT(*) FROM acme_b") == 0
    assert neutralise.unknown_secrets(database, [*RULES, *rules], HARMLESS) == []


def test_what_no_rule_covers_is_named(database: Database) -> None:
    neutralise.apply(database, RULES, check=False)
    assert neutralise.unknown_secrets(database, RULES, HARMLESS) == []
    database.execute("CREATE TABLE acme (ID int PRIMARY KEY, API_TOKEN varchar(20), TITLE varchar(20))")
    database.execute("INSERT INTO acme VALUES (1, 'x', 'x')")
    database.execute("REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('acme', 'partner_secret', 'x')")
    found = neutralise.unknown_secrets(database, RULES, HARMLESS)
    assert found == ["acme.API_TOKEN", "option acme.partner_secret"]
    assert neutralise.unknown_secrets(database, RULES, [*HARMLESS, "acme", "acme.*"]) == []
    # A rule that sets another column does not cover this one.
    rule = {"id": "title", "table": "acme", "live": "TITLE <> ''", "make": "TITLE = ''"}
    assert "acme.API_TOKEN" in neutralise.unknown_secrets(database, [*RULES, rule], HARMLESS)


def test_a_portal_is_looked_at_before_it_is_copied_and_all_is_named_at_once(portal: Portal, database: Database) -> None:
    """Production at work, with everything live that the rules know, and some that they do not."""
    module = load("neutralise")
    before = database.rows("CHECKSUM TABLE b_option, b_rest_ap, b_mail_mailbox")
    rules = [
        *RULES,
        {"id": "acme", "why": "x", "table": "acme", "live": "LEFT(TITLE, 4) = 'http'", "make": "TITLE = 'a?token='"},
        {"id": "misspelt", "why": "x", "table": "b_rest_ap", "live": "ACTIVF = 'Y'", "delete": True},
        {"id": "elsewhere", "why": "x", "table": "b_rest_ap", "live": "1 = 1", "make": "PASWORD = ''"},
    ]
    look = task(state="check", root=str(portal.root), marker="/nowhere", rules=rules, acknowledged=HARMLESS)
    database.execute("CREATE TABLE acme (ID int PRIMARY KEY, API_TOKEN varchar(20), TITLE varchar(20))")
    database.execute("INSERT INTO acme VALUES (1, 'x', 'http://x')")
    database.execute("REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('acme', 'partner_secret', 'x')")
    with pytest.raises(Exception, match="before anything is copied") as fault:
        module.converge(look)
    for said in ("acme.API_TOKEN, option acme.partner_secret", "rule misspelt: ", "rule elsewhere: "):
        assert said in str(fault.value)
    assert "rule acme" not in str(fault.value)
    look.params["rules"] = rules[:-2]
    look.params["acknowledged"] = [*HARMLESS, "acme", "acme.*"]
    assert module.converge(look)["changed"] is False
    database.execute("DELETE FROM b_option WHERE MODULE_ID = 'acme'")
    assert database.rows("CHECKSUM TABLE b_option, b_rest_ap, b_mail_mailbox") == before


def test_a_rule_that_leaves_something_live_fails(database: Database) -> None:
    rule = {"id": "in-vain", "table": "b_rest_ap", "live": "USER_ID = 1", "make": "ACTIVE = 'N'"}
    with pytest.raises(EncajaError, match="still live: in-vain"):
        neutralise.apply(database, [rule], check=False)
