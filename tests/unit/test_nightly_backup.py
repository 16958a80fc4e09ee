from __future__ import annotations

import json
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from encaja import nightly_backup as nightly
from encaja.nightly_backup import BackupError, Config, Database, Status, compare_rows, escape, main, reason, summary


def written(folder: Path, **changes: Any) -> Path:
    values = {
        "state": str(folder / "state"),
        "repository_file": str(folder / "repository"),
        "password_file": str(folder / "password"),
        "paths": [str(folder / "data")],
        **changes,
    }
    path = folder / "backup.json"
    path.write_text(json.dumps(values))
    return path


class Repository:
    """Stands in for the program restic: notes what it is asked, answers what it is told to."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.tags: list[str] = []
        self.keeps = True
        self.answers: dict[str, tuple[int, str, str]] = {
            "cat": (0, '{"id": "first"}', ""),
            "backup": (
                0,
                '{"message_type": "summary", "snapshot_id": "s1", "total_bytes_processed": 7, "data_added": 3}',
                "",
            ),
        }

    def run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.asked.append(command[1:])
        if command[1] == "backup":
            self.tags += [word for flag, word in pairwise(command) if flag == "--tag"]
        if command[1] == "snapshots" and self.keeps:
            kept = [{"time": "2026-01-01", "tags": self.tags}] if self.tags else []
            return subprocess.CompletedProcess(command, 0, json.dumps(kept), "")
        code, out, err = self.answers.get(command[1], (0, "[]", ""))
        return subprocess.CompletedProcess(command, code, out, err)

    @property
    def verbs(self) -> list[str]:
        return [words[0] for words in self.asked]


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Repository:
    stand_in = Repository()
    monkeypatch.setattr(nightly.subprocess, "run", stand_in.run)
    return stand_in


def status(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "state" / "status.json").read_text())
    return read


def test_files_are_backed_up_retained_and_read_back(tmp_path: Path, repository: Repository) -> None:
    (tmp_path / "data").mkdir()
    assert main(["--config", str(written(tmp_path, keep={"daily": 3, "weekly": 0})), "run"]) == 0
    assert repository.verbs == ["cat", "unlock", "backup", "forget", "forget", "prune", "check", "snapshots"]
    assert "--keep-daily=3" in repository.asked[3]
    assert not any("weekly" in word for word in repository.asked[3])
    assert status(tmp_path)["last_success"]["bytes"] == 7
    assert status(tmp_path)["repository"] == "first"


def test_nothing_is_removed_from_an_append_only_repository(tmp_path: Path, repository: Repository) -> None:
    (tmp_path / "data").mkdir()
    assert main(["--config", str(written(tmp_path, prune=False, keep={"daily": 3})), "run"]) == 0
    assert repository.verbs == ["cat", "unlock", "backup", "check", "snapshots"]


def test_the_retention_keeps_the_last_logs_of_every_day(tmp_path: Path, repository: Repository) -> None:
    (tmp_path / "repository").write_text("/srv/r/\n")
    assert main(["--config", str(written(tmp_path, keep={"daily": 3}, log_days=5)), "prune"]) == 0
    kept = {words[words.index("--tag") + 1]: words for words in repository.asked if words[0] == "forget"}
    assert kept["database"][-1:] == kept["files"][-1:] == ["--keep-daily=3"]
    assert kept["between"][-1] == "--keep-within=5d"
    assert kept["logs"][-5:] == ["--keep-within", "1d", "--keep-daily", "5", "--prune"]


def test_a_backup_that_is_not_in_the_repository_is_no_success(
    tmp_path: Path, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    repository.keeps = False
    assert main(["--config", str(written(tmp_path)), "run"]) == 1
    assert "the repository does not have the files of run-" in capsys.readouterr().err
    assert status(tmp_path)["phase"] == "failed"
    assert "last_success" not in status(tmp_path)


def test_the_last_word_names_the_start_and_is_on_the_disk(
    tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    forced: list[int] = []
    monkeypatch.setenv("ENCAJA_START", "this-one")
    monkeypatch.setattr(nightly.os, "fsync", forced.append)
    assert main(["--config", str(written(tmp_path)), "run"]) == 0
    assert (status(tmp_path)["phase"], status(tmp_path)["start"]) == ("done", "this-one")
    assert len(forced) >= 2


def test_nothing_secret_is_in_a_command_line(tmp_path: Path, repository: Repository) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "repository").write_text("rest:https://user:very-secret@host/")
    (tmp_path / "password").write_text("very-secret")
    main(["--config", str(written(tmp_path, environment={"AWS_SECRET_ACCESS_KEY": "very-secret"})), "run"])
    assert "backup" in repository.verbs
    assert "very-secret" not in json.dumps(repository.asked)


def test_a_new_repository_is_made_once_only(
    tmp_path: Path, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    config = str(written(tmp_path))
    assert main(["--config", config, "run"]) == 0
    repository.answers["cat"] = (10, "", "Fatal: unable to open config file: no such file")
    assert main(["--config", config, "run"]) == 1
    assert "init" not in repository.verbs
    error = capsys.readouterr().err
    assert "is its disk mounted" in error
    assert len(error.splitlines()) == 1
    assert status(tmp_path)["phase"] == "failed"
    assert status(tmp_path)["last_success"]["bytes"] == 7, "what succeeded last is still known"


def test_another_repository_in_its_place_is_refused(
    tmp_path: Path, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    config = str(written(tmp_path))
    main(["--config", config, "run"])
    repository.answers["cat"] = (0, '{"id": "second"}', "")
    assert main(["--config", config, "run"]) == 1
    assert "is another disk mounted" in capsys.readouterr().err


def test_a_path_that_is_not_there_is_an_error(
    tmp_path: Path, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(written(tmp_path)), "run"]) == 1
    assert f"not on this host: {tmp_path}/data" in capsys.readouterr().err
    assert "backup" not in repository.verbs


def test_a_file_that_restic_could_not_read_fails_the_run(
    tmp_path: Path, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    repository.answers["backup"] = (3, "", "error: open /x: permission denied\n")
    assert main(["--config", str(written(tmp_path)), "run"]) == 1
    assert "permission denied" in capsys.readouterr().err


def test_a_host_that_never_had_a_portal_has_nothing_to_back_up(tmp_path: Path, repository: Repository) -> None:
    config = written(tmp_path, settings=str(tmp_path / "nothing.php"))
    assert main(["--config", str(config), "run"]) == 0
    assert repository.asked == []
    assert "no portal on this host yet" in status(tmp_path)["message"]


def test_the_part_that_is_read_back_changes_from_day_to_day(tmp_path: Path, repository: Repository) -> None:
    config = Config.load(written(tmp_path, check_parts=3))
    config.state.mkdir()
    parts = set()
    real = nightly.datetime.datetime
    for day in range(3):

        class Moment(real):  # type: ignore[valid-type,misc]
            @classmethod
            def now(cls, tz: Any = None, _day: int = day) -> Any:
                return real(2026, 1, 1 + _day, tzinfo=tz)

        nightly.datetime.datetime = Moment  # type: ignore[misc]
        try:
            nightly.check(config, nightly.Restic(config), Status(config.state / "status.json", "check"), read_all=False)
        finally:
            nightly.datetime.datetime = real  # type: ignore[misc]
        parts.add(repository.asked[-1][-1])
    assert parts == {f"--read-data-subset={part}/3" for part in (1, 2, 3)}


def test_two_runs_do_not_meet(tmp_path: Path, repository: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").mkdir()
    config = written(tmp_path)
    (tmp_path / "state").mkdir()
    with nightly.alone(tmp_path / "state"):
        assert main(["--config", str(config), "run"]) == 1
    assert "another encaja-backup is running" in capsys.readouterr().err
    assert repository.asked == []


def test_a_configuration_that_cannot_be_used_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--config", str(tmp_path / "missing.json"), "run"]) == 1
    assert "apply role backup again" in capsys.readouterr().err
    assert main(["--config", str(written(tmp_path, unknown=1)), "run"]) == 1


@pytest.mark.parametrize(
    ("host", "is_local"), [("localhost", True), ("127.0.0.1:3306", True), ("db.example.org", False)]
)
def test_a_local_database_needs_no_password(host: str, is_local: bool) -> None:
    database = Database(host, "portal", "portal", 'sec"ret\\')
    assert database.is_local is is_local
    with database.options() as options:
        assert "sec" not in " ".join(options)
        if not is_local:
            file = Path(options[0].split("=")[1])
            assert file.stat().st_mode & 0o077 == 0
            assert 'password="sec\\"ret\\\\"' in file.read_text()
    if not is_local:
        assert not file.exists()


def test_restored_tables_are_compared_with_those_that_were_dumped() -> None:
    before = {"b_user": 5, "b_event": 1000, "b_lead": 50}
    assert compare_rows(before, {"b_user": 5, "b_event": 950, "b_lead": 50, "b_new": 1}) == []
    assert compare_rows(before, {"b_user": 5, "b_event": 10, "b_lead": 50}) == ["b_event has 10 rows of 1000"]
    assert compare_rows(before, {"b_event": 1000, "b_lead": 50}) == ["b_user is missing"]


def test_restics_own_words_are_kept_short() -> None:
    noise = "repository opened\nscan finished\nFatal: wrong password or no key found\n"
    assert reason(noise) == "Fatal: wrong password or no key found"
    assert reason("") == "no reason given"
    assert summary('{"message_type":"status"}\n{"message_type":"summary","snapshot_id":"x"}\n')["snapshot_id"] == "x"
    with pytest.raises(BackupError, match="without a summary"):
        summary("not json")


def test_restic_itself_gets_what_opens_the_repository_whatever_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[list[str], dict[str, str]]] = []

    def run(command: list[str], *, env: dict[str, str], check: bool) -> subprocess.CompletedProcess[str]:
        begun.append((command, env))
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(nightly.subprocess, "run", run)
    config = written(tmp_path, options=["-o", "sftp.command=ssh"], environment={"AWS_SECRET_ACCESS_KEY": "very-secret"})
    words = ["key", "passwd", "--new-password-file", "/root/new"]
    assert main(["--config", str(config), "restic", *words]) == 3
    ((command, environment),) = begun
    assert command == ["restic", "-o", "sftp.command=ssh", *words]
    assert environment["RESTIC_REPOSITORY_FILE"] == str(tmp_path / "repository")
    assert environment["RESTIC_PASSWORD_FILE"] == str(tmp_path / "password")
    assert environment["AWS_SECRET_ACCESS_KEY"] == "very-secret"


def test_a_name_with_pattern_letters_stands_for_itself() -> None:
    assert escape("/a/photo [1]*?.jpg") == "/a/photo \\[1\\]\\*\\?.jpg"


def test_reading_never_makes_a_repository(
    tmp_path: Path, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """A host that replaces a lost one knows nothing yet: a wrong address must not turn into an empty repository."""
    repository.answers["cat"] = (10, "", "Fatal: unable to open config file: no such file")
    for words in (["list"], ["restore", "--to", str(tmp_path / "back")], ["check"]):
        assert main(["--config", str(written(tmp_path)), *words]) == 1
        assert "backup_repository" in capsys.readouterr().err
    assert "init" not in repository.verbs


def test_a_host_with_another_name_finds_what_the_lost_one_had(
    tmp_path: Path, repository: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(written(tmp_path))
    repository.keeps = False

    def run(command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        repository.answers["snapshots"] = (0, "[]" if "--host" in command else '[{"hostname": "lost"}]', "")
        return repository.run(command, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nightly.subprocess, "run", run)
        assert main(["--config", config, "restore", "--to", str(tmp_path / "back")]) == 1
    assert "give --host lost" in capsys.readouterr().err
    repository.answers["snapshots"] = (0, "[]", "")
    repository.asked.clear()
    assert main(["--config", config, "list", "--host", "lost"]) == 0
    listed = [words[2:4] for words in repository.asked if words[0] == "snapshots"]
    assert listed == [["--host", "lost"]] * 2


@pytest.mark.parametrize(
    ("line", "held"), [("define('NO_AGENT_CHECK', true);", True), ("define('BX_CRONTAB', true);", False)]
)
def test_a_portal_that_waits_for_its_release_comes_back_with_its_mail_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, held: bool
) -> None:
    monkeypatch.setattr(nightly, "HELD_MAIL", tmp_path / "mail.held")
    (tmp_path / "bitrix/php_interface").mkdir(parents=True)
    (tmp_path / "bitrix/php_interface/dbconn.php").write_text(f"<?php\n{line}\n")
    nightly.hold_mail(tmp_path / "bitrix/.settings.php")
    assert (tmp_path / "mail.held").exists() is held
