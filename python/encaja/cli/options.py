"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Inventory = Annotated[
    list[Path] | None, typer.Option("--inventory", "-i", help="Inventory; may be given several times.")
]
EnvironmentName = Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="production, preproduction or test.")]
Language = Annotated[str, typer.Option("--language", help="en or es.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
