"""A window full of records in a cloud: written into its database, as fast as that goes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from integration.carryover.portals import Site

_SYSTEM = "ID, DATE_CREATE, DATE_MODIFY, LAST_ACTIVITY_TIME, CREATED_BY_ID, MODIFY_BY_ID, ASSIGNED_BY_ID, OPENED"


def fill_window(cloud: Site, counts: Mapping[str, int]) -> str:
    """Make contacts with telephones, leads of contacts, and deals of contacts and leads.

    Args:
        cloud: where.
        counts: how many ``contacts``, ``leads`` and ``deals``; no more of the later ones than of the earlier.

    Returns:
        The moment from which on they count.
    """
    since = datetime.now(UTC).isoformat(timespec="seconds")
    time.sleep(1.1)
    last = {kind: int(cloud.value(f"SELECT MAX(ID) FROM b_crm_{kind}")) for kind in ("contact", "lead", "deal")}

    def fill(kind: str, columns: str, values: str) -> None:
        system = f"{last[kind]} + seq, NOW(), NOW(), NOW(), 1, 1, 2, 'Y'"
        cloud.sql(
            f"INSERT INTO b_crm_{kind} ({_SYSTEM}, {columns}) SELECT {system}, {values}"
            f" FROM seq_1_to_{counts[f'{kind}s']}"
        )

    contact, lead = f"{last['contact']} + seq", f"{last['lead']} + seq"
    fill("contact", "NAME, LAST_NAME, HAS_PHONE", "'Ana', CONCAT('bulk ', seq), 'Y'")
    fill("lead", "NAME, TITLE, STATUS_ID, STATUS_SEMANTIC_ID, CONTACT_ID",
         f"'Ana', CONCAT('bulk ', seq), 'NEW', 'P', {contact}")  # fmt: skip
    fill("deal", "TITLE, STAGE_ID, STAGE_SEMANTIC_ID, CONTACT_ID, LEAD_ID",
         f"CONCAT('bulk ', seq), 'NEW', 'P', {contact}, {lead}")  # fmt: skip
    cloud.sql(
        "INSERT INTO b_crm_field_multi (ENTITY_ID, ELEMENT_ID, TYPE_ID, VALUE_TYPE, COMPLEX_ID, VALUE)"
        f" SELECT 'CONTACT', {contact}, 'PHONE', 'WORK', 'PHONE_WORK', CONCAT('+34600', seq)"
        f" FROM seq_1_to_{counts['contacts']}"
    )
    for kind in ("lead", "deal"):
        cloud.sql(
            f"INSERT INTO b_crm_{kind}_contact ({kind.upper()}_ID, CONTACT_ID, SORT, IS_PRIMARY)"
            f" SELECT {last[kind]} + seq, {contact}, 10, 'Y' FROM seq_1_to_{counts[f'{kind}s']}"
        )
    time.sleep(1.1)
    return since
