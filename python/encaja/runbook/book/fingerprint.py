"""What a step's result depends on, as hashes: its playbook, all that it draws in, and the variables that it reads."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from encaja.ansible.collection import collection
from encaja.runbook.book.ansible_files import definitions, host_patterns, references, role_options
from encaja.runbook.book.inventory_values import InventoryValues, digest_of, files_below, read_values
from encaja.runbook.book.mentions import Mentions, Reach, mentions, reach, strings
from encaja.runbook.book.model import Action
from encaja.runbook.book.playbooks import find_playbook

_PLUGINS = ("action_plugins", "lookup_plugins", "filter_plugins", "vars_plugins")
# Values in these are evaluated only where a variable of theirs is used.
_DEFINITIONS = ("defaults", "vars")
# Ansible does not evaluate these; of the argument specifications the options' names count.
_UNREAD = ("files", "meta/argument_specs.yml", "meta/rules.yml")
_TASKS = ("tasks", "handlers")
# What a task file of a role cannot say by itself: which templates and handlers it uses.
_BESIDE = re.compile(rb"\b(template|config_files|notify|lookup|first_found)\b|{{[^}]*}}\.ya?ml")
EVERYWHERE = ("all", "ungrouped")


@dataclass
class _Drawn:
    """What a playbook draws in: its files as hashes, what they mention, and where it works."""

    manifest: dict[str, str] = field(default_factory=dict)
    mentions: list[Mentions] = field(default_factory=list)
    patterns: list[str] = field(default_factory=list)
    roles: set[str] = field(default_factory=set)
    seen: set[Path] = field(default_factory=set)
    unknown: bool = False


class Fingerprinter:
    """Computes manifests (file or variable: hash); remembers files, roles and inventories that it has read."""

    def __init__(self, project: Path, inventories: Sequence[Path]) -> None:
        self._project = project
        self._inventories = tuple(inventories)
        self._trees: dict[Path, dict[str, str]] = {}
        self._values: InventoryValues | None = None

    def manifest(self, action: Action) -> dict[str, str]:
        """All inputs of an action whose variables are already filled in."""
        definition = {key: value for key, value in asdict(action).items() if value}
        found = {
            "run-book: what the step runs": digest_of(json.dumps(definition, sort_keys=True, default=str).encode())
        }
        drawn = None
        if action.playbook and (playbook := find_playbook(self._project, action.playbook)):
            drawn = _Drawn(mentions=[mentions(" ".join(strings(dict(action.variables))))])
            self._playbook(playbook, drawn)
            found |= drawn.manifest
        return found | self._inventory(action, drawn)

    def forget(self) -> None:
        """Reads everything again the next time."""
        self._trees.clear()
        self._values = None

    # Variables

    def _inventory(self, action: Action, drawn: _Drawn | None) -> dict[str, str]:
        """What of the inventories can make a difference to what was drawn in; all of them for a command."""
        if self._values is None:
            self._values = read_values(self._project, self._inventories)
        values = self._values
        found = {**values.whole, **values.shape}
        read = Reach(frozenset(), frozenset(), everything=True)
        if drawn and not drawn.unknown:
            roles = self._roles_there()
            read = reach(drawn.mentions, self._defined(values, drawn.roles), roles)
            if read.other_roles - drawn.roles:
                read = reach(drawn.mentions, self._defined(values, drawn.roles | read.other_roles), roles)
        hosts = _concerned(drawn.patterns, action.limit, values.groups) if drawn else None
        for value in values.values:
            near = hosts is None or value.scope in EVERYWHERE or _concerns(value.scope, hosts, values.groups or {})
            names = read.own if near else read.foreign
            # Ansible itself reads the variables of its connections.
            if read.everything or value.name in names or value.name.startswith("ansible_"):
                scope = "" if value.scope in Path(value.place).with_suffix("").parts else f", {value.scope}"
                found[f"{value.name} ({value.place}{scope})"] = value.digest
        return found

    def _defined(self, values: InventoryValues, roles: Collection[str]) -> dict[str, list[Mentions]]:
        found: dict[str, list[Mentions]] = {}
        for value in values.values:
            found.setdefault(value.name, []).append(value.mentions)
        for role in sorted(roles):
            for kind in _DEFINITIONS:
                for path in sorted((self._role(role) / kind).glob("**/*.yml")):
                    for name, said in definitions(path.read_bytes()):
                        found.setdefault(name, []).append(said)
        return found

    def _roles_there(self) -> list[str]:
        bases = [base / "roles" for base in (self._project, collection())]
        return sorted({entry.name for base in bases if base.is_dir() for entry in base.iterdir() if entry.is_dir()})

    def _role(self, name: str) -> Path:
        """The folder of a role of the project's own, or else of the collection; it may not be there."""
        own = self._project / "roles" / name
        return own if own.is_dir() else collection() / "roles" / name

    # Files

    def _playbook(self, path: Path, drawn: _Drawn) -> None:
        if path in drawn.seen or not path.is_file():
            return
        drawn.seen.add(path)
        data = path.read_bytes()
        drawn.manifest[self._name(path)] = digest_of(data)
        drawn.mentions.append(mentions(data.decode(errors="replace")))
        drawn.patterns += host_patterns(data)
        for folder in _PLUGINS:
            for plugin in sorted((path.parent / folder).glob("*.py")):
                drawn.mentions.append(mentions(plugin.read_text(errors="replace")))
        inside = references(data)
        drawn.unknown = drawn.unknown or inside.files_unknown
        for name in inside.files:
            self._playbook(_joined(path.parent, name), drawn)
        everyone = {(name, "") for name in self._roles_there()} if inside.roles_unknown else set()
        self._roles(inside.roles | everyone, drawn)

    def _roles(self, names: Collection[tuple[str, str]], drawn: _Drawn) -> None:
        for name, entry in sorted(names):
            directory = self._role(name)
            place = directory / "tasks" / f"{entry.removesuffix('.yml')}.yml" if entry else directory
            if place in drawn.seen:
                continue
            if not directory.is_dir():
                # Of another collection: what it reads is unknown.
                drawn.unknown = True
                continue
            drawn.seen.add(place)
            drawn.roles.add(name)
            files = (_part_of_role(place) if entry else None) or list(files_below(directory))
            tree = self._tree(directory)
            drawn.manifest |= {self._name(path): tree[self._name(path)] for path in files}
            drawn.mentions += self._mentioned(directory, files, entry)
            needed: set[tuple[str, str]] = set()
            for path in files:
                within = path.relative_to(directory)
                if path.suffix == ".yml" and (within.parts[0] in _TASKS or str(within) == "meta/main.yml"):
                    needed |= references(path.read_bytes()).roles
            self._roles(needed, drawn)

    @staticmethod
    def _mentioned(role: Path, files: Sequence[Path], entry: str) -> list[Mentions]:
        found = [
            mentions(path.read_text(encoding="utf-8", errors="replace"))
            for path in files
            if not str(path.relative_to(role)).startswith((*_DEFINITIONS, *_UNREAD))
        ]
        specification = role / "meta" / "argument_specs.yml"
        if specification.is_file():
            found.append(Mentions(role_options(specification.read_bytes(), entry)))
        return found

    def _tree(self, root: Path) -> dict[str, str]:
        if root not in self._trees:
            self._trees[root] = {self._name(path): digest_of(path.read_bytes()) for path in files_below(root)}
        return self._trees[root]

    def _name(self, path: Path) -> str:
        base = next((base for base in (self._project, collection()) if path.is_relative_to(base)), None)
        return str(path.relative_to(base) if base else path)


def _joined(folder: Path, name: str) -> Path:
    """A file that another names, without following links: the collection may be one."""
    return Path(os.path.normpath(folder / name))


def _part_of_role(tasks: Path) -> list[Path] | None:
    """The files of a role that one of its task files uses; None where all of the role may be used."""
    role = tasks.parents[1]
    todo, found = [tasks], [path for kind in (*_DEFINITIONS, "meta") for path in _files_in(role / kind)]
    while todo:
        path = todo.pop()
        if path in found:
            continue
        if not path.is_file() or _BESIDE.search(data := path.read_bytes()):
            return None
        found.append(path)
        inside = references(data)
        if inside.files_unknown:
            return None
        todo += [_joined(path.parent, name) for name in inside.files]
    return found


def _files_in(directory: Path) -> list[Path]:
    return list(files_below(directory)) if directory.is_dir() else []


def _concerned(
    patterns: Sequence[str], limit: str, groups: Mapping[str, frozenset[str]] | None
) -> frozenset[str] | None:
    """The hosts that plays with these patterns may work on under a limit; None where that is unknown."""
    if groups is None:
        return None
    plays = [_matched(pattern, groups) for pattern in patterns]
    allowed = _matched(limit, groups) if limit else None
    if not plays or any(hosts is None for hosts in plays):
        return allowed
    found = frozenset().union(*(hosts for hosts in plays if hosts is not None))
    return found if allowed is None else found & allowed


def _matched(pattern: str, groups: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    """At least the hosts that a pattern of Ansible's matches; None where it is more than names."""
    found: set[str] = set()
    for part in re.split(r"[:,]", pattern):
        name = part.strip()
        if not name or name[0] in "!&":
            continue
        if name in groups:
            found |= groups[name]
        elif name in groups["all"] or name == "localhost":
            found.add(name)
        else:
            return None
    return frozenset(found)


def _concerns(scope: str, hosts: frozenset[str], groups: Mapping[str, frozenset[str]]) -> bool:
    """Whether variables of a group or host reach any of `hosts`; those of a group that only a run knows may."""
    if scope in groups:
        return bool(groups[scope] & hosts)
    return scope in hosts or scope not in groups["all"]


def digest(manifest: Mapping[str, str]) -> str:
    """One hash for a whole manifest."""
    return digest_of(json.dumps(dict(manifest), sort_keys=True).encode())


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Names of inputs that differ between two manifests."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
