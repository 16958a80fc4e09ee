"""A playbook that a command runs, and the documents that it publishes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from encaja.errors import ConfigurationError, EncajaError
from encaja.runbook.book.model import Action
from encaja.runbook.record.journal import Document
from encaja.runbook.record.workspace import INVENTORY_VARIABLE, project_inventories
from encaja.runbook.run.ansible_command import action_command, ansible_environment, write_variables
from encaja.runbook.run.execution import run_playbook
from encaja.runbook.run.runner_events import Signals
from encaja.vocabulary import ENVIRONMENTS, LANGUAGES


def find_inventories(project: Path, given: Sequence[Path]) -> tuple[Path, ...]:
    """The inventories given, or those of the environment, or those that the project's run-book names."""
    named = tuple(given) or tuple(Path(item) for item in os.environ.get(INVENTORY_VARIABLE, "").split(":") if item)
    if not named:
        return project_inventories(project)
    if missing := [str(path) for path in named if not path.exists()]:
        raise ConfigurationError("no such inventory", ", ".join(missing), "give an existing file or directory with -i")
    return tuple(path.resolve() for path in named)


def check_words(command: str, environments: Sequence[str], language: str = "en") -> None:
    """Refuse an environment or a language that does not exist.

    Raises:
        ConfigurationError: with all faults.
    """
    unknown = [repr(name) for name in environments if name not in ENVIRONMENTS]
    if unknown:
        raise ConfigurationError(f"no environment {', '.join(unknown)}", command, f"use {', '.join(ENVIRONMENTS)}")
    if language not in LANGUAGES:
        raise ConfigurationError(f"no language {language!r}", "--language", "use en or es")


def play(
    project: Path,
    inventories: Sequence[Path],
    name: str,
    variables: Mapping[str, Any],
    *,
    limit: str = "",
    where: str = "",
    follow: Callable[[Signals], None] | None = None,
) -> list[Document]:
    """Run a playbook to its end and return the documents that it published.

    Args:
        project: where the kit is.
        inventories: what it runs on.
        name: the playbook's file, below ``playbooks``.
        variables: extra variables; they go by file.
        limit: hosts or groups.
        where: what the command is about, for the error.
        follow: called with what the playbook reports while it runs.

    Raises:
        EncajaError: a host is unreachable, or a task failed.
    """
    with tempfile.TemporaryDirectory(prefix="encaja-") as temporary:
        directory = Path(temporary)
        action = Action(playbook=name, limit=limit)
        command = action_command(project, action, inventories, variables_file=write_variables(directory, variables))
        execution = run_playbook(0, directory, project, command, ansible_environment(project, os.environ))
        try:
            for signals in execution:
                if signals is not None and follow is not None:
                    follow(signals)
        except BaseException:
            execution.stop()
            raise
    ending = execution.ending
    if ending.faults:
        shown = [fault for fault in ending.faults if "output is hidden" not in fault.what]
        fault = (shown or ending.faults)[-1]
        raise EncajaError(fault.what, fault.host or where, fault.hint or "see the playbook's output")
    if ending.code:
        raise EncajaError(f"{name} ended with code {ending.code}", where, "run it with ansible-playbook to see more")
    return ending.documents
