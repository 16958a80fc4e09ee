"""The portal on a host: whether it answers, and whether its agents, mail and Messenger run.

A portal that waits for its release, and a copy, stand still on purpose.
"""

from __future__ import annotations

import http.client
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from encaja.errors import EncajaError
from encaja.health.readings import HealthJob, Reading, State
from encaja.portal import (
    background_proof,
    background_work,
    checks_case,
    checks_copy,
    checks_licence,
    checks_server,
    checks_silence,
    checks_web,
    verify,
)
from encaja.portal.domain import DomainPolicy
from encaja.portal.site import Portal

_CHECKS = (checks_case, checks_copy, checks_licence, checks_server, checks_silence, checks_web)
_ANSWERS = (OSError, http.client.HTTPException, EncajaError)
_STATES: Mapping[str, State] = {"ok": "ok", "cured": "ok", "people": "ok", "unknown": "unknown"}


def scene(arguments: Mapping[str, Any]) -> verify.Scene | None:
    """The portal that is live on this host; none before there is one."""
    root = Path(arguments["root"])
    settings = [root / folder / ".settings.php" for folder in ("bitrix", "local")]
    if not any(path.exists() for path in settings):
        return None
    policy = DomainPolicy(arguments["domain"], arguments["scheme"], int(arguments["port"]))
    return verify.Scene(
        Portal(root, Path(arguments["state"])), policy, Path(arguments["fpm_socket"]), arguments["connect_to"],
        restore="any", rules=tuple(arguments["rules"]),
    )  # fmt: skip


def look(subject: verify.Scene | None) -> list[Reading]:
    """Whether the portal answers and works by itself; unknown before there is one."""
    return [page(subject), *background(subject)] if subject else unknown("page", "database", "agents", "queues")


def thorough_look(subject: verify.Scene | None, job: HealthJob, last: Sequence[Reading]) -> list[Reading]:
    """The portal's own checks; where they cannot run, or there is no portal, what the last look found is unknown."""
    known = unknown(*sorted({item.id for item in last if item.id != "checks"}))
    try:
        return checks(subject, job) if subject else known
    except EncajaError as fault:
        return [Reading("checks", "fault", fault.what, fault.hint), *known]


def page(subject: verify.Scene) -> Reading:
    """Whether the portal answers its first page."""
    try:
        answer = subject.get("/")
    except _ANSWERS as fault:
        return Reading("page", "fault", f"the portal does not answer: {fault}", "see the units of this host")
    if answer.status >= 400:
        return Reading(
            "page", "fault", f"the portal answers {answer.status}", "see /var/log/portal and nginx's error.log"
        )
    return Reading("page", "ok", f"{answer.status} in {answer.seconds * 1000:.0f} ms")


def background(subject: verify.Scene) -> list[Reading]:
    """Whether what the portal does by itself goes on."""
    try:
        if background_work.is_frozen(subject.portal):
            waiting = "waits for the release"
            return [
                Reading("database", "ok", "answers"),
                *(Reading(name, "ok", waiting) for name in ("agents", "queues")),
            ]
        signs = background_proof.read_signs(
            subject.portal, background_proof.moment(subject.portal, -background_proof.GRACE_MINUTES)
        )
    except (EncajaError, OSError) as fault:
        what = f"the portal's database does not answer: {fault}"
        return [Reading("database", "fault", what, "systemctl status mariadb"), *unknown("agents", "queues")]
    stuck, failing = background_proof.stuck_queues(signs), background_proof.failing_agents(signs)
    return [
        Reading("database", "ok", "answers"),
        Reading("queues", "fault", "; ".join(stuck), "systemctl status encaja-portal-cron")
        if stuck
        else Reading("queues", "ok", f"{signs.mail_waiting} mails wait"),
        Reading("agents", "warning", "; ".join(failing), "see /var/log/portal for what stops them")
        if failing
        else Reading("agents", "ok", background_proof.summary(signs)),
    ]


def unknown(*names: str) -> list[Reading]:
    """Readings of what could not be looked at, so that a fault of theirs is not taken for ended."""
    return [Reading(name, "unknown", "could not be looked at") for name in names]


def checks(subject: verify.Scene, job: HealthJob) -> list[Reading]:
    """The portal's own checks that belong to a thorough look.

    Raises:
        EncajaError: they cannot run.
    """
    chosen = [check for group in _CHECKS for check in group.CHECKS]
    try:
        found = verify.verify(subject, chosen, job.checks, remember=False)["checks"]
    except (*_ANSWERS, subprocess.SubprocessError) as fault:
        raise EncajaError(f"the portal's checks cannot run: {fault}", job.host, "encaja verify") from fault
    readings = []
    for item in found:
        if item["severity"] == "note" and item["state"] == "found":
            continue
        broken: State = "fault" if item["severity"] == "error" else "warning"
        state = _STATES.get(item["state"], broken)
        readings.append(Reading(item["id"], state, item["evidence"], "" if state == "ok" else item["cure"]))
    return readings
