from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from encaja.rest.prefetch import ahead, buffered, concurrently, grouped
from support.virtual_time import run


class Source:
    """Gives numbers, and says how many it has given."""

    def __init__(self, count: int, fault: Exception | None = None) -> None:
        self.count, self.fault, self.given = count, fault, 0

    async def __aiter__(self) -> AsyncIterator[int]:
        for number in range(self.count):
            self.given += 1
            yield number
        if self.fault:
            raise self.fault


def test_several_are_worked_on_at_once_and_the_order_stays() -> None:
    async def scene() -> tuple[list[int], float]:
        async def work(number: int) -> int:
            await asyncio.sleep(10 - number)
            return number

        began = asyncio.get_running_loop().time()
        found = [number async for number in ahead(aiter(Source(8)), work, 4)]
        return found, asyncio.get_running_loop().time() - began

    found, seconds = run(scene())
    assert found == list(range(8))
    assert seconds < 30, "one after the other they take 52"


def test_what_is_stored_is_taken_ahead_up_to_a_bound_and_comes_whole() -> None:
    async def scene() -> tuple[int, list[int]]:
        source = Source(20)
        async with buffered(aiter(source), 5) as kept:
            await asyncio.sleep(1)
            taken = source.given
            return taken, [number async for number in kept]

    taken, found = run(scene())
    assert 5 <= taken <= 6
    assert found == list(range(20))


def test_a_fault_of_the_source_comes_to_whoever_takes() -> None:
    async def scene() -> list[int]:
        found = []
        async with buffered(aiter(Source(3, ValueError("gone"))), 5) as kept:
            async for number in kept:
                found.append(number)
                if len(found) == 3:
                    assert found == [0, 1, 2]
        return found

    with pytest.raises(ValueError, match="gone"):
        run(scene())


def test_what_runs_beside_a_block_ends_with_it() -> None:
    async def scene() -> bool:
        ended = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.sleep(1000)
            finally:
                ended.set()

        with pytest.raises(KeyError):
            async with concurrently(work()):
                await asyncio.sleep(0)
                raise KeyError
        return ended.is_set()

    assert run(scene())


def test_pages_are_put_together() -> None:
    async def pages() -> AsyncIterator[list[int]]:
        for number in range(5):
            yield [number] * 2

    async def scene() -> list[list[int]]:
        return [group async for group in grouped(pages(), 4)]

    assert run(scene()) == [[0, 0, 1, 1], [2, 2, 3, 3], [4, 4]]
