"""An integrator's estate and project: what he has, and what he does.

Names that no DNS knows, a company's own authority, portal and database on two hosts, a copy of both on one.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import yaml

from encaja.ansible.accelerator import accelerator_environment
from encaja.lab import engine, estate
from estate import backup

ROOT = Path(__file__).parents[2]
ZONE = "acme.example"
GATEWAY = "10.89.83.1"
STORE_PORT = 8000
ACME = estate.Estate(
    name="acme",
    subnet="10.89.83.0/24",
    inventory="",
    hosts=tuple(
        estate.Host(name, f"10.89.83.{number}", zone=ZONE) for number, name in enumerate(("crm", "db", "pre"), 11)
    ),
    in_dns=False,
)
PRODUCTION, PREPRODUCTION = "production", "preproduction"
DATABASE = f"portal_{backup.STAMP}"
OWN_MODULE = {
    "id": "acme-sync",
    "why": "The company's own module would send to its partner",
    "table": "acme_sync_endpoint",
    "live": "COALESCE(ENDPOINT_URL, '') <> '' OR COALESCE(API_TOKEN, '') <> '' OR COALESCE(CALLBACK_URL, '') <> ''",
    "make": "ENDPOINT_URL = '', API_TOKEN = '', CALLBACK_URL = ''",
}
TREE = f"/srv/portal/trees/{backup.STAMP}"


def until(ready: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.2)


@dataclass
class Project:
    """The integrator's folder, and what he does in it."""

    folder: Path
    workspace: estate.Workspace
    root: Path = field(init=False)
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.root = self.folder / "certificates" / "ca.crt"
        self.environment = {
            **os.environ,
            **accelerator_environment(),
            "ENCAJA_STATE": str(self.folder / "state"),
            "ANSIBLE_VAULT_PASSWORD_FILE": str(self.folder / "vault-password"),
        }

    def inventories(self, *names: str) -> list[str]:
        """Options that name the inventories; both without a name."""
        chosen = names or (PRODUCTION, PREPRODUCTION)
        return [word for name in chosen for word in ("-i", str(self.folder / "inventories" / name))]

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command as it stands in the docs, ten minutes at most."""
        return subprocess.run(
            words, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=600, check=False
        )

    def done(self, *words: str, code: int = 0) -> str:
        """Run a command that has to end with ``code``; return what it printed."""
        ended = self.command(*words)
        said = ended.stdout + ended.stderr
        assert ended.returncode == code, f"{' '.join(words)}: {ended.returncode}\n{said[-6000:]}"
        return said

    def journal(self) -> list[dict[str, Any]]:
        """What happened, in order."""
        listed: list[dict[str, Any]] = json.loads(self.done("encaja", "journal", "--json"))
        return listed

    def shell(self, host: str, command: str, data: str = "") -> str:
        """What a shell command on a host prints, be the host as it may; its standard input is the data."""
        name = ACME.container(ACME.host(host))
        words = engine.command("exec", "--interactive", name, "sh", "-c", command)
        ended = subprocess.run(words, input=data, capture_output=True, text=True, timeout=120, check=False)
        return ended.stdout.strip()

    def power_off(self, host: str) -> None:
        """The host loses power."""
        engine.podman("kill", "--signal", "KILL", ACME.container(ACME.host(host)))

    def power_on(self, host: str) -> None:
        """The host begins to boot."""
        until(lambda: self._is_off(host), f"{host} did not go off")
        engine.podman("start", ACME.container(ACME.host(host)))

    def _is_off(self, host: str) -> bool:
        return not engine.containers(estate.LABEL)[ACME.container(ACME.host(host))].running

    def write_vault(self, environment: str, values: dict[str, Any]) -> None:
        """Write an environment's vault, encrypted."""
        path = self.folder / "inventories" / environment / "group_vars" / environment / "vault.yml"
        path.write_text(yaml.safe_dump(values))
        self.done("ansible-vault", "encrypt", str(path))

    def change_vault(self, environment: str, values: dict[str, str]) -> None:
        """Change values of an environment's vault."""
        path = self.folder / "inventories" / environment / "group_vars" / environment / "vault.yml"
        known = yaml.safe_load(self.done("ansible-vault", "view", str(path)))
        self.write_vault(environment, {**known, **values})

    def as_written(self, block: str) -> str:
        """Run commands of the docs on the controller, where ``inventories/production`` is this estate's."""
        folder = str(self.folder / "inventories" / PRODUCTION)
        words = block.replace("inventories/production", folder)
        return self.done("env", f"ENCAJA_INVENTORY={folder}", "sh", "-ec", words)

    def on_host(self, host: str, block: str) -> str:
        """Run commands of the docs on a host."""
        name = ACME.container(ACME.host(host))
        return self.done(*engine.command("exec", name, "bash", "-ec", block))

    def page(self, host: str, path: str = "/auth/") -> tuple[int, str]:
        """Status and text of a page, asked for as by somebody who knows the company's authority and no other."""
        knows = ssl.create_default_context(cafile=str(self.root))
        connection = HTTPSConnection(f"{host}.{ZONE}", context=knows, timeout=20)
        raw = socket.create_connection((ACME.host(host).address, 443), 20)
        connection.sock = knows.wrap_socket(raw, server_hostname=f"{host}.{ZONE}")
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")


def changed(output: str) -> dict[str, int]:
    """Host to the number of changes, from Ansible's recap."""
    return {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)}


def new_secrets() -> dict[str, str]:
    made = {
        f"encaja_{name}_password": secrets.token_urlsafe(24) for name in ("database", "cache", "backup", "mail_relay")
    }
    return {**made, "encaja_push_key": secrets.token_hex(64), "encaja_licence_key": f"ACME-{secrets.token_hex(8)}"}


def _write(path: Path, values: object) -> None:
    path.write_text("---\n" + yaml.safe_dump(values, sort_keys=False))


def write_inventory(project: Project, environment: str, portal: str, database: str, more: dict[str, Any]) -> None:
    """Copy the example and put hosts and values in."""
    folder = project.folder / "inventories" / environment
    shutil.copytree(ROOT / "inventories" / environment, folder)
    functions = dict.fromkeys(("portal", "cache", "push", "search"), portal) | {"database": database}
    groups = {name: {"hosts": {f"{host}.{ZONE}": None}} for name, host in functions.items()}
    addresses = {
        f"{name}.{ZONE}": {"ansible_host": ACME.host(name).address, "ansible_user": "root"}
        for name in dict.fromkeys((portal, database))
    }
    _write(folder / "hosts.yml", {"all": {"children": {environment: {"hosts": addresses}, **groups}}})
    path = folder / "group_vars" / environment / "main.yml"
    certificates = project.folder / "certificates"
    values = {
        **yaml.safe_load(path.read_text()),
        "encaja_domain": f"{portal}.{ZONE}",
        "encaja_mail_from": f"crm@{ZONE}",
        "encaja_mail_relay_host": f"smtp.{ZONE}",
        "encaja_mail_relay_user": f"crm@{ZONE}",
        "base_hosts": [
            *({"address": host.address, "names": [host.domain]} for host in ACME.hosts),
            {"address": GATEWAY, "names": [f"smtp.{ZONE}"]},
        ],
        "tls_certificate": f"{certificates}/{{{{ inventory_hostname }}}}.crt",
        "tls_key": f"{certificates}/{{{{ inventory_hostname }}}}.key",
        "tls_chain": str(certificates / "issuing" / "ca.crt"),
        "tls_trusted": [str(project.root)],
        "ansible_ssh_private_key_file": str(project.workspace.key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={project.workspace.known_hosts}",
        "neutralise_rules_extra": [OWN_MODULE],
        # Hosts of one machine: their sizes say so, and two processes do for a handful of people.
        "base_upgrades": False,
        "database_memory_mb": 256,
        "php_memory_mb": 512,
        "push_sub_processes": 1,
        "push_pub_processes": 1,
        "web_push_sub_ports": [8010],
        "web_push_pub_ports": [9010],
        **more,
    }
    _write(path, values)


@dataclass(frozen=True)
class Restored:
    """What a restore left during which hosts lost power.

    Attributes:
        code: how the conductor ended.
        said: what it said.
        lost: which hosts were lost, and at which share of the backup.
        status: what the restore says of itself.
        live: the tree that is live.
        files: file of the new tree to SHA-256.
        tables: table of the new database to what ``backup.sums`` says.
    """

    code: int
    said: str
    lost: list[tuple[str, float]]
    status: dict[str, Any]
    live: str
    files: dict[str, str]
    tables: dict[str, str]


def restore_status(project: Project) -> dict[str, Any]:
    """What the restore says of itself on the portal's host; empty while it says nothing."""
    try:
        told: dict[str, Any] = json.loads(project.shell("crm", "cat /var/lib/encaja/restore/status.json"))
    except ValueError:
        return {}
    return told


def restored_files(project: Project) -> dict[str, str]:
    """File of the new tree to SHA-256."""
    listed = project.shell("crm", f"cd {TREE} && find . -type f -print0 | xargs -0r sha256sum --zero | tr '\\0' '\\n'")
    return {line[68:]: line[:64] for line in listed.splitlines()}


def restored_tables(project: Project, cloud: backup.Backup) -> dict[str, str]:
    """Table of the new database to its rows and checksum; empty where there is no such database."""
    rows = project.shell("db", f"mariadb -N -B {DATABASE}", cloud.question).splitlines()
    return {table: f"{count} {checksum}" for table, count, checksum in (row.split("\t") for row in rows)}


def share_read(project: Project, since: float) -> float:
    """How much of the backup is here, as a restore says that runs and has spoken since then; 0 while none does."""
    unit = "systemctl is-active encaja-restore.service"
    said = project.shell("crm", f"{unit}; stat -c %Y /var/lib/encaja/restore/status.json").split()
    if len(said) != 2 or said[0] not in ("active", "activating") or float(said[1]) < since:
        return 0.0
    told = restore_status(project)
    return float(told["done"]) / float(told["total"]) if told.get("phase") == "stream" and told.get("total") else 0.0


@dataclass(frozen=True)
class Again:
    """What ``encaja run --from restore`` left, before anybody approved it and after."""

    waiting: list[dict[str, Any]]
    after: list[dict[str, Any]]


@dataclass(frozen=True)
class Rebuilt:
    """A portal that was lost.

    Attributes:
        tables: table to what ``backup.sums`` says, before.
        loaded: the same as soon as its database was loaded again.
        files: file of the tree to SHA-256, before.
    """

    tables: dict[str, str]
    loaded: dict[str, str]
    files: dict[str, str]
