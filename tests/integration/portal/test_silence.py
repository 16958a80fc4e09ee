"""What is off in the data until the release comes back byte for byte, however often it is cut off."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.encaja.portal.plugins.modules import portal_background_work
from encaja.errors import EncajaError
from encaja.portal import silence
from encaja.portal.database import Database
from encaja.portal.plan import Plan
from encaja.portal.site import Portal
from integration.portal.cloud_portal import OLD, again, connect
from support.silence_rules import shipped

pytestmark = pytest.mark.integration
RULES = shipped()
TABLES = (
    "b_bp_workflow_template", "b_bp_automation_trigger", "b_crm_automation_trigger", "b_mail_mailbox", "b_rest_event",
    "b_option", "b_option_site",
)  # fmt: skip
LONG = "C14:" + "x" * 46


def fill(database: Database) -> None:
    def insert(table: str, **row: Any) -> None:
        columns = ", ".join(f"`{name}`" for name in row)
        marks = ", ".join(["%s"] * len(row))
        database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", *row.values())

    common = {"MODULE_ID": "crm", "ENTITY": "CCrmDocumentDeal", "DOCUMENT_TYPE": "DEAL", "MODIFIED": "2026-01-01",
              "TEMPLATE": b"\x78\x9c\x00\xff\x80"}  # fmt: skip
    for execute, active, status in (
        (1, "Y", None), (3, "Y", ""), (0, "Y", None), (8, "N", "NEW"), (8, "Y", "C1:WON "), (8, "Y", LONG),
        (8, "Y", "этап"), (1, "N", None),
    ):  # fmt: skip
        insert("b_bp_workflow_template", **common, AUTO_EXECUTE=execute, ACTIVE=active, DOCUMENT_STATUS=status)
    for stage in ("NEW", LONG, "UC_1"):
        insert("b_crm_automation_trigger", NAME="x", CODE="CALL", ENTITY_TYPE_ID=1, ENTITY_STATUS=stage)
        insert("b_bp_automation_trigger", NAME="x", CODE="CALL", MODULE_ID="tasks", ENTITY="x", DOCUMENT_TYPE="T",
               DOCUMENT_STATUS=stage)  # fmt: skip
    for active in "YN":
        insert("b_mail_mailbox", LID="s1", ACTIVE=active, SERVER="imap.world.test", TIMESTAMP_X="2020-01-01 10:00:00")
    for app, handler in ((1, f"https://{OLD}/x"), (None, "https://hooks.world.test/"), (1, "")):
        insert("b_rest_event", APP_ID=app, EVENT_NAME="ONCRMLEADADD", EVENT_HANDLER=handler, APPLICATION_TOKEN="t")
    insert("b_option", MODULE_ID="pull", NAME="push", VALUE="Y", DESCRIPTION="as it was")
    insert("b_option_site", MODULE_ID="pull", NAME="push", SITE_ID="s1", VALUE="Y")


def state(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every value of what rules are about, in order."""
    return {name: sorted((tuple(row.values()) for row in database.rows(f"SELECT * FROM {name}")), key=repr)
            for name in TABLES}  # fmt: skip


def own_tables(database: Database) -> list[str]:
    return [name for name in database.columns() if name.startswith(silence.TABLE)]


def hold(database: Database) -> Plan:
    plan = Plan()
    silence.plan_hold(database, plan, RULES)
    plan.apply(database)
    return plan


def release(database: Database) -> Plan:
    plan = Plan()
    silence.plan_release(database, plan)
    plan.apply(database)
    silence.drop_empty(database)
    return plan


def connection(server: Path, name: str) -> Database:
    default = {"host": f"localhost:{server}", "login": "root", "password": "", "database": name}
    return Database.connect({"connections": {"value": {"default": default}}}, "the test")


@pytest.fixture
def database(server: Path, schema: frozenset[str], request: pytest.FixtureRequest) -> Iterator[Database]:
    """The tables that rules are about, filled; of an engine without transactions where a test asks for it."""
    assert set(TABLES) <= schema
    with connect(server) as root, root.cursor() as cursor:
        cursor.execute("CREATE DATABASE held")
        for name in TABLES:
            cursor.execute(f"CREATE TABLE held.{name} LIKE portal.{name}")
            if hasattr(request, "param"):
                cursor.execute(f"ALTER TABLE held.{name} ENGINE={request.param}")
        found = connection(server, "held")
        fill(found)
        yield found
        found.close()
        cursor.execute("DROP DATABASE held")


def test_everything_is_off_and_comes_back_byte_for_byte(database: Database) -> None:
    before = state(database)
    hold(database)
    assert silence.live(database, RULES) == {}
    count = database.count
    assert count("SELECT COUNT(*) FROM b_bp_workflow_template WHERE ACTIVE = 'Y'") == 0
    assert count("SELECT COUNT(*) FROM b_bp_workflow_template WHERE DOCUMENT_STATUS LIKE 'off:%'") == 4
    assert count("SELECT COUNT(*) FROM b_crm_automation_trigger WHERE ENTITY_STATUS NOT LIKE 'off:%'") == 0
    assert [row["EVENT_HANDLER"] for row in database.rows("SELECT EVENT_HANDLER FROM b_rest_event")] == [""]
    assert database.value("SELECT VALUE FROM b_option WHERE MODULE_ID = 'messageservice'") == "Y"
    assert database.value("SELECT VALUE FROM b_option_site WHERE MODULE_ID = 'pull' AND NAME = 'push'") == "N"
    held = silence.held(database)
    assert held["workflows"] == 6 and held["robots"] == 4 and held["triggers"] == 3 and held["b_rest_event"] == 2
    again_held = hold(database)
    assert not again_held.changed, "a second time there is nothing to do"
    release(database)
    assert state(database) == before
    assert own_tables(database) == []
    assert not release(database).changed


def test_what_somebody_changes_meanwhile_stays_and_is_named(database: Database) -> None:
    hold(database)
    database.execute("UPDATE b_crm_automation_trigger SET ENTITY_STATUS = 'off:WON' WHERE ENTITY_STATUS = 'off:NEW'")
    database.execute("DELETE FROM b_mail_mailbox")
    plan = release(database)
    assert len(plan.warnings) == 2 and "1 of 3 held values of b_crm_automation_trigger" in plan.warnings[0], (
        plan.warnings
    )
    stages = {row["ENTITY_STATUS"] for row in database.rows("SELECT ENTITY_STATUS FROM b_crm_automation_trigger")}
    assert stages == {"off:WON", LONG, "UC_1"}


def test_robots_made_while_frozen_are_off_with_the_next_run_and_come_back_as_they_were_made(database: Database) -> None:
    hold(database)
    database.execute("UPDATE b_bp_workflow_template SET ACTIVE = 'Y', DOCUMENT_STATUS = 'LATER' WHERE AUTO_EXECUTE = 3")
    database.execute("INSERT INTO b_rest_event (APP_ID, EVENT_NAME, EVENT_HANDLER) VALUES (7, 'X', 'http://own.test')")
    assert silence.live(database, RULES, again=True) == {"workflows": 1, "robots": 1}
    hold(database)
    assert silence.live(database, RULES, again=True) == {}
    assert database.count("SELECT COUNT(*) FROM b_rest_event WHERE APP_ID = 7"), "registered in the box"
    release(database)
    row = database.rows("SELECT ACTIVE, DOCUMENT_STATUS FROM b_bp_workflow_template WHERE AUTO_EXECUTE = 3")[0]
    assert row == {"ACTIVE": "Y", "DOCUMENT_STATUS": "LATER"}


def test_what_was_registered_anew_wins(database: Database) -> None:
    hold(database)
    database.execute(
        "INSERT INTO b_rest_event (APP_ID, EVENT_NAME, EVENT_HANDLER, APPLICATION_TOKEN)"
        " VALUES (1, 'ONCRMLEADADD', %s, 'new')", f"https://{OLD}/x",
    )  # fmt: skip
    release(database)
    rows = database.rows("SELECT APPLICATION_TOKEN AS token FROM b_rest_event WHERE APP_ID = 1 AND EVENT_HANDLER <> ''")
    assert [row["token"] for row in rows] == ["new"]


class Killed(Database):
    """Ends its process before one of its statements."""

    left = 0

    def execute(self, sql: str, *arguments: Any) -> int:
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(sql, *arguments)


def kill_at(server: Path, moment: int, act: Callable[[Database], Plan]) -> bool:
    """Do something in a process that is killed before its statement number ``moment``; whether it was."""
    child = os.fork()
    if not child:
        try:
            killed = Killed(connection(server, "held").connection, "held")
            killed.left = moment
            act(killed)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("database", ["InnoDB", "MyISAM"], indirect=True)
@pytest.mark.fault("kill -9: host tool", "settle", "before every statement that holds off what starts by itself")
@pytest.mark.fault("kill -9: host tool", "release", "before every statement that gives it back")
def test_killed_before_every_statement(database: Database, server: Path) -> None:
    before, kills = state(database), 0
    for act in (hold, release):
        for moment in range(1, 100):
            if act is release:
                hold(database)
            killed = kill_at(server, moment, act)
            if act is hold or (killed and moment % 2):  # settled again before the release is
                hold(database)
                assert silence.live(database, RULES, again=act is release) == {}, moment
            release(database)
            assert state(database) == before, (act.__name__, moment)
            assert own_tables(database) == []
            if not killed:
                break
            kills += 1
    assert kills >= 20, kills


@pytest.mark.fault("kill -9: host tool", "settle", "before the cloud's own handlers are known")
def test_what_came_with_the_backup_is_found_also_by_the_run_after_one_that_was_cut_off(
    database: Database, server: Path
) -> None:
    assert kill_at(server, 2, hold)
    assert own_tables(database) and not silence.is_complete(database)
    hold(database)
    assert silence.live(database, RULES) == {}, "handlers of the cloud too"
    assert silence.is_complete(database)


def test_a_later_restore_brings_its_own(server: Path, database: Database) -> None:
    hold(database)
    database.execute("CREATE DATABASE later")
    try:
        for name in TABLES:
            database.execute(f"CREATE TABLE later.{name} LIKE {name}")
        later = connection(server, "later")
        later.execute("INSERT INTO b_crm_automation_trigger (NAME, CODE, ENTITY_STATUS) VALUES ('x', 'y', 'OWN')")
        before = state(later)
        hold(later)
        release(later)
        assert state(later) == before
        assert silence.held(database)["triggers"] == 3
    finally:
        database.execute("DROP DATABASE later")


def module(portal: Portal, frozen: str, **more: Any) -> dict[str, Any]:
    params = {"root": str(portal.root), "state": str(portal.state_directory), "fpm_socket": "/none", "frozen": frozen,
              "mail": "hold", "session_minutes": 1440, "all_agents_on_cron": True, "fast_download": True,
              "silence": RULES, "queues": {}}  # fmt: skip
    fake = SimpleNamespace(params=params | more, check_mode=False, _name="portal_background_work")
    return portal_background_work.converge(fake)  # type: ignore[arg-type]


def test_settling_holds_and_the_release_puts_back(portal: Portal) -> None:
    database = portal.database
    fill(database)
    before = state(database)
    result = module(portal, "keep")
    assert result["changed"] and result["purged"], "triggers are cached"
    assert module(again(portal), "keep")["changed"] is False
    assert module(again(portal), "keep")["report"]["silenced"]["triggers"] == 3
    module(again(portal), "no")
    after = state(database)
    assert {name: after[name] for name in TABLES[:5]} == {name: before[name] for name in TABLES[:5]}
    assert own_tables(database) == []
    assert module(again(portal), "keep")["changed"] is False


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"table": "b_rest_event", "live": "1 = 1", "away": True}, "has no id"),
        ({"id": "x", "table": "b_rest_event", "live": "1 = 1"}, "rule x needs"),
        ({"id": "x", "table": "b_mail_mailbox", "column": "ACTIVE", "live": "NOWHERE = 1", "make": "''"}, "NOWHERE"),
        ({"id": "x", "table": "b_option", "column": "VALUE", "live": "1 = 1", "make": "''"}, "no key of one column"),
    ],
)  # fmt: skip
def test_rules_that_do_not_fit_are_named(rule: dict[str, Any], message: str, database: Database) -> None:
    before = state(database)
    with pytest.raises(EncajaError, match=message):
        silence.plan_hold(database, Plan(), [rule])
    assert state(database) == before
