"""Verifying a neutralised copy: what neutralisation has set is looked at and is no fault, and it has to be in place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.portal import background_work, checks_case, checks_copy, domain, neutralise, php, pull, verify
from encaja.portal.plan import Plan
from encaja.portal.site import Portal
from integration.portal.cloud_portal import again
from support.neutralise_rules import shipped

pytestmark = pytest.mark.integration
NEW = "copy.example.org"
RULES = shipped(NEW)
HOST = {"systemctl": "masked", "nft": "chain encaja_egress { counter reject }"}
CHECKS = [*checks_case.CHECKS, *checks_copy.CHECKS]
INTENDED = ["case-02-licences", "case-05-mobile", "bug-attachments", "bug-links"]


@pytest.fixture
def copy(portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, dict[str, Any]]]:
    """Verifies a copy as playbook clone leaves it: own name, the kit's push server, frozen, inert."""
    plan, _ = domain.plan_domain(portal, domain.DomainPolicy(NEW))
    plan.apply(portal.database, tmp_path / "kept")
    fresh = again(portal)
    plan = pull.plan_pull(fresh, pull.PullPolicy("key"))
    fresh.set_option(plan, "disk", "successfully_converted", "Y")
    plan.apply(fresh.database, tmp_path / "kept")
    plan = Plan()
    background_work.plan_constants(fresh := again(portal), plan, frozen=True, cron=True)
    background_work.plan_messenger(fresh, plan, frozen=True)
    plan.apply(fresh.database, tmp_path / "kept")
    neutralise.apply(portal.database, RULES, check=False)
    (portal.root / "bitrix/license_key.php").write_text('<?php $LICENSE_KEY = "DEMO";')
    (tmp_path / "environment").write_text("preproduction\n")
    (tmp_path / "inert").write_text("database was proven inert by 50 rules\n")
    monkeypatch.setattr(pull, "prove", lambda *_: {"published_to": "http://127.0.0.1:8895", "websocket": "wss://x"})
    monkeypatch.setattr(pull, "push_server_key", lambda: None)
    monkeypatch.setattr(verify.Scene, "get", lambda *_, **__: SimpleNamespace(status=400))

    def run(rules: list[dict[str, Any]] | None = None, host: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
        told = HOST | (host or {})
        monkeypatch.setattr(verify.Scene, "command", lambda _, program, *_words: told.get(program, ""))
        scene = verify.Scene(
            again(portal), domain.DomainPolicy(NEW, mail_from="crm@acme.es"), Path("/nowhere"),
            rules=tuple(RULES if rules is None else rules), environment=tmp_path / "environment",
            inert=tmp_path / "inert",
        )  # fmt: skip
        scene.__dict__["fpm"] = {"ini": {"session.gc_maxlifetime": "90000"}}
        chosen = [*INTENDED, "portal-copy", "portal-agents", "portal-mail", "portal-release", "portal-rest"]
        return {row["id"]: row for row in verify.verify(scene, CHECKS, chosen, remember=False)["checks"]}

    return run


def errors(rows: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, row in rows.items() if row["state"] == "found" and row["severity"] == "error"]


def test_what_neutralisation_sets_is_told_with_its_evidence_and_is_no_fault(copy: Any) -> None:
    rows = copy()
    assert {name: row["evidence"] for name, row in rows.items() if row["state"] != "ok"} == {}
    said = rows["portal-copy"]["evidence"]
    assert said.startswith("preproduction: ")
    assert "the schedule is masked, the firewall lets nothing out" in said
    assert "not that of production" in rows["case-02-licences"]["evidence"]
    assert "push to devices is off; certificate and listener on port 8894" in rows["case-05-mobile"]["evidence"]


def test_on_any_other_portal_the_same_is_a_fault(copy: Any, portal: Portal) -> None:
    portal.database.execute("DELETE FROM b_option WHERE NAME = 'encaja_neutralised'")
    rows = copy()
    assert set(INTENDED) <= set(errors(rows))
    assert "the database is not: it is another one" in rows["portal-copy"]["evidence"]


def test_a_database_that_calls_production_a_copy_is_a_fault_and_excuses_nothing(copy: Any, tmp_path: Path) -> None:
    (tmp_path / "environment").write_text("production\n")
    rows = copy()
    assert {*INTENDED, "portal-copy"} <= set(errors(rows))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("main", "check_agents", "Y"), {"portal-copy": "switched back on: mail-options"}),
        (("main", "server_uniq_id", "of production"), {"portal-copy": "switched back on: keys"}),
        (("pull", "push", "Y"), {"case-05-mobile": "telephones would ring"}),
        (("main", "email_from", "crm@production.example"), {"bug-links": "b_option[main/email_from]"}),
        (("rest", "service_client_id", "app.1"), {"portal-rest": "registered at the vendor's"}),
    ],
)
def test_what_was_switched_back_on_is_found(copy: Any, portal: Portal, change: Any, found: dict[str, str]) -> None:
    portal.database.execute("REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES (%s, %s, %s)", *change)
    rows = copy()
    for name, said in found.items():
        assert rows[name]["state"] == "found"
        assert said in rows[name]["evidence"]


@pytest.mark.parametrize(
    ("host", "said"),
    [({"systemctl": "enabled"}, "the portal's schedule is enabled, not masked"), ({"nft": ""}, "lets everything out")],
)
def test_a_host_that_lets_a_copy_act_is_a_fault(copy: Any, host: dict[str, str], said: str) -> None:
    assert said in copy(host=host)["portal-copy"]["evidence"]


def test_a_thawed_copy_and_one_without_proof_are_faults(copy: Any, portal: Portal, tmp_path: Path) -> None:
    (tmp_path / "inert").unlink()
    portal.dbconn_path.write_text(php.edit_define(portal.text(portal.dbconn_path), "NO_AGENT_CHECK"))
    said = copy()["portal-copy"]["evidence"]
    assert "no proof that its copy is inert" in said
    assert "dbconn.php does not define NO_AGENT_CHECK" in said


def test_what_work_on_a_copy_makes_is_told_and_is_no_fault(copy: Any, portal: Portal) -> None:
    portal.database.execute("INSERT INTO b_event (EVENT_NAME, LID, C_FIELDS, SUCCESS_EXEC) VALUES ('X', 's1', '', 'N')")
    rows = copy()
    assert errors(rows) == []
    assert "added since, and held back: mail-queue 1" in rows["portal-copy"]["evidence"]
    assert "a neutralised copy: 1 mails wait and are not sent" in rows["portal-mail"]["evidence"]
