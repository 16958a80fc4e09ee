"""What the rules make of a copy: live rows become harmless, and nothing is covered that no rule covers."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from encaja.errors import EncajaError
from encaja.portal import neutralise
from encaja.portal.neutralise import OWN, apply, live, unfit_rules, unknown_secrets
from encaja.portal.serialized import serialize, unserialize
from support.memory_database import MemoryDatabase

BOXES = "ID int PRIMARY KEY, ACTIVE char, PASSWORD varchar"
MAILBOXES = {"id": "mailboxes", "table": "b_mail_mailbox", "live": "ACTIVE = 'Y'", "make": "ACTIVE = 'N'"}
FRESH = {"id": "keys", "fresh": ["main.server_uniq_id", "main.signer"]}


def options(database: MemoryDatabase) -> dict[str, Any]:
    return {f"{module}.{name}": value for module, name, value in database.all("b_option")}


def rule(kind: str, value: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"id": "one", kind: value, **more}]


def test_live_rows_become_harmless_and_the_others_stay() -> None:
    database = MemoryDatabase(b_mail_mailbox=BOXES)
    database.put("b_mail_mailbox", (1, "Y", "a"), (2, "N", "b"), (3, "Y", "c"))
    [looked] = apply(database, [MAILBOXES], check=True)
    assert (looked.rows, looked.state, database.all("b_mail_mailbox")[0]) == (2, "changed", (1, "Y", "a"))
    assert database.log == [], "check mode runs nothing"
    assert live(database, [MAILBOXES]) == {"mailboxes": 2}
    [done] = apply(database, [MAILBOXES], check=False)
    assert (done.rows, done.state, done.as_dict()["id"]) == (2, "changed", "mailboxes")
    assert database.all("b_mail_mailbox") == [(1, "N", "a"), (2, "N", "b"), (3, "N", "c")]
    assert live(database, [MAILBOXES]) == {}
    [again] = apply(database, [MAILBOXES], check=False)
    assert (again.rows, again.state, len(database.log)) == (0, "neutral", 1)


def test_a_rule_may_delete_live_rows_alone() -> None:
    database = MemoryDatabase(b_mail_mailbox=BOXES)
    database.put("b_mail_mailbox", (1, "Y", "a"), (2, "N", "b"))
    apply(database, [{"id": "x", "table": "b_mail_mailbox", "live": "ACTIVE = 'Y'", "delete": True}], check=False)
    assert database.all("b_mail_mailbox") == [(2, "N", "b")]


def test_what_is_still_live_after_its_rule_ran_is_told() -> None:
    database = MemoryDatabase(b_mail_mailbox=BOXES)
    database.put("b_mail_mailbox", (1, "Y", "a"))
    weak = {**MAILBOXES, "make": "PASSWORD = ''"}
    with pytest.raises(EncajaError, match="still live: mailboxes"):
        apply(database, [weak], check=False)
    assert apply(database, [weak], check=True)[0].rows == 1


@pytest.mark.parametrize(
    ("more", "state"),
    [({"table": "b_other"}, "absent"), ({"needs": ["CALENDAR"]}, "absent"), ({"needs": ["PASSWORD"]}, "changed")],
)
def test_a_rule_applies_where_its_table_and_columns_are(more: dict[str, Any], state: str) -> None:
    database = MemoryDatabase(b_mail_mailbox=BOXES)
    database.put("b_mail_mailbox", (1, "Y", "a"))
    rules = [{**MAILBOXES, **more}]
    assert (apply(database, rules, check=False)[0].state, live(database, rules)) == (state, {})


def test_a_key_of_its_own_is_made_once_and_production_s_is_never_taken_for_it() -> None:
    database = MemoryDatabase()
    database.put("b_option", ("main", "server_uniq_id", "production's"))
    assert live(database, [FRESH]) == {"keys": 2}
    apply(database, [FRESH], check=False)
    first = options(database)
    own = first["main.server_uniq_id"]
    assert own != "production's" and len(own) == 64 != first["main.signer"]
    assert first["encaja.own_main.server_uniq_id"] == hashlib.sha256(own.encode()).hexdigest()
    assert apply(database, [FRESH], check=False)[0].rows == 0
    assert options(database) == first
    # Another copy brought production's value again; the note of the first copy's key is still there.
    database.execute("UPDATE b_option SET VALUE = %s WHERE NAME = %s", "production's", "server_uniq_id")
    assert live(database, [FRESH]) == {"keys": 1}
    assert apply(database, [FRESH], check=False)[0].rows == 1
    second = options(database)
    assert second["main.server_uniq_id"] not in {"production's", own}
    assert second["main.signer"] == first["main.signer"], "what is the copy's own stays"
    database.execute("DELETE FROM b_option WHERE NAME = %s", "signer")
    assert live(database, [FRESH]) == {"keys": 1}, "a note alone is no key"


def test_check_mode_makes_no_key() -> None:
    database = MemoryDatabase()
    assert apply(database, [FRESH], check=True)[0].rows == 2
    assert options(database) == {}


def test_options_have_their_value_everywhere_or_are_gone() -> None:
    database = MemoryDatabase(b_option_site="MODULE_ID varchar, NAME varchar, SITE_ID char, VALUE text")
    database.put(
        "b_option", ("pull", "push", "Y"), ("pull", "pushx", "Y"), ("pull", "path_to_ws", "wss"), ("im", "push", "Y")
    )
    database.put("b_option", ("pull", "pathxtoxws", "1"), ("sms", "sender.a", "x"), ("sms", "sender.b", "x"))
    database.put("b_option_site", ("pull", "push", "s1", "Y"), ("pull", "push", "s2", "Y"), ("im", "push", "s1", "Y"))
    wanted = {"pull.push": "N", "pull.path_to_ws": None, "sms.sender.*": None, "sms.sender.b": "kept", "main.new": 5}
    rules = rule("options", wanted)
    assert live(database, rules) == {"one": 6}
    assert apply(database, rules, check=True)[0].rows == 6
    assert options(database)["pull.push"] == "Y"
    apply(database, rules, check=False)
    assert options(database) == {
        "pull.push": "N", "pull.pushx": "Y", "im.push": "Y", "pull.pathxtoxws": "1", "sms.sender.b": "kept",
        "main.new": "5",
    }  # fmt: skip
    assert database.all("b_option_site") == [("im", "push", "s1", "Y")]
    assert apply(database, rules, check=False)[0].rows == 0


def test_without_options_it_is_no_portals_database() -> None:
    database = MemoryDatabase()
    database._types = {}
    with pytest.raises(EncajaError, match="no table b_option"):
        apply(database, [FRESH], check=True)


def test_emptied_columns_are_empty_and_rows_with_a_unique_one_go() -> None:
    database = MemoryDatabase(
        b_call="ID int, LOGIN varchar, PASSWORD varchar, TITLE varchar",
        b_token="ID int, TOKEN varchar UNIQUE, TITLE varchar",
    )
    database.put("b_call", (1, "l", "", "t"), (2, None, None, "t"), (3, "", "p", "t"))
    database.put("b_token", (1, "a", "t"), (2, "b", "t"), (3, None, "t"))
    rules = [
        {"id": "calls", "table": "b_call", "empty": ["LOGIN", "PASSWORD", "ABSENT"]},
        {"id": "tokens", "table": "b_token", "empty": ["TOKEN"]},
        {"id": "absent", "table": "b_call", "empty": ["ABSENT"]},
    ]
    assert [one.rows for one in apply(database, rules, check=False)] == [2, 2, 0]
    assert database.all("b_call") == [(1, "", "", "t"), (2, None, None, "t"), (3, "", "", "t")]
    assert database.all("b_token") == [(3, None, "t")]
    assert apply(database, rules, check=False)[2].state == "absent"


def test_a_sweep_finds_columns_by_their_names_but_for_what_is_spared() -> None:
    columns = "ID int, API_TOKEN varchar, TITLE varchar, TOKEN_COUNT int"
    database = MemoryDatabase(b_bot=columns, b_bot_log=columns, b_other=columns)
    for table in ("b_bot", "b_bot_log", "b_other"):
        database.put(table, (1, "secret", "t", 7))
    sweep = rule("sweep", ["b_bot*"], but=["b_bot_log"])
    assert apply(database, sweep, check=False)[0].rows == 1
    assert [database.all(table)[0][1] for table in ("b_bot", "b_bot_log", "b_other")] == ["", "secret", "secret"]
    assert database.all("b_bot")[0] == (1, "", "t", 7), "a number holds no credential"
    spared = rule("sweep", ["b_*"], but=["b_bot_log.API_TOKEN", "b_other.API_TOKEN"])
    assert apply(database, spared, check=False)[0].state == "neutral"


@pytest.mark.parametrize("key", ["ID int PRIMARY KEY", "ID int"])
def test_credentials_inside_a_value_go_and_the_rest_stays(key: str) -> None:
    database = MemoryDatabase(b_imconnector=f"{key}, SETTINGS text, TITLE varchar")
    made = serialize({"token": "s3cr3t", "title": "kept"}).decode()
    as_json = json.dumps({"password": "s3cr3t", "n": 1})
    database.put("b_imconnector", (1, made, "t"), (2, as_json, "t"), (3, "plain", "t"), (4, made, "t"), (5, None, "t"))
    scrub = rule("scrub", ["SETTINGS"], table="b_imconnector")
    assert live(database, scrub) == {"one": 3}
    assert apply(database, scrub, check=True)[0].rows == 3
    assert database.all("b_imconnector")[0][1] == made
    apply(database, scrub, check=False)
    rows = database.all("b_imconnector")
    assert "s3cr3t" not in str(rows)
    assert unserialize(rows[0][1]) == {"token": "", "title": "kept"}
    assert (rows[2], rows[4]) == ((3, "plain", "t"), (5, None, "t"))
    assert live(database, scrub) == {}


def test_a_walk_looks_into_containers_of_tables_that_fit_alone() -> None:
    columns = "ID int PRIMARY KEY, SETTINGS text, TITLE text"
    database = MemoryDatabase(b_bot=columns, b_other=columns)
    made = serialize({"token": "s3cr3t"}).decode()
    for table in ("b_bot", "b_other"):
        database.put(table, (1, made, made))
    assert apply(database, rule("walk", ["b_bot"]), check=False)[0].rows == 1
    assert database.all("b_bot")[0][1:] == (serialize({"token": ""}).decode(), made)
    assert database.all("b_other")[0][1] == made


def test_a_value_that_cannot_be_read_is_named_and_stays() -> None:
    database = MemoryDatabase(b_bot="ID int PRIMARY KEY, SETTINGS text")
    broken = 'a:2:{s:5:"token";s:6:"s3cr3t";'
    database.put("b_bot", (7, broken))
    [done] = apply(database, rule("scrub", ["SETTINGS"], table="b_bot"), check=False)
    assert (done.rows, database.all("b_bot")) == (0, [(7, broken)])
    [unread] = done.unread
    assert unread.startswith("b_bot.SETTINGS[7]: ")


def test_a_rule_that_cannot_be_run_is_found_without_running_it() -> None:
    database = MemoryDatabase(b_mail_mailbox=BOXES)
    database.put("b_mail_mailbox", (1, "Y", "a"))
    bad = {**MAILBOXES, "id": "bad", "make": "NOSUCH = 1"}
    elsewhere = {**MAILBOXES, "id": "absent", "table": "b_none", "make": "NOSUCH = 1"}
    [fault] = unfit_rules(database, [MAILBOXES, bad, elsewhere])
    assert fault.startswith("rule bad: ") and "NOSUCH" in fault
    assert database.all("b_mail_mailbox") == [(1, "Y", "a")]


def filled() -> MemoryDatabase:
    """A portal with a credential or a foreign address in many places."""
    database = MemoryDatabase(
        b_mail_mailbox="ID int, ACTIVE char, PASSWORD varchar, SERVER varchar",
        b_bot="ID int PRIMARY KEY, SETTINGS text, API_TOKEN varchar",
        b_empty="ID int, PASSWORD varchar, SETTINGS text, SERVER varchar",
        b_lang="LID char, SERVER_NAME varchar",
    )
    database.put("b_mail_mailbox", (1, "Y", "secret", "imap.world.test"))
    database.put("b_bot", (1, serialize({"token": "s3cr3t"}).decode(), "secret"))
    database.put("b_empty", (1, "", None, "N"), (2, None, serialize({"a": "b"}).decode(), "crm.acme.test"))
    database.put("b_lang", ("s1", "crm.acme.test"))
    return database


def test_what_no_rule_covers_is_named() -> None:
    assert unknown_secrets(filled(), [], []) == [
        "b_bot.SETTINGS", "b_bot.API_TOKEN", "b_mail_mailbox.PASSWORD", "b_mail_mailbox.SERVER",
    ]  # fmt: skip
    assert unknown_secrets(filled(), [], ["b_bot", "b_mail_mailbox.PASSWORD"]) == ["b_mail_mailbox.SERVER"]


def test_a_rule_covers_the_columns_that_it_sets_and_its_table_when_it_deletes() -> None:
    sets = {**MAILBOXES, "make": "ACTIVE = 'N', PASSWORD = ''"}
    assert unknown_secrets(filled(), [sets], ["b_bot"]) == ["b_mail_mailbox.SERVER"]
    deletes = {"id": "d", "table": "b_mail_mailbox", "live": "1", "delete": True}
    assert unknown_secrets(filled(), [deletes], ["b_bot"]) == []
    empties = {"id": "e", "table": "b_mail_mailbox", "empty": ["PASSWORD"]}
    assert unknown_secrets(filled(), [empties], ["b_bot"]) == ["b_mail_mailbox.SERVER"]
    swept = {"id": "s", "sweep": ["b_bot"]}
    assert unknown_secrets(filled(), [swept], ["b_mail_mailbox"]) == ["b_bot.SETTINGS"]
    walked = {"id": "w", "walk": ["b_bot"]}
    assert unknown_secrets(filled(), [walked], ["b_mail_mailbox"]) == ["b_bot.API_TOKEN"]


def test_a_rule_that_does_not_apply_covers_nothing() -> None:
    for needs in (["NOSUCH"], ["ID", "NOSUCH"]):
        deletes = {"id": "d", "table": "b_mail_mailbox", "live": "1", "delete": True, "needs": needs}
        assert unknown_secrets(filled(), [deletes], ["b_bot"]) == ["b_mail_mailbox.PASSWORD", "b_mail_mailbox.SERVER"]
        sets = {**MAILBOXES, "make": "PASSWORD = ''", "needs": needs}
        assert "b_mail_mailbox.PASSWORD" in unknown_secrets(filled(), [sets], ["b_bot"])


KEY = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("main.app_secret", "x", True),
        ("main.app_secret", "N", False),
        ("main.plain", KEY, True),
        ("main.plain", KEY[1:], False),
        ("main.plain", "just words", False),
        ("main.handler_url", "https://partner.test/x", True),
        ("main.handler_url", "https://crm.acme.test/x", False),
        ("main.title", "https://partner.test/x", False),
        ("main.plain", serialize({"token": "s3cr3t"}).decode(), True),
        ("encaja.own_main.key", KEY, False),
    ],
)
def test_options_that_look_like_credentials_or_endpoints_are_named(name: str, value: str, named: bool) -> None:
    database = filled()
    module, _, short = name.partition(".")
    database.put("b_option", (module, short, value), ("main", "server_name", "crm.acme.test"))
    spared = ["b_bot", "b_mail_mailbox"]
    assert unknown_secrets(database, [], spared) == ([f"option {name}"] if named else [])
    assert unknown_secrets(database, [], [*spared, name]) == []
    assert unknown_secrets(database, rule("options", {name: None}), spared) == []
    assert unknown_secrets(database, rule("options", {f"{module}.*": None}), spared) == []
    assert unknown_secrets(database, rule("fresh", [name]), spared) == []
    assert unknown_secrets(database, rule("options", {f"{name}x": None}), spared) == (
        [f"option {name}"] if named else []
    )


def test_an_option_of_a_site_alone_is_named_too() -> None:
    database = MemoryDatabase(b_option_site="MODULE_ID varchar, NAME varchar, SITE_ID char, VALUE text")
    database.put("b_option_site", ("main", "app_secret", "s1", "x"), ("main", "app_secret", "s2", "y"))
    assert unknown_secrets(database, [], ["b_option_site"]) == ["option main.app_secret"]


def test_own_hosts_are_no_endpoints() -> None:
    database = filled()
    database.put("b_option", ("main", "server_name", "crm.acme.test"))
    assert neutralise._own_hosts(database, database.columns()) == ["crm.acme.test"]
    database.put("b_lang", ("s2", "two.acme.test"))
    assert set(neutralise._own_hosts(database, database.columns())) == {"crm.acme.test", "two.acme.test"}
    assert OWN == "encaja.own_"
