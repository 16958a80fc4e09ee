from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encaja.errors import ConfigurationError
from encaja.portal.host_rewrite import HostChange, ascii_host, old_hosts
from encaja.portal.serialized import serialize, unserialize

OLD = "acme.bitrix24.es"
CHANGE = HostChange((OLD,), "crm.acme.es")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("acme.bitrix24.es", "crm.acme.es"),
        ("ACME.Bitrix24.es", "crm.acme.es"),
        ("http://acme.bitrix24.es/company/", "https://crm.acme.es/company/"),
        ("https://acme.bitrix24.es:443/x?a=http://acme.bitrix24.es", "https://crm.acme.es/x?a=https://crm.acme.es"),
        ("ws://acme.bitrix24.es/bitrix/subws/", "wss://crm.acme.es/bitrix/subws/"),
        ("//acme.bitrix24.es/logo.png", "//crm.acme.es/logo.png"),
        ("back=https%3A%2F%2Facme.bitrix24.es%2Fcrm", "back=https%3A%2F%2Fcrm.acme.es%2Fcrm"),
        (
            "host=acme.bitrix24.es; (acme.bitrix24.es), acme.bitrix24.es.",
            "host=crm.acme.es; (crm.acme.es), crm.acme.es.",
        ),
        # A longer name, and the domain of a mail address, are something else.
        ("www.acme.bitrix24.es", "www.acme.bitrix24.es"),
        ("acme.bitrix24.es.evil.com", "acme.bitrix24.es.evil.com"),
        ("xacme.bitrix24.es acme.bitrix24.esx", "xacme.bitrix24.es acme.bitrix24.esx"),
        ("info@acme.bitrix24.es", "info@acme.bitrix24.es"),
        ("", ""),
    ],
)
def test_text(before: str, after: str) -> None:
    assert CHANGE.in_value(before) == after


def test_port_goes_into_addresses_only() -> None:
    change = HostChange((OLD,), "crm.acme.es", "http", 8080)
    assert change.in_value(f"https://{OLD}/a") == "http://crm.acme.es:8080/a"
    assert change.in_value(OLD) == "crm.acme.es"
    assert change.in_value(f"{OLD}:443") == "crm.acme.es:8080"
    assert change.url == "http://crm.acme.es:8080"
    assert HostChange((OLD,), "crm.acme.es", "https", 443).url == "https://crm.acme.es"


def test_longer_host_wins_and_new_host_is_left_alone() -> None:
    change = HostChange(("acme.es", "crm.acme.es", "old.acme.es"), "crm.acme.es")
    assert change.in_value("https://old.acme.es https://acme.es https://crm.acme.es") == " ".join(
        ["https://crm.acme.es"] * 3
    )


def test_serialised_lengths_and_nesting() -> None:
    inner = serialize({"url": f"http://{OLD}/ñ", "n": 1}).decode()
    outer = serialize({"json": json.dumps({"u": f"https://{OLD}/", "php": inner}), "php": inner, "b": True}).decode()
    after = unserialize(CHANGE.in_value(outer))
    assert unserialize(after["php"]) == {"url": "https://crm.acme.es/ñ", "n": 1}
    decoded = json.loads(after["json"])
    assert decoded["u"] == "https://crm.acme.es/"
    assert unserialize(decoded["php"]) == {"url": "https://crm.acme.es/ñ", "n": 1}
    assert after["b"] is True


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (r'{"a":"https:\/\/acme.bitrix24.es\/x", "b":"\u00f1"}', r'{"a":"https:\/\/crm.acme.es\/x", "b":"\u00f1"}'),
        ('[ "https://acme.bitrix24.es/ñ" ,1.50]', '[ "https://crm.acme.es/ñ" ,1.50]'),
        ('{"acme.bitrix24.es": 1}', '{"crm.acme.es": 1}'),
        ('{broken "https://acme.bitrix24.es/"', '{broken "https://crm.acme.es/"'),
    ],
)
def test_json_keeps_its_style(before: str, after: str) -> None:
    assert CHANGE.in_value(before) == after


def test_damaged_serialised_value_is_left_alone_and_told() -> None:
    damaged = f'a:1:{{s:1:"h";s:99:"{OLD}";}}'
    assert CHANGE.in_value(damaged) == damaged
    assert CHANGE.is_unreadable(damaged)
    assert not CHANGE.is_unreadable(serialize({"h": OLD}).decode())
    assert not CHANGE.is_unreadable("a:1:{garbage")


@given(st.text(max_size=30), st.text(max_size=30))
def test_second_pass_changes_nothing(left: str, right: str) -> None:
    once = CHANGE.in_value(f"{left} https://{OLD}/{right}")
    assert CHANGE.in_value(once) == once


@pytest.mark.parametrize("bad", ["", "https://crm.acme.es", "crm acme", "crm.acme.es/x", "a" * 254, "-", "crm..es"])
def test_bad_host_is_refused(bad: str) -> None:
    with pytest.raises(ConfigurationError):
        HostChange((OLD,), bad)


def test_international_names() -> None:
    assert ascii_host("Señal.es") == "xn--seal-hqa.es"
    change = HostChange(("señal.es",), "crm.acme.es")
    assert change.in_value("https://señal.es/ https://xn--seal-hqa.es/") == "https://crm.acme.es/ https://crm.acme.es/"


def test_old_hosts_out_of_values() -> None:
    values = [
        "https://Acme.bitrix24.es/x",
        "acme.bitrix24.es:443",
        "",
        "localhost",
        "10.0.0.1",
        "not a host",
        "b.example",
    ]
    assert old_hosts(values) == ("acme.bitrix24.es", "b.example")


@pytest.mark.parametrize("names", [("acme.es", "acme.es.test", "acme"), ("acme", "acme.es.test", "acme.es")])
def test_of_hosts_whose_names_begin_alike_the_longest_is_the_one_meant(names: tuple[str, ...]) -> None:
    change = HostChange(names, "crm.example.com")
    assert change.old == ("acme.es.test", "acme.es", "acme")
    for name in names:
        assert change.in_value(f"https://{name}/x {name}:443 {name}.") == (
            "https://crm.example.com/x crm.example.com crm.example.com."
        )
    assert change.in_value("https://acme.es.testing/ acme-es acme.eso") == "https://acme.es.testing/ acme-es acme.eso"
