"""Mail goes through the relay, or is refused with a line that says why."""

import base64
from pathlib import Path

import pytest
from testinfra.host import Host

SEND = "printf 'To: someone@example.org\\nSubject: verify\\n\\nfirst line\\n' | su -s /bin/sh www-data -c '{command}'"


@pytest.fixture
def can_send(host: Host) -> bool:
    return host.system_info.release.startswith("12")


def start_relay(host: Host) -> None:
    program = base64.b64encode((Path(__file__).parent / "relay.py").read_bytes()).decode()
    host.check_output(f"echo {program} | base64 -d > /var/tmp/relay.py")
    host.check_output("rm -f /var/tmp/relay.log; systemd-run --quiet python3 /var/tmp/relay.py /var/tmp/relay.log")
    host.check_output("timeout 10 sh -c 'until grep -qs ready /var/tmp/relay.log; do sleep 0.1; done'")


def test_message_reaches_the_relay_encrypted_and_authenticated(host: Host, can_send: bool) -> None:
    if not can_send:
        pytest.skip("this host is a clone")
    start_relay(host)
    host.check_output(SEND.format(command="/usr/sbin/sendmail -t -i"))
    said = host.file("/var/tmp/relay.log").content_string.splitlines()
    secret = base64.b64encode(b'\0relay-user\0pass"word with # and \\').decode()
    assert said.index("STARTTLS") < said.index(f"AUTH PLAIN {secret}")
    assert "MAIL FROM:<portal@example.org>" in [line.split(" SIZE")[0] for line in said]
    assert "RCPT TO:<someone@example.org>" in said
    assert "first line" in said


def test_what_php_sends_is_kept_until_the_release_and_its_sending_is_noted(host: Host, can_send: bool) -> None:
    """With the real program, what the library reads: the letter after its arguments, and the note of msmtp."""
    if not can_send:
        pytest.skip("this host is a clone")
    spool = "/var/spool/encaja-mail"
    host.check_output(f"mkdir -p /etc/encaja; touch /etc/encaja/mail.held; find {spool} -type f -delete")
    host.check_output(SEND.format(command="/usr/local/lib/encaja/mailer -t -i"))
    (letter,) = host.file(spool).listdir()
    kept = host.file(f"{spool}/{letter}")
    assert kept.content_string == "-t\n-i\n\nTo: someone@example.org\nSubject: verify\n\nfirst line\n"
    assert (kept.user, kept.group, kept.mode) == ("www-data", "www-data", 0o600)
    host.check_output("rm /etc/encaja/mail.held")
    start_relay(host)
    sent = f"/usr/local/lib/encaja/mailer --logfile={spool}/{letter}.sent -t -i"
    host.check_output(SEND.format(command=sent))
    assert "first line" in host.file("/var/tmp/relay.log").content_string
    assert "exitcode=EX_OK" in host.file(f"{spool}/{letter}.sent").content_string
    assert sorted(host.file(spool).listdir()) == [letter, f"{letter}.sent"]


def test_password_is_readable_by_the_portal_only(host: Host, can_send: bool) -> None:
    if not can_send:
        pytest.skip("this host is a clone and has no password")
    secret = host.file("/etc/msmtprc")
    assert (secret.user, secret.group, secret.mode) == ("root", "www-data", 0o640)


@pytest.mark.parametrize("command", ["/usr/sbin/sendmail -t -i", "msmtp -t -i"])
def test_clone_refuses_with_a_message(host: Host, can_send: bool, command: str) -> None:
    if can_send:
        pytest.skip("this host may send")
    done = host.run(SEND.format(command=command))
    assert done.rc != 0
    assert "outgoing-mail-is-disabled-on-this-host" in done.stderr
    log = host.check_output("journalctl -q --no-pager -o cat -n 5 SYSLOG_FACILITY=2")
    assert "recipients=someone@example.org" in log
    assert "outgoing-mail-is-disabled-on-this-host" in log


def test_clone_has_no_password(host: Host, can_send: bool) -> None:
    if can_send:
        pytest.skip("this host may send")
    assert "password" not in host.file("/etc/msmtprc").content_string


def test_local_users_have_an_address(host: Host) -> None:
    aliases = host.file("/etc/aliases").content_string
    assert "www-data: webmaster@example.org" in aliases
    assert "default: portal@example.org" in aliases
