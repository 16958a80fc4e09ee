"""The case's bugs seen through a browser: there after a restore, gone after settling.

They take the lab's test host once the move is done, or the host of ``ENCAJA_E2E_INVENTORY`` and ``ENCAJA_E2E_HOST``.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from e2e.restored_portal import ADMIN_PASSWORD, PASSWORD, PROJECT, Host, find_host, make, remove, schedule_stopped
from encaja.portal.serialized import unserialize

pytestmark = pytest.mark.lab
CHROMIUM = Path("/usr/bin/chromium")
CURED = {"case-07-bots", "case-08-logouts", "case-09-comments", "case-10-search"} | {
    "bug-attachments", "bug-links", "bug-login",
}  # fmt: skip
OWN_SEARCH = {"settle_search_engine": "bitrix"}
"""A search server of the host has the index of the portal that was there before, and keeps it."""
FOR_PEOPLE = {"case-01-applications", "case-02-licences", "case-05-mobile", "case-06-passwords"}
BY_TIME = {"case-03-time-lag", "case-04-still-in-cloud"}
"""What a carry-over fixes, which this portal never gets."""
UNPROVEN = {"settle_release_to": ["production", "preproduction", "test"], "settle_release_proof_seconds": 0}
"""For a release while the schedule stands still, so that nothing leaves the queue before it is looked at."""
SCREENSHOTS = Path(os.environ.get("ENCAJA_SCREENSHOTS", PROJECT / ".cache" / "screenshots"))


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host with a freshly restored portal."""
    assert CHROMIUM.exists(), "Debian's chromium is missing: run tools/test-packages"
    if "ENCAJA_E2E_INVENTORY" not in os.environ:
        request.getfixturevalue("moved")
    found = find_host()
    make(found)
    try:
        yield found
    finally:
        remove(found)


@pytest.fixture(scope="module")
def browser(host: Host) -> Iterator[Browser]:
    """Headless Chromium for which the portal's name leads to the host."""
    with sync_playwright() as playwright:
        rules = f"--host-resolver-rules=MAP {host.variables['encaja_domain']} {host.address}"
        started = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=[rules, "--no-sandbox", "--disable-gpu"]
        )
        try:
            yield started
        finally:
            started.close()


class Visitor:
    """Somebody at a browser of their own."""

    def __init__(self, browser: Browser, domain: str) -> None:
        self.context: BrowserContext = browser.new_context(
            base_url=f"https://{domain}", ignore_https_errors=True, viewport={"width": 1100, "height": 720}
        )
        self.page: Page = self.context.new_page()

    def log_in(self, login: str, password: str) -> Visitor:
        self.page.goto("/")
        self.page.fill("#login", login)
        self.page.fill("#password", password)
        self.page.click("#login-button")
        self.page.wait_for_load_state()
        return self

    @property
    def is_in(self) -> bool:
        return self.page.locator("#user-block").count() == 1

    def picture(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SCREENSHOTS / f"{name}.png"))


class Case:
    """What the tests hand on to each other: they tell one story, in the order of the file."""

    def __init__(self, browser: Browser, host: Host) -> None:
        self.browser, self.host = browser, host
        self.domain = str(host.variables["encaja_domain"])
        self.visitors: dict[str, Visitor] = {}

    def visitor(self, name: str, login: str = "", password: str = "") -> Visitor:
        if name not in self.visitors:
            self.visitors[name] = Visitor(self.browser, self.domain)
            if login:
                self.visitors[name].log_in(login, password)
        return self.visitors[name]

    def user(self, condition: str) -> dict[str, str]:
        number, login = self.host.query(
            "SELECT u.ID, u.LOGIN FROM b_user u JOIN b_uts_user d ON d.VALUE_ID = u.ID WHERE u.ACTIVE = 'Y'"
            f" AND d.UF_DEPARTMENT LIKE '%i:%' AND LENGTH(u.PASSWORD) > 100 AND {condition} ORDER BY u.ID LIMIT 1"
        )[0]
        return {"id": number, "login": login}

    @cached_property
    def colleague(self) -> dict[str, str]:
        """Somebody who had a password in the portal all along."""
        return self.user("u.ID > 1 AND (u.EXTERNAL_AUTH_ID IS NULL OR u.EXTERNAL_AUTH_ID = '')")

    @cached_property
    def no_mail(self) -> str:
        """The identifier of somebody of the network who will have no mail address."""
        return self.host.query(
            "SELECT u.ID FROM b_user u JOIN b_socialservices_user s ON s.USER_ID = u.ID"
            " JOIN b_uts_user d ON d.VALUE_ID = u.ID WHERE u.ACTIVE = 'Y' AND u.EXTERNAL_AUTH_ID IS NULL AND u.ID > 1"
            " AND d.UF_DEPARTMENT LIKE '%i:%' ORDER BY u.ID DESC LIMIT 1"
        )[0][0]


@pytest.fixture(scope="module")
def case(browser: Browser, host: Host) -> Iterator[Case]:
    story = Case(browser, host)
    yield story
    for visitor in story.visitors.values():
        visitor.context.close()


def test_after_the_restore_the_messenger_has_no_attachment_icon(case: Case) -> None:
    admin = case.visitor("admin", "admin", ADMIN_PASSWORD)
    assert admin.is_in
    colleague = case.colleague
    admin.page.goto(f"/online/?IM_DIALOG={colleague['id']}")
    expect(admin.page.locator("#im-text")).to_be_visible()
    assert admin.page.locator("#im-attach").count() == 0
    assert admin.page.locator("body").get_attribute("data-pull") != "online"
    admin.picture("messenger-before")


def test_after_the_restore_links_in_notifications_have_no_domain(case: Case) -> None:
    link = _notification_link(case, "¿Cuándo es la visita?")
    assert "://" not in link
    assert not link.startswith("/")
    case.visitor("colleague").picture("notification-before")


def test_after_the_restore_people_of_the_network_cannot_log_in(case: Case) -> None:
    person = case.user("u.EXTERNAL_AUTH_ID = 'socservices'")
    visitor = Visitor(case.browser, case.domain).log_in(person["login"], PASSWORD)
    assert not visitor.is_in
    expect(visitor.page.locator("#login-message")).to_be_visible()
    visitor.picture("login-before")
    visitor.context.close()


def test_after_the_restore_search_finds_nothing(case: Case) -> None:
    admin = case.visitor("admin")
    admin.page.goto("/search/?q=" + quote(_word(case)))
    assert admin.page.locator("#search-count").get_attribute("data-count") == "0"


def test_after_the_restore_only_part_of_the_comments_is_shown(case: Case) -> None:
    assert [shown == total for shown, total in _comments(case)].count(False) >= 1
    case.visitor("admin").picture("comments-before")


def test_verifying_finds_the_dangers_and_bugs(case: Case) -> None:
    states = case.host.verify()
    assert {name for name in CURED | FOR_PEOPLE if states[name] != "found"} == set()
    # What time brings is there until a carry-over is proven, settled or not.
    assert {name for name in states if name.startswith(("case", "bug"))} - CURED - FOR_PEOPLE == BY_TIME
    assert {states[name] for name in BY_TIME} == {"found"}


def test_settling_mends_it_and_changes_nothing_the_second_time(case: Case) -> None:
    assert case.host.play("settle", **OWN_SEARCH) > 0
    states = case.host.verify(strict=True)
    assert {name: states[name] for name in CURED} == dict.fromkeys(CURED, "cured")
    assert {name: states[name] for name in FOR_PEOPLE} == dict.fromkeys(FOR_PEOPLE, "people")
    assert {name: states[name] for name in BY_TIME} == dict.fromkeys(BY_TIME, "found")  # it fails nothing
    assert case.host.play("settle", **OWN_SEARCH) == 0


def test_attachment_icon_and_live_connection_are_there(case: Case) -> None:
    admin = case.visitor("admin")
    colleague = case.colleague
    admin.page.goto(f"/online/?IM_DIALOG={colleague['id']}")
    expect(admin.page.locator("#im-attach")).to_be_visible()
    expect(admin.page.locator("body[data-pull=online]")).to_be_attached(timeout=20_000)
    admin.picture("messenger-after")


def test_a_file_that_is_sent_arrives_live(case: Case, tmp_path: Path) -> None:
    admin = case.visitor("admin")
    colleague = case.colleague
    other = case.visitor("colleague", colleague["login"], PASSWORD)
    assert other.is_in
    other.page.goto("/online/?IM_DIALOG=1")
    expect(other.page.locator("body[data-pull=online]")).to_be_attached(timeout=20_000)
    file = tmp_path / "plano de la promoción.txt"
    file.write_text("Plano de la planta baja\n")
    admin.page.set_input_files("#im-file-input", str(file))
    arrived = other.page.locator("#im-messages a.im-file", has_text="plano de la promoción.txt")
    expect(arrived).to_be_visible(timeout=20_000)
    content = other.page.evaluate("url => fetch(url).then(answer => answer.text())", arrived.get_attribute("href"))
    assert content == "Plano de la planta baja\n"
    other.picture("file-received")


def test_a_link_in_a_notification_opens(case: Case) -> None:
    link = _notification_link(case, "La visita queda para el jueves")
    assert link.startswith(f"https://{case.domain}/")
    page = case.visitor("colleague").page
    answer = page.goto(link)
    assert answer
    assert answer.status == 200
    expect(page.locator(".comment-text", has_text="La visita queda para el jueves")).to_be_visible()
    case.visitor("colleague").picture("notification-after")


def test_somebody_of_the_network_recovers_their_log_in(case: Case) -> None:
    recovered = case.host.query(
        "SELECT u.ID, u.LOGIN FROM b_user u JOIN b_socialservices_user s ON s.USER_ID = u.ID WHERE u.ACTIVE = 'Y'"
        " AND u.EXTERNAL_AUTH_ID IS NULL AND u.ID > 1 ORDER BY u.ID LIMIT 1"
    )[0]
    letters = "b_event e WHERE EVENT_NAME = 'USER_PASS_REQUEST' AND SUCCESS_EXEC = 'N'"
    assert case.host.query(f"SELECT COUNT(*) FROM {letters}") == [["0"]]
    case.host.query(f"UPDATE b_user SET EMAIL = '' WHERE ID = {case.no_mail}")
    with schedule_stopped(case.host):
        case.host.play("release", **UNPROVEN)
        queued = case.host.query(f"SELECT HEX(e.C_FIELDS), COALESCE(e.LANGUAGE_ID, '') FROM {letters}")
    languages = dict(case.host.query("SELECT ID, COALESCE(LANGUAGE_ID, '') FROM b_user"))
    words = {}
    for text, language in queued:
        fields: dict[str, Any] = unserialize(bytes.fromhex(text))
        words[str(fields["USER_ID"])] = str(fields["CHECKWORD"])
        assert language == languages[str(fields["USER_ID"])]
    number, login = recovered
    assert case.no_mail not in words
    visitor = case.visitor("recovered")
    _recover(visitor, f"/auth/?change_password=yes&USER_LOGIN={quote(login)}&USER_CHECKWORD={words[number]}", login)
    visitor.picture("login-after")


def test_somebody_without_mail_recovers_their_log_in_by_the_administrators_list(case: Case) -> None:
    with schedule_stopped(case.host):
        case.host.play("release", settle_recovery="list", **UNPROVEN)
    text = case.host.run("stat -c %a /var/lib/encaja/settle/recovery.csv; cat /var/lib/encaja/settle/recovery.csv")
    mode, _, listed = text.partition("\n")
    assert mode == "600"
    rows = list(csv.DictReader(io.StringIO(listed.removeprefix("\ufeff"))))
    assert [row["id"] for row in rows] == [case.no_mail]  # the others had a mail
    queued = case.host.query("SELECT HEX(C_FIELDS) FROM b_event WHERE EVENT_NAME = 'USER_PASS_REQUEST'")
    assert case.no_mail not in {str(unserialize(bytes.fromhex(text))["USER_ID"]) for [text] in queued}
    [link] = [str(value) for name, value in rows[0].items() if name in {"link", "enlace"}]
    login = case.host.query(f"SELECT LOGIN FROM b_user WHERE ID = {case.no_mail}")[0][0]
    visitor = case.visitor("listed")
    _recover(visitor, link, login)
    again = Visitor(case.browser, case.domain)
    again.page.goto(link)  # it works once
    again.page.fill("#new-password", "Otra-clave-2026")
    again.page.fill("#new-password-again", "Otra-clave-2026")
    again.page.locator("#change-form button").click()
    again.page.wait_for_load_state()
    assert not again.log_in(login, "Otra-clave-2026").is_in
    again.context.close()


def test_search_finds_the_record(case: Case) -> None:
    admin = case.visitor("admin")
    admin.page.goto("/search/?q=" + quote(_word(case)))
    assert int(str(admin.page.locator("#search-count").get_attribute("data-count"))) > 0
    admin.picture("search-after")


def test_every_comment_of_a_task_is_shown(case: Case) -> None:
    counts = _comments(case)
    assert len(counts) > 3
    assert [total for shown, total in counts if shown != total] == []


def test_people_stay_logged_in(case: Case) -> None:
    admin = case.visitor("admin")
    cookies = {cookie["name"]: cookie for cookie in admin.context.cookies()}
    assert all(cookie["secure"] for cookie in cookies.values()), cookies
    case.host.run("systemctl reload 'php*-fpm.service'")
    for path in ("/", "/stream/", "/tasks/", "/crm/lead/list/", "/online/"):
        admin.page.goto(path)
        assert admin.is_in, path
    assert admin.page.locator("#login-dropped").count() == 0


def _recover(visitor: Visitor, link: str, login: str) -> None:
    """Set a new password by a recovery link, and log in with it."""
    visitor.page.goto(link)
    visitor.page.fill("#new-password", "Nueva-clave-2026")
    visitor.page.fill("#new-password-again", "Nueva-clave-2026")
    visitor.page.locator("#change-form button").click()
    visitor.page.wait_for_load_state()
    visitor.log_in(login, "Nueva-clave-2026") if not visitor.is_in else None
    assert visitor.is_in


def _comments(case: Case) -> list[tuple[int, int]]:
    """For the tasks with most comments: how many a page counts, and how many there are in the database."""
    admin = case.visitor("admin")
    rows = case.host.query(
        "SELECT t.ID, t.RESPONSIBLE_ID, COUNT(*) AS n FROM b_tasks t"
        " JOIN b_forum_message m ON m.TOPIC_ID = t.FORUM_TOPIC_ID WHERE m.NEW_TOPIC <> 'Y'"
        " GROUP BY t.ID, t.RESPONSIBLE_ID ORDER BY n DESC, t.ID LIMIT 8"
    )
    counts = []
    for number, responsible, there in rows:
        admin.page.goto(f"/company/personal/user/{responsible}/tasks/task/view/{number}/")
        comments = admin.page.locator("#comments")
        shown, total = (int(str(comments.get_attribute(f"data-{name}"))) for name in ("shown", "total"))
        counts.append((min(shown, total), int(there)))
    return counts


def _notification_link(case: Case, comment: str) -> str:
    """The administrator comments on a colleague's task; the link in the notification that the colleague gets."""
    number = case.host.query("SELECT ID FROM b_tasks WHERE FORUM_TOPIC_ID > 0 ORDER BY ID LIMIT 1")[0][0]
    case.host.query(f"UPDATE b_tasks SET RESPONSIBLE_ID = {case.colleague['id']} WHERE ID = {number}")
    admin = case.visitor("admin")
    admin.page.goto(f"/company/personal/user/{case.colleague['id']}/tasks/task/view/{number}/")
    admin.page.fill("#comment-text", comment)
    admin.page.locator("#comment-form button").click()
    admin.page.wait_for_load_state()
    colleague = case.visitor("colleague", case.colleague["login"], PASSWORD)
    assert colleague.is_in
    colleague.page.goto("/stream/")
    return str(colleague.page.locator("#notifications a.notification-link").first.get_attribute("href"))


def _word(case: Case) -> str:
    title = case.host.query("SELECT TITLE FROM b_tasks WHERE TITLE IS NOT NULL ORDER BY ID DESC LIMIT 1")[0][0]
    return max(re.findall(r"[^\W\d_]{4,}", title), key=len)
