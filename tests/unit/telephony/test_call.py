"""What recorded channel events of Asterisk mean as calls."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from fake_portal import AGENTS, TRUNKS
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_calls import CUSTOMER, STREAMS, messages, stream

from encaja.telephony import events
from encaja.telephony.call import Call, Summary, summarise
from encaja.telephony.events import Event

NAMES = sorted(path.stem for path in STREAMS.glob("*.txt"))


def fold(happened: list[Event]) -> Summary:
    call = Call(happened[0].linked)
    for event in happened:
        call.fold(event)
    return summarise(call, AGENTS, TRUNKS)


@pytest.mark.parametrize(
    ("name", "direction", "rung", "speaker", "duration", "status"),
    [
        ("answered", "in", (5,), 5, 3, "200"),
        ("second", "in", (5, 6), 6, 2, "200"),
        ("all", "in", (5, 6), 5, 2, "200"),
        ("missed", "in", (5, 6), None, 0, "304"),
        ("gave_up", "in", (5,), None, 0, "304"),
        ("transfer", "in", (5, 6), 6, 5, "200"),
        ("outbound", "out", (), 5, 2, "200"),
    ],
)
def test_a_recorded_call_is_understood(name, direction, rung, speaker, duration, status):
    summary = fold(stream(name))
    assert (summary.direction, summary.rung, summary.speaker) == (direction, rung, speaker)
    assert (summary.duration, summary.status, summary.number) == (duration, status, CUSTOMER)
    assert summary.line.startswith("+3491000000") if direction == "in" else summary.line == ""


def test_a_call_started_by_the_exchange_is_the_agents_call_to_outside():
    """As a click on a number does: first the agent's telephone is called, then the customer's."""
    happened = stream("click")
    summary = fold(happened)
    assert (summary.direction, summary.number, summary.caller, summary.status) == ("out", "+34600999888", 5, "200")
    assert fold(happened[:3]).number == ""
    rang_in_vain = [event for event in happened if event.kind not in ("ANSWER", "BRIDGE_ENTER", "BRIDGE_EXIT")]
    assert (fold(rang_in_vain).number, fold(rang_in_vain).answered) == ("+34600999888", None)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20)
@given(data=st.data())
def test_order_and_repetition_of_events_change_nothing(name, data):
    happened = stream(name)
    again = data.draw(st.lists(st.sampled_from(happened)))
    assert fold(data.draw(st.permutations(happened + again))) == fold(happened)


@pytest.mark.parametrize("name", NAMES)
def test_a_call_survives_being_stored(name):
    call = Call(stream(name)[0].linked)
    for event in stream(name):
        call.fold(event)
    assert Call.from_json(call.to_json()) == call


def test_a_call_that_still_rings_has_no_end():
    happened = stream("answered")
    summary = fold(happened[:2])
    assert (summary.rung, summary.answered, summary.ended) == ((5,), None, None)


def test_the_caller_hanging_up_ends_an_inbound_call_even_if_the_agents_talk_on():
    happened = [event for event in stream("answered") if event.kind != "LINKEDID_END"]
    agent_stays = [event for event in happened if not (event.kind == "CHAN_END" and event.endpoint == "101")]
    assert fold(agent_stays).ended is not None


def test_an_agents_leg_in_a_conversation_without_the_customer_is_no_answer():
    """An agent who is parked, or in a conference of his own, has not answered the customer."""
    happened = [
        event for event in stream("answered") if not (event.kind == "BRIDGE_ENTER" and event.endpoint == "provider")
    ]
    summary = fold(happened)
    assert (summary.answered, summary.status) == (None, "304")


def test_what_the_cause_of_hanging_up_says_does_not_make_a_missed_call_answered():
    """Asterisk's fork of the telephone hangs up with 16, normal clearing, also when another one took the call."""
    happened = [replace(event, cause=16) if event.kind == "HANGUP" else event for event in stream("gave_up")]
    assert fold(happened).status == "304"


def test_a_call_between_telephones_is_internal():
    happened = [event for event in stream("outbound") if event.endpoint == "101" or event.kind == "LINKEDID_END"]
    assert fold(happened).direction == "internal"


@pytest.mark.parametrize(
    ("cause", "dial_status", "status"),
    [
        (17, "BUSY", "486"),
        (0, "NOANSWER", "480"),
        (1, "CHANUNAVAIL", "404"),
        (21, "BUSY", "603"),
        (0, "CANCEL", "603-S"),
    ],
)
def test_outcomes_of_calls_to_outside_that_nobody_answered(cause, dial_status, status):
    at = 1795406469.0
    happened = [
        Event("CHAN_START", at, "101", "1.1", "1.1", "101", "+34600111222"),
        Event("CHAN_START", at, "provider", "1.2", "1.1"),
        Event("HANGUP", at + 5, "provider", "1.2", "1.1", cause=cause),
        Event("CHAN_END", at + 5, "provider", "1.2", "1.1"),
        Event("HANGUP", at + 5, "101", "1.1", "1.1", dial_status=dial_status),
        Event("LINKEDID_END", at + 5, "101", "1.1", "1.1"),
    ]
    summary = fold(happened)
    assert (summary.direction, summary.status, summary.duration) == ("out", status, 0)


def test_a_call_to_outside_lasts_while_another_trunk_may_be_tried():
    at = 1795406469.0
    happened = [
        Event("CHAN_START", at, "101", "1.1", "1.1", "101", "+34600111222"),
        Event("CHAN_START", at, "provider", "1.2", "1.1"),
        Event("CHAN_END", at + 1, "provider", "1.2", "1.1"),
    ]
    assert fold(happened).ended is None


def test_database_and_manager_give_the_same(tmp_path: Path):
    """The rows are those that Asterisk 22.10 wrote for the call in streams/answered.txt."""
    path = tmp_path / "cel.db"
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE cel (AcctId INTEGER PRIMARY KEY, eventtype,eventtime,cidnum,exten,context,channame,uniqueid,"
        "linkedid,extra)"
    )
    for message in messages("answered"):
        fields = {key: value.removeprefix(" ") for key, value in message.items()}
        row = [fields[key] for key in ("EventName", "Timestamp", "CallerIDnum", "Exten", "Context", "Channel")]
        row += [fields[key] for key in ("UniqueID", "LinkedID", "Extra")]
        database.execute(f"INSERT INTO cel VALUES (NULL, {', '.join('?' * 9)})", row)
    database.commit()
    rows = list(events.from_database(path, 0))
    assert [event for _, event in rows] == stream("answered")
    assert events.last_row(path) == rows[-1][0] == len(rows)
    assert [row for row, _ in events.from_database(path, 5)] == list(range(6, len(rows) + 1))
    assert events.forget(path, rows[3][1].time) == 3
    assert len(list(events.from_database(path, 0))) == len(rows) - 3
    database.close()


def test_a_database_that_is_not_there_is_empty(tmp_path: Path):
    assert list(events.from_database(tmp_path / "none.db", 0)) == []
    assert events.last_row(tmp_path / "none.db") == 0
    assert events.forget(tmp_path / "none.db", 1.0) == 0


def test_other_messages_are_no_events():
    assert events.from_manager({"Event": "FullyBooted"}) is None
    assert events.from_manager({"Event": "CEL", "EventName": "APP_START"}) is None


@pytest.mark.parametrize(
    ("channel", "endpoint"),
    [("PJSIP/101-0000002a", "101"), ("PJSIP/my-trunk-0000002a", "my-trunk"), ("Local/5@x-0001;1", ""), ("", "")],
)
def test_endpoints_of_channels(channel, endpoint):
    assert events.endpoint_of(channel) == endpoint
