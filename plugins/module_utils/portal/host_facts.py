"""What a host is made of, for a comparison: system, packages, schedule, nginx, PHP and MariaDB.

Every function returns texts by name; what may be shown of them is decided in ``value_digest``.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pymysql
import pymysql.cursors

from ..errors import EncajaError
from . import fastcgi
from .database import SOCKETS

_PROBE: Final = (
    "echo json_encode(['version' => PHP_VERSION, 'ini' => ini_get_all(null, false),"
    " 'extensions' => array_combine(get_loaded_extensions(),"
    " array_map(fn($name) => phpversion($name) ?: '', get_loaded_extensions()))]);"
)
_TIMEOUT: Final = 120


def run(*command: str) -> str:
    """The standard output of a short command.

    Raises:
        EncajaError: it is not there, or failed; with its last line.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_TIMEOUT,
            errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise EncajaError(f"cannot be run: {fault}", command[0], "see whether it is installed") from fault
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise EncajaError(said, " ".join(command[:3]), "run it on the host")
    return done.stdout


def system() -> dict[str, str]:
    """Release, kernel and time zone."""
    zone = Path("/etc/timezone")
    link = Path("/etc/localtime")
    named = str(link.resolve()).partition("/zoneinfo/")[2] if link.exists() else ""
    release = Path("/etc/debian_version")
    return {
        "debian": release.read_text().strip() if release.exists() else "",
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "time zone": named or (zone.read_text().strip() if zone.exists() else ""),
    }


def packages() -> dict[str, str]:
    """Installed Debian packages and their versions."""
    listed = run("dpkg-query", "-W", "-f", "${Package}:${Architecture}\t${Version}\t${db:Status-Status}\n")
    found = {}
    for line in listed.splitlines():
        name, version, status = line.split("\t")
        if status == "installed":
            found[name.removesuffix(":all").removesuffix(f":{_architecture()}")] = version
    return found


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def schedule() -> dict[str, str]:
    """Timers of systemd (when, and whether they are on), and what cron has."""
    return {**(timers() if shutil.which("systemctl") else {}), **cron(Path("/"))}


def timers() -> dict[str, str]:
    """Timers by name: ``enabled: OnCalendar=daily``."""
    found = {}
    for line in run(
        "systemctl", "list-unit-files", "--type=timer", "--no-legend", "--plain", "--no-pager"
    ).splitlines():
        words = line.split()
        if len(words) >= 2 and not words[0].endswith("@.timer"):
            found[words[0]] = words[1]
    if found:
        shown = run("systemctl", "show", "--property=Id,TimersCalendar,TimersMonotonic", "--", *found)
        for block in shown.split("\n\n"):
            lines = [line.partition("=") for line in block.splitlines()]
            name = next((value for key, _, value in lines if key == "Id"), "")
            when = " ".join(timer_spec(value) for key, _, value in lines if key.startswith("Timers") and value)
            if name in found and when:
                found[name] += f": {when}"
    return found


def timer_spec(text: str) -> str:
    """``{ OnCalendar=*-*-* 06:00:00 ; next_elapse=… }`` without the moment at which it is due."""
    return text.strip("{} ").partition(" ; ")[0].strip()


def cron(root: Path) -> dict[str, str]:
    """The lines of every crontab, without comments; of the directories run-parts looks into, the programs' names."""
    found = {}
    files = [root / "etc/crontab", *_inside(root / "etc/cron.d"), *_inside(root / "var/spool/cron/crontabs")]
    for path in files:
        if path.is_file() and path.name != ".placeholder":
            lines = (re.sub(r"\s+", " ", line).strip() for line in path.read_text(errors="replace").splitlines())
            text = "\n".join(line for line in lines if line and not line.startswith("#"))
            found[f"/{path.relative_to(root)}"] = text
    for name in ("hourly", "daily", "weekly", "monthly"):
        programs = [path.name for path in _inside(root / f"etc/cron.{name}") if path.name != ".placeholder"]
        if programs:
            found[f"/etc/cron.{name}"] = " ".join(programs)
    return found


def _inside(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def nginx() -> dict[str, str]:
    """The whole configuration of nginx as it reads it itself, statement by statement."""
    return statements(run("nginx", "-T", "-q"))


_NGINX_TOKEN: Final = re.compile(
    r"""(?P<space>\s+) | (?P<comment>\#[^\n]*) | (?P<mark>[;{}])
      | (?P<text>(?:"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | \\. | \$\{[^}]*\} | [^\s;{}"'\\])+)""",
    re.VERBOSE | re.DOTALL,
)
_NAMED_DIRECTIVES: Final = {"add_header", "proxy_set_header", "fastcgi_param", "set", "env", "sub_filter"}
_NGINX_FILE: Final = re.compile(r"^# configuration file (.+):$", re.MULTILINE)


def statements(text: str) -> dict[str, str]:
    """What ``nginx -T`` prints, as ``file: block > block > directive`` to its arguments.

    A server is called by its name and ports, any other block by its words; a header or parameter by its own name too.
    Of a directive that stands several times in a block the arguments are joined in their order. Source of the syntax:
    nginx's documentation, "Configuration File's Structure".
    """
    found: dict[str, list[str]] = {}
    parts = _NGINX_FILE.split(text)
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        for path, words in _walk(_block(_tokens(body))):
            named = 2 if words[0] in _NAMED_DIRECTIVES else 1
            key = " > ".join([*path, " ".join(words[:named])])
            found.setdefault(f"{name}: {key}", []).append(" ".join(words[named:]))
    return {key: "; ".join(values) for key, values in found.items()}


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for match in _NGINX_TOKEN.finditer(text):
        if match.lastgroup in {"mark", "text"}:
            yield match.lastgroup, match.group()


_Statement = tuple[list[str], "list[Any] | None"]


def _block(tokens: Iterator[tuple[str, str]]) -> list[_Statement]:
    """The statements up to the closing brace, each with its words and, for a block, its own statements."""
    found: list[_Statement] = []
    words: list[str] = []
    for kind, text in tokens:
        if kind == "text":
            words.append(text)
        elif text == "}":
            break
        elif words:
            found.append((words, _block(tokens) if text == "{" else None))
            words = []
    return found


def _walk(block: list[_Statement], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    for words, inner in block:
        if inner is None:
            yield path, words
            continue
        name = " ".join(words)
        if words == ["server"]:
            names, ports = (
                [" ".join(item[1:]) for item, _ in inner if item[0] == key] for key in ("server_name", "listen")
            )
            name = f"server {' '.join(names)} ({', '.join(ports)})"
        yield from _walk(inner, (*path, name))


def php(pool: Path) -> dict[str, str]:
    """PHP's version, extensions and settings: of the portal's pages (asked of its pool) and of the command line.

    Raises:
        EncajaError: neither answers.
    """
    found: dict[str, str] = {}
    faults = []
    asked: Mapping[str, Callable[[], str]] = {
        "pages": lambda: fastcgi.run_php(pool, f"<?php {_PROBE}"),
        "command line": lambda: run("php", "-r", _PROBE),
    }
    for where, ask in asked.items():
        try:
            facts: Mapping[str, Any] = json.loads(ask())
        except (EncajaError, ValueError) as fault:
            faults.append(f"{where}: {fault}")
            continue
        found[f"{where}: version"] = str(facts["version"])
        found |= {f"{where}: extension {name}": str(value) for name, value in facts["extensions"].items()}
        found |= {f"{where}: {name}": "" if value is None else str(value) for name, value in facts["ini"].items()}
    if faults:
        raise EncajaError("; ".join(faults), "PHP", "start PHP-FPM (an isolated copy keeps it masked)")
    return found


def mariadb(socket: str = "") -> dict[str, str]:
    """The server's global variables, asked as root through its socket.

    Raises:
        EncajaError: no server answers there.
    """
    path = socket or next((one for one in SOCKETS if Path(one).exists()), SOCKETS[0])
    try:
        connection = pymysql.connect(
            unix_socket=path, user="root", connect_timeout=10, cursorclass=pymysql.cursors.DictCursor
        )
        with connection, connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL VARIABLES")
            return {row["Variable_name"]: str(row["Value"]) for row in cursor.fetchall()}
    except pymysql.MySQLError as fault:
        raise EncajaError(f"MariaDB does not answer: {fault.args[-1]}", path, "start it") from fault
