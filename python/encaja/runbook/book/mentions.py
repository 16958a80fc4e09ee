"""Which variables a text of Ansible's can read, by the words in it.

Every word counts, in whatever place: that finds more than is read, never less. Where a name is only made up while the
text is evaluated, nothing is known (`dynamic`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_WORD = re.compile(r"[A-Za-z_]\w*")
# Lookup role_values of 'packages' reads <role>_packages of the roles that follow; they may be listed there.
_SUFFIX = re.compile(r"role_values['\"]\s*,\s*['\"](\w+)['\"](?:\s*,\s*\[([\w'\", ]*)\])?")
# hostvars[host].name, and a list of hosts made into one of their variables, say which name they read.
_NAMED = re.compile(
    r"hostvars\s*\[(?:[^\[\]]|\[[^\]]*\])*\]\s*\|\s*default\(\s*\{\s*\}\s*\)\s*\)(?=\s*(?:\.|\[\s*['\"]))"
    r"|hostvars\s*\[(?:[^\[\]]|\[[^\]]*\])*\](?=\s*(?:\.|\[\s*['\"]))"
    r"|'extract',\s*hostvars\s*(?=,\s*\[?\s*['\"]|\)\s*\|\s*map\(\s*attribute\s*=\s*['\"])"
)
_DYNAMIC = re.compile(
    r"\bhostvars\b|\bvarnames\b"
    r"|(?:lookup|query|q)\(\s*['\"](?:ansible\.builtin\.)?vars['\"]\s*,(?!\s*['\"]\w+['\"]\s*[,)])"
    r"|\bvars\s*(?:\[(?!\s*['\"]\w+['\"]\s*\])|\.(?:get|items|keys|values)\(|\|)"
)
# Its verdict is about the whole inventory.
_WHOLE = "preflight_verdict"


@dataclass(frozen=True)
class Mentions:
    """The words of a text; `foreign` where it reads variables of other hosts.

    `suffixes` are those that it asks `role_values` for, each with the roles as they are listed, "" where they are not.
    """

    names: frozenset[str]
    suffixes: frozenset[tuple[str, str]] = frozenset()
    foreign: bool = False
    dynamic: bool = False


@lru_cache(maxsize=8192)
def mentions(text: str) -> Mentions:
    """What a text mentions."""
    names = frozenset(_WORD.findall(text))
    foreign = "hostvars" in names
    dynamic = _WHOLE in names or _DYNAMIC.search(_NAMED.sub("", text) if foreign else text) is not None
    return Mentions(names, frozenset(_SUFFIX.findall(text)), foreign, dynamic)


def strings(value: Any) -> Iterator[str]:
    """All strings in a value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


@dataclass(frozen=True)
class Reach:
    """The names that can be read of the hosts at work, and of any host; `everything` where that is unknown.

    Of `other_roles` values are evaluated, though they may not have been drawn in.
    """

    own: frozenset[str]
    foreign: frozenset[str]
    everything: bool
    other_roles: frozenset[str] = frozenset()


def reach(roots: Iterable[Mentions], definitions: Mapping[str, Sequence[Mentions]], roles: Iterable[str]) -> Reach:
    """Follows variables that are used to the variables that their values use.

    Args:
        roots: texts that are evaluated in any case: plays, tasks, templates.
        definitions: values by variable, evaluated where somebody uses the variable.
        roles: names of all roles that `role_values` may be asked about.
    """
    reached = list(roots)
    known = tuple(roles)
    own = _closure(reached, definitions, known)
    foreign = _closure([item for item in reached if item.foreign], definitions, known)
    others = {role for item in reached for _, listed in item.suffixes for role in _asked(listed, known)}
    return Reach(own, foreign, any(item.dynamic for item in reached), frozenset(others))


def _asked(listed: str, known: tuple[str, ...]) -> Iterable[str]:
    return _WORD.findall(listed) or known


def _closure(
    reached: list[Mentions], definitions: Mapping[str, Sequence[Mentions]], roles: tuple[str, ...]
) -> frozenset[str]:
    """All names that are mentioned; puts the values that were followed behind `reached`."""
    names: set[str] = set()
    place = 0
    while place < len(reached):
        item = reached[place]
        place += 1
        asked = {f"{role}_{suffix}" for suffix, listed in item.suffixes for role in _asked(listed, roles)}
        fresh = item.names | asked
        for name in fresh - names:
            reached.extend(definitions.get(name, ()))
        names |= fresh
    return frozenset(names)
