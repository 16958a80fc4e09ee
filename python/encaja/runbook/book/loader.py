"""Reads run-books: the shipped default, then the user's own files over it, all faults named at once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from encaja.errors import ConfigurationError
from encaja.runbook.book.model import (
    Action,
    Address,
    Announcements,
    Kind,
    MoveSettings,
    Owner,
    Phase,
    Proof,
    Retry,
    RetryOn,
    Runbook,
    Scale,
    Step,
    Text,
    Urgency,
)
from encaja.runbook.book.playbooks import find_playbook
from encaja.runbook.durations import parse_span
from encaja.vocabulary import LANGUAGES

RUNBOOK_VERSION = 1
_LINE = "__line__"
_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_TOP_KEYS = {"version", "base", "move", "phases", "steps"}
_STEP_KEYS = {
    "id", "phase", "title", "owner", "run", "needs", "verify", "undo", "help", "estimate", "urgency", "destructive",
    "targets", "never_on", "only_on", "retry", "expires", "notice", "scale", "gap", "after", "remove",
    "requires", "brings",
}  # fmt: skip
_RUN_KEYS = {"playbook", "command", "check", "human", "limit", "tags", "skip_tags", "vars"}
_MOVE_KEYS = {
    "name", "language", "inventory", "variables", "announce", "leads_per_hour", "leads_per_day", "backup_bytes",
    "addresses", "time_zone",
}  # fmt: skip

# What `verify: {checks: […]}` runs.
CHECKS_PLAYBOOK = "verify.yml"
CHECKS_LIMIT = "$target"
_DEED = {"verify": "verified", "undo": "undone"}

E = TypeVar("E", bound=StrEnum)


class RunbookError(ConfigurationError):
    """A run-book that cannot be used; `faults` holds one line for each thing wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(self.faults)


class _LineLoader(yaml.SafeLoader):
    """Puts each mapping's line into it, so that a fault can say where it is; refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping, with its line under a private key."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        mapping[_LINE] = node.start_mark.line + 1
        return mapping


@dataclass
class _Faults:
    """Collects what is wrong, so that a user fixes a file in one go."""

    lines: list[str] = field(default_factory=list)

    def add(self, where: str, what: str, hint: str = "") -> None:
        line = f"{where}: {what}" + (f" ({hint})" if hint else "")
        if line not in self.lines:
            self.lines.append(line)

    def raise_if_any(self) -> None:
        if self.lines:
            raise RunbookError(self.lines)


@dataclass
class _Source:
    """One run-book file as read, with the name that faults use for it."""

    name: str
    data: dict[str, Any]

    def at(self, mapping: Mapping[str, Any]) -> str:
        return f"{self.name}:{mapping.get(_LINE, 1)}"


@dataclass
class _Draft:
    """A step's merged keys, with the place that a fault in each of them is in."""

    data: dict[str, Any]
    where: str
    places: dict[str, str]

    def at(self, key: str) -> str:
        return self.places.get(key, self.where)


def load_runbook(project: Path, overrides: Iterable[Path] = ()) -> Runbook:
    """The shipped run-book with the files of `overrides` laid over it, in their order.

    A file's step with a known id changes the keys that it gives; `remove: true` takes the step out and hands its needs
    to those who needed it; an unknown id adds a step at the end of its phase, or behind `after`. A file with
    `base: none` stands for itself: nothing is under it.

    Args:
        project: the directory that holds `playbooks/`.
        overrides: run-book files of the user or of an inventory.

    Raises:
        RunbookError: with one line for every fault in all the files.
    """
    faults = _Faults()
    shipped = resources.files("encaja.runbook.book").joinpath("default.yml")
    sources = [_read("default run-book", shipped.read_text(encoding="utf-8"), faults)]
    paths = list(overrides)
    for path in paths:
        try:
            sources.append(_read(str(path), path.read_text(encoding="utf-8"), faults))
        except (OSError, UnicodeDecodeError) as error:
            faults.add(str(path), f"cannot be read: {error}", "give a readable YAML file")
    alone = 0
    for position, source in enumerate(sources):
        base = source.data.get("base", "default")
        if base == "none":
            alone = position
        elif base != "default":
            faults.add(f"{source.name}:1", f"base is '{base}'", "known are default, none")
    faults.raise_if_any()
    return _build(sources[alone:], project, tuple(paths), faults)


def _read(name: str, text: str, faults: _Faults) -> _Source:
    try:
        data = yaml.load(text, Loader=_LineLoader)  # noqa: S506 - a SafeLoader underneath
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        faults.add(f"{name}:{mark.line + 1}" if mark else name, f"is not valid YAML: {problem}", "fix the syntax")
        return _Source(name, {})
    if data is None:
        return _Source(name, {})
    if not isinstance(data, dict):
        faults.add(name, "is not a mapping", "start with 'version: 1' and 'steps:'")
        return _Source(name, {})
    source = _Source(name, data)
    for key in _unknown(data, _TOP_KEYS):
        faults.add(f"{name}:1", f"unknown key '{key}'", f"known are {', '.join(sorted(_TOP_KEYS))}")
    version = data.get("version", RUNBOOK_VERSION)
    if not isinstance(version, int) or version > RUNBOOK_VERSION:
        faults.add(f"{name}:1", f"run-book version {version} is newer than this encaja understands", "update encaja")
    return source


def _unknown(mapping: Mapping[Any, Any], known: set[str]) -> list[str]:
    return [str(key) for key in mapping if key != _LINE and key not in known]


def _build(sources: list[_Source], project: Path, paths: tuple[Path, ...], faults: _Faults) -> Runbook:
    phases = _phases(sources, faults)
    drafts, removed = _merge_steps(sources, phases, faults)
    settings = _settings(sources, faults)
    steps = [_step(step_id, draft, phases, project, faults) for step_id, draft in drafts.items()]
    _check_needs(steps, drafts, faults)
    ordered = _in_order(steps, drafts, faults)
    ordered = _with_proofs(ordered, drafts, removed, faults)
    if not steps and not faults.lines:
        faults.add(sources[-1].name, "holds no steps", "list at least one under 'steps:'")
    faults.raise_if_any()
    return Runbook(phases, tuple(ordered), settings, paths)


def _phases(sources: list[_Source], faults: _Faults) -> dict[int, Phase]:
    phases: dict[int, Phase] = {}
    for source in sources:
        given = source.data.get("phases") or {}
        if not isinstance(given, dict):
            faults.add(
                source.name, "'phases' is not a mapping of numbers", "write 'phases: {1: {title: …, urgency: …}}'"
            )
            continue
        for number, value in given.items():
            if number == _LINE:
                continue
            where = source.at(value if isinstance(value, dict) else given)
            if not isinstance(number, int) or not isinstance(value, dict):
                faults.add(where, f"phase '{number}' is not a number with a title and an urgency")
                continue
            title = _text(value.get("title"), where, f"phase {number}'s title", faults)
            urgency = _choice(Urgency, value.get("urgency"), where, f"phase {number}'s urgency", faults)
            phases[number] = Phase(number, title, urgency or Urgency.MEDIUM)
    return dict(sorted(phases.items()))


def _merge_steps(
    sources: list[_Source], phases: Mapping[int, Phase], faults: _Faults
) -> tuple[dict[str, _Draft], Collection[str]]:
    """The steps' keys as all files together give them, and the ids of those that were taken out."""
    drafts: dict[str, _Draft] = {}
    removed: dict[str, list[str]] = {}
    for source in sources:
        given = source.data.get("steps") or []
        if not isinstance(given, list):
            faults.add(source.name, "'steps' is not a list", "write one '- id: …' for each step")
            continue
        seen: set[str] = set()
        for index, item in enumerate(given, 1):
            if not isinstance(item, dict) or not isinstance(item.get("id"), str) or not _ID.match(item["id"]):
                where = source.at(item) if isinstance(item, dict) else source.name
                faults.add(
                    where,
                    f"step {index} has no usable id",
                    "give it an 'id' of small letters, digits and single hyphens",
                )
                continue
            step_id, where = item["id"], source.at(item)
            if step_id in seen:
                faults.add(where, f"step id '{step_id}' is used twice", "rename one of them")
                continue
            seen.add(step_id)
            for key in _unknown(item, _STEP_KEYS):
                faults.add(
                    where, f"step '{step_id}' has an unknown key '{key}'", f"known are {', '.join(sorted(_STEP_KEYS))}"
                )
            _lay_over(drafts, removed, item, where, faults)
    for draft in drafts.values():
        needs = draft.data.get("needs")
        if isinstance(needs, list):
            draft.data["needs"] = _without(needs, removed)
    return _by_phase(drafts, phases, faults), removed


def _lay_over(
    drafts: dict[str, _Draft], removed: dict[str, list[str]], item: dict[str, Any], where: str, faults: _Faults
) -> None:
    step_id = item["id"]
    keys = {key: value for key, value in item.items() if key not in (_LINE, "remove")}
    if item.get("remove"):
        if step_id in removed:  # by a file below this one
            return
        if step_id not in drafts:
            faults.add(where, f"removes step '{step_id}', which does not exist", "drop the entry")
        else:
            removed[step_id] = list(drafts.pop(step_id).data.get("needs") or [])
        return
    places = dict.fromkeys(keys, where)
    if step_id in drafts:
        old = drafts[step_id]
        old.data.update(keys)
        old.data = {key: value for key, value in old.data.items() if value is not None}
        old.places.update(places)
    else:
        drafts[step_id] = _Draft(keys, where, places)


def _without(needs: list[Any], removed: Mapping[str, list[str]]) -> list[Any]:
    """`needs` with removed steps replaced by what those needed themselves."""
    result: list[Any] = []
    todo = list(needs)
    expanded: set[str] = set()
    while todo:
        need = todo.pop(0)
        if isinstance(need, str) and need in removed:
            if need not in expanded:
                expanded.add(need)
                todo = list(removed[need]) + todo
        elif need not in result:
            result.append(need)
    return result


def _by_phase(drafts: dict[str, _Draft], phases: Mapping[int, Phase], faults: _Faults) -> dict[str, _Draft]:
    order = list(drafts)
    for step_id in list(order):
        after = drafts[step_id].data.get("after")
        if after is None:
            continue
        if after not in drafts or after == step_id:
            faults.add(
                drafts[step_id].at("after"),
                f"step '{step_id}' comes after '{after}', which does not exist",
                "name a step's id",
            )
            continue
        order.remove(step_id)
        order.insert(order.index(after) + 1, step_id)
    known = list(phases)
    rank = {step_id: position for position, step_id in enumerate(order)}

    def key(step_id: str) -> tuple[int, int]:
        phase = drafts[step_id].data.get("phase")
        return (known.index(phase) if phase in known else len(known), rank[step_id])

    return {step_id: drafts[step_id] for step_id in sorted(order, key=key)}


def _step(step_id: str, draft: _Draft, phases: Mapping[int, Phase], project: Path, faults: _Faults) -> Step:
    data = draft.data
    phase = data.get("phase")
    if phase not in phases:
        known = ", ".join(str(number) for number in phases)
        faults.add(
            draft.at("phase"),
            f"step '{step_id}' is in phase '{phase}', which does not exist",
            f"known are {known or 'none'}",
        )
        phase = next(iter(phases), 0)
    owner = _choice(Owner, data.get("owner"), draft.at("owner"), f"step '{step_id}': owner", faults)
    kind, action = _run(step_id, data.get("run"), draft.at("run"), project, faults)
    verify, proof = _verify(step_id, data.get("verify"), draft.at("verify"), project, faults)
    undo, undo_action = _undo(step_id, data.get("undo"), draft.at("undo"), project, faults)
    destructive = _flag(data, "destructive", draft, step_id, faults)
    if destructive and kind in (Kind.HUMAN, Kind.CHECK):
        faults.add(draft.at("destructive"), f"step '{step_id}' is destructive but runs nothing that changes a host")
    for key in ("verify", "undo") if destructive else ():
        if data.get(key) is None:
            what = f"step '{step_id}' replaces data and does not say how it is {_DEED[key]}"
            faults.add(draft.at("destructive"), what, f"give it '{key}'")
    number = phase if isinstance(phase, int) else 0
    default_urgency = phases[number].urgency if number in phases else Urgency.MEDIUM
    gap = data.get("gap")
    if gap not in (None, "opens", "closes"):
        faults.add(draft.at("gap"), f"step '{step_id}': gap is '{gap}'", "known are opens, closes")
    return Step(
        id=step_id,
        phase=number,
        title=_text(data.get("title"), draft.at("title"), f"step '{step_id}': title", faults),
        owner=owner or Owner.CONTRACTOR,
        kind=kind,
        action=action,
        needs=_strings(data.get("needs"), draft.at("needs"), f"step '{step_id}': needs", faults),
        estimate=_span(data.get("estimate"), draft.at("estimate"), f"step '{step_id}': estimate", faults)
        or timedelta(0),
        urgency=_choice(
            Urgency, data.get("urgency", default_urgency), draft.at("urgency"), f"step '{step_id}': urgency", faults
        )
        or default_urgency,
        verify=verify,
        proof=proof,
        undo=undo,
        undo_action=undo_action,
        help=_text(data.get("help"), draft.at("help"), f"step '{step_id}': help", faults, optional=True),
        destructive=destructive,
        targets=_strings(data.get("targets"), draft.at("targets"), f"step '{step_id}': targets", faults),
        never_on=_strings(data.get("never_on"), draft.at("never_on"), f"step '{step_id}': never_on", faults),
        only_on=_strings(data.get("only_on"), draft.at("only_on"), f"step '{step_id}': only_on", faults),
        retry=_retry(step_id, data.get("retry"), draft.at("retry"), faults),
        expires=_span(data["expires"], draft.at("expires"), f"step '{step_id}': expires", faults)
        if "expires" in data
        else None,
        notice=str(data.get("notice") or ""),
        scale=_choice(Scale, data.get("scale", "fixed"), draft.at("scale"), f"step '{step_id}': scale", faults)
        or Scale.FIXED,
        requires=_requires(step_id, data.get("requires"), draft.at("requires"), faults),
        brings=_strings(data.get("brings"), draft.at("brings"), f"step '{step_id}': brings", faults),
        gap_opens=gap == "opens",
        gap_closes=gap == "closes",
    )


def _requires(step_id: str, value: Any, where: str, faults: _Faults) -> tuple[tuple[str, ...], ...]:
    """The variables that a step needs, each as its alternatives: `name`, or `one or another`."""
    wanted = []
    for item in _strings(value, where, f"step '{step_id}': requires", faults):
        names = tuple(item.split(" or "))
        if not all(name.isidentifier() for name in names):
            hint = "give a variable's name, or several joined by 'or'"
            faults.add(where, f"step '{step_id}' requires '{item}'", hint)
        wanted.append(names)
    return tuple(wanted)


def _run(step_id: str, value: Any, where: str, project: Path, faults: _Faults) -> tuple[Kind, Action | None]:
    forms = [kind.value for kind in Kind]
    hint = f"give 'run' exactly one of {', '.join(forms)}"
    if not isinstance(value, dict):
        faults.add(where, f"step '{step_id}' does not say what it runs", hint)
        return Kind.HUMAN, None
    for key in _unknown(value, _RUN_KEYS):
        faults.add(
            where, f"step '{step_id}': run has an unknown key '{key}'", f"known are {', '.join(sorted(_RUN_KEYS))}"
        )
    given = [form for form in forms if form in value]
    if len(given) != 1:
        faults.add(where, f"step '{step_id}' runs {' and '.join(given) or 'nothing'}", hint)
        return Kind.HUMAN, None
    kind = Kind(given[0])
    if kind is Kind.HUMAN:
        return kind, None
    what = value[kind.value]
    variables = value.get("vars") or {}
    if not isinstance(variables, dict):
        faults.add(where, f"step '{step_id}': vars is not a mapping")
        variables = {}
    playbook = ""
    command: tuple[str, ...] = ()
    if isinstance(what, str) and kind is not Kind.COMMAND:
        playbook = what
        if find_playbook(project, playbook) is None:
            faults.add(
                where, f"step '{step_id}' runs playbook '{playbook}', which does not exist", "look into playbooks/"
            )
    elif isinstance(what, list) and what and all(isinstance(word, str) for word in what) and kind is not Kind.PLAYBOOK:
        command = tuple(what)
        if command[0] != "encaja" and shutil.which(command[0]) is None:
            faults.add(
                where,
                f"step '{step_id}' runs command '{command[0]}', which is not installed",
                "install it or name its full path",
            )
    else:
        expected = {
            "playbook": "a playbook's file name",
            "command": "a list of words",
            "check": "a playbook's file name or a list of words",
        }
        faults.add(where, f"step '{step_id}': {kind.value} is not {expected[kind.value]}")
    limit = value.get("limit", "")
    if not isinstance(limit, str):
        faults.add(where, f"step '{step_id}': limit is not a host pattern")
        limit = ""
    return kind, Action(
        playbook=playbook,
        command=command,
        limit=limit,
        tags=_strings(value.get("tags"), where, f"step '{step_id}': tags", faults),
        skip_tags=_strings(value.get("skip_tags"), where, f"step '{step_id}': skip_tags", faults),
        variables=_plain(variables),
    )


def _verify(step_id: str, value: Any, where: str, project: Path, faults: _Faults) -> tuple[Action | None, Proof]:
    """What is run after a step, and what else proves it: a run, `checks`, `steps`, or a text."""
    if value is None:
        return None, Proof()
    if isinstance(value, str) or (isinstance(value, dict) and "en" in value):
        return None, Proof(text=_text(value, where, f"step '{step_id}': verify", faults))
    if not isinstance(value, dict):
        faults.add(where, f"step '{step_id}': verify is no mapping", "give a run, checks, steps, or a text")
        return None, Proof()
    checks = _strings(value.get("checks"), where, f"step '{step_id}': verify checks", faults)
    steps = _strings(value.get("steps"), where, f"step '{step_id}': verify steps", faults)
    run = {key: item for key, item in value.items() if key not in ("checks", "steps")}
    if checks:
        _check_ids(step_id, checks, where, faults)
        run = {"check": CHECKS_PLAYBOOK, "limit": CHECKS_LIMIT, "vars": {"verify_only": list(checks)}} | run
    if not any(key != _LINE for key in run):
        if not steps:
            faults.add(where, f"step '{step_id}': verify says nothing", "give a run, checks, steps, or a text")
        return None, Proof(checks, steps)
    kind, action = _run(step_id, run, where, project, faults)
    if kind is Kind.HUMAN and "human" in run:
        faults.add(where, f"step '{step_id}' is verified by a person", "make that a step of its own")
    return action, Proof(checks, steps)


def _check_ids(step_id: str, checks: tuple[str, ...], where: str, faults: _Faults) -> None:
    from encaja.portal import checks_case, checks_server, checks_web  # noqa: PLC0415 - only where they are named

    known = [check.id for module in (checks_case, checks_server, checks_web) for check in module.CHECKS]
    for name in checks:
        if not any(check.startswith(name) for check in known):
            begins = ", ".join(sorted({check.partition("-")[0] for check in known}))
            faults.add(
                where,
                f"step '{step_id}' is verified by check '{name}', which does not exist",
                f"they begin with {begins}",
            )


def _undo(step_id: str, value: Any, where: str, project: Path, faults: _Faults) -> tuple[Text, Action | None]:
    """How a step is undone: in words, and with `run` the command that does it."""
    if not isinstance(value, dict) or "run" not in value:
        return _text(value, where, f"step '{step_id}': undo", faults, optional=True), None
    words = {key: item for key, item in value.items() if key not in ("run", _LINE)}
    kind, action = _run(step_id, value["run"], where, project, faults)
    if kind is Kind.HUMAN:
        faults.add(where, f"step '{step_id}' is undone by a person", "say it in words, without 'run'")
    return _text(words, where, f"step '{step_id}': undo", faults), action


def _plain(value: Any) -> Any:
    """`value` without the line marks of the loader."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if key != _LINE}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _retry(step_id: str, value: Any, where: str, faults: _Faults) -> Retry:
    if value is None:
        return Retry()
    if not isinstance(value, dict) or _unknown(value, {"times", "delay", "when"}):
        faults.add(where, f"step '{step_id}': retry is not made of times, delay and when")
        return Retry()
    times = value.get("times", 1)
    if not isinstance(times, int) or isinstance(times, bool) or not 0 <= times <= 100:
        faults.add(where, f"step '{step_id}': retry times is '{times}'", "give a number from 0 to 100")
        times = 0
    delay = _span(value.get("delay", "10s"), where, f"step '{step_id}': retry delay", faults) or timedelta(0)
    kinds = [
        _choice(RetryOn, item, where, f"step '{step_id}': retry when", faults)
        for item in _strings(value.get("when", ["unreachable"]), where, f"step '{step_id}': retry when", faults)
    ]
    return Retry(times, delay, frozenset(kind for kind in kinds if kind))


def _settings(sources: list[_Source], faults: _Faults) -> MoveSettings:
    merged: dict[str, Any] = {}
    where = sources[-1].name
    for source in sources:
        given = source.data.get("move") or {}
        if not isinstance(given, dict):
            faults.add(source.name, "'move' is not a mapping")
            continue
        where = source.at(given)
        for key in _unknown(given, _MOVE_KEYS):
            faults.add(where, f"move has an unknown key '{key}'", f"known are {', '.join(sorted(_MOVE_KEYS))}")
        before = merged.get("variables")
        merged.update({key: value for key, value in given.items() if key != _LINE})
        if isinstance(before, dict) and isinstance(merged["variables"], dict):
            merged["variables"] = before | merged["variables"]
    language = merged.get("language", "en")
    if language not in LANGUAGES:
        faults.add(where, f"move: language is '{language}'", f"known are {', '.join(LANGUAGES)}")
        language = "en"
    announce = merged.get("announce") or {}
    if not isinstance(announce, dict) or _unknown(announce, {"team", "users"}):
        faults.add(where, "move: announce is not made of team and users", "give each a list of Apprise addresses")
        announce = {}
    variables = merged.get("variables") or {}
    if not isinstance(variables, dict):
        faults.add(where, "move: variables is not a mapping")
        variables = {}
    size = merged.get("backup_bytes", 0)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        faults.add(where, f"move: backup_bytes is '{size}'", "give the archive's size in bytes")
        size = 0
    return MoveSettings(
        name=str(merged.get("name") or ""),
        language=language,
        inventory=_strings(merged.get("inventory"), where, "move: inventory", faults),
        variables={str(key): str(value) for key, value in variables.items() if key != _LINE},
        announce=Announcements(
            _strings(announce.get("team"), where, "move: announce team", faults),
            _strings(announce.get("users"), where, "move: announce users", faults),
        ),
        leads_per_hour=_lead_rates(merged, where, faults),
        backup_bytes=size,
        addresses=_addresses(merged.get("addresses"), where, faults),
        time_zone=_time_zone(merged.get("time_zone"), where, faults),
    )


def _time_zone(value: Any, where: str, faults: _Faults) -> str:
    name = str(value or "UTC")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        faults.add(where, f"move: there is no time zone '{name}'", "give one like Europe/Madrid")
        return "UTC"
    return name


def _lead_rates(merged: Mapping[str, Any], where: str, faults: _Faults) -> tuple[float, ...]:
    """Leads for each hour of the day (24) or of the week from Monday 00:00 (168)."""
    rates = merged.get("leads_per_hour")
    if rates is None:
        day = merged.get("leads_per_day")
        if day is None:
            return ()
        if not isinstance(day, int | float) or isinstance(day, bool) or day < 0:
            faults.add(where, f"move: leads_per_day is '{day}'", "give a number")
            return ()
        return (day / 24,) * 24
    if (
        not isinstance(rates, list)
        or len(rates) not in (24, 168)
        or not all(isinstance(rate, int | float) and not isinstance(rate, bool) and rate >= 0 for rate in rates)
    ):
        faults.add(where, "move: leads_per_hour is not a list of 24 (day) or 168 (week from Monday) numbers")
        return ()
    return tuple(float(rate) for rate in rates)


def _addresses(value: Any, where: str, faults: _Faults) -> tuple[Address, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(
        isinstance(item, dict) and isinstance(item.get("url"), str) for item in value
    ):
        faults.add(where, "move: addresses is not a list of {title, url}")
        return ()
    return tuple(Address(_text(item.get("title"), where, "move: address title", faults), item["url"]) for item in value)


def _check_needs(steps: list[Step], drafts: Mapping[str, _Draft], faults: _Faults) -> None:
    known = {step.id for step in steps}
    for step in steps:
        for need in step.needs:
            if need not in known:
                faults.add(
                    drafts[step.id].at("needs"),
                    f"step '{step.id}' needs '{need}', which does not exist",
                    "name a step's id",
                )


def _with_proofs(
    ordered: list[Step], drafts: Mapping[str, _Draft], removed: Collection[str], faults: _Faults
) -> list[Step]:
    """The steps, proven by such as come after them; one that was taken out of the run-book proves nothing any more."""
    place = {step.id: number for number, step in enumerate(ordered)}
    found = []
    for step in ordered:
        kept = tuple(name for name in step.proof.steps if name in place or name not in removed)
        for name in kept:
            if name not in place:
                what, hint = f"step '{step.id}' is verified by step '{name}', which does not exist", "name a step's id"
            elif place[name] <= place[step.id]:
                what, hint = f"step '{step.id}' is verified by step '{name}', which comes before it", "name a later one"
            else:
                continue
            faults.add(drafts[step.id].at("verify"), what, hint)
        found.append(replace(step, proof=replace(step.proof, steps=kept)))
    return found


def _in_order(steps: list[Step], drafts: Mapping[str, _Draft], faults: _Faults) -> list[Step]:
    """The steps so that each comes after its needs, otherwise as written; a cycle is a fault that names its members."""
    known = {step.id for step in steps}
    left = list(steps)
    done: set[str] = set()
    ordered: list[Step] = []
    while left:
        ready = next((step for step in left if all(need in done or need not in known for need in step.needs)), None)
        if ready is None:
            cycle = _find_cycle({step.id: [need for need in step.needs if need in known] for step in left})
            faults.add(
                drafts[cycle[0]].at("needs"),
                f"steps need each other in a circle: {' → '.join(cycle)}",
                "drop one of these needs",
            )
            return steps
        left.remove(ready)
        done.add(ready.id)
        ordered.append(ready)
    return ordered


def _find_cycle(needs: Mapping[str, list[str]]) -> list[str]:
    trail: list[str] = [next(iter(needs))]
    while True:
        following = next(need for need in needs[trail[-1]] if need in needs)
        if following in trail:
            return [*trail[trail.index(following) :], following]
        trail.append(following)


def _text(value: Any, where: str, what: str, faults: _Faults, *, optional: bool = False) -> Text:
    if value is None and optional:
        return Text("", "")
    if isinstance(value, str) and value.strip():
        return Text(value.strip(), value.strip())
    if isinstance(value, dict) and not _unknown(value, set(LANGUAGES)) and str(value.get("en") or "").strip():
        return Text(str(value["en"]).strip(), str(value.get("es") or value["en"]).strip())
    faults.add(where, f"{what} is missing or not a text", "give a text, or one each under 'en' and 'es'")
    return Text("", "")


def _choice(kind: type[E], value: Any, where: str, what: str, faults: _Faults) -> E | None:
    try:
        return kind(value)
    except ValueError:
        problem = "is missing" if value is None else f"is '{value}'"
        faults.add(where, f"{what} {problem}", f"known are {', '.join(item.value for item in kind)}")
        return None


def _flag(data: Mapping[str, Any], key: str, draft: _Draft, step_id: str, faults: _Faults) -> bool:
    value = data.get(key, False)
    if not isinstance(value, bool):
        faults.add(draft.at(key), f"step '{step_id}': {key} is '{value}'", "say true or false")
        return False
    return value


def _span(value: Any, where: str, what: str, faults: _Faults) -> timedelta | None:
    if value is None:
        faults.add(where, f"{what} is missing", "give a duration such as 15m or 2h")
        return None
    try:
        return parse_span(value)
    except ValueError as error:
        faults.add(where, f"{what}: {error}")
        return None


def _strings(value: Any, where: str, what: str, faults: _Faults) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    faults.add(where, f"{what} is not a list of names")
    return ()
