"""One call of a method, its form in a batch, and its outcome.

Source: apidocs.bitrix24.com, settings/how-to-call-rest-api (``batch`` takes 50 commands at most).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from encaja.errors import EncajaError
from encaja.rest.errors import RefusedError

BATCH = 50
"""Commands of a request."""
PAGE = 50
"""Rows of an answer that lists."""


@dataclass(frozen=True)
class Command:
    """One call of a method, alone or in a batch.

    Args:
        method: its name.
        parameters: of the method. In a batch they are sent as a query, of which PHP takes a thousand variables unless
            ``max_input_vars`` says otherwise.
        name: by which a later command of the same request refers to it, as ``$result[name]``.
    """

    method: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class Answer:
    """The outcome of a command: a result or an error.

    Args:
        command: the command.
        result: as the method gives it.
        total: number of rows, where they were counted.
        next: start of the next page, where there is one.
        error: why it was refused.
    """

    command: Command
    result: Any = None
    total: int | None = None
    next: int | None = None
    error: RefusedError | None = None


class UncertainError(EncajaError):
    """A request that must not be repeated ended without an answer, and may have been carried out.

    Args:
        what: how it ended.
        where: the portal.
        commands: those without an answer.
        answers: earlier answers, in order.
    """

    def __init__(self, what: str, where: str, commands: Sequence[Command], answers: Sequence[Answer] = ()) -> None:
        super().__init__(what, where, "look the records up by their origin before they are sent again")
        self.commands = list(commands)
        self.answers = list(answers)


def query_of(command: Command) -> str:
    """A command as a batch takes it: ``method?a[b]=c``, in PHP's notation."""
    pairs = "&".join(f"{quote(name, safe='[]')}={quote(text)}" for name, text in _flat(command.parameters))
    return f"{command.method}?{pairs}" if pairs else command.method


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [pair for key, one in value.items() for pair in _flat(one, f"{name}[{key}]" if name else str(key))]
    if isinstance(value, (list, tuple)):
        if not value:
            return [(name, "")]  # PHP has no way to write an empty list
        return [pair for key, one in enumerate(value) for pair in _flat(one, f"{name}[{key}]")]
    if isinstance(value, bool):
        return [(name, "1" if value else "0")]
    return [(name, "" if value is None else str(value))]
