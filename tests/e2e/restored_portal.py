"""A portal on a lab host as a restore of a cloud backup leaves it: made for a test, and taken away again.

The tree is the stand-in's with a company in it (``tests/lab/portal``, ``tests/lab/company``); the host is one that the
playbooks set up. The portal that was there is put back afterwards. As after the vendor's restore, agents and mail are
frozen and the restriction to the cloud's host names is gone.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encaja.ansible.accelerator import accelerator_environment

PROJECT = Path(__file__).parents[2]
LAB = PROJECT / "tests" / "lab"
OLD_HOST = "acme.bitrix24.es"
PASSWORD = "Encaja2026!"
ADMIN_PASSWORD = "Administrador2026!"
DATABASE = "portal_browser"
TREE = "/srv/portal/trees/browser"
MAKE = """
set -eu
mariadb -e "DROP DATABASE IF EXISTS {database}; DROP DATABASE IF EXISTS {database}_network;
  CREATE DATABASE {database} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
  CREATE DATABASE {database}_network CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
rm -rf {tree} /var/lib/encaja/settle/{database}.json; mkdir -p {tree} /opt/encaja-browser
tar -xf - -C /opt/encaja-browser
cp -a /opt/encaja-browser/www/. {tree}/
chown -R www-data:www-data {tree}
install -m 0640 -g www-data /opt/encaja-browser/config.json /srv/portal/browser.json
cd {tree} && runuser -u www-data -- php bitrix/stand-in/install.php /srv/portal/browser.json > /dev/null
cd /opt/encaja-browser && python3 -m company --docroot {tree} --config /srv/portal/browser.json --links none \
  --leads 60 --deals 40 --contacts 60 --companies 30 --tasks 30 > /dev/null
mariadb {database} -e "DELETE FROM b_module_to_module WHERE TO_CLASS LIKE '%HostRestriction%'"
sed -i '1a define("NO_AGENT_CHECK", true); define("DisableEventsCheck", true);' {tree}/bitrix/php_interface/dbconn.php
mariadb -e "DROP DATABASE {database}_network"
chown -R www-data:www-data {tree}; rm -rf {tree}/bitrix/managed_cache/*
[ "$(readlink /srv/portal/www)" = trees/browser ] || readlink /srv/portal/www > /opt/encaja-browser/before
ln -sfn trees/browser /srv/portal/www
# The host's own portal may be a copy; this one is none.
for file in /etc/encaja/neutralised /etc/nftables.d/encaja-egress.nft; do
  [ ! -e $file ] || mv $file /opt/encaja-browser/
done
systemctl restart nftables
systemctl reload 'php*-fpm.service'
"""
REMOVE = """
set -eu
ln -sfn "$(cat /opt/encaja-browser/before)" /srv/portal/www
systemctl reload 'php*-fpm.service'
mariadb -e "DROP DATABASE IF EXISTS {database}"
[ ! -e /opt/encaja-browser/neutralised ] || mv /opt/encaja-browser/neutralised /etc/encaja/
[ ! -e /opt/encaja-browser/encaja-egress.nft ] || mv /opt/encaja-browser/encaja-egress.nft /etc/nftables.d/
systemctl restart nftables
rm -rf {tree} /opt/encaja-browser /srv/portal/browser.json /var/lib/encaja/settle/{database}.json
"""


@dataclass
class Host:
    """A lab host, reached as the inventory says."""

    inventory: Path
    name: str
    variables: dict[str, Any]

    @property
    def address(self) -> str:
        """Its IP address."""
        return str(self.variables.get("ansible_host", self.name))

    def run(self, script: str, data: bytes = b"") -> str:
        """Run a shell script as root; its standard input is the data."""
        words = ["ssh", *str(self.variables.get("ansible_ssh_common_args", "")).split()]
        if key := self.variables.get("ansible_ssh_private_key_file"):
            words += ["-i", str(key)]
        target = f"{self.variables.get('ansible_user', 'root')}@{self.address}"
        done = subprocess.run([*words, target, script], input=data, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def query(self, sql: str) -> list[list[str]]:
        """Rows of the test's database."""
        text = self.run(f"mariadb --batch --skip-column-names {DATABASE}", sql.encode())
        return [line.split("\t") for line in text.splitlines()]

    def play(self, playbook: str, **variables: Any) -> int:
        """Run one of the kit's playbooks for this host; returns how many tasks changed something."""
        output = self._ansible(
            "ansible-playbook", "--limit", self.name, "--extra-vars", json.dumps(variables), f"playbooks/{playbook}.yml"
        )
        return int(re.findall(rf"^{re.escape(self.name)}\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)[-1])

    def ping(self) -> None:
        """Have Ansible reach the host and do nothing."""
        self._ansible("ansible", self.name, "--module-name", "ansible.builtin.ping")

    def _ansible(self, program: str, *words: str) -> str:
        command = [str(Path(sys.executable).parent / program), "-i", str(self.inventory), *words]
        environment = {**os.environ, **accelerator_environment()}
        done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        return done.stdout

    def verify(self, *, strict: bool = False) -> dict[str, str]:
        """Run ``encaja verify`` for this host's environment; returns the state of each check by its id."""
        environment = str(self.variables["encaja_environment"])
        command = [
            str(Path(sys.executable).parent / "encaja"),
            "verify",
            environment,
            "-i",
            str(self.inventory),
            "--json",
        ]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        assert done.returncode == 0 if strict else done.returncode in {0, 4}, done.stdout[-3000:] + done.stderr[-1000:]
        return {item["id"]: item["state"] for item in json.loads(done.stdout)["checks"]}


@contextlib.contextmanager
def schedule_stopped(host: Host) -> Iterator[None]:
    """Nothing of the portal runs by itself; what ran before, and what held it, is as before afterwards."""
    timer = "encaja-portal-cron.timer"
    ran = host.run(f"systemctl is-active {timer} || true").strip() == "active"
    held = host.run("test -e /etc/encaja/portal.held && echo held || true").strip() == "held"
    host.run(f"touch /etc/encaja/portal.held; {f'systemctl stop {timer}' if ran else 'true'}")
    try:
        yield
    finally:
        host.run(f"{'touch' if held else 'rm -f'} /etc/encaja/portal.held")
        if ran:
            host.run(f"systemctl start {timer}")


def find_host() -> Host:
    """The host for browser tests: of ``ENCAJA_E2E_INVENTORY`` and ``ENCAJA_E2E_HOST``, else the lab's test host."""
    inventory = Path(os.environ.get("ENCAJA_E2E_INVENTORY", PROJECT / "inventories" / "lab"))
    name = os.environ.get("ENCAJA_E2E_HOST", "test.encaja.test")
    command = [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(inventory), "--host", name]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    variables = json.loads(done.stdout)
    assert "ansible_host" in variables, f"{name} is not up"
    return Host(inventory, name, variables)


def make(host: Host) -> None:
    """Put the restored portal in the place of the host's own."""
    credentials = {"name": DATABASE, "login": "portal", "password": host.variables["encaja_database_password"]}
    config = {
        "cloud": True, "host": OLD_HOST, "server_name": "", "company": "Promotora Encaja",
        "admin": {"login": "admin", "password": ADMIN_PASSWORD}, "database": {"host": "localhost", **credentials},
    }  # fmt: skip
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(LAB / "portal" / "www", "www")
        archive.add(LAB / "company", "company")
        entry = tarfile.TarInfo("config.json")
        data = json.dumps(config).encode()
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    host.run(MAKE.format(database=DATABASE, tree=TREE), packed.getvalue())


def remove(host: Host) -> None:
    """Put the host's own portal back."""
    host.run(REMOVE.format(database=DATABASE, tree=TREE))
