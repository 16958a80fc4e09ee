"""Changing the dump's table definitions to what the target database is to have.

Rules: every table becomes InnoDB (the vendor's site checker wants it); row formats COMPACT, REDUNDANT and FIXED go;
MySQL 8's
``_0900_`` and MariaDB's ``_uca1400_`` collations become ``utf8mb4_unicode_ci`` on MariaDB, as the vendor's
documentation has it
there, whether or not the server has an alias for them; secondary keys are added after the rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_WORDS = re.compile(rb"'(?:[^'\\]|\\.|'')*'|`(?:[^`]|``)*`|\b[a-z0-9]+_[a-z0-9_]+\b", re.IGNORECASE | re.DOTALL)
_COLLATION = re.compile(
    rb"(?:ascii|binary|cp1251|koi8[ru]|latin[0-9]|ucs2|utf16|utf32|utf8|utf8mb3|utf8mb4)_\w+", re.IGNORECASE
)
_ENGINE = re.compile(rb"\b(?:ENGINE|TYPE)\s*=\s*(\w+)", re.IGNORECASE)
_ROW_FORMAT = re.compile(rb"\s*\bROW_FORMAT\s*=\s*(?:COMPACT|REDUNDANT|FIXED|PAGE)\b", re.IGNORECASE)
_CHARSET = re.compile(rb"\bDEFAULT CHARSET=(\w+)", re.IGNORECASE)
_TABLE_COLLATION = re.compile(rb"\bCOLLATE[ =]", re.IGNORECASE)
_KEY = re.compile(
    rb"(?:(?P<type>FULLTEXT|SPATIAL|UNIQUE) )?(?:KEY|INDEX) `(?P<name>(?:[^`]|``)+)` (?:USING \w+ )?\((?P<columns>.*)"
)
_FIRST_COLUMN = re.compile(rb"`((?:[^`]|``)+)`")
_DEFINER = re.compile(rb" DEFINER=(?:`(?:[^`]|``)*`|\S+?)@(?:`(?:[^`]|``)*`|\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class Collations:
    """What the target knows.

    Attributes:
        known: names of its collations.
        mariadb: whether it is MariaDB.
    """

    known: frozenset[str]
    mariadb: bool = True

    def map(self, name: str) -> str:
        """The collation to use for one of the source."""
        lower = name.lower()
        unicode_rules = "_0900_" in lower or "_uca1400_" in lower
        if lower in self.known and not (self.mariadb and unicode_rules):
            return lower
        charset = lower.partition("_")[0]
        kind = "bin" if lower.endswith(("_bin", "_cs")) else "unicode_ci"
        candidate = f"{charset}_{kind}"
        return candidate if candidate in self.known or not self.known else f"{charset}_general_ci"

    def rewrite(self, ddl: bytes) -> bytes:
        """Map the collations in a definition, but not in its strings and quoted names."""

        def change(found: re.Match[bytes]) -> bytes:
            word = found[0]
            return self.map(word.decode()).encode() if _COLLATION.fullmatch(word) else word

        return _WORDS.sub(change, ddl)


@dataclass(frozen=True)
class TablePlan:
    """How a table is made.

    Attributes:
        create: the CREATE TABLE statement, without the keys that come later.
        keys: definitions of the keys to add after the rows, by name.
        fulltext: definitions of FULLTEXT keys, by name; each is added alone and may fail.
    """

    create: bytes
    keys: dict[str, bytes] = field(default_factory=dict)
    fulltext: dict[str, bytes] = field(default_factory=dict)


def plan_table(ddl: bytes, collations: Collations, database_collation: str | None = None) -> TablePlan:
    """Plan a table from its CREATE TABLE statement.

    Args:
        ddl: as SHOW CREATE TABLE prints it: one column or key a line.
        collations: what the target knows.
        database_collation: for tables that name only a character set, whose default collation differs by server.
    """
    ddl = collations.rewrite(ddl)
    lines = ddl.split(b"\n")
    last = next((index for index in range(len(lines) - 1, 0, -1) if lines[index].startswith(b")")), None)
    if last is None:
        return TablePlan(_options(ddl, database_collation))
    options = _options(lines[last], database_collation)
    body = [line.strip().removesuffix(b",") for line in lines[1:last]]
    keys: dict[str, bytes] = {}
    fulltext: dict[str, bytes] = {}
    stay: list[bytes] = []
    increments = {found[1] for line in body if b" AUTO_INCREMENT" in line and (found := _FIRST_COLUMN.match(line))}
    covered = any(
        line.startswith(b"PRIMARY KEY") and (found := _FIRST_COLUMN.search(line)) and found[1] in increments
        for line in body
    )
    foreign = any(line.startswith(b"CONSTRAINT") for line in body)
    for line in body:
        key = _KEY.match(line)
        if key and key["type"] == b"FULLTEXT":
            fulltext[_unquoted(key["name"])] = line
        elif key and not foreign and key["type"] in (None, b"SPATIAL"):
            column = _FIRST_COLUMN.search(key["columns"])
            if increments and not covered and column and column[1] in increments:
                covered = True
                stay.append(line)
            else:
                keys[_unquoted(key["name"])] = line
        else:
            stay.append(line)
    if increments and not covered and not any(_leads(line, increments) for line in stay):
        # MyISAM numbers within a group; InnoDB wants the numbered column first in some key.
        stay.extend(b"KEY `encaja_%s` (`%s`)" % (name, name) for name in sorted(increments))
    create = lines[0] + b"\n  " + b",\n  ".join(stay) + b"\n" + options
    return TablePlan(create, keys, fulltext)


def _leads(line: bytes, columns: set[bytes]) -> bool:
    key = _KEY.match(line)
    column = _FIRST_COLUMN.search(key["columns"]) if key else None
    return bool(column and column[1] in columns)


def _unquoted(name: bytes) -> str:
    return name.replace(b"``", b"`").decode()


def _options(line: bytes, database_collation: str | None) -> bytes:
    line = _ROW_FORMAT.sub(b"", _ENGINE.sub(b"ENGINE=InnoDB", line))
    charset = _CHARSET.search(line)
    if charset and database_collation and not _TABLE_COLLATION.search(line):
        ours = database_collation.startswith(charset[1].decode().lower() + "_")
        addition = b" COLLATE=" + database_collation.encode() if ours else b""
        line = line[: charset.end()] + addition + line[charset.end() :]
    return line


def plan_view(ddl: bytes, collations: Collations) -> bytes:
    """The CREATE VIEW statement for the target: its definer is the user who restores it."""
    return collations.rewrite(_DEFINER.sub(b"", ddl, count=1))
