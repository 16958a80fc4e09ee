"""What the callback ``preload`` does with Mitogen's choice of cores."""

from __future__ import annotations

import os

import pytest

from ansible_collections.encaja.portal.plugins.callback.preload import unpin

affinity = pytest.importorskip("ansible_mitogen.affinity")


@pytest.mark.parametrize(("cores", "is_free"), [(2, True), (3, True), (4, False), (16, False)])
def test_workers_are_pinned_only_where_cores_are_many(
    monkeypatch: pytest.MonkeyPatch, cores: int, is_free: bool
) -> None:
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
