"""New secrets in the vault, and site.yml: the portal's clients see nothing of it, even where it is cut off half way."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable

import pytest
import testinfra
import yaml
from testinfra.host import Host

from lab.clients import Seen, clients
from lab.copying import ROOT, environment, kill

ACCOUNTS = "SELECT Priv FROM mysql.global_priv WHERE User = 'portal'"
Play = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def inventory(request: pytest.FixtureRequest) -> str:
    return str(request.config.option.ansible_inventory)


@pytest.fixture(scope="module")
def on(inventory: str) -> Callable[[str], Host]:
    return lambda group: testinfra.get_hosts([f"ansible://{group}"], ansible_inventory=inventory)[0]


@pytest.fixture(scope="module")
def play(inventory: str) -> Play:
    def begin(*words: str) -> subprocess.Popen[str]:
        command = [str(shutil.which("ansible-playbook")), "-i", inventory, "site.yml", *words]
        return subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    return begin


def ended(process: subprocess.Popen[str]) -> str:
    told = process.communicate()[0]
    assert process.returncode == 0, told[-3000:]
    return told


def passwords(on: Callable[[str], Host]) -> tuple[int, int]:
    """How many passwords the database's account and the cache take."""
    accounts = on("database").check_output("mariadb -N -B -e %s", ACCOUNTS).splitlines()
    assert accounts
    configured = on("cache").file("/etc/redis/password.conf").content_string
    return max(line.count('"mysql_native_password"') for line in accounts), len(re.findall('">', configured))


def assert_unnoticed(seen: Seen) -> None:
    """Every page was served, and at most one second of anything else failed; a new key cuts subscriptions off once."""
    print(f"\n{seen.summary()}")
    assert len(seen.lines) > 20
    for kind in ("page", "database", "cache"):
        assert seen.failed_seconds(kind) <= 1, seen.failed(kind)
    assert seen.interruptions("push") <= 1, seen.failed("push")
    assert not seen.lines[-1]["push"]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with other secrets than the inventory's."""
    made = tmp_path_factory.mktemp("secrets") / "others.yml"
    names = ("encaja_database_password", "encaja_cache_password", "encaja_push_key")
    made.write_text(yaml.safe_dump({name: secrets.token_hex(32) for name in names}))
    return f"@{made}"


def test_new_secrets_cost_at_most_a_second(on: Callable[[str], Host], play: Play, others: str) -> None:
    portal = on("portal")
    with clients(portal, portal.check_output("hostname")) as seen:
        ended(play("-e", others))
    assert_unnoticed(seen)
    assert passwords(on) == (1, 1)
    assert re.search(r"changed=[1-9]", ended(play("-e", others))) is None


def test_an_interrupted_run_is_completed_by_the_next(on: Callable[[str], Host], play: Play) -> None:
    """Back to the inventory's secrets: killed when both passwords are valid, and run again."""
    portal = on("portal")
    with clients(portal, portal.check_output("hostname")) as seen:
        process = play()
        deadline = time.monotonic() + 300
        while passwords(on) != (2, 2):
            assert process.poll() is None, "it ended before both passwords were valid"
            assert time.monotonic() < deadline
        kill(process)
        ended(play())
    assert_unnoticed(seen)
    assert passwords(on) == (1, 1)
