"""The command line. Groups are loaded when they are called, so that `encaja --help` stays quick."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from encaja.errors import EncajaError

# click's UsageError: Typer exports only its child, and newer ones bring a click of their own.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


@dataclass(frozen=True)
class Entry:
    """Where a command lives: in `encaja.cli.MODULE`, whose `app` is the command itself if `group`, or else holds it.

    A module with a function `register(app)` adds its commands itself.
    """

    module: str
    help: str
    panel: str
    group: bool = False


_MOVE, _PORTAL, _TOOLS = "The move", "The portal and its copies", "Tools"
COMMANDS: dict[str, Entry] = {
    "init": Entry("init", "Make a project: inventories of three environments, with generated secrets.", _MOVE),
    "check": Entry("runbook", "Preflight: everything that would stop the move, at once; changes nothing.", _MOVE),
    "plan": Entry("runbook", "The run-book: steps, owners, gates, estimates.", _MOVE),
    "run": Entry("runbook", "Go on from where the journal stands.", _MOVE),
    "approve": Entry("runbook", "Say yes at a gate, by name.", _MOVE),
    "reject": Entry("runbook", "Say no at a gate, by name and with the reason.", _MOVE),
    "status": Entry("runbook", "Where the move stands.", _MOVE),
    "journal": Entry("runbook", "What happened; 'journal add' notes something by hand.", _MOVE),
    "forecast": Entry("runbook", "When each step and the whole will be over, and what the gap costs.", _MOVE),
    "report": Entry("runbook", "One HTML file (or JSON) about the move.", _MOVE),
    "notice": Entry("runbook", "A text for the people concerned: shown, or sent.", _MOVE),
    "backup": Entry(
        "backup", "A backup in the vendor's format: info, verify, unpack, fetch, restore.", _PORTAL, group=True
    ),
    "verify": Entry("portal", "Verify an environment against the case's checklist.", _PORTAL),
    "clone": Entry("clone", "Make one environment a full, neutralised copy of another.", _PORTAL),
    "compare": Entry("clone", "Compare two environments.", _PORTAL),
    "carry-over": Entry("carryover", "Carry over what was made in the cloud since the backup.", _PORTAL),
    "reconcile": Entry("carryover", "Prove that nothing is missing and nothing doubled.", _PORTAL),
    "playbook": Entry("ansible", "Run a playbook of the kit with ansible-playbook.", _TOOLS),
    "vault": Entry("ansible", "Edit or view secrets with ansible-vault.", _TOOLS),
    "certificate": Entry("certificate", "List and check certificates.", _TOOLS, group=True),
    "telephony": Entry("telephony", "Test calls.", _TOOLS, group=True),
    "lab": Entry("lab", "The whole estate on this machine.", _TOOLS, group=True),
}


def _exists(entry: Entry) -> bool:
    return find_spec(f"encaja.cli.{entry.module}") is not None


def available() -> list[str]:
    """Names of the commands whose modules exist."""
    return [name for name, entry in COMMANDS.items() if _exists(entry)]


def _load(name: str, entry: Entry) -> Any:
    """The real command: a module's whole `app` for a group, else the command of that name that it registers."""
    module = importlib.import_module(f"encaja.cli.{entry.module}")
    holder = typer.Typer(add_completion=False)
    holder.callback()(lambda: None)
    own = getattr(module, "app", None)
    if entry.group and own is not None:
        holder.add_typer(own, name=name)
    elif hasattr(module, "register"):
        module.register(holder)
    elif own is not None:
        holder.add_typer(own)
    group: Any = typer.main.get_command(holder)
    return group.commands.get(name)


class LazyGroup(TyperGroup):
    """Lists commands from a table and imports a module only to run its command."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands whose modules exist."""
        del ctx
        return available()

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command: a line for the help, or the real one once it is called."""
        entry = COMMANDS.get(cmd_name)
        if entry is None or not _exists(entry):
            return None
        if ctx.meta.get("encaja.resolving"):
            return _load(cmd_name, entry)
        return TyperCommand(cmd_name, help=entry.help, rich_help_panel=entry.panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command that was called and loads it."""
        ctx.meta["encaja.resolving"] = True
        try:
            return super().resolve_command(ctx, args)
        finally:
            ctx.meta["encaja.resolving"] = False


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Moves a Bitrix24 portal from the cloud to its own hosts, and keeps them.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - reads the package's metadata, for this option only

        typer.echo(f"encaja {version('encaja')}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del debug, version


def run(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code; every error is a line on standard error."""
    debug = "--debug" in arguments
    try:
        result = app(args=[word for word in arguments if word != "--debug"], prog_name="encaja", standalone_mode=False)
    except Exception as error:
        line, code = _explain(error)
        if debug:
            traceback.print_exc()
        if line:
            print(line, file=sys.stderr)
        return code
    except KeyboardInterrupt:
        print("encaja: stopped", file=sys.stderr)
        return 1
    return result if isinstance(result, int) else 0


def _explain(error: Exception) -> tuple[str, int]:
    """The line and the exit code for an error."""
    kind = type(error).__name__
    line = f"encaja: a fault of the program itself: {kind}: {error} (--debug shows where; please report it)"
    code = 1
    if isinstance(error, typer.Exit):
        line, code = "", error.exit_code
    elif isinstance(error, typer.Abort):
        line = "encaja: stopped"
    elif isinstance(error, EncajaError):
        line, code = str(error), error.exit_code
    elif isinstance(error, _USAGE_ERROR):
        context = getattr(error, "ctx", None)
        where = context.command_path if context else "encaja"
        message = getattr(error, "message", str(error)).strip()
        line = message if "\n" in message or not message else f"{where}: {message} (see '{where} --help')"
        code = 2
    elif isinstance(error, BrokenPipeError):
        line = ""
    elif isinstance(error, OSError):
        line = f"{error.filename or 'encaja'}: {error.strerror or error} (--debug shows where)"
    return line, code


def main() -> None:
    """The entry point of the `encaja` program."""
    sys.exit(run(sys.argv[1:]))
