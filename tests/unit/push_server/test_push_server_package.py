"""The stand-in's tarball and the script in it that makes the configuration of each process."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from lab.push_server.build import build


@pytest.fixture
def package(tmp_path: Path) -> Path:
    with tarfile.open(build(tmp_path).path) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not in the Python of Debian 12
        archive.extractall(tmp_path)
    return tmp_path / "package"


def multi(package: Path, key: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = (package / "etc/sysconfig/push-server-multi").read_text()
    own = package / "settings"
    lines = {"CFG_DIR": package / "etc/push-server", "GROUP": os.getgid(), "RUN_DIR": package, "SECURITY_KEY": key}
    own.write_text(settings + "".join(f"{name}={value}\n" for name, value in lines.items()))
    return subprocess.run(
        [package / "etc/init.d/push-server-multi", *arguments],
        env={**os.environ, "PUSH_SERVER_SETTINGS": str(own)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tarball_is_the_same_each_time(tmp_path: Path) -> None:
    one, two = build(tmp_path / "one"), build(tmp_path / "two")
    assert one.sha256 == two.sha256 == hashlib.sha256(Path(one.path).read_bytes()).hexdigest()
    assert Path(one.path).name == f"push-server-{one.version}.tgz"


def test_the_tarball_has_the_layout_of_an_npm_package(tmp_path: Path) -> None:
    with tarfile.open(build(tmp_path).path) as archive:
        modes = {entry.name: entry.mode for entry in archive}
        described = json.load(archive.extractfile("package/package.json"))  # type: ignore[arg-type]
    assert described["name"] == "push-server"
    assert modes["package/etc/init.d/push-server-multi"] == 0o755
    assert {name for name in modes if name.startswith("package/etc/push-server/")} == {
        "package/etc/push-server/push-server-pub-__PORT__.json",
        "package/etc/push-server/push-server-sub-__PORT__.json",
        "package/etc/push-server/push-server.service",
    }


def test_configs_are_made_for_six_subscribing_and_two_publishing_processes(package: Path) -> None:
    made = multi(package, "Abc123", "configs")
    assert made.returncode == 0, made.stderr
    folder = package / "etc/push-server"
    ports = {"sub": range(8010, 8016), "pub": range(9010, 9012)}
    wanted = {f"push-server-{kind}-{port}.json" for kind, of_kind in ports.items() for port in of_kind}
    assert wanted == {path.name for path in folder.glob("*.json") if "__PORT__" not in path.name}
    for name in wanted:
        config = json.loads((folder / name).read_text())
        assert f"{config['servers'][0]['port']}.json" == name.rpartition("-")[2]
        assert config["security"] == {"key": "Abc123"}
        assert config["publishMode"] is ("-pub-" in name)
        assert "__" not in (folder / name).read_text()
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o640


def test_configs_of_one_kind_leave_the_other_alone(package: Path) -> None:
    assert multi(package, "Abc123", "configs", "pub").returncode == 0
    assert not list((package / "etc/push-server").glob("push-server-sub-8*.json"))


@pytest.mark.parametrize("key", ["", "'a|b'"])
def test_a_key_that_is_not_letters_and_digits_is_refused(package: Path, key: str) -> None:
    made = multi(package, key, "configs")
    assert made.returncode == 1
    assert "SECURITY_KEY must be letters and digits" in made.stderr


def test_status_tells_that_nothing_runs(package: Path) -> None:
    told = multi(package, "Abc123", "status")
    assert told.returncode == 3
    assert len(told.stdout.splitlines()) == 8
