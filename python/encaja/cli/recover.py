"""`encaja recover`: an environment's portal as of a moment."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Annotated, Final

import typer
from rich.console import Console

from encaja.cli.clone import Progress
from encaja.cli.options import EnvironmentName, Inventory, Language
from encaja.cli.playbook_run import check_words, find_inventories, play
from encaja.errors import ConfigurationError
from encaja.runbook.durations import format_span
from encaja.runbook.record.workspace import find_project

app = typer.Typer(no_args_is_help=True)

_SAID: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {"ask": "The portal of {name} will be replaced by the one of {moment}. Type {name} to continue",
           "newest": "the newest moment", "done": "{name} is as of {moment} ({span})",
           "check": "{name} can be recovered as of {moment} ({span})",
           "drop": "what the recovery of {name} had made is removed ({span})"},
    "es": {"ask": "El portal de {name} se sustituirá por el de {moment}. Escriba {name} para seguir",
           "newest": "el momento más reciente", "done": "{name} está como en {moment} ({span})",
           "check": "{name} se puede recuperar como en {moment} ({span})",
           "drop": "lo que había hecho la recuperación de {name} está borrado ({span})"},
}  # fmt: skip


@app.command("recover")
def recover(
    environment: EnvironmentName,
    *,
    inventory: Inventory = None,
    to: Annotated[str, typer.Option("--to", metavar="TIME", help="2026-11-30T14:05:09, or with an offset.")] = "",
    only: Annotated[str, typer.Option("--only", metavar="PART", help="database or files.")] = "",
    host: Annotated[str, typer.Option("--host", help="The host that was backed up, if it had another name.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Prove that it can be done; change nothing.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Remove what a recovery that is not done has made.")] = False,
    confirm: Annotated[str, typer.Option("--confirm", help="The environment's name once more.")] = "",
    language: Language = "en",
) -> None:
    """If it is interrupted, run it again: nothing live is touched before the end."""
    check_words("recover", [environment], language)
    if only not in ("", "database", "files"):
        raise ConfigurationError(f"no part {only!r}", "--only", "use database or files")
    said = _SAID[language]
    words = {"name": environment, "moment": to or said["newest"]}
    if not (check or drop):
        if not confirm and sys.stdin.isatty():
            confirm = typer.prompt(said["ask"].format(**words))
        if confirm != environment:
            raise ConfigurationError(
                f"recovering {environment} is not confirmed", "recover", f"confirm it: --confirm {environment}"
            )
    project = find_project()
    variables = {
        "recover_confirm": environment,
        "restore_recover_to": to,
        "restore_recover_only": only,
        "restore_recover_host": host,
        "restore_recover_check": check,
        "restore_recover_drop": drop,
    }
    console = Console(stderr=True, highlight=False)
    began = time.monotonic()
    with Progress(console) as progress:
        inventories = find_inventories(project, inventory or ())
        play(project, inventories, "recover.yml", variables, limit=environment, where=environment, follow=progress)
    end = said["drop" if drop else "check" if check else "done"]
    console.print(f"[green]✓[/green] {end.format(**words, span=format_span(time.monotonic() - began))}")
