"""Makes the collection importable as Ansible does (``ansible_collections.encaja.portal``), and tests free of clocks."""

from __future__ import annotations

from pathlib import Path

import hypothesis
from ansible.plugins.loader import init_plugin_loader

init_plugin_loader([str(Path(__file__).parents[1] / "collections")])

# No test asserts a time, so none fails on a busy machine.
hypothesis.settings.register_profile(
    "clockless", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("clockless")
