"""The licence of the stand-in: where it leads when it has ended, how many it lets in, and the updates that it opens."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import pytest

from encaja.portal import licence
from encaja.portal.site import Portal
from support.update_service import serving_updates
from unit.lab_portal.jobs import OTHER, Jobs, leave_message, messages
from unit.lab_portal.standin import PortalUnderTest, logged_in, login, until

pytestmark = pytest.mark.integration
COUPON = "/bitrix/coupon_activation.php"
END = "~support_finish_date"


def day(shift: int) -> str:
    return str(datetime.date.today() + datetime.timedelta(days=shift))


@pytest.mark.parametrize(("end", "shut"), [(day(1), False), (day(-14), False), (day(-16), True), ("31.12.2099", True)])
def test_fifteen_days_after_the_end_every_page_leads_to_where_a_licence_is_entered(
    portal: PortalUnderTest, end: str, shut: bool
) -> None:
    portal.option("main", END, end)
    client = portal.client()
    for path in ("/", "/auth/", "/stream/", "/online/", f"/rest/{portal.hook}/server.time", "/no/such/page/"):
        answer = client.get(path, follow_redirects=False)
        assert (answer.status_code == 302 and answer.headers["location"] == COUPON) == shut, path
    assert client.get(COUPON).status_code == 200
    assert client.get("/bitrix/services/main/ajax.php").status_code == 401
    if shut:
        assert portal.php(
            "-r", "require 'bitrix/modules/main/include/prolog_before.php'; echo 'past the prolog';"
        ) == "", "a script ends without a word"  # fmt: skip


def test_the_key_alone_shuts_nothing_and_shows_in_a_header(portal: PortalUnderTest) -> None:
    file = portal.root / "bitrix/license_key.php"
    text = file.read_text()
    shown = portal.client().get("/").headers["x-powered-cms"]
    file.write_text("<?php\n$LICENSE_KEY = 'DEMO';\n")
    try:
        answer = portal.client().get("/", follow_redirects=False)
    finally:
        file.write_text(text)
    assert answer.status_code == 200
    assert answer.headers["x-powered-cms"] == "Bitrix Site Manager (DEMO)" != shown


def test_the_portal_says_of_its_licence_what_the_checks_read(portal: PortalUnderTest, tmp_path: Path) -> None:
    known = licence.read_licence(Portal(portal.root, tmp_path))
    assert known.end is not None and known.end > datetime.date.today() + datetime.timedelta(days=200)
    assert (known.users, known.sites, known.faults) == (250, 2, ()) and known.name and known.codes


def test_in_a_shut_box_agents_and_mail_stand_still_and_the_messenger_goes_on(jobs: Jobs) -> None:
    jobs.constants("")
    jobs.reset()
    jobs.agent(OTHER)
    jobs.mail()
    leave_message(jobs)
    jobs.portal.option("main", END, day(-30))
    for way in ("product", "kit"):
        jobs.run(way)
    assert jobs.portal.client().get("/", follow_redirects=False).status_code == 302
    until(lambda: messages(jobs) == 0)
    assert jobs.rows(OTHER)["LAST_EXEC"] is None
    assert jobs.portal.value("SELECT SUCCESS_EXEC FROM b_event") == "N"


def test_a_full_licence_lets_nobody_in_who_never_was(portal: PortalUnderTest) -> None:
    who = portal.sql(
        "SELECT b.ID, b.LOGIN FROM b_user b JOIN b_uts_user u ON u.VALUE_ID=b.ID WHERE b.ACTIVE='Y'"
        " AND COALESCE(b.EXTERNAL_AUTH_ID,'')='' AND LEFT(b.PASSWORD, 3)='$6$' AND b.ID>1 LIMIT 1"
    )[0]
    portal.sql("UPDATE b_user SET LAST_LOGIN=NULL WHERE ID=%s", who["ID"])
    portal.sql("UPDATE b_user SET LAST_LOGIN=NOW() WHERE ID=1")
    portal.option("main", "PARAM_MAX_USERS", "1")
    assert "allows no more users" in login(portal.client(), who["LOGIN"]).text
    assert logged_in(login(portal.client(), "admin"))
    portal.option("main", "PARAM_MAX_USERS", "0")
    assert logged_in(login(portal.client(), who["LOGIN"]))


def test_the_command_line_updates_main_first_and_alters_tables(portal: PortalUnderTest) -> None:
    files = [portal.root / "bitrix/modules/main/classes/general/version.php"]
    files += [portal.root / f"bitrix/modules/{name}/install/version.php" for name in ("crm", "im")]
    kept = {path: path.read_text() for path in files}
    with serving_updates() as service:
        portal.option("encaja", "update_service", service.url)
        service.offers = {
            "crm": {"version": "26.300.0", "sql": ["CREATE TABLE b_crm_updated (ID int)"]},
            "main": {"version": "26.300.0"}, "im": {"version": "26.200.0"},
        }  # fmt: skip
        try:
            assert "composer" in portal.php("bitrix/bitrix.php", "update:modules")
            assert service.asked == 0
            (portal.root / "bitrix/vendor/symfony/console").mkdir(parents=True)
            assert portal.php("bitrix/bitrix.php", "update:modules", "-m", "crm") == "crm 26.300.0"
            assert portal.sql("SHOW TABLES LIKE 'b_crm_updated'")
            assert portal.php("bitrix/bitrix.php", "update:modules") == "main 26.300.0", "im's is older, crm's is there"
            assert "26.300.0" in files[0].read_text()
            assert files[2].read_text() == kept[files[2]]
            with pytest.raises(subprocess.CalledProcessError):
                portal.php("bitrix/bitrix.php", "update:modules", "--dry-run", "yes")
        finally:
            portal.sql("DROP TABLE IF EXISTS b_crm_updated")
            for path, text in kept.items():
                path.write_text(text)
