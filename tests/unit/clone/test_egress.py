"""The rules that keep a copy's way out closed."""

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

isolation = importlib.import_module("ansible_collections.encaja.portal.plugins.modules.isolation")


def test_nothing_goes_out_but_answers_and_the_allowed() -> None:
    lines = isolation.rules(["10.0.0.11 tcp 22", "10.0.0.12", "fd00::/8"], networks=["10.0.0.0/24"]).splitlines()
    assert lines[-1].endswith("reject with icmpx admin-prohibited")
    accepted = [line.split("encaja_egress ")[1] for line in lines if line.endswith(" accept")]
    assert accepted == [
        'oif "lo" accept',
        "ct direction reply accept",
        "tcp sport 22 tcp flags & (syn | ack) != syn accept",
        "meta l4proto 58 icmpv6 type { 133, 135, 136, 143 } accept",
        "ip daddr { 255.255.255.255, 10.0.0.0/24 } udp sport 68 udp dport 67 accept",
        "ip daddr 10.0.0.11/32 tcp dport 22 counter accept",
        "ip daddr 10.0.0.12/32 counter accept",
        "ip6 daddr fd00::/8 counter accept",
    ]


def test_a_host_s_own_networks_are_those_that_it_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = (
        '[{"addr_info": [{"local": "127.0.0.1", "prefixlen": 8, "scope": "host"}]}, {},'
        ' {"addr_info": [{"local": "10.1.2.3", "prefixlen": 24, "scope": "global"},'
        ' {"local": "10.1.2.9", "prefixlen": 32, "scope": "global"},'
        ' {"local": "192.0.2.7", "prefixlen": 32, "scope": "global"}]}]'
    )
    monkeypatch.setattr(isolation, "run", lambda *_: shown)
    assert isolation.own_networks() == ["10.1.2.0/24", "192.0.2.7/32"]


@pytest.mark.parametrize(
    "allowed", ["mail.example.com", "10.0.0.11 icmp 8", "10.0.0.11 tcp", "10.0.0.11 tcp 70000", "10.0.0.11 tcp ssh"]
)
def test_what_is_no_address_is_refused(allowed: str) -> None:
    with pytest.raises(ValueError, match=r"mail\.example\.com|tcp|icmp|ssh"):
        isolation.rules([allowed])


class Answered(Exception):  # noqa: N818 - what a module ends with
    """What the module said."""


def check(folder: Path, monkeypatch: pytest.MonkeyPatch, state: str = "check") -> dict[str, Any]:
    def answer(**said: Any) -> None:
        raise Answered(said)

    monkeypatch.setattr(isolation, "FLAG", str(folder / "dark"))
    monkeypatch.setattr(isolation, "RULES", str(folder / "egress"))
    params = {"environment": "test", "state": state, "proof": "/etc/encaja/neutralised"}
    module = SimpleNamespace(params=params, exit_json=answer, fail_json=answer)
    with pytest.raises(Answered) as said:
        isolation.check(module)
    found: dict[str, Any] = said.value.args[0]
    return found


def test_what_a_host_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(tmp_path, monkeypatch) == {"changed": False, "is_copy": False}
    (tmp_path / "egress").touch()
    assert check(tmp_path, monkeypatch) == {"changed": False, "is_copy": True}
    (tmp_path / "dark").touch()
    assert "encaja clone production test" in check(tmp_path, monkeypatch)["msg"]


def test_a_host_that_held_a_copy_takes_no_portal_that_is_to_reach_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(tmp_path, monkeypatch, "open") == {"changed": False, "is_copy": False}
    (tmp_path / "egress").touch()
    said = check(tmp_path, monkeypatch, "open")["msg"]
    assert "\n" not in said
    assert f"rm -f {tmp_path / 'egress'} /etc/encaja/neutralised" in said
