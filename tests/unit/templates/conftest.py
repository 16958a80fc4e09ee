"""Renders a role's template as Ansible would on a host, without a host."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ansible.plugins.loader import init_plugin_loader

from support.rendered_role import Role


@pytest.fixture(scope="session", autouse=True)
def _plugins() -> None:
    init_plugin_loader([])


@pytest.fixture
def role() -> Callable[..., Role]:
    """A function that takes a role's name and the variables of an inventory."""
    return lambda name, **inventory: Role(name, inventory)
