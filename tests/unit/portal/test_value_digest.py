from __future__ import annotations

import pytest

from encaja.portal.value_digest import Secrecy, ValueDigester

OWN = {"crm.acme.es": "{here}", "preproduction": "{environment}"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rest.service_client_secret", "abc"),
        ("crm.partner_key", "abc"),
        ("main.server_uniq_id", "0f3b5a77c1d2e4960f3b5a77c1d2e496"),
        ("acme.callback", "https://user:hunter2@partner.example/x"),
        ("acme.settings", 'a:1:{s:8:"password";s:7:"hunter2";}'),
        ("acme.settings", '{"login": "x", "api_key": "hunter2"}'),
        ("acme.header", "Bearer abcdefghijklm"),
        ("rest.client_secret (s1)", "hunter2"),
        ("http > location / > proxy_pass", "http://user:hunter2@push"),
        ("WEBHOOK_ADDRESS", "https://x.example/rest/1/hunter2/"),
        ("acme.exchange", '{"state": "a:1:{s:13:\\"refresh_token\\";s:7:\\"hunter2\\";}"}'),
    ],
)
def test_what_is_or_looks_secret_is_not_shown(name: str, text: str) -> None:
    shown, digest, nameless, *_ = ValueDigester("salt", OWN).value(name, text)
    assert shown is None
    assert digest == nameless
    assert text not in str(digest)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("main.server_name", "crm.acme.es"),
        ("main.email_from", "portal@acme.es"),
        ("pages: session.save_path", "/run/redis/redis.sock"),
        ("rest.client_secret", ""),
        ("http > ssl_ciphers", "ECDHE"),
        ("http > location / > proxy_pass", "http://push_pub"),
    ],
)
def test_what_is_harmless_is_shown(name: str, text: str) -> None:
    assert ValueDigester("salt", OWN).value(name, text)[0] == text


def test_known_programs_settings_are_hidden_only_by_name_and_rows_never() -> None:
    digester = ValueDigester("salt", {})
    ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"
    assert digester.value("http > ssl_ciphers", ciphers, Secrecy.NAMED)[0] == ciphers
    assert digester.value("http > ssl_ciphers", ciphers)[0] is None
    assert digester.value("http > proxy_set_header", "X-Api-Key hunter2", Secrecy.NAMED)[0] is None
    assert digester.value("pages: session.save_path", "tcp://h:6379?auth=hunter2", Secrecy.NAMED)[0] is None
    assert digester.value("b_user_password", "12", Secrecy.OPEN)[0] == "12"


def test_own_names_are_taken_out_also_of_serialised_values_and_secrets() -> None:
    one = ValueDigester("salt", {"crm.acme.es": "{here}"})
    other = ValueDigester("salt", {"preproduction.acme.es": "{here}"})
    for pattern in ("https://{}/x", 's:{:d}:"https://{}/";', "https://u:pw@{}/"):
        texts = [
            pattern.format(*((len(host) + 9, host) if ":d" in pattern else (host,)))
            for host in ("crm.acme.es", "preproduction.acme.es")
        ]
        left, right = one.value("x", texts[0]), other.value("x", texts[1])
        assert left[1] != right[1]
        assert left[2] == right[2]
    assert one.value("x", "https://notcrm.acme.es/")[2] != other.value("x", "https://notpreproduction.acme.es/")[2]


def test_digests_say_nothing_without_the_salt() -> None:
    assert ValueDigester("one", {}).digest("hunter2") != ValueDigester("two", {}).digest("hunter2")
    assert ValueDigester("one", {}).digest("hunter2") == ValueDigester("one", {"a.b": "{here}"}).digest("hunter2")
