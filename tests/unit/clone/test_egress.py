"""The rules that keep a copy's way out closed."""

import importlib

import pytest

darkness = importlib.import_module("encaja.ansible.modules.darkness")


def test_nothing_goes_out_but_answers_and_the_allowed() -> None:
    lines = darkness.rules(["10.0.0.11 tcp 22", "10.0.0.12", "fd00::/8"]).splitlines()
    assert lines[-1].endswith("reject with icmpx admin-prohibited")
    accepted = [line.split("encaja_egress ")[1] for line in lines if line.endswith(" accept")]
    assert accepted == [
        'oif "lo" accept',
        "ct direction reply accept",
        "tcp sport 22 tcp flags & (syn | ack) != syn accept",
        "meta l4proto 58 icmpv6 type { 133, 135, 136, 143 } accept",
        "udp sport 68 udp dport 67 accept",
        "ip daddr 10.0.0.11/32 tcp dport 22 counter accept",
        "ip daddr 10.0.0.12/32 counter accept",
        "ip6 daddr fd00::/8 counter accept",
    ]


@pytest.mark.parametrize(
    "allowed", ["mail.example.com", "10.0.0.11 icmp 8", "10.0.0.11 tcp", "10.0.0.11 tcp 70000", "10.0.0.11 tcp ssh"]
)
def test_what_is_no_address_is_refused(allowed: str) -> None:
    with pytest.raises(ValueError, match=r"mail\.example\.com|tcp|icmp|ssh"):
        darkness.rules([allowed])
