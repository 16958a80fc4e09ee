"""Variables with a misspelt prefix, which would otherwise pass for an inventory's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

SHORT_PREFIX = 5
"""In a prefix shorter than this, another letter makes another word: `main_from` is not `mail_from`."""
LONG_PREFIX = 6
"""A prefix of this length or more may have two mistakes."""
SHORTEST = 3
"""Fewest letters after the prefix for a name to be recognised."""


def distance(one: str, other: str) -> int:
    """How many letters have to be added, removed, replaced or swapped with the next to turn one word into the other."""
    before_last: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        line = [row]
        for column, wanted in enumerate(other, 1):
            cost = min(last[column] + 1, line[-1] + 1, last[column - 1] + (letter != wanted))
            if row > 1 and column > 1 and letter == other[column - 2] and one[row - 2] == wanted:
                cost = min(cost, before_last[column - 2] + 1)
            line.append(cost)
        before_last, last = last, line
    return last[-1]


def misspelt(name: str, prefixes: Sequence[str], known: Collection[str]) -> str:
    """The known variable that `name` is meant to be, its prefix being misspelt; empty where it is far from any.

    The prefix is near one of `prefixes` (one mistake, in a long one two), and what comes after it is that variable's,
    or has one mistake as well. A prefix with another digit in it is not a mistake (`php8_packages`).
    """
    near: dict[str, int] = {}
    for prefix in prefixes:
        for given, after, mistakes in _cuts(name, prefix):
            for variable in known:
                rest = variable.removeprefix(f"{prefix}_")
                if rest == variable or len(rest) < SHORTEST or abs(len(rest) - len(after)) > 1:
                    continue
                wrong = distance(after, rest)
                if wrong <= 1 and _digits(given) == _digits(prefix):
                    near[variable] = min(near.get(variable, mistakes + wrong), mistakes + wrong)
    bare = name.replace("_", "")
    near |= {variable: 0 for variable in known if variable.replace("_", "") == bare}  # a misplaced underscore
    return min(near, key=lambda variable: (near[variable], variable), default="")


def _cuts(name: str, prefix: str) -> Iterator[tuple[str, str, int]]:
    """Where a misspelt `prefix` may end in `name`: what stands before and after, and how many mistakes it has."""
    allowed = 2 if len(prefix) >= LONG_PREFIX else 1
    for cut in range(max(1, len(prefix) - allowed), len(prefix) + allowed + 1):
        given, after = name[:cut], name[cut:]
        if given.endswith("_") or not after.startswith("_"):
            continue
        mistakes = distance(given, prefix)
        if len(prefix) < SHORT_PREFIX and len(given) == len(prefix) and sorted(given) != sorted(prefix):
            continue
        if 0 < mistakes <= allowed:
            yield given, after[1:], mistakes


def _digits(word: str) -> str:
    return "".join(letter for letter in word if letter.isdigit())
