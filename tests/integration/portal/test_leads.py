"""When leads arrive, as the restored CRM itself has it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from encaja.portal import lead_rates
from encaja.portal.site import Portal

pytestmark = pytest.mark.integration


def test_leads_are_counted_by_hour_of_the_last_whole_weeks(portal: Portal) -> None:
    portal.database.execute("DELETE FROM b_crm_lead")
    assert lead_rates.by_hour(portal) == {}
    newest = datetime(2026, 11, 26, 11, 30)  # a Thursday
    moments = [newest - timedelta(days=day, hours=day % 3) for day in range(20)] + [newest - timedelta(days=300)]
    for number, moment in enumerate(moments, 1):
        portal.database.execute("INSERT INTO b_crm_lead (ID, TITLE, DATE_CREATE) VALUES (%s, 'x', %s)", number, moment)
    found = lead_rates.by_hour(portal)
    assert (found["weeks"], found["until"]) == (4, "2026-11-26 11:30:00")
    assert sum(found["hours"]) == 20
    assert found["hours"][3 * 24 + 11] == 1
    portal.database.execute("DELETE FROM b_crm_lead WHERE ID > 16")
    found = lead_rates.by_hour(portal)
    assert (found["weeks"], sum(found["hours"])) == (2, 14)
