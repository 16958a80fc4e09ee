"""Lists that are read whole: many pages per request, several requests at once, without a count.

Source: apidocs.bitrix24.com, settings/performance/huge-data (pages by ``>ID`` with ``start=-1``).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from encaja.rest import answers
from encaja.rest.command import PAGE, Answer, Command
from encaja.rest.errors import MalformedError

_AHEAD = 6  # requests that are sent before their rows are wanted
_DEEPEST = 50  # spans within spans; honest identifiers need a few
_DENSE = 0.9  # rows per identifier from which on gaps are not worth counting on

Page = list[dict[str, Any]]


@dataclass(frozen=True)
class _Shape:
    """How a method lists: the key of its rows, the identifier in filters and the one in rows."""

    rows: str = ""
    by: str = "ID"
    id: str = "ID"


_SHAPES = {
    "crm.item.list": _Shape("items", "id", "id"),
    "tasks.task.list": _Shape("tasks", "ID", "id"),
}


@dataclass(frozen=True)
class _Part:
    """Pages of a span; ``whole`` when there are no more in it."""

    pages: list[Page]
    whole: bool


@dataclass
class Listing:
    """One list, read by ascending identifier.

    Args:
        method: one that lists, filters and sorts by its identifier.
        filter: the portal's notation.
        select: fields.
        parameters: what it needs besides.
        request: sends commands in one request.
        size: how many commands fit into a request.
    """

    method: str
    filter: Mapping[str, Any]
    select: Sequence[str] | None
    parameters: Mapping[str, Any]
    request: Callable[[Sequence[Command]], Awaitable[list[Answer]]]
    size: Callable[[Sequence[Command]], int]
    _shape: _Shape = field(init=False)

    def __post_init__(self) -> None:
        self._shape = _SHAPES.get(self.method, _Shape())

    def ends(self) -> list[Command]:
        """The commands that give the first page and the last identifier."""
        [first] = self._commands(0, 0, 1)
        last = {**first.parameters, "order": {self._shape.by: "DESC"}}
        if self.select:
            last["select"] = [self._shape.by]
        return [first, Command(self.method, last, "last")]

    async def pages(self, ends: Sequence[Answer]) -> AsyncIterator[Page]:
        """All pages, given the answers to ``ends``."""
        first, last = map(self._page_of, ends)
        if first:
            yield first
        if len(first) == PAGE:
            begun, reached = self._identifier(first[0]), self._identifier(first[-1])
            if reached < begun or not last:
                raise self._out_of_order()
            async for page in self._span(reached, self._identifier(last[0]), PAGE / (reached - begun + 1)):
                yield page

    async def _span(self, after: int, upto: int, density: float, depth: int = 0) -> AsyncIterator[Page]:
        """Pages of a span of identifiers, by requests that run ahead of the reader; ``density`` is rows per number."""
        running: deque[tuple[int, int, asyncio.Task[_Part]]] = deque()
        try:
            while after < upto or running:
                while after < upto and len(running) < _AHEAD:
                    size = self.size(self._commands(0, 0, 1))
                    end = min(upto, after + _width(density, size))
                    pages = _pages(end - after, density, size)
                    running.append((after, end, asyncio.create_task(self._part(after, end, pages))))
                    after = end
                begin, end, task = running.popleft()
                part = await task
                for page in part.pages:
                    yield page
                rows = sum(len(page) for page in part.pages)
                reached = self._identifier(part.pages[-1][-1]) if rows else begin
                covered = end if part.whole else reached
                density = max(rows, 0.5) / max(1, covered - begin)
                if not part.whole:
                    if reached <= begin or depth == _DEEPEST:
                        raise self._out_of_order()
                    async for page in self._span(reached, end, density, depth + 1):
                        yield page
        finally:
            for _, _, task in running:
                task.cancel()
            await asyncio.gather(*(task for _, _, task in running), return_exceptions=True)

    async def _part(self, after: int, upto: int, pages: int) -> _Part:
        """Ask for so many pages in one request."""
        found: list[Page] = []
        for answer in await self.request(self._commands(after, upto, pages)):
            page = self._page_of(answer)
            if page:
                found.append(page)
            if len(page) < PAGE or self._identifier(page[-1]) >= upto:
                return _Part(found, whole=True)
        return _Part(found, whole=False)

    def _commands(self, after: int, upto: int, pages: int) -> list[Command]:
        """Ask for pages behind an identifier, up to another one; each refers to the one before it."""
        by = self._shape.by
        inner = f"[{self._shape.rows}]" if self._shape.rows else ""
        given = {**self.parameters, "order": {by: "ASC"}, "start": -1}
        if self.select:
            given["select"] = list(self.select)
        limit = {f"<={by}": upto} if upto else {}
        befores = [after, *(f"$result[p{number}]{inner}[{PAGE - 1}][{self._shape.id}]" for number in range(pages - 1))]
        return [
            Command(self.method, {**given, "filter": {**self.filter, **limit, f">{by}": before}}, f"p{number}")
            for number, before in enumerate(befores)
        ]

    def _page_of(self, answer: Answer) -> Page:
        if answer.error:
            raise answer.error
        rows = answer.result
        if self._shape.rows:
            rows = rows.get(self._shape.rows) if isinstance(rows, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise MalformedError("an answer without the list of rows", self.method)
        return rows

    def _identifier(self, row: Mapping[str, Any]) -> int:
        found = answers.number(row.get(self._shape.id), self._shape.id, self.method)
        if found is None:
            raise MalformedError(f"an answer with a row without {self._shape.id}", self.method)
        return found

    def _out_of_order(self) -> MalformedError:
        return MalformedError(f"an answer whose rows are not in the order of their {self._shape.by}", self.method)


def _width(density: float, pages: int) -> int:
    """How many identifiers to ask for at once, so that their rows about fill so many pages."""
    if density > _DENSE:
        return PAGE * pages  # They cannot be more rows than this.
    return max(1, int(max(1.0, 0.94 * pages) * PAGE / density))


def _pages(width: int, density: float, most: int) -> int:
    """How many pages the rows of so many identifiers may need."""
    expected = min(width, 1.1 * width * density) / PAGE
    return max(1, min(most, math.ceil(expected) + (0 if density > _DENSE else 1)))
