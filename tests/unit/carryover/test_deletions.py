from __future__ import annotations

from encaja.carryover.deletions import Identifiers


def test_a_set_of_identifiers() -> None:
    numbers = Identifiers()
    for number in (0, 7, 8, 100_000):
        numbers.add(number)
    assert [n for n in (0, 1, 7, 8, 9, 99_999, 100_000, 10**9) if n in numbers] == [0, 7, 8, 100_000]
