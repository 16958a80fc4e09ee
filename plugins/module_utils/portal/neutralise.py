"""Making a copy of a portal inert: rules say which rows are live, and what makes them harmless.

A rule is one of

- ``{id, table, live, make}`` or ``{id, table, live, delete: true}``: ``live`` is the condition of rows that could still
  reach the world; it is both what is changed and the proof that nothing is left, so a rule can be run again any time;
- ``{id, table, empty: [COLUMN]}``: columns that hold nothing in a copy;
- ``{id, table, scrub: [COLUMN]}``: columns with credentials inside their values (serialised PHP, JSON, packed
  templates); these are emptied, the rest of the value stays;
- ``{id, sweep: [TABLES]}`` and ``{id, walk: [TABLES]}``: the same for all columns that are called like credentials, and
  for all that are called like containers, in tables whose names fit, but for ``but: [table.column]``;
- ``{id, options: {"module.name": value}}``: a value for an option, or null to remove it; in a name ``*`` stands for
  anything (null only). Values for single sites (``b_option_site``) would win, they go;
- ``{id, fresh: ["module.name"]}``: options with keys, which get a value of the copy's own, once.

``needs`` names columns without which a rule of the first kind does not apply.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import EncajaError
from . import credentials
from .database import Database, quoted
from .host_rewrite import old_hosts
from .packed import BLOBS, PACKED_SQL
from .serialized import SerializedError

KINDS = ("live", "empty", "scrub", "sweep", "walk", "options", "fresh")
KEYS = {"id", "why", "table", "make", "delete", "needs", "but", *KINDS}
TEXTS = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "json", "varbinary", *BLOBS}
OWN = "encaja.own_"
"""Options that say of which key the copy has one of its own: ``encaja.own_MODULE.NAME`` holds the key's SHA-256."""
_BYTES = 32

Tables = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Applied:
    """What one rule did: ``rows`` changed (or to change), or why it does not apply, and values it could not read."""

    id: str
    rows: int
    state: str
    unread: list[str] = field(default_factory=list)

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
        kinds = [kind for kind in KINDS if kind in rule]
        of_table = kinds in (["live"], ["empty"], ["scrub"])
        changes = (kinds == ["live"]) == (("make" in rule) != bool(rule.get("delete")))
        if len(kinds) != 1 or not changes or of_table != ("table" in rule):
            faults.append(
                f"rule {name} needs either table, live and one of make or delete, or table and empty or scrub,"
                " or one of sweep, walk, options, fresh"
            )
        for option, value in dict(rule.get("options") or {}).items():
            if "*" in option and value is not None:
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


def _apply(database: Database, rule: Mapping[str, Any], tables: Tables, check: bool) -> Applied:
    if "options" in rule or "fresh" in rule:
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
    unread: list[str] = []
    if "scrub" in rule or "walk" in rule:
        named = "scrub" in rule
        live = sum(
            _scrub(database, target, tables, check=check, unread=unread, named=named)
            for target in _targets(rule, tables)
        )
    else:
        live = 0
        for change in _changes(database, rule, tables):
            if rows := change.count(database):
                live += rows
                if not check:
                    database.execute(change.statement)
    return Applied(rule["id"], live, "changed" if live else "neutral", unread)


def unfit_rules(database: Database, rules: Sequence[Mapping[str, Any]]) -> list[str]:
    """Descriptions of rules that cannot be run on this portal. Their statements are explained (EXPLAIN), not run."""
    tables = database.columns()
    faults = []
    for rule in rules:
        if applies(rule, tables):
            try:
                for change in _changes(database, rule, tables):
                    database.rows(f"EXPLAIN {change.statement}")
            except EncajaError as fault:
                faults.append(f"rule {rule['id']}: {fault.what}")
    return faults


@dataclass(frozen=True)
class _Change:
    """One statement, and the condition of the rows that it is about."""

    table: str
    live: str
    statement: str

    def count(self, database: Database) -> int:
        return database.count(f"SELECT COUNT(*) FROM {quoted(self.table)} WHERE {self.live}")  # noqa: S608


def _changes(database: Database, rule: Mapping[str, Any], tables: Tables) -> Iterator[_Change]:
    """What makes the live rows of a rule's tables harmless, as statements."""
    if "live" in rule:
        table, live = rule["table"], rule["live"]
        if rule.get("delete"):
            yield _Change(table, live, _delete(table, live))
        else:
            yield _Change(table, live, f"UPDATE {quoted(table)} SET {rule['make']} WHERE {live}")  # noqa: S608
    if "empty" not in rule and "sweep" not in rule:
        return
    for table, columns in _targets(rule, tables):
        live = f"CONCAT_WS('', {', '.join(map(quoted, columns))}) <> ''"
        if set(columns) & _unique_columns(database, table):  # two rows cannot be empty there
            yield _Change(table, live, _delete(table, live))
        else:
            made = ", ".join(f"{quoted(column)} = ''" for column in columns)
            yield _Change(table, live, f"UPDATE {quoted(table)} SET {made} WHERE {live}")  # noqa: S608


def _delete(table: str, live: str) -> str:
    return f"DELETE FROM {quoted(table)} WHERE {live}"  # noqa: S608 - the kit's list


def _unique_columns(database: Database, table: str) -> set[str]:
    return {row["Column_name"] for row in database.rows(f"SHOW KEYS FROM {quoted(table)} WHERE Non_unique = 0")}


def _targets(rule: Mapping[str, Any], tables: Tables) -> list[tuple[str, list[str]]]:
    """The tables and columns that a rule names, or that fit its patterns; no others than the portal has."""
    if "table" in rule:
        there = tables.get(rule["table"], {})
        named = [column for column in rule.get("empty") or rule.get("scrub") or () if column in there]
        return [(rule["table"], named)] if named else []
    looks = credentials.SECRET if "sweep" in rule else credentials.CONTAINER
    fits = [credentials.matcher(pattern) for pattern in rule.get("sweep") or rule.get("walk") or ()]
    spared = set(rule.get("but", ()))
    found = []
    for table, columns in tables.items():
        if table in spared or not any(fit(table) for fit in fits):
            continue
        meant = [
            column
            for column, kind in columns.items()
            if kind in TEXTS and looks.search(column) and f"{table}.{column}" not in spared
        ]
        if meant:
            found.append((table, meant))
    return found


def _likely(columns: Mapping[str, str], *, named: bool) -> str:
    """The condition of rows in which one of these columns (with their types) may hold a credential.

    Of columns that a rule names (and does not find by a pattern) every packed value is read, so that damage is told.
    """
    conditions = [f"CAST({quoted(column)} AS BINARY) RLIKE %s" for column in columns for _ in credentials.LIKELY]
    packed = "COALESCE({column}, '') <> ''" if named else PACKED_SQL
    conditions += [packed.format(column=quoted(column)) for column, kind in columns.items() if kind in BLOBS]
    return " OR ".join(conditions)


def _scrub(
    database: Database,
    target: tuple[str, list[str]],
    tables: Tables,
    *,
    check: bool,
    unread: list[str] | None = None,
    named: bool = False,
) -> int:
    """Empty the credentials inside the values of a table's columns; returns how many rows had some.

    Values that cannot be read are named in ``unread`` and stay: what the portal cannot read either has no effect.
    """
    table, names = target
    columns = {name: tables[table][name] for name in names}
    key = database.primary_key(table)
    selected = ", ".join(map(quoted, dict.fromkeys([*key, *columns])))
    sql = f"SELECT {selected} FROM {quoted(table)} WHERE {_likely(columns, named=named)}"  # noqa: S608
    found = 0
    changed: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for row in database.each(sql, *([f"(?i){likely}" for likely in credentials.LIKELY] * len(columns))):
        made = {}
        for column in columns:
            if not row[column]:
                continue
            try:
                clean = credentials.without_credentials(row[column])
            except SerializedError as fault:
                if unread is not None:
                    place = "/".join(str(row[name]) for name in key)
                    unread.append(f"{table}.{column}[{place}]: {fault.what}")
                continue
            if clean != row[column]:
                made[column] = clean
        found += bool(made)
        if made and not check:
            changed.append(({name: row[name] for name in key or made}, made))
    for where, made in changed:
        # Without a key a row is found by its value, which has to be the very same.
        condition = " AND ".join(f"{'' if key else 'BINARY '}{quoted(name)} = %s" for name in where)
        assignments = ", ".join(f"{quoted(column)} = %s" for column in made)
        sql = f"UPDATE {quoted(table)} SET {assignments} WHERE {condition}"  # noqa: S608
        database.execute(sql, *made.values(), *where.values())
    return found


def applies(rule: Mapping[str, Any], tables: Tables) -> bool:
    """Whether the portal has the rule's table with the columns that it needs, or tables that fit its patterns."""
    if "live" not in rule:
        return bool(_targets(rule, tables))
    table = rule["table"]
    return table in tables and set(rule.get("needs", ())) <= set(tables[table])


def _live(database: Database, rule: Mapping[str, Any], tables: Tables) -> int:
    """How many rows, or options, a rule still finds to change."""
    if "fresh" in rule:
        return sum(not _is_own(database, name) for name in rule["fresh"])
    if "options" in rule:
        return sum(1 for _ in _wrong_options(database, rule["options"], tables))
    if not applies(rule, tables):
        return 0
    if "scrub" in rule or "walk" in rule:
        return sum(_scrub(database, target, tables, check=True) for target in _targets(rule, tables))
    return sum(change.count(database) for change in _changes(database, rule, tables))


def _wrong_options(database: Database, wanted: Mapping[str, Any], tables: Tables) -> Iterator[tuple[str, str, str]]:
    """Table, module and name of options that have another value, or are there and should not be."""
    for full_name, value in wanted.items():
        module, _, name = full_name.partition(".")
        pattern = _pattern(name)
        # An exact name may have its own rule besides a pattern of the same list.
        exact = {other.partition(".")[2].lower() for other in wanted if other.partition(".")[0] == module}
        found = database.rows("SELECT NAME, VALUE FROM b_option WHERE MODULE_ID = %s AND NAME LIKE %s", module, pattern)
        if "*" in name:
            found = [row for row in found if row["NAME"].lower() not in exact]
        if value is None:
            yield from (("b_option", module, row["NAME"]) for row in found)
        elif [row["VALUE"] for row in found] != [str(value)]:
            yield "b_option", module, name
        if "b_option_site" in tables:
            sites = "SELECT DISTINCT NAME FROM b_option_site WHERE MODULE_ID = %s AND NAME LIKE %s"
            yield from (("b_option_site", module, row["NAME"]) for row in database.rows(sites, module, pattern))


def _pattern(name: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", name).replace("*", "%")


def _set_options(database: Database, wanted: Mapping[str, Any], tables: Tables) -> None:
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
    """What looks like a credential or an endpoint, by its name or by its value, and is covered by no rule.

    Returns:
        Columns as ``table.column``, and options as ``option MODULE.NAME``. A rule that deletes rows covers its table,
        one that changes them the columns that it sets.
    """
    tables = database.columns()
    covered, walked = _covered(rules, tables)
    covered |= set(acknowledged)
    own = _own_hosts(database, tables)
    found = []
    for table, columns in tables.items():
        if table in covered:
            continue
        for column, kind in columns.items():
            full = f"{table}.{column}"
            if full in covered or kind not in TEXTS:
                continue
            if credentials.SECRET.search(column):
                unknown = _is_filled(database, table, column)
            elif credentials.CONTAINER.search(column) and full not in walked:
                unknown = bool(_scrub(database, (table, [column]), tables, check=True))
            else:
                unknown = bool(credentials.ENDPOINT.search(column)) and _has_address(database, table, column, own)
            if unknown:
                found.append(full)
    return found + _unknown_options(database, rules, covered, own, tables)


def _covered(rules: Sequence[Mapping[str, Any]], tables: Tables) -> tuple[set[str], set[str]]:
    """What rules cover as a whole (tables, and columns with their names), and columns whose values they look into."""
    covered: set[str] = set()
    walked: set[str] = set()
    for rule in rules:
        if not applies(rule, tables):
            continue
        if "live" in rule:
            made = re.findall(r"(\w+)\s*=", rule.get("make", ""))
            covered |= {f"{rule['table']}.{column}" for column in made} if made else {rule["table"]}
            continue
        columns = {f"{table}.{column}" for table, names in _targets(rule, tables) for column in names}
        (walked if "walk" in rule else covered).update(columns)
    return covered, walked


def _own_hosts(database: Database, tables: Tables) -> list[str]:
    """The portal's own hosts, which are no endpoints of somebody else."""
    found = [_value(database, "main.server_name")] if "b_option" in tables else []
    for table, column in (("b_lang", "SERVER_NAME"), ("b_lang_domain", "DOMAIN")):
        if column in tables.get(table, ()):
            found += [row[column] for row in database.rows(f"SELECT {column} FROM {table}")]  # noqa: S608
    return list(old_hosts(host for host in found if host))


def _is_filled(database: Database, table: str, column: str) -> bool:
    filled = f"SELECT 1 FROM {quoted(table)} WHERE COALESCE({quoted(column)}, '') NOT IN ('', '0', 'N', 'Y') LIMIT 1"  # noqa: S608
    return bool(database.rows(filled))


_ADDRESS = r"://|^[a-z0-9_-]+([.][a-z0-9_-]+)*[.][a-z]{2,}(:[0-9]+)?/?$"
_IS_ADDRESS = re.compile(_ADDRESS, re.IGNORECASE)


def _has_address(database: Database, table: str, column: str, own: Sequence[str]) -> bool:
    """Whether a column holds an address that is not the portal's own."""
    name = f"LOWER({quoted(column)})"
    strange = "".join(f" AND {name} NOT LIKE %s" for _ in own)
    sql = f"SELECT 1 FROM {quoted(table)} WHERE {name} RLIKE %s{strange} LIMIT 1"  # noqa: S608
    return bool(database.rows(sql, _ADDRESS, *(f"%{_pattern(host)}%" for host in own)))


def _unknown_options(
    database: Database, rules: Sequence[Mapping[str, Any]], covered: set[str], own: Sequence[str], tables: Tables
) -> list[str]:
    names = [name for rule in rules for name in (*(rule.get("options") or ()), *(rule.get("fresh") or ()))]
    known = [credentials.matcher(name) for name in (*names, *covered) if "." in name]
    found: dict[str, None] = {}
    for table in ("b_option", "b_option_site"):
        if table not in tables:
            continue
        rows = database.rows(
            f"SELECT MODULE_ID, NAME, VALUE FROM {table}"  # noqa: S608
            " WHERE COALESCE(VALUE, '') NOT IN ('', '0', 'N', 'Y') ORDER BY 1, 2"
        )
        for row in rows:
            name = f"{row['MODULE_ID']}.{row['NAME']}"
            if name.startswith(OWN) or not _is_live_option(
                row["NAME"], row["VALUE"], own, looked_into=f"{table}.VALUE" in covered
            ):
                continue
            if not any(fits(name) for fits in known):
                found[f"option {name}"] = None
    return list(found)


def _is_live_option(name: str, value: str, own: Sequence[str], *, looked_into: bool) -> bool:
    """Whether an option is called like a credential, or has the shape of one, or is an address of somebody else.

    ``looked_into`` says that a rule empties what is a credential inside of options.
    """
    if credentials.SECRET.search(name) or credentials.HEX.fullmatch(value):
        return True
    if not looked_into and credentials.has_credentials(value):
        return True
    is_foreign = _IS_ADDRESS.search(value) is not None and not any(host in value.lower() for host in own)
    return is_foreign and credentials.ENDPOINT.search(name) is not None
