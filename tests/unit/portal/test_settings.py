from __future__ import annotations

import pytest

from encaja.errors import ConfigurationError
from encaja.portal import settings

BASE = {
    "connections": {"value": {"default": {"className": "M", "host": "db", "password": "******"}}, "readonly": True},
    "pull": {"value": {"nginx": "N", "path_to_publish": "http://cloud/"}, "readonly": False},
    "cache": {"value": {"servers": {0: "a", 1: "b"}}},
}


def test_sections_are_merged_and_lists_replaced() -> None:
    after = settings.converge(
        BASE,
        {"connections": {"value": {"default": {"host": "localhost"}}}, "cache": {"value": {"servers": ["c"]}}},
        {"connections.value.default.password": "new"},
    )
    assert after["connections"]["value"]["default"] == {"className": "M", "host": "localhost", "password": "new"}
    assert after["connections"]["readonly"] is True
    assert after["cache"] == {"value": {"servers": {0: "c"}}}
    assert after["pull"] == BASE["pull"]
    assert BASE["connections"]["value"]["default"]["password"] == "******"


def test_replace_and_absent() -> None:
    after = settings.converge(
        BASE, {"pull": {"value": {"nginx": "Y"}}}, {}, ["pull"], ["cache.value.servers", "missing.x"]
    )
    assert after["pull"] == {"value": {"nginx": "Y"}}
    assert after["cache"] == {"value": {}}


def test_second_pass_changes_nothing() -> None:
    wanted = {"new": {"value": {"list": [1, {"a": []}], "0": "zero"}}}
    once = settings.converge(BASE, wanted, {"crypto.value.crypto_key": "k"})
    assert settings.converge(once, wanted, {"crypto.value.crypto_key": "k"}) == once


def test_secret_among_plain_sections_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"crypto\.value\.crypto_key"):
        settings.converge({}, {"crypto": {"value": {"crypto_key": "abc"}}}, {})


def test_difference_hides_secrets_and_marks_the_changed_one() -> None:
    after = settings.converge(
        BASE, {}, {"connections.value.default.password": "hunter2", "pull.value.signature_key": "s1"}
    )
    shown = settings.diff(BASE, after, "x")
    assert "hunter2" not in str(shown)
    assert "s1" not in shown["after"]
    assert "'password' => '(secret, changed)'" in shown["after"]
    assert "'password' => '(secret)'" in shown["before"]


@pytest.mark.parametrize(
    "name", ["password", "crypto_key", "signature_key", "client_secret", "OATOKEN_TOKEN", "signer_default_key", "key"]
)
def test_secret_names(name: str) -> None:
    assert settings.is_secret(name)


@pytest.mark.parametrize("name", ["login", "host", "keyPrefix", "sid", "monkey", 7])
def test_plain_names(name: object) -> None:
    assert not settings.is_secret(name)


def test_a_frozen_portal_has_no_messenger_and_no_mail_server_of_its_own() -> None:
    smtp = {"value": {"enabled": True, "host": "smtp.acme.es"}, "readonly": False}
    for before in (
        {"smtp": smtp},
        {"smtp": {"value": {"enabled": False}}},
        {"messenger": {"value": {"run_mode": "cli"}}},
        {},
    ):
        frozen = settings.freeze(before)
        assert frozen["messenger"]["value"]["run_mode"] == "cli"
        assert not frozen.get("smtp", {"value": {}})["value"].get("enabled")
        assert settings.freeze(frozen) == frozen
        assert settings.thaw(frozen) == before
        assert settings.thaw(before) == before
    assert settings.freeze({"smtp": smtp}, ["smtp"]).keys() == {"smtp"}
