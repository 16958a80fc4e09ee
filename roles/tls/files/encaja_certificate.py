"""A host's certificates: issued and renewed by ACME, and watched, so that none ends unseen.

    encaja-certificate issue [--new]   issue those of ACME that are due (--new: all)
    encaja-certificate watch           tell which certificates end in 30, 14 or 7 days
    encaja-certificate daily           both, as the timer does

``lego`` speaks with the authority. What it brings comes into use as every certificate does: on all services at once,
proven by what their ports show, else taken back. A certificate that runs is not touched before its successor is there.
Ends with 1 where something has to be done by somebody; every line says what, where and how. Settings:
/etc/encaja/certificates.json; credentials of a DNS provider: /etc/encaja/acme.env.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, "/usr/local/lib/encaja")

from certificate_store import NotShownError, Store, fingerprint, group_number, openssl, public_key, serial

SETTINGS: Final = Path("/etc/encaja/certificates.json")
CREDENTIALS: Final = Path("/etc/encaja/acme.env")
STATE: Final = Path("/var/lib/encaja/acme")
LOCK: Final = "/run/encaja-certificate.lock"
TOLD_AT: Final = (30, 14, 7)
URGENT: Final = 7
# Types of problems that an authority answers with (RFC 8555, 6.7), and what helps.
PROBLEMS: Final[Mapping[str, tuple[str, str]]] = {
    "rateLimited": ("the authority refuses more for now (its rate limit)", "wait, the timer tries again"),
    "connection": ("the authority could not reach this host for its challenge", "{way}"),
    "unauthorized": ("the authority got another answer to its challenge", "{way}"),
    "incorrectResponse": ("the authority got another answer to its challenge", "{way}"),
    "dns": ("the authority could not look up the name", "see that the name is in public DNS"),
    "caa": ("the domain's CAA record forbids this authority", "name it in the CAA record, or use another authority"),
    "rejectedIdentifier": ("the authority does not issue for this name", "use another authority, or another name"),
    "accountDoesNotExist": ("the authority does not know this host's account", f"remove {STATE}/accounts"),
    "externalAccountRequired": ("the authority wants an account of its own", "see tls_acme_environment"),
}
HTTP_WAY: Final = "http://{name}/.well-known/acme-challenge/ has to reach this host from outside (DNS, port 80)"
DNS_WAY: Final = "see the credentials of the DNS provider (tls_acme_environment)"
_PROBLEM: Final = re.compile(r"urn:ietf:params:acme:error:(\w+)[^\n]*")


class IssueError(Exception):
    """A certificate that could not be issued: what, and how to fix it."""


@dataclass
class Settings:
    """What the inventory says.

    Attributes:
        certificates: name and names of those of ACME.
        store: the certificates of the host.
        directory: the authority's ACME address.
        email: whom it tells, may be empty.
        dns: the DNS provider as lego calls it; empty for HTTP.
        renew_days: days left at which a new one is issued.
        faults: what somebody has to do something about.
    """

    certificates: Sequence[Mapping[str, Any]]
    store: Store
    directory: str
    email: str
    dns: str
    renew_days: int
    state: Path = STATE
    credentials: Path = CREDENTIALS
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
    faults: list[str] = field(default_factory=list)


def read_settings(path: Path = SETTINGS) -> Settings:
    """Read what role ``tls`` wrote."""
    given = json.loads(path.read_text())
    store = Store(Path(given["folder"]), group_number(given["group"], check=False), given["services"])
    acme = given["acme"]
    return Settings(
        given["certificates"], store, acme["directory"], acme["email"], acme["dns"], int(acme["renew_days"])
    )


def covered(pem: str) -> set[str]:
    """The names of a certificate."""
    return set(re.findall(r"DNS:([^\s,]+)", openssl("x509", "-noout", "-ext", "subjectAltName", data=pem)))


def days_left(pem: str) -> int:
    """Whole days until a certificate ends; negative once it has, or where it cannot be read."""
    end = openssl("x509", "-noout", "-enddate", data=pem).strip().partition("=")[2]
    return int((ssl.cert_time_to_seconds(end) - time.time()) // 86400) if end else -1


def reason(settings: Settings, one: Mapping[str, Any]) -> str:
    """Why a certificate is to be issued; empty where the present one is good."""
    name = one["name"]
    present = settings.store.file(name, "crt")
    if not present:
        return "there was none"
    marked = settings.state / f"{name}.issued"
    if not marked.exists() or marked.read_text() != f"{settings.directory}\n{fingerprint(present)}\n":
        return "the former one was not of this authority"
    if covered(present) != set(one["names"]):
        return f"the former one was for {', '.join(sorted(covered(present)))}"
    left = days_left(present)
    return f"the former one ended in {left} days" if left < settings.renew_days else ""


def reach(directory: str) -> None:
    """Ask the authority for its addresses.

    Raises:
        IssueError: it cannot be reached, or is no ACME server.
    """
    try:
        with urllib.request.urlopen(directory, timeout=20) as answer:  # noqa: S310 - an address of the inventory
            json.load(answer)["newOrder"]
    except urllib.error.HTTPError as fault:
        what = f"the authority answers {fault.code} at {directory}"
        raise IssueError(f"{what}: the timer tries again, else see tls_acme_directory") from fault
    except (ValueError, KeyError, TypeError) as fault:
        raise IssueError(f"no ACME server answers at {directory}: see tls_acme_directory") from fault
    except OSError as fault:
        what = f"the authority cannot be reached at {directory} ({getattr(fault, 'reason', fault)})"
        raise IssueError(f"{what}: see this host's way out, and tls_acme_directory") from fault


def explained(said: str, name: str, dns: str) -> str:
    """What lego reports, by the type of the authority's problem; else its own last words."""
    way = DNS_WAY if dns else HTTP_WAY.format(name=name)
    found = _PROBLEM.search(said)
    if found and found[1] in PROBLEMS:
        what, hint = PROBLEMS[found[1]]
        return f"{what}: {hint.format(way=way)} [{found[0][:300]}]"
    lines = [line for line in said.splitlines() if line.strip()]
    return f"{lines[-1][:300] if lines else 'lego failed'}: {way}"


def order(settings: Settings, names: Sequence[str]) -> tuple[str, str]:
    """Order a certificate; return it with its chain, and its new key.

    nginx answers challenges from a folder; where it does not run, lego itself listens on port 80.

    Raises:
        IssueError: it was not issued.
        OSError: lego is not there, or wrote nothing.
    """
    folder, webroot = settings.state / "lego", settings.state / "webroot"
    webroot.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    is_served = settings.run(["systemctl", "is-active", "--quiet", "nginx.service"], check=False).returncode == 0
    by_http = ["--http", *(["--http.webroot", str(webroot)] if is_served else [])]
    words = ["lego", "--accept-tos", "--server", settings.directory, "--email", settings.email, "--path", str(folder)]
    words += ["--key-type", "ec256", *(word for name in names for word in ("--domains", name))]
    words += [*(["--dns", settings.dns] if settings.dns else by_http), "run"]
    lines = settings.credentials.read_text().splitlines() if settings.credentials.exists() else []
    more = dict(line.split("=", 1) for line in lines if "=" in line)
    done = settings.run(words, capture_output=True, text=True, check=False, env={**os.environ, **more})
    if done.returncode:
        raise IssueError(explained(done.stdout + done.stderr, names[0], settings.dns))
    made = folder / "certificates" / names[0].replace("*", "_")
    certificate, key = (made.with_name(f"{made.name}.{kind}").read_text() for kind in ("crt", "key"))
    is_pair = public_key(key) == openssl("x509", "-noout", "-pubkey", data=certificate)
    if not is_pair or not set(names) <= covered(certificate):
        raise IssueError("what the authority sent does not fit what was asked for: the timer orders it again")
    return certificate, key


def issue(settings: Settings, *, new: bool = False) -> None:
    """Issue what is due, and bring it into use."""
    for one in settings.certificates:
        why = "a new one was asked for" if new else reason(settings, one)
        if not why:
            continue
        name, names = one["name"], [str(item) for item in one["names"]]
        try:
            reach(settings.directory)
            certificate, key = order(settings, names)
            settings.store.install(name, certificate, key, next((item for item in names if item[0] != "*"), name))
        except (IssueError, NotShownError, OSError) as fault:
            present = settings.store.file(name, "crt")
            kept = f"the present one stays, it ends in {days_left(present)} days" if present else "there is none yet"
            settings.faults.append(f"certificate {name} was not issued: {fault}; {kept}")
            continue
        _replace(settings.state / f"{name}.issued", f"{settings.directory}\n{fingerprint(certificate)}\n")
        print(f"certificate {name} was issued, serial {serial(certificate)} ({why})")


def watch(settings: Settings) -> None:
    """Tell of each certificate that ends: once at 30 and at 14 days, daily from 7 days on."""
    path = settings.state / "told.json"
    told = json.loads(path.read_text()) if path.exists() else {}
    seen: dict[str, int] = {}
    for file in sorted(settings.store.folder.glob("*.crt")):
        pem = settings.store.file(file.stem, "crt")
        left, key = days_left(pem), f"{file.stem} {fingerprint(pem)}"
        passed = [days for days in TOLD_AT if left <= days]
        if not passed:
            continue
        seen[key] = passed[-1]
        what = f"certificate {file.stem} {f'ends in {left} days' if left >= 0 else 'has expired'}"
        if left <= URGENT:
            settings.faults.append(f"{what}: see 'encaja certificate list'")
        elif told.get(key) != passed[-1]:
            print(f"<4>{what}: see 'encaja certificate list'")
    settings.state.mkdir(parents=True, exist_ok=True)
    _replace(path, json.dumps(seen))


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.replace(path)


def main(words: Sequence[str]) -> int:
    """Do what the command says."""
    if not words or words[0] not in {"issue", "watch", "daily"} or set(words[1:]) - {"--new"}:
        print(__doc__, file=sys.stderr)
        return 2
    settings = read_settings()
    with Path(LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if words[0] != "watch":
            issue(settings, new="--new" in words)
        if words[0] != "issue":
            watch(settings)
    for fault in settings.faults:
        print(f"<3>{fault}" if "JOURNAL_STREAM" in os.environ else fault, file=sys.stderr)
    return 1 if settings.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
