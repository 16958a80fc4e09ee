"""`encaja playbook` and `encaja vault`: Ansible's programs with the kit's collection and the project's settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from encaja.cli.playbook_run import find_inventories
from encaja.runbook.book.playbooks import find_playbook
from encaja.runbook.record.workspace import find_project
from encaja.runbook.run.ansible_command import GROUPS, ansible_environment, inventory_arguments, program

app = typer.Typer(no_args_is_help=True)

_AS_THEY_ARE = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@app.command("playbook", context_settings=_AS_THEY_ARE)
def playbook(
    words: Annotated[list[str], typer.Argument(metavar="NAME.yml…", help="Whatever ansible-playbook takes.")],
) -> None:
    """It runs on all inventories of the project, or on those given with -i."""
    project = find_project()
    given = any(word.startswith(("-i", "--inventory")) for word in words)
    inventories = ["-i", str(GROUPS)] if given else inventory_arguments(find_inventories(project, ()))
    _become("ansible-playbook", project, [*(_found(project, word) for word in words), *inventories])


@app.command("vault", context_settings=_AS_THEY_ARE)
def vault(
    words: Annotated[list[str], typer.Argument(metavar="edit|view FILE…", help="Whatever ansible-vault takes.")],
) -> None:
    """The password is the one that the project's ansible.cfg names."""
    _become("ansible-vault", find_project(), words)


def _found(project: Path, word: str) -> str:
    """A word of the command line; the file's path where it names a playbook of the kit."""
    if not word.endswith((".yml", ".yaml")) or word.startswith("-") or Path(word).exists():
        return word
    return str(find_playbook(project, word.removeprefix("playbooks/")) or word)


def _become(name: str, project: Path, words: Sequence[str]) -> NoReturn:
    environment = {**os.environ, **ansible_environment(project, os.environ)}
    del environment["ANSIBLE_NOCOLOR"]
    path = program(name)
    os.execve(path, [path, *words], environment)  # noqa: S606 - its arguments are the caller's own
