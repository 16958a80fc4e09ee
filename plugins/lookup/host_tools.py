"""Lookup ``host_tools``: path of the zipapp of the host tools, built on the controller."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.encaja.portal.plugins.plugin_utils import python_package  # noqa: F401
from encaja.zipapps import build_file

DOCUMENTATION = r"""
name: host_tools
short_description: Build the host tools and return the path of the file
description:
  - The file is in the user's cache; the same sources give the same file.
options: {}
author: encaja
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """Build the zipapp."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **_: Any) -> list[str]:  # noqa: ARG002
        """Return the one path."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return [str(build_file(cache / "encaja"))]
