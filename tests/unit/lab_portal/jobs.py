"""A stand-in portal with work of its own waiting, and the ways in which that is run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from unit.lab_portal.standin import PortalUnderTest

PERIODIC, OTHER = "CTest::periodic();", "CTest::other();"
LESSON = """<?php
$_SERVER['DOCUMENT_ROOT'] = realpath(__DIR__ . '/../..');
define('NO_KEEP_STATISTIC', true);
define('NOT_CHECK_PERMISSIONS', true);
define('CHK_EVENT', true);
require $_SERVER['DOCUMENT_ROOT'] . '/bitrix/modules/main/include/prolog_before.php';
CAgent::CheckAgents();
define('BX_CRONTAB', true);
@define('BX_CRONTAB_SUPPORT', true);
CEvent::CheckEvents();
"""
PRODUCT = "bitrix/modules/main/tools/cron_events.php"
KIT = Path(__file__).parents[3] / "roles/portal/files/portal_cron.php"
TYPES = {"N": "N", "P": "Y"}


class Jobs:
    """A portal with one agent of each kind and one mail, all due."""

    def __init__(self, portal: PortalUnderTest) -> None:
        self.portal = portal
        self.dbconn = portal.root / "bitrix/php_interface/dbconn.php"
        self.thawed = self.dbconn.read_text().replace(
            "define('NO_AGENT_CHECK', true);\ndefine('DisableEventsCheck', true);\n", ""
        )
        self.lesson = portal.root / "bitrix/php_interface/cron_events.php"
        self.lesson.write_text(LESSON)
        template = portal.sql("SELECT * FROM b_event WHERE EVENT_NAME='IM_NEW_NOTIFY' ORDER BY ID LIMIT 1")[0]
        self.fields = template["C_FIELDS"]

    def constants(self, text: str) -> None:
        self.dbconn.write_text(f"{self.thawed}{text}\n")

    def agent(self, name: str, period: str = "N", **columns: object) -> None:
        row = {
            "MODULE_ID": "main", "NAME": name, "ACTIVE": "Y", "IS_PERIOD": period, "NEXT_EXEC": "2020-01-01 00:00:00",
            "AGENT_INTERVAL": 3600, "SORT": 100,
        } | columns  # fmt: skip
        names = ",".join(row)
        self.portal.sql(f"INSERT INTO b_agent ({names}) VALUES ({','.join(['%s'] * len(row))})", *row.values())

    def mail(self, number: int = 1, **columns: object) -> None:
        row = {
            "EVENT_NAME": "IM_NEW_NOTIFY", "LID": "s1", "C_FIELDS": self.fields, "SUCCESS_EXEC": "N",
            "DATE_INSERT": "2020-01-01 00:00:00",
        } | columns  # fmt: skip
        for _ in range(number):
            self.portal.sql(
                f"INSERT INTO b_event ({','.join(row)}) VALUES ({','.join(['%s'] * len(row))})", *row.values()
            )

    def reset(self) -> None:
        self.portal.sql("DELETE FROM b_agent")
        self.portal.sql("DELETE FROM b_event")
        self.portal.purge()

    def run(self, way: str) -> subprocess.CompletedProcess[str] | None:
        if way == "page":
            self.portal.client().get("/")
            return None
        files = {
            "product": [str(self.portal.root / PRODUCT)],
            "lesson": [str(self.lesson)],
            "kit": [str(KIT), str(self.portal.root)],
        }
        return subprocess.run(
            ["php", "-d", f"sendmail_path={self.portal.mails}/send", *files[way]],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    def outcome(self, way: str) -> str:
        """Which kinds of agents, and whether mail, one run takes: ``NP/mail``, ``-/-``."""
        self.reset()
        self.agent(PERIODIC, "Y")
        self.agent(OTHER, "N")
        self.mail()
        self.run(way)
        ran = [
            kind
            for kind, value in TYPES.items()
            if self.portal.value("SELECT LAST_EXEC FROM b_agent WHERE IS_PERIOD=%s", value)
        ]
        sent = self.portal.value("SELECT SUCCESS_EXEC FROM b_event") == "Y"
        return f"{''.join(ran) or '-'}/{'mail' if sent else '-'}"

    def rows(self, name: str) -> dict[str, object]:
        return self.portal.sql("SELECT * FROM b_agent WHERE NAME=%s", name)[0]


def leave_message(jobs: Jobs, address: str = "", number: int = 1) -> None:
    for _ in range(number):
        jobs.portal.sql(
            "INSERT INTO b_main_messenger_message (QUEUE_ID, CLASS, PAYLOAD, CREATED_AT, UPDATED_AT, TTL,"
            " AVAILABLE_AT, STATUS) VALUES ('calendar', 'Test', %s, NOW(), NOW(), 5, NOW(), 'new')",
            json.dumps({"url": address} if address else {}),
        )


def messages(jobs: Jobs) -> object:
    return jobs.portal.value("SELECT COUNT(*) FROM b_main_messenger_message WHERE QUEUE_ID='calendar'")
