"""What is wrong with an inventory: groups, unknown or renamed variables, missing secrets, values of the wrong type."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from encaja.preflight.spelling import misspelt
from encaja.vocabulary import ENVIRONMENTS

FUNCTIONS = ("portal", "database", "cache", "push", "search", "telephony")
SINGLE = ("portal", "database", "cache", "push", "search")
"""Functions of which an environment has one host: its neighbours look for the first of the group."""
WORKED_OUT = "vars"  # entry point under which a role without tasks specifies what it gives
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PLACEHOLDERS = ("change me", "changeme", "change_me", "todo", "xxx")
EXAMPLE = re.compile(r"(^|[.@/])example\.com$")  # of the shipped inventories; reserved, so no one has it
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
    """One thing that is wrong: what, where, and how to fix it."""

    what: str
    where: str
    hint: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what} ({self.hint})"


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
    """Everything wrong with an inventory, in the order in which to fix it.

    Args:
        hosts: the variables of every host as they are written, templates not resolved.
        groups: the hosts of every group.
        roles: the folder with the kit's roles.
    """
    found = [*_group_faults(groups), *_example_hosts(hosts, groups)]
    known = role_variables(roles)
    fixed = role_variables(roles, WORKED_OUT)
    prefixes = sorted({path.parent.parent.name for path in roles.glob("*/meta/argument_specs.yml")})
    seen: dict[tuple[str, str], list[str]] = {}
    for host, variables in hosts.items():
        if not any(host in groups.get(environment, ()) for environment in ENVIRONMENTS):
            continue
        for what, hint in _variable_faults(variables, known, fixed, prefixes):
            seen.setdefault((what, hint), []).append(host)
    found.extend(Fault(what, ", ".join(where), hint) for (what, hint), where in seen.items())
    return [*found, *_missing(hosts, groups)]


def requirement_faults(
    hosts: Mapping[str, Mapping[str, Any]], requires: Sequence[Mapping[str, Any]]
) -> tuple[list[Fault], list[Fault]]:
    """What the steps of the run-book require and the inventory does not give.

    Args:
        hosts: the variables of every host as they are written.
        requires: for each requirement the `step`, the `names` of which one needs a value, the `hosts` that need it,
            and in `brought_by` the step before which it cannot be known (empty for none); or in `absent` the groups
            that it works on and that have no hosts.

    Returns:
        The faults, and the warnings about what comes later.
    """
    missing: dict[tuple[str, str, str], list[str]] = {}
    absent: dict[str, list[str]] = {}
    for item in requires:
        for group in item.get("absent", ()):
            absent.setdefault(group, []).append(item["step"])
        if "names" not in item:
            continue
        names = item["names"]
        lacking = [host for host in item["hosts"] if not any(_given(hosts[host].get(name)) for name in names)]
        if lacking:
            steps = missing.setdefault((names[0], ", ".join(lacking), item.get("brought_by") or ""), [])
            steps.append(item["step"])
    found: list[Fault] = []
    warnings = [
        Fault(f"no such hosts here, {_steps(steps)} will need them", group, "give their inventory with -i as well")
        for group, steps in absent.items()
    ]
    for (name, where, bringer), steps in missing.items():
        needed = _steps(steps)
        place = _place(shared_variables().get(name, {}))
        if bringer:
            what = f"{name} has no value yet, {needed} will need it"
            warnings.append(Fault(what, where, f"set it in {place} when step {bringer} is done"))
        else:
            what = f"{name} has no value, and the run-book's {needed} cannot run without it"
            found.append(Fault(what, where, f"set it in {place}"))
    return found, warnings


def _steps(names: Sequence[str]) -> str:
    return f"step{'s' if len(names) > 1 else ''} {', '.join(names)}"


def licence_warnings(
    keys: Mapping[str, str], covers: Mapping[str, int], groups: Mapping[str, Sequence[str]]
) -> list[Fault]:
    """Licence keys that more environments use than they cover.

    Args:
        keys: the licence key of every portal's host that has one.
        covers: how many installations it covers, by host.
        groups: the hosts of every group.
    """
    users: dict[str, list[str]] = {}
    limits: dict[str, int] = {}
    for environment in ENVIRONMENTS:
        for host in groups.get(environment, ()):
            key = keys.get(host)
            if not key or host not in groups.get("portal", ()):
                continue
            if environment not in users.setdefault(key, []):
                users[key].append(environment)
            limits[key] = max(limits.get(key, 0), covers.get(host, 1))
    return [
        Fault(
            f"one licence key for {len(names)} installations, it covers {limits[key]} (encaja_licence_installations)",
            ", ".join(names),
            "set encaja_licence_installations to what the contract says, or give each environment a key of its own",
        )
        for key, names in users.items()
        if len(names) > limits[key]
    ]


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
        for function in SINGLE:
            several = [host for host in groups.get(function, ()) if host in here]
            if len(several) > 1:
                what = (
                    f"{len(several)} hosts in group '{function}' ({', '.join(several)}), only the first would be used"
                )
                found.append(Fault(what, environment, "leave one of them in that group"))
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
            found.append((f"{name} is computed from the groups", "remove it, and put the hosts into their groups"))
            continue
        spec = shared.get(name) or known.get(name)
        if spec is None:
            if name.startswith(tuple(f"{prefix}_" for prefix in ("encaja", *prefixes))):
                near = difflib.get_close_matches(name, [*shared, *known], n=1, cutoff=0.75)
                hint = f"did you mean {near[0]!r}?" if near else "see docs/variables.md for the names"
                found.append((f"unknown variable {name!r}", hint))
            elif meant := misspelt(name, ("encaja", *prefixes), [*shared, *known]):
                found.append((f"unknown variable {name!r}", f"did you mean {meant!r}? If it is your own, rename it"))
            continue
        wanted = TYPES.get(spec.get("type", "str"), (object,))
        is_template = isinstance(value, str) and "{{" in value
        if is_template or not isinstance(value, (str, int, float, list, dict)):  # a vaulted value is none of these
            continue
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            # Never the value, whatever the name: a password belongs into many a variable, and slips into others.
            given = type(value).__name__
            found.append((f"{name} must be {spec.get('type')}, it is {given}", "give a value of that type"))
        elif "choices" in spec and value not in spec["choices"]:
            choices = ", ".join(map(str, spec["choices"]))
            found.append((f"{name} is {value!r}", f"use one of {choices}"))
    return found


def _missing(hosts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, Sequence[str]]) -> list[Fault]:
    """Missing values and placeholders: one line for each variable and fault."""
    seen: dict[tuple[str, bool], list[str]] = {}
    needed: set[str] = set()
    for name, spec in shared_variables().items():
        for host, variables in hosts.items():
            if not any(host in groups.get(environment, ()) for environment in ENVIRONMENTS):
                continue
            value = variables.get(name)
            is_needed = any(host in groups.get(group, ()) for group in spec.get("required", ()))
            if is_needed:
                needed.add(name)
            if isinstance(value, str) and _is_placeholder(value):
                seen.setdefault((name, True), []).append(host)
            elif is_needed and not _given(value):
                seen.setdefault((name, False), []).append(host)
    return [
        Fault(
            f"{name} still has its placeholder" if placeholder else f"{name} has no value",
            ", ".join(where),
            f"set it in {_place(shared_variables()[name])}{'' if name in needed else ', or remove it'}",
        )
        for (name, placeholder), where in seen.items()
    ]


def _is_placeholder(value: str) -> bool:
    text = value.strip().lower()
    return text in PLACEHOLDERS or bool(EXAMPLE.search(text))


def _example_hosts(hosts: Collection[str], groups: Mapping[str, Sequence[str]]) -> list[Fault]:
    """Hosts that still have the names of the shipped inventories."""
    ours = {host for environment in ENVIRONMENTS for host in groups.get(environment, ())}
    names = [host for host in hosts if host in ours and EXAMPLE.search(host.lower())]
    what = "the host's name is still a placeholder" if len(names) == 1 else "the hosts' names are still placeholders"
    mend = "write your hosts' names into hosts.yml, or remove those that you do not have"
    return [Fault(what, ", ".join(names), mend)] if names else []


def _given(value: Any) -> bool:
    return value is not None and value not in ("", {}, [])


def _place(spec: Mapping[str, Any]) -> str:
    return "the environment's vault.yml" if spec.get("secret") else "the environment's group_vars"
