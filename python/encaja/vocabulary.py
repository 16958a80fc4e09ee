"""The environments and languages that the whole kit knows."""

from __future__ import annotations

from typing import Final

ENVIRONMENTS: Final = ("production", "preproduction", "test")
"""Groups of the inventory; a host is in one of them."""
LANGUAGES: Final = ("en", "es")
