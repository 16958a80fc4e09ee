"""The portal hears of every call once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_portal import DEFAULT_USER, Clock, FakePortal, serve, settings_for
from recorded_calls import CUSTOMER, relabel, stream

from encaja.telephony import recording, report
from encaja.telephony.events import Event
from encaja.telephony.report import Reporter
from encaja.telephony.rest import TelephonyRest, UnreachableError
from encaja.telephony.spool import Spool

WAV = b"RIFF" + struct.pack("<I", 40) + b"WAVEfmt " + bytes(20) + b"data" + struct.pack("<I", 4) + b"\1\2\3\4"


class Bench:
    """A reporter with everything around it; each ``work`` is a process of its own that dies afterwards."""

    def __init__(self, url: str, folder: Path, clock: Clock, **portal: Any) -> None:
        self.recordings = folder / "monitor"
        self.settings = settings_for(url, folder, recordings=self.recordings, **portal)
        self.clock = clock
        self.folder = folder

    def work(self, happened: list[Event] | tuple[Event, ...] = (), *, times: int = 1) -> None:
        async def once() -> None:
            spool = Spool(self.folder / "calls.db")
            portal = TelephonyRest(self.settings.portal, self.folder)
            reporter = Reporter(self.settings, spool, portal, "exchange")
            for event in happened:
                spool.fold([event])
                await reporter.work("live")
            for _ in range(times):
                await reporter.work("live")
                await reporter.work("recordings")
                await reporter.work("live")
                if times > 1:
                    self.clock.now += 30
            await portal.close()
            spool.close()

        asyncio.run(once())

    def record(self, linked: str, data: bytes = WAV) -> Path:
        path = recording.path_of(self.recordings, linked)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (self.clock.now, self.clock.now))
        return path

    def entry(self, linked: str):
        spool = Spool(self.folder / "calls.db")
        try:
            return spool.get(linked)
        finally:
            spool.close()


Make = Callable[..., AbstractContextManager[tuple[FakePortal, Bench]]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    @contextmanager
    def bench(first: Event, **portal: Any) -> Iterator[tuple[FakePortal, Bench]]:
        clock = Clock(first.time)
        monkeypatch.setattr(report.time, "time", clock.time)
        fake = FakePortal()
        with serve(fake) as url:
            yield fake, Bench(url, tmp_path, clock, **portal)

    return bench


def test_an_answered_call_is_reported_step_by_step(make: Make):
    happened = stream("answered")
    with make(happened[0]) as (portal, bench):
        bench.record(happened[0].linked)
        bench.work(happened)
        assert portal.steps() == ["register", "show", "finish", "attachrecord"]
        register, finish, attach = (portal.bodies(step)[0] for step in ("register", "finish", "attachrecord"))
        assert register == {
            "USER_ID": DEFAULT_USER,
            "PHONE_NUMBER": CUSTOMER,
            "TYPE": 2,
            "CALL_START_DATE": "2026-11-23T03:43:01+00:00",
            "CRM_CREATE": 1,
            "CRM_SOURCE": "CALL",
            "SHOW": 0,
            "EXTERNAL_CALL_ID": f"exchange-{happened[0].linked}",
            "LINE_NUMBER": "+34910000001",
        }
        assert portal.bodies("show") == [{"CALL_ID": "externalCall.1", "USER_ID": [5]}]
        assert finish == {"CALL_ID": "externalCall.1", "USER_ID": 5, "DURATION": 3, "STATUS_CODE": "200"}
        assert attach["FILENAME"] == f"{happened[0].linked}.wav"
        assert base64.b64decode(attach["FILE_CONTENT"]) == WAV
        entry = bench.entry(happened[0].linked)
        assert (entry.report.outcome, entry.report.entity, entry.report.recorded) == ("reported", "LEAD 7", "99")


def test_a_missed_call_is_finished_as_missed_and_has_no_recording(make: Make):
    happened = stream("missed")
    with make(happened[0]) as (portal, bench):
        bench.work(happened)
        assert portal.steps() == ["register", "show", "show", "finish"]
        finish = {"CALL_ID": "externalCall.1", "USER_ID": DEFAULT_USER, "DURATION": 0, "STATUS_CODE": "304"}
        assert portal.bodies("finish") == [finish]


def test_a_caller_who_gives_up_leaves_a_missed_call_with_the_one_whose_telephone_rang(make: Make):
    happened = stream("gave_up")
    with make(happened[0]) as (portal, bench):
        bench.work(happened)
        assert portal.bodies("finish")[0] | {"CALL_ID": ""} == {
            "CALL_ID": "",
            "USER_ID": 5,
            "DURATION": 0,
            "STATUS_CODE": "304",
        }


def test_the_card_goes_from_the_first_agent_to_the_second(make: Make):
    happened = stream("second")
    with make(happened[0]) as (portal, bench):
        bench.record(happened[0].linked)
        bench.work(happened)
        assert portal.steps() == ["register", "show", "show", "hide", "finish", "attachrecord"]
        assert [body["USER_ID"] for body in portal.bodies("show")] == [[5], [6]]
        assert portal.bodies("hide")[0]["USER_ID"] == [5]
        assert portal.bodies("finish")[0]["USER_ID"] == 6


def test_a_transferred_call_belongs_to_whom_it_was_handed_over(make: Make):
    happened = stream("transfer")
    with make(happened[0]) as (portal, bench):
        bench.record(happened[0].linked)
        bench.work(happened)
        assert portal.steps().count("register") == portal.steps().count("finish") == 1
        assert portal.bodies("finish")[0]["USER_ID"] == 6
        assert portal.bodies("finish")[0]["DURATION"] == 5


def test_a_call_to_outside(make: Make):
    happened = stream("outbound")
    with make(happened[0]) as (portal, bench):
        bench.record(happened[0].linked)
        bench.work(happened)
        assert portal.steps() == ["register", "show", "finish", "attachrecord"]
        assert {key: portal.bodies("register")[0][key] for key in ("TYPE", "USER_ID", "PHONE_NUMBER")} == {
            "TYPE": 1,
            "USER_ID": 5,
            "PHONE_NUMBER": CUSTOMER,
        }
        assert "LINE_NUMBER" not in portal.bodies("register")[0]


@pytest.mark.parametrize("name", ["answered", "transfer", "missed"])
@pytest.mark.fault("kill -9: connector", "telephony", "after every event")
def test_dying_after_every_event_loses_nothing_and_doubles_nothing(make: Make, name: str):
    happened = stream(name)
    with make(happened[0]) as (portal, bench):
        bench.record(happened[0].linked)
        for event in happened:
            bench.work([event])
        assert portal.steps().count("register") == portal.steps().count("finish") == 1
        assert portal.steps().count("attachrecord") == (name != "missed")
        assert bench.entry(happened[0].linked).report.outcome == "reported"


def test_events_heard_twice_are_reported_once(make: Make):
    happened = stream("answered")
    with make(happened[0]) as (portal, bench):
        bench.record(happened[0].linked)
        bench.work(happened + happened)
        bench.work(happened)
        assert portal.steps() == ["register", "show", "finish", "attachrecord"]


@pytest.mark.fault("DNS gone", "telephony", "in the middle of a call")
def test_a_portal_whose_name_is_unknown_for_a_while_gets_everything_once(make: Make, monkeypatch: pytest.MonkeyPatch):
    happened, real = stream("answered"), socket.getaddrinfo

    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with make(happened[0]) as (portal, bench):
        named = bench.settings.portal.url.replace("127.0.0.1", "localhost")
        bench.settings = replace(bench.settings, portal=replace(bench.settings.portal, url=named))
        bench.record(happened[0].linked)
        bench.work(happened[:5])
        assert "register" in portal.steps()
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        bench.work(happened[5:])
        assert "finish" not in portal.steps()
        monkeypatch.setattr(socket, "getaddrinfo", real)
        bench.clock.now += 3600
        bench.work(times=2)
        assert (len(portal.statistics), portal.registered) == (1, {})
        assert bench.entry(happened[0].linked).report.outcome == "reported"


@pytest.mark.fault("clock jump", "telephony", "an hour forth and a day back, between any two events")
@pytest.mark.parametrize("jump", [3600.0, -86400.0])
def test_a_clock_that_jumps_in_the_middle_of_a_call_reports_it_once(make: Make, jump: float):
    happened = stream("answered")
    for cut in range(1, len(happened)):
        with make(happened[0]) as (portal, bench):
            bench.folder = bench.folder / f"{cut}"
            bench.folder.mkdir()
            bench.record(happened[0].linked)
            bench.work(happened[:cut])
            bench.clock.now += jump
            bench.work(happened[cut:], times=2)
            bench.clock.now -= jump
            bench.clock.now += 100
            bench.work(times=3)
            assert (len(portal.statistics), portal.registered) == (1, {}), cut
            assert bench.entry(happened[0].linked).report.outcome == "reported", cut


@pytest.mark.fault("portal 500", "telephony", "for an hour")
def test_a_portal_that_is_down_gets_everything_later(make: Make):
    happened = stream("answered")
    with make(happened[0]) as (portal, bench):
        bench.record(happened[0].linked)
        portal.down = True
        bench.work(happened)
        assert portal.requests == []
        portal.down = False
        bench.clock.now += 3600
        bench.work()
        # It rang an hour ago: no card any more. The portal is asked whether it knows the call.
        assert portal.steps() == ["voximplant.statistic.get", "register", "finish", "attachrecord"]


def test_pauses_grow_while_the_portal_is_down(make: Make):
    happened = stream("answered")
    with make(happened[0]) as (portal, bench):
        portal.down = True

        async def pauses() -> list[float]:
            spool = Spool(bench.folder / "calls.db")
            spool.fold(happened)
            client = TelephonyRest(bench.settings.portal, bench.folder)
            reporter = Reporter(bench.settings, spool, client, "exchange")
            found = []
            for _ in range(9):
                found.append(await reporter.work("live"))
                bench.clock.now += found[-1] + 0.01
            await client.close()
            spool.close()
            assert "HTTP 502" in reporter.trouble
            return found

        found = asyncio.run(pauses())
        assert found[0] <= 1.2 < found[1] < found[2] < found[3] < found[4]
        assert max(found) <= report.LONGEST_PAUSE * 1.2


@pytest.mark.parametrize("step", ["register", "finish", "attachrecord"])
@pytest.mark.fault("answer lost", "telephony", "to registering, finishing and attaching")
def test_an_answer_lost_on_the_way_does_not_double_the_call(make: Make, step: str):
    happened = stream("answered")
    with make(happened[0]) as (portal, bench):
        bench.record(happened[0].linked)
        portal.broken_answers = [step]
        bench.work(happened, times=3)
        assert len(portal.statistics) == 1
        assert portal.registered == {}
        assert bench.entry(happened[0].linked).report.outcome == "reported"


@pytest.mark.fault("kill -9: connector", "telephony", "before the answer to finishing")
def test_the_answer_to_finishing_is_lost_and_the_connector_dies(make: Make):
    happened = stream("answered")
    with make(happened[0]) as (portal, bench):
        bench.record(happened[0].linked)
        portal.broken_answers = ["finish"]
        bench.work(happened)
        bench.clock.now += 3600
        bench.work()
        assert portal.steps().count("finish") == 1
        assert bench.entry(happened[0].linked).report.activity == "55"
        assert portal.steps()[-1] == "attachrecord"


def test_two_calls_of_one_customer_at_once_are_two(make: Make):
    first = stream("answered")
    second = relabel(first, "b", 0.5)
    together = sorted(first + second, key=lambda event: event.time)
    with make(first[0]) as (portal, bench):
        bench.record(first[0].linked)
        bench.record(second[0].linked)
        bench.work(together)
        assert [row["EXTERNAL_CALL_ID"] for row in portal.statistics] == [
            f"exchange-{first[0].linked}",
            f"exchange-{second[0].linked}",
        ]
        assert len({row["CALL_ID"] for row in portal.statistics}) == 2


def test_a_portal_that_takes_two_calls_for_one_gets_them_one_after_the_other(make: Make):
    """bitrix-tools/b24-rest-docs #175: the same CALL_ID for calls between the same numbers."""
    first = stream("answered")
    second = relabel(first, "b", 0.5)
    together = sorted(first + second, key=lambda event: event.time)
    with make(first[0]) as (portal, bench):
        portal.knows_external_ids = False
        bench.record(first[0].linked)
        bench.record(second[0].linked)
        bench.work(together, times=4)
        assert len(portal.statistics) == 2
        assert portal.registered == {}
        assert {bench.entry(event.linked).report.outcome for event in (first[0], second[0])} == {"reported"}


@pytest.mark.fault("power loss: database", "telephony", "the portal forgot a call under way")
def test_a_call_that_the_portal_forgot_is_registered_again(make: Make):
    happened = stream("answered")
    with make(happened[0]) as (portal, bench):
        bench.record(happened[0].linked)
        bench.work(happened[:5])
        portal.registered.clear()  # as when another backup is restored in the middle of a call
        bench.work(happened[5:], times=3)
        assert portal.steps().count("register") == 2
        assert len(portal.statistics) == 1
        assert bench.entry(happened[0].linked).report.forgotten == 1


def test_a_user_who_has_left_does_not_lose_the_call(make: Make):
    happened = stream("answered")
    with make(happened[0]) as (portal, bench):
        portal.active_users = {DEFAULT_USER}
        bench.record(happened[0].linked)
        bench.work(happened)
        assert [body["USER_ID"] for body in portal.bodies("finish")] == [5, DEFAULT_USER]
        assert len(portal.statistics) == 1


def test_a_call_that_is_always_refused_is_tried_ever_more_rarely_and_given_up_after_a_week(make: Make):
    happened = stream("missed")
    with make(happened[0]) as (portal, bench):
        portal.active_users = set()
        bench.work(happened)
        first = bench.entry(happened[0].linked).report
        assert (first.attempts, first.outcome) == (1, "")
        assert "User is not found" in first.error
        bench.work()
        assert bench.entry(happened[0].linked).report.attempts == 1
        bench.clock.now += 8 * 86400
        bench.work()
        assert bench.entry(happened[0].linked).report.outcome.startswith("given up")


def test_one_refused_call_does_not_hold_up_the_others(make: Make):
    first = stream("gave_up")
    second = relabel(first, "b", 0.5)
    with make(first[0]) as (portal, bench):
        bench.work(first[:2])
        portal.registered.clear()
        refused = portal.do_register
        portal.do_register = lambda body: (
            refused(body) if body["EXTERNAL_CALL_ID"].endswith("b") else portal.do_missing()
        )  # type: ignore[attr-defined]
        portal.do_missing = lambda: (_ for _ in ()).throw(ValueError("Unsupported phone number format"))  # type: ignore[attr-defined]
        bench.work(first[2:] + second)
        assert [row["EXTERNAL_CALL_ID"] for row in portal.statistics] == [f"exchange-{second[0].linked}"]


def test_a_withheld_number_is_noted_and_not_reported(make: Make):
    happened = [Event(**{**event.__dict__, "number": "anonymous"}) for event in stream("missed")]
    with make(happened[0]) as (portal, bench):
        bench.work(happened)
        assert portal.requests == []
        assert bench.entry(happened[0].linked).report.outcome == "the number is withheld"


def test_a_long_recording_goes_to_the_address_that_the_portal_names(make: Make, monkeypatch: pytest.MonkeyPatch):
    happened = stream("answered")
    monkeypatch.setattr(report, "INLINE_BYTES", 10)
    with make(happened[0]) as (portal, bench):
        bench.record(happened[0].linked)
        bench.work(happened)
        assert len(portal.uploads) == 1
        assert WAV in portal.uploads[0]
        assert "FILE_CONTENT" not in portal.bodies("attachrecord")[0]
        assert bench.entry(happened[0].linked).report.recorded == "100"


def test_a_recording_that_is_still_written_is_waited_for(make: Make):
    happened = stream("answered")
    with make(happened[0]) as (portal, bench):
        path = bench.record(happened[0].linked, WAV[:4] + bytes(4) + WAV[8:])
        bench.work(happened)
        assert "attachrecord" not in portal.steps()
        path.write_bytes(WAV)
        bench.clock.now += 5
        bench.work()
        assert portal.steps()[-1] == "attachrecord"


def test_a_recording_that_never_came_is_said_so(make: Make):
    happened = stream("answered")
    with make(happened[0]) as (_, bench):
        bench.work(happened)
        assert bench.entry(happened[0].linked).report.recorded == ""
        bench.clock.now += report.RECORD_SECONDS + 10
        bench.work()
        assert bench.entry(happened[0].linked).report.recorded == "none: the file is missing"
        assert bench.entry(happened[0].linked).report.outcome == "reported"


def test_a_refused_token_holds_all_calls_until_it_is_right(make: Make, tmp_path: Path):
    happened = stream("missed")
    with make(happened[0]) as (portal, bench):
        portal.tokens = {"another"}
        bench.work(happened)
        assert portal.requests == []

        async def trouble() -> str:
            client = TelephonyRest(bench.settings.portal, tmp_path)
            try:
                await client.call("app.info", {})
            except UnreachableError as fault:
                return str(fault)
            finally:
                await client.close()
            return ""

        assert "token was refused" in asyncio.run(trouble())
        portal.tokens = {"secret-token"}
        bench.clock.now += 100
        bench.work()
        assert portal.steps()[-1] == "finish"
