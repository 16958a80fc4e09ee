"""Letters that PHP sends before the release are kept by the mailer, and sent, removed or left as decided."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from encaja.portal import held_mail
from support.rendered_role import Role

LETTER = "To: Eva <eva@world.test>\nCc: boss@world.test\nSubject: =?UTF-8?Q?Invitaci=C3=B3n?=\n\nYour code is 1234\n"
RELAY = f"""#!{sys.executable}
import os, sys
from pathlib import Path
taken = Path("{{taken}}")
letter = sys.stdin.read()
if taken.with_name("closed").exists() or "bad@" in letter:
    sys.exit("msmtp: the relay is away")
with taken.open("a") as file:
    file.write(" ".join(sys.argv[2:]) + "\\n" + letter + "--\\n")
Path(sys.argv[1].partition("=")[2]).write_text("Nov 30 host=relay exitcode=EX_OK\\n")
if taken.with_name("deadly").exists():
    os.kill(os.getppid(), 9)
"""


class Host:
    """A folder with the mailer as role mail writes it, its spool, and a relay that notes what it takes."""

    def __init__(self, home: Path) -> None:
        self.spool, self.marker, self.taken = home / "spool", home / "mail.held", home / "taken"
        self.spool.mkdir()
        self.taken.touch()
        self.relay, self.mailer = home / "msmtp", home / "mailer"
        direct = f'#!/bin/sh\nexec {self.relay} --logfile={home}/direct "$@"\n'
        text = Role("mail", {"encaja_mail_relay_host": "relay", "encaja_mail_from": "a@b.c"}).render("mailer.j2")
        for old, new in (("/etc/encaja/mail.held", self.marker), ("/var/spool/encaja-mail", self.spool),
                         ("/usr/bin/msmtp", home / "direct.sh")):  # fmt: skip
            assert old in text
            text = text.replace(old, str(new))
        for file, content in ((self.mailer, text), (self.relay, RELAY.format(taken=self.taken)),
                              (home / "direct.sh", direct)):  # fmt: skip
            file.write_text(content)
            file.chmod(0o755)

    def send(self, text: str = LETTER, *, fails: bool = False) -> None:
        done = subprocess.run([self.mailer, "-t", "-i", "-fportal@world.test"], input=text.encode(), check=False)
        assert bool(done.returncode) is fails

    def decide(self, decision: str) -> dict[str, object]:
        return held_mail.decide(decision, self.spool, str(self.relay))

    @property
    def letters(self) -> list[str]:
        return [text for text in self.taken.read_text().split("--\n") if text]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_letter_is_kept_listed_and_sent_as_it_came(host: Host) -> None:
    assert held_mail.hold(host.marker, host.mailer, check=True) and not host.marker.exists()
    assert held_mail.hold(host.marker, host.mailer) and not held_mail.hold(host.marker, host.mailer)
    host.send()
    host.send(LETTER.replace("eva@", "ana@"))
    assert host.letters == []
    (queue,) = held_mail.waiting(host.spool)
    assert (queue["kind"], queue["entries"]) == ("immediate", 2)
    assert queue["first"][0]["to"] == "eva@world.test, boss@world.test"
    assert queue["first"][0]["what"] == "Invitación" and queue["first"][0]["when"]
    assert host.decide("hold") == {"sent": 0, "purged": 0, "left": 2, "fault": ""}

    held_mail.let_pass(host.marker)
    host.send(LETTER.replace("eva@", "new@"))
    assert host.letters == [f"-t -i -fportal@world.test\n{LETTER.replace('eva@', 'new@')}"]
    assert host.decide("release") == {"sent": 2, "purged": 0, "left": 0, "fault": ""}
    assert host.letters[1:] == [
        f"-t -i -fportal@world.test\n{LETTER}", f"-t -i -fportal@world.test\n{LETTER.replace('eva@', 'ana@')}"
    ]  # fmt: skip
    assert held_mail.waiting(host.spool) == [] and not list(host.spool.iterdir())


def test_purged_letters_leave_nothing_on_the_host(host: Host) -> None:
    host.marker.touch()
    host.send()
    (host.spool / ".unfinished").write_text(LETTER)
    assert host.decide("purge")["purged"] == 1
    assert not list(host.spool.iterdir()) and host.letters == []


def test_what_the_relay_does_not_take_stays_and_says_why(host: Host) -> None:
    host.marker.touch()
    host.send(LETTER.replace("eva@", "bad@"))
    host.send()
    assert host.decide("release") == {"sent": 1, "purged": 0, "left": 1, "fault": "msmtp: the relay is away"}
    (host.taken.with_name("closed")).touch()
    for _ in range(5):
        host.send()
    assert host.decide("release")["left"] == 6
    host.taken.with_name("closed").unlink()
    assert host.decide("release") == {"sent": 5, "purged": 0, "left": 1, "fault": "msmtp: the relay is away"}


def test_a_release_that_was_killed_sends_no_letter_twice(host: Host) -> None:
    host.marker.touch()
    for number in range(3):
        host.send(LETTER.replace("eva@", f"p{number}@"))
    deadly = host.taken.with_name("deadly")
    deadly.touch()
    for _ in range(3):
        if not (child := os.fork()):
            host.decide("release")
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == 9
    deadly.unlink()
    assert host.decide("release") == {"sent": 1, "purged": 0, "left": 0, "fault": ""}
    assert sorted(letter.partition("@world")[0][-2:] for letter in
                  (text.partition("To: Eva <")[2] for text in host.letters)) == ["p0", "p1", "p2"]  # fmt: skip


def test_a_letter_that_cannot_be_kept_is_refused(host: Host) -> None:
    host.marker.touch()
    host.spool.rmdir()
    host.send(fails=True)
    assert held_mail.waiting(host.spool) == [] and host.decide("purge")["purged"] == 0


def test_nothing_but_a_letter_is_read(host: Host) -> None:
    (host.spool / "1").symlink_to("/etc/passwd")
    assert held_mail.waiting(host.spool)[0]["first"] == []
    assert host.decide("release")["left"] == 1


def test_where_mail_is_off_nothing_is_kept(host: Host) -> None:
    assert "mail.held ]" not in Role("mail", {"mail_enabled": False}).render("mailer.j2")
