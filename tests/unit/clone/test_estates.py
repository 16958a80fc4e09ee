"""Who copies what from whom, worked out from the groups: onto one host, onto a host per function."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
ADDRESSES = {"box": "10.0.0.1", "boxdb": "10.0.0.2", "copy": "10.0.0.3", "copydb": "10.0.0.4", "copypush": "10.0.0.5"}
SHOWN = """\
{{ {'reaches': copy_reaches, 'neighbours': copy_neighbours, 'stages': copy_stages,
    'first': clone_job.parts, 'sources': clone_job.sources} | to_json }}"""


def worked_out(folder: Path, production: list[str], portal: list[str], database: list[str]) -> dict[str, Any]:
    hosts = {host: {"ansible_host": address} for host, address in ADDRESSES.items()}
    target = [host for host in ADDRESSES if host.startswith("copy")]
    groups = {"production": production, "preproduction": target, "portal": portal, "database": database}
    inventory = {
        "all": {
            "hosts": hosts,
            "vars": {"ansible_connection": "local", "encaja_environment": "preproduction"},
            "children": {name: {"hosts": dict.fromkeys(members)} for name, members in groups.items()},
        }
    }
    files = [
        ROOT / "playbooks/vars/copy.yml",
        ROOT / "roles/clone/defaults/main.yml",
        ROOT / "roles/clone/vars/main.yml",
    ]
    write: dict[str, Any] = {
        "ansible.builtin.copy": {"content": SHOWN, "dest": f"{folder}/{{{{ inventory_hostname }}}}.json"}
    }
    write["vars"] = {"clone_sources": "{{ copy_sources }}", "clone_parts": "{{ copy_stages[0] }}"}
    told = {"clone_host_key": {"content": "{{ ('ssh-ed25519 ' ~ inventory_hostname) | b64encode }}"}}
    plays = [
        {"hosts": "production", "gather_facts": False, "tasks": [{"ansible.builtin.set_fact": told}]},
        {
            "hosts": "preproduction", "gather_facts": False, "vars_files": [str(path) for path in files],
            "tasks": [write],
        },
    ]  # fmt: skip
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory))
    (folder / "plays.yml").write_text(yaml.safe_dump(plays))
    done = subprocess.run(
        ["ansible-playbook", "-i", folder / "inventory.yml", folder / "plays.yml"],
        cwd=ROOT, env=os.environ | {"ANSIBLE_STRATEGY": "linear"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    return {host: json.loads((folder / f"{host}.json").read_text()) for host in target}


def test_one_host_from_two(tmp_path: Path) -> None:
    found = worked_out(tmp_path, ["box", "boxdb"], ["box", "copy"], ["boxdb", "copy"])
    sources = found["copy"]["sources"]
    assert sources["files"]["address"] == "10.0.0.1"
    assert sources["database"]["address"] == "10.0.0.2"
    assert sources["database"]["host_key"] == "ssh-ed25519 boxdb"
    assert sorted(found["copy"]["reaches"]) == ["10.0.0.1", "10.0.0.2"]
    assert len(found["copy"]["stages"]) == 1
    assert found["copy"]["first"][0] == "check"
    assert len(found["copy"]["first"]) == 8
    assert found["copypush"]["reaches"] == []


def test_two_hosts_from_one(tmp_path: Path) -> None:
    found = worked_out(tmp_path, ["box"], ["box", "copy"], ["box", "copydb"])
    assert list(found["copy"]["sources"]) == ["files"]
    assert list(found["copydb"]["sources"]) == ["database"]
    assert found["copypush"]["sources"] == {}
    assert found["copy"]["first"] == found["copydb"]["first"] == ["check"]
    assert found["copypush"]["first"] == []
    order = [part for stage in found["copy"]["stages"] for part in stage]
    assert order.index("files") < order.index("database") < order.index("files-again") < order.index("switch-database")
    assert sorted(found["copy"]["neighbours"]) == ["10.0.0.4", "10.0.0.5"]
