"""Makes the collection importable as Ansible does (``ansible_collections.encaja.portal``), and tests free of clocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from ansible.plugins.loader import init_plugin_loader

from support.host_journal import journals

init_plugin_loader([str(Path(__file__).parents[1] / "collections")])

# No test asserts a time, so none fails on a busy machine.
hypothesis.settings.register_profile(
    "clockless", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("clockless")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failing test of the lab shows what the hosts' journals say."""
    report = yield
    if report.failed and item.get_closest_marker("lab"):
        report.sections += [(f"journal of {name}", text) for name, text in journals().items()]
    return report
