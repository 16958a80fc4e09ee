"""The JSON that the role writes is the JSON that the package's own script makes."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "tests/lab/push_server/package"
PORTS = {"sub": [8010, 8011], "pub": [9010]}
KEY = "k" * 40


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plugin = load("plugins/filter/push_server.py")


def settings(**changes: object) -> dict[str, object]:
    redis = {"socket": "/run/redis/redis.sock", "host": "", "port": "", "password": ""}
    return {"address": "127.0.0.1", "key": KEY, "message_ttl": 86400, "limits": {}, "redis": redis, **changes}


@pytest.mark.parametrize("process", ["sub-8011", "pub-9010"])
def test_a_process_is_configured_as_by_the_packages_own_script(tmp_path: Path, process: str) -> None:
    for template in (PACKAGE / "etc/push-server").glob("*.json"):
        (tmp_path / template.name).write_text(template.read_text())
    own = (PACKAGE / "etc/sysconfig/push-server-multi").read_text()
    own += f"CFG_DIR={tmp_path}\nGROUP={os.getgid()}\nRUN_DIR=/run/push-server\n"
    own += f"REDIS_SOCK=/run/redis/redis.sock\nSECURITY_KEY={KEY}\n"
    (tmp_path / "settings").write_text(own)
    subprocess.run(
        ["bash", PACKAGE / "etc/init.d/push-server-multi", "configs"],
        env={**os.environ, "PUSH_SERVER_SETTINGS": str(tmp_path / "settings")},
        check=True,
    )
    kind, _, port = process.partition("-")
    made = json.loads((tmp_path / f"push-server-{process}.json").read_text())
    assert plugin.push_config(kind, int(port), settings()) == made


def test_files_of_processes_that_are_no_more_go() -> None:
    files = plugin.push_files(PORTS, settings())
    assert [item["dest"][-9:] for item in files if "dest" in item] == [
        "8010.json",
        "8011.json",
        "9010.json",
    ]
    assert [item["absent"] for item in files if "absent" in item][:1] == ["/etc/push-server/push-server-sub-8012.json"]
    assert len(files) == 20
    assert all(item["secret"] and item["mode"] == "0640" for item in files if "dest" in item)


def test_a_redis_on_another_host_takes_the_sockets_place() -> None:
    redis = {"socket": "", "host": "10.0.0.3", "port": 6379, "password": "secret"}
    storage = plugin.push_config("sub", 8010, settings(redis=redis))["storage"]
    assert storage["host"] == "10.0.0.3"
    assert storage["port"] == 6379
    assert storage["password"] == "secret"
    assert "socket" not in storage


def test_limits_change_only_what_they_name() -> None:
    config = plugin.push_config("pub", 9010, settings(limits={"maxPayload": 1}))
    assert config["limits"] == {**plugin.LIMITS, "maxPayload": 1}


def test_processes_are_named_by_kind_and_port() -> None:
    assert plugin.push_processes(PORTS) == ["sub-8010", "sub-8011", "pub-9010"]
