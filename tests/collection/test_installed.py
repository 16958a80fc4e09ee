"""The wheel as `uv tool install` installs it: no clone, no Ansible on the path, a project of `encaja init`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from collection.installing import ROOT, UV, done, pins, run
from encaja.lab import estate

HOST = "beginner"
DOMAIN = "test.acme.example"


@dataclass(frozen=True)
class Tool:
    """An installed `encaja`: where its program is, and the environment behind it."""

    programs: Path
    environment: Path

    def run(self, *words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
        return run(self.programs / "encaja", *words, folder=folder, path=self.programs, home=self.home)

    def done(self, *words: str | Path, folder: Path) -> str:
        return done(self.programs / "encaja", *words, folder=folder, path=self.programs, home=self.home)

    @property
    def home(self) -> Path:
        """Its user's; the name of a socket of SSH below it may not be long."""
        return self.programs.parent

    @property
    def collection(self) -> Path:
        (found,) = self.environment.glob("lib/python3*/site-packages/ansible_collections/encaja/portal")
        return found


@pytest.fixture(scope="module")
def tool(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Tool:
    folder = tmp_path_factory.mktemp("tool")
    places = ("env", f"UV_TOOL_DIR={folder / 'tools'}", f"UV_TOOL_BIN_DIR={folder / 'programs'}")
    options = ("--python", sys.executable, "--constraints", pins(folder))
    done(*places, UV, "--system-certs", "tool", "install", *options, built["wheel"], folder=ROOT)
    return Tool(folder / "programs", folder / "tools/encaja")


@pytest.fixture
def project(tool: Tool, tmp_path: Path) -> Path:
    tool.done("init", "portal", folder=tmp_path)
    return tmp_path / "portal"


def secrets_of(tool: Tool, project: Path) -> list[str]:
    made = []
    for path in sorted(project.glob("inventories/*/group_vars/*/vault.yml")):
        made += list(yaml.safe_load(tool.done("vault", "view", path, folder=project)).values())
    return [*(secret for secret in made if secret != "change me"), (project / ".vault-password").read_text().strip()]


def test_it_brings_one_program_and_the_whole_collection(tool: Tool, tmp_path: Path) -> None:
    assert [path.name for path in tool.programs.iterdir()] == ["encaja"]
    assert "encaja 0." in tool.done("--version", folder=tmp_path)
    assert "init" in tool.done("--help", folder=tmp_path)
    tracked = done("git", "ls-files", "meta", "playbooks", "plugins", "roles", folder=ROOT).split()
    packed = {str(path.relative_to(tool.collection)) for path in tool.collection.rglob("*") if path.is_file()}
    assert sorted(set(tracked) - packed) == []
    assert not [name for name in packed if name.startswith(("inventories/lab", "tests", "molecule"))]


def test_outside_of_a_project_it_says_how_to_make_one(tool: Tool, tmp_path: Path) -> None:
    for command in (("plan",), ("check",), ("run",), ("playbook", "site.yml"), ("verify", "test")):
        ended = tool.run(*command, folder=tmp_path)
        assert ended.returncode == 2
        assert ended.stderr.count("\n") == 1
        assert "make one with 'encaja init DIR'" in ended.stderr


def test_what_needs_no_host_works_in_a_project(tool: Tool, project: Path) -> None:
    assert "preproduction" in tool.done("plan", folder=project)
    listed = tool.done("playbook", "site.yml", "--list-hosts", folder=project)
    assert "portal.example.com" in listed
    assert "test.example.com" in listed
    listed = tool.done("playbook", "-i", "inventories/test", "playbooks/backup.yml", "--list-hosts", folder=project)
    assert "test.example.com" in listed
    assert "portal.example.com" not in listed
    ended = tool.run("status", folder=project / "inventories")
    assert "there is no journal yet (start the move with 'encaja run')" in ended.stderr
    ended = tool.run("lab", "up", folder=project)
    assert "the lab is in the kit's repository only" in ended.stderr


def test_the_three_inventories_make_a_move_into_production(tool: Tool, project: Path) -> None:
    assert "Deploy the production" in tool.done("plan", folder=project)
    assert "Deploy the test environment" in tool.done("plan", "-i", "inventories/test", folder=project)


def test_check_names_every_placeholder_and_shows_no_secret(tool: Tool, project: Path) -> None:
    ended = tool.run("check", "--json", folder=project)
    assert ended.returncode == 2, ended.stderr
    table = tool.run("check", folder=project)
    secrets = secrets_of(tool, project)
    assert len(secrets) == len(set(secrets)) == 5 + 4 + 4 + 1
    assert not [secret for secret in secrets if secret in ended.stdout + ended.stderr + table.stdout + table.stderr]
    said = [(fault["what"], fault["where"]) for fault in json.loads(ended.stdout)["faults"]]
    for name in ("domain", "licence_key", "mail_from", "mail_relay_host", "mail_relay_user", "mail_relay_password"):
        assert [where for what, where in said if what == f"encaja_{name} still has its placeholder"], name
    names = "portal.example.com, telephony.example.com, preproduction.example.com, test.example.com"
    assert ("the hosts' names are still placeholders", names) in said
    assert [what for what, _ in said if what.startswith("encaja_cloud_webhook has no value")]
    assert not [what for what, _ in said if "password has no value" in what or "push_key" in what]


def test_a_project_moves_to_another_folder_and_another_machine(tool: Tool, project: Path) -> None:
    elsewhere = project.rename(project.with_name("elsewhere"))
    assert "encaja_push_key" in tool.done(
        "vault", "view", "inventories/test/group_vars/test/vault.yml", folder=elsewhere
    )
    (elsewhere / ".vault-password").unlink()
    ended = tool.run("playbook", "site.yml", "--list-hosts", folder=elsewhere)
    assert ended.returncode != 0
    assert "vault-password" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_ansible_of_the_same_environment_finds_the_collection_by_itself(tool: Tool, project: Path) -> None:
    programs = tool.environment / "bin"
    assert "encaja.portal.packages" in done(
        programs / "ansible-doc", "-l", "encaja.portal", folder=project, path=programs
    )
    command = (programs / "ansible-playbook", "-i", "inventories/test", "encaja.portal.site", "--list-hosts")
    assert "test.example.com" in done(*command, folder=project, path=programs)


def test_an_installed_collection_of_another_version_does_not_come_before_it(tool: Tool, project: Path) -> None:
    other = tool.home / ".ansible/collections/ansible_collections/encaja/portal"
    (other / "playbooks").mkdir(parents=True)
    (other / "playbooks/site.yml").write_text("not of this program\n")
    try:
        assert "test.example.com" in tool.done("playbook", "site.yml", "--list-hosts", folder=project)
    finally:
        shutil.rmtree(tool.home / ".ansible/collections")


def test_a_package_without_its_collection_says_so_in_one_line(tool: Tool, project: Path) -> None:
    roles = tool.collection / "roles"
    roles.rename(roles.with_name("lost"))
    try:
        told = [
            tool.run(*words, folder=project) for words in (("plan",), ("playbook", "site.yml"), ("init", "another"))
        ]
    finally:
        roles.with_name("lost").rename(roles)
    for ended in told:
        assert ended.returncode == 2
        assert ended.stderr == (
            f"{tool.collection.parents[2]}: the collection encaja.portal is missing beside the Python package (roles) "
            "(install encaja again, from a whole clone or from its wheel)\n"
        )
    assert not (project / "another").exists()


@pytest.fixture
def estate_project(tool: Tool, tmp_path: Path) -> Iterator[Path]:
    """A project whose test environment is one fresh host, filled in as a client does it."""
    workspace = estate.Workspace(ROOT)
    estate.remove_molecule([HOST])  # what a run that was cut off left
    address = estate.start_molecule(workspace, HOST, "trixie")
    tool.done("init", "portal", "--domain", f"test={DOMAIN}", "--host", f"test={address}", folder=tmp_path)
    project = tmp_path / "portal"
    inventory = project / "inventories/test"
    values = inventory / "group_vars/test"
    main = (values / "main.yml").read_text().replace("example.com", "acme.example")
    own = [line for line in main.splitlines() if "push_tarball" not in line]
    (values / "main.yml").write_text("\n".join([*own, ""]))
    vault = values / "vault.yml"
    opened = tool.done("vault", "view", vault, folder=project)
    vault.write_text(opened.replace("change me", "TEST-LICENCE"))
    tool.done("vault", "encrypt", vault, folder=project)
    lab = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(workspace.key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={workspace.known_hosts} -o StrictHostKeyChecking=yes",
        "base_upgrades": False,
        "base_hosts": [{"address": address, "names": [DOMAIN]}],
        "tls_ca_certificate": str(workspace.folder / "ca/ca.crt"),
        "tls_ca_key": str(workspace.folder / "ca/ca.key"),
        "database_memory_mb": 256,
        "php_memory_mb": 512,
        "encaja_cloud_webhook": "https://cloud.acme.example/rest/1/aaaaaaaaaaaaaaaa/",
        "encaja_expected_backup_gb": 0.1,
    }
    (values / "lab.yml").write_text(yaml.safe_dump(lab))
    done(sys.executable, ROOT / "tests/lab/distributions.py", tmp_path / "distributions", inventory, folder=tmp_path)
    yield project
    estate.remove_molecule([HOST])


@pytest.mark.lab
def test_from_the_first_check_to_the_first_steps_of_a_run(tool: Tool, estate_project: Path) -> None:
    words = ("-i", "inventories/test")
    tool.done("check", *words, folder=estate_project)
    tool.done("playbook", "site.yml", *words, folder=estate_project)
    again = tool.done("playbook", "site.yml", *words, folder=estate_project)
    assert f"{DOMAIN}" in again.rsplit("PLAY RECAP", 1)[1]
    assert " changed=0 " in again.rsplit("PLAY RECAP", 1)[1]
    ran = tool.done("run", "--pass", "rehearsal-1", "--until", "test-environment", *words, folder=estate_project)
    status = tool.run("status", "--json", folder=estate_project)
    states = {step["id"]: step["state"] for step in json.loads(status.stdout)["steps"]}
    assert states["provision"] == states["test-environment"] == "done", ran
    secrets = secrets_of(tool, estate_project)
    kept = [path.read_bytes() for path in (estate_project / ".encaja").rglob("*") if path.is_file()]
    assert not [secret for secret in secrets if secret in again + ran or any(secret.encode() in text for text in kept)]
