"""What `encaja check` says of the backup: a link that leads nowhere, volumes that are missing, and how big it is."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.encaja.portal.plugins.modules import preflight_backup as module
from encaja.preflight.backup import SAMPLE, Look, check_link, first_of, judge_folder, judge_link, judge_volumes, sampled
from lab.misbehaving_server import Fault, serving

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT / "tests/fixtures/backups"
FORMS = ["plain", "encrypted", "encrypted-raw", "uncompressed"]


def first(form: str) -> Path:
    names = [path.name for path in (FIXTURES / form).iterdir()]
    return FIXTURES / form / first_of(names)


def volumes(form: str) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (FIXTURES / form).iterdir() if path.name != "TREE.sha256"}


def looked(url: str, folder: str = "") -> Look:
    found = module.look_at_link(url, folder, 5)
    return judge_link(
        url,
        status=found["status"],
        error=found["error"],
        head=base64.b64decode(found["head"]),
        first_size=found["size"],
        index=found["page"],
    )


@pytest.mark.parametrize("form", FORMS)
def test_link_tells_volumes_and_size_in_every_form(form: str) -> None:
    with serving(FIXTURES / form) as server:
        url = server.url + first(form).name
        look = looked(url, server.url)
        numbers = sampled(look.volumes)
        asked = module.look_at_volumes([f"{url}.{number}" if number else url for number in numbers], 5)
    look = judge_volumes(url, look, dict(zip(numbers, asked["answers"], strict=True)))
    sizes = volumes(form)
    assert look.faults == ()
    assert look.volumes == len(sizes)
    assert look.size == pytest.approx(sum(sizes.values()), rel=0.2)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("missing"), "does not lead to the backup (HTTP 404)"),
        (Fault("status", at=403), "does not lead to the backup (HTTP 403)"),
        (Fault("page"), "is no backup"),
    ],
)
def test_link_that_leads_elsewhere_is_told(fault: Fault, said: str) -> None:
    with serving(FIXTURES / "plain", [fault]) as server:
        look = looked(server.url + first("plain").name + "?key=sesame")
    ((what, hint),) = look.faults
    assert said in what
    assert "sesame" not in what + hint
    assert "new link" in hint


def test_volume_that_the_server_does_not_give_is_named() -> None:
    look = judge_volumes("http://there.test/a.tar.gz", Look(30), {0: (206, 10), 29: (404, 0)})
    assert "of 30 volumes the server does not give a.tar.gz.29" in look.faults[0][0]


@pytest.mark.parametrize("count", [0, 1, 5, SAMPLE, 300])
def test_first_and_last_volume_are_always_asked_for(count: int) -> None:
    numbers = sampled(count)
    assert len(numbers) == min(count, SAMPLE)
    assert numbers == sorted(set(numbers))
    if count:
        assert (numbers[0], numbers[-1]) == (0, count - 1)


def test_server_that_does_not_answer_is_told() -> None:
    with serving(FIXTURES / "plain") as server:
        url = server.url + first("plain").name
    ((what, _),) = looked(url).faults
    assert "cannot be reached" in what


def test_volumes_missing_in_a_list_are_named() -> None:
    name = first("uncompressed").name
    look = judge_link(
        f"http://there.test/{name}",
        status=206,
        error="",
        head=first("uncompressed").read_bytes()[:65536],
        first_size=5,
        index=f'<a href="{name}">a</a><a href="{name}.2">c</a>',
    )
    assert f"{name}.1" in look.faults[0][0]
    unknown = judge_link(
        f"http://there.test/{name}", status=200, error="", head=first("uncompressed").read_bytes(), first_size=5
    )
    assert "how many volumes" in unknown.faults[0][0]


@pytest.mark.parametrize(
    "url", ["http://there.test/page.html", "ftp://there.test/x.tar.gz", "http://there.test/x.tar.gz.3"]
)
def test_address_that_is_none_of_a_backup_is_refused_unasked(url: str) -> None:
    look = check_link(url)
    assert look is not None
    assert look.faults


@pytest.mark.parametrize("form", FORMS)
def test_folder_is_counted_and_gaps_are_named(form: str) -> None:
    sizes = volumes(form)
    head = first(form).read_bytes()[:65536]
    assert judge_folder("/b", sizes, head) == Look(len(sizes), sum(sizes.values()))
    lost = f"{first(form).name}.2"
    less = judge_folder("/b", {name: size for name, size in sizes.items() if name != lost}, head)
    assert lost in less.faults[0][0]


def test_folder_with_nothing_or_too_much_is_told() -> None:
    assert "no backup in /b" in judge_folder("/b", {"notes.txt": 3}, b"").faults[0][0]
    assert "2 archives" in judge_folder("/b", {"a.tar.gz": 1, "b.tar.gz": 1}, b"").faults[0][0]
    assert "first volume is missing" in judge_folder("/b", {"a.tar.gz.1": 1}, b"").faults[0][0]
    assert "is no backup" in judge_folder("/b", {"a.tar.gz": 9}, b"<html>log").faults[0][0]


def check(tmp_path: Path, source: str, environment: str = "production", **more: Any) -> dict[str, Any]:
    """What `encaja check` says of this machine as a portal, production's unless told otherwise."""
    hosts = {"here.test": {"encaja_backup_source": source, "encaja_mail_relay_host": "relay.invalid"} | more}
    inventory = {
        "all": {
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            "children": {name: {"hosts": hosts} for name in (environment, "portal")},
        }
    }
    (tmp_path / "hosts.json").write_text(json.dumps(inventory))
    words = ["check", "-i", str(tmp_path / "hosts.json"), "--state", str(tmp_path / "state"), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "encaja.cli", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_check_tells_of_the_backup_with_everything_else_at_once(tmp_path: Path) -> None:
    with serving(FIXTURES / "plain", [Fault("missing")]) as server:
        found = check(tmp_path, server.url + first("plain").name)
    said = "\n".join(f"{fault['where']}: {fault['what']}" for fault in found["faults"])
    assert "here.test: " in said
    assert "does not lead to the backup (HTTP 404)" in said
    assert "no host in group 'database'" in said
    assert found["backups"] == []


def test_check_tells_how_big_the_backup_is(tmp_path: Path) -> None:
    with serving(FIXTURES / "plain") as server:
        found = check(tmp_path, server.url + first("plain").name)
    ((host, count, size),) = [tuple(item.values()) for item in found["backups"]]
    assert (host, count) == ("here.test", len(volumes("plain")))
    assert size == pytest.approx(sum(volumes("plain").values()), rel=0.2)


@pytest.mark.parametrize(("environment", "told"), [("production", True), ("preproduction", False)])
def test_only_production_has_to_find_its_mail_relay(tmp_path: Path, environment: str, told: bool) -> None:
    found = check(tmp_path, "", environment)
    assert any("relay.invalid does not resolve" in fault["what"] for fault in found["faults"]) is told


def test_names_that_the_hosts_file_will_have_are_asked_of_nobody(tmp_path: Path) -> None:
    given = {
        "encaja_domain": "portal.invalid",
        "base_hosts": [{"address": "127.0.0.1", "names": ["Relay.invalid", "portal.invalid", "backup.invalid"]}],
    }
    with serving(FIXTURES / "plain") as server:
        found = check(tmp_path, server.url.replace("127.0.0.1", "backup.invalid") + first("plain").name, **given)
    said = "\n".join(fault["what"] for fault in found["faults"])
    assert "resolve" not in said
    assert "reached" not in said
    assert found["backups"][0]["volumes"] == len(volumes("plain"))
