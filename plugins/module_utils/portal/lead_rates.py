"""When leads arrive, by hour of the week: for the forecast of how many fall into the gap."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from .site import Portal

WEEKS: Final = 4
_DAYS: Final = 7
_WINDOW: Final = "FROM b_crm_lead WHERE DATE_CREATE > %s AND DATE_CREATE <= %s"


def by_hour(portal: Portal) -> dict[str, Any]:
    """Count the leads of the last whole weeks (four at most) up to the newest one, by hour of the week.

    Returns:
        ``weeks`` that were counted, ``until`` when, and ``hours``: 168 numbers from Monday 00:00 in the portal's time.
        Empty without leads.
    """
    if not portal.has("b_crm_lead", "DATE_CREATE"):
        return {}
    span = portal.database.rows("SELECT MIN(DATE_CREATE) AS first, MAX(DATE_CREATE) AS last FROM b_crm_lead")[0]
    if span["last"] is None:
        return {}
    weeks = max(1, min(WEEKS, (span["last"] - span["first"]).days // _DAYS))
    window = (span["last"] - timedelta(weeks=weeks), span["last"])
    hours = [0] * (24 * _DAYS)
    counted = (
        f"SELECT WEEKDAY(DATE_CREATE) AS day, HOUR(DATE_CREATE) AS hour, COUNT(*) AS leads {_WINDOW} GROUP BY 1, 2"
    )
    for row in portal.database.rows(counted, *window):
        hours[int(row["day"]) * 24 + int(row["hour"])] = int(row["leads"])
    return {"weeks": weeks, "until": str(span["last"]), "hours": hours}
