"""The run-book as typed data: steps, phases, owners, and how long things take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any


class Owner(StrEnum):
    """Whose duty a step is."""

    CONTRACTOR = "contractor"
    CLIENT = "client"


class Urgency(StrEnum):
    """How much an idle hour in a phase costs."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Kind(StrEnum):
    """What a step runs."""

    PLAYBOOK = "playbook"
    COMMAND = "command"
    CHECK = "check"
    HUMAN = "human"


class Scale(StrEnum):
    """What a step's duration grows with, for the forecast."""

    FIXED = "fixed"
    LINK = "link"
    BYTES = "bytes"
    RECORDS = "records"


class RetryOn(StrEnum):
    """Which failures a retry rule covers."""

    UNREACHABLE = "unreachable"
    FAILED = "failed"


@dataclass(frozen=True)
class Text:
    """A short text in each language of the kit."""

    en: str
    es: str

    def get(self, language: str) -> str:
        """The text in `language` ("en" or "es"); English where that is empty."""
        return (self.es if language == "es" else self.en) or self.en


@dataclass(frozen=True)
class Action:
    """One thing that the conductor starts: a playbook, or a command on the controller.

    Exactly one of `playbook` (a path below `playbooks/` or the project) and `command` (an argument list) is set.
    `$target`, `$source` and the other variables of the move are replaced in every string when the action is started.
    """

    playbook: str = ""
    command: tuple[str, ...] = ()
    limit: str = ""
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What a person would call it: the playbook's file name or the command."""
        return self.playbook or " ".join(self.command)


@dataclass(frozen=True)
class Proof:
    """How it is known that a step did what it should, besides what the conductor runs after it (`Step.verify`).

    `checks` are ids of `encaja verify` (or how they begin) that `Step.verify` runs, `steps` later steps that prove
    it, `text` says it where a step proves itself.
    """

    checks: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    text: Text = field(default_factory=lambda: Text("", ""))


@dataclass(frozen=True)
class Retry:
    """A rule that starts a failed step again by itself.

    `times` further attempts, the first after `delay`, every next one after twice the time before.
    """

    times: int = 0
    delay: timedelta = timedelta(seconds=10)
    when: frozenset[RetryOn] = frozenset({RetryOn.UNREACHABLE})


@dataclass(frozen=True)
class Step:
    """One line of the run-book.

    `requires` are variables of the inventory without which the step cannot do its work, each as the names of which one
    needs a value; `brings` are those that are only known once the step is done.
    """

    id: str
    phase: int
    title: Text
    owner: Owner
    kind: Kind
    action: Action | None
    needs: tuple[str, ...]
    estimate: timedelta
    urgency: Urgency
    verify: Action | None = None
    proof: Proof = field(default_factory=Proof)
    undo: Text = field(default_factory=lambda: Text("", ""))
    undo_action: Action | None = None
    help: Text = field(default_factory=lambda: Text("", ""))
    destructive: bool = False
    targets: tuple[str, ...] = ()
    never_on: tuple[str, ...] = ()
    only_on: tuple[str, ...] = ()
    retry: Retry = field(default_factory=Retry)
    expires: timedelta | None = None
    notice: str = ""
    scale: Scale = Scale.FIXED
    requires: tuple[tuple[str, ...], ...] = ()
    brings: tuple[str, ...] = ()
    gap_opens: bool = False
    gap_closes: bool = False

    @property
    def changes(self) -> bool:
        """Whether it runs something that may change a host."""
        return self.kind in (Kind.PLAYBOOK, Kind.COMMAND)

    @property
    def proven(self) -> bool:
        """Whether anything says how the step is verified."""
        return bool(self.verify or self.proof.steps or self.proof.text.en)

    @property
    def undoable(self) -> bool:
        """Whether anything says how the step is undone, be it that it cannot."""
        return bool(self.undo.en)

    @property
    def gated(self) -> bool:
        """Whether a person has to say yes before the step counts or starts."""
        return self.kind is Kind.HUMAN or self.destructive


@dataclass(frozen=True)
class Phase:
    """A stretch of the move with one urgency."""

    number: int
    title: Text
    urgency: Urgency


@dataclass(frozen=True)
class Address:
    """A page that is worth opening after the move."""

    title: Text
    url: str


@dataclass(frozen=True)
class Announcements:
    """Where gates and notices are announced: Apprise addresses by audience."""

    team: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


@dataclass(frozen=True)
class MoveSettings:
    """What a run-book file says about the move as a whole."""

    name: str = ""
    language: str = "en"
    inventory: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    announce: Announcements = field(default_factory=Announcements)
    leads_per_hour: tuple[float, ...] = ()
    backup_bytes: int = 0
    addresses: tuple[Address, ...] = ()
    time_zone: str = "UTC"


@dataclass(frozen=True)
class Runbook:
    """A validated run-book, its steps in an order in which they can run."""

    phases: Mapping[int, Phase]
    steps: tuple[Step, ...]
    settings: MoveSettings
    sources: tuple[Path, ...] = ()

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def get(self, step_id: str) -> Step | None:
        """The step with this id, or None."""
        return next((step for step in self.steps if step.id == step_id), None)

    def ancestors(self, step_id: str) -> set[str]:
        """Ids of all steps that have to come before `step_id`, directly or not."""
        found: set[str] = set()
        todo = [step_id]
        while todo:
            step = self.get(todo.pop())
            for need in step.needs if step else ():
                if need not in found:
                    found.add(need)
                    todo.append(need)
        return found

    def descendants(self, step_id: str) -> set[str]:
        """Ids of all steps that can only come after `step_id`."""
        return {step.id for step in self.steps if step_id in self.ancestors(step.id)}

    def converges(self, step: Step) -> bool:
        """Whether a step brings hosts to a state that lasts from one pass to the next.

        That is a playbook that replaces no data and comes after none that does; it has less to do the second time.
        """
        before = self.ancestors(step.id)
        data = step.destructive or any(other.destructive for other in self.steps if other.id in before)
        return step.kind is Kind.PLAYBOOK and step.scale is Scale.FIXED and not data
