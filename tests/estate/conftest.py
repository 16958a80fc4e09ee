"""What a first client does with the docs alone: each fixture is the next thing."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from encaja.lab import authority, engine, estate
from estate import backup
from estate.acme import (
    ACME,
    GATEWAY,
    PREPRODUCTION,
    PRODUCTION,
    ROOT,
    STORE_PORT,
    ZONE,
    Again,
    Project,
    Rebuilt,
    Restored,
    new_secrets,
    restore_status,
    restored_files,
    restored_tables,
    share_read,
    until,
    write_inventory,
)
from estate.page import commands
from lab.misbehaving_server import MisbehavingServer, running
from lab.push_server import build as push_server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.lab)


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[estate.Workspace]:
    """Three fresh hosts; an earlier run's are removed."""
    estate.take_down(ACME)
    workspace = estate.Workspace(tmp_path_factory.mktemp("estate"))
    try:
        estate.bring_up(workspace, ACME)
        yield workspace
    finally:
        estate.take_down(ACME)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> backup.Backup:
    """The cloud's backup."""
    return backup.make(tmp_path_factory.mktemp("cloud") / "cloud")


@pytest.fixture(scope="session")
def link(cloud: backup.Backup, hosts: estate.Workspace) -> Iterator[MisbehavingServer]:
    """Where the backup can be fetched; as quick as it is told to be."""
    server = MisbehavingServer(cloud.folder)
    server.socket.close()
    server.socket = socket.create_server((GATEWAY, 0), backlog=128)
    server.server_address = server.socket.getsockname()
    with running(server):
        yield server


@pytest.fixture(scope="session")
def store(hosts: estate.Workspace) -> tuple[str, str]:
    """Name and password of a place for backups, on a host that is not lost; it is there before that host is closed."""
    opens = "acme", secrets.token_urlsafe(24)
    serve = f"rclone serve restic /srv/store --addr :{STORE_PORT} --user {opens[0]} --pass {opens[1]}"
    install = "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends rclone"
    script = f"{install} && mkdir /srv/store && systemd-run --collect --unit=store {serve}"
    engine.podman("exec", ACME.container(ACME.host("pre")), "sh", "-ec", script)
    return opens


@pytest.fixture(scope="session")
def project(hosts: estate.Workspace, cloud: backup.Backup, link: MisbehavingServer, store: tuple[str, str]) -> Project:
    """Inventories copied from the examples, with the values of this estate; certificates; a run-book."""
    made = Project(hosts.root / "project", hosts)
    certificates = made.root.parent
    root = authority.ensure(certificates, "Acme Root CA", below=1)
    issuing = authority.ensure(certificates / "issuing", "Acme Issuing CA", above=root)
    for host in ACME.hosts:
        authority.ensure_host(certificates, issuing, host.domain)
    (made.folder / "vault-password").write_text(f"{secrets.token_urlsafe(24)}\n")
    push = push_server.build(made.folder)
    packed = {
        "encaja_push_tarball": push.path,
        "encaja_push_tarball_sha256": push.sha256,
        "push_packages": ["nodejs", *push.packages],
    }
    stored = {"backup_repository": f"rest:http://pre.{ZONE}:{STORE_PORT}/acme"}
    write_inventory(made, PRODUCTION, "crm", "db", {**packed, **stored, "encaja_expected_backup_gb": 0.1})
    write_inventory(made, PREPRODUCTION, "pre", "pre", {**packed, "encaja_firewall_open": [{"port": STORE_PORT}]})
    source = f"http://{GATEWAY}:{link.server_address[1]}/{cloud.first}"
    opens = dict(zip(("RESTIC_REST_USERNAME", "RESTIC_REST_PASSWORD"), store, strict=True))
    made.write_vault(PRODUCTION, {**new_secrets(), "encaja_backup_source": source, "backup_environment": opens})
    made.write_vault(PREPRODUCTION, new_secrets())
    shutil.copy(Path(__file__).with_name("runbook.yml"), made.folder / "inventories" / PRODUCTION)
    return made


@pytest.fixture(scope="session")
def checked(project: Project) -> Project:
    """The estate after ``encaja check`` on fresh hosts."""
    project.done("encaja", "check", *project.inventories())
    return project


@pytest.fixture(scope="session")
def built(checked: Project) -> Project:
    """The estate after ``site.yml``."""
    checked.done("ansible-playbook", *checked.inventories(), "site.yml")
    return checked


@pytest.fixture(scope="session")
def restored(built: Project, cloud: backup.Backup, link: MisbehavingServer) -> Restored:
    """The estate after a restore during which the portal's host lost power twice, and the database's once."""
    run = ["encaja", "run", *built.inventories(), "--pass", "move", "--by", "Marta", "--until", "restore"]
    built.done(*run, code=3)
    built.done("encaja", "approve", "request-backup", "--by", "Ana")
    built.done(*run, code=3)
    built.done("encaja", "approve", "restore", "--by", "Ana")
    link.total_rate = 500_000
    lost: list[tuple[str, float]] = []
    with (built.folder / "restore.log").open("w+") as log:
        conductor = subprocess.Popen(run, cwd=ROOT, env=built.environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            since = time.time()
            for host, share in (("crm", 0.1), ("crm", 0.35), ("db", 0.6)):
                until(
                    lambda: conductor.poll() is not None or share_read(built, since) >= share,  # noqa: B023 - at once
                    f"the restore did not get to {share:.0%}",
                )
                if conductor.poll() is not None:
                    break
                lost.append((host, share))
                built.power_off(host)
                since = time.time()
                built.power_on(host)
            link.total_rate = None
            code = conductor.wait(240)
        finally:
            conductor.kill()
            link.total_rate = None
        log.seek(0)
        said = log.read()
    live = built.shell("crm", "readlink -f /srv/portal/www")
    left = restore_status(built), live, restored_files(built), restored_tables(built, cloud)
    return Restored(code, said, lost, *left)


@pytest.fixture(scope="session")
def again(built: Project, restored: Restored) -> Again:
    """The estate after the restore was done again, approved, and everything behind it."""
    assert restored.code == 0, restored.said[-6000:]
    built.done("encaja", "run", "--from", "restore", "--by", "Marta", code=3)
    waiting = built.journal()
    built.done("encaja", "approve", "restore", "--by", "Ana")
    built.done("encaja", "run", "--by", "Marta")
    return Again(waiting, built.journal())


@pytest.fixture(scope="session")
def copied(built: Project, again: Again) -> Project:
    """The estate with a copy of production, which has its database elsewhere, on one host."""
    built.done("encaja", "clone", PRODUCTION, PREPRODUCTION, *built.inventories(), "--confirm", PREPRODUCTION)
    return built


@pytest.fixture(scope="session")
def rotated(copied: Project) -> dict[str, str]:
    """The estate after production's passwords were changed in the vault; gives the new ones."""
    fresh = new_secrets()
    changed = {name: fresh[name] for name in ("encaja_database_password", "encaja_cache_password", "encaja_push_key")}
    copied.change_vault(PRODUCTION, changed)
    copied.done("ansible-playbook", *copied.inventories(PRODUCTION), "site.yml")
    return changed


@pytest.fixture(scope="session")
def stored(copied: Project, rotated: dict[str, str]) -> Project:
    """The estate with a backup in the store, whose password was rotated as the page says."""
    (rotate,) = (block for block in commands("Rotate a secret") if "restic" in block)
    fresh = new_secrets()["encaja_backup_password"]
    copied.as_written("ansible-playbook -i inventories/production playbooks/backup.yml")
    copied.shell("crm", f"umask 077; cp /etc/encaja/backup.password /root/old; echo {fresh} > /root/new")
    copied.on_host("crm", rotate)
    copied.change_vault(PRODUCTION, {"encaja_backup_password": fresh})
    copied.as_written("ansible-playbook -i inventories/production site.yml --tags backup")
    return copied


@pytest.fixture(scope="session")
def rebuilt(stored: Project, cloud: backup.Backup) -> Rebuilt:
    """The estate after portal and database were lost, and made again from the inventory and the store by the page."""
    tables, files = restored_tables(stored, cloud), restored_files(stored)
    loaded: dict[str, str] = {}
    engine.remove([ACME.container(ACME.host(name)) for name in ("crm", "db")])
    estate.bring_up(stored.workspace, ACME)
    for block in commands("Rebuild a lost host", "Portal"):
        if block.startswith(("ansible-playbook", "encaja verify")):
            stored.as_written(block)
        else:
            stored.on_host("crm", block)
        loaded = loaded or restored_tables(stored, cloud)
    return Rebuilt(tables, loaded, files)
