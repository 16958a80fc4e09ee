"""The command line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from encaja.cli.commands import COMMANDS, load
from encaja.errors import EncajaError

# click's UsageError: Typer exports only its child, and newer ones bring a click of their own.
_USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]


class LazyGroup(TyperGroup):
    """Lists commands from the table and imports a module only to run its command."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command: a line for the help, or the real one once it is called."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if ctx.meta.get("encaja.resolving"):
            return load(cmd_name)
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
    help="Moves a Bitrix24 portal from the cloud to its own hosts, and maintains them.",
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
    line = f"encaja: internal error: {kind}: {error} (--debug shows where; please report it)"
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
