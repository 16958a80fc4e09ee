"""A fault is told once when it begins and once when it ends, whatever is cut off in between."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from encaja.errors import ConfigurationError, EncajaError
from encaja.health import commands, portal, telling
from encaja.health.memory import FILE, Memory
from encaja.health.readings import HealthJob, Reading

WELL = [Reading("units", "ok", "3 active"), Reading("page", "ok", "200 in 9 ms")]
NGINX = Reading("unit:nginx.service", "fault", "nginx.service is failed (failed, exit-code)", "journalctl -u nginx")
DISK = Reading("disk:/", "warning", "9 % free", "du")

Looks = Callable[..., HealthJob]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    letters: list[tuple[str, str]] = []
    monkeypatch.setattr(telling, "tell", lambda _, title, text: letters.append((title, text)))
    return letters


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Looks:
    """Plans what the next looks see, and gives the job of which they are."""

    def plan(*readings: list[Reading]) -> HealthJob:
        waiting = list(readings)
        monkeypatch.setattr(commands, "look", lambda *_, **__: waiting.pop(0))
        return HealthJob("production", "crm", tmp_path, channels="/etc/encaja/health.channels")

    return plan


def watch(job: HealthJob, times: int = 1) -> None:
    for _ in range(times):
        commands.watch(job, sleep=lambda _: None)


def test_a_fault_is_told_once_and_its_end_once(looks: Looks, sent: list[tuple[str, str]]) -> None:
    broken = [*WELL, NGINX]
    watch(looks(broken, broken, broken, broken, WELL, WELL), 5)
    assert [title for title, _ in sent] == ["encaja production · crm: 1 fault", "encaja production · crm: 1 over"]
    assert "✗ unit:nginx.service: nginx.service is failed" in sent[0][1] and "to do: journalctl -u nginx" in sent[0][1]
    assert "✓ unit:nginx.service: lasted 1 min" in sent[1][1]


def test_what_a_restart_breaks_for_a_moment_is_not_told(looks: Looks, sent: list[tuple[str, str]]) -> None:
    watch(looks([*WELL, NGINX], WELL, WELL), 2)
    assert sent == []


def test_what_only_the_second_look_sees_waits_for_the_next(looks: Looks, sent: list[tuple[str, str]]) -> None:
    both = [*WELL, NGINX, DISK]
    watch(looks([*WELL, NGINX], both, both, both), 2)
    assert [title for title, _ in sent] == ["encaja production · crm: 1 fault", "encaja production · crm: 1 fault"]
    assert "disk:/" not in sent[0][1] and "nginx" not in sent[1][1]


def test_what_cannot_be_looked_at_has_not_ended(looks: Looks, sent: list[tuple[str, str]]) -> None:
    broken = [*WELL, NGINX]
    blind = [Reading("units", "unknown", "systemctl does not answer"), WELL[1]]
    watch(looks(broken, broken, blind, broken), 3)
    assert len(sent) == 1


def test_begun_and_ended_go_in_one_letter_in_the_clients_language(looks: Looks, sent: list[tuple[str, str]]) -> None:
    job = replace(looks([NGINX], [NGINX], [DISK], [DISK]), language="es")
    watch(job, 2)
    assert sent[0][0].endswith("1 fallo") and sent[1][0].endswith("1 fallo, 1 resueltos")
    assert "qué hacer: du" in sent[1][1] and "duró" in sent[1][1]


def test_a_letter_that_was_not_sent_is_sent_by_the_next_look(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    answers = [EncajaError("away", "crm"), None]

    def tell(_: HealthJob, title: str, __: str) -> None:
        if fault := answers.pop(0):
            raise fault
        sent.append(title)

    monkeypatch.setattr(telling, "tell", tell)
    job = looks([NGINX], [NGINX], [NGINX], [NGINX], [NGINX])
    with pytest.raises(EncajaError, match="away"):
        watch(job)
    watch(job, 2)
    assert len(sent) == 1


def test_power_lost_after_sending_tells_it_twice_rather_than_never(
    looks: Looks, sent: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = looks([NGINX], [NGINX], [NGINX], [NGINX])
    with monkeypatch.context() as cut:
        cut.setattr(Memory, "note", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            watch(job)
    watch(job)
    assert len(sent) == 2


def test_a_torn_memory_is_begun_again(looks: Looks, sent: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"told": {"unit')
    watch(looks([NGINX], [NGINX], [NGINX]), 2)
    assert len(sent) == 1
    assert json.loads((tmp_path / FILE).read_text())["told"].keys() == {NGINX.id}
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_checks_that_cannot_run_end_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portal, "checks", lambda *_: (_ for _ in ()).throw(EncajaError("no PHP", "crm", "role php")))
    memory = Memory(told={"licence-opens": {"since": 0.0, "evidence": "shut", "state": "fault"}})
    memory.remember([Reading("licence-opens", "fault", "shut")], 0.0)
    job = HealthJob("production", "crm", tmp_path, portal={})
    memory.remember(portal.thorough_look(object(), job, memory.last_checks), 1.0)  # type: ignore[arg-type]
    begun, ended = memory.news(memory.last_checks)
    assert [item.id for item in begun] == ["checks"] and ended == []


def test_the_letter_goes_to_apprise_without_secrets_in_its_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apprise").write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\ncat > {tmp_path}/text\nexit $CODE\n'
    )
    (tmp_path / "apprise").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("CODE", "0")
    job = HealthJob("production", "crm", tmp_path, channels=f"{tmp_path}/channels")
    telling.tell(job, "a title", "a text\n")
    assert (tmp_path / "arguments").read_text() == (
        f"--config {tmp_path}/channels --title a title --input-format text\n"
    )
    assert (tmp_path / "text").read_text() == "a text\n"
    monkeypatch.setenv("CODE", "3")
    with pytest.raises(EncajaError, match="could not tell everybody"):
        telling.tell(job, "a title", "a text\n")


def test_the_heartbeat_stops_when_nobody_can_be_told(
    looks: Looks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beat").write_text("https://beat.test/secret\n")
    asked: list[Any] = []
    monkeypatch.setattr(telling, "beat", lambda job: asked.append(Path(job.heartbeat).read_text()))
    job = replace(looks(WELL, [NGINX], [NGINX]), heartbeat=str(tmp_path / "beat"))
    watch(job)
    assert len(asked) == 1
    monkeypatch.setattr(telling, "tell", lambda *_: (_ for _ in ()).throw(EncajaError("away", "crm")))
    with pytest.raises(EncajaError):
        watch(job)
    assert len(asked) == 1


def test_the_heart_beats_where_nobody_is_told(looks: Looks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(telling, "beat", lambda job: asked.append(job.heartbeat))
    watch(replace(looks([NGINX]), channels="", heartbeat=str(tmp_path / "beat")))
    assert asked == [str(tmp_path / "beat")]


def test_a_portal_that_is_away_ends_no_fault_of_its_checks(tmp_path: Path) -> None:
    memory = Memory(told={"licence-opens": {"since": 0.0, "evidence": "shut", "state": "fault"}})
    memory.remember([Reading("licence-opens", "fault", "shut")], 0.0)
    job = HealthJob("production", "crm", tmp_path, portal={})
    memory.remember(portal.thorough_look(None, job, memory.last_checks), 1.0)
    assert memory.news(memory.last_checks) == ([], [])


def test_a_heartbeat_that_is_not_taken_does_not_show_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beat").write_text("https://beat.test/secret\n")
    monkeypatch.setattr(
        urllib.request, "urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("https://beat.test/secret"))
    )
    with pytest.raises(EncajaError) as fault:
        telling.beat(HealthJob("production", "crm", tmp_path, heartbeat=str(tmp_path / "beat")))
    assert "secret" not in str(fault.value)


def test_a_job_of_another_version_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(json.dumps({"state": str(tmp_path), "colour": "blue"}))
    with pytest.raises(ConfigurationError, match="apply the role"):
        commands.read_job(tmp_path / "job.json")
