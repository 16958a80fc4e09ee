from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from encaja.cli import certificate as command
from encaja.errors import ConfigurationError, DifferencesFound
from unit.test_certificates import Signed


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A certificate of an own authority, its key, another key, and the authority."""
    authority = Signed("Acme CA")
    leaf = Signed("crm.acme.es", authority, ("crm.acme.es",), last_day=20)
    for name, signed in (("ca", authority), ("crm", leaf)):
        (tmp_path / f"{name}.crt").write_bytes(signed.certificate.public_bytes(Encoding.PEM))
        key = signed.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / f"{name}.key").write_bytes(key)
    return tmp_path


def run(*words: str) -> Any:
    return CliRunner().invoke(command.app, list(words))


def check(files: Path, *more: str) -> Any:
    return run("check", str(files / "crm.crt"), "--trusted", str(files / "ca.crt"), *more)


def test_good_files_pass_and_a_near_end_is_told(files: Path) -> None:
    result = check(files, "--key", str(files / "crm.key"), "--name", "crm.acme.es", "--json")
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)["certificates"][0]
    assert (row["name"], row["names"], row["issuer"], row["faults"]) == ("crm.crt", ["crm.acme.es"], "Acme CA", [])
    assert 18 <= row["days_left"] <= 20
    assert "expires in" in row["warnings"][0]
    assert "warnings" in check(files, "--renew-days", "5", "--json").stdout
    assert json.loads(check(files, "--renew-days", "5", "--json").stdout)["certificates"][0]["warnings"] == []


def test_all_faults_are_told_at_once_and_by_the_exit_code(files: Path) -> None:
    result = run("check", str(files / "crm.crt"), "--key", str(files / "ca.key"), "--name", "www.acme.es")
    assert isinstance(result.exception, DifferencesFound)
    assert result.exception.exit_code == 4
    for said in ("belongs to another certificate", "does not cover www.acme.es", "chain is broken"):
        assert said in " ".join(result.stdout.replace("│", " ").split())


def test_files_that_are_none_are_bad_usage(files: Path, tmp_path: Path) -> None:
    assert isinstance(run("check", str(tmp_path / "none.crt")).exception, ConfigurationError)
    assert isinstance(check(files, "--trusted", str(files / "ca.key")).exception, ConfigurationError)


def test_a_list_is_shown_in_both_languages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = {"host": "h1", "name": "crm", "names": ["crm.acme.es"], "issuer": "CA", "expires": "2027-01-01",
           "days_left": 30, "faults": [], "warnings": []}  # fmt: skip
    told = {"kind": "certificates", "differences": 0, "certificates": [row]}
    monkeypatch.setattr(command, "play", lambda *_, **__: [SimpleNamespace(body=told)])
    monkeypatch.setattr(command, "find_project", lambda: tmp_path)
    monkeypatch.setenv("ENCAJA_INVENTORY", str(tmp_path))
    assert "last day" in run("list", "production").stdout
    assert "último día" in run("list", "production", "--language", "es").stdout
    assert json.loads(run("list", "production", "--json").stdout) == told
    told["certificates"] = [{**row, "faults": ["expired on 2026-01-01"]}]
    assert isinstance(run("list", "production").exception, DifferencesFound)
    assert set(command.WORDS["en"]) == set(command.WORDS["es"])


def test_what_an_authority_sent_is_checked_as_a_folder_in_the_clients_language(files: Path, tmp_path: Path) -> None:
    (tmp_path / "sent").mkdir()
    (tmp_path / "sent" / "crm.crt").write_bytes((files / "crm.crt").read_bytes())
    (tmp_path / "sent" / "invoice.pdf").write_bytes(b"%PDF-1.7")
    words = ("check", str(tmp_path / "sent"), "--trusted", str(files / "ca.crt"), "--language", "es", "--json")
    row = json.loads(run(*words).stdout)["certificates"][0]
    assert "invoice.pdf no es un certificado" in row["faults"][0]
    (tmp_path / "sent" / "invoice.pdf").unlink()
    assert json.loads(run(*words).stdout)["certificates"][0]["faults"] == []


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What playbooks publish."""
    bodies: list[dict[str, Any]] = []
    monkeypatch.setattr(command, "play", lambda *_, **__: [SimpleNamespace(body=body) for body in bodies])
    monkeypatch.setattr(command, "find_project", lambda: tmp_path)
    monkeypatch.setenv("ENCAJA_INVENTORY", str(tmp_path))
    return bodies


def test_a_request_comes_with_letters_of_the_exact_names(played: list[dict[str, Any]], tmp_path: Path) -> None:
    row = {"host": "h1", "name": "crm", "names": ["crm.acme.es", "www.acme.es"], "folder": str(tmp_path)}
    played.append({"kind": "certificate-requests", "requests": [row]})
    result = run("request", "production", "--language", "es")
    assert result.exit_code == 0, result.output
    line = f"{tmp_path}/crm.csr: crm.acme.es, www.acme.es\n    -> {tmp_path}/crm/\n"
    for language, words in (("en", "the private key was made on our server"), ("es", "no sale de él")):
        letter = (tmp_path / f"letter.{language}.txt").read_text()
        assert line in letter
        assert words in " ".join(letter.split())
    assert result.stdout == (tmp_path / "letter.es.txt").read_text()
    played[0]["requests"] = []
    assert isinstance(run("request", "production").exception, ConfigurationError)


def test_an_installation_shows_what_services_served(played: list[dict[str, Any]]) -> None:
    row = {"host": "h1", "name": "crm", "names": ["crm.acme.es"], "issuer": "CA", "expires": "2027-01-01",
           "days_left": 30, "faults": [], "warnings": []}  # fmt: skip
    served = {"host": "h1", "name": "crm", "unit": "nginx.service", "address": "127.0.0.1:443", "serial": "0A5F"}
    played += [{"kind": "certificates-served", "served": [served]}, {"kind": "certificates", "certificates": [row]}]
    said = run("install", "production").stdout
    assert "serial number shown" in said
    assert "0A5F" in said
    assert json.loads(run("install", "production", "--json").stdout)["served"] == [served]
    played[0]["served"] = []
    assert "ningún certificado ha cambiado" in run("install", "production", "--language", "es").stdout
