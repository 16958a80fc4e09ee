"""What the kit does for Mitogen, and leaves alone without it."""

from __future__ import annotations

import os
from typing import Any

import pytest

from encaja.ansible.accelerator import STRATEGY, accelerator_environment, prepare, unpin


class Display:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def deprecated(self, msg: str, version: str | None = None) -> None:
        self.told.append((msg, version))


def test_it_can_be_switched_off_and_respects_a_set_strategy() -> None:
    assert accelerator_environment({"ENCAJA_ACCELERATOR": "off"}) == {}
    assert accelerator_environment({"ANSIBLE_STRATEGY": "free"}) == {}
    on = accelerator_environment({"ANSIBLE_STRATEGY_PLUGINS": "/mine"})
    assert not on or on["ANSIBLE_STRATEGY_PLUGINS"].endswith(":/mine")


@pytest.mark.parametrize(("cores", "is_free"), [(2, True), (3, True), (4, False), (16, False)])
def test_workers_are_pinned_only_where_cores_are_many(
    monkeypatch: pytest.MonkeyPatch, cores: int, is_free: bool
) -> None:
    affinity = pytest.importorskip("ansible_mitogen.affinity")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    fixed = affinity.FixedPolicy(cpu_count=cores)
    monkeypatch.setattr(affinity, "policy", fixed)
    unpin()
    assert (affinity.policy is not fixed) is is_free
    if is_free:
        pinned: list[int] = []
        monkeypatch.setattr(affinity.LinuxPolicy, "_set_cpu_mask", lambda _, mask: pinned.append(mask))
        affinity.policy.assign_controller()
        affinity.policy.assign_worker()
        assert not pinned


def test_only_the_deprecation_of_strategies_is_silenced() -> None:
    pytest.importorskip("ansible_mitogen")
    display = Display()
    prepare(STRATEGY, display)
    display.deprecated("Use of strategy plugins not included in ansible.builtin are deprecated")
    display.deprecated("something else", version="2.23")
    assert display.told == [("something else", "2.23")]


def test_stock_ansible_is_left_alone() -> None:
    display = Display()
    prepare("ansible.builtin.linear", display)
    display.deprecated("Use of strategy plugins not included in ansible.builtin are deprecated")
    assert len(display.told) == 1
