"""Which way a copy may go: never onto production, never onto itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..errors import ConfigurationError

TARGETS = ("preproduction", "test")


def faults(source: str, target: str, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Everything that forbids copying ``source`` to ``target`` in an inventory with these groups."""
    found = []
    if target == "production":
        found.append("production is never a target")
    elif target not in TARGETS:
        found.append(f"the target {target!r} is not one of {', '.join(TARGETS)}")
    if source == target:
        found.append(f"source and target are both {source!r}")
    for environment in dict.fromkeys((source, target)):
        if not groups.get(environment):
            found.append(f"the inventory has no hosts in {environment!r}")
    onto = set(groups.get(target, ())) if target not in ("production", source) else set()
    if shared := sorted(onto & {*groups.get(source, ()), *groups.get("production", ())}):
        found.append(f"{', '.join(shared)} would be source and target at once")
    portals = set(groups.get("portal", ()))
    for environment in dict.fromkeys((source, target)):
        count = len(portals & set(groups.get(environment, ())))
        if groups.get(environment) and count != 1:
            found.append(f"{environment!r} has {count} hosts in group 'portal', a copy needs exactly one")
    return found


def check(source: str, target: str, groups: Mapping[str, Sequence[str]]) -> None:
    """Refuse a copy that goes the wrong way.

    Raises:
        ConfigurationError: with every reason.
    """
    if found := faults(source, target, groups):
        raise ConfigurationError("; ".join(found), f"{source} -> {target}", "give source, target and inventories anew")
