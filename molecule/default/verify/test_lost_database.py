"""A database whose data directory is gone: site.yml makes the server again, and the nightly backup what was in it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable

import pytest
import testinfra
from testinfra.host import Host

from lab.copying import ROOT, environment

DATA = "/var/lib/mysql"


@pytest.fixture(scope="module")
def on(request: pytest.FixtureRequest) -> Callable[[str], Host]:
    inventory = request.config.option.ansible_inventory
    return lambda group: testinfra.get_hosts([f"ansible://{group}"], ansible_inventory=inventory)[0]


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Callable[[], subprocess.CompletedProcess[str]]:
    command = [
        str(shutil.which("ansible-playbook")), "-i", str(request.config.option.ansible_inventory), "site.yml",
        "--limit", "database:portal", "--tags", "database,portal",
    ]  # fmt: skip
    return lambda: subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)


def lose(database: Host) -> None:
    """The directory is emptied, and systemd has tried in vain to start the server on it."""
    database.check_output(f"systemctl stop mariadb; find {DATA} -mindepth 1 -delete; systemctl start mariadb || true")


def test_it_is_restored_from_the_nightly_backup(
    on: Callable[[str], Host], site: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    portal, database = on("portal"), on("database")
    rows = database.check_output("mariadb -N -B portal -e 'SELECT COUNT(*) FROM b_user'")
    portal.check_output("encaja-backup run")
    lose(database)
    made = site()
    assert made.returncode == 0, made.stdout[-3000:]
    assert "was initialised, without data" in made.stdout + made.stderr
    assert database.file(f"{DATA}/mysql").is_directory
    again = site()
    assert again.returncode == 0, again.stdout[-3000:]
    assert re.search(r"changed=[1-9]", again.stdout) is None
    portal.check_output("encaja-backup restore --to /srv/restored && encaja-backup load /srv/restored")
    assert database.check_output("mariadb -N -B portal -e 'SELECT COUNT(*) FROM b_user'") == rows
    refused = portal.run("encaja-backup load /srv/restored; rm -r /srv/restored")
    assert "tables already, so nothing was loaded" in refused.stderr
    name = portal.check_output("hostname")
    page = f"curl -sk -o /dev/null -w '%{{http_code}}' --resolve {name}:443:127.0.0.1 https://{name}/auth/"
    assert portal.check_output(page) == "200"


def test_existing_data_is_never_overwritten(
    on: Callable[[str], Host], site: Callable[[], subprocess.CompletedProcess[str]]
) -> None:
    """The system tables are gone, a database of somebody's is not."""
    database = on("database")
    database.check_output(f"systemctl stop mariadb; mv {DATA}/mysql /var/lib/away; systemctl start mariadb || true")
    before = database.check_output(f"find {DATA}/portal -type f | sort | xargs sha256sum")
    refused = site()
    assert refused.returncode != 0
    assert "has no system tables but holds portal; nothing was changed" in refused.stdout
    assert database.check_output(f"find {DATA}/portal -type f | sort | xargs sha256sum") == before
    database.check_output(f"systemctl stop mariadb; mv /var/lib/away {DATA}/mysql; systemctl start mariadb")
