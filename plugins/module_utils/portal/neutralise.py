"""Making a copy of a portal inert: rules say which rows are live, and what makes them harmless.

A rule is one of

- ``{id, table, live, make}`` or ``{id, table, live, delete: true}``: ``live`` is the condition of rows that could still
  reach the world; it is both what is changed and the proof that nothing is left, so a rule can be run again any time;
- ``{id, options: {"module.name": value}}``: a value for an option, or null to remove it; a name that ends in ``*``
  (null only) stands for all that begin like it. Values for single sites (``b_option_site``) would win, they go;
- ``{id, fresh: ["module.name"]}``: options with keys, which get a value of the copy's own, once.

``needs`` names columns without which a rule of the first kind does not apply.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import EncajaError
from .database import Database, quoted

KEYS = {"id", "why", "table", "live", "make", "delete", "options", "fresh", "needs"}
SUSPICIOUS = (
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "webhook",
    "callback_url",
    "endpoint",
    "handler_url",
)
TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "blob", "mediumblob", "longblob", "varbinary"}
OWN = "encaja.own_"
"""Options that say of which key the copy has one of its own: ``encaja.own_MODULE.NAME`` holds the key's SHA-256."""
_BYTES = 32


@dataclass(frozen=True)
class Applied:
    """What one rule did: ``rows`` changed (or to change), or why it does not apply."""

    id: str
    rows: int
    state: str

    def as_dict(self) -> dict[str, Any]:
        """The fields as a dictionary."""
        return asdict(self)


def check_rules(rules: Sequence[Mapping[str, Any]]) -> None:
    """Refuse rules that cannot be run; names all faults.

    Raises:
        EncajaError: a rule has no id, an unknown key, or says neither what to change nor how.
    """
    faults = []
    seen: set[str] = set()
    for number, rule in enumerate(rules):
        name = str(rule.get("id") or f"number {number + 1}")
        if "id" not in rule:
            faults.append(f"rule {name} has no id")
        if name in seen:
            faults.append(f"two rules are called {name}")
        seen.add(name)
        if unknown := set(rule) - KEYS:
            faults.append(f"rule {name} has unknown keys {', '.join(sorted(unknown))}")
        by_table = {"table", "live"} <= set(rule) and ("make" in rule) != bool(rule.get("delete"))
        if by_table + ("options" in rule) + ("fresh" in rule) != 1 or (not by_table and "table" in rule):
            faults.append(f"rule {name} needs either table, live and one of make or delete, or options, or fresh")
        for option, value in dict(rule.get("options") or {}).items():
            if option.endswith("*") and value is not None:
                faults.append(f"rule {name} gives a value to {option}: only null goes with a '*'")
    if faults:
        raise EncajaError("; ".join(faults), "neutralise_rules", "see docs/clone.md")


def apply(database: Database, rules: Sequence[Mapping[str, Any]], check: bool) -> list[Applied]:
    """Run every rule (in check mode: count what it would change), then prove that nothing live is left.

    Raises:
        EncajaError: a rule cannot be run on this portal, or rows are live after it ran.
    """
    check_rules(rules)
    tables = database.columns()
    done = [_apply(database, rule, tables, check) for rule in rules]
    if not check and (alive := live(database, rules)):
        raise EncajaError(f"still live: {', '.join(alive)}", f"database {database.name}", "run it again")
    return done


def live(database: Database, rules: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The rules that find something live, with how many rows or options."""
    tables = database.columns()
    counts = {rule["id"]: _live(database, rule, tables) for rule in rules}
    return {name: count for name, count in counts.items() if count}


def _apply(
    database: Database, rule: Mapping[str, Any], tables: Mapping[str, Mapping[str, str]], check: bool
) -> Applied:
    if "table" not in rule:
        if "b_option" not in tables:
            raise EncajaError("no table b_option", f"database {database.name}", "is this a portal's database?")
        live = _live(database, rule, tables)
        if live and not check:
            if "fresh" in rule:
                _renew(database, rule["fresh"])
            else:
                _set_options(database, rule["options"], tables)
        return Applied(rule["id"], live, "changed" if live else "neutral")
    if not applies(rule, tables):
        return Applied(rule["id"], 0, "absent")
    live = _live(database, rule, tables)
    if live and not check:
        database.execute(_statement(rule))
    return Applied(rule["id"], live, "changed" if live else "neutral")


def unfit_rules(database: Database, rules: Sequence[Mapping[str, Any]]) -> list[str]:
    """Descriptions of rules that cannot be run on this portal. Their statements are explained (EXPLAIN), not run."""
    tables = database.columns()
    faults = []
    for rule in rules:
        if applies(rule, tables):
            try:
                database.rows(f"EXPLAIN {_statement(rule)}")
            except EncajaError as fault:
                faults.append(f"rule {rule['id']}: {fault.what}")
    return faults


def _statement(rule: Mapping[str, Any]) -> str:
    """What makes the live rows of a table harmless."""
    table, live = quoted(rule["table"]), rule["live"]
    if rule.get("delete"):
        return f"DELETE FROM {table} WHERE {live}"  # noqa: S608 - the kit's list
    return f"UPDATE {table} SET {rule['make']} WHERE {live}"  # noqa: S608


def applies(rule: Mapping[str, Any], tables: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether the portal has the rule's table, with the columns that it needs."""
    table = rule.get("table", "")
    return table in tables and set(rule.get("needs", ())) <= set(tables[table])


def _live(database: Database, rule: Mapping[str, Any], tables: Mapping[str, Mapping[str, str]]) -> int:
    """How many rows, or options, a rule still finds to change."""
    if "fresh" in rule:
        return sum(not _is_own(database, name) for name in rule["fresh"])
    if "options" in rule:
        return sum(1 for _ in _wrong_options(database, rule["options"], tables))
    if not applies(rule, tables):
        return 0
    return database.count(f"SELECT COUNT(*) FROM {quoted(rule['table'])} WHERE {rule['live']}")  # noqa: S608


def _wrong_options(
    database: Database, wanted: Mapping[str, Any], tables: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, str, str]]:
    """Table, module and name of options that have another value, or are there and should not be."""
    for full_name, value in wanted.items():
        module, _, name = full_name.partition(".")
        pattern = _pattern(name)
        # An exact name may have its own rule besides a pattern of the same list.
        exact = {other.partition(".")[2].lower() for other in wanted if other.partition(".")[0] == module}
        found = database.rows("SELECT NAME, VALUE FROM b_option WHERE MODULE_ID = %s AND NAME LIKE %s", module, pattern)
        if name.endswith("*"):
            found = [row for row in found if row["NAME"].lower() not in exact]
        if value is None:
            yield from (("b_option", module, row["NAME"]) for row in found)
        elif [row["VALUE"] for row in found] != [str(value)]:
            yield "b_option", module, name
        if "b_option_site" in tables:
            sites = "SELECT DISTINCT NAME FROM b_option_site WHERE MODULE_ID = %s AND NAME LIKE %s"
            yield from (("b_option_site", module, row["NAME"]) for row in database.rows(sites, module, pattern))


def _pattern(name: str) -> str:
    escaped = re.sub(r"([\\%_])", r"\\\1", name.removesuffix("*"))
    return f"{escaped}%" if name.endswith("*") else escaped


def _set_options(database: Database, wanted: Mapping[str, Any], tables: Mapping[str, Mapping[str, str]]) -> None:
    for table, module, name in list(_wrong_options(database, wanted, tables)):
        value = wanted.get(f"{module}.{name}") if table == "b_option" else None
        if value is None:
            database.execute(f"DELETE FROM {table} WHERE MODULE_ID = %s AND NAME = %s", module, name)  # noqa: S608
        else:
            _set(database, module, name, str(value))


def _set(database: Database, module: str, name: str, value: str) -> None:
    database.execute("REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES (%s, %s, %s)", module, name, value)


def _value(database: Database, full_name: str) -> str | None:
    module, _, name = full_name.partition(".")
    found = database.value("SELECT VALUE FROM b_option WHERE MODULE_ID = %s AND NAME = %s", module, name)
    return None if found is None else str(found)


def _is_own(database: Database, full_name: str) -> bool:
    value = _value(database, full_name)
    return value is not None and _value(database, OWN + full_name) == hashlib.sha256(value.encode()).hexdigest()


def _renew(database: Database, names: Sequence[str]) -> None:
    for full_name in names:
        if not _is_own(database, full_name):
            module, _, name = full_name.partition(".")
            value = secrets.token_hex(_BYTES)
            _set(database, module, name, value)
            own_module, _, own_name = (OWN + full_name).partition(".")
            _set(database, own_module, own_name, hashlib.sha256(value.encode()).hexdigest())


def unknown_secrets(database: Database, rules: Sequence[Mapping[str, Any]], acknowledged: Sequence[str]) -> list[str]:
    """What has a value, looks like a credential or an endpoint by its name, and is covered by no rule.

    Returns:
        Columns as ``table.column``, and options as ``option MODULE.NAME``. A rule that deletes rows covers its table,
        one that changes them the columns that it sets.
    """
    tables = database.columns()
    covered = set(acknowledged)
    for rule in rules:
        if applies(rule, tables):
            made = re.findall(r"(\w+)\s*=", rule.get("make", ""))
            covered |= {f"{rule['table']}.{column}" for column in made} if made else {rule["table"]}
    found = []
    for table, columns in tables.items():
        if table in covered:
            continue
        for column, kind in columns.items():
            full = f"{table}.{column}"
            if full in covered or kind not in TEXTS or not _suspicious(column):
                continue
            filled = f"SELECT 1 FROM {quoted(table)} WHERE COALESCE({quoted(column)}, '') NOT IN ('', '0', 'N') LIMIT 1"  # noqa: S608
            if database.rows(filled):
                found.append(full)
    return found + _unknown_options(database, rules, covered)


def _suspicious(name: str) -> bool:
    return any(word in name.lower() for word in SUSPICIOUS)


def _unknown_options(database: Database, rules: Sequence[Mapping[str, Any]], covered: set[str]) -> list[str]:
    known = covered | {name for rule in rules for name in (*(rule.get("options") or ()), *(rule.get("fresh") or ()))}
    beginnings = tuple(name.removesuffix("*") for name in known if name.endswith("*"))
    found = database.rows(
        "SELECT MODULE_ID, NAME FROM b_option WHERE COALESCE(VALUE, '') NOT IN ('', '0', 'N', 'Y') ORDER BY 1, 2"
    )
    names = [f"{row['MODULE_ID']}.{row['NAME']}" for row in found if _suspicious(row["NAME"])]
    return [
        f"option {name}"
        for name in names
        if name not in known and not name.startswith(OWN) and not (beginnings and name.startswith(beginnings))
    ]
