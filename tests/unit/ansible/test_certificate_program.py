"""``encaja-certificate``: what is due is issued, what fails is named and touches nothing, what ends is told."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.encaja.portal.plugins.module_utils import certificate_store
from unit.test_certificates import MIDDLE, Signed

ROOT = Path(__file__).parents[3]
NAMES = ["crm.example.org", "www.example.org"]
NAME = NAMES[0]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "certificate_store", certificate_store)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location("program", ROOT / "roles/tls/files/encaja_certificate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "program", module)
    spec.loader.exec_module(module)
    module.REACH = module.reach
    monkeypatch.setattr(module, "reach", lambda _: None)
    return module


@pytest.fixture
def make(program: Any, tmp_path: Path) -> Callable[..., Any]:
    """Settings with a lego that says and brings what the test wants."""
    (tmp_path / "tls").mkdir()

    def settings(brings: Signed | None = None, says: str = "", **more: Any) -> Any:
        asked: list[list[str]] = []

        def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
            if words[0] == "systemctl":
                return subprocess.CompletedProcess(words, 0)
            asked.append([*words, *(f"{key}={options['env'][key]}" for key in ("TOKEN",) if key in options["env"])])
            if brings:
                folder = Path(words[words.index("--path") + 1]) / "certificates"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{NAME}.crt").write_bytes(brings.pem + MIDDLE.pem)
                (folder / f"{NAME}.key").write_bytes(brings.key_pem)
            return subprocess.CompletedProcess(words, 0 if brings else 1, "", says)

        store = certificate_store.Store(tmp_path / "tls", os.getgid())
        given = {"directory": "https://acme.test/dir", "email": "a@b", "dns": "", "renew_days": 30, **more}
        made = program.Settings([{"name": NAME, "names": NAMES}], store, **given, state=tmp_path / "acme", run=run)
        made.state.mkdir(exist_ok=True)
        made.asked = asked
        made.credentials = tmp_path / "acme.env"
        return made

    return settings


def signed(days: int = 90, names: list[str] = NAMES) -> Signed:
    return Signed(NAME, MIDDLE, tuple(names), last_day=days)


def test_what_is_due_is_ordered_once_and_used(program: Any, make: Callable[..., Any]) -> None:
    new = signed()
    first = make(new)
    program.issue(first)
    assert first.faults == []
    assert first.store.file(NAME, "crt").encode() == new.pem + MIDDLE.pem
    assert first.store.file(NAME, "key").encode() == new.key_pem
    assert "--http.webroot" in first.asked[0]
    again = make(signed())
    program.issue(again)
    assert again.asked == []


@pytest.mark.parametrize(
    ("days", "changes"), [(20, {}), (90, {"directory": "https://other.test/dir"}), (90, {"renew_days": 99})]
)
def test_it_is_due_by_its_days_and_its_authority(
    program: Any, make: Callable[..., Any], days: int, changes: dict[str, Any]
) -> None:
    program.issue(make(signed(days)))
    again = make(signed(), **changes)
    program.issue(again)
    assert len(again.asked) == 1


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("acme: error: 429 :: urn:ietf:params:acme:error:rateLimited :: too many", "(its rate limit): wait"),
        (
            "urn:ietf:params:acme:error:connection :: Timeout",
            f"could not reach this host for its challenge: http://{NAME}/",
        ),
        ("urn:ietf:params:acme:error:caa :: no", "the domain's CAA record forbids this authority"),
        ("\nsomething new went wrong\n", "something new went wrong: http://"),
    ],
)
def test_a_refusal_is_named_and_the_present_one_stays(
    program: Any, make: Callable[..., Any], said: str, told: str
) -> None:
    program.issue(make(signed(20)))
    failing = make(says=said)
    before = failing.store.file(NAME, "crt")
    program.issue(failing)
    assert told in failing.faults[0]
    assert failing.faults[0].startswith(f"certificate {NAME} was not issued: ")
    assert "the present one stays, it ends in " in failing.faults[0]
    assert failing.store.file(NAME, "crt") == before


def test_what_does_not_fit_is_not_used(program: Any, make: Callable[..., Any]) -> None:
    settings = make(signed(names=["other.example.org"]))
    program.issue(settings)
    assert "does not fit what was asked for" in settings.faults[0]
    assert settings.store.file(NAME, "crt") == ""


def test_credentials_of_a_dns_provider_go_by_the_environment(program: Any, make: Callable[..., Any]) -> None:
    settings = make(signed(), dns="gandi")
    settings.credentials.write_text("TOKEN=a=b\n")
    program.issue(settings)
    assert settings.asked[0][-4:] == ["--dns", "gandi", "run", "TOKEN=a=b"]


def test_an_end_is_told_at_30_14_and_7_days_and_then_daily(
    program: Any, make: Callable[..., Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make()
    settings.store.install(NAME, signed(60).pem.decode(), signed().key_pem.decode(), NAME)
    heard = []
    for left in range(40, -2, -1):
        monkeypatch.setattr(program, "days_left", lambda _, left=left: left)
        settings.faults = []
        program.watch(settings)
        heard += [left] if capsys.readouterr().out.startswith("<4>certificate crm.example.org ends in") else []
        assert bool(settings.faults) is (left <= 7)
    assert heard == [30, 14]
    assert settings.faults == [f"certificate {NAME} has expired: see 'encaja certificate list'"]


def test_an_authority_that_is_away_is_named(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> Any:
        raise urllib.error.URLError(ConnectionRefusedError(111, "Connection refused"))

    monkeypatch.setattr("urllib.request.urlopen", away)
    with pytest.raises(program.IssueError, match=r"cannot be reached at https://acme\.test .*refused"):
        program.REACH("https://acme.test")
