"""Which way a copy may go: never onto production, never onto itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from encaja.errors import ConfigurationError

TARGETS = ("preproduction", "test")


def faults(
    source: str, target: str, groups: Mapping[str, Sequence[str]], addresses: Mapping[str, str] | None = None
) -> list[str]:
    """Everything that forbids copying ``source`` to ``target``.

    Args:
        source: the environment that is copied.
        target: the environment that is overwritten.
        groups: the inventory's groups and their hosts.
        addresses: the hosts' addresses, where the inventory gives them.
    """
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
    production = set(groups.get("production", ()))
    if shared := sorted(onto & ({*groups.get(source, ())} | production)):
        found.append(f"{', '.join(shared)} would be both source and target")
    at = {host: (addresses or {}).get(host, host) for host in {*onto, *groups.get(source, ())} | production}
    theirs = {at[host]: host for host in ({*groups.get(source, ())} | production) - onto}
    for host in sorted(onto):
        if at[host] in theirs:
            found.append(f"{host} has the address of {theirs[at[host]]}, {at[host]}")
    for function in ("portal", "database"):
        members = set(groups.get(function, ()))
        for environment in dict.fromkeys((source, target)):
            count = len(members & set(groups.get(environment, ())))
            if groups.get(environment) and count != 1:
                found.append(f"{environment!r} has {count} hosts in group {function!r}, a copy needs exactly one")
    return found


def check(
    source: str, target: str, groups: Mapping[str, Sequence[str]], addresses: Mapping[str, str] | None = None
) -> None:
    """Refuse a copy in the wrong direction.

    Raises:
        ConfigurationError: with every reason.
    """
    if found := faults(source, target, groups, addresses):
        raise ConfigurationError("; ".join(found), f"{source} -> {target}", "correct source, target or inventories")
