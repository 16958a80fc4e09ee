"""The connector as a whole: it hears, misses, dies, comes back; and its smaller parts."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_asterisk import FakeAsterisk
from fake_portal import FakePortal, serve, settings_for
from recorded_calls import messages
from test_telephony_settings import write_job

from encaja.telephony import connector
from encaja.telephony.connector import Connector
from encaja.telephony.settings import Manager, Settings
from encaja.telephony.spool import Spool

PATIENCE = 20.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded calls are of the past: take them as of now, and look often."""
    monkeypatch.setattr(connector, "FIRST_LOOK_SECONDS", 1e12)
    monkeypatch.setattr(connector, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(connector, "STATUS_SECONDS", 0.05)


def settings_with(url: str, folder: Path, asterisk: FakeAsterisk) -> Settings:
    settings = settings_for(url, folder)
    return Settings(**{**vars(settings), "ami": Manager("encaja", "ami-secret", port=asterisk.port)})


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[None]:
    task = asyncio.create_task(Connector(settings).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def status(folder: Path) -> dict[str, Any]:
    path = folder / "status.json"
    return json.loads(path.read_text()) if path.exists() else {"phase": ""}


def test_it_reports_what_it_receives(tmp_path: Path, portal: FakePortal):
    async def scene(url: str) -> None:
        asterisk = FakeAsterisk(tmp_path / "cel.db")
        async with asterisk.run(), running(settings_with(url, tmp_path, asterisk)):
            await until(lambda: status(tmp_path)["phase"] == "listening")
            for message in messages("missed"):
                asterisk.happen(message)
            await until(lambda: status(tmp_path)["done"] == 1)
        assert status(tmp_path)["phase"] == "stopped"

    with serve(portal) as url:
        asyncio.run(scene(url))
    assert portal.steps().count("register") == portal.steps().count("finish") == 1


@pytest.mark.parametrize("cut", [1, 3, 6, 9])
@pytest.mark.fault("interrupt: connector", "telephony", "in the middle of a call, which ends meanwhile")
def test_what_happens_while_it_is_dead_is_reported_when_it_is_back(tmp_path: Path, portal: FakePortal, cut: int):
    happened = messages("missed")

    async def scene(url: str) -> None:
        asterisk = FakeAsterisk(tmp_path / "cel.db")
        async with asterisk.run():
            settings = settings_with(url, tmp_path, asterisk)
            async with running(settings):
                await until(lambda: asterisk.logins == 1)
                for message in happened[:cut]:
                    asterisk.happen(message)
                await until(lambda: "register" in portal.steps())
            for message in happened[cut:]:
                asterisk.happen(message)
            async with running(settings):
                await until(lambda: "finish" in portal.steps())

    with serve(portal) as url:
        asyncio.run(scene(url))
    # It may have died between asking and hearing the answer; asking again is not a second call.
    assert len(portal.statistics) == 1
    assert portal.registered == {}


@pytest.mark.fault("kill -9: connector", "telephony", "at random moments of five calls")
def test_killed_at_random_moments_each_call_is_reported_once(tmp_path: Path, portal: FakePortal):
    chance = random.Random(5)
    names = ["missed", "answered", "gave_up", "second", "transfer"]

    async def scene(url: str) -> None:
        asterisk = FakeAsterisk(tmp_path / "cel.db")
        async with asterisk.run():
            settings = settings_with(url, tmp_path, asterisk)
            for name in names:
                connector = multiprocessing.get_context("fork").Process(target=work, args=(settings,))
                connector.start()
                logins = asterisk.logins
                await until(lambda before=logins: asterisk.logins > before)  # type: ignore[misc]
                for message in messages(name):
                    asterisk.happen(message)
                    await asyncio.sleep(chance.uniform(0, 0.02))
                    if chance.random() < 0.2:
                        connector.kill()
                await asyncio.sleep(chance.uniform(0, 0.2))
                connector.kill()
                await asyncio.to_thread(connector.join)
            async with running(settings):
                await until(lambda: len(portal.statistics) == len(names) and not portal.registered)

    def work(settings: Settings) -> None:
        asyncio.run(Connector(settings).run())

    with serve(portal) as url:
        asyncio.run(scene(url))
    assert len({row["EXTERNAL_CALL_ID"] for row in portal.statistics}) == len(portal.statistics) == len(names)


@pytest.mark.fault("disk full", "telephony", "in the middle of a call")
def test_a_full_disk_stops_it_and_nothing_is_lost(tmp_path: Path, portal: FakePortal, monkeypatch: pytest.MonkeyPatch):
    happened, real, full = messages("missed"), Spool.fold, [False]

    def fold(spool: Spool, *given: Any, **more: Any) -> list[str]:
        pages = spool._database.execute("PRAGMA page_count").fetchone()[0] if full[0] else 1 << 30
        spool._database.execute(f"PRAGMA max_page_count = {pages}")
        if full[0]:  # what SQLite says of a disk without room
            spool._database.execute("CREATE TABLE filler AS SELECT randomblob(1 << 20)")
        return real(spool, *given, **more)

    monkeypatch.setattr(Spool, "fold", fold)

    async def scene(url: str) -> None:
        asterisk = FakeAsterisk(tmp_path / "cel.db")
        async with asterisk.run():
            settings = settings_with(url, tmp_path, asterisk)
            task = asyncio.create_task(Connector(settings).run())
            await until(lambda: asterisk.logins == 1)
            for message in happened[:3]:
                asterisk.happen(message)
            await until(lambda: "register" in portal.steps())
            full[0] = True
            for message in happened[3:]:
                asterisk.happen(message)
            with pytest.raises(ExceptionGroup) as caught:
                await asyncio.wait_for(task, PATIENCE)
            assert isinstance(caught.value.exceptions[0], sqlite3.OperationalError)
            full[0] = False
            async with running(settings):  # as systemd starts it again
                await until(lambda: "finish" in portal.steps())

    with serve(portal) as url:
        asyncio.run(scene(url))
    assert len(portal.statistics) == 1
    assert portal.registered == {}


@pytest.mark.fault("network cut", "telephony", "to the exchange, while people call")
def test_it_comes_back_to_an_asterisk_that_was_away(tmp_path: Path, portal: FakePortal):
    happened = messages("missed")

    async def scene(url: str) -> None:
        asterisk = FakeAsterisk(tmp_path / "cel.db")
        async with asterisk.run(), running(settings_with(url, tmp_path, asterisk)):
            await until(lambda: asterisk.logins == 1)
            asterisk.hang_up()
            for message in happened:
                asterisk.happen(message)
            await until(lambda: "finish" in portal.steps() and asterisk.logins == 2)

    with serve(portal) as url:
        asyncio.run(scene(url))


@pytest.mark.fault("kill -9: exchange", "telephony", "in the middle of a call")
def test_a_call_that_asterisk_lost_is_finished_all_the_same(tmp_path: Path, portal: FakePortal):
    async def scene(url: str) -> None:
        asterisk = FakeAsterisk(tmp_path / "cel.db")
        async with asterisk.run(), running(settings_with(url, tmp_path, asterisk)):
            await until(lambda: asterisk.logins == 1)
            for message in messages("answered")[:6]:
                asterisk.happen(message)
            await until(lambda: "register" in portal.steps())
            assert "finish" not in portal.steps()
            asterisk.alive.clear()  # it crashed, and has no channels after its start
            await until(lambda: "finish" in portal.steps())

    with serve(portal) as url:
        asyncio.run(scene(url))
    assert portal.bodies("finish")[0]["STATUS_CODE"] == "200"


@pytest.mark.fault("power loss: host", "telephony", "the exchange's list of calls is lost")
def test_a_database_recreated_is_read_from_its_beginning_and_doubles_nothing(tmp_path: Path, portal: FakePortal):
    async def scene(url: str) -> None:
        asterisk = FakeAsterisk(tmp_path / "cel.db")
        async with asterisk.run():
            settings = settings_with(url, tmp_path, asterisk)
            for message in messages("missed"):
                asterisk.happen(message)
            async with running(settings):
                await until(lambda: status(tmp_path).get("done") == 1)
            (tmp_path / "cel.db").unlink()
            for message in messages("gave_up"):
                asterisk.happen(message)
            async with running(settings):
                await until(lambda: status(tmp_path).get("done") == 2)

    with serve(portal) as url:
        asyncio.run(scene(url))
    assert portal.steps().count("register") == portal.steps().count("finish") == 2


@pytest.mark.fault("power loss: connector", "telephony", "everything that it knew is lost")
def test_a_lost_spool_does_not_double_what_the_portal_has(tmp_path: Path, portal: FakePortal):
    async def scene(url: str) -> None:
        asterisk = FakeAsterisk(tmp_path / "cel.db")
        async with asterisk.run():
            settings = settings_with(url, tmp_path, asterisk)
            for message in messages("missed"):
                asterisk.happen(message)
            for _ in range(2):
                async with running(settings):
                    await until(lambda: status(tmp_path).get("done") == 1)
                for path in tmp_path.glob("calls.db*"):
                    path.unlink()
                (tmp_path / "status.json").unlink()

    with serve(portal) as url:
        asyncio.run(scene(url))
    assert len(portal.statistics) == 1
    assert portal.steps().count("finish") == 1


def test_two_connectors_do_not_work_on_one_state(tmp_path: Path):
    job = write_job(tmp_path / "job.json", {"state": str(tmp_path), "ami": {"user": "e", "password": "a", "port": 1}})
    command = [sys.executable, "-m", "encaja.host_tools", "telephony", str(job)]
    root = Path(connector.__file__).parents[2]
    first = subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE)
    try:
        assert first.stderr is not None
        assert b"manager interface" in first.stderr.readline()
        second = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert "another connector is running" in second.stderr
        assert len(second.stderr.splitlines()) == 1
    finally:
        first.terminate()
        assert first.wait() == 0
        first.stderr.close()
