"""The contract: everything that the kit takes for granted about the vendor's product, and its proof on a portal.

The stand-in of the tests has to pass the same probes as a real portal, so that neither can drift from what the kit
believes; a portal that behaves otherwise is told by the name of the assumption, before anything depends on it.
"""

from __future__ import annotations

import http.client
import secrets
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from ..errors import EncajaError
from . import contract_kernel, contract_pages, contract_tables
from .contract_probe import Assumption, NoInterfaceError, Outcome, Subject, Tagged, differs, unproven

CONTRACT: Final[tuple[Assumption, ...]] = (
    *contract_tables.ASSUMPTIONS,
    *contract_kernel.ASSUMPTIONS,
    *contract_pages.ASSUMPTIONS,
)
RELEASES: Final = tuple(sorted({release for one in CONTRACT for release in one.releases}))
"""Releases of the product in which the assumptions were observed."""


def chosen(only: Sequence[str]) -> list[Assumption]:
    """The assumptions whose id begins with one of the words; all without a word.

    Raises:
        EncajaError: a word begins no id.
    """
    for word in only:
        if not any(one.id.startswith(word) for one in CONTRACT):
            begins = ", ".join(sorted({one.id.partition("-")[0] for one in CONTRACT}))
            raise EncajaError(f"no assumption is called {word!r}", "--only", f"they begin with {begins}")
    return [one for one in CONTRACT if not only or one.id.startswith(tuple(only))]


def prove(subject: Subject, only: Sequence[str] = (), *, write: bool = True) -> dict[str, Any]:
    """Try the assumptions on a portal; returns the document that table, JSON and report share.

    ``differences`` counts those that do not hold.

    Args:
        subject: the portal.
        only: how the ids begin of those to try; empty for all.
        write: whether probes may write their tagged rows; without it those are not tried.

    Raises:
        EncajaError: ``only`` names nothing, or the portal's database does not answer.
    """
    assumptions = chosen(only)
    left = _sweep(subject, dict.fromkeys(rows for one in CONTRACT for rows in one.writes)) if write else (0, "")
    results = [_try(one, subject, write=write) for one in assumptions]
    release = contract_kernel.version(subject)
    states = Counter(str(result["state"]) for result in results)
    return {
        "kind": "contract",
        "domain": subject.scene.policy.domain,
        "database": subject.database.name,
        "release": release,
        "assumptions": results,
        "counts": dict(states),
        "warnings": [*_release_warning(release, assumptions, results), *_left_warning(*left)],
        "differences": states["differs"],
    }


def nothing_to_prove(domain: str, reason: EncajaError, only: Sequence[str] = ()) -> dict[str, Any]:
    """The document where there is no portal yet: nothing is proven, and why."""
    results = [_result(one, unproven(str(reason))) for one in chosen(only)]
    return {
        "kind": "contract", "domain": domain, "database": "", "release": "", "assumptions": results,
        "counts": {"unproven": len(results)}, "warnings": [f"nothing is proven: {reason}"], "differences": 0,
    }  # fmt: skip


def _sweep(subject: Subject, written: Iterable[Tagged]) -> tuple[int, str]:
    """Remove tagged rows; returns how many there were, and why some could not be removed."""
    rows, fault = 0, ""
    for one in written:
        try:
            rows += subject.sweep([one])
        except EncajaError as problem:
            fault = f"rows of a probe in {one.table} could not be removed: {problem}"
    return rows, fault


def _try(one: Assumption, subject: Subject, *, write: bool) -> dict[str, Any]:
    if one.writes and not write:
        return _result(one, unproven("it would write"))
    try:
        if absent := [name for name in one.modules if name not in subject.portal.modules]:
            return _result(one, Outcome("not-applicable", f"module {', '.join(absent)} is not installed"))
        subject.secret = secrets.token_hex(
            8
        )  # what the kernel has cached of another probe must not pass for this one's
        outcome = one.probe(subject)
    except NoInterfaceError as fault:
        outcome = differs(f"the kernel lacks what the kit calls: {fault.what}")
    except (
        EncajaError, OSError, ValueError, KeyError, TypeError, http.client.HTTPException, subprocess.SubprocessError,
    ) as fault:  # fmt: skip
        outcome = unproven(f"could not be tried: {fault}")
    finally:
        _, left = _sweep(subject, one.writes)
    return _result(one, unproven(left) if left else outcome)


def _result(one: Assumption, outcome: Outcome) -> dict[str, Any]:
    return {
        "id": one.id,
        "says": dict(one.says),
        "state": outcome.state,
        "evidence": outcome.evidence,
        "source": one.source,
        "used": list(one.used),
    }


def _release_warning(release: str, assumptions: Sequence[Assumption], results: Sequence[dict[str, Any]]) -> list[str]:
    if not release:
        return [f"the release cannot be read from {contract_kernel.VERSION_FILE}"]
    left = ", ".join(
        one.id
        for one, result in zip(assumptions, results, strict=True)
        if result["state"] in {"unproven", "not-applicable"} and not _is_of(release, one.releases)
    )
    if not _is_of(release, RELEASES):
        known = " or ".join(RELEASES)
        return [f"the contract was observed in release {known}, not in {release}; not proven here: {left or 'nothing'}"]
    return [f"not observed in release {release}, and not proven here: {left}"] if left else []


def _is_of(release: str, known: Iterable[str]) -> bool:
    return any(f"{release}.".startswith(f"{one}.") for one in known)


def _left_warning(rows: int, fault: str) -> list[str]:
    removed = [f"{rows} rows of an earlier probe, which was killed, were removed"] if rows else []
    return [*removed, *([fault] if fault else [])]
