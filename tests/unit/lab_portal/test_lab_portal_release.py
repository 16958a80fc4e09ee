"""From the freeze to the release: what the kit writes, and what the portal then does on pages and by the schedule."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from encaja.portal import background_proof, background_work
from encaja.portal.site import Portal
from unit.lab_portal.jobs import OTHER, PERIODIC, Jobs, leave_message, messages

pytestmark = pytest.mark.integration
UNCONDITIONAL = "define('BX_CRONTAB_SUPPORT', true);"


class Box:
    """The stand-in as the kit sees it."""

    def __init__(self, jobs: Jobs, folder: Path) -> None:
        self.jobs = jobs
        self.folder = folder

    def kit(self) -> Portal:
        return Portal(self.jobs.portal.root, self.folder / "state")

    def apply(self, *, frozen: bool, mail: str) -> str:
        """Freeze or release as the module does; returns when."""
        portal = self.kit()
        moment = background_proof.moment(portal)
        plan, notes = background_work.plan_work(portal, background_work.WorkPolicy(frozen, mail))
        plan.apply(portal.database, self.folder / "kept")
        portal.note(**notes)
        self.jobs.portal.purge()
        return moment

    def fill(self) -> None:
        self.jobs.reset()
        self.jobs.agent(PERIODIC, "Y")
        self.jobs.agent(OTHER)
        self.jobs.agent("CBitrix24::CheckLicenseAgent();", MODULE_ID="gone")
        self.jobs.mail(12)
        leave_message(self.jobs)

    def state(self) -> dict[str, Any]:
        value = self.jobs.portal.value
        return {
            "ran": value("SELECT COUNT(*) FROM b_agent WHERE LAST_EXEC IS NOT NULL"),
            "sent": value("SELECT COUNT(*) FROM b_event WHERE SUCCESS_EXEC = 'Y'"),
            "messages": messages(self.jobs),
        }


@pytest.fixture
def box(jobs: Jobs, tmp_path: Path) -> Iterator[Box]:
    settings = jobs.portal.root / "bitrix/.settings.php"
    before = settings.read_bytes()
    try:
        yield Box(jobs, tmp_path)
    finally:
        settings.write_bytes(before)


@pytest.mark.parametrize("dbconn", ["", UNCONDITIONAL])
def test_nothing_runs_until_the_release_and_everything_after_it(box: Box, dbconn: str) -> None:
    box.jobs.constants(dbconn)
    box.fill()
    still = {"ran": 0, "sent": 0, "messages": 1}
    box.apply(frozen=True, mail="hold")
    for way in ("page", "product", "lesson", "kit"):
        box.jobs.run(way)
        assert box.state() == still, way

    since = box.apply(frozen=False, mail="release")
    box.jobs.run("page")
    assert box.state() == {"ran": 0, "sent": 0, "messages": 0}, "a page runs no agent and sends no queued mail"
    leave_message(box.jobs)
    _, wrong = background_proof.wait_for_proof(box.kit(), since, 0)
    assert [text.split(" has ")[0] for text in wrong] == [
        "none of 1 due periodic agents",
        "none of 1 due non-periodic agents",
        "none of 12 waiting mails",
    ]
    box.jobs.run("kit")
    assert box.state() == {"ran": 2, "sent": 12, "messages": 0}
    signs, wrong = background_proof.wait_for_proof(box.kit(), since, 0)
    assert (wrong, background_proof.failing_agents(signs), signs.orphans) == ([], [], 1)
