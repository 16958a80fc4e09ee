"""A step from its merged keys."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from encaja.runbook.book.faults import LINE, Faults, Place, unknown_keys
from encaja.runbook.book.model import Action, Kind, Owner, Phase, Proof, Retry, RetryOn, Scale, Step, Text, Urgency
from encaja.runbook.book.playbooks import find_playbook
from encaja.runbook.book.step_drafts import StepDraft

# What `verify: {checks: […]}` runs.
_CHECKS_PLAYBOOK = "verify.yml"
_CHECKS_LIMIT = "$target"
_RUN_KEYS = {"playbook", "command", "check", "human", "limit", "tags", "skip_tags", "vars"}
_RUN_HINT = f"give 'run' exactly one of {', '.join(Kind)}"
_RUN_VALUES = {
    Kind.PLAYBOOK: "a playbook's file name",
    Kind.COMMAND: "a list of words",
    Kind.CHECK: "a playbook's file name or a list of words",
}
_VERIFY_HINT = "give a run, checks, steps, or a text"


def read_step(draft: StepDraft, phases: Mapping[int, Phase], project: Path, faults: Faults) -> Step:
    """The step of a draft; its faults are collected."""
    data = draft.data

    def at(key: str) -> Place:
        return draft.place(key, faults)

    phase = _phase(at("phase"), data.get("phase"), phases)
    kind, action = _run(at("run"), data.get("run"), project)
    verify, proof = _verify(at("verify"), data.get("verify"), project)
    undo, undo_action = _undo(at("undo"), data.get("undo"), project)
    gap = data.get("gap")
    if gap not in (None, "opens", "closes"):
        at("gap").fault(f"{at('gap').name} is '{gap}'", "known are opens, closes")
    urgency = phases[phase].urgency if phase in phases else Urgency.MEDIUM
    return Step(
        id=data["id"],
        phase=phase,
        title=at("title").text(data.get("title")),
        owner=at("owner").choice(data.get("owner"), Owner.CONTRACTOR),
        kind=kind,
        action=action,
        needs=at("needs").strings(data.get("needs")),
        estimate=at("estimate").span(data.get("estimate")),
        urgency=at("urgency").choice(data.get("urgency", urgency), urgency),
        verify=verify,
        proof=proof,
        undo=undo,
        undo_action=undo_action,
        help=at("help").text(data.get("help"), optional=True),
        destructive=_destructive(at("destructive"), data, kind),
        targets=at("targets").strings(data.get("targets")),
        never_on=at("never_on").strings(data.get("never_on")),
        only_on=at("only_on").strings(data.get("only_on")),
        retry=_retry(at("retry"), data.get("retry")),
        expires=at("expires").span(data["expires"]) if "expires" in data else None,
        notice=str(data.get("notice") or ""),
        scale=at("scale").choice(data.get("scale", "fixed"), Scale.FIXED),
        requires=_requires(at("requires"), data.get("requires")),
        brings=at("brings").strings(data.get("brings")),
        gap_opens=gap == "opens",
        gap_closes=gap == "closes",
    )


def _phase(at: Place, value: Any, phases: Mapping[int, Phase]) -> int:
    if isinstance(value, int) and value in phases:
        return value
    known = ", ".join(str(number) for number in phases) or "none"
    at.fault(f"{at.subject} is in phase '{value}', which does not exist", f"known are {known}")
    return next(iter(phases), 0)


def _destructive(at: Place, data: Mapping[str, Any], kind: Kind) -> bool:
    destructive = at.flag(data.get("destructive", False))
    if destructive and kind in (Kind.HUMAN, Kind.CHECK):
        at.fault(f"{at.subject} is destructive but runs nothing that changes a host")
    for key, done in (("verify", "verified"), ("undo", "undone")) if destructive else ():
        if data.get(key) is None:
            at.fault(f"{at.subject} replaces data and does not say how it is {done}", f"give it '{key}'")
    return destructive


def _requires(at: Place, value: Any) -> tuple[tuple[str, ...], ...]:
    """The variables that a step needs, each as its alternatives: `name`, or `one or another`."""
    wanted = []
    for item in at.strings(value):
        names = tuple(item.split(" or "))
        if not all(name.isidentifier() for name in names):
            at.fault(f"{at.subject} requires '{item}'", "give a variable's name, or several joined by 'or'")
        wanted.append(names)
    return tuple(wanted)


def _run(at: Place, value: Any, project: Path) -> tuple[Kind, Action | None]:
    if not isinstance(value, dict):
        at.fault(f"{at.subject} does not say what it runs", _RUN_HINT)
        return Kind.HUMAN, None
    at.faults.add_unknown(at.where, f"{at.subject}: run has an ", value, _RUN_KEYS)
    given = [kind for kind in Kind if kind in value]
    if len(given) != 1:
        at.fault(f"{at.subject} runs {' and '.join(given) or 'nothing'}", _RUN_HINT)
        return Kind.HUMAN, None
    (kind,) = given
    if kind is Kind.HUMAN:
        return kind, None
    playbook, command = _what_runs(at, kind, value[kind], project)
    limit = value.get("limit", "")
    if not isinstance(limit, str):
        at.fault(f"{at.subject}: limit is not a host pattern")
        limit = ""
    return kind, Action(
        playbook=playbook,
        command=command,
        limit=limit,
        tags=at.at("tags").strings(value.get("tags")),
        skip_tags=at.at("skip_tags").strings(value.get("skip_tags")),
        variables=at.at("vars").mapping(value.get("vars")),
    )


def _what_runs(at: Place, kind: Kind, what: Any, project: Path) -> tuple[str, tuple[str, ...]]:
    """A playbook or a command."""
    if isinstance(what, str) and kind is not Kind.COMMAND:
        if find_playbook(project, what) is None:
            at.fault(f"{at.subject} runs playbook '{what}', which does not exist", "look into playbooks/")
        return what, ()
    if isinstance(what, list) and what and all(isinstance(word, str) for word in what) and kind is not Kind.PLAYBOOK:
        if what[0] != "encaja" and shutil.which(what[0]) is None:
            hint = "install it or name its full path"
            at.fault(f"{at.subject} runs command '{what[0]}', which is not installed", hint)
        return "", tuple(what)
    at.fault(f"{at.subject}: {kind} is not {_RUN_VALUES[kind]}")
    return "", ()


def _verify(at: Place, value: Any, project: Path) -> tuple[Action | None, Proof]:
    """What is run after a step, and what else proves it: a run, `checks`, `steps`, or a text."""
    if value is None:
        return None, Proof()
    if isinstance(value, str) or (isinstance(value, dict) and "en" in value):
        return None, Proof(text=at.text(value))
    if not isinstance(value, dict):
        at.fault(f"{at.name} is not a mapping", _VERIFY_HINT)
        return None, Proof()
    checks = at.at("verify checks").strings(value.get("checks"))
    steps = at.at("verify steps").strings(value.get("steps"))
    run = {key: item for key, item in value.items() if key not in ("checks", "steps")}
    if checks:
        _check_ids(at, checks)
        run = {"check": _CHECKS_PLAYBOOK, "limit": _CHECKS_LIMIT, "vars": {"verify_only": list(checks)}} | run
    if not any(key != LINE for key in run):
        if not steps:
            at.fault(f"{at.name} says nothing", _VERIFY_HINT)
        return None, Proof(checks, steps)
    kind, action = _run(at, run, project)
    if kind is Kind.HUMAN and "human" in run:
        at.fault(f"{at.subject} is verified by a person", "make that a step of its own")
    return action, Proof(checks, steps)


def _check_ids(at: Place, checks: tuple[str, ...]) -> None:
    from encaja.portal import (  # noqa: PLC0415 - only where they are named
        checks_case,
        checks_licence,
        checks_server,
        checks_web,
    )

    modules = (checks_case, checks_licence, checks_server, checks_web)
    known = [check.id for module in modules for check in module.CHECKS]
    for name in checks:
        if not any(check.startswith(name) for check in known):
            begins = ", ".join(sorted({check.partition("-")[0] for check in known}))
            at.fault(f"{at.subject} is verified by check '{name}', which does not exist", f"they begin with {begins}")


def _undo(at: Place, value: Any, project: Path) -> tuple[Text, Action | None]:
    """How a step is undone: in words, and with `run` the command that does it."""
    if not isinstance(value, dict) or "run" not in value:
        return at.text(value, optional=True), None
    words = {key: item for key, item in value.items() if key not in ("run", LINE)}
    kind, action = _run(at, value["run"], project)
    if kind is Kind.HUMAN:
        at.fault(f"{at.subject} is undone by a person", "say it in words, without 'run'")
    return at.text(words), action


def _retry(at: Place, value: Any) -> Retry:
    if value is None:
        return Retry()
    if not isinstance(value, dict) or unknown_keys(value, {"times", "delay", "when"}):
        at.fault(f"{at.name} is not made of times, delay and when")
        return Retry()
    times = value.get("times", 1)
    if not isinstance(times, int) or isinstance(times, bool) or not 0 <= times <= 100:
        at.fault(f"{at.name} times is '{times}'", "give a number from 0 to 100")
        times = 0
    delay = at.at("retry delay").span(value.get("delay", "10s")) or timedelta(0)
    when = at.at("retry when")
    kinds = [when.choice(item, RetryOn.UNREACHABLE) for item in when.strings(value.get("when", ["unreachable"]))]
    return Retry(times, delay, frozenset(kinds))
