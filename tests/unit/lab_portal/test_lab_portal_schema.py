"""The stand-in's database is the real portal's, table by table, and the rules about a copy name columns that exist."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from support import silence_rules
from support.neutralise_rules import DEFAULTS, harmless, shipped
from unit.lab_portal.standin import LAB, PortalUnderTest

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted(LAB.glob("portal/www/bitrix/modules/*/install/mysql/install.sql"))
TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+) \((.*)\);")
PART = re.compile(r"(?:[^,(']|\((?:[^()]|\([^)]*\))*\)|'[^']*')+")
KEY = re.compile(r"(PRIMARY |UNIQUE |FULLTEXT |)KEY (?:`?(\w+)`? )?\((.*)\)")
COLUMN = re.compile(r"`?(\w+)`? (\w+)(\([^)]*\))?( unsigned)?(.*)")
SIZELESS = {"int", "tinyint", "smallint", "mediumint", "bigint"}
# Words of the rules' SQL that are no columns.
WORDS = {"AND", "OR", "NOT", "IN", "LIKE", "NULL", "COALESCE", "CONCAT", "CONCAT_WS", "LEFT"}

# What the facts name without its columns: tables of modules that the schema lacks, and of newer versions.
NOT_IN_THE_SCHEMA = {
    "b_sender_posting", "b_bp_messenger_workflow_start_message", "b_bp_messenger_workflow_resume_message",
    "b_calendar_messenger_message",
}  # fmt: skip
NEWER = {"b_rest_app": {"URL_SETTINGS"}}

Columns = dict[str, tuple[str, bool, bool]]
Keys = Counter[tuple[str, str]]


def declared() -> dict[str, tuple[Columns, Keys]]:
    """Every table of the modules' scripts: its columns (type, may be NULL, counts up) and its keys (kind, columns)."""
    found = {}
    for path in SCRIPTS:
        for line in path.read_text().splitlines():
            if table := TABLE.fullmatch(line):
                assert table[1] not in found, f"{table[1]} stands twice"
                found[table[1]] = _parts([part.strip() for part in PART.findall(table[2])])
            else:
                assert line.startswith("-- "), f"{path}: {line}"
    return found


def _parts(parts: list[str]) -> tuple[Columns, Keys]:
    columns: Columns = {}
    keys: Keys = Counter()
    for part in parts:
        if key := KEY.fullmatch(part):
            named = re.sub(r"[` ]|\bASC\b|\bDESC\b", "", key[3])
            # A prefix as long as its column is the whole column.
            whole = re.sub(r"(\w+)(\(\d+\))", lambda m: m[1] if columns[m[1]][0].endswith(m[2]) else m[0], named)
            keys[key[1].strip().lower(), whole] += 1
        elif column := COLUMN.fullmatch(part):
            size = "" if column[2] in SIZELESS else (column[3] or "")
            null = "NOT NULL" not in column[5]
            columns[column[1]] = (f"{column[2]}{size}{column[4] or ''}", null, "AUTO_INCREMENT" in column[5])
        else:
            raise AssertionError(part)
    return columns, keys


def there(portal: PortalUnderTest) -> dict[str, tuple[Columns, Keys]]:
    """The same of the database."""
    found: dict[str, tuple[Columns, Keys]] = {}
    for row in portal.sql("SELECT * FROM information_schema.COLUMNS WHERE TABLE_SCHEMA='portal' ORDER BY TABLE_NAME,"
                          " ORDINAL_POSITION"):  # fmt: skip
        kind = row["COLUMN_TYPE"]
        if row["DATA_TYPE"] in SIZELESS:
            kind = re.sub(r"\(\d+\)", "", kind)
        columns, _ = found.setdefault(row["TABLE_NAME"], ({}, Counter()))
        columns[row["COLUMN_NAME"]] = (kind, row["IS_NULLABLE"] == "YES", "auto_increment" in row["EXTRA"])
    parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in portal.sql("SELECT * FROM information_schema.STATISTICS WHERE TABLE_SCHEMA='portal' ORDER BY"
                          " SEQ_IN_INDEX"):  # fmt: skip
        parts.setdefault((row["TABLE_NAME"], row["INDEX_NAME"]), []).append(row)
    for (table, name), rows in parts.items():
        kind = "primary" if name == "PRIMARY" else "" if rows[0]["NON_UNIQUE"] else "unique"
        kind = "fulltext" if rows[0]["INDEX_TYPE"] == "FULLTEXT" else kind
        width = [f"({row['SUB_PART']})" if row["SUB_PART"] else "" for row in rows]
        found[table][1][kind, ",".join(row["COLUMN_NAME"] + w for row, w in zip(rows, width, strict=True))] += 1
    return found


def test_the_database_has_exactly_what_the_scripts_say(portal: PortalUnderTest) -> None:
    wanted, found = declared(), there(portal)
    # The key of the search engine mysql comes with its first use, in another test.
    found["b_search_content_text"][1].pop(("fulltext", "SEARCHABLE_CONTENT"), None)
    assert {table for table in found if table.startswith("b_")} == set(wanted), "but for a partner's own tables"
    differing = [(table, found[table], wanted[table]) for table in wanted if found[table] != wanted[table]]
    assert not differing, differing[0]


def test_it_is_the_whole_of_a_real_portal() -> None:
    tables = declared()
    assert len(tables) == 1369
    assert len(tables["b_user"][0]) == 63
    assert len([1 for columns, keys in tables.values() for kind, _ in keys if kind == "fulltext"]) == 29


@pytest.mark.parametrize("part", ["neutralise_rules", "neutralise_mask_rules", "neutralise_harmless", "settle_silence"])
def test_rules_name_tables_and_columns_that_exist(part: str) -> None:
    tables = {table: set(columns) for table, (columns, _) in declared().items()}
    found = {"neutralise_rules": shipped, "neutralise_harmless": harmless, "settle_silence": silence_rules.shipped}
    rules = found[part]() if part in found else DEFAULTS[part]
    wrong = []
    for rule in rules:
        named = {"table": rule} if isinstance(rule, str) and rule.startswith("b_") else rule
        if isinstance(named, str) or "table" not in named:
            continue
        table, _, column = named["table"].partition(".")
        sql = " ".join(str(named.get(key, "")) for key in ("live", "make", "where"))
        words = set(re.findall(r"\b[A-Z][A-Z_0-9]+\b", re.sub(r"'[^']*'|\{\{.*?\}\}", "", sql))) - WORDS
        lists = (name for key in ("columns", "needs", "empty", "scrub") for name in named.get(key, []))
        columns = {*words, *lists, *filter(None, [column, named.get("column")])} - NEWER.get(table, set())
        if table in NOT_IN_THE_SCHEMA or table.startswith("encaja_"):
            continue
        wrong += sorted(f"{table}.{name}" for name in columns - tables[table]) if table in tables else [table]
    assert wrong == []
