"""`encaja clone` and `encaja compare`: a full, neutralised copy of an environment, and what differs between two."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from encaja.atomic import write_private
from encaja.cli.options import AsJson, Inventory, Language
from encaja.cli.output import table_console
from encaja.cli.playbook_run import check_words, find_inventories, play
from encaja.clone.direction import TARGETS
from encaja.compare.differences import KIND
from encaja.compare.page import WORDS, to_html
from encaja.errors import ConfigurationError, DifferencesFound, EncajaError
from encaja.runbook.durations import format_span
from encaja.runbook.record.workspace import find_project
from encaja.runbook.report.live_display import amount
from encaja.runbook.run.runner_events import Signals

app = typer.Typer(no_args_is_help=True)

_SAID: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {"ask": "Everything on {target} will be replaced by a copy of {source}. Type {target} to continue",
           "done": "{target} is a neutralised copy of {source} ({span})"},
    "es": {"ask": "Todo en {target} se sustituirá por una copia de {source}. Escriba {target} para seguir",
           "done": "{target} es una copia neutralizada de {source} ({span})"},
}  # fmt: skip


def tables(body: Mapping[str, Any], language: str, names: bool = False) -> list[Table]:
    """A comparison as tables: the sections, what differs, and what is as it should be (with all names, if wanted)."""
    words = WORDS[language]
    summary = Table(title=f"{body['a']} · {body['b']}", title_justify="left")
    summary.add_column(words["section"])
    for column in ("compared", "equal", "expected", "different"):
        summary.add_column(words[column], justify="right")
    for row in body["sections"]:
        different = f"[bold red]{row['different']}[/bold red]" if row["different"] else "0"
        summary.add_row(
            row["section"][language], str(row["compared"]), str(row["equal"]), str(row["expected"]), different
        )
    result = [summary]
    if body["found"]:
        found = Table(title=words["found"], title_justify="left")
        for column, ratio in ((words["section"], 2), (words["name"], 5), (body["a"], 5), (body["b"], 5)):
            found.add_column(column, overflow="fold", ratio=ratio)
        for row in body["found"]:
            values = ("[dim]-[/dim]" if row[side] is None else escape(row[side]) for side in ("a", "b"))
            found.add_row(row["section"][language], escape(row["name"]), *values)
        result.append(found)
    if body["expected"]:
        expected = Table(title=words["expected"].capitalize(), title_justify="left")
        for column in ("section", "why"):
            expected.add_column(words[column], overflow="fold")
        expected.add_column(words["count"], justify="right")
        if names:
            expected.add_column(words["names"], overflow="fold")
        for row in body["expected"]:
            why = row["why"].get(language) or next(iter(row["why"].values()))
            listed = (escape(", ".join(row["names"])),) if names else ()
            expected.add_row(row["section"][language], escape(why), str(row["count"]), *listed)
        result.append(expected)
    return result


def _confirm(source: str, target: str, given: str, language: str) -> None:
    """Refuse a copy in the wrong direction, or one that is not confirmed by the target's name."""
    check_words("clone", [source, target], language)
    if target not in TARGETS:
        raise ConfigurationError(f"{target} is never a target", "clone", f"use {' or '.join(TARGETS)}")
    if source == target:
        raise ConfigurationError(f"source and target are both {source}", "clone", "give two environments")
    if not given and sys.stdin.isatty():
        given = typer.prompt(_SAID[language]["ask"].format(source=source, target=target))
    if given != target:
        raise ConfigurationError(f"overwriting {target} is not confirmed", "clone", f"confirm it: --confirm {target}")


class Progress:
    """Shows the part under way: a line per play, and the task with its amounts on the last line of a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._task = ""
        self._status = Status("", console=console)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def __call__(self, signals: Signals) -> None:
        """Show what the playbook reports."""
        if signals.play:
            elapsed = format_span(time.monotonic() - self._began)
            self._console.print(f"[dim]{elapsed:>10}[/dim]  {escape(signals.play)}")
        self._task = signals.task or self._task
        words = [f"{measure.name}: {amount(measure)}" for measure in signals.measures]
        words = words or [message for _, message in signals.messages]
        if words or signals.task:
            self._status.update(escape(" · ".join([self._task, *words])))


@app.command("clone")
def clone(
    source: Annotated[str, typer.Argument(help="The environment to copy.")],
    target: Annotated[str, typer.Argument(help="preproduction or test: all of it is replaced.")],
    *,
    inventory: Inventory = None,
    confirm: Annotated[str, typer.Option("--confirm", help="The target's name once more.")] = "",
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """If it is interrupted, the copy stays isolated; run it again."""
    _confirm(source, target, confirm, language)
    project = find_project()
    inventories = find_inventories(project, inventory or ())
    variables = {"clone_source": source, "clone_target": target, "clone_confirm": target}
    console = Console(stderr=True, highlight=False)
    began = time.monotonic()
    with Progress(console) as progress:
        documents = play(project, inventories, "clone.yml", variables, where=f"{source} -> {target}", follow=progress)
    span = format_span(time.monotonic() - began)
    console.print(f"[green]✓[/green] {_SAID[language]['done'].format(source=source, target=target, span=span)}")
    if as_json:
        bodies = [document.body for document in documents]
        print(json.dumps({"kind": "clone", "source": source, "target": target, "documents": bodies}, indent=2))


@app.command("compare")
def compare(
    a: Annotated[str, typer.Argument(help="An environment, usually production.")],
    b: Annotated[str, typer.Argument(help="The other environment.")],
    *,
    inventory: Inventory = None,
    drift: Annotated[
        float, typer.Option("--drift", min=0, max=100, help="Per cent by which rows of a table may differ.")
    ] = 0.0,
    language: Language = "en",
    output: Annotated[Path | None, typer.Option("--output", help="Also write a file: .html, or JSON.")] = None,
    names: Annotated[bool, typer.Option("--all", help="Also name every expected difference.")] = False,
    as_json: AsJson = False,
) -> None:
    """Changes nothing. Exit code 4 when they differ in what should be the same."""
    check_words("compare", [a, b], language)
    if a == b:
        raise ConfigurationError(f"{a} is compared with itself", "compare", "give two environments")
    project = find_project()
    body = _collect(project, find_inventories(project, inventory or ()), a, b, drift)
    text = json.dumps(body, indent=2, ensure_ascii=False)
    if output:
        page = to_html(body, language) if output.suffix in {".html", ".htm"} else f"{text}\n"
        write_private(output, page)
    if as_json:
        print(text)
    else:
        console = table_console()
        for table in tables(body, language, names):
            console.print(table)
    if body["differences"]:
        where = ", ".join(row["section"]["en"] for row in body["sections"] if row["different"])
        raise DifferencesFound(f"{body['differences']} differences, in {where}", f"{a} and {b}", "see the table")


def _collect(project: Path, inventories: tuple[Path, ...], a: str, b: str, drift: float) -> dict[str, Any]:
    """The comparison that playbook `compare` published."""
    variables = {"compare_a": a, "compare_b": b, "compare_drift": drift, "compare_strict": False}
    for document in play(project, inventories, "compare.yml", variables, where=f"{a} and {b}"):
        if isinstance(document.body, dict) and document.body.get("kind") == KIND:
            return document.body
    raise EncajaError("the playbook published no comparison", f"{a} and {b}", "run it with ansible-playbook")
