"""Verifying a portal and its host: small checks, each with its evidence.

A check changes nothing of the portal. Its finding is one of: ``ok``, ``cured`` (an earlier verification found it),
``people`` (known, and left to a person), ``found`` (present and not fixed), ``unknown`` (it could not be checked).
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from ..errors import EncajaError
from . import carry_over_state, copy_state, domain, fastcgi, held_mail, licence, pull, restored
from .probe_page import Answer, ProbePage
from .site import Portal
from .tls_faults import certificate_fault

State = Literal["ok", "cured", "people", "found", "unknown"]
Severity = Literal["error", "warning", "note"]
_TIMEOUT: Final = 20.0
_OUTSIDE: Final = 3
"""Seconds within which a service of the vendor has to answer."""
_FACTS: Final = (
    "echo json_encode(['version' => PHP_VERSION, 'sapi' => PHP_SAPI, 'extensions' => get_loaded_extensions(),"
    " 'ini' => ini_get_all(null, false), 'environment' => (string)getenv('BITRIX_VA_VER'), 'now' => time(),"
    " 'zone' => date_default_timezone_get(), 'local' => date('Y-m-d H:i:s'),"
    " 'gd' => function_exists('gd_info') ? gd_info() : []], JSON_PARTIAL_OUTPUT_ON_ERROR);"
)


@dataclass(frozen=True)
class Finding:
    """The finding of a check; ``severity`` and ``cure`` where they differ from the check's."""

    state: State
    evidence: str
    severity: Severity | None = None
    cure: str = ""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        id: stable name, by group: ``case-…`` and ``bug-…`` of the case, ``licence-…``, ``php-…`` and so on.
        title: what it is about, by language (``en``, ``es``).
        severity: an ``error`` that is found makes the verification fail; a ``warning`` or ``note`` does not.
        cure: what fixes it.
        probe: makes the finding.
        part: the part of settling that cures it; empty when settling does not.
    """

    id: str
    title: Mapping[str, str]
    severity: Severity
    cure: str
    probe: Callable[[Scene], Finding]
    part: str = ""


def ok(evidence: str) -> Finding:
    """Nothing wrong."""
    return Finding("ok", evidence)


def found(evidence: str, cure: str = "") -> Finding:
    """Something wrong; ``cure`` where the check's own is another."""
    return Finding("found", evidence, cure=cure)


def found_fault(fault: EncajaError) -> Finding:
    """Something wrong, with the error's own hint as its cure."""
    return Finding("found", f"{fault.where}: {fault.what}", cure=fault.hint)


def pending(evidence: str) -> Finding:
    """Something wrong that a later step of the move fixes; it does not fail the verification."""
    return Finding("found", evidence, "warning")


def people(evidence: str) -> Finding:
    """Something that a person has to decide or do; it does not fail the verification."""
    return Finding("people", evidence)


def judged(wrong: Sequence[str], right: str) -> Finding:
    """Found with what is wrong, or ok."""
    return found("; ".join(wrong)) if wrong else ok(right)


def check(
    name: str,
    titles: tuple[str, str],
    probe: Callable[[Scene], Finding],
    cure: str,
    severity: Severity = "error",
    *,
    part: str = "",
) -> Check:
    """A check by its id, its titles in English and Spanish, and its probe."""
    return Check(name, {"en": titles[0], "es": titles[1]}, severity, cure, probe, part)


@dataclass
class Scene:
    """The facts that checks use; each is fetched once, when a check first needs it."""

    portal: Portal
    policy: domain.DomainPolicy
    fpm_socket: Path
    connect_to: str = ""
    session_minutes: int = 1440
    trusted_proxies: tuple[str, ...] = ()
    carry_over: Path = carry_over_state.FOLDER
    restore: str = ""
    restore_job: Path = restored.JOB
    rules: tuple[Mapping[str, Any], ...] = ()
    silence: tuple[Mapping[str, Any], ...] = ()
    closed_network: Path = Path("/etc/nftables.d/encaja-silent.nft")
    mail_hold: Path = held_mail.HOLD
    mailer: Path = held_mail.MAILER
    environment: Path = copy_state.ENVIRONMENT
    inert: Path = copy_state.PROOF

    @cached_property
    def fpm(self) -> dict[str, Any]:
        """PHP in the pool."""
        found_facts: dict[str, Any] = json.loads(fastcgi.run_php(self.fpm_socket, f"<?php {_FACTS}"))
        return found_facts

    @cached_property
    def cli(self) -> dict[str, Any]:
        """PHP on the command line."""
        done = subprocess.run(["php", "-r", _FACTS], capture_output=True, check=False, timeout=60)
        if done.returncode != 0:
            raise EncajaError("PHP does not run on the command line", "this host", "install php-cli (role php)")
        found_facts: dict[str, Any] = json.loads(done.stdout)
        return found_facts

    @cached_property
    def carried(self) -> carry_over_state.CarryOverState:
        """State of the carry-over into this portal."""
        return carry_over_state.read_carry_over(self.carry_over, self.portal.root)

    @cached_property
    def copy(self) -> copy_state.CopyState:
        """Whether this is a neutralised copy, by its database and its host."""
        return copy_state.read_copy_state(self.portal, self.rules, self.environment, self.inert)

    @cached_property
    def variables(self) -> dict[str, str]:
        """The database server's variables."""
        rows = self.portal.database.rows("SHOW GLOBAL VARIABLES")
        return {row["Variable_name"].lower(): str(row["Value"]) for row in rows}

    @cached_property
    def settling(self) -> list[str]:
        """Labels of what settling the domain would change now."""
        plan, _ = domain.plan_domain(self.portal, self.policy)
        return [row.label for row in plan.rows] + [str(change.path) for change in plan.files]

    @cached_property
    def proof(self) -> dict[str, Any]:
        """A message that was published and received, as :func:`pull.prove` returns it."""
        return pull.prove(self.portal.section("pull"), self.policy.domain, self.policy.scheme, self.connect_to)

    @property
    def port(self) -> int:
        """The portal's TCP port."""
        return self.policy.port or (443 if self.policy.scheme == "https" else 80)

    def connection(self, port: int = 0, *, secure: bool | None = None) -> http.client.HTTPConnection:
        """A connection to the portal as a browser would make it, the certificate checked."""
        secure = self.policy.scheme == "https" if secure is None else secure
        port = port or self.port
        raw = socket.create_connection((self.connect_to or self.policy.domain, port), _TIMEOUT)
        connection = http.client.HTTPConnection(self.policy.domain, port, timeout=_TIMEOUT)
        if secure:
            raw = ssl.create_default_context().wrap_socket(raw, server_hostname=self.policy.domain)
        connection.sock = raw
        return connection

    def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        port: int = 0,
        secure: bool | None = None,
    ) -> Answer:
        """Send the portal a request and wait for its answer.

        Raises:
            ShutError: the answer leads to where a licence is entered, which no check may take for the portal's own.
        """
        connection = self.connection(port, secure=secure)
        try:
            begun = time.perf_counter()
            connection.request(method, path, body or None, dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            licence.refuse_activation(path, answer.status, fields)
            return Answer(answer.status, fields, content, time.perf_counter() - begun)
        finally:
            connection.close()

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, *, port: int = 0, secure: bool | None = None
    ) -> Answer:
        """Ask the portal for a page."""
        return self.send("GET", path, headers, port=port, secure=secure)

    @cached_property
    def is_private(self) -> bool:
        """Whether the portal's name resolves only to addresses that devices outside cannot reach."""
        try:
            found_addresses = {item[4][0] for item in socket.getaddrinfo(self.policy.domain, self.port)}
        except OSError:
            return True
        return not any(ipaddress.ip_address(str(address).partition("%")[0]).is_global for address in found_addresses)

    @cached_property
    def nginx(self) -> str:
        """The web server's whole configuration, empty where there is none."""
        return self.command("nginx", "-T")

    def page(self) -> ProbePage:
        """A page of the kit's own in the portal's tree."""
        return ProbePage(self.portal, self.send)

    @cached_property
    def unreached(self) -> dict[str, str]:
        """Services of the vendor that this host cannot open a connection to, with their addresses."""
        wanted = {
            "push to devices": "cloud-messaging.bitrix24.tech:443",
            "calls": f"{self.portal.option('call', 'turn_server').partition(':')[0] or 'turn.calls.bitrix24.com'}:3478",
            "updates": f"{self.portal.option('main', 'update_site') or 'www.bitrixsoft.com'}:443",
        }
        tried = {
            name: subprocess.Popen(
                ["timeout", str(_OUTSIDE), "bash", "-c", 'exec 3<>"/dev/tcp/$0/$1"', *address.rsplit(":", 1)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for name, address in wanted.items()
        }  # fmt: skip
        return {name: wanted[name] for name, process in tried.items() if process.wait() != 0}

    def command(self, *words: str) -> str:
        """Output of a program, empty when it fails or is not there."""
        if shutil.which(words[0]) is None:
            return ""
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60).stdout.strip()


def run_check(check: Check, scene: Scene) -> dict[str, Any]:
    """Run a check; returns the finding in the form that tables, JSON and the report share."""
    try:
        finding = check.probe(scene)
    except (EncajaError, OSError, ValueError, KeyError, http.client.HTTPException, subprocess.SubprocessError) as fault:
        explained = certificate_fault(fault, scene.policy.domain)
        state: State = "found" if check.severity == "error" else "unknown"
        finding = Finding(
            state,
            f"could not be checked: {explained.what if explained else fault}",
            cure=explained.hint if explained else "",
        )
    noted = scene.portal.state()
    fixed = finding.state == "ok" and check.id in noted.get("seen", {})
    cured = noted.get("cured", {}).get(check.part) if fixed else None
    return {
        "id": check.id,
        "title": dict(check.title),
        "severity": finding.severity or check.severity,
        "state": "cured" if fixed else finding.state,
        "evidence": finding.evidence,
        "cure": finding.cure or check.cure,
        "cured": cured,
    }


def _remember(scene: Scene, results: Sequence[Mapping[str, Any]]) -> None:
    """Note what was found, so that a later verification can tell "cured" from "never was there"."""
    seen: dict[str, str] = scene.portal.state().get("seen", {})
    moment = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    new = {item["id"]: moment for item in results if item["state"] == "found" and item["id"] not in seen}
    if new:
        scene.portal.note(seen={**seen, **new})


def verify(scene: Scene, checks: Sequence[Check], only: Sequence[str] = (), *, remember: bool = True) -> dict[str, Any]:
    """Run checks (all, or those whose id starts with one of the given words) and sum up.

    ``differences`` counts the errors that were found: with none the portal passes.
    """
    chosen = [check for check in checks if not only or check.id.startswith(tuple(only))]
    results = [run_check(check, scene) for check in chosen]
    if remember:
        _remember(scene, results)
    counts: dict[str, int] = {}
    for result in results:
        counts[result["state"]] = counts.get(result["state"], 0) + 1
    differences = sum(1 for result in results if result["state"] == "found" and result["severity"] == "error")
    return {
        "kind": "verification",
        "domain": scene.policy.domain,
        "database": scene.portal.database.name,
        "checks": results,
        "counts": counts,
        "differences": differences,
    }
