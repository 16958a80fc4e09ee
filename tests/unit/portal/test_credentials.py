"""What looks like a credential, by its name and by its value, and what is left of a value without it."""

from __future__ import annotations

import json
import re
import zlib

import pytest

from encaja.portal.credentials import (
    CONTAINER,
    ENDPOINT,
    LIKELY,
    SECRET,
    has_credentials,
    matcher,
    without_credentials,
)
from encaja.portal.serialized import PhpObject, SerializedError, serialize, unserialize
from lab.company import keys
from support.neutralise_rules import harmless

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJl"


def is_likely(value: str) -> bool:
    return any(re.search(f"(?i){likely}", value) for likely in LIKELY)


@pytest.mark.parametrize(
    "name",
    ["USER_PASS", "PWD", "CLIENT_SECRET", "TOKEN", "APIKEY", "API_KEY", "ACCESSKEY", "ACCESS_KEY", "SHARED_KEY",
     "OASECRET", "CERT", "LOGIN", "CHECKWORD", "CONFIRM_CODE"],
)  # fmt: skip
def test_names_of_credentials(name: str) -> None:
    assert SECRET.search(name)
    assert SECRET.search(name.lower())


@pytest.mark.parametrize(
    "name", ["REST_ENDPOINT", "HANDLER_URL", "EVENT_HANDLER", "SERVER", "SERVER_NAME", "HOST", "DOMAIN"]
)
def test_names_of_endpoints(name: str) -> None:
    assert ENDPOINT.search(name)


@pytest.mark.parametrize(
    "name",
    ["SETTINGS", "PARAMS", "OPTIONS", "DATA", "CONFIG", "PAYLOAD", "APPLY_RULES", "C_FIELDS", "PROVIDER_PARAMS",
     "TEMPLATE", "PARAMETERS", "VARIABLES", "CONSTANTS", "WORKFLOW"],
)  # fmt: skip
def test_names_of_what_holds_others(name: str) -> None:
    assert CONTAINER.search(name)


@pytest.mark.parametrize("name", ["PASSIVE", "PASSPORT_SERIES", "CERTAIN", "TITLE", "PASSED"])
def test_names_that_only_look_like_it(name: str) -> None:
    assert not SECRET.search(name)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Bearer {JWT}, ñ", "Bearer , ñ"),
        ("local.5f3a9c1b2d4e67.89012345", ""),
        ("https://ana:word@shop.test/x", "https://@shop.test/x"),
        ("https://p.test/rest/12/a1b2c3d4e5f6g7h8/crm.lead.add", "https://p.test/rest//crm.lead.add"),
        ("https://p.test/?a=1&access_token=xyzzy&b=2", "https://p.test/?a=1&access_token=&b=2"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", ""),
        ("https://p.test/rest/crm.lead.add?id=7", "https://p.test/rest/crm.lead.add?id=7"),
        ("Su visita del sábado: passwords are never asked", "Su visita del sábado: passwords are never asked"),
    ],
)
def test_credentials_by_their_shape(text: str, left: str) -> None:
    assert without_credentials(text) == left
    assert without_credentials(left) == left
    assert has_credentials(text) == (text != left)
    escaped = json.dumps({"x": text}).replace("/", "\\/")
    assert json.loads(without_credentials(escaped)) == {"x": left}
    if text != left:
        assert is_likely(text), "the database is asked for it"
        assert is_likely(escaped)


def test_values_inside_values_keep_their_form() -> None:
    inner = serialize({"España": "ñ", "password": "xyzzy"}).decode()
    said = serialize({"n": 1.5, "inner": inner, "tokens": ["a", "b"], "list": [{"apiKey": "xyzzy", "on": True}]})
    clean = unserialize(without_credentials(said.decode()))
    assert clean["n"] == 1.5
    assert unserialize(clean["inner"]) == {"España": "ñ", "password": ""}
    assert clean["tokens"] == {0: "", 1: ""}
    assert clean["list"] == {0: {"apiKey": "", "on": True}}
    stored = json.dumps({"url": "https://a/b", "smtp": {"password": "xyzzy", "port": 587}}).replace("/", "\\/")
    assert without_credentials(stored) == stored.replace("xyzzy", "")
    assert without_credentials(zlib.compress(said, 9)) == zlib.compress(without_credentials(said), 9)


def test_what_has_none_is_not_written_anew() -> None:
    for text in ('{"a" : 1.10,  "b":"\\u00f1"}', 'a:1:{s:1:"d";d:0.10000000000000001;}', "{not json", ""):
        assert without_credentials(text) == text
    assert without_credentials(data := zlib.compress(b"a:0:{}", 1)) is data


def test_properties_of_objects_are_read_with_their_visibility() -> None:
    said = serialize(PhpObject("Acme\\Client", {"\0*\0secret": "xyzzy", "\0Acme\\Client\0title": "ñ", "host": "a"}))
    clean = unserialize(without_credentials(said))
    assert clean.properties == {"\0*\0secret": "", "\0Acme\\Client\0title": "ñ", "host": "a"}


def test_an_address_that_is_called_a_handler_goes_and_a_class_stays() -> None:
    clean = unserialize(without_credentials(serialize({"Handler": "https://a.test/x", "handler": "Acme\\Class"})))
    assert clean == {"Handler": "", "handler": "Acme\\Class"}


@pytest.mark.parametrize("data", [zlib.compress(b"a:0:{}", 9)[:-3], b"\x1f\x8b\xff", b"x\xda damaged"])
def test_what_cannot_be_read_is_said(data: bytes) -> None:
    with pytest.raises(SerializedError):
        without_credentials(data)
    assert not has_credentials(data)


def test_a_pattern_stands_for_a_whole_name() -> None:
    assert matcher("rest.* service_client_*")("rest.0.421 1760000000 service_client_id")
    assert not matcher("rest.service_client_*")("rest.0.421 1760000000 service_client_id")
    assert matcher("pull.*")("PULL.push")


def test_nothing_counts_as_harmless_that_is_known_to_hold_a_credential() -> None:
    known = {f"{table}.{column}" for table, (_, columns) in keys.ROWS.items() for column in columns}
    assert known.isdisjoint(harmless())
    assert set(keys.ROWS).isdisjoint(harmless())
    assert set(keys.OPTIONS).isdisjoint(harmless())


def test_the_database_is_asked_for_all_that_is_a_credential() -> None:
    for table, (_, columns) in keys.ROWS.items():
        for column, form in columns.items():
            value = form(keys.mark(f"{table}.{column}"))
            if isinstance(value, str) and has_credentials(value):
                assert is_likely(value), (table, column)
