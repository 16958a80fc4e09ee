"""A released portal is proven to be alive by the rows of its agents, its mail and its Messenger."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.encaja.portal.plugins.module_utils import portal_library
from ansible_collections.encaja.portal.plugins.modules import portal_background_proof, portal_background_work
from encaja.portal import background_proof, background_work, checks_case
from encaja.portal.plan import Plan
from encaja.portal.site import Portal
from integration.portal.cloud_portal import again

pytestmark = pytest.mark.integration
LONG_AGO = "2020-01-01 00:00:00"


class Box:
    """A portal whose queues a test fills and works off."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.database = portal.database
        for table in ("b_agent", "b_event", "b_main_messenger_message"):
            self.database.execute(f"DELETE FROM {table}")
        self.since = background_proof.moment(portal)

    def agent(self, name: str, period: str = "N", next_exec: str = LONG_AGO, **columns: Any) -> None:
        row = {"NAME": name, "MODULE_ID": "main", "IS_PERIOD": period, "NEXT_EXEC": next_exec} | columns
        marks = ", ".join(["%s"] * len(row))
        self.database.execute(f"INSERT INTO b_agent ({', '.join(row)}) VALUES ({marks})", *row.values())

    def mail(self, state: str = "N", inserted: str = LONG_AGO) -> None:
        self.database.execute(
            "INSERT INTO b_event (EVENT_NAME, LID, SUCCESS_EXEC, DATE_INSERT) VALUES ('X', 's1', %s, %s)",
            state, inserted,
        )  # fmt: skip

    def message(self) -> None:
        self.database.execute(
            "INSERT INTO b_main_messenger_message (QUEUE_ID, CLASS, PAYLOAD, CREATED_AT, UPDATED_AT, TTL, AVAILABLE_AT,"
            " STATUS) VALUES ('q', 'c', '{}', %s, %s, 5, %s, 'new')",
            LONG_AGO, LONG_AGO, LONG_AGO,
        )  # fmt: skip

    def run(self, name: str) -> None:
        self.database.execute(
            "UPDATE b_agent SET LAST_EXEC = NOW(), NEXT_EXEC = NOW() + INTERVAL 1 HOUR WHERE NAME = %s", name
        )

    def send(self, state: str = "Y") -> None:
        self.database.execute("UPDATE b_event SET SUCCESS_EXEC = %s, DATE_EXEC = NOW() LIMIT 1", state)

    def work_off(self) -> None:
        self.database.execute("DELETE FROM b_main_messenger_message LIMIT 1")

    def signs(self) -> background_proof.Signs:
        return background_proof.read_signs(again(self.portal), self.since)

    def prove(self, *steps: Any) -> tuple[background_proof.Signs, list[str]]:
        """Wait for the proof; with each look at the rows one more step has been done."""
        left = list(steps)

        def sleep(_: float) -> None:
            if left:
                left.pop(0)()

        return background_proof.wait_for_proof(again(self.portal), self.since, 0.3 if not steps else 5, sleep, 0.0)


@pytest.fixture
def box(portal: Portal) -> Box:
    return Box(portal)


def test_a_portal_in_which_nothing_runs_is_told_by_each_part(box: Box) -> None:
    box.agent("CMain::daily();", "Y")
    box.agent("CMain::often();")
    box.mail()
    box.message()
    _, wrong = box.prove()
    assert [text.split(" has ")[0] for text in wrong] == [
        "none of 1 due periodic agents",
        "none of 1 due non-periodic agents",
        "none of 1 waiting mails",
        "none of 1 due messages of the Messenger",
    ]


def test_each_part_proves_itself_by_its_own_rows(box: Box) -> None:
    box.agent("CMain::daily();", "Y")
    box.agent("CMain::often();")
    box.agent("CMain::other();")
    box.mail()
    box.mail()
    box.message()
    box.message()
    steps = [lambda: box.run("CMain::daily();"), lambda: box.run("CMain::often();"), box.send]
    signs, wrong = box.prove(*steps, box.work_off)
    assert not wrong
    assert (signs.ran, signs.mail_sent, signs.mail_waiting) == ({"periodic": 1, "non-periodic": 1}, 1, 1)
    assert "1 of 2 non-periodic agents" in background_proof.summary(signs)


def test_what_had_nothing_to_do_is_no_fault(box: Box) -> None:
    box.agent("CMain::daily();", "Y", next_exec="2099-01-01 00:00:00")
    box.mail("H")
    assert box.prove()[1] == []


def test_a_pass_under_way_is_waited_for_and_no_proof_of_itself(box: Box) -> None:
    box.agent("CMain::slow();", RUNNING="Y", RETRY_COUNT=1, DATE_CHECK="2099-01-01 00:00:00")
    seen: list[int] = []
    signs, wrong = box.prove(lambda: seen.append(1), lambda: box.run("CMain::slow();"))
    assert (seen, wrong, signs.ran["non-periodic"]) == ([1], [], 1)


def test_agents_locked_for_a_pass_count_as_due(box: Box) -> None:
    box.agent("CMain::next();", DATE_CHECK="2099-01-01 00:00:00")
    assert "none of 1 due non-periodic agents" in box.prove()[1][0]


def test_a_kind_of_which_all_fail_is_named_and_holds_nothing_up(box: Box) -> None:
    box.agent("CMain::throws();", RUNNING="Y", RETRY_COUNT=3, DATE_CHECK="2099-01-01 00:00:00")
    signs, wrong = box.prove()
    assert not wrong
    assert background_proof.failing_agents(signs) == ["1 agents fail each time: CMain::throws();"]


def test_overdue_agents_are_named_with_their_times(box: Box) -> None:
    for number in range(7):
        box.agent(f"CMain::lies({number});")
    box.agent("CMain::off();", ACTIVE="N")
    box.agent("CBitrix24::gone();", MODULE_ID="bitrix24")
    box.agent("CMain::soon();", next_exec=background_proof.moment(box.portal, -14))
    box.agent("CMain::behind();", "Y", LAST_EXEC=background_proof.moment(box.portal, -1))
    signs = box.signs()
    (said,) = background_proof.failing_agents(signs)
    assert said.startswith("7 agents are overdue by more than 15 minutes: CMain::lies(0); (due 2020-01-01 00:00:00")
    assert said.endswith("last run never) and 2 more")
    assert (signs.behind, signs.orphans) == (1, 1)


def test_mail_that_cannot_be_sent_proves_the_queue_and_is_told(box: Box) -> None:
    box.mail()
    box.send("0")
    signs, wrong = box.prove()
    assert not wrong
    assert background_proof.failed_mail(signs) == "1 mails without an active template"


def test_a_product_without_messenger_has_none_to_prove(box: Box) -> None:
    box.message()
    assert background_proof.message_tables(box.portal) == ["b_main_messenger_message"]
    box.database.execute("RENAME TABLE b_main_messenger_message TO was_messages")
    box.database.execute("ALTER TABLE was_messages DROP COLUMN PAYLOAD")
    try:
        assert background_proof.message_tables(again(box.portal)) == []
        assert box.prove()[1] == []
    finally:
        box.database.execute("ALTER TABLE was_messages ADD COLUMN PAYLOAD text NOT NULL AFTER CLASS")
        box.database.execute("RENAME TABLE was_messages TO b_main_messenger_message")


def check(box: Box, monkeypatch: pytest.MonkeyPatch, timer: str = "active", **notes: Any) -> Any:
    monkeypatch.setattr(Portal, "state", lambda _: notes)
    scene: Any = SimpleNamespace(
        portal=again(box.portal), copy=SimpleNamespace(is_copy=False), command=lambda *_: timer
    )
    return checks_case.agents(scene)


def test_before_the_release_no_agent_is_called_overdue(box: Box, tmp_path: Path, monkeypatch: Any) -> None:
    box.agent("CMain::lies();")
    plan = Plan()
    background_work.plan_constants(box.portal, plan, frozen=True, cron=True)
    plan.apply(box.database, tmp_path / "kept")
    finding = check(box, monkeypatch)
    assert (finding.state, finding.evidence) == ("people", "1 agents wait for the release")


def test_after_the_release_the_check_reads_the_rows(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.agent("CMain::lies();")
    box.agent("CMain::runs();")
    box.run("CMain::runs();")
    fresh = check(box, monkeypatch, released_at=background_proof.moment(box.portal, -1))
    assert fresh.state == "ok", "the first quarter of an hour is not called overdue"
    later = check(box, monkeypatch, released_at=background_proof.moment(box.portal, -60))
    assert (later.state, later.severity) == ("found", "warning"), "one agent holds nothing else up"
    assert "1 agents are overdue by more than 15 minutes: CMain::lies();" in later.evidence
    assert "none has" not in later.evidence
    assert "schedule is inactive" in check(box, monkeypatch, timer="inactive").evidence
    box.mail()
    stuck = check(box, monkeypatch, released_at=LONG_AGO)
    assert (stuck.state, stuck.severity) == ("found", None)
    assert "1 mails have been waiting for more than 15 minutes" in stuck.evidence
    box.send()
    box.run("CMain::lies();")
    quiet = check(box, monkeypatch)
    assert (quiet.state, "2 of 2 non-periodic agents" in quiet.evidence) == ("ok", True)


def test_messages_that_nobody_consumes_are_told(box: Box, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    box.message()
    plan = Plan()
    fresh = again(box.portal)
    fresh.set_settings(plan, {**fresh.settings, "messenger": {"value": {"run_mode": "cli"}, "readonly": True}})
    plan.apply(box.database, tmp_path / "kept")
    finding = check(box, monkeypatch)
    assert finding.state == "found"
    assert "messenger.run_mode is 'cli', and nothing consumes" in finding.evidence


def task(box: Box, tmp_path: Path, **params: Any) -> Any:
    """What Ansible hands to a module of the role settle."""
    common = {"root": str(box.portal.root), "state": str(box.portal.state_directory), "fpm_socket": str(tmp_path)}
    return SimpleNamespace(params=common | params, check_mode=False, _name="encaja.portal.portal_background_work")


def release(box: Box, tmp_path: Path, frozen: str = "no") -> None:
    params = {
        "frozen": frozen,
        "mail": "hold",
        "session_minutes": 1440,
        "all_agents_on_cron": True,
        "silence": [],
        "queues": {},
    }
    portal_background_work.converge(task(box, tmp_path, **params, fast_download=True))


def test_the_moment_of_the_release_is_noted_once(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portal_library.cache, "purge", lambda *_: [])
    proof = task(box, tmp_path, timeout=0)
    release(box, tmp_path, "yes")
    box.agent("CMain::often();")
    assert portal_background_proof.converge(proof)["report"] == {}, "before the release there is nothing to prove"
    release(box, tmp_path)
    since = box.portal.state()["released_at"]
    with pytest.raises(portal_library.EncajaError, match="none of 1 due non-periodic agents has run since") as fault:
        portal_background_proof.converge(proof)
    assert "journalctl -u encaja-portal-cron" in str(fault.value)
    box.run("CMain::often();")
    box.agent("CMain::throws();", RUNNING="Y", RETRY_COUNT=3)
    said = portal_background_proof.converge(proof)
    assert said["portal_warnings"] == ["1 agents fail each time: CMain::throws();"]
    assert said["report"]["ran"] == {"periodic": 0, "non-periodic": 1}
    monkeypatch.setattr(portal_library.background_proof, "moment", lambda *_: "2099-01-01 00:00:00")
    release(box, tmp_path)
    assert box.portal.state()["released_at"] == since
    release(box, tmp_path, "yes")
    release(box, tmp_path)
    assert box.portal.state()["released_at"] == "2099-01-01 00:00:00"


@pytest.mark.fault("interrupt: host tool", "release", "before the caches are purged")
def test_a_purge_that_was_cut_off_is_done_by_the_next_run(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: Any) -> list[str]:
        raise KeyboardInterrupt

    purged: list[int] = []
    monkeypatch.setattr(portal_library.cache, "purge", cut_off)
    with pytest.raises(KeyboardInterrupt):
        release(box, tmp_path)
    assert not background_work.is_frozen(again(box.portal))
    monkeypatch.setattr(portal_library.cache, "purge", lambda *_: purged.append(1) or ["managed_cache"])
    for _ in range(2):
        release(box, tmp_path)
    assert (len(purged), box.portal.state()["released"]) == (1, True)
