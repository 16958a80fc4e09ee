"""Whether a neutralised copy is still inert; on any other portal, that nothing marks it as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from . import background_work, neutralise, php, settings
from .verify import Check, Finding, Scene, check, found, judged, ok

TIMER: Final = "encaja-portal-cron.timer"


def barriers(scene: Scene) -> list[str]:
    """The barriers of a copy that are not in place."""
    wrong = []
    if not scene.copy.proof:
        wrong.append("the host has no proof that its copy is inert (/etc/encaja/neutralised)")
    missing = [name for name in background_work.FROST if php.read_define(scene.portal.dbconn, name) is not True]
    if missing:
        wrong.append(f"dbconn.php does not define {', '.join(missing)}")
    if scene.portal.section("messenger").get(settings.RUN_MODE) != "cli":
        wrong.append("the Messenger is not stopped (messenger.run_mode is not 'cli')")
    if (timer := scene.command("systemctl", "is-enabled", TIMER)) != "masked":
        wrong.append(f"the portal's schedule is {timer or 'not there'}, not masked")
    if "reject" not in scene.command("nft", "list", "chain", "inet", "encaja", "encaja_egress"):
        wrong.append("the firewall lets everything out")
    return wrong


def inert(scene: Scene) -> Finding:
    """Check a copy's barriers and the rules' options; new rows are only reported, since the barriers hold them back."""
    copy = scene.copy
    if not copy.marked:
        if copy.proof:
            return found("the host is marked as a neutralised copy, the database is not: it is another one")
        return ok("this is no neutralised copy")
    if not copy.is_copy:
        return found("the database is marked as a neutralised copy, and the host as production")
    wrong = barriers(scene)
    switches = [rule for rule in scene.rules if "options" in rule or "fresh" in rule]
    if back := neutralise.live(scene.portal.database, switches):
        wrong.append(f"switched back on: {', '.join(back)}")
    came = neutralise.live(scene.portal.database, [rule for rule in scene.rules if rule not in switches])
    since = (
        f"; added since, and held back: {', '.join(f'{name} {rows}' for name, rows in came.items())}" if came else ""
    )
    return judged(
        wrong,
        f"{copy.environment}: {len(switches)} rules of options are kept, agents and mail are off in dbconn.php,"
        f" the schedule is masked, the firewall lets nothing out{since}",
    )


CHECKS: Final[Sequence[Check]] = (
    check("portal-copy", ("A copy stays inert", "Una copia no actúa"), inert,
          "playbook clone: the copy is isolated until it is proven inert"),
)  # fmt: skip
