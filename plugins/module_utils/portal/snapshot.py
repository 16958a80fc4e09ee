"""One host as a comparison sees it, secrets and own names replaced by digests before anything leaves it."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from ..errors import EncajaError
from . import host_facts, php
from .database import quoted
from .site import Portal
from .value_digest import Secrecy, ValueDigester

NEUTRAL_MARKER: Final = ("main", "encaja_neutralised")
TEST_USERS_MARKER: Final = ("main", "encaja_test_users")
COMPARED_TABLES: Final = ("b_option", "b_option_site", "b_lang", "b_lang_domain", "b_site_template", "b_module")
TEST_USERS_TABLES: Final = ("b_user", "b_user_group", "b_uts_user", "b_user_index")
_VERSION: Final = re.compile(r"[\"']VERSION[\"']\s*=>\s*[\"']([^\"']+)[\"']")
_DEFINED: Final = re.compile(r"\bdefine\s*\(\s*[\"'](\w+)[\"']")
_ASSIGNED: Final = re.compile(r"^\s*\$(\w+)\s*=(?!=)", re.M)
_COMMENT: Final = re.compile(r"/\*.*?\*/|^\s*(?://|#)[^\n]*", re.S | re.M)
PROGRAMS: Final = (
    "bitrix/php_interface/init.php", "local/php_interface/init.php", "bitrix/php_interface/after_connect.php",
    "bitrix/php_interface/after_connect_d7.php", "urlrewrite.php", ".access.php", "bitrix/.access.php",
    "bitrix/license_key.php", "robots.txt", ".htaccess",
)  # fmt: skip
"""Files of a portal besides its two settings files that say how it behaves. Source: portal.md 2."""


@dataclass(frozen=True)
class Place:
    """Which host this is, in the words of its inventory.

    Attributes:
        environment: its environment.
        functions: what it serves: portal, database …
        names: its domain, host names and addresses.
        root: the portal's document root.
        pool: socket of the portal's PHP-FPM pool.
        socket: socket of MariaDB; empty for the usual place.
    """

    environment: str
    functions: Sequence[str]
    names: Sequence[str]
    root: Path = Path("/srv/portal/www")
    pool: Path = Path("/run/php/portal.sock")
    socket: str = ""


@dataclass
class Neutral:
    """Names of what neutralisation has set to what it says, by section; empty on a host that is no neutralised copy."""

    marked: bool = False
    names: dict[str, list[str]] = field(default_factory=lambda: {"options": [], "counts": [], "schedule": []})


Values = dict[str, list[str | None]]


def take(place: Place, salt: str, rules: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Everything about a host that a comparison looks at.

    Args:
        place: the host.
        salt: the key of the digests, from the controller.
        rules: what neutralises a copy (``neutralise_rules``), to tell what it did from a difference.

    Returns:
        ``sections`` (values by section and name, as ``digester`` gives them, each with its name without own names),
        ``missing`` (sections that could not be read, with the reason), ``neutral``, and the host's size (``memory``,
        ``processors``).
    """
    portal = Portal(place.root) if "portal" in place.functions else None
    digester = ValueDigester(salt, own_names(place, portal))
    sections: dict[str, Values] = {}
    missing: dict[str, str] = {}
    neutral = Neutral()

    def look(section: str, guard: Secrecy, read: Callable[[], Mapping[str, str]]) -> None:
        try:
            found = read()
        except EncajaError as fault:
            missing[section] = str(fault)
            return
        sections[section] = {name: digester.value(name, text, guard) for name, text in found.items()}

    look("system", Secrecy.OPEN, host_facts.system)
    look("packages", Secrecy.OPEN, host_facts.packages)
    look("schedule", Secrecy.NAMED, host_facts.schedule)
    if "database" in place.functions:
        look("mariadb", Secrecy.NAMED, lambda: host_facts.mariadb(place.socket))
    if portal is not None:
        look("php", Secrecy.NAMED, lambda: host_facts.php(place.pool))
        look("nginx", Secrecy.NAMED, host_facts.nginx)
        look("options", Secrecy.STRICT, lambda: options(portal))
        look("sites", Secrecy.STRICT, lambda: sites(portal))
        look("modules", Secrecy.OPEN, lambda: modules(portal))
        look("counts", Secrecy.OPEN, lambda: counts(portal))
        try:
            sections["files"] = files(portal, digester)
        except EncajaError as fault:
            missing["files"] = str(fault)
        neutral = neutralised(portal, rules, sections)
        neutral.names["schedule"] += [digester.without_names(unit) for unit in neutral.names["schedule"]]
    return {
        "sections": {
            section: {name: [*value, digester.without_names(name)] for name, value in values.items()}
            for section, values in sections.items()
        },
        "missing": missing,
        "neutral": neutral.names if neutral.marked else {},
        "size": size(),
    }


def own_names(place: Place, portal: Portal | None) -> dict[str, str]:
    """The names by which an environment calls itself, and what stands for them in a comparison."""
    found = dict.fromkeys((*place.names, platform.node()), "{here}")
    if portal is not None:
        found[portal.root.resolve().name] = "{tree}"
    found[place.environment] = "{environment}"
    return {name: token for name, token in found.items() if len(name) > 3 and name not in {"localhost", "portal"}}


def size() -> dict[str, int]:
    """The host's memory (MiB) and processors."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    processors = Path("/proc/cpuinfo").read_text().count("processor\t")
    return {"memory": int(memory.group(1)) // 1024 if memory else 0, "processors": processors}


def options(portal: Portal) -> dict[str, str]:
    """Options of all modules: ``main.server_name``, and ``main.server_name (s1)`` for one site's."""
    found = {f"{module}.{name}": value for (module, name), value in portal.options.items()}
    return found | {f"{module}.{name} ({site})": value for (module, name, site), value in portal.site_options.items()}


def sites(portal: Portal) -> dict[str, str]:
    """The columns of every site, with its domains and templates."""
    found: dict[str, str] = {}
    for row in portal.database.rows("SELECT * FROM b_lang"):
        found |= {f"{row['LID']}.{column}": _text(value) for column, value in row.items()}
    for table, column, key in (("b_lang_domain", "DOMAIN", "LID"), ("b_site_template", "TEMPLATE", "SITE_ID")):
        if portal.has(table, column, key):
            several: dict[str, list[str]] = {}
            for row in portal.database.rows(f"SELECT {key} AS k, {column} AS v FROM {table} ORDER BY {column}"):  # noqa: S608
                several.setdefault(row["k"], []).append(_text(row["v"]))
            found |= {f"{site}.{column.lower()}s": " ".join(values) for site, values in several.items()}
    return found


def modules(portal: Portal) -> dict[str, str]:
    """Installed modules and the versions of their files."""
    found = {}
    for name in portal.modules:
        path = portal.root / "bitrix" / "modules" / name / "install" / "version.php"
        version = _VERSION.search(portal.text(path))
        found[name] = version.group(1) if version else "installed"
    return found


def counts(portal: Portal) -> dict[str, str]:
    """Rows of every table, counted; not of those that are compared row by row."""
    return {
        table: str(portal.database.count(f"SELECT COUNT(*) FROM {quoted(table)}"))  # noqa: S608
        for table in portal.columns
        if table not in COMPARED_TABLES
    }


def files(portal: Portal, digester: ValueDigester) -> Values:
    """Settings files value by value, and the portal's programs by whether they are the same."""
    found: Values = {}
    for path in (portal.settings_path, portal.extra_path):
        text = portal.text(path)
        if not text:
            continue
        name = path.name
        try:
            data = php.parse_settings(text, str(path))
        except EncajaError:  # a program, not data: compared as a whole
            found[name] = digester.value(name, text, shown=_lines(text))
            continue
        for key, value in _flat(data):
            found[f"{name}: {key}"] = digester.value(key.rpartition(".")[2], value)
    text = portal.dbconn
    for name in dict.fromkeys(_DEFINED.findall(text)):
        found[f"dbconn.php: {name}"] = digester.value(name, _text(php.read_define(text, name)))
        text = php.edit_define(text, name)
    for name in dict.fromkeys(_ASSIGNED.findall(text)):
        found[f"dbconn.php: ${name}"] = digester.value(name, _text(php.read_variable(text, name)))
        text = php.edit_variable(text, name)
    found["dbconn.php: code"] = _program(digester, "dbconn.php", text)
    for relative in PROGRAMS:
        text = portal.text(portal.root / relative)
        if text:
            found[relative] = _program(digester, relative, text)
    return found


def _program(digester: ValueDigester, name: str, text: str) -> list[str | None]:
    """A program by whether it is the same, comments and white space left out; a licence is hidden by its name."""
    bare = re.sub(r"\s+", " ", _COMMENT.sub(" ", text)).strip()
    shown, *digests = digester.value(name.removesuffix(".php"), bare, Secrecy.NAMED, _lines(text))
    return [shown if "license" not in name else None, *digests]


def _lines(text: str) -> str:
    return f"a file of {len(text.splitlines())} lines"


def _flat(data: Mapping[Any, Any], path: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in data.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) and value:
            found += _flat(value, here)
        else:
            found.append((here, _text(value)))
    return found


def _text(value: Any) -> str:
    if value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def neutralised(portal: Portal, rules: Sequence[Mapping[str, Any]], sections: Mapping[str, Values]) -> Neutral:
    """What neutralisation did here; nothing where the database does not say that it is a neutralised copy."""
    found = Neutral()
    if portal.options.get(NEUTRAL_MARKER) != "Y":
        return found
    found.marked = True
    wanted = {
        str(name).lower(): None if value is None else str(value)
        for rule in rules
        for name, value in (rule.get("options") or {}).items()
    }
    present = {f"{module}.{name}": value for (module, name), value in portal.options.items()}
    for name, value in wanted.items():
        if "*" in name:  # all that begin so are removed, but for those that another rule sets
            holds = not any(fnmatchcase(one, name) and wanted.get(one) is None for one in present)
        else:
            holds = present.get(name) == value
        if holds:
            found.names["options"].append(name)
    for rule in rules:
        fresh = (str(name).lower() for name in rule.get("fresh") or ())
        found.names["options"] += [name for name in fresh if present.get(name)]
        if rule.get("delete"):
            found.names["counts"].append(str(rule["table"]))
    if TEST_USERS_MARKER in portal.options:
        found.names["options"].append(".".join(TEST_USERS_MARKER))
        found.names["counts"] += TEST_USERS_TABLES
    for unit, state in sections.get("schedule", {}).items():
        if (state[0] or "").startswith("masked"):
            found.names["schedule"].append(unit)
    return found
