"""`encaja verify`: an environment against the case's checklist, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from encaja.atomic import write_private
from encaja.cli.options import AsJson, EnvironmentName, Inventory, Language
from encaja.cli.output import table_console
from encaja.cli.playbook_run import check_words, find_inventories, play
from encaja.errors import ConfigurationError, DifferencesFound
from encaja.runbook.record.workspace import find_project

app = typer.Typer(no_args_is_help=True)

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {"check": "check", "state": "state", "evidence": "evidence", "cure": "cure", "ok": "ok", "cured": "cured",
           "people": "for people", "found": "FOUND", "unknown": "unknown",
           "outbox": "What would have gone out", "kind": "kind", "to": "to", "what": "what", "when": "since",
           "more": "{count} more of {kind}"},
    "es": {"check": "comprobación", "state": "estado", "evidence": "evidencia", "cure": "remedio", "ok": "bien",
           "cured": "curado", "people": "para personas", "found": "HALLADO",
           "unknown": "desconocido", "outbox": "Lo que habría salido", "kind": "tipo", "to": "para", "what": "qué",
           "when": "desde", "more": "{count} más de {kind}"},
}  # fmt: skip
STYLES: Final = {"ok": "green", "cured": "green", "people": "cyan", "found": "bold red", "unknown": "yellow"}


def collect(project: Path, inventories: Sequence[Path], environment: str, only: Sequence[str] = ()) -> dict[str, Any]:
    """Run playbook ``verify`` for an environment and return the verification of its portal.

    Raises:
        EncajaError: a host is unreachable, or the verification itself failed.
    """
    variables = {"verify_strict": False, "verify_only": list(only)}
    for document in play(project, inventories, "verify.yml", variables, limit=environment, where=environment):
        if isinstance(document.body, dict) and document.body.get("kind") == "verification":
            return document.body
    raise ConfigurationError(
        "no portal was verified", environment, "name a portal's host in that group of the inventory"
    )


def table(body: Mapping[str, Any], language: str) -> Table:
    """The verification as a table; evidence and cure only where there is something to say."""
    words = WORDS[language]
    result = Table(title=f"{body.get('environment', '')} · {body['domain']}", title_justify="left", show_lines=False)
    for column in ("check", "state", "evidence", "cure"):
        result.add_column(words[column], overflow="fold", ratio={"check": 3, "evidence": 5, "cure": 3}.get(column))
    for item in body["checks"]:
        state = str(item["state"])
        style = STYLES[state] if item["severity"] != "warning" or state != "found" else "yellow"
        cure = item["cure"] if state in {"found", "unknown", "people"} else ""
        result.add_row(
            escape(item["title"][language]),
            f"[{style}]{words[state]}[/{style}]",
            escape(str(item["evidence"])),
            escape(cure),
        )
    return result


def outbox_table(queues: Sequence[Mapping[str, Any]], language: str) -> Table:
    """What a portal that is not released has waiting: kind, to whom, what, and since when."""
    words = WORDS[language]
    result = Table(title=words["outbox"], title_justify="left", show_lines=False)
    for column in ("kind", "to", "what", "when"):
        result.add_column(words[column], overflow="fold")
    for queue in queues:
        for entry in queue["first"]:
            result.add_row(queue["kind"], *(escape(str(entry[name])) for name in ("to", "what", "when")))
        if more := queue["entries"] - len(queue["first"]):
            result.add_row(queue["kind"], words["more"].format(count=more, kind=queue["kind"]), "", "")
    return result


@app.command("verify")
def verify(
    environment: EnvironmentName,
    *,
    inventory: Inventory = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Only checks whose id begins with this, such as case or php.")
    ] = None,
    language: Language = "en",
    output: Annotated[Path | None, typer.Option("--output", help="Also write the JSON into this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Changes nothing. Exit code 4 when something was found."""
    check_words("verify", [environment], language)
    project = find_project()
    body = collect(project, find_inventories(project, inventory or ()), environment, only or ())
    text = json.dumps(body, indent=2, ensure_ascii=False)
    if output:
        write_private(output, f"{text}\n")
    if as_json:
        print(text)
    else:
        table_console().print(table(body, language))
        if body.get("outbox"):
            table_console().print(outbox_table(body["outbox"], language))
    if body["differences"]:
        names = ", ".join(
            item["id"] for item in body["checks"] if item["state"] == "found" and item["severity"] == "error"
        )
        raise DifferencesFound(f"{body['differences']} found: {names}", environment, "see the column 'cure'")
