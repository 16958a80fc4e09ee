"""``encaja carry-over`` and ``encaja reconcile``: the records of the cloud since the backup, carried and proven."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from encaja.cli.options import AsJson, Inventory, Language
from encaja.cli.output import table_console
from encaja.cli.playbook_run import check_words, find_inventories, play
from encaja.errors import ConfigurationError, DifferencesFound
from encaja.runbook.record.workspace import find_project
from encaja.runbook.run.runner_events import Signals

app = typer.Typer(no_args_is_help=True)
group = typer.Typer()
app.add_typer(group, name="carry-over")

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {"entity": "record", "new": "new", "changed": "changed", "in_box": "in the box", "missing": "missing",
           "doubled": "doubled", "differing": "differing", "explained": "fields decided for the box",
           "later": "written later",
           "last": "carried {carried}, missing {missing}, doubled {doubled}, freeze {freeze}", "none": "none",
           "open": "{number} conflicts wait for a decision: encaja carry-over decide", "field": "field",
           "value_in_cloud": "in the cloud", "value_in_box": "in the box", "decided_for": "decided for",
           "conflicts": "Open conflicts"},
    "es": {"entity": "registro", "new": "nuevos", "changed": "cambiados", "in_box": "en la caja", "missing": "faltan",
           "doubled": "dobles", "differing": "difieren", "explained": "campos decididos por la caja",
           "later": "escritos después",
           "last": "traspasados {carried}, faltan {missing}, dobles {doubled}, parada {freeze}", "none": "ninguna",
           "open": "{number} conflictos esperan una decisión: encaja carry-over decide", "field": "campo",
           "value_in_cloud": "en la nube", "value_in_box": "en la caja", "decided_for": "decidido por",
           "conflicts": "Conflictos abiertos"},
}  # fmt: skip
_ALWAYS: Final = frozenset({"lead", "deal", "contact", "company"})
_ANSWER = re.compile(r"(?:(all)|([a-z_]+):([\w:]+?)(?:\.(\w+|\(record\)))?)=(cloud|box)")
_TAG = re.compile(r"(lead|deal|contact|company)[:/ ](\d+)")

Environment = Annotated[str, typer.Option("--environment", "-e", help="The environment of the box.")]


def carry(inventory: Sequence[Path] | None, environment: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Run playbook ``carry_over`` for an environment, and return its document, empty for none.

    Raises:
        EncajaError: a host is unreachable, or the carry-over failed.
    """
    check_words("carry-over", [environment])
    project = find_project()
    console = Console(stderr=True, highlight=False)

    def follow_run(signals: Signals) -> None:
        for _, text in signals.messages:
            console.print(f"[dim]{escape(text)}[/dim]", soft_wrap=True)

    documents = play(
        project,
        find_inventories(project, inventory or ()),
        "carry_over.yml",
        {"carry_over_strict": False, **variables},
        limit=environment,
        where=environment,
        follow=follow_run,
    )
    bodies = [item.body for item in documents if isinstance(item.body, dict)]
    return bodies[-1] if bodies else {}


def table(body: Mapping[str, Any], language: str) -> Table:
    """A reconciliation as a table."""
    words = WORDS[language]
    columns = ["entity", "new", "changed", "in_box", "missing", "doubled", "differing", "explained"]
    columns += ["later"] * bool(body.get("later"))
    result = Table(title=f"{body['cloud']} → {body['box']}", title_justify="left")
    for column in columns:
        result.add_column(words[column], justify="left" if column == "entity" else "right")
    for row in (
        row
        for row in body["entities"]
        if any(row.get(name) for name in ("new", "changed", "later")) or row["entity"] in _ALWAYS
    ):
        bad = row["missing"] or row["doubled"] or row["differing"]
        result.add_row(*(str(row[column]) for column in columns), style="red" if bad else "")
    return result


def conflicts_table(body: Mapping[str, Any], language: str) -> Table:
    """Conflicts with both values, as a table; the first column is what ``decide`` takes."""
    words = WORDS[language]
    result = Table(title=words["conflicts"], title_justify="left")
    for column in ("entity", "field", "value_in_cloud", "value_in_box", "decided_for"):
        result.add_column(words[column])
    for row in (*body["open"], *body["decided"]):
        values = (row[name] for name in ("field", "value_in_cloud", "value_in_box", "decided_for"))
        result.add_row(f"{row['entity']}:{row['cloud']}", *(escape(str(value)) for value in values))
    return result


def read_answers(texts: Sequence[str]) -> list[dict[str, str]]:
    """Read decisions: ``lead:12.title=cloud``, ``deal:8=box`` for all fields of a record, ``all=box``.

    Raises:
        ConfigurationError: lists all that are none.
    """
    found = [_ANSWER.fullmatch(text) for text in texts]
    if wrong := [text for text, match in zip(texts, found, strict=True) if not match]:
        raise ConfigurationError(
            f"no decisions: {', '.join(wrong)}", "decide", "write lead:12.title=cloud, deal:8=box or all=box"
        )
    return [
        {"entity": match[1] or match[2], "cloud": match[3] or "", "field": match[4] or "", "side": match[5]}
        for match in found
        if match
    ]


def last_line(body: Mapping[str, Any], language: str = "en") -> str:
    """The summary: carried N, missing 0, doubled 0, freeze S seconds."""
    words = WORDS[language]
    freeze = words["none"] if body.get("freeze_seconds") is None else f"{body['freeze_seconds']} s"
    return words["last"].format(
        carried=body["carried"], missing=body["missing"], doubled=body["doubled"], freeze=freeze
    )


def _show(body: Mapping[str, Any], language: str, as_json: bool) -> None:
    """Print a document, and end with 4 when it holds differences."""
    if as_json:
        print(json.dumps(body, indent=2, ensure_ascii=False))
    elif body.get("kind") == "reconcile":
        console = Console(highlight=False)
        table_console().print(table(body, language))
        for item in body["records"][:20]:
            values = f"{item['in_cloud']!r} / {item['in_box']!r}"
            console.print(escape(f"  {item['entity']} {item['cloud']} → {item['box']} {item['field']}: {values}"))
        for item in body["faults"][:20]:
            console.print(escape(f"  {item['entity']} {item['cloud']}: {item['what']} ({item['hint']})"))
        for item in body["stragglers"][:20]:
            console.print(escape(f"  {item['at']} {item['by']}: {item['entity']} {item['cloud']}"))
        for note in body["notes"]:
            console.print(escape(f"  {note}"))
        if body.get("open_conflicts"):
            console.print(escape(f"  {WORDS[language]['open'].format(number=body['open_conflicts'])}"))
        console.print(f"[bold]{last_line(body, language)}[/bold]")
    elif body.get("kind") == "carry-over-conflicts":
        Console(highlight=False).print(conflicts_table(body, language))
    elif body:
        for name, value in body.items():
            if name not in {"kind", "host", "environment"} and value not in ([], {}, ""):
                print(f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    if body.get("differences"):
        raise DifferencesFound(f"{body['differences']} records differ", str(body["box"]), "see the list; rerun it")


@group.callback(invoke_without_command=True)
def carry_over(
    context: typer.Context,
    *,
    inventory: Inventory = None,
    environment: Environment = "production",
    since: Annotated[str, typer.Option("--since", help="From when on (ISO 8601); else since 'prepare'.")] = "",
    follow: Annotated[bool, typer.Option("--follow", help="Continue, and show how far behind it is.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="With --follow: return at once.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be carried; write nothing.")] = False,
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Both sides are compared afterwards. Exit code 4 when something differs."""
    if context.invoked_subcommand:
        return
    if follow and dry_run:
        raise ConfigurationError("--follow and --dry-run exclude each other", "carry-over", "give one of them")
    mode = "follow" if follow else "preview" if dry_run else "once"
    watched = {"carry_over_attached": True} if follow and not detach else {}
    _show(carry(inventory, environment, _given(mode, since) | watched), language, as_json)


@group.command("prepare")
def prepare(inventory: Inventory = None, environment: Environment = "production") -> None:
    """Before the backup is ordered: check that the cloud can be read, and note the start time."""
    _show(carry(inventory, environment, _given("prepare")), "en", as_json=False)


@group.command("stop")
def stop(inventory: Inventory = None, environment: Environment = "production") -> None:
    """Stop a carry-over that follows; it can be started again at any time."""
    carry(inventory, environment, _given("stop"))


@group.command("decide")
def decide(
    answers: Annotated[
        list[str] | None, typer.Argument(help="lead:12.title=cloud, deal:8=box (all its fields) or all=box.")
    ] = None,
    inventory: Inventory = None,
    environment: Environment = "production",
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """List the conflicts that wait for a decision, or decide them; the next round applies the decisions."""
    decisions = read_answers(answers or [])
    body = carry(inventory, environment, _given("decide") | {"carry_over_decisions": decisions})
    _show(body, language, as_json)


@group.command("tag-tests")
def tag_tests(
    records: Annotated[list[str], typer.Argument(help="Records of the box: lead:12 contact:7 …")],
    inventory: Inventory = None,
    environment: Environment = "production",
) -> None:
    """Mark records of the box as test data."""
    found = [_TAG.fullmatch(text) for text in records]
    if wrong := [text for text, match in zip(records, found, strict=True) if not match]:
        raise ConfigurationError(f"no records: {', '.join(wrong)}", "tag-tests", "write lead:12, deal:5, contact:7")
    tests = [{"entity": match[1], "id": int(match[2])} for match in found if match]
    _show(carry(inventory, environment, _given("tag-tests") | {"carry_over_tests": tests}), "en", as_json=False)


@group.command("forget-tests")
def forget_tests(inventory: Inventory = None, environment: Environment = "production") -> None:
    """Delete the records of the box that are marked as test data, and only those."""
    _show(carry(inventory, environment, _given("forget-tests")), "en", as_json=False)


@app.command("reconcile")
def reconcile(
    inventory: Inventory = None,
    environment: Environment = "production",
    since: Annotated[str, typer.Option("--since", help="From when on (ISO 8601).")] = "",
    language: Language = "en",
    as_json: AsJson = False,
) -> None:
    """Exit code 4 when something differs."""
    _show(carry(inventory, environment, _given("reconcile", since)), language, as_json)


def _given(mode: str, since: str = "") -> dict[str, Any]:
    return {"carry_over_mode": mode, **({"carry_over_since": since} if since else {})}
