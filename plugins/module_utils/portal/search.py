"""The search index: which engine, whether the index is there and whole, and whether known words find their records.

A backup may come without the index' rows, or with those of another engine; ``main.~ft_*`` are set aside when full-text
keys could not be made. Source: portal.md chapters 1.6, 3 (Search) and 5 (6).
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import pymysql

from ..errors import EncajaError
from .plan import Plan
from .site import Portal

ENGINES: Final = ("bitrix", "mysql", "sphinx")
_WORD: Final = re.compile(r"[^\W\d_]{6,30}")
INDEXED: Final = (
    ("tasks", "b_tasks", "ID", "TITLE"),
    ("crm", "b_crm_lead", "ID", "TITLE"),
    ("crm", "b_crm_deal", "ID", "TITLE"),
)


def plan_search(portal: Portal, engine: str, sphinx: str = "127.0.0.1:9306") -> Plan:
    """Choose the engine; what an import without full-text keys left behind is forgotten."""
    plan = Plan()
    portal.set_option(plan, "search", "full_text_engine", engine)
    if engine == "sphinx":
        portal.set_option(plan, "search", "sphinx_connection", sphinx)
    empty = "a:0:{}"
    for module, name in portal.options:
        if module == "main" and name.startswith("~ft_") and portal.options[module, name] == empty:
            portal.remove_option(plan, module, name)
    plan.report = index_state(portal, engine, sphinx)
    return plan


def index_state(portal: Portal, engine: str = "", sphinx: str = "") -> dict[str, Any]:
    """How many records are indexed, how many have their text, and known words that do not find their records.

    Args:
        portal: the portal.
        engine: the engine that searches; the portal's own by default.
        sphinx: address of Sphinx where it is the engine; the portal's own by default.
    """
    if not portal.has("b_search_content"):
        return {"records": 0, "texts": 0, "samples": [], "not_found": []}
    records = portal.database.count("SELECT COUNT(*) FROM b_search_content")
    texts = (
        portal.database.count("SELECT COUNT(*) FROM b_search_content_text")
        if portal.has("b_search_content_text")
        else 0
    )
    samples = [sample for source in INDEXED if (sample := _sample(portal, *source))]
    missing = [sample for sample in samples if not _finds(portal, sample)]
    if (engine or portal.option("search", "full_text_engine")) == "sphinx":
        address = sphinx or portal.option("search", "sphinx_connection", "127.0.0.1:9306")
        index = re.sub(r"\W", "", portal.option("search", "sphinx_index_name", "bitrix"))
        words = [sample["word"] for sample in samples]
        unknown = sphinx_unknown(address, index, words)
        missing += [sample for sample in samples if sample["word"] in unknown and sample not in missing]
    return {"records": records, "texts": texts, "samples": samples, "not_found": missing}


def sphinx_unknown(address: str, index: str, words: list[str]) -> set[str]:
    """The words that Sphinx finds in no document.

    Raises:
        EncajaError: there is no Sphinx at that address, or it has no such index.
    """
    host, _, port = address.partition(":")
    try:
        connection = pymysql.connect(
            host="127.0.0.1" if host == "localhost" else host, port=int(port or 9306), user="", autocommit=True,
            charset="utf8mb4", connect_timeout=10,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            found = set()
            for word in words:
                cursor.execute(f"SELECT id FROM {index} WHERE MATCH(%s) LIMIT 1", (word,))  # noqa: S608  letters only
                if cursor.fetchall():
                    found.add(word)
    except pymysql.MySQLError as fault:
        raise EncajaError(
            f"Sphinx does not answer: {fault}", address, "run role search, or take another engine"
        ) from fault
    return set(words) - found


def identity(portal: Portal) -> str:
    """What tells a copy from an earlier one in a database of the same name: each gets a key of its own."""
    return hashlib.sha256(portal.option("main", "server_uniq_id").encode()).hexdigest()[:16]


def needs_reindex(state: dict[str, Any]) -> bool:
    """Whether the index is empty, without texts, or does not find a word that stands in a record."""
    return not state["records"] or not state["texts"] or bool(state["not_found"])


def expected_records(portal: Portal) -> int:
    """About how many records a rebuild will index: as many as the last one, or as the largest sources have."""
    if last := int(portal.state().get("indexed", 0)):
        return last
    tables = ("b_tasks", "b_crm_lead", "b_crm_deal", "b_crm_contact", "b_crm_company", "b_blog_post")
    return sum(portal.database.count(f"SELECT COUNT(*) FROM {table}") for table in tables if portal.has(table))  # noqa: S608


def _sample(portal: Portal, module: str, table: str, key: str, column: str) -> dict[str, str] | None:
    if not portal.has(table, key, column):
        return None
    rows = portal.database.rows(f"SELECT {key} AS id, {column} AS text FROM {table} ORDER BY {key} DESC LIMIT 20")  # noqa: S608
    for row in rows:
        words = _WORD.findall(row["text"] or "")
        if words:
            return {"module": module, "table": table, "id": str(row["id"]), "word": max(words, key=len)}
    return None


def _finds(portal: Portal, sample: dict[str, str]) -> bool:
    # Records are indexed under different item ids ("12", "LEAD.12", "T12"), so the number is looked for at the end.
    return bool(
        portal.database.count(
            "SELECT COUNT(*) FROM b_search_content c WHERE c.MODULE_ID = %s AND c.ITEM_ID REGEXP %s AND"
            " (c.TITLE LIKE %s OR c.BODY LIKE %s)",
            sample["module"], f"(^|[^0-9]){sample['id']}$", f"%{sample['word']}%", f"%{sample['word']}%",
        )
    )  # fmt: skip
