"""The rules that keep a copy's way out closed."""

import importlib

import pytest

darkness = importlib.import_module("encaja.ansible.modules.darkness")


def test_nothing_goes_out_but_answers_and_the_allowed() -> None:
    lines = darkness.rules(["10.0.0.11", "fd00::/8"]).splitlines()
    assert lines[-1].endswith("reject with icmpx admin-prohibited")
    accepted = [line.split("encaja_egress ")[1] for line in lines if line.endswith(" accept")]
    assert accepted == [
        'oif "lo" accept',
        "ct direction reply accept",
        "meta l4proto ipv6-icmp accept",
        "ip daddr 10.0.0.11/32 accept",
        "ip6 daddr fd00::/8 accept",
    ]


def test_an_allowed_name_in_place_of_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mail\.example\.com"):
        darkness.rules(["mail.example.com"])
