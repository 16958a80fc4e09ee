"""Making a copy of a portal inert: rules say which rows are live, and what makes them harmless.

A rule is ``{id, table, live, make}``, ``{id, table, live, delete: true}`` or ``{id, options: {"module.name": value}}``.
``live`` is the condition of rows that could still reach the world; it is both what is changed and the proof that
nothing is left, so a rule can be run again at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import EncajaError
from .database import Database, quoted

KEYS = {"id", "why", "table", "live", "make", "delete", "options", "needs"}
SUSPICIOUS = ("password", "secret", "token", "api_key", "apikey", "webhook", "callback_url", "endpoint")
TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "blob", "mediumblob", "longblob", "varbinary"}


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
    """Refuse rules that cannot be run, all faults at once.

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
        if by_table == ("options" in rule):
            faults.append(f"rule {name} needs either table, live and one of make or delete, or options")
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
    if not check:
        alive = [rule["id"] for rule in rules if _live(database, rule, tables)]
        if alive:
            raise EncajaError(f"still live: {', '.join(alive)}", f"database {database.name}", "run it again")
    return done


def _apply(
    database: Database, rule: Mapping[str, Any], tables: Mapping[str, Mapping[str, str]], check: bool
) -> Applied:
    if "options" in rule:
        if "b_option" not in tables:
            raise EncajaError("no table b_option", f"database {database.name}", "is this a portal's database?")
        return _apply_options(database, rule, check)
    table = rule["table"]
    if table not in tables or not set(rule.get("needs", ())) <= set(tables[table]):
        return Applied(rule["id"], 0, "absent")
    live = _live(database, rule, tables)
    if live and not check:
        if rule.get("delete"):
            database.execute(f"DELETE FROM {quoted(table)} WHERE {rule['live']}")  # noqa: S608 - the kit's own list
        else:
            database.execute(f"UPDATE {quoted(table)} SET {rule['make']} WHERE {rule['live']}")  # noqa: S608
    return Applied(rule["id"], live, "changed" if live else "neutral")


def _live(database: Database, rule: Mapping[str, Any], tables: Mapping[str, Mapping[str, str]]) -> int:
    table = rule.get("table", "")
    if table not in tables or not set(rule.get("needs", ())) <= set(tables[table]):
        return 0
    return database.count(f"SELECT COUNT(*) FROM {quoted(table)} WHERE {rule['live']}")  # noqa: S608


def _apply_options(database: Database, rule: Mapping[str, Any], check: bool) -> Applied:
    changed = 0
    for full_name, value in rule["options"].items():
        module, _, name = full_name.partition(".")
        found = database.value("SELECT VALUE FROM b_option WHERE MODULE_ID = %s AND NAME = %s", module, name)
        wanted = None if value is None else str(value)
        if found == wanted:
            continue
        changed += 1
        if check:
            continue
        if wanted is None:
            database.execute("DELETE FROM b_option WHERE MODULE_ID = %s AND NAME = %s", module, name)
        else:
            database.execute("REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES (%s, %s, %s)", module, name, wanted)
    return Applied(rule["id"], changed, "changed" if changed else "neutral")


def unknown_secrets(database: Database, rules: Sequence[Mapping[str, Any]], acknowledged: Sequence[str]) -> list[str]:
    """Columns with rows that look like credentials or endpoints and that no rule covers, as ``table.column``."""
    covered = {rule.get("table") for rule in rules} | set(acknowledged)
    found = []
    for table, columns in database.columns().items():
        if table in covered:
            continue
        for column, kind in columns.items():
            full = f"{table}.{column}"
            if full in acknowledged or kind not in TEXTS or not any(word in column.lower() for word in SUSPICIOUS):
                continue
            filled = f"SELECT COUNT(*) FROM {quoted(table)} WHERE COALESCE({quoted(column)}, '') NOT IN ('', '0')"  # noqa: S608
            if database.count(filled):
                found.append(full)
    return found
