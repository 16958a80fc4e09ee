"""Where a move lives: its project, state directory, run-book and inventories."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from encaja.errors import ConfigurationError
from encaja.runbook.book.loader import load_runbook
from encaja.runbook.book.model import Action, Runbook, Step, Text
from encaja.runbook.book.requirements import requirements
from encaja.runbook.record.journal import Journal

STATE_VARIABLE = "ENCAJA_STATE"
INVENTORY_VARIABLE = "ENCAJA_INVENTORY"
RUNBOOK_VARIABLE = "ENCAJA_RUNBOOK"
RUNBOOK_NAME = "runbook.yml"
JOURNAL_NAME = "journal.sqlite3"
_NAME = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
REQUIREMENTS = "$requirements"
# What people call the environments.
_SPOKEN = {
    "en": {"preproduction": "pre-production"},
    "es": {"production": "producción", "preproduction": "preproducción", "test": "pruebas"},
}
DEFAULT_PASS = "cutover"  # noqa: S105 - a pass through the run-book


@dataclass(frozen=True)
class Move:
    """One move: everything that the conductor needs to know besides the journal."""

    project: Path
    state: Path
    runbook: Runbook
    inventories: tuple[Path, ...]
    chosen: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        steps = tuple(self._spoken(step) for step in self.runbook.steps)
        object.__setattr__(self, "runbook", replace(self.runbook, steps=steps))

    def _spoken(self, step: Step) -> Step:
        """A step whose texts say where it works in this move."""
        return replace(
            step,
            title=self._said(step.title),
            undo=self._said(step.undo),
            help=self._said(step.help),
            proof=replace(step.proof, text=self._said(step.proof.text)),
        )

    def _said(self, text: Text) -> Text:
        return Text(self._in_words(text.en, "en"), self._in_words(text.es, "es"))

    def _in_words(self, text: str, language: str) -> str:
        spoken = {name: _SPOKEN[language].get(value, value) for name, value in self.runbook.settings.variables.items()}
        return _NAME.sub(lambda match: spoken.get(match[1] or match[2], match[0]), text)

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.state / JOURNAL_NAME

    @property
    def lock(self) -> Path:
        """The lock's file."""
        return self.state / "lock"

    @property
    def title(self) -> str:
        """The move's name for people."""
        return self.runbook.settings.name or self.project.name

    def fill(self, value: Any) -> Any:
        """`value` with `$target` and the like replaced in all its strings; any other `$` stays as it is."""
        variables = self.runbook.settings.variables
        if isinstance(value, str):
            return _NAME.sub(lambda match: variables.get(match[1] or match[2], match[0]), value)
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.fill(item) for item in value)
        return value

    def requirements(self) -> list[dict[str, Any]]:
        """What the run-book's steps require of the inventory, see `encaja.runbook.book.requirements`."""
        found: list[dict[str, Any]] = self.fill(requirements(self.runbook, self.project))
        return found

    def filled(self, action: Action) -> Action:
        """`action` with the move's variables put in; a variable that is `$requirements` becomes those of the steps."""
        return replace(
            action,
            command=self.fill(action.command),
            limit=self.fill(action.limit),
            tags=self.fill(action.tags),
            skip_tags=self.fill(action.skip_tags),
            variables={
                name: self.requirements() if value == REQUIREMENTS else self.fill(value)
                for name, value in action.variables.items()
            },
        )

    def step(self, step_id: str) -> Step:
        """The step of this id.

        Raises:
            ConfigurationError: there is none.
        """
        step = self.runbook.get(step_id)
        if step is None:
            raise ConfigurationError(f"there is no step '{step_id}'", "run-book", "see 'encaja plan' for the ids")
        return step


def find_project(start: Path | None = None) -> Path:
    """The nearest directory upwards of `start` (the current one by default) that holds `inventories/` or `playbooks/`.

    Raises:
        ConfigurationError: there is none.
    """
    here = (start or Path.cwd()).resolve()
    for directory in (here, *here.parents):
        if any((directory / name).is_dir() for name in ("inventories", "playbooks")):
            return directory
    raise ConfigurationError(
        "no project here, neither 'inventories' nor 'playbooks'",
        str(here),
        "change into the project's folder, or make one with 'encaja init DIR'",
    )


def open_move(
    *,
    project: Path | None = None,
    state: Path | None = None,
    inventories: Sequence[Path] = (),
    runbooks: Sequence[Path] = (),
    variables: Sequence[tuple[str, str]] = (),
    pass_name: str | None = None,
) -> Move:
    """The move as options, environment, journal and files describe it.

    Run-book files are laid over the shipped one in this order: `runbook.yml` of the project, `runbook.yml` next to
    the first inventory, those given. Inventories are those given, or of the environment, or those that the pass began
    with (the latest pass where none is named), or of the run-book. A pass keeps its variables too.

    Raises:
        ConfigurationError: something is missing or wrong, each fault on a line of its own.
    """
    root = project.resolve() if project else find_project()
    directory = (state or _state_directory(root)).resolve()
    begun = _begun_with(directory / JOURNAL_NAME, pass_name)
    remembered = tuple(path for item in begun.get("inventories", ()) if (path := Path(item)).exists())
    given = tuple(inventories) or _from_environment(INVENTORY_VARIABLE) or remembered
    files = tuple(runbooks) or _from_environment(RUNBOOK_VARIABLE)
    runbook = load_runbook(root, _overrides(root, given, files))
    if not given and runbook.settings.inventory:
        given = tuple(root / name for name in runbook.settings.inventory)
        runbook = load_runbook(root, _overrides(root, given, files))
    paths = tuple(path if path.is_absolute() else _located(path, root) for path in given)
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise ConfigurationError("no such inventory", ", ".join(missing), "give an existing file or directory with -i")
    chosen = {**begun.get("set", {}), **dict(variables)}
    if chosen:
        merged = {**runbook.settings.variables, **chosen}
        runbook = replace(runbook, settings=replace(runbook.settings, variables=merged))
    return Move(root, directory, runbook, paths, chosen)


def project_inventories(project: Path) -> tuple[Path, ...]:
    """The inventories that the project's run-book names; where it names none, those that the latest pass began with.

    Raises:
        ConfigurationError: one of them is missing, or the run-book has faults.
    """
    named = load_runbook(project, _overrides(project, (), ())).settings.inventory
    return open_move(project=project, inventories=[project / name for name in named]).inventories


def _begun_with(journal: Path, pass_name: str | None) -> Mapping[str, Any]:
    """What a pass was begun with; nothing where it has not begun."""
    if not journal.exists():
        return {}
    with Journal(journal, create=False) as opened:
        known = [item for item in opened.passes() if pass_name in (None, item.name)]
    return known[-1].details if known else {}


def _state_directory(root: Path) -> Path:
    named = os.environ.get(STATE_VARIABLE)
    return Path(named) if named else root / ".encaja"


def _from_environment(name: str) -> tuple[Path, ...]:
    return tuple(Path(item) for item in os.environ.get(name, "").split(":") if item)


def _located(path: Path, root: Path) -> Path:
    return path.resolve() if path.exists() else (root / path).resolve()


def _overrides(root: Path, inventories: Sequence[Path], files: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for directory in (root, *(_located(path, root) for path in inventories[:1])):
        candidate = (directory if directory.is_dir() else directory.parent) / RUNBOOK_NAME
        if candidate.is_file() and candidate not in found:
            found.append(candidate)
    return found + [path for path in files if path not in found]


def whoami() -> str:
    """The name that stands in the journal for the one at the keyboard."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
