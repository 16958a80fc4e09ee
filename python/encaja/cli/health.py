"""`encaja health`: the health of an environment's hosts on one screen, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table

from encaja.cli.options import AsJson, Inventory, Language
from encaja.cli.output import table_console
from encaja.cli.playbook_run import check_words, find_inventories, play
from encaja.errors import ConfigurationError, DifferencesFound
from encaja.runbook.record.workspace import find_project

app = typer.Typer(no_args_is_help=True)

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {"host": "host", "what": "what", "state": "state", "evidence": "evidence", "cure": "to do", "ok": "ok",
           "warning": "warning", "fault": "FAULT", "unknown": "unknown",
           "looked": "{count} looked at"},
    "es": {"host": "servidor", "what": "qué", "state": "estado", "evidence": "evidencia", "cure": "qué hacer",
           "ok": "bien", "warning": "aviso", "fault": "FALLO", "unknown": "desconocido",
           "looked": "{count} comprobaciones"},
}  # fmt: skip
STYLES: Final = {"ok": "green", "warning": "yellow", "fault": "bold red", "unknown": "dim"}
_SILENT: Final = "see whether it is up, and whether role monitoring is on it (playbooks/monitoring.yml)"


def collect(project: Path, inventories: Sequence[Path], environment: str) -> list[dict[str, Any]]:
    """Look at all hosts and return what each showed: ``host``, ``environment`` and ``readings``.

    A host that does not answer has one reading, a fault.

    Raises:
        ConfigurationError: there is no host.
        EncajaError: the playbook failed.
    """
    documents = play(project, inventories, "health.yml", {}, limit=environment, where=environment)
    found = [dict(item.body) for item in documents if isinstance(item.body, dict) and item.body.get("kind") == "health"]
    if not found:
        raise ConfigurationError(
            "no host was seen", environment or "inventory", "name hosts in the groups of functions"
        )
    for body in found:
        if fault := body.pop("fault"):
            lines = str(fault).strip().splitlines()
            body["readings"] = [{"id": "host", "state": "fault", "evidence": lines[-1], "cure": _SILENT}]
    return sorted({body["host"]: body for body in found}.values(), key=lambda body: (body["environment"], body["host"]))


def table(hosts: Sequence[Mapping[str, Any]], language: str, *, everything: bool) -> Table:
    """A host's faults, one a line, or one line that says that it is well; or everything that was looked at."""
    words = WORDS[language]
    result = Table(show_lines=False)
    for column in ("host", "what", "state", "evidence", "cure"):
        result.add_column(words[column], overflow="fold")
    for body in hosts:
        readings = body["readings"]
        shown = [item for item in readings if everything or item["state"] not in {"ok", "unknown"}]
        name = f"{body['environment']} · {body['host']}"
        if not shown:
            looked = sum(item["state"] == "ok" for item in readings)
            result.add_row(escape(name), "", f"[green]{words['ok']}[/green]", words["looked"].format(count=looked), "")
        for item in shown:
            style = STYLES[item["state"]]
            result.add_row(
                escape(name), escape(item["id"]), f"[{style}]{words[item['state']]}[/{style}]",
                escape(item["evidence"]), escape(item["cure"]),
            )  # fmt: skip
            name = ""
    return result


@app.command("health")
def health(
    environment: Annotated[
        str, typer.Argument(metavar="[ENVIRONMENT]", help="production, preproduction or test; else all hosts.")
    ] = "",
    *,
    inventory: Inventory = None,
    everything: Annotated[bool, typer.Option("--all", help="Show what is well, too.")] = False,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Changes nothing and tells nobody. Exit code 4 when there is a fault; a warning alone is none."""
    check_words("health", [environment] if environment else [], language)
    project = find_project()
    hosts = collect(project, find_inventories(project, inventory or ()), environment)
    if as_json:
        print(json.dumps(hosts, indent=2, ensure_ascii=False))
    else:
        table_console().print(table(hosts, language, everything=everything))
    faults = [f"{body['host']} {item['id']}" for body in hosts for item in body["readings"] if item["state"] == "fault"]
    if faults:
        raise DifferencesFound(f"{len(faults)} faults: {', '.join(faults)}", environment or "all hosts", "see 'to do'")
