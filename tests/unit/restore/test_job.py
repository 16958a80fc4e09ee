"""Jobs and journals of a restore, and how it starts."""

from __future__ import annotations

import json
import socket

import pytest

from encaja import host_tools
from encaja.restore.errors import BackupError, BackupUsageError
from encaja.restore.job import parse_job, read_job
from encaja.restore.journal import Journal, load_journal
from encaja.restore.load import database
from encaja.restore.load.database import Server
from encaja.status import Status

SERVER = Server("portal_s1", "portal", "p'w\\1")


def test_journal(tmp_path):
    journal = Journal(tmp_path / "j" / "journal.json", "a.tar", "run")
    journal.checkpoint = {"volume": 3}
    journal.save()
    assert load_journal(journal.path) == journal
    assert load_journal(tmp_path / "none.json") is None
    journal.path.write_text("{")
    with pytest.raises(BackupError, match="cannot be read"):
        load_journal(journal.path)


def test_job(tmp_path):
    content = {"stamp": "s", "directory": "/d", "home": "/h", "work": "/w", "database": {"name": "n", "user": "u"}}
    job = parse_job({**content, "fetch": {"connections": 3}, "after_switch": [["true"]], "password": "secret"})
    assert (job.fetch.connections, job.after_switch, str(job.tree)) == (3, (("true",),), "/h/trees/s")
    assert "secret" not in repr(job)
    for change in ({"stamp": "../x"}, {"database": {"name": "a`b", "user": "u"}}):
        with pytest.raises(BackupUsageError):
            parse_job({**content, **change})
    (tmp_path / "job.json").write_text('{"stamp": 1}')
    with pytest.raises(BackupUsageError, match="not a restore's job"):
        read_job(tmp_path / "job.json")


def test_database_on_another_host_is_reached_by_tls(monkeypatch):
    given = {}
    monkeypatch.setattr(database.pymysql, "connect", lambda **options: given.update(options) or Silent())
    database.connect(Server("n", "u", "p", host="db.example", ca="/etc/ca.pem"))
    assert (given["host"], given["ssl_ca"]) == ("db.example", "/etc/ca.pem")
    assert given["ssl_verify_cert"] is True and given["ssl_verify_identity"] is True
    given.clear()
    database.connect(Server("n", "u", "p", socket="/run/s", ca="/etc/ca.pem"))
    assert given["unix_socket"] == "/run/s" and "ssl_ca" not in given


class Silent:
    def query(self, _sql):
        return 0


def test_a_restore_whose_links_name_does_not_resolve_says_so_while_it_waits_and_changes_nothing(tmp_path, monkeypatch):
    def nowhere(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    content = {
        "stamp": "s", "directory": str(tmp_path / "v"), "home": str(tmp_path), "work": str(tmp_path / "w"),
        "url": "http://nowhere.invalid/20261001_210000_full_a.tar.gz", "database": {"name": "n", "user": "u"},
        "fetch": {"unknown_name_seconds": 0.2, "pause_seconds": 0.02},
    }  # fmt: skip
    (tmp_path / "job.json").write_text(json.dumps(content))
    said = []
    monkeypatch.setattr(Status, "wait_for", lambda _, waiting: said.append(waiting))
    assert host_tools.main(["restore", str(tmp_path / "job.json")]) == 1
    assert said[0] == "asking nowhere.invalid for the archive's first bytes"
    assert said[1].startswith("waiting for nowhere.invalid (its name does not resolve) since ")
    told = json.loads((tmp_path / "w" / "status.json").read_text())
    assert told["phase"] == "check" and "its name does not resolve" in told["error"]
    assert not (tmp_path / "trees").exists() and not (tmp_path / "w" / "s").exists()
