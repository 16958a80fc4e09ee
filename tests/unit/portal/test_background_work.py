"""The freeze between restore and release: everything that goes out by itself stands still."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from encaja.portal import php
from encaja.portal.background_work import OUTSIDE_CRON, WorkPolicy, is_frozen, plan_constants, plan_messenger, plan_work
from encaja.portal.plan import Plan
from encaja.portal.site import Portal
from support.memory_database import MemoryDatabase

SETTINGS = "<?php\nreturn array('messenger' => array('value' => array('run_mode' => null), 'readonly' => false));\n"


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    root = tmp_path / "www"
    (root / "bitrix" / "php_interface").mkdir(parents=True)
    (root / "bitrix" / ".settings.php").write_text(SETTINGS)
    (root / "bitrix" / "php_interface" / "dbconn.php").write_text('<?php\ndefine("BX_UTF", true);\n')
    found = Portal(root, tmp_path / "state")
    found.__dict__["database"] = MemoryDatabase(
        b_event="ID int, EVENT_NAME varchar, SUCCESS_EXEC char, DATE_INSERT varchar",
        b_agent="ID int, MODULE_ID varchar, ACTIVE char, RUNNING char, DATE_CHECK varchar, NEXT_EXEC varchar",
        b_group="ID int, NAME varchar, SECURITY_POLICY text",
        b_module="ID varchar",
        b_option_site="MODULE_ID varchar, NAME varchar, SITE_ID char, VALUE text",
    )
    found.database._db.create_function("now", 0, lambda: "2026-11-26")  # type: ignore[attr-defined]
    return found


def dbconn(plan: Plan) -> str:
    [change] = [one for one in plan.files if one.path.name == "dbconn.php"]
    return change.after or ""


def test_a_frozen_portal_runs_no_agent_and_sends_no_mail(portal: Portal) -> None:
    plan = Plan()
    plan_constants(portal, plan, frozen=True, cron=False)
    after = dbconn(plan)
    assert php.read_define(after, "NO_AGENT_CHECK") is True
    assert php.read_define(after, "DisableEventsCheck") is True
    assert php.read_define(after, "BX_UTF") is True, "other constants stay"


@pytest.mark.parametrize("name", ["NO_AGENT_CHECK", "DisableEventsCheck"])
def test_each_switch_alone_is_a_freeze_and_the_release_takes_both_away(portal: Portal, name: str) -> None:
    assert not is_frozen(portal)
    portal.dbconn_path.write_text(f'<?php\ndefine("{name}", true);\ndefine("BX_UTF", true);\n')
    portal.__dict__.pop("dbconn", None)
    assert is_frozen(portal)
    plan = Plan()
    plan_constants(portal, plan, frozen=False, cron=False)
    after = dbconn(plan)
    assert [php.read_define(after, one) for one in ("NO_AGENT_CHECK", "DisableEventsCheck", "BX_UTF")] == [
        None,
        None,
        True,
    ]


def test_agents_run_on_cron_alone_where_that_is_wanted(portal: Portal) -> None:
    plan = Plan()
    plan_constants(portal, plan, frozen=False, cron=True)
    assert OUTSIDE_CRON in dbconn(plan) and "BX_CRONTAB_SUPPORT" in dbconn(plan)
    assert not Plan().changed
    none = Plan()
    plan_constants(portal, none, frozen=False, cron=False)
    assert not none.changed


def test_the_messenger_stands_still_and_goes_on_as_before(portal: Portal) -> None:
    plan = Plan()
    plan_messenger(portal, plan, frozen=True)
    [change] = plan.files
    assert "cli" in (change.after or "")
    portal.settings_path.write_text(change.after or "")
    portal.__dict__.pop("settings", None)
    back = Plan()
    plan_messenger(portal, back, frozen=False)
    assert "'cli'" not in (back.files[0].after or "")


def planned(portal: Portal, **policy: Any) -> tuple[list[tuple[str, tuple[Any, ...]]], dict[str, Any]]:
    plan, notes = plan_work(portal, WorkPolicy(**policy))
    return [(row.sql, row.arguments) for row in plan.rows if "b_event" in row.sql], notes


def run(portal: Portal, statements: list[tuple[str, tuple[Any, ...]]]) -> list[tuple[int, str]]:
    for sql, arguments in statements:
        portal.database.execute(sql, *arguments)
    return [(row[0], row[2]) for row in portal.database.all("b_event")]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("mail", "left"),
    [
        ("hold", [(1, "H"), (2, "Y"), (3, "H"), (9, "N")]),
        ("purge", [(2, "Y"), (9, "N")]),
        ("release", [(1, "N"), (2, "Y"), (3, "N"), (9, "N")]),
    ],
)
def test_mail_of_the_backup_is_decided_on_and_later_mail_left_alone(
    portal: Portal, mail: str, left: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    mails = [(1, "X", "N", "d"), (2, "X", "Y", "d"), (3, "X", "H", "d")]
    portal.database.put("b_event", *mails)  # type: ignore[attr-defined]
    _, notes = planned(portal)
    assert notes == {"mail_queue_last_id": 3}
    monkeypatch.setattr(portal, "state", lambda: notes)
    portal.database.put("b_event", (9, "X", "N", "d"))  # type: ignore[attr-defined]
    statements, again = planned(portal, mail=mail)
    assert again == notes, "what came after the backup is not decided on"
    assert run(portal, statements) == left
    assert planned(portal, mail=mail)[0] == [], "once"


def test_agents_that_ran_when_the_backup_was_made_are_set_free_in_a_frozen_portal_alone(portal: Portal) -> None:
    portal.database.put(  # type: ignore[attr-defined]
        "b_agent",
        (1, "main", "Y", "Y", None, "2026"),
        (2, "main", "Y", "N", "2026", "2026"),
        (3, "main", "Y", "N", None, "2"),
    )
    for frozen, expected in ((True, 1), (False, 0)):
        plan, _ = plan_work(portal, WorkPolicy(frozen=frozen))
        assert sum("UPDATE b_agent" in row.sql for row in plan.rows) == expected
    plan, _ = plan_work(portal, WorkPolicy())
    [row] = [row for row in plan.rows if "UPDATE b_agent" in row.sql]
    portal.database.execute(row.sql, *row.arguments)
    assert [one[3:5] for one in portal.database.all("b_agent")] == [("N", None)] * 3  # type: ignore[attr-defined]
    assert row.before == "2 agents marked as running"
