"""Prefetching: the next items are read while the first ones are being processed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


async def ahead(
    source: AsyncIterator[_Given], work: Callable[[_Given], Coroutine[Any, Any, _Made]], most: int
) -> AsyncGenerator[_Made]:
    """Process up to ``most`` items at once, in order."""
    running: deque[asyncio.Task[_Made]] = deque()
    try:
        async for given in source:
            running.append(asyncio.create_task(work(given)))
            if len(running) >= most:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def grouped(source: AsyncIterator[list[_Given]], size: int) -> AsyncIterator[list[_Given]]:
    """Join pages into groups of at least ``size`` records."""
    group: list[_Given] = []
    async for page in source:
        group += page
        if len(group) >= size:
            yield group
            group = []
    if group:
        yield group


@asynccontextmanager
async def concurrently(work: Coroutine[Any, Any, _Made]) -> AsyncIterator[asyncio.Task[_Made]]:
    """Run something concurrently with the block, which awaits it; it ends with the block."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def buffered(source: AsyncIterator[_Given], most: int) -> AsyncIterator[AsyncIterator[_Given]]:
    """Read a source concurrently with the block, up to ``most`` items ahead."""
    queue: asyncio.Queue[list[_Given]] = asyncio.Queue(most)

    async def fill() -> None:
        try:
            async for given in source:
                await queue.put([given])
        except Exception:
            await queue.put([])
            raise
        await queue.put([])

    async def taken(task: asyncio.Task[None]) -> AsyncIterator[_Given]:
        while given := await queue.get():
            yield given[0]
        await task  # raises its error

    async with concurrently(fill()) as task:
        yield taken(task)
