"""`encaja init`: make a project."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from encaja.errors import ConfigurationError
from encaja.project import PLACEHOLDERS, VAULT_PASSWORD, Answers, make_project

app = typer.Typer(no_args_is_help=True)

_WHERE = f"{', '.join(PLACEHOLDERS)}; production's where none is named"


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is empty or does not exist.")],
    domain: Annotated[
        list[str] | None, typer.Option("--domain", help=f"A portal's host name, as test=NAME ({_WHERE}).")
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option("--host", help=f"Its address for SSH, as test=ADDRESS ({_WHERE}).")
    ] = None,
) -> None:
    """The secrets are encrypted with a generated password."""
    make_project(folder.absolute(), Answers(_pairs("--domain", domain or ()), _pairs("--host", host or ())))
    vault = folder / VAULT_PASSWORD
    typer.echo(
        f"{folder}: a project with three environments and generated, encrypted secrets\n"
        f"{vault} decrypts them: keep a copy elsewhere, git ignores it\n"
        f"next: cd {folder}; 'encaja check' lists what is left to fill in, 'encaja vault edit' opens a vault"
    )


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """What was given for each place."""
    found: dict[str, str] = {}
    for item in given:
        place, equals, value = item.partition("=")
        place, value = (place, value) if equals else ("production", item)
        if place in found:
            raise ConfigurationError(f"two values for {place}", option, "give one")
        found[place] = value
    return found
