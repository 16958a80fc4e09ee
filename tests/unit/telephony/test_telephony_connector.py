"""The connector as a whole: it hears, misses, dies, comes back; and its smaller parts."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import stat
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from telephony_support import FakePortal, messages, serve, settings_for, stream

from encaja.errors import ConfigurationError
from encaja.rest.tokens import Application, Tokens
from encaja.telephony import calls, connector, recording, test_call
from encaja.telephony.ami import ManagerClient, ManagerError
from encaja.telephony.connector import Connector
from encaja.telephony.rest import TelephonyRest, UnreachableError
from encaja.telephony.settings import Manager, Settings, read_settings
from encaja.telephony.spool import Spool

PATIENCE = 20.0


class FakeAsterisk:
    """The manager interface and the database of channel events of an Asterisk."""

    def __init__(self, database: Path) -> None:
        self.port = 0
        self.alive: set[str] = set()
        self.logins = 0
        self.silent = False
        self._writers: list[asyncio.StreamWriter] = []
        self._database = database

    def happen(self, message: dict[str, str]) -> None:
        """Write an event to the database, and tell it to who listens."""
        columns = (
            "EventName",
            "Timestamp",
            "CallerIDnum",
            "Exten",
            "Context",
            "Channel",
            "UniqueID",
            "LinkedID",
            "Extra",
        )
        row = [message[key].removeprefix(" ") for key in columns]
        with sqlite3.connect(self._database) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS cel (AcctId INTEGER PRIMARY KEY, eventtype,eventtime,cidnum,exten,context,"
                "channame,uniqueid,linkedid,extra)"
            )
            database.execute(f"INSERT INTO cel VALUES (NULL, {', '.join('?' * 9)})", row)
        database.close()
        linked = row[7]
        (self.alive.discard if row[0] == "LINKEDID_END" else self.alive.add)(linked)
        for writer in self._writers:
            self._send(writer, {key: value.removeprefix(" ") for key, value in message.items()})

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            for writer in self._writers:
                writer.close()
            server.close()
            await server.wait_closed()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        while block := await self._block(reader):
            number = {"ActionID": block["ActionID"]}
            if self.silent:
                continue
            if block["Action"] == "Challenge":
                self._send(writer, {"Response": "Success", "Challenge": "4711", **number})
            elif block["Action"] == "Login":
                key = hashlib.md5(b"4711ami-secret", usedforsecurity=False).hexdigest()
                is_right = block.get("Key") == key and block["Username"] == "encaja"
                answer = {"Response": "Success" if is_right else "Error", "Message": "Authentication failed"}
                self._send(writer, {**answer, **number})
                if is_right:
                    self.logins += 1
                    self._writers.append(writer)
            elif block["Action"] == "CoreShowChannels":
                self._send(writer, {"Response": "Success", "EventList": "start", **number})
                for linked in self.alive:
                    self._send(writer, {"Event": "CoreShowChannel", "Linkedid": linked, **number})
                self._send(writer, {"Event": "CoreShowChannelsComplete", "EventList": "Complete", **number})
        writer.close()

    async def _block(self, reader: asyncio.StreamReader) -> dict[str, str]:
        lines = {}
        while line := (await reader.readline()).decode().strip():
            key, _, value = line.partition(": ")
            lines[key] = value
        return lines

    def _send(self, writer: asyncio.StreamWriter, message: dict[str, str]) -> None:
        writer.write(("".join(f"{key}: {value}\r\n" for key, value in message.items()) + "\r\n").encode())


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


def test_it_tells_what_it_hears(tmp_path: Path, portal: FakePortal):
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
def test_what_happens_while_it_is_dead_is_told_when_it_is_back(tmp_path: Path, portal: FakePortal, cut: int):
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


def test_a_database_made_anew_is_read_from_its_beginning_and_doubles_nothing(tmp_path: Path, portal: FakePortal):
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


@pytest.mark.parametrize(
    ("password", "silent", "says"), [("wrong", False, "Authentication failed"), ("ami-secret", True, "no answer")]
)
def test_a_manager_that_cannot_be_heard_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str, silent: bool, says: str
):
    monkeypatch.setattr("encaja.telephony.ami.ANSWER_SECONDS", 0.2)

    async def scene() -> str:
        asterisk = FakeAsterisk(tmp_path / "cel.db")
        asterisk.silent = silent
        async with asterisk.run():
            client = ManagerClient(Manager("encaja", password, port=asterisk.port))
            try:
                await client.connect()
            except ManagerError as fault:
                return str(fault)
            finally:
                await client.close()
        return ""

    said = asyncio.run(scene())
    assert says in said
    assert "telephony_ami_password" in said
    assert "\n" not in said


def test_nobody_at_the_managers_port():
    with pytest.raises(ManagerError, match=r"127\.0\.0\.1:1"):
        asyncio.run(ManagerClient(Manager("encaja", "x", port=1)).connect())


JOB = {
    "ami": {"user": "encaja", "password": "a"},
    "portal": {"url": "https://portal.example/", "token": "t", "default_user_id": 1},
    "agents": {"101": 5},
    "trunks": ["provider"],
    "cel_database": "/var/lib/asterisk/cel.db",
    "recordings": None,
    "state": "/var/lib/encaja/telephony",
}


def write_job(path: Path, changes: dict[str, Any], mode: int = 0o600) -> Path:
    path.write_text(json.dumps({**JOB, **changes}))
    path.chmod(mode)
    return path


def test_a_job_is_read(tmp_path: Path):
    settings = read_settings(write_job(tmp_path / "job.json", {}))
    assert (settings.portal.url, settings.agents, settings.trunks) == (
        "https://portal.example",
        {"101": 5},
        {"provider"},
    )
    assert settings.recordings is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"agnets": {}}, "unknown: agnets"),
        ({"ami": {"user": "x"}}, "missing: password"),
        ({"portal": {"url": "https://x", "default_user_id": 1}}, "neither token nor oauth"),
        ({"portal": {"url": "portal.example", "token": "t", "default_user_id": 1}}, "no web address"),
        ({"agents": {"101": "five"}}, "must map extensions"),
        ({"ami": []}, "must be an object"),
    ],
)
def test_a_wrong_job_is_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], says: str):
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_settings(write_job(tmp_path / "job.json", changes))
    assert "\n" not in str(caught.value)


def test_a_job_that_others_may_read_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="mode 0644"):
        read_settings(write_job(tmp_path / "job.json", {}, 0o644))


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


def test_tokens_are_renewed_kept_and_begun_anew_by_hand(tmp_path: Path):
    kept = tmp_path / "tokens.json"
    asked: list[str] = []

    class Answer:
        status_code = 200

        def json(self) -> dict[str, str]:
            return {"access_token": f"access{len(asked)}", "refresh_token": f"refresh{len(asked)}"}

    class Client:
        async def get(self, _: str, params: dict[str, str]) -> Answer:
            asked.append(params["refresh_token"])
            return Answer()

    def tokens(refresh: str) -> Tokens:
        return Tokens("", Application("id", "secret", refresh), kept)

    first = tokens("begin")
    asyncio.run(first.renew(Client()))  # type: ignore[arg-type]
    assert (first.access, stat.S_IMODE(kept.stat().st_mode)) == ("access1", 0o600)
    second = tokens("begin")
    assert second.access == "access1"
    asyncio.run(second.renew(Client()))  # type: ignore[arg-type]
    assert asked == ["begin", "refresh1"]
    assert tokens("another").access == ""


def test_a_refused_token_that_cannot_be_renewed_keeps_every_call_waiting(tmp_path: Path, portal: FakePortal):
    portal.tokens = {"another"}

    async def scene(url: str) -> None:
        client = TelephonyRest(settings_for(url, tmp_path).portal, tmp_path)
        try:
            await client.call("telephony.externalcall.register", {})
        finally:
            await client.close()

    with serve(portal) as url, pytest.raises(UnreachableError, match="token was refused") as caught:
        asyncio.run(scene(url))
    assert "secret-token" not in str(caught.value)


def wav(samples: bytes, *, riff: int | None = None) -> bytes:
    sizes = (36 + len(samples) if riff is None else riff, len(samples) if riff is None else 0)
    return (
        b"RIFF"
        + struct.pack("<I", sizes[0])
        + b"WAVEfmt "
        + bytes(20)
        + b"data"
        + struct.pack("<I", sizes[1])
        + samples
    )


def test_recordings_are_found_by_the_calls_id():
    assert recording.path_of(Path("/m"), "1795406600.20") == Path("/m/2026/11/23/1795406600.20.wav")


@pytest.mark.parametrize(
    ("data", "age", "expected"),
    [
        (wav(b"\1\2\3\4"), 0, wav(b"\1\2\3\4")),
        (wav(b"\1\2\3\4", riff=0), 0, None),
        (wav(b"\1\2\3\4", riff=0), 100, wav(b"\1\2\3\4")),
        (wav(b""), 100, b""),
        (b"", 0, None),
        (b"RI", 100, b""),
    ],
    ids=["complete", "being written", "left behind", "silent", "just made", "cut off"],
)
def test_recordings_are_read_when_complete(tmp_path: Path, data: bytes, age: float, expected: bytes | None):
    path = tmp_path / "x.wav"
    path.write_bytes(data)
    assert recording.read(path, path.stat().st_mtime + age) == expected


def test_a_trial_says_what_is_there_and_what_is_missing(tmp_path: Path):
    settings = settings_for("https://portal.example", tmp_path)
    spool = Spool(tmp_path / "calls.db")
    spool.fold(stream("answered"))
    [entry] = spool.recent()
    call = calls.describe(entry, settings)
    waiting = test_call.evaluate(call, recorded=True)
    assert [step.passed for step in waiting] == [True, None, False, True, None, None, None]
    assert not test_call.is_settled(waiting)
    entry.report.call_id, entry.report.shown, entry.report.recorded = "externalCall.1", [5], "99"
    entry.report.entity, entry.report.created, entry.report.finished, entry.report.activity = "LEAD 7", True, 1.0, "55"
    spool.save_report(entry)
    call = calls.describe(spool.recent()[0], settings)
    call["portal"] = {"CALL_DURATION": "3", "CALL_FAILED_CODE": "200"}
    done = test_call.evaluate(call, recorded=True)
    assert [step.passed for step in done] == [True] * 7
    assert test_call.is_settled(done)
    assert "externalCall.1, LEAD 7 (new)" in {step.detail for step in done}
    call["portal"] = {"CALL_DURATION": "30"}
    assert [asdict(step)["name"] for step in test_call.evaluate(call, recorded=False) if not step.passed] == [
        "the portal's statistics agree"
    ]
    spool.close()
