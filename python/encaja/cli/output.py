"""How commands print."""

from __future__ import annotations

from rich.console import Console


def table_console(width: int = 160) -> Console:
    """A console for tables: as wide as the terminal, and at least `width` where the output goes elsewhere."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(console.width, width))
