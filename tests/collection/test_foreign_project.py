"""The collection in a project that is not the kit's: ansible-core, the tarball and the wheel, and nothing else."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from collection.installing import ROOT, UV, done, pins, run
from encaja.lab import estate

HOST = "foreign"

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def project(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a virtual environment of its own and the collection installed from the tarball."""
    folder = tmp_path_factory.mktemp("project")
    done(sys.executable, "-m", "venv", "--without-pip", folder / "venv", folder=folder)
    installing = ("--system-certs", "pip", "install", "--python", folder / "venv/bin/python")
    done(UV, *installing, "--constraint", pins(folder), "ansible-core", built["wheel"], folder=ROOT)
    # The wheel has brought one already, which is no reason not to install this one.
    galaxy = (folder / "venv/bin/ansible-galaxy", "collection", "install", "--no-deps", "--force")
    done(*galaxy, "-p", folder / "collections", built["collection"], folder=folder, path=folder / "venv/bin")
    assert (folder / "collections/ansible_collections/encaja/portal/MANIFEST.json").is_file()
    (folder / "ansible.cfg").write_text("[defaults]\ncollections_path = collections\n")
    return folder


@pytest.fixture(scope="module")
def inventory(project: Path) -> Iterator[Path]:
    """An inventory of the project's own over one lab host."""
    workspace = estate.Workspace(ROOT)
    estate.remove_molecule([HOST])  # what a run that was cut off left
    address = estate.start_molecule(workspace, HOST, "trixie")
    distributions = project / "distributions"
    done(sys.executable, ROOT / "tests/lab/distributions.py", distributions, project, folder=project)
    secrets = workspace.secrets()
    values = {
        **yaml.safe_load((project / "distributions.yml").read_text())["all"]["vars"],
        **{name: secrets[name] for name in secrets if "lab" not in name},
        "ansible_host": address,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(workspace.key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={workspace.known_hosts} -o StrictHostKeyChecking=yes",
        "encaja_environment": "test",
        "encaja_domain": "crm.foreign.example",
        "encaja_mail_from": "crm@foreign.example",
        "encaja_mail_relay_host": "smtp.foreign.example",
        "base_upgrades": False,
        "tls_ca_certificate": str(workspace.folder / "ca/ca.crt"),
        "tls_ca_key": str(workspace.folder / "ca/ca.key"),
        "database_memory_mb": 256,
        "php_memory_mb": 512,
    }
    groups = ("test", "portal", "database", "cache", "push")
    described = {name: {"hosts": {HOST: {}}} for name in groups}
    path = project / "hosts.yml"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump({"all": {"hosts": {HOST: values}, "children": described}}))
    (project / "distributions.yml").unlink()
    yield path
    estate.remove_molecule([HOST])


def recap(output: str) -> dict[str, int]:
    """The numbers of the play recap's line of the one host."""
    line = next(line for line in reversed(output.splitlines()) if line.startswith(f"{HOST} "))
    return {name: int(number) for name, _, number in (part.partition("=") for part in line.split(":")[1].split())}


def test_a_role_by_its_full_name(project: Path, inventory: Path) -> None:
    (project / "role.yml").write_text("- hosts: all\n  vars: {cache_memory_mb: 64}\n  roles: [encaja.portal.cache]\n")
    tool = project / "venv/bin/ansible-playbook"
    first = done(tool, "-i", inventory, "role.yml", folder=project, path=project / "venv/bin")
    again = done(tool, "-i", inventory, "role.yml", folder=project, path=project / "venv/bin")
    assert recap(first)["changed"] > 0
    assert recap(again)["changed"] == 0


def test_the_whole_estate_by_its_playbook_s_full_name(project: Path, inventory: Path) -> None:
    tool = project / "venv/bin/ansible-playbook"
    done(tool, "-i", inventory, "encaja.portal.site", folder=project, path=project / "venv/bin")
    again = done(tool, "-i", inventory, "encaja.portal.site", folder=project, path=project / "venv/bin")
    assert recap(again)["changed"] == 0


def test_the_collection_installs_from_git(project: Path, tmp_path: Path) -> None:
    tool = project / "venv/bin/ansible-galaxy"
    done(tool, "collection", "install", "--no-deps", "-p", tmp_path, f"git+file://{ROOT}", folder=tmp_path,
         path=project / "venv/bin")  # fmt: skip
    installed = tmp_path / "ansible_collections/encaja/portal"
    assert (installed / "plugins/module_utils/portal/verify.py").is_file()
    assert json.loads((installed / "MANIFEST.json").read_text())["collection_info"]["name"] == "portal"


def test_without_the_python_package_it_says_so_in_one_line(project: Path, inventory: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    done(sys.executable, "-m", "venv", "--without-pip", bare, folder=tmp_path)
    done(UV, "--system-certs", "pip", "install", "--python", bare / "bin/python", "--constraint", pins(tmp_path),
         "ansible-core", folder=ROOT)  # fmt: skip
    ended = run(bare / "bin/ansible-playbook", "-i", inventory, "encaja.portal.site", folder=project, path=bare / "bin")
    assert ended.returncode != 0
    said = [line for line in (ended.stdout + ended.stderr).splitlines() if "encaja" in line and "missing" in line]
    assert said, ended.stdout + ended.stderr
    assert "the Python package 'encaja' is missing" in said[0]
    assert "Traceback" not in ended.stdout + ended.stderr
