"""What is switched off in a portal's data from its restore to its release, and how it comes back byte for byte.

The constants of the freeze do not reach workflows, robots and triggers, which start at once when a record is made or
moved. Rules say what is switched off; a rule is one of

- ``{id, table, column, live, make}``: rows that ``live`` (a condition) finds get the value of ``make`` (an expression);
- ``{id, table, live, away: true}``: the rows go into a table of the kit's own;
- ``{id, options: {"module.name": value}}``: a value for an option, also where a site has its own.

``live`` must not find a row that is off. With ``once: true`` only rows that came with the backup are meant, not those
that are made in the box before its release: they are looked for until a run has come to its end, which a row notes.

What was there is kept in the portal's database, next to what was changed, so a restore brings its own and nothing else
has to be backed up. It is written before the rows change, and goes after they are back: a run that was cut off anywhere
is made good by the next one, also where tables know no transactions. A row that somebody changed meanwhile keeps what
it has. Source: behaviour.md 2.2 to 2.7.
"""

# ruff: noqa: S608  names of tables and columns are rules' or the database's own, and quoted

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ..errors import EncajaError
from .database import Database, quoted
from .plan import Plan

TABLE: Final = "encaja_held"
"""Values as they were, by table, column and row; and the prefix of the tables with rows that are away."""
AWAY: Final = f"{TABLE}_"
_COMPLETE: Final = "HELD_TABLE = '' AND HELD_COLUMN = '' AND HELD_ROW = ''"
_MAKE: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (HELD_TABLE varchar(64) NOT NULL, HELD_COLUMN varchar(64) NOT NULL,"
    " HELD_ROW varchar(180) NOT NULL, HELD_RULE varchar(64) NOT NULL, FORMER longtext, MADE longtext,"
    " PRIMARY KEY (HELD_TABLE, HELD_COLUMN, HELD_ROW)) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
)
_SHAPES: Final = (
    {"table", "column", "live", "make"},
    {"table", "live", "away"},
    {"options"},
)
_OPTIONAL: Final = {"id", "why", "once"}
_OPTION_TABLES: Final = ("b_option", "b_option_site")

Rule = Mapping[str, Any]


def check_rules(rules: Sequence[Rule]) -> None:
    """Refuse rules that cannot be run; names all faults.

    Raises:
        EncajaError: a rule has no id or one of another, or is none of the three kinds.
    """
    ids = [str(rule.get("id") or "") for rule in rules]
    faults = [f"rule number {number} has no id" for number, name in enumerate(ids, 1) if not name]
    faults += [
        f"two rules are called {name}" for name in sorted({name for name in ids if name and ids.count(name) > 1})
    ]
    faults += [
        f"rule {rule['id']} needs table, column, live and make, or table, live and away, or options"
        for rule in rules
        if rule.get("id") and set(rule) - _OPTIONAL not in _SHAPES
    ]
    if faults:
        raise EncajaError("; ".join(faults), "settle_silence", "see docs/settle.md")


def plan_hold(database: Database, plan: Plan, rules: Sequence[Rule]) -> None:
    """Switch off what the rules find live.

    Args:
        database: the portal's.
        plan: gets the statements.
        rules: what is meant.

    Raises:
        EncajaError: a rule does not fit the portal.
    """
    check_rules(rules)
    tables = database.columns()
    complete = is_complete(database)
    meant = [rule for rule in rules if not (complete and rule.get("once"))]
    made: list[str] = [] if TABLE in tables or not rules else [TABLE]
    changes = Plan()
    for rule in meant:
        if "options" in rule:
            _hold_options(database, changes, rule, tables)
        elif rule["table"] in tables and (count := _count(database, rule)):
            if "away" in rule:
                if AWAY + rule["table"] not in tables:
                    made.append(AWAY + rule["table"])
                _move_away(database, changes, rule, count, tables)
            else:
                _switch_off(database, changes, rule, count)
    for name in made:  # first: they end the transaction
        table = name.removeprefix(AWAY)
        sql = _MAKE if name == TABLE else f"CREATE TABLE IF NOT EXISTS {quoted(name)} LIKE {quoted(table)}"
        plan.statement(name, sql, after="(made)")
    plan.extend(changes)
    if rules and not complete:
        plan.statement(TABLE, f"INSERT IGNORE INTO {TABLE} VALUES ('', '', '', '', NULL, NULL)")


def is_complete(database: Database) -> bool:
    """Whether everything that came with the backup has been looked at: what is live now was made in the box."""
    return TABLE in database.columns() and bool(database.count(f"SELECT COUNT(*) FROM {TABLE} WHERE {_COMPLETE}"))


def plan_release(database: Database, plan: Plan) -> None:
    """Put everything back that is held, whatever the rules say by now; warns of what cannot be put back."""
    tables = database.columns()
    if TABLE not in tables:
        return
    groups = database.rows(
        f"SELECT HELD_TABLE AS t, HELD_COLUMN AS c, COUNT(*) AS n FROM {TABLE} WHERE NOT ({_COMPLETE})"
        " GROUP BY HELD_TABLE, HELD_COLUMN"
    )
    for group in groups:
        if group["t"] in _OPTION_TABLES:
            continue
        if group["c"] in tables.get(group["t"], {}):
            _switch_on(database, plan, group["t"], group["c"], group["n"])
        else:
            plan.warnings.append(f"{group['n']} held values of {group['t']}.{group['c']} have no place any more")
    _release_options(database, plan)
    for name in tables:
        if name.startswith(AWAY):
            _move_back(database, plan, name, tables)
    if is_complete(database):
        plan.statement(TABLE, f"DELETE FROM {TABLE} WHERE {_COMPLETE}")


def drop_empty(database: Database) -> None:
    """Remove the kit's own tables when nothing is held any more; no part of a plan, because it ends a transaction."""
    own = [name for name in database.columns() if name == TABLE or name.startswith(AWAY)]
    if own and not any(database.count(f"SELECT COUNT(*) FROM {quoted(name)}") for name in own):
        database.execute(f"DROP TABLE IF EXISTS {', '.join(map(quoted, own))}")


def held(database: Database) -> dict[str, int]:
    """How many values and rows are held, by rule or table."""
    tables = database.columns()
    if TABLE not in tables:
        return {}
    rows = database.rows(
        f"SELECT HELD_RULE AS rule, COUNT(*) AS n FROM {TABLE} WHERE NOT ({_COMPLETE}) GROUP BY HELD_RULE"
    )
    counts = {str(row["rule"]): int(row["n"]) for row in rows}
    for name in tables:
        if name.startswith(AWAY):
            counts[name.removeprefix(AWAY)] = database.count(f"SELECT COUNT(*) FROM {quoted(name)}")
    return {name: count for name, count in counts.items() if count}


def live(database: Database, rules: Sequence[Rule], *, again: bool = False) -> dict[str, int]:
    """How much each rule finds that is not switched off."""
    tables = database.columns()
    found = {}
    for rule in rules:
        if again and rule.get("once"):
            continue
        if "options" in rule:
            found[rule["id"]] = sum(1 for _ in _other_options(database, rule["options"], tables))
        elif rule["table"] in tables:
            found[rule["id"]] = _count(database, rule)
    return {name: count for name, count in found.items() if count}


def _count(database: Database, rule: Rule) -> int:
    return database.count(f"SELECT COUNT(*) FROM {quoted(rule['table'])} WHERE {rule['live']}")


def _key(database: Database, table: str) -> str:
    key = database.primary_key(table)
    if len(key) != 1:
        raise EncajaError(f"{table} has no key of one column", f"database {database.name}", "correct settle_silence")
    return key[0]


def _kept_times(database: Database, table: str) -> str:
    """Assignments that keep columns from noting the time of the change, to follow others."""
    rows = database.rows(f"SHOW COLUMNS FROM {quoted(table)} WHERE Extra LIKE '%on update%'")
    return "".join(f", t.{name} = t.{name}" for name in (quoted(row["Field"]) for row in rows))


def _switch_off(database: Database, plan: Plan, rule: Rule, count: int) -> None:
    table, column, name = rule["table"], quoted(rule["column"]), quoted(rule["table"])
    key = quoted(_key(database, table))
    made, live_rows = (str(rule[part]).replace("%", "%%") for part in ("make", "live"))
    plan.statement(
        TABLE,
        f"INSERT INTO {TABLE} SELECT %s, %s, {key}, %s, {column}, {made} FROM {name} WHERE {live_rows}"
        " ON DUPLICATE KEY UPDATE HELD_RULE = VALUES(HELD_RULE), FORMER = VALUES(FORMER), MADE = VALUES(MADE)",
        (table, rule["column"], rule["id"]),
    )
    plan.statement(
        table,
        f"UPDATE {name} t JOIN {TABLE} ON t.{key} = CAST(HELD_ROW AS UNSIGNED)"
        f" SET t.{column} = MADE{_kept_times(database, table)}"
        f" WHERE HELD_TABLE = %s AND HELD_COLUMN = %s AND {_same(f't.{column}', 'FORMER')}",
        (table, rule["column"]),
        f"{rule['id']}: {count} live",
        f"{rule['id']}: {count} off",
    )


def _switch_on(database: Database, plan: Plan, table: str, column: str, count: int) -> None:
    name, key = quoted(table), quoted(_key(database, table))
    joined = f"{name} t JOIN {TABLE} ON t.{key} = CAST(HELD_ROW AS UNSIGNED)"
    where = f"HELD_TABLE = %s AND HELD_COLUMN = %s AND {_same(f't.{quoted(column)}', 'MADE')}"
    back = database.count(f"SELECT COUNT(*) FROM {joined} WHERE {where}", table, column)
    if back < count:
        plan.warnings.append(
            f"{count - back} of {count} held values of {table}.{column} were changed or removed meanwhile, and stay so"
        )
    plan.statement(
        table,
        f"UPDATE {joined} SET t.{quoted(column)} = FORMER{_kept_times(database, table)} WHERE {where}",
        (table, column),
        f"{column}: {back} off",
        f"{column}: {back} as before",
    )
    plan.statement(TABLE, f"DELETE FROM {TABLE} WHERE HELD_TABLE = %s AND HELD_COLUMN = %s", (table, column))


def _same(value: str, kept: str) -> str:
    return f"CONVERT({value} USING utf8mb4) COLLATE utf8mb4_bin <=> {kept}"


def _move_away(database: Database, plan: Plan, rule: Rule, count: int, tables: Mapping[str, Any]) -> None:
    table, name, away = rule["table"], quoted(rule["table"]), quoted(AWAY + rule["table"])
    key = quoted(_key(database, table))
    columns = ", ".join(quoted(column) for column in tables[table])
    # REPLACE: what was registered anew counts, not what was away already.
    plan.statement(
        AWAY + table,
        f"REPLACE INTO {away} ({columns}) SELECT {columns} FROM {name} WHERE {rule['live']}",
    )
    plan.statement(
        table,
        f"DELETE FROM {name} WHERE {rule['live']} AND {key} IN (SELECT {key} FROM {away})",
        (),
        f"{rule['id']}: {count} rows",
        f"{rule['id']}: none",
    )


def _move_back(database: Database, plan: Plan, away: str, tables: Mapping[str, Any]) -> None:
    table = away.removeprefix(AWAY)
    count = database.count(f"SELECT COUNT(*) FROM {quoted(away)}")
    if not count:
        return
    if table not in tables:
        plan.warnings.append(f"{count} held rows of {table} have no place any more")
        return
    columns = ", ".join(quoted(column) for column in tables[away] if column in tables[table])
    plan.statement(
        table,
        f"INSERT IGNORE INTO {quoted(table)} ({columns}) SELECT {columns} FROM {quoted(away)}",
        (),
        f"{count} rows away",
        f"{count} rows as before",
    )
    plan.statement(away, f"DELETE FROM {quoted(away)}")


def _other_options(
    database: Database, wanted: Mapping[str, Any], tables: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, str], str, str | None, str]]:
    """Options with another value: their table, their key, their name, the value (None: not set), the one wanted."""
    for name, value in wanted.items():
        module, _, option = name.partition(".")
        key = {"MODULE_ID": module, "NAME": option}
        if "b_option" in tables:
            found = database.rows("SELECT VALUE FROM b_option WHERE MODULE_ID = %s AND NAME = %s", module, option)
            current = str(found[0]["VALUE"] or "") if found else None
            if current != str(value):
                yield "b_option", key, name, current, str(value)
        if "b_option_site" in tables:
            for row in database.rows(
                "SELECT SITE_ID, VALUE FROM b_option_site WHERE MODULE_ID = %s AND NAME = %s", module, option
            ):
                if row["VALUE"] != str(value):
                    site = str(row["SITE_ID"])
                    yield "b_option_site", {**key, "SITE_ID": site}, f"{name} {site}", str(row["VALUE"]), str(value)


def _hold_options(database: Database, plan: Plan, rule: Rule, tables: Mapping[str, Any]) -> None:
    for table, key, row, former, value in _other_options(database, rule["options"], tables):
        plan.statement(
            TABLE,
            f"REPLACE INTO {TABLE} VALUES (%s, 'VALUE', %s, %s, %s, %s)",
            (table, row, rule["id"], former, value),
        )
        if former is None:
            plan.insert(table, {**key, "VALUE": value}, label=row)
        else:
            plan.update(table, key, {"VALUE": former}, {"VALUE": value})


def _release_options(database: Database, plan: Plan) -> None:
    for row in database.rows(f"SELECT * FROM {TABLE} WHERE HELD_TABLE IN %s", _OPTION_TABLES):
        name, _, site = row["HELD_ROW"].partition(" ")
        module, _, option = name.partition(".")
        key = {"MODULE_ID": module, "NAME": option, **({"SITE_ID": site} if site else {})}
        if row["FORMER"] is None:
            plan.delete(row["HELD_TABLE"], {**key, "VALUE": row["MADE"]}, row["MADE"])
        else:
            plan.update(
                row["HELD_TABLE"], {**key, "VALUE": row["MADE"]}, {"VALUE": row["MADE"]}, {"VALUE": row["FORMER"]}
            )
        plan.delete(TABLE, {"HELD_TABLE": row["HELD_TABLE"], "HELD_ROW": row["HELD_ROW"]}, "")
