"""Makes the collection importable as Ansible does: ``ansible_collections.encaja.portal``."""

from __future__ import annotations

from pathlib import Path

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader([str(Path(__file__).parents[1] / "collections")])
