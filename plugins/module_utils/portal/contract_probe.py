"""What an assumption about the vendor's product is, what its probe may use, and what a probe finds.

A probe never changes what is the portal's own. What it writes carries a tag, and goes again when the probe ends; what a
killed probe left is found by its tag and removed before the next one begins.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from ..errors import EncajaError
from . import background_work, cache, kernel
from .database import Database, quoted
from .site import Portal
from .verify import Scene

State = Literal["holds", "differs", "unproven", "not-applicable"]
TAG: Final = "encaja_probe"
"""Name of options, events and modules that probes write, and the beginning of log-ins."""
_TRY: Final = """
try {
    %s
} catch (\\Throwable $fault) {
    emit(['fault' => get_class($fault), 'text' => $fault->getMessage()]);
}
"""
_ADMINISTRATORS: Final = 1


@dataclass(frozen=True)
class Outcome:
    """What a probe found, and by what."""

    state: State
    evidence: str


def holds(evidence: str) -> Outcome:
    """The portal behaves as the kit assumes."""
    return Outcome("holds", evidence)


def differs(evidence: str) -> Outcome:
    """The portal behaves otherwise."""
    return Outcome("differs", evidence)


def unproven(evidence: str) -> Outcome:
    """It could not be tried here."""
    return Outcome("unproven", evidence)


def judged(right: bool, evidence: str) -> Outcome:
    """Whether it holds."""
    return Outcome("holds" if right else "differs", evidence)


class NoInterfaceError(EncajaError):
    """The portal's kernel does not have what the kit calls."""


@dataclass(frozen=True)
class Tagged:
    """Rows that a probe writes: a table, and the condition by which they are found."""

    table: str
    mark: str


@dataclass(frozen=True)
class Assumption:
    """One thing that the kit takes for granted about the product.

    Attributes:
        id: stable name, by what the probe looks at: ``table-…``, ``rows-…``, ``kernel-…``, ``page-…``, ``rest-…``.
        says: the assumption, by language (``en``, ``es``).
        source: where it is from.
        releases: of the product, in which it was observed or is documented.
        used: the modules of the kit that stand on it.
        probe: tries it.
        modules: of the product; without one of them the assumption does not matter.
        writes: the rows that the probe makes, in the order in which they can be removed.
    """

    id: str
    says: Mapping[str, str]
    source: str
    releases: tuple[str, ...]
    used: tuple[str, ...]
    probe: Callable[[Subject], Outcome]
    modules: tuple[str, ...] = ()
    writes: tuple[Tagged, ...] = ()


@dataclass
class Subject:
    """The portal that is tried, and the ways to it.

    Attributes:
        scene: the portal, its address, and HTTP.
        user: runs the portal's kernel on the command line.
        patience: seconds to wait for work that a page starts after its answer.
        secret: a value by which a probe knows its own rows; another one for every probe.
    """

    scene: Scene
    user: str = kernel.USER
    patience: float = 3.0
    secret: str = field(default_factory=lambda: secrets.token_hex(8), repr=False)

    @property
    def portal(self) -> Portal:
        """The portal."""
        return self.scene.portal

    @property
    def database(self) -> Database:
        """Its database."""
        return self.scene.portal.database

    @cached_property
    def site(self) -> str:
        """The default site.

        Raises:
            EncajaError: there is no active one.
        """
        if not self.portal.sites:
            raise EncajaError("no active site", "b_lang", "finish the portal's installation")
        return str(self.portal.sites[0]["LID"])

    @cached_property
    def administrator(self) -> int:
        """An active administrator, under whose account a webhook can be made.

        Raises:
            EncajaError: there is none.
        """
        found = self.database.value(
            "SELECT u.ID FROM b_user u JOIN b_user_group g ON g.USER_ID = u.ID"
            " WHERE g.GROUP_ID = %s AND u.ACTIVE = 'Y' AND COALESCE(u.EXTERNAL_AUTH_ID, '') = '' ORDER BY u.ID LIMIT 1",
            _ADMINISTRATORS,
        )
        if found is None:
            raise EncajaError("no active administrator", "b_user_group", "make one in the portal")
        return int(found)

    def frozen(self) -> bool:
        """Whether the switches of the freeze are set in ``dbconn.php``."""
        return background_work.is_frozen(self.portal)

    def kernel(self, code: str, *arguments: str) -> Any:
        """What PHP code emits last, with the portal's kernel loaded.

        Args:
            code: PHP that calls ``emit($value)``; ``$argv[3]`` and following are the arguments.
            arguments: must hold no secrets.

        Raises:
            NoInterfaceError: the kernel has no such class, method or function.
            EncajaError: it failed otherwise, or ended before it said anything.
        """
        said = list(kernel.call(self.portal.root, self.scene.policy.domain, _TRY % code, *arguments, user=self.user))
        if not said:
            raise EncajaError("the kernel ended without a word", "its prolog", "look at a page of the portal first")
        if isinstance(said[-1], dict) and "fault" in said[-1]:
            text = f"{said[-1]['text']}"[:300]
            if said[-1]["fault"] in {"Error", "ArgumentCountError", "ReflectionException"}:
                raise NoInterfaceError(text, "kernel")
            raise EncajaError(text, "kernel", "see PHP's error log")
        return said[-1]

    def purge(self) -> None:
        """Purge the portal's caches, as the kit does after it changed rows."""
        cache.purge(self.portal.root, self.portal.effective, self.scene.fpm_socket)

    def sweep(self, written: Sequence[Tagged]) -> int:
        """Remove tagged rows; returns how many there were."""
        return sum(
            self.database.execute(f"DELETE FROM {quoted(rows.table)} WHERE {rows.mark}")  # noqa: S608  the contract's own text
            for rows in written
            if self.portal.has(rows.table)
        )

    def wait_for(self, done: Callable[[], bool]) -> bool:
        """Whether something came about in time."""
        deadline = time.monotonic() + self.patience
        while not done():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    @contextmanager
    def webhook(self, *scopes: str) -> Iterator[Webhook]:
        """An inbound webhook of an administrator, made as rows; the assumption names them as what it writes."""
        code = secrets.token_hex(8)
        self.database.execute(
            "INSERT INTO b_rest_ap (USER_ID, PASSWORD, ACTIVE, TITLE, DATE_CREATE) VALUES (%s, %s, 'Y', %s, NOW())",
            self.administrator, code, TAG,
        )  # fmt: skip
        number = self.database.value("SELECT MAX(ID) FROM b_rest_ap WHERE TITLE = %s", TAG)
        for scope in scopes:
            self.database.execute("INSERT INTO b_rest_ap_permission (PASSWORD_ID, PERM) VALUES (%s, %s)", number, scope)
        yield Webhook(self.scene, f"/rest/{self.administrator}/{code}")


@dataclass(frozen=True)
class Webhook:
    """An inbound webhook while a probe has it."""

    scene: Scene
    path: str = field(repr=False)

    def ask(
        self, method: str, parameters: Mapping[str, Any] | None = None, *, refusable: bool = False
    ) -> tuple[int, dict[str, Any]]:
        """Status and answer of a method.

        Args:
            method: its name.
            parameters: of the method.
            refusable: whether the refusal of the webhook itself is an answer.

        Raises:
            EncajaError: it is not REST that answers, or REST wants HTTPS, or the webhook is refused.
        """
        answer = self.scene.send(
            "POST", f"{self.path}/{method}.json", {"Content-Type": "application/json"},
            json.dumps(dict(parameters or {})).encode(),
        )  # fmt: skip
        try:
            said = json.loads(answer.body)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            target = answer.headers.get("location", "")
            raise EncajaError(
                f"REST answers {answer.status}{f' to {target}' if target else ''} without JSON", method,
                "look at a page of the portal first",
            )  # fmt: skip
        if said.get("error") == "INVALID_REQUEST":
            raise EncajaError(str(said.get("error_description")), method, "give the portal HTTPS")
        if said.get("error") == "INVALID_CREDENTIALS" and not refusable:
            raise EncajaError("the webhook is refused", method, "see rest-webhook")
        return answer.status, said


WEBHOOK: Final = (
    Tagged("b_rest_ap_permission", f"PASSWORD_ID IN (SELECT ID FROM b_rest_ap WHERE TITLE = '{TAG}')"),  # noqa: S608  a constant
    Tagged("b_rest_ap", f"TITLE = '{TAG}'"),
)
OPTIONS: Final = (
    Tagged("b_option", f"MODULE_ID = 'main' AND NAME = '{TAG}'"),
    Tagged("b_option_site", f"MODULE_ID = 'main' AND NAME = '{TAG}'"),
)
MAIL: Final = (Tagged("b_event", "EVENT_NAME = 'ENCAJA_PROBE'"),)


def assumption(
    name: str,
    says: tuple[str, str],
    probe: Callable[[Subject], Outcome],
    source: str,
    used: Sequence[str],
    *,
    releases: Sequence[str] = ("26.250",),
    modules: Sequence[str] = (),
    writes: Sequence[Tagged] = (),
) -> Assumption:
    """An assumption by its id, its sentence in English and Spanish, its probe, its source and where it is used."""
    return Assumption(
        name, {"en": says[0], "es": says[1]}, source, tuple(releases), tuple(used), probe, tuple(modules), tuple(writes)
    )
