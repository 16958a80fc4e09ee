"""The vendor's updater runs on a portal that stays one switch away as it was before, whatever stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest

from encaja import nightly_backup
from encaja.portal import module_versions, php, restored
from encaja.portal.site import Portal
from encaja.update import commands, snapshot
from support.mariadb import disposable_mariadb
from support.update_service import UpdateService, serving_updates
from unit.lab_portal.standin import install, until

pytestmark = pytest.mark.integration
SIZES = {"users": 5, "companies": 2, "contacts": 2, "leads": 10, "deals": 2, "tasks": 2, "messages": 2}
NEWER = {
    "main": {"version": "26.300.0", "sql": ["ALTER TABLE b_user ADD COLUMN UPDATED char(1)"]},
    "crm": {"version": "26.300.0", "sql": ["CREATE TABLE b_crm_updated (ID int)"]},
}
PYTHON = Path(__file__).parents[3] / "python"


class Host:
    """A host with one portal below ``trees``, its database server, and the service of updates."""

    def __init__(self, home: Path, sock: Path, service: UpdateService) -> None:
        self.home, self.sock, self.service = home, sock, service
        self.www, self.work = home / "www", home / "work"

    def job(self, stamp: str = "u1", seconds: float = 60) -> Path:
        file = self.home / "update.json"
        file.write_text(json.dumps({
            "stamp": stamp, "home": str(self.home), "work": str(self.work), "history": str(self.home / "restores"),
            "user": "root", "seconds": seconds, "fpm_socket": str(self.home / "none"),
        }))  # fmt: skip
        return file

    def run(self, stamp: str = "u1", tool: str = "update", seconds: float = 60) -> tuple[int, str]:
        process = self.start(stamp, tool, seconds)
        out, err = process.communicate(timeout=120)
        return process.returncode, out + err

    def start(self, stamp: str = "u1", tool: str = "update", seconds: float = 60) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "encaja.host_tools", tool, str(self.job(stamp, seconds))],
            env=os.environ | {"PYTHONPATH": str(PYTHON)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip

    @property
    def status(self) -> dict[str, Any]:
        return dict(json.loads((self.work / "status.json").read_text()))

    def live(self) -> dict[str, Any]:
        """What of the live portal an update changes, as the portal itself sees it."""
        portal = Portal(self.www, self.home / "state")
        asked = "require 'bitrix/modules/main/include/prolog_before.php'; echo DB::val('SELECT DATABASE()');"
        with closing(portal.database.connection):
            return {
                "versions": {module_versions.read_versions(self.www)[name] for name in ("main", "crm")},
                "column": portal.has("b_user", "UPDATED"), "table": portal.has("b_crm_updated"),
                "kernel": subprocess.run(
                    ["php", "-r", asked], cwd=self.www.resolve(), capture_output=True, text=True, check=True
                ).stdout,
                "people": portal.database.count("SELECT COUNT(*) FROM b_user"),
                "upload": sorted(path.name for path in (self.www / "upload").rglob("*") if path.is_file()),
            }  # fmt: skip

    def sql(self, statement: str) -> None:
        with pymysql.connect(unix_socket=str(self.sock), user="root", autocommit=True) as connection:
            connection.cursor().execute(statement)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with disposable_mariadb(tmp_path / "mariadb") as sock, serving_updates() as service:
        home = tmp_path / "portal"
        (home / "trees").mkdir(parents=True)
        root = install(home / "trees", sock, "portal_t1", SIZES)
        (home / "www").symlink_to("trees/portal_t1")
        (root / "bitrix/vendor/symfony/console").mkdir(parents=True)
        (root / "bitrix/cache/stale").mkdir(parents=True)
        (root / "upload/kept.txt").write_text("kept")
        said = {**dict.fromkeys(("stamp", "archive", "run", "host", "restored"), "x"), "database": "portal_t1"}
        (root / restored.RECORD).write_text(json.dumps(said))
        found = Host(home, sock, service)
        found.sql("REPLACE INTO portal_t1.b_option (MODULE_ID, NAME, VALUE)"
                  f" VALUES ('encaja', 'update_service', '{service.url}')")  # fmt: skip
        service.offers = dict(NEWER)
        yield found


def test_an_updated_portal_is_one_switch_away_from_what_it_was(host: Host) -> None:
    before = host.live()
    code, said = host.run()
    assert code == 0, said
    assert host.status["message"].startswith("2 modules updated: main 26.250.0 (26.300.0), crm 26.250.0 (26.300.0)")
    after = host.live()
    assert after == {**before, "versions": {"26.300.0"}, "column": True, "table": True}
    assert restored.read_record(host.www)["modules"]["crm"] == "26.300.0"

    assert host.run(tool="update-rollback") == (0, f"live: {host.home}/trees/portal_t1.before-u1\n")
    assert host.live() == {**before, "kernel": "portal_t1_before_u1"}
    assert host.status["phase"] == "rollback", "an update that was taken back is not done"
    assert restored.read_record(host.www)["database"] == "portal_t1_before_u1"
    settings = host.www / "bitrix/.settings.php"
    live = host.home / "trees/portal_t1/bitrix/.settings.php"
    was, is_now = (php.parse_settings(path.read_text())["connections"]["value"]["default"] for path in (live, settings))
    assert {**was, "database": "portal_t1_before_u1"} == is_now
    assert settings.stat().st_mode == live.stat().st_mode
    assert host.run(tool="update-rollback") == (0, f"live: {host.home}/trees/portal_t1\n")
    assert host.live() == after


@pytest.mark.fault("kill -9: host tool", "update", "while the vendor's updater works")
def test_a_killed_updater_is_run_again_and_the_way_back_is_not_copied_again(host: Host) -> None:
    before = host.live()
    host.service.offers = {**NEWER, "crm": {**NEWER["crm"], "pause": 60_000_000}}
    process = host.start()
    until(lambda: host.service.asked > 0 and host.live()["table"])
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for group in [process.pid, *map(int, children)]:  # as systemd does with all that a unit has started
        os.killpg(group, signal.SIGKILL)
    process.communicate()
    host.sql("DROP TABLE portal_t1.b_crm_updated")  # the stand-in's updater does not look whether a table is there
    host.service.offers = dict(NEWER)
    code, said = host.run("u2")
    assert code == 1 and "update u1 of this tree is not done" in said
    code, said = host.run()
    assert code == 0, said
    assert host.live()["versions"] == {"26.300.0"}
    assert host.run(tool="update-rollback")[0] == 0
    assert host.live() == {**before, "kernel": "portal_t1_before_u1"}


@pytest.mark.fault("interrupt: host tool", "update", "while the way back is copied")
def test_a_copy_that_was_stopped_is_made_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    before = host.live()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(snapshot, "_point", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        commands.update(host.job())
    assert host.service.asked == 0
    assert not (host.home / "restores").exists()
    code, said = host.run()
    assert code == 0, said
    assert host.run(tool="update-rollback")[0] == 0
    assert host.live() == {**before, "kernel": "portal_t1_before_u1"}


def test_rows_that_were_not_copied_stop_the_update_before_the_updater(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(source: Any, name: str) -> None:
        copy(source, name)
        host.sql(f"DROP TABLE `{name}`.b_crm_lead")

    copy = nightly_backup.copy_database
    monkeypatch.setattr(nightly_backup, "copy_database", lose)
    assert commands.update(host.job()) == 1
    assert "b_crm_lead is missing" in host.status["error"]
    assert host.service.asked == 0


def test_what_was_done_is_not_done_again_and_nothing_newer_is_said(host: Host) -> None:
    host.service.offers = {}
    assert host.run()[0] == 0
    assert (host.status["changed"], host.status["message"].partition(";")[0]) == (
        False, "no module has a newer version",
    )  # fmt: skip
    asked = host.service.asked
    assert host.run()[0] == 0
    assert host.service.asked == asked
    assert host.run(tool="update-rollback")[0] == 0
    code, said = host.run()
    assert code == 1 and "give another update_stamp" in said


def test_an_updater_that_ends_with_an_error_or_not_at_all_is_not_done(host: Host) -> None:
    host.service.offers = {"crm": {"version": "26.300.0", "sql": ["DROP TABLE no_such_table"]}}
    code, said = host.run()
    assert code == 1 and "the updater ended with 255" in said and "switch back" in said
    host.service.offers = {"crm": {"version": "26.300.0", "pause": 60_000_000}}
    code, said = host.run(seconds=2)
    assert code == 1 and "did not end within 2 s" in said
    assert host.status["phase"] != "done"
    host.service.offers = {"crm": {"version": "26.300.0"}}
    assert host.run()[0] == 0


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("bitrix/license_key.php", "<?php $LICENSE_KEY = 'DEMO';", "no licence key"),
        ("bitrix/bitrix.php", None, "this release has no command line for updates"),
        ("bitrix/vendor/symfony/console", None, "composer install"),
        (
            "bitrix/.settings_extra.php",
            "<?php return ['connections' => ['value' => []]];",
            "names the database as well",
        ),
    ],
)
def test_what_the_updater_lacks_is_said_before_anything_is_copied(
    host: Host, path: str, text: str | None, said: str
) -> None:
    target = host.www / path
    if text is None:
        target.rename(host.home / "away")
    else:
        target.write_text(text)
    code, words = host.run()
    assert code == 1 and said in words
    assert [tree.name for tree in (host.home / "trees").iterdir() if tree.is_dir()] == ["portal_t1"]
    assert host.service.asked == 0
