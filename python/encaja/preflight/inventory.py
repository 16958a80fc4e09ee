"""What is wrong with an inventory: groups, unknown or renamed variables, missing secrets, values of the wrong type."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ENVIRONMENTS = ("production", "preproduction", "test")
FUNCTIONS = ("portal", "database", "cache", "push", "search", "telephony")
WORKED_OUT = "vars"  # entry point under which a role without tasks specifies what it gives
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PLACEHOLDERS = ("change me", "changeme", "change_me", "todo", "xxx")
TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "path": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: what, where, and how to mend it."""

    what: str
    where: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} ({self.mend})"


@cache
def shared_variables() -> dict[str, dict[str, Any]]:
    """The variables with the prefix ``encaja_``: name to description, type, groups that need it, secrecy."""
    loaded: dict[str, dict[str, Any]] = _document()["variables"]
    return loaded


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("variables.yml").read_text())
    return document


def role_variables(roles: Path, entry: str = "main") -> dict[str, dict[str, Any]]:
    """The variables that the roles below ``roles`` specify under an entry point: WORKED_OUT, or else what they take."""
    known: dict[str, dict[str, Any]] = {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        specs = yaml.load(path.read_text(), Loader=LOADER)["argument_specs"]  # noqa: S506 - both are safe loaders
        known.update(specs.get(entry, {}).get("options") or {})
    return known


def faults(
    hosts: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Sequence[str]],
    roles: Path,
) -> list[Fault]:
    """Everything wrong with an inventory, in the order in which one would mend it.

    Args:
        hosts: the variables of every host as they are written, templates not resolved.
        groups: the hosts of every group.
        roles: the folder with the kit's roles.
    """
    found = list(_group_faults(groups))
    known = role_variables(roles)
    fixed = role_variables(roles, WORKED_OUT)
    prefixes = sorted({path.parent.parent.name for path in roles.glob("*/meta/argument_specs.yml")})
    seen: dict[tuple[str, str], list[str]] = {}
    for host, variables in hosts.items():
        if not any(host in groups.get(environment, ()) for environment in ENVIRONMENTS):
            continue
        for what, mend in _variable_faults(variables, known, fixed, prefixes):
            seen.setdefault((what, mend), []).append(host)
        for what, mend in _missing(host, variables, groups):
            seen.setdefault((what, mend), []).append(host)
    found.extend(Fault(what, ", ".join(where), mend) for (what, mend), where in seen.items())
    return found


def _group_faults(groups: Mapping[str, Sequence[str]]) -> list[Fault]:
    found = []
    home: dict[str, list[str]] = {}
    for environment in ENVIRONMENTS:
        for host in groups.get(environment, ()):
            home.setdefault(host, []).append(environment)
    for host, environments in home.items():
        if len(environments) > 1:
            said = " and ".join(environments)
            found.append(Fault(f"belongs to {said}", host, "leave it in one environment's group"))
    working = {host for function in FUNCTIONS for host in groups.get(function, ())}
    outside = set(groups.get("cloud", ()))
    found += [
        Fault("belongs to no environment", host, f"put it into one of the groups {', '.join(ENVIRONMENTS)}")
        for host in sorted(working - set(home) - outside)
    ]
    found += [
        Fault("has no function", host, f"put it into one or more of the groups {', '.join(FUNCTIONS)}")
        for host in sorted(set(home) - working)
    ]
    for environment in ENVIRONMENTS:
        here = set(groups.get(environment, ()))
        if here & set(groups.get("portal", ())):
            found += [
                Fault(f"a portal but no host in group '{function}'", environment, "add the portal's host to that group")
                for function in ("database", "cache", "push")
                if not here & set(groups.get(function, ()))
            ]
    return found


def _variable_faults(
    variables: Mapping[str, Any],
    known: Mapping[str, Mapping[str, Any]],
    fixed: Collection[str],
    prefixes: Sequence[str],
) -> list[tuple[str, str]]:
    found = []
    shared = shared_variables()
    renamed: dict[str, str] = _document()["renamed"]
    for name, value in variables.items():
        if name in renamed:
            found.append((f"variable {name!r} has a new name", f"call it {renamed[name]!r}"))
            continue
        if name in fixed:
            found.append((f"{name} is worked out from the groups", "take it out, and put the hosts into their groups"))
            continue
        spec = shared.get(name) or known.get(name)
        if spec is None:
            if name.startswith(("encaja_", *(f"{prefix}_" for prefix in prefixes))):
                near = difflib.get_close_matches(name, [*shared, *known], n=1, cutoff=0.75)
                hint = f"did you mean {near[0]!r}?" if near else "see docs/variables.md for the names"
                found.append((f"unknown variable {name!r}", hint))
            continue
        wanted = TYPES.get(spec.get("type", "str"), (object,))
        is_template = isinstance(value, str) and "{{" in value
        if is_template or not isinstance(value, (str, int, float, list, dict)):  # a vaulted value is none of these
            continue
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            given = f"{value!r}" if not spec.get("secret") and not spec.get("no_log") else type(value).__name__
            found.append((f"{name} must be {spec.get('type')}, it is {given}", "give a value of that type"))
        elif "choices" in spec and value not in spec["choices"]:
            choices = ", ".join(map(str, spec["choices"]))
            found.append((f"{name} is {value!r}", f"use one of {choices}"))
    return found


def _missing(host: str, variables: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    found = []
    for name, spec in shared_variables().items():
        needed = any(host in groups.get(group, ()) for group in spec.get("required", ()))
        value = variables.get(name)
        where = "the environment's vault.yml" if spec.get("secret") else "the environment's group_vars"
        if needed and (value is None or value == ""):
            found.append((f"{name} has no value", f"set it in {where}"))
        elif isinstance(value, str) and value.strip().lower() in PLACEHOLDERS:
            found.append(
                (f"{name} still has its placeholder", f"set it in {where}{'' if needed else ', or take it out'}")
            )
    return found
