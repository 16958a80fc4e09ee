"""Personal data of a copy: masked in the same way everywhere, and test users.

A masked value is made from the real one with a key that never leaves the copy's host, so the same name, number or
address becomes the same mask in every table, and a mask does not lead back to the person. A mask shows that it is
one (``Olmo-1f3a``, ``+000123456789``, ``…@masked.invalid``), so masking can be cut off and run again at any time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import EncajaError
from .database import Database, quoted
from .files import Attributes, write
from .serialized import serialize

KEY_FILE: Final = Path("/var/lib/encaja/mask.key")
TEST_USER_MARK: Final = "encaja-test"
MARKER: Final = ("main", "encaja_test_users")
MASKED_HOST: Final = "masked.invalid"
_WORDS: Final = (
    "Abeto", "Acacia", "Alerce", "Aliso", "Almez", "Arce", "Avellano", "Boj", "Brezo", "Cedro", "Chopo", "Encina",
    "Endrino", "Enebro", "Fresno", "Haya", "Jara", "Laurel", "Lentisco", "Nogal", "Olivo", "Olmo", "Pino", "Quejigo",
    "Roble", "Sabina", "Sauce", "Serbal", "Tejo", "Tilo", "Tomillo", "Zarza",
)  # fmt: skip
_NAME: Final = re.compile(rf"(?:{'|'.join(_WORDS)})-[0-9a-f]{{4}}")
_PHONE: Final = re.compile(r"\+000\d{9}")
_MAIL: Final = re.compile(rf"[0-9a-f]{{12}}@{re.escape(MASKED_HOST)}")
_SIGNIFICANT: Final = 9
_BATCH: Final = 2000
_KEYS: Final = {"id", "why", "table", "columns", "as", "where"}


class Mask:
    """The masks of one copy.

    Args:
        key: what they are made with.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def _number(self, kind: str, text: str) -> int:
        return int.from_bytes(hmac.new(self._key, f"{kind}:{text}".encode(), hashlib.sha256).digest(), "big")

    def name(self, text: str) -> str:
        """Every word becomes another, whatever its case and punctuation: ``García`` and ``GARCÍA,`` are the same."""
        return " ".join(self._word(word) for word in text.split())

    def _word(self, word: str) -> str:
        plain = word.strip(".,;:()\"'").casefold()
        if _NAME.fullmatch(word) or not any(map(str.isalnum, plain)):
            return word
        number = self._number("name", plain)
        return f"{_WORDS[number % len(_WORDS)]}-{number >> 8 & 0xFFFF:04x}"

    def phone(self, text: str) -> str:
        """The last nine digits count, so ``+34 600 123 456`` and ``600123456`` become the same number."""
        digits = re.sub(r"\D", "", text)
        if not text.strip() or _PHONE.fullmatch(text):
            return text
        return f"+000{self._number('phone', digits[-_SIGNIFICANT:] or text) % 10**9:09d}"

    def mail(self, text: str) -> str:
        """An address that exists nowhere; its case does not matter."""
        if not text.strip() or _MAIL.fullmatch(text):
            return text
        return f"{self._number('mail', text.strip().casefold()) & 0xFFFFFFFFFFFF:012x}@{MASKED_HOST}"

    def login(self, text: str) -> str:
        """A log-in name that is a mail address is masked as one; any other stays, so that people can log in."""
        return self.mail(text) if "@" in text else text


KINDS: Final[Mapping[str, Callable[[Mask, str], str]]] = {
    "name": Mask.name,
    "phone": Mask.phone,
    "mail": Mask.mail,
    "login": Mask.login,
}


NOTHING: Final = "nothing"
"""The kind of free texts and addresses, which are emptied."""


@dataclass(frozen=True)
class Masked:
    """What one rule did: ``rows`` that were masked (or are to be), or that it does not apply."""

    id: str
    rows: int
    state: str


def check_rules(rules: Sequence[Mapping[str, Any]]) -> None:
    """Refuse rules that cannot be run; names all faults.

    Raises:
        EncajaError: a key is missing or unknown, or there is no such kind.
    """
    faults = []
    for number, rule in enumerate(rules, 1):
        name = str(rule.get("id") or f"number {number}")
        if missing := {"id", "table", "columns", "as"} - set(rule):
            faults.append(f"rule {name} lacks {', '.join(sorted(missing))}")
        if unknown := set(rule) - _KEYS:
            faults.append(f"rule {name} has unknown keys {', '.join(sorted(unknown))}")
        if rule.get("as", NOTHING) not in {*KINDS, NOTHING}:
            faults.append(f"rule {name} has as: {rule['as']}, there are {', '.join((*KINDS, NOTHING))}")
    if faults:
        raise EncajaError("; ".join(faults), "neutralise_mask_rules", "see docs/clone.md")


def read_key(path: Path = KEY_FILE) -> bytes:
    """The key of this copy's masks, made once and kept where only root reads it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, secrets.token_hex(32).encode(), Attributes(mode=0o600))
    return path.read_bytes()


def mask(database: Database, rules: Sequence[Mapping[str, Any]], key: bytes, check: bool) -> list[Masked]:
    """Mask what the rules name (in check mode: count it), then prove that nothing unmasked is left.

    Raises:
        EncajaError: a rule cannot be run, or values are unmasked after it ran.
    """
    check_rules(rules)
    columns = _Columns(database, Mask(key), _widths(database))
    done = []
    left = []
    for rule in rules:
        present = [column for column in rule["columns"] if column.upper() in columns.widths.get(rule["table"], {})]
        rows = sum(columns.mask(rule, column, check) for column in present)
        if not check and any(columns.mask(rule, column, check=True) for column in present):
            left.append(str(rule["id"]))
        done.append(Masked(str(rule["id"]), rows, ("changed" if rows else "masked") if present else "absent"))
    if left:
        raise EncajaError(f"still not masked: {', '.join(left)}", f"database {database.name}", "run it again")
    return done


def _widths(database: Database) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in database.rows(
        "SELECT TABLE_NAME AS t, COLUMN_NAME AS c, CHARACTER_MAXIMUM_LENGTH AS w FROM information_schema.COLUMNS"
        " WHERE TABLE_SCHEMA = %s AND CHARACTER_MAXIMUM_LENGTH IS NOT NULL",
        database.name,
    ):
        found.setdefault(row["t"], {})[row["c"].upper()] = int(row["w"])
    return found


def _fitting(text: str, width: int) -> str:
    """Whole words only: half a mask would not be known as one."""
    while len(text) > width:
        text = text.rpartition(" ")[0]
    return text


@dataclass(frozen=True)
class _Columns:
    """Masks the columns of a database, given how many characters each holds."""

    database: Database
    masks: Mask
    widths: Mapping[str, Mapping[str, int]]

    def mask(self, rule: Mapping[str, Any], column: str, check: bool) -> int:
        """Mask one column; returns the number of its rows that were (in check mode: are) not masked."""
        table, name = quoted(rule["table"]), quoted(column)
        where = f"{name} <> ''" + (f" AND ({rule['where']})" if rule.get("where") else "")
        if rule["as"] == NOTHING:
            rows = self.database.count(f"SELECT COUNT(*) FROM {table} WHERE {where}")  # noqa: S608
            if rows and not check:
                self.database.execute(f"UPDATE {table} SET {name} = '' WHERE {where}")  # noqa: S608
            return rows
        rows, wanted = self._wanted(rule, column, where)
        if not check:
            for batch in _batches(list(wanted.items())):
                self._write(table, name, where, batch)
        return rows

    def _wanted(self, rule: Mapping[str, Any], column: str, where: str) -> tuple[int, dict[bytes, str]]:
        """The rows that are not masked, and the mask of every value in them."""
        held = f"CAST(CONVERT({quoted(column)} USING utf8mb4) AS BINARY)"
        found = self.database.rows(
            f"SELECT {held} AS v, COUNT(*) AS n FROM {quoted(rule['table'])} WHERE {where} GROUP BY 1"  # noqa: S608
        )
        width = self.widths[rule["table"]][column.upper()]
        rows, wanted = 0, {}
        for row in found:
            text = bytes(row["v"]).decode("utf-8", "replace")
            made = _fitting(KINDS[rule["as"]](self.masks, text), width)
            if made != text:
                wanted[bytes(row["v"])] = made
                rows += int(row["n"])
        return rows, wanted

    def _write(self, table: str, name: str, where: str, batch: Sequence[tuple[bytes, str]]) -> None:
        self.database.execute(
            "CREATE OR REPLACE TEMPORARY TABLE encaja_mask (real_value VARBINARY(1020) NOT NULL PRIMARY KEY, mask TEXT)"
        )
        places = ", ".join(["(%s, %s)"] * len(batch))
        flat = [item for pair in batch for item in pair]
        self.database.execute(f"REPLACE INTO encaja_mask VALUES {places}", *flat)  # noqa: S608
        self.database.execute(
            f"UPDATE {table} JOIN encaja_mask ON real_value = CAST(CONVERT({name} USING utf8mb4) AS BINARY)"  # noqa: S608
            f" SET {name} = mask WHERE {where}"
        )
        self.database.execute("DROP TEMPORARY TABLE encaja_mask")


def _batches(items: list[tuple[bytes, str]]) -> Iterator[list[tuple[bytes, str]]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def hashed(password: str, salt: str = "") -> str:
    """A password as the portal keeps it: SHA-512 crypt (``$6$``). Source: portal.md 3.

    Raises:
        EncajaError: openssl is missing or fails.
    """
    command = ["openssl", "passwd", "-6", *(["-salt", salt] if salt else []), "-stdin"]
    try:
        return subprocess.run(command, input=password, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as fault:
        raise EncajaError(f"a password cannot be hashed: {fault}", "openssl", "install the package openssl") from fault


def converge_users(database: Database, wanted: Sequence[Mapping[str, Any]], check: bool) -> list[str]:
    """Make the copy's test users as wanted; those no longer wanted cannot log in any more.

    Args:
        database: the copy's.
        wanted: users with ``login``, ``password`` and perhaps ``name``, ``last_name``, ``email``, ``groups`` (numbers
            of user groups) and ``department``.
        check: only report what would change.

    Returns:
        The log-in names of users that were made or changed.

    Raises:
        EncajaError: a wanted log-in name belongs to a real user, or an entry is incomplete.
    """
    _check_users(database, wanted)
    present = {
        row["LOGIN"]: row
        for row in database.rows(
            "SELECT ID, LOGIN, PASSWORD, NAME, LAST_NAME, EMAIL, ACTIVE FROM b_user WHERE XML_ID = %s", TEST_USER_MARK
        )
    }
    changed = []
    with database.transaction():
        for user in wanted:
            if _converge(database, user, present.get(user["login"]), check):
                changed.append(str(user["login"]))
        for login, row in present.items():
            if login not in {user["login"] for user in wanted} and row["ACTIVE"] == "Y":
                changed.append(str(login))
                if not check:
                    database.execute("UPDATE b_user SET ACTIVE = 'N', PASSWORD = '' WHERE ID = %s", row["ID"])
                    database.execute("DELETE FROM b_user_group WHERE USER_ID = %s", row["ID"])
        if changed and not check:
            database.execute("REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES (%s, %s, 'Y')", *MARKER)
    return changed


def _check_users(database: Database, wanted: Sequence[Mapping[str, Any]]) -> None:
    faults = []
    logins = [str(user.get("login", "")) for user in wanted]
    for number, user in enumerate(wanted, 1):
        if not user.get("login") or not user.get("password"):
            faults.append(f"user {user.get('login') or f'number {number}'} needs login and password")
    faults += [f"two users are called {login}" for login in sorted({one for one in logins if logins.count(one) > 1})]
    taken = [
        login
        for login in logins
        if database.count(
            "SELECT COUNT(*) FROM b_user WHERE LOGIN = %s AND COALESCE(XML_ID, '') <> %s", login, TEST_USER_MARK
        )
    ]
    faults += [f"{login} is a real user" for login in taken]
    if faults:
        raise EncajaError("; ".join(faults), "neutralise_test_users", "see docs/clone.md")


def _converge(database: Database, user: Mapping[str, Any], row: Mapping[str, Any] | None, check: bool) -> bool:
    """Make or change one test user; returns whether there was anything to do."""
    login = str(user["login"])
    wanted_values = {
        "NAME": str(user.get("name") or login),
        "LAST_NAME": str(user.get("last_name") or "(test)"),
        "EMAIL": str(user.get("email") or f"{login}@{MASKED_HOST}"),
        "ACTIVE": "Y",
    }
    groups = {int(group) for group in user.get("groups") or (2,)}
    if row is not None:
        salt = str(row["PASSWORD"]).split("$")[2] if str(row["PASSWORD"]).startswith("$6$") else ""
        same = salt and hashed(str(user["password"]), salt) == row["PASSWORD"]
        held = {
            int(one["GROUP_ID"])
            for one in database.rows("SELECT GROUP_ID FROM b_user_group WHERE USER_ID = %s", row["ID"])
        }
        if same and groups == held and all(row[column] == value for column, value in wanted_values.items()):
            return False
    if check:
        return True
    values = {**wanted_values, "PASSWORD": hashed(str(user["password"])), "XML_ID": TEST_USER_MARK}
    if row is None:
        columns = ", ".join(["LOGIN", "DATE_REGISTER", *values])
        marks = ", ".join(["%s", "NOW()", *["%s"] * len(values)])
        database.execute(f"INSERT INTO b_user ({columns}) VALUES ({marks})", login, *values.values())  # noqa: S608
    else:
        sets = ", ".join(f"{column} = %s" for column in values)
        database.execute(f"UPDATE b_user SET {sets} WHERE ID = %s", *values.values(), row["ID"])  # noqa: S608
    number = database.count("SELECT ID FROM b_user WHERE LOGIN = %s AND XML_ID = %s", login, TEST_USER_MARK)
    database.execute("DELETE FROM b_user_group WHERE USER_ID = %s", number)
    for group in sorted(groups):
        database.execute("INSERT INTO b_user_group (USER_ID, GROUP_ID) VALUES (%s, %s)", number, group)
    if user.get("department"):
        departments = serialize({0: int(user["department"])}).decode()
        database.execute("REPLACE INTO b_uts_user (VALUE_ID, UF_DEPARTMENT) VALUES (%s, %s)", number, departments)
    return True
