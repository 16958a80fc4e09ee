"""Nothing leaves a silenced portal by any way out that it has, and everything does after the release."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from encaja.portal import background_work, held_mail, outbox, silence
from encaja.portal.plan import Plan
from encaja.portal.site import Portal
from support.rendered_role import Role
from support.silence_rules import shipped
from unit.lab_portal.jobs import Jobs
from unit.lab_portal.standin import LAB, PortalUnderTest

pytestmark = pytest.mark.integration
RULES = tuple(shipped())
PATHS = (
    "workflow-create", "workflow-edit", "workflow-delete", "workflow-manual", "robot-add", "robot-stage", "trigger",
    "trigger-field", "robot-delay", "robot-messenger", "messenger-backup", "event-application", "event-webhook",
    "event-delete", "event-call",
)  # fmt: skip
BODIES = ("sms-robot", "sms-backup", "sms-new", "push-backup", "push-new")
MAILS = {"mail-backup": "mail-backup", "mail-new": "mail-new", "robot-mail": "channel robot-mail",
         "agent-mail": "Of an agent"}  # fmt: skip
IMMEDIATE = "mail-immediate"
"""PHP's own mailer gets it, which is the host's: role mail."""
CHANNELS = {*PATHS, *BODIES, *MAILS, IMMEDIATE, "mailbox"}
TABLES = ("b_bp_workflow_template", "b_crm_automation_trigger", "b_rest_event", "b_mail_mailbox")


@pytest.fixture
def mailbox() -> Iterator[tuple[int, list[bytes]]]:
    """A mail server that greets, and what it was told."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.sendall(b"* OK\r\n")
                        heard.append(connection.recv(200))

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)


class Sinks:
    """The world outside, and a portal with something for every channel."""

    def __init__(self, jobs: Jobs, sink: tuple[str, list[tuple[str, str]]], mailbox: tuple[int, list[bytes]]) -> None:
        self.jobs, self.portal = jobs, jobs.portal
        (self.address, self.taken), (port, self.heard) = sink, mailbox
        jobs.reset()
        self.host = self.portal.mails
        (self.host / "spool").mkdir()
        text = Role("mail", {"mail_enabled": True}).render("mailer.j2")
        for old, new in (("/etc/encaja/mail.held", "held"), ("/var/spool/encaja-mail", "spool"),
                         ("/usr/bin/msmtp", "relay")):  # fmt: skip
            text = text.replace(old, str(self.host / new))
        (self.host / "send").rename(self.host / "relay")
        (self.host / "send").write_text(text)
        (self.host / "send").chmod(0o755)
        self.portal.sql("DELETE FROM b_messageservice_message")
        self.php("prepare", self.address, str(port))
        self.clear()

    def php(self, *words: str) -> None:
        self.portal.php(str(LAB / "channels.php"), *words)

    def clear(self) -> None:
        self.taken.clear()
        self.heard.clear()
        for file in self.portal.mails.glob("*.eml"):
            file.unlink()

    def everything(self) -> Counter[str]:
        """Work on the portal, let every way of running its jobs pass, and count what came out, by channel."""
        self.clear()
        self.php("provoke")
        self.portal.sql("UPDATE b_agent SET NEXT_EXEC = '2020-01-01', DATE_CHECK = NULL")
        for _ in range(2):
            for way in ("page", "product", "lesson", "kit"):
                self.portal.purge()
                self.jobs.run(way)
        found = Counter(path.partition("?")[0].strip("/") for path, _ in self.taken)
        found.update(word for _, body in self.taken for word in BODIES if word in body)
        mails = [file.read_text() for file in self.portal.mails.glob("*.eml")]
        found.update(name for mail in mails for name, subject in MAILS.items() if subject in mail)
        found.update(IMMEDIATE for mail in mails if "immediate@world.test" in mail)
        found["mailbox"] = len(self.heard)
        return +found


@pytest.fixture
def sinks(jobs: Jobs, sink: tuple[str, list[tuple[str, str]]], mailbox: tuple[int, list[bytes]]) -> Iterator[Sinks]:
    portal = jobs.portal
    settings = portal.root / "bitrix/.settings.php"
    before = settings.read_bytes()
    jobs.constants("")
    try:
        yield Sinks(jobs, sink, mailbox)
    finally:
        (portal.mails / "relay").rename(portal.mails / "send")
        (portal.mails / "held").unlink(missing_ok=True)
        shutil.rmtree(portal.mails / "spool")
        settings.write_bytes(before)
        for table, of in (("b_bp_workflow_template", "NAME LIKE 'channel %%'"),
                          ("b_pull_push", "DEVICE_TOKEN='channel'"),
                          ("b_crm_automation_trigger", "NAME='channel'"), ("b_mail_mailbox", "LOGIN='channel'"),
                          ("b_messageservice_rest_app", "CODE='channel'"), ("b_pull_push_queue", "1=1")):  # fmt: skip
            portal.sql(f"DELETE FROM {table} WHERE {of}")


def state(portal: PortalUnderTest) -> dict[str, list[dict[str, object]]]:
    return {table: portal.sql(f"SELECT * FROM {table} ORDER BY ID") for table in TABLES}


def turn(sinks: Sinks, folder: Path, *, frozen: bool) -> None:
    """Freeze or release as the modules do."""
    portal = Portal(sinks.portal.root, folder / "state")
    policy = background_work.WorkPolicy(frozen, "release", silence=RULES, released=False)
    plan, notes = background_work.plan_work(portal, policy)
    plan.apply(portal.database, folder / "kept")
    host = sinks.host
    if frozen:
        held_mail.hold(host / "held", host / "send")
    else:
        silence.drop_empty(portal.database)
        held_mail.let_pass(host / "held")
    portal.note(**notes)
    sinks.portal.purge()


def test_nothing_leaves_before_the_release_and_everything_after_it(sinks: Sinks, tmp_path: Path) -> None:
    assert len(CHANNELS) >= 25
    before = state(sinks.portal)
    turn(sinks, tmp_path, frozen=True)
    assert sinks.everything() == {}
    spool = sinks.host / "spool"
    waits = {queue["kind"]: queue for queue in outbox.waiting(Portal(sinks.portal.root, tmp_path / "state"), spool)}
    assert set(waits) >= {"mail", "sms", "message", "push", "immediate"}
    assert [letter["to"] for letter in waits["immediate"]["first"]] == ["immediate@world.test"]

    turn(sinks, tmp_path, frozen=False)
    assert state(sinks.portal) == before
    sinks.clear()
    assert held_mail.decide("release", spool, str(sinks.host / "relay"))["sent"] == 1
    assert ["immediate@world.test" in file.read_text() for file in sinks.host.glob("*.eml")] == [True]
    found = sinks.everything()
    assert CHANNELS - set(found) == set()


def test_without_rules_most_of_it_leaves(sinks: Sinks, tmp_path: Path) -> None:
    """The constants alone, as in a portal that was frozen before there were rules."""
    portal, plan = Portal(sinks.portal.root, tmp_path / "state"), Plan()
    background_work.plan_constants(portal, plan, frozen=True, cron=True)
    plan.apply(portal.database, tmp_path / "kept")
    assert {"workflow-create", "robot-stage", "trigger", "event-webhook", "mailbox"} <= set(sinks.everything())
