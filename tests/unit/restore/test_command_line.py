"""The commands of ``encaja backup``."""

from __future__ import annotations

import json

import pytest
from backup_archives import FIXTURES, PASSWORDS
from rich.console import Console
from typer.testing import CliRunner

from encaja.cli import backup
from encaja.cli.backup import app
from encaja.errors import DifferencesFound
from encaja.restore import switch
from encaja.restore.errors import BackupError, BackupUsageError
from encaja.restore.fetch import FetchOptions
from lab.misbehaving_server import Fault, running, serving
from lab.vendor_storage import VendorStorageServer


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def invoke_failing(*arguments):
    """What a command prints before it ends with an error."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is not None
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


@pytest.mark.parametrize("command", ["info", "verify", "unpack"])
def test_a_folder_that_is_not_there_is_called_so(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = ["--to", "out"] if command == "unpack" else []
    for place in ("nope", "nope/deeper"):
        with pytest.raises(BackupUsageError, match=r"nope: no such folder \(name the folder of the backup"):
            invoke(command, place, *more)
    with pytest.raises(BackupUsageError, match=r"nope\.tar\.gz: no such backup"):
        invoke(command, "nope.tar.gz", *more)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(BackupUsageError, match="is not the name of a backup volume"):
        invoke(command, "notes.txt", *more)


def test_verify_names_bad_and_missing_volumes(tmp_path):
    for path in (FIXTURES / "plain").glob("*.tar.gz*"):
        if not path.name.endswith(".11"):
            (tmp_path / path.name).write_bytes(path.read_bytes()[: -9 if path.name.endswith(".12") else None])
    proven = invoke_failing("verify", tmp_path)
    assert "missing  " in proven and ".tar.gz.11: not there" in proven
    assert "bad      " in proven and ".tar.gz.12: " in proven


def test_unpack(tmp_path):
    assert "322 files" in invoke("unpack", FIXTURES / "plain", "--to", tmp_path / "out")


def test_fetch(tmp_path, password_file):
    name = "20261002_210000_full_Wq81ZsPo4RtYu6Nm.enc.gz"
    with serving(FIXTURES / "encrypted") as server:
        text = invoke("fetch", server.url + name, "--to", tmp_path / "v", "--password-file", password_file)
    assert "17 volumes" in text and (tmp_path / "v" / name).read_bytes() == (FIXTURES / "encrypted" / name).read_bytes()


def test_fetch_says_at_once_what_it_waits_for(tmp_path, monkeypatch, capsys):
    name = "20261001_210000_full_k3Jd92LmQx7PzVtB.tar.gz"
    monkeypatch.setattr(backup, "FetchOptions", lambda **_: FetchOptions(patience_seconds=0.3, pause_seconds=0.05))
    with serving(FIXTURES / "plain") as server:
        url = server.url
    with pytest.raises(BackupError, match="no answer from 127"):
        backup.fetch(url + name, tmp_path / "v", connections=2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("asking 127.0.0.1:")
    assert lines[1].startswith("waiting for 127.0.0.1:") and " since " in lines[1] and " until " in lines[1]


def test_fetch_asks_for_a_new_link_and_goes_on(tmp_path, monkeypatch):
    """On a terminal; elsewhere it ends and says what is needed."""
    name = "20261001_210000_full_k3Jd92LmQx7PzVtB.tar.gz"
    monkeypatch.setattr(backup, "_console", Console(force_terminal=True, quiet=True))
    with (
        serving(FIXTURES / "plain") as good,
        serving(FIXTURES / "plain", [Fault("status", after=6, at=403)]) as expired,
    ):
        monkeypatch.setattr(backup.typer, "prompt", lambda _text: good.url + name)
        text = invoke("fetch", expired.url + name, "--to", tmp_path / "v")
    assert "17 volumes" in text and expired.record.sent[name] > 0


def test_fetch_from_the_vendors_storage(tmp_path, password_file):
    (tmp_path / "licence").write_text("L-1\n")
    with running(VendorStorageServer(FIXTURES / "encrypted", "L-1", "correct horse")) as server:
        text = invoke(
            "fetch", server.address, "--to", tmp_path / "v",
            "--licence-file", tmp_path / "licence", "--password-file", password_file,
        )  # fmt: skip
    assert "17 volumes" in text


def test_rollback_reloads_what_the_job_names(tmp_path):
    for name in ("one", "two"):
        (tmp_path / "trees" / name).mkdir(parents=True)
        switch.switch(tmp_path / "www", tmp_path / "trees" / name, tmp_path / "work")
    job = {
        "stamp": "s", "directory": "/d", "home": str(tmp_path), "work": str(tmp_path / "work"),
        "database": {"name": "n", "user": "u"}, "after_switch": [["touch", str(tmp_path / "reloaded")]],
    }  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(job))
    text = invoke("rollback", "--home", tmp_path, "--work", tmp_path / "work", "--job", tmp_path / "job.json")
    assert "trees/one" in text and (tmp_path / "reloaded").exists()
