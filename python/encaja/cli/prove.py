"""`encaja prove`: what the kit assumes of the product, tried on a portal, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from encaja.cli.options import AsJson, EnvironmentName, Inventory, Language
from encaja.cli.output import table_console
from encaja.cli.playbook_run import check_words, find_inventories, play
from encaja.errors import ConfigurationError, DifferencesFound
from encaja.portal.contract import chosen
from encaja.runbook.record.workspace import find_project

app = typer.Typer(no_args_is_help=True)

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {"id": "assumption", "says": "the kit assumes", "state": "state", "evidence": "evidence",
           "holds": "holds", "differs": "DIFFERS", "unproven": "unproven", "not-applicable": "not applicable"},
    "es": {"id": "supuesto", "says": "el kit supone", "state": "estado", "evidence": "evidencia",
           "holds": "se cumple", "differs": "DIFIERE", "unproven": "sin probar", "not-applicable": "no aplicable"},
}  # fmt: skip
STYLES: Final = {"holds": "green", "differs": "bold red", "unproven": "yellow", "not-applicable": "dim"}


def collect(project: Path, inventories: Sequence[Path], environment: str, only: Sequence[str] = ()) -> dict[str, Any]:
    """Run playbook ``prove`` for an environment and return what it proved of its portal.

    Raises:
        EncajaError: a host is unreachable, or the proof itself failed.
    """
    variables = {"verify_strict": False, "verify_only": list(only)}
    for document in play(project, inventories, "prove.yml", variables, limit=environment, where=environment):
        if isinstance(document.body, dict) and document.body.get("kind") == "contract":
            return document.body
    raise ConfigurationError("no portal was tried", environment, "name a portal's host in that group of the inventory")


def table(body: Mapping[str, Any], language: str) -> Table:
    """The proof as a table."""
    words = WORDS[language]
    title = " · ".join(str(part) for part in (body.get("environment"), body["domain"], body["release"]) if part)
    result = Table(title=title, title_justify="left", show_lines=False)
    for column in ("id", "says", "state", "evidence"):
        result.add_column(words[column], overflow="fold", ratio={"says": 5, "evidence": 4}.get(column))
    for item in body["assumptions"]:
        style = STYLES[item["state"]]
        result.add_row(
            item["id"], escape(item["says"][language]), f"[{style}]{words[item['state']]}[/{style}]",
            escape(str(item["evidence"])),
        )  # fmt: skip
    return result


@app.command("prove")
def prove(
    environment: EnvironmentName,
    *,
    inventory: Inventory = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="ID", help="Only assumptions whose id begins with this, such as rest or table."),
    ] = None,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Probes remove what they write. Exit code 4 when an assumption does not hold."""
    check_words("prove", [environment], language)
    chosen(only or ())
    project = find_project()
    body = collect(project, find_inventories(project, inventory or ()), environment, only or ())
    if as_json:
        print(json.dumps(body, indent=2, ensure_ascii=False))
    else:
        table_console().print(table(body, language))
        for warning in body["warnings"]:
            table_console().print(f"[yellow]![/yellow] {escape(warning)}")
    if body["differences"]:
        names = ", ".join(item["id"] for item in body["assumptions"] if item["state"] == "differs")
        raise DifferencesFound(f"{body['differences']} differ: {names}", environment, "see docs/contract.md")
