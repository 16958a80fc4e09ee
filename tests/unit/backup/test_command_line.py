"""The commands of ``encaja backup``."""

from __future__ import annotations

import json

import pytest
from backup_archives import FIXTURES, PASSWORDS
from typer.testing import CliRunner

from encaja.cli.backup import app
from encaja.errors import DifferencesFound
from lab.misbehaving_server import serving


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


@pytest.fixture
def password_file(tmp_path):
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    return file


@pytest.mark.parametrize("kind", sorted(PASSWORDS))
def test_info_and_verify_as_json(kind, password_file):
    described = json.loads(invoke("info", FIXTURES / kind, "--json"))
    assert described["missing"] == [] and described["encrypted"] == kind.startswith("encrypted")
    proven = json.loads(invoke("verify", FIXTURES / kind, "--json", "--password-file", password_file))
    assert proven["good"] is True and len(proven["volumes"]) == described["present"]


def test_verify_names_the_bad_volume(tmp_path):
    for path in (FIXTURES / "plain").glob("*.tar.gz*"):
        (tmp_path / path.name).write_bytes(path.read_bytes()[:-9] if path.name.endswith(".12") else path.read_bytes())
    with pytest.raises(DifferencesFound, match="1 volumes are not good"):
        invoke("verify", tmp_path)


def test_unpack(tmp_path):
    assert "322 files" in invoke("unpack", FIXTURES / "plain", "--to", tmp_path / "out")


def test_fetch(tmp_path, password_file):
    name = "20261002_210000_full_Wq81ZsPo4RtYu6Nm.enc.gz"
    with serving(FIXTURES / "encrypted") as server:
        text = invoke("fetch", server.url + name, "--to", tmp_path / "v", "--password-file", password_file)
    assert "17 volumes" in text and (tmp_path / "v" / name).read_bytes() == (FIXTURES / "encrypted" / name).read_bytes()
