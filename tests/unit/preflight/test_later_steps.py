"""What would stop a later step is told by `encaja check`: certificates, the push server's tarball, the steps' needs."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.encaja.portal.plugins.action.preflight_verdict import reason
from ansible_collections.encaja.portal.plugins.action.role_arguments import split_cure
from ansible_collections.encaja.portal.plugins.module_utils.push_tarball import Tarball, TarballError, read_tarball
from ansible_collections.encaja.portal.plugins.modules import preflight_host, preflight_push
from encaja.preflight.push import judge_file, lacking
from lab.misbehaving_server import serving
from unit.test_certificates import MIDDLE, ROOT, Signed

HERE = Path(__file__).parents[3]
PACKAGE = {"name": "push-server", "version": "1", "dependencies": {"no-such-ws": "8", "@scope/part": "1"}}


def tarball(folder: Path, held: tuple[str, ...] = (), package: dict[str, Any] | None = None) -> Path:
    files = {"package.json": json.dumps(PACKAGE if package is None else package), "server.js": "//"}
    files |= {f"node_modules/{name}/package.json": "{}" for name in held}
    path = folder / "push.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def give(folder: Path, name: str, signed: Signed, key: Signed | None = None) -> dict[str, Any]:
    """A host's certificate, with the key of another one where ``key`` is given."""
    (folder / f"{name}.crt").write_bytes(signed.pem + MIDDLE.pem)
    (folder / f"{name}.key").write_bytes((key or signed).key_pem)
    return {
        "encaja_domain": f"{name}.invalid",
        "tls_certificate": str(folder / f"{name}.crt"),
        "tls_key": str(folder / f"{name}.key"),
        "tls_trusted": [str(folder / "root.crt")],
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The lines that `encaja check` gives for an inventory in which much is wrong, faults and warnings."""
    folder = tmp_path_factory.mktemp("estate")
    (folder / "root.crt").write_bytes(ROOT.pem)
    one = Signed("one", MIDDLE, names=("one.invalid",))
    late = Signed("late", MIDDLE, names=("late.invalid",), last_day=-1)
    soon = Signed("soon", MIDDLE, names=("soon.invalid",), last_day=5)
    hosts = {
        "one.test": {**give(folder, "one", one, key=late), "web_aliases": ["www.one.invalid"]},
        "late.test": give(folder, "late", late),
        "soon.test": {**give(folder, "soon", soon), "backup_repository": "sftp:there.invalid:/kept"},
    }
    environments = dict(zip(("production", "preproduction", "test"), hosts, strict=True))
    shared = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "encaja_licence_key": "SESAME",
        "encaja_push_tarball": str(tarball(folder, held=("@scope/part",))),
        "encaja_push_tarball_sha256": digest(folder / "push.tgz"),
        "encaja_push_key": "a" * 64,
        "push_packages": ["nodejs"],
    }
    children: dict[str, Any] = {name: {"hosts": {host: None}} for name, host in environments.items()}
    children |= {name: {"hosts": dict.fromkeys(hosts)} for name in ("portal", "push")}
    for environment, host in environments.items():
        hosts[host]["encaja_environment"] = environment
    (folder / "hosts.json").write_text(json.dumps({"all": {"vars": shared, "hosts": hosts, "children": children}}))
    words = ["check", "-i", str(folder / "hosts.json"), "--state", str(folder / "state"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "encaja.cli", *words], cwd=HERE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert "SESAME" not in done.stdout
    return {
        kind: [f"{item['where']}: {item['what']} ({item['hint']})" for item in told[kind]]
        for kind in ("faults", "warnings")
    }


@pytest.mark.parametrize(
    "line",
    [
        "one.test: one.invalid: the key belongs to another certificate (correct tls_certificate, tls_key,",
        "one.test: one.invalid: does not cover www.one.invalid (it covers one.invalid) (correct",
        "late.test: late.invalid: expired on ",
        "one.test: encaja_cloud_webhook has no value, and the run-book's steps prepare-carry-over,",
        "one.test, late.test, soon.test: the push server's tarball does not hold no-such-ws, which it runs with (add",
        "one.test, late.test, soon.test: encaja_backup_password has no value (set it in",
    ],
)
def test_what_stops_a_later_step_is_a_fault(found: dict[str, list[str]], line: str) -> None:
    assert any(one.startswith(line) for one in found["faults"]), found["faults"]


@pytest.mark.parametrize(
    "line",
    [
        "one.test: encaja_backup_source has no value yet, step restore will need it",
        "soon.test: the certificate soon.invalid expires in ",
        "production, preproduction, test: one licence key for 3 installations, it covers 1",
        "one.test, late.test: the backup repository (/var/backups/encaja) is on the same disk as /srv/portal",
    ],
)
def test_what_may_be_meant_is_a_warning(found: dict[str, list[str]], line: str) -> None:
    assert any(one.startswith(line) for one in found["warnings"]), found["warnings"]


def test_a_fault_is_told_once(found: dict[str, list[str]]) -> None:
    assert len([line for line in found["faults"] if "encaja_backup_password" in line]) == 1
    assert not [line for line in found["faults"] + found["warnings"] if "soon.invalid" in line and "covers" in line]


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("a key is short; make a longer one", ("a key is short", "make a longer one")),
        ("no certificate for x: set tls_key", ("no certificate for x", "set tls_key")),
        ("a_b is not set (a_c)", ("a_b is not set (a_c)", "set it in the environment's group_vars or vault.yml")),
        ("'push_x' is of type str", ("'push_x' is of type str", "see docs/variables.md")),
    ],
)
def test_what_a_role_says_is_told_as_what_and_how_to_mend_it(line: str, parts: tuple[str, str]) -> None:
    assert split_cure(line) == parts


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Task failed: Failed to connect via ssh: No route to host", "Failed to connect via ssh: No route to host"),
        ("EOF on stream; last 100 lines received:\nssh: Connection refused.\n", "ssh: Connection refused"),
        ("", ""),
    ],
)
def test_a_host_that_cannot_be_reached_says_why(message: str, said: str) -> None:
    assert reason(message) == said


@pytest.mark.parametrize(
    ("held", "packages", "installed", "missing"),
    [
        ((), ["nodejs"], [], ["@scope/part", "ws"]),
        (("ws",), ["nodejs"], ["@scope/part"], []),
        ((), ["nodejs", "npm"], [], []),
        ((), ["nodejs", "node-ws", "node-scope-part"], [], []),
        ((), ["nodejs", "node-ws"], [], ["@scope/part"]),
        ((), ["nodejs", "node-all-of-it"], [], []),  # a package whose content nobody knows
    ],
)
def test_a_library_comes_with_the_tarball_or_as_a_package(
    held: tuple[str, ...], packages: list[str], installed: list[str], missing: list[str]
) -> None:
    assert lacking(Tarball("", ("@scope/part", "ws"), held), packages, installed) == missing


def test_a_tarball_that_is_none_or_another_is_named(tmp_path: Path) -> None:
    ((what, _),) = judge_file(tmp_path / "none.tgz", "f" * 64, ["npm"], [])
    assert "none.tgz cannot be read: No such file" in what
    (tmp_path / "page.tgz").write_text("<html>")
    ((what, _),) = judge_file(tmp_path / "page.tgz", "f" * 64, ["npm"], [])
    assert "page.tgz cannot be read" in what
    with pytest.raises(TarballError, match="is package 'other', not push-server"):
        read_tarball(tarball(tmp_path, package={"name": "other"}).read_bytes())
    path = tarball(tmp_path)
    ((what, hint),) = judge_file(path, "f" * 64, ["npm"], [])
    assert f"its SHA-256 is {digest(path)}, not ffff" in what
    assert "encaja_push_tarball_sha256" in hint
    assert judge_file(path, digest(path), ["npm"], []) == []


def test_a_host_reads_a_tarball_at_an_address(tmp_path: Path) -> None:
    path = tarball(tmp_path, held=("no-such-ws", "@scope/part"))
    with serving(tmp_path) as server:
        seen = preflight_push.fetch(server.url + path.name, 5)
        lost = preflight_push.fetch(server.url + "none.tgz", 5)
    assert seen == {
        "error": "",
        "sha256": digest(path),
        "needed": ["@scope/part", "no-such-ws"],
        "held": ["@scope/part", "no-such-ws"],
    }
    assert "cannot be fetched" in lost["error"]


def test_a_repository_on_another_disk_is_no_warning(tmp_path: Path) -> None:
    pair = {"path": str(tmp_path / "new" / "kept"), "other": str(tmp_path), "what": "it", "hint": "move it"}
    assert preflight_host.apart_advice([pair]) == [
        (f"it ({tmp_path}/new/kept) is on the same disk as {tmp_path}", "move it")
    ]
    assert preflight_host.apart_advice([{**pair, "other": "/proc"}]) == []
