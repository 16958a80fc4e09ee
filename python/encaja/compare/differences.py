"""What differs between two environments, with what has to differ folded away.

Names are paired as they stand, and those that then have no partner without the environments' own names. A pair with the
same digest is equal. What is left is folded, with the reason, when it is the same without the environments' own names,
when neutralisation set it, when a rule of ``expected.yml`` (or one of the user's) says so, or when a table has grown
within the tolerance. Everything else is a difference.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase, translate
from importlib import resources
from typing import Any, Final

import yaml

from encaja.compare.environments import SECTIONS, Environment, Seen, joined
from encaja.errors import ConfigurationError

KIND: Final = "compare"
CONDITIONS: Final = ("sizes", "neutralised", "secret")
NAMES: Final = {"en": "the environments' own names", "es": "los nombres propios de cada entorno"}
NEUTRALISED: Final = {"en": "set by neutralisation", "es": "establecido por la neutralización"}
DRIFT: Final = {"en": "within the tolerance for rows", "es": "dentro de la tolerancia de filas"}
NOT_READ: Final = "(not read)"
HIDDEN: Final = "(secret)"
DIFFERENT: Final = "(secret, another one)"
_WIDTH: Final = 160
_KEYS: Final = {"id", "why", "sections", "names", "when"}


@dataclass(frozen=True)
class Rule:
    """A difference that is as it should be."""

    id: str
    why: Mapping[str, str]
    sections: frozenset[str]
    names: re.Pattern[str]
    when: str = ""


@dataclass(frozen=True)
class Difference:
    """One name whose values differ; None for a side that has no such name."""

    section: str
    name: str
    a: str | None
    b: str | None


@dataclass
class Comparison:
    """Two environments compared."""

    a: str
    b: str
    neutralised: tuple[str, ...] = ()
    found: list[Difference] = field(default_factory=list)
    folded: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    reasons: dict[str, Mapping[str, str]] = field(default_factory=dict)
    compared: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The comparison for programs and for the run-book's report (kind ``compare``)."""
        rows = []
        for section, title in SECTIONS.items():
            different = sum(item.section == section for item in self.found)
            folded = sum(len(names) for (held, _), names in self.folded.items() if held == section)
            compared = self.compared.get(section, 0)
            if compared or different:
                rows.append(
                    {"section": title, "compared": compared, "equal": max(compared - different - folded, 0),
                     "expected": folded, "different": different}
                )  # fmt: skip
        return {
            "kind": KIND,
            "a": self.a,
            "b": self.b,
            "neutralised": ", ".join(self.neutralised) or None,
            "differences": len(self.found),
            "sections": rows,
            "found": [
                {"section": SECTIONS[item.section], "name": item.name, "a": item.a, "b": item.b} for item in self.found
            ],
            "expected": [
                {"section": SECTIONS[section], "why": self.reasons[why], "count": len(names), "names": names}
                for (section, why), names in self.folded.items()
            ],
        }


def rules(own: Iterable[Mapping[str, Any]] = ()) -> list[Rule]:
    """The rules of the kit and the user's own.

    Raises:
        ConfigurationError: a rule cannot be used; names all faults.
    """
    shipped = yaml.safe_load(resources.files("encaja.compare").joinpath("expected.yml").read_text(encoding="utf-8"))
    found: list[Rule] = []
    faults: list[str] = []
    for number, given in enumerate([*shipped, *own], 1):
        name = str(given.get("id") or f"number {number}")
        why = given.get("why") or {}
        sections = frozenset(given.get("sections") or ())
        if unknown := set(given) - _KEYS:
            faults.append(f"rule {name} has unknown keys {', '.join(sorted(unknown))}")
        if not why or not given.get("id"):
            faults.append(f"rule {name} needs id and why")
        if not sections or (bad := sections - set(SECTIONS)):
            said = ", ".join(sorted(bad)) if sections else "none"
            faults.append(f"rule {name} has sections {said}, there are {', '.join(SECTIONS)}")
        if not isinstance(given.get("names"), list) or not given["names"]:
            faults.append(f"rule {name} needs a list of names")
        if given.get("when", CONDITIONS[0]) not in CONDITIONS:
            faults.append(f"rule {name} has when: {given['when']}, there are {', '.join(CONDITIONS)}")
        if not faults:
            spoken = {"en": str(why), "es": str(why)} if isinstance(why, str) else dict(why)
            pattern = re.compile("|".join(translate(str(one)) for one in given["names"]), re.IGNORECASE)
            found.append(Rule(name, spoken, sections, pattern, str(given.get("when", ""))))
    if faults:
        raise ConfigurationError("; ".join(faults), "compare_expected", "see docs/compare.md")
    return found


def compare(a: Environment, b: Environment, expected: Sequence[Rule], drift: float = 0.0) -> Comparison:
    """Compare two environments.

    Args:
        a: the one, usually production.
        b: the other.
        expected: rules of what has to differ.
        drift: per cent by which the number of a table's rows may differ, for an original that is in use.
    """
    judge = _Judge((a, b), expected, drift)
    result = Comparison(a.name, b.name, tuple(one.name for one in (a, b) if one.neutral is not None))
    for section in SECTIONS:
        left, right = a.sections.get(section, {}), b.sections.get(section, {})
        unread = ["; ".join(why for held, why in one.missing if held == section) or None for one in (a, b)]
        if any(unread):
            result.found.append(Difference(section, NOT_READ, *unread))
            continue
        pairs = _pairs(left, right)
        result.compared[section] = len(pairs)
        for name, one, other in pairs:
            if one is not None and other is not None and one.digest == other.digest:
                continue
            why = judge.reason(section, name, one, other)
            if why is None:
                result.found.append(_difference(section, name, one, other))
            else:
                result.reasons[why["en"]] = why
                result.folded.setdefault((section, why["en"]), []).append(name)
    return result


_Pair = tuple[str, Seen | None, Seen | None]


def _pairs(left: Mapping[str, Seen], right: Mapping[str, Seen]) -> list[_Pair]:
    """The pairs to compare, by name. A name on both sides is one pair, even if a word in it is a side's own name."""
    pairs: list[_Pair] = [(name, left[name], right[name]) for name in {*left} & {*right}]
    alone: list[dict[str, list[str]]] = []
    for mine, theirs in ((left, right), (right, left)):
        held: dict[str, list[str]] = {}
        for name in {*mine} - {*theirs}:
            held.setdefault(mine[name].name or name, []).append(name)
        alone.append(held)
    for key in {*alone[0]} & {*alone[1]}:
        one, other = (
            joined([side[name] for name in held.pop(key)]) for side, held in zip((left, right), alone, strict=True)
        )
        pairs.append((key, one, other))
    pairs += [(name, left[name], None) for names in alone[0].values() for name in names]
    pairs += [(name, None, right[name]) for names in alone[1].values() for name in names]
    return sorted(pairs, key=lambda pair: pair[0])


@dataclass(frozen=True)
class _Judge:
    """Decides why a difference is expected."""

    sides: tuple[Environment, Environment]
    expected: Sequence[Rule]
    drift: float

    def reason(self, section: str, name: str, one: Seen | None, other: Seen | None) -> Mapping[str, str] | None:
        """Why a difference is expected; None where it is not."""
        if one is not None and other is not None and one.is_same(other):
            return NAMES
        if self._is_neutral(section, name, one, other):
            return NEUTRALISED
        holds = {
            "": True,
            "sizes": self.sides[0].sizes != self.sides[1].sizes,
            "neutralised": any(side.neutral is not None for side in self.sides),
            "secret": any(seen is not None and seen.text is None for seen in (one, other)),
        }
        for rule in self.expected:
            if section in rule.sections and holds[rule.when] and rule.names.match(name):
                return rule.why
        if section == "counts" and one is not None and other is not None:
            rows = _rows(one), _rows(other)
            if min(rows) and abs(rows[0] - rows[1]) <= math.ceil(max(rows) * self.drift / 100):
                return DRIFT
        return None

    def _is_neutral(self, section: str, name: str, one: Seen | None, other: Seen | None) -> bool:
        """Whether a neutralised copy has this name as neutralisation leaves it; rows it deletes only become fewer."""
        for side, own, its in ((self.sides[0], one, other), (self.sides[1], other, one)):
            if side.neutral is None:
                continue
            if own is not None and its is not None and own.bare and own.bare == own.nameless == its.bare:
                return True  # the other side's value, its credentials emptied
            names = side.neutral.get(section, frozenset())
            if not any(fnmatchcase(name.lower(), pattern.lower()) for pattern in names):
                continue
            if section != "counts" or own is None or its is None or name in _GROWING or _rows(own) <= _rows(its):
                return True
        return False


def _rows(seen: Seen) -> int:
    """The number of rows; the largest where hosts of one environment counted at different moments."""
    return max(int(text) for text in (seen.text or "0").split(" | "))


_GROWING: Final = frozenset({"b_user", "b_user_group", "b_uts_user", "b_user_index"})
"""Tables into which neutralisation may put rows: its test users."""


def _difference(section: str, name: str, one: Seen | None, other: Seen | None) -> Difference:
    if any(seen is not None and seen.text is None for seen in (one, other)):
        return Difference(section, name, HIDDEN if one else None, (DIFFERENT if one else HIDDEN) if other else None)
    left, right = (seen.text if seen else None for seen in (one, other))
    if left is None or right is None:
        return Difference(section, name, *(text if text is None else window(text, 0) for text in (left, right)))
    start = next((at for at, (x, y) in enumerate(zip(left, right, strict=False)) if x != y), min(len(left), len(right)))
    return Difference(section, name, window(left, start), window(right, start))


def window(text: str, start: int) -> str:
    """The part of a text around a place, 160 characters at most, with … where something is left out."""
    if len(text) <= _WIDTH:
        return text
    begin = max(0, min(start - _WIDTH // 4, len(text) - _WIDTH))
    shown = text[begin : begin + _WIDTH]
    return f"{'…' if begin else ''}{shown}{'…' if begin + _WIDTH < len(text) else ''}"
