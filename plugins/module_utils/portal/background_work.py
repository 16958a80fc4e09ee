"""What the portal does by itself: agents, waiting mail, sessions, task comments; and the freeze until its release.

Between restore and release two constants in ``dbconn.php`` keep the portal still: ``NO_AGENT_CHECK`` (agents) and
``DisableEventsCheck`` (mail, SMS). They do not reach the Messenger, which stands still in the mode of the command line.
Mail that was waiting when the backup was made would go out at the first run, so it is held by a status that the kernel
does not send. Workflows, robots and what else no switch reaches are off in the data (``silence``). Source: portal.md
chapters 3 (agents, freeze switches) and 5 (9, 14); behaviour.md chapter 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from . import outbox, php, settings, silence
from .plan import Plan
from .serialized import SerializedError, serialize, unserialize
from .site import Portal

FROST: Final = ("NO_AGENT_CHECK", "DisableEventsCheck")
OUTSIDE_CRON: Final = '!(defined("CHK_EVENT") && CHK_EVENT === true)'
WAITING, HELD = "N", "H"
"""``b_event.SUCCESS_EXEC``: the kernel sends ``N``; ``H`` is the kit's own mark and means nothing to the kernel."""
RESTORES: Final = Path("/var/lib/encaja/restore")
"""Where the restore leaves, by stamp, what it found in the dump."""
_ANY_ADDRESS: Final = "0.0.0.0"  # noqa: S104  an address mask of the portal's security policy: bound to no address


@dataclass(frozen=True)
class WorkPolicy:
    """How the portal is to work.

    Attributes:
        frozen: whether the freeze switches are set.
        mail: what to do with mail that was waiting in the backup: ``hold``, ``purge`` or ``release``.
        session_minutes: the shortest time without activity after which any group's policy may end a session.
        all_agents_on_cron: whether no agent runs on pages.
        fast_download: whether the web server serves files (``X-Accel-Redirect``), which role web prepares.
        silence: what is off in the data while the portal is frozen.
        queues: what to do at the release with what waits, by kind: ``release``, ``hold`` or ``purge``.
        released: it was released before.
    """

    frozen: bool = True
    mail: str = "hold"
    session_minutes: int = 1440
    all_agents_on_cron: bool = True
    fast_download: bool = True
    silence: tuple[Mapping[str, Any], ...] = ()
    queues: Mapping[str, str] = field(default_factory=dict)
    released: bool = True


def plan_work(portal: Portal, policy: WorkPolicy) -> tuple[Plan, dict[str, Any]]:
    """Agents on cron, mail held or decided, log-outs rare, comments complete, and the freeze as wanted.

    Returns:
        The plan, and what has to be noted about this database once it is applied.
    """
    plan = Plan()
    if policy.frozen:
        silence.plan_hold(portal.database, plan, policy.silence)
    else:
        silence.plan_release(portal.database, plan)
        outbox.plan_release(portal, plan, policy.queues, first=not policy.released)
    plan_constants(portal, plan, frozen=policy.frozen, cron=policy.all_agents_on_cron)
    plan_messenger(portal, plan, frozen=policy.frozen)
    _plan_agents(portal, plan, policy)
    notes = _plan_mail(portal, plan, policy.mail)
    _plan_sessions(portal, plan, policy.session_minutes)
    _plan_comments(portal, plan)
    plan.report = {
        "agents": agent_counts(portal), "mail": mail_counts(portal), "comments": comment_counts(portal),
        "dump": compare_with_dump(portal), "held_mail": held_mail(portal), "silenced": silence.held(portal.database),
        "outbox": outbox.waiting(portal),
    }  # fmt: skip
    return plan, notes


def plan_constants(portal: Portal, plan: Plan, *, frozen: bool, cron: bool) -> None:
    """Set or remove the freeze switches, and how cron and pages share the agents; other constants stay.

    With ``BX_CRONTAB_SUPPORT`` the kernel runs only non-periodic agents on cron and the rest on pages. Defined
    everywhere but in the cron script (which defines ``CHK_EVENT``), it keeps pages free and lets cron run them all.
    """
    after = portal.dbconn
    for name in FROST:
        after = php.edit_define(after, name, True) if frozen else php.edit_define(after, name)
    if cron:
        after = php.guard_define(after, "BX_CRONTAB_SUPPORT", True, OUTSIDE_CRON)
    portal.set_dbconn(plan, after)


def plan_messenger(portal: Portal, plan: Plan, *, frozen: bool) -> None:
    """Let the Messenger stand still, with all its rows, and mail go to PHP's mailer; or all go on as before."""
    portal.set_settings(plan, settings.freeze(portal.settings) if frozen else settings.thaw(portal.settings))
    own = [name for name in settings.FROZEN if name in portal.extra]
    portal.set_extra(plan, settings.freeze(portal.extra, own) if frozen else settings.thaw(portal.extra))


def is_frozen(portal: Portal) -> bool:
    """Whether any freeze switch is set."""
    return any(php.read_define(portal.dbconn, name) is True for name in FROST)


def _plan_agents(portal: Portal, plan: Plan, policy: WorkPolicy) -> None:
    for name, value in (("agents_use_crontab", "N"), ("check_agents", "N" if policy.all_agents_on_cron else "Y")):
        own = [site for module, option, site in portal.site_options if (module, option) == ("main", name)]
        for site in ("", *own):  # a site's own value would win
            portal.set_option(plan, "main", name, value, site)
    portal.set_option(plan, "main", "bx_fast_download", "Y" if policy.fast_download else "N")
    if portal.option("main", "dump_auto_enable_auto", "0") not in {"", "0"}:
        portal.set_option(plan, "main", "dump_auto_enable_auto", "0")
    if policy.frozen:  # agents that were running when the backup was made; in a frozen portal none can be
        stuck = portal.database.count("SELECT COUNT(*) FROM b_agent WHERE RUNNING = 'Y' OR DATE_CHECK IS NOT NULL")
        if stuck:
            plan.statement(
                "b_agent",
                "UPDATE b_agent SET RUNNING = 'N', DATE_CHECK = NULL WHERE RUNNING = 'Y' OR DATE_CHECK IS NOT NULL",
                (),
                f"{stuck} agents marked as running",
                "none marked as running",
            )


def agent_counts(portal: Portal) -> dict[str, int]:
    """How many agents are active, due, and of modules that are not installed."""
    active = portal.database.rows("SELECT MODULE_ID, NEXT_EXEC <= NOW() AS due FROM b_agent WHERE ACTIVE = 'Y'")
    orphans = sum(1 for row in active if row["MODULE_ID"] and row["MODULE_ID"] not in portal.modules)
    return {"active": len(active), "due": sum(int(row["due"] or 0) for row in active), "orphans": orphans}


def _plan_mail(portal: Portal, plan: Plan, decision: str) -> dict[str, Any]:
    noted = portal.state().get("mail_queue_last_id")
    last = int(noted if noted is not None else portal.database.count("SELECT MAX(ID) FROM b_event"))
    status = {"hold": WAITING, "purge": None, "release": HELD}[decision]
    if status is None:
        count = portal.database.count(
            "SELECT COUNT(*) FROM b_event WHERE ID <= %s AND SUCCESS_EXEC IN (%s, %s)", last, WAITING, HELD
        )
        if count:
            plan.statement(
                "b_event", "DELETE FROM b_event WHERE ID <= %s AND SUCCESS_EXEC IN (%s, %s)", (last, WAITING, HELD),
                f"{count} mails of the backup waiting",
            )  # fmt: skip
        return {"mail_queue_last_id": last}
    count = portal.database.count("SELECT COUNT(*) FROM b_event WHERE ID <= %s AND SUCCESS_EXEC = %s", last, status)
    if count:
        other = HELD if status == WAITING else WAITING
        words = {WAITING: "to be sent", HELD: "held"}
        plan.statement(
            "b_event", "UPDATE b_event SET SUCCESS_EXEC = %s WHERE ID <= %s AND SUCCESS_EXEC = %s",
            (other, last, status),
            f"{count} mails of the backup {words[status]}", f"{count} mails of the backup {words[other]}",
        )  # fmt: skip
    return {"mail_queue_last_id": last}


def mail_counts(portal: Portal) -> dict[str, int]:
    """Mail waiting and held, and active mailboxes that the portal would read."""
    rows = portal.database.rows("SELECT SUCCESS_EXEC AS s, COUNT(*) AS n FROM b_event GROUP BY SUCCESS_EXEC")
    by_status = {row["s"]: row["n"] for row in rows}
    mailboxes = (
        portal.database.count("SELECT COUNT(*) FROM b_mail_mailbox WHERE ACTIVE = 'Y'")
        if portal.has("b_mail_mailbox")
        else 0
    )
    return {"waiting": by_status.get(WAITING, 0), "held": by_status.get(HELD, 0), "mailboxes": mailboxes}


def held_mail(portal: Portal) -> list[dict[str, Any]]:
    """What is held, by kind of mail: how many and between which moments, for a person to decide."""
    rows = portal.database.rows(
        "SELECT EVENT_NAME AS event, COUNT(*) AS mails, MIN(DATE_INSERT) AS oldest, MAX(DATE_INSERT) AS newest"
        " FROM b_event WHERE SUCCESS_EXEC = %s GROUP BY EVENT_NAME ORDER BY mails DESC, event",
        HELD,
    )
    return [
        {name: str(value) if name in {"oldest", "newest"} else value for name, value in row.items()} for row in rows
    ]


def strict_groups(portal: Portal, minutes: int) -> list[tuple[dict[str, Any], dict[Any, Any]]]:
    """Groups whose policy ends sessions early or binds them to an address, with the policy that they should have."""
    found = []
    for row in portal.database.rows("SELECT ID, NAME, SECURITY_POLICY FROM b_group WHERE SECURITY_POLICY IS NOT NULL"):
        try:
            policy = unserialize(row["SECURITY_POLICY"]) if row["SECURITY_POLICY"] else {}
        except SerializedError:
            continue
        if not isinstance(policy, dict):
            continue
        loosened = dict(policy)
        if str(policy.get("SESSION_IP_MASK", _ANY_ADDRESS)) not in {"", _ANY_ADDRESS}:
            loosened["SESSION_IP_MASK"] = _ANY_ADDRESS
        timeout = str(policy.get("SESSION_TIMEOUT", ""))
        if timeout.isdigit() and 0 < int(timeout) < minutes:
            loosened["SESSION_TIMEOUT"] = minutes if isinstance(policy["SESSION_TIMEOUT"], int) else str(minutes)
        if loosened != policy:
            found.append((row, loosened))
    return found


def _plan_sessions(portal: Portal, plan: Plan, minutes: int) -> None:
    for row, loosened in strict_groups(portal, minutes):
        before = {"SECURITY_POLICY": row["SECURITY_POLICY"]}
        plan.update("b_group", {"ID": row["ID"]}, before, {"SECURITY_POLICY": serialize(loosened).decode()})
    for name in ("session_expand", "use_session_id_ttl"):
        if portal.option("main", name, "N") != "N":
            portal.set_option(plan, "main", name, "N")


def comment_counts(portal: Portal) -> dict[str, Any]:
    """Task comments: how many there are, how many more the topics' own counts expect, and what hides some."""
    if not (portal.has("b_tasks", "FORUM_TOPIC_ID") and portal.has("b_forum_message")):
        return {"tasks": 0, "comments": 0, "lost_topics": 0, "low_counts": 0, "missing": 0, "hidden": 0, "forum": ""}
    one = portal.database.count
    wrong = _wrong_topics(portal)
    linked = "FROM b_tasks t JOIN b_forum_topic f ON f.ID = t.FORUM_TOPIC_ID"
    return {
        "tasks": one("SELECT COUNT(*) FROM b_tasks"),
        "comments": one(f"SELECT COUNT(*) {linked} JOIN b_forum_message m ON m.TOPIC_ID = f.ID"),
        "lost_topics": one(
            "SELECT COUNT(*) FROM b_tasks t LEFT JOIN b_forum_topic f ON f.ID = t.FORUM_TOPIC_ID"
            " WHERE t.FORUM_TOPIC_ID IS NOT NULL AND t.FORUM_TOPIC_ID > 0 AND f.ID IS NULL"
        ),
        "low_counts": sum(1 for row in wrong if row["POSTS"] < row["answers"]),
        "missing": sum(row["POSTS"] - row["answers"] for row in wrong if row["POSTS"] > row["answers"]),
        "hidden": one(f"SELECT COUNT(*) {linked} JOIN b_forum_message m ON m.TOPIC_ID = f.ID WHERE m.APPROVED <> 'Y'"),
        "forum": task_forum(portal),
    }


def compare_with_dump(portal: Portal, restores: Path = RESTORES) -> dict[str, int] | None:
    """Messages (task comments among them) against what the restore found in the dump: counts, and samples by text.

    Texts in which the portal's old host stood are counted, and not compared: settling may have rewritten them.

    Returns:
        ``rows`` in the dump, ``absent`` here, ``samples``, ``samples_absent``, ``samples_different``; None when the
        portal was not restored by the kit on this host.
    """
    held = _dump_of(portal.database.name, restores).get("tables", {}).get("b_forum_message")
    if held is None or not portal.has("b_forum_message", "ID", "POST_MESSAGE"):
        return None
    here = portal.database.count("SELECT COUNT(*) FROM b_forum_message")
    result = {"rows": held["rows"], "absent": max(held["rows"] - here, 0), "samples": len(held["samples"]),
              "samples_absent": 0, "samples_different": 0}  # fmt: skip
    if not held["samples"]:
        return result
    with portal.connect() as connection:
        connection.execute("CREATE TEMPORARY TABLE encaja_sample AS SELECT * FROM b_forum_message LIMIT 0")
        # The rows are SQL out of the same dump that made the database.
        connection.execute(f"INSERT INTO encaja_sample VALUES {', '.join(held['samples'])}")  # noqa: S608
        old = "".join(" AND s.POST_MESSAGE NOT LIKE %s" for _ in portal.state().get("old_hosts", []))
        row = connection.rows(
            "SELECT COALESCE(SUM(m.ID IS NULL), 0) AS absent,"  # noqa: S608  only marks are put in
            f" COALESCE(SUM(NOT (m.POST_MESSAGE <=> s.POST_MESSAGE){old} AND m.ID IS NOT NULL), 0) AS different"
            " FROM encaja_sample s LEFT JOIN b_forum_message m ON m.ID = s.ID",
            *(f"%{host}%" for host in portal.state().get("old_hosts", [])),
        )[0]
    return {**result, "samples_absent": int(row["absent"]), "samples_different": int(row["different"])}


def dump_begun(portal: Portal, restores: Path = RESTORES) -> str:
    """When the backup's dump was started, by the cloud's clock; empty when the restore did not note it here."""
    return str(_dump_of(portal.database.name, restores).get("begun") or "")


def _dump_of(database: str, restores: Path) -> dict[str, Any]:
    for path in sorted(restores.glob("*/dump.json"), key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            said = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(said, dict) and said.get("database") == database:
            return said
    return {}


def task_forum(portal: Portal) -> str:
    """The forum in which the tasks' topics are, empty when there are none."""
    rows = portal.database.rows(
        "SELECT f.FORUM_ID AS id, COUNT(*) AS n FROM b_tasks t JOIN b_forum_topic f ON f.ID = t.FORUM_TOPIC_ID"
        " GROUP BY f.FORUM_ID ORDER BY n DESC LIMIT 1"
    )
    return str(rows[0]["id"]) if rows else ""


def _wrong_topics(portal: Portal) -> list[dict[str, Any]]:
    # The first message of a topic is its opening and not counted as an answer.
    rows = portal.database.rows(
        "SELECT f.ID, f.POSTS, COUNT(m.ID) - COALESCE(SUM(m.NEW_TOPIC = 'Y'), 0) AS answers FROM b_forum_topic f"
        " JOIN b_tasks t ON t.FORUM_TOPIC_ID = f.ID"
        " LEFT JOIN b_forum_message m ON m.TOPIC_ID = f.ID AND m.APPROVED = 'Y'"
        " GROUP BY f.ID, f.POSTS HAVING f.POSTS <> answers"
    )
    return [{**row, "POSTS": int(row["POSTS"]), "answers": int(row["answers"])} for row in rows]


def _plan_comments(portal: Portal, plan: Plan) -> None:
    if not (portal.has("b_tasks", "FORUM_TOPIC_ID") and portal.has("b_forum_message")):
        return
    forum = task_forum(portal)
    if forum and portal.option("tasks", "task_forum_id") != forum:
        portal.set_option(plan, "tasks", "task_forum_id", forum)
    for row in _wrong_topics(portal):
        if row["POSTS"] < row["answers"]:  # a count that expects more is a loss and stays visible
            plan.update("b_forum_topic", {"ID": row["ID"]}, {"POSTS": row["POSTS"]}, {"POSTS": row["answers"]})
