"""What waits in a frozen portal is listed, and released, held or purged as decided."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.encaja.portal.plugins.modules import portal_background_work
from encaja.errors import EncajaError
from encaja.portal import checks_silence, outbox, silence
from encaja.portal.copy_state import CopyState
from encaja.portal.plan import Plan
from encaja.portal.serialized import serialize
from encaja.portal.site import Portal
from integration.portal.cloud_portal import again
from integration.portal.test_silence import RULES, module

pytestmark = pytest.mark.integration
DAY = "2026-01-02 03:04:05"


@pytest.fixture
def frozen(portal: Portal) -> Portal:
    module(portal, "keep")
    database = portal.database

    def insert(table: str, **row: Any) -> None:
        columns, marks = ", ".join(f"`{name}`" for name in row), ", ".join(["%s"] * len(row))
        database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", *row.values())

    fields = serialize({"EMAIL_TO": "eva@world.test", "TITLE": "x", "BCC": "boss@world.test"}).decode()
    insert("b_event", EVENT_NAME="IM_NEW_NOTIFY", LID="s1", C_FIELDS=fields, DATE_INSERT=DAY)
    insert("b_event", EVENT_NAME="USER_PASS_REQUEST", LID="s1", C_FIELDS=fields, DATE_INSERT=DAY)
    for number in range(3):
        insert("b_messageservice_message", TYPE="SMS", SENDER_ID="sms", MESSAGE_TO=f"+3460000000{number}",
               MESSAGE_BODY="x", DATE_INSERT=DAY)  # fmt: skip
    insert("b_main_messenger_message", QUEUE_ID="bizproc", CLASS="Start", PAYLOAD="{}", CREATED_AT=DAY, UPDATED_AT=DAY,
           TTL=5, AVAILABLE_AT=DAY, STATUS="new")  # fmt: skip
    insert("b_rest_event_offline", MESSAGE_ID="m", APP_ID=7, EVENT_NAME="ONCRMDEALADD")
    insert("b_agent", MODULE_ID="bizproc", NAME="CBPSchedulerService::OnAgent('w', 'a');", NEXT_EXEC=DAY)
    insert("b_pull_push_queue", USER_ID=3, TAG="CALL", DATE_CREATE=DAY)
    return again(portal)


def counts(portal: Portal) -> dict[str, int]:
    return {queue["kind"]: queue["entries"] for queue in outbox.waiting(again(portal))}


def decide(portal: Portal, decisions: dict[str, str], *, first: bool = True) -> Plan:
    plan = Plan()
    outbox.plan_release(again(portal), plan, decisions, first=first)
    plan.apply(portal.database)
    return plan


def test_kind_receiver_and_time_are_listed(frozen: Portal) -> None:
    queues = {queue["kind"]: queue for queue in outbox.waiting(frozen)}
    assert {kind: queue["entries"] for kind, queue in queues.items()} == {
        "mail": 2, "held mail": 3, "sms": 3, "push": 1, "message": 1, "delay": 1, "event": 1,
    }  # fmt: skip
    assert queues["mail"]["first"][0] == {"to": "eva@world.test, boss@world.test", "what": "IM_NEW_NOTIFY", "when": DAY}
    assert queues["sms"]["first"][0] == {"to": "+34600000000", "what": "SMS", "when": DAY}
    assert queues["event"]["first"][0]["to"] == "application 7"
    assert queues["delay"]["first"][0]["when"] == DAY


def test_each_kind_is_released_held_or_purged(frozen: Portal) -> None:
    decide(frozen, {"sms": "hold", "push": "purge", "mail": "purge"})
    assert counts(frozen) == {"mail": 1, "held mail": 3, "message": 1, "delay": 1, "event": 1}, "a recovery is no test"
    frozen.database.execute("INSERT INTO b_messageservice_message (TYPE, SENDER_ID, MESSAGE_TO, MESSAGE_BODY)"
                            " VALUES ('SMS', 'sms', '+1', 'new')")  # fmt: skip
    decide(frozen, {"sms": "hold", "mail": "purge"}, first=False)
    assert counts(frozen)["sms"] == 1, "what comes after the release is not meant"
    decide(frozen, {"sms": "release"}, first=False)
    assert counts(frozen)["sms"] == 4
    assert not decide(frozen, {"sms": "release"}, first=False).changed


@pytest.mark.parametrize("applied", [False, True])
def test_a_release_that_was_cut_off_decides_about_nothing_that_came_after_it(
    frozen: Portal, monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    settle = portal_background_work.settle

    def cut(module: Any, portal: Portal, wanted: Plan, *_: Any) -> None:
        if applied:
            wanted.apply(portal.database)
        raise KeyboardInterrupt

    decisions = {"push": "purge", "sms": "hold"}
    with monkeypatch.context() as power:
        power.setattr(portal_background_work, "settle", cut)
        with pytest.raises(KeyboardInterrupt):
            module(again(frozen), "no", queues=decisions)
    assert settle is portal_background_work.settle
    assert not {"push", "sms"} & set(counts(frozen))
    frozen.database.execute(f"INSERT INTO b_pull_push_queue (USER_ID, TAG, DATE_CREATE) VALUES (3, 'CALL', '{DAY}')")
    module(again(frozen), "no", queues=decisions)
    assert counts(frozen).get("push", 0) == applied, "while the portal is frozen it is meant"
    module(again(frozen), "no", queues=decisions)
    assert counts(frozen).get("push", 0) == applied
    assert again(frozen).option("encaja", "queues_decided") == ""


def test_unknown_decisions_are_named(frozen: Portal) -> None:
    with pytest.raises(EncajaError, match=r"fax: hold, sms: burn .*kinds are mail, sms"):
        decide(frozen, {"fax": "hold", "sms": "burn"})


def scene(portal: Portal, rules: str = "") -> Any:
    return SimpleNamespace(
        copy=CopyState(False, "production", ""), silence=tuple(RULES), portal=again(portal),
        closed_network=portal.root / "closed.nft", command=lambda *_: rules,
        mailer=portal.root / "bitrix/.settings.php", mail_hold=portal.root / "mail.held",
    )  # fmt: skip


def test_a_frozen_portal_that_is_not_silent_is_found(frozen: Portal) -> None:
    assert "mail that PHP sends at once is not held" in checks_silence.silent(scene(frozen)).evidence
    (frozen.root / "mail.held").touch()
    found = checks_silence.silent(scene(frozen))
    assert found.state == "ok" and "3 sms (b_messageservice_message)" in found.evidence
    frozen.database.execute(
        "INSERT INTO b_crm_automation_trigger (NAME, CODE, ENTITY_STATUS) VALUES ('x', 'CALL', 'NEW')"
    )
    frozen.database.execute("UPDATE b_option SET VALUE = 'N' WHERE NAME = 'queue_stopped'")
    found = checks_silence.silent(scene(frozen))
    assert found.state == "found"
    assert "1 of triggers are switched on" in found.evidence and "1 of sms are switched on" in found.evidence
    module(again(frozen), "keep")
    assert "the network is open to the portal" in checks_silence.silent(scene(frozen)).evidence
    (frozen.root / "closed.nft").touch()
    assert "the network is open in spite of" in checks_silence.silent(scene(frozen)).evidence
    found = checks_silence.silent(scene(frozen, 'meta skuid != 33 accept comment "encaja silent"'))
    assert found.state == "ok" and "the network is closed" in found.evidence
    module(again(frozen), "no")
    found = checks_silence.silent(scene(frozen, 'comment "encaja silent"'))
    assert found.evidence == "the portal is released, but the network is still closed to it and mail is still held"
    (frozen.root / "mail.held").unlink()
    assert checks_silence.silent(scene(frozen)).evidence == "the portal is released"
    assert not again(frozen).has(silence.TABLE)
