from __future__ import annotations

import json
from typing import Any

import pytest

from encaja.compare.differences import compare, rules, window
from encaja.compare.environments import Environment
from encaja.errors import ConfigurationError
from support.host_snapshots import GIB8, snapshot


def both(
    left: dict[str, dict[str, str]], right: dict[str, dict[str, str]], drift: float = 0.0, **more: Any
) -> dict[str, Any]:
    a = Environment.of("production", {"a": snapshot("crm.acme.es", left)})
    b = Environment.of("preproduction", {"b": snapshot("pre.acme.es", right, **more)})
    return compare(a, b, rules(), drift).as_dict()


def found(body: dict[str, Any]) -> dict[str, tuple[str | None, str | None]]:
    return {row["name"]: (row["a"], row["b"]) for row in body["found"]}


def test_a_real_difference_is_found_in_every_direction() -> None:
    body = both(
        {"options": {"main.x": "1", "main.gone": "y", "main.same": "s"}, "packages": {"nginx": "1.26"}},
        {"options": {"main.x": "2", "main.new": "z", "main.same": "s"}, "packages": {"nginx": "1.22"}},
    )
    assert found(body) == {
        "main.x": ("1", "2"), "main.gone": ("y", None), "main.new": (None, "z"), "nginx": ("1.26", "1.22"),
    }  # fmt: skip
    assert body["differences"] == 4
    assert body["kind"] == "compare"
    options = next(row for row in body["sections"] if row["section"]["en"] == "options")
    assert (options["compared"], options["equal"], options["different"]) == (4, 1, 3)


def test_a_value_whose_credentials_were_emptied_is_as_neutralisation_leaves_it_and_shown_nowhere() -> None:
    def exchange(token: str, server: str = "mx.acme.es") -> dict[str, dict[str, str]]:
        return {"options": {"acme.exchange": json.dumps({"state": {"refresh_token": token, "server": server}})}}

    original = exchange("hunter2")
    assert found(both(original, exchange(""), neutral={"options": []})) == {}
    assert found(both(original, exchange(""))) == {"acme.exchange": ("(secret)", "(secret, another one)")}
    for other in (exchange("hunter3"), exchange("", "mx.else.es")):
        assert found(both(original, other, neutral={"options": []})) == {
            "acme.exchange": ("(secret)", "(secret, another one)")
        }


def test_own_names_keys_server_state_and_work_are_folded() -> None:
    body = both(
        {"options": {"main.server_name": "crm.acme.es"}, "files": {".settings.php: pull.value.signature_key": "k1"},
         "mariadb": {"server_uid": "u1"}, "counts": {"b_event_log": "10"}},
        {"options": {"main.server_name": "pre.acme.es"}, "files": {".settings.php: pull.value.signature_key": "k2"},
         "mariadb": {"server_uid": "u2"}, "counts": {"b_event_log": "4"}},
    )  # fmt: skip
    assert body["differences"] == 0
    assert sum(row["count"] for row in body["expected"]) == 4


def test_secrets_are_equal_or_different_and_never_shown() -> None:
    body = both(
        {"options": {"acme.api_token": "hunter2", "acme.password": "same"}, "files": {"dbconn.php: ACME_KEY": "one"}},
        {"options": {"acme.api_token": "hunter3", "acme.password": "same"}, "files": {}},
    )
    assert found(body) == {
        "acme.api_token": ("(secret)", "(secret, another one)"),
        "dbconn.php: ACME_KEY": ("(secret)", None),
    }
    assert "hunter" not in json.dumps(body)


def test_only_what_neutralisation_set_is_folded_and_only_on_a_marked_copy() -> None:
    left = {"options": {"main.check_agents": "Y", "main.y": "1"}, "counts": {"b_rest_event": "9", "b_crm_lead": "9"}}
    right = {"options": {"main.check_agents": "N", "main.y": "2"}, "counts": {"b_rest_event": "0", "b_crm_lead": "8"}}
    neutral = {"options": ["main.check_agents"], "counts": ["b_rest_event"], "schedule": []}
    assert set(found(both(left, right, neutral=neutral))) == {"main.y", "b_crm_lead"}
    assert len(both(left, right)["found"]) == 4
    more = {**right, "counts": {"b_rest_event": "10", "b_crm_lead": "9"}}
    assert "b_rest_event" in found(both(left, more, neutral=neutral))
    gone = {"options": {"pull.shared_key": "k", "pull.x": "1", "pullx.y": "1"}}
    assert set(found(both(gone, {}, neutral={"options": ["pull.*"]}))) == {"pullx.y"}


@pytest.mark.parametrize(
    ("rows", "drift", "differs"), [(98, 0.0, True), (98, 2.0, False), (97, 2.0, True), (0, 100.0, True)]
)
def test_rows_may_drift_by_the_tolerance_but_a_table_is_never_empty(rows: int, drift: float, differs: bool) -> None:
    body = both({"counts": {"b_crm_lead": "100"}}, {"counts": {"b_crm_lead": str(rows)}}, drift)
    assert bool(body["differences"]) is differs


def test_sizes_are_folded_only_for_hosts_of_different_size() -> None:
    left, right = {"mariadb": {"innodb_buffer_pool_size": "1"}}, {"mariadb": {"innodb_buffer_pool_size": "2"}}
    assert both(left, right)["differences"] == 1
    assert both(left, right, size=GIB8)["differences"] == 0


def test_what_could_not_be_read_is_a_difference_and_not_silence() -> None:
    body = both({"php": {"pages: version": "8.4"}}, {}, missing={"php": "no answer from PHP-FPM"})
    assert found(body) == {"(not read)": (None, "b: no answer from PHP-FPM")}


def test_hosts_of_one_environment_are_laid_together() -> None:
    hosts = {host: snapshot(host, {"packages": {"nginx": host[1]}}) for host in ("w1.x", "w2.x")}
    one = Environment.of("production", hosts)
    other = Environment.of("test", {"t.x": snapshot("t.x", {"packages": {"nginx": "1"}})})
    shown = found(compare(one, other, rules()).as_dict())["nginx"]
    assert sorted(str(shown[0]).split(" | ")) == ["1", "2"]
    assert shown[1] == "1"
    assert compare(one, one, rules()).as_dict()["differences"] == 0


TIMERS = {"encaja-restore-test.timer": "enabled: OnCalendar=weekly", "acme-{}.timer": "enabled: at {}.acme.es"}


@pytest.mark.parametrize("other", ["production", "preproduction"])
def test_a_word_in_a_name_that_is_also_an_environment_is_no_difference(other: str) -> None:
    sides = []
    for name in ("test", other):
        told = {key.format(name): text.format(name) for key, text in TIMERS.items()}
        values = {"schedule": told, "options": {"acme.note": f"a test of https://{name}.acme.es"}}
        sides.append(Environment.of(name, {name: snapshot(f"{name}.acme.es", values, environment=name)}))
    assert compare(*sides, rules()).as_dict()["found"] == []
    body = compare(*reversed(sides), rules()).as_dict()
    assert body["differences"] == 0
    assert [row["names"] for row in body["expected"]] == [["acme.note"], ["acme-{environment}.timer"]]


def test_a_name_that_only_the_environment_called_so_has_is_found_under_its_own_name() -> None:
    told = {"schedule": {"acme-test.timer": "enabled"}}
    a = Environment.of("test", {"t": snapshot("t.acme.es", told, environment="test")})
    b = Environment.of("production", {"p": snapshot("p.acme.es", {"schedule": {}}, environment="production")})
    assert found(compare(a, b, rules()).as_dict()) == {"acme-test.timer": ("enabled", None)}


def test_own_rules_fold_too_and_bad_ones_are_all_named() -> None:
    own = [{"id": "acme", "why": "ours", "sections": ["options"], "names": ["acme.*"]}]
    a = Environment.of("a", {"h": snapshot("a.x", {"options": {"acme.z": "1"}})})
    b = Environment.of("b", {"h": snapshot("b.x", {"options": {"acme.z": "2"}})})
    assert compare(a, b, rules(own)).as_dict()["differences"] == 0
    with pytest.raises(ConfigurationError) as fault:
        rules(
            [{"id": "a", "why": "x", "sections": ["nowhere"], "names": ["*"]}, {"names": [], "when": "never", "if": 1}]
        )
    for said in ("sections nowhere", "needs id and why", "list of names", "when: never", "unknown keys if"):
        assert said in str(fault.value)


def test_long_values_are_shown_around_the_place_where_they_differ() -> None:
    left, right = "x" * 500 + "A" + "y" * 300, "x" * 500 + "B" + "y" * 300
    shown = found(both({"options": {"o": left}}, {"options": {"o": right}}))["o"]
    assert "A" in str(shown[0])
    assert "B" in str(shown[1])
    assert len(str(shown[0])) <= 162
    assert window("short", 3) == "short"
