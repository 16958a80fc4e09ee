"""Who runs which agents and which mail: the truth table of the product, and what a pass leaves in the rows."""

from __future__ import annotations

import fcntl
import subprocess

import pytest

from unit.lab_portal.jobs import KIT, OTHER, PERIODIC, Jobs, leave_message, messages
from unit.lab_portal.standin import until

pytestmark = pytest.mark.integration
Sink = tuple[str, list[tuple[str, str]]]

SUPPORT = {
    "never": "",
    "always": "define('BX_CRONTAB_SUPPORT', true);",
    "on pages": "if (!(defined('CHK_EVENT') && CHK_EVENT === true)) define('BX_CRONTAB_SUPPORT', true);",
}


@pytest.mark.parametrize(
    ("check_agents", "support", "page", "product", "lesson"),
    [
        ("Y", "never", "NP/mail", "N/mail", "NP/mail"),
        ("Y", "always", "P/-", "N/mail", "P/mail"),
        ("N", "never", "-/mail", "-/mail", "NP/mail"),
        ("N", "always", "-/-", "-/mail", "P/mail"),
        ("N", "on pages", "-/-", "-/mail", "NP/mail"),
    ],
)
def test_truth_table(jobs: Jobs, check_agents: str, support: str, page: str, product: str, lesson: str) -> None:
    jobs.portal.option("main", "check_agents", check_agents)
    jobs.constants(SUPPORT[support])
    assert jobs.outcome("page") == page
    assert jobs.outcome("product") == product
    assert jobs.outcome("lesson") == lesson
    assert jobs.outcome("kit") == "NP/mail"


def test_option_divides_agents_as_the_constant_does_and_leaves_mail(jobs: Jobs) -> None:
    jobs.portal.option("main", "agents_use_crontab", "Y")
    jobs.constants("")
    assert jobs.outcome("page") == "P/mail"
    assert jobs.outcome("product") == "N/mail"
    assert jobs.outcome("kit") == "NP/mail"


@pytest.mark.parametrize(
    ("constant", "expected"),
    [("NO_AGENT_CHECK", "-/mail"), ("DisableEventsCheck", "NP/-"), ("BX_CLUSTER_GROUP", "-/mail")],
)
def test_constants_empty_their_column(jobs: Jobs, constant: str, expected: str) -> None:
    value = "2" if constant == "BX_CLUSTER_GROUP" else "true"
    jobs.constants(f"define('{constant}', {value});")
    for way in ("page", "lesson", "kit"):
        assert jobs.outcome(way) == expected, way


def test_option_leaves_mail_to_who_asks_for_it(jobs: Jobs) -> None:
    jobs.portal.option("main", "check_events", "N")
    jobs.constants("")
    assert jobs.outcome("page") == "NP/-"
    assert jobs.outcome("product") == "N/-"
    assert jobs.outcome("kit") == "NP/mail"


def test_what_a_pass_leaves_in_the_rows(jobs: Jobs) -> None:
    jobs.constants("")
    jobs.portal.option("main", "check_agents", "N")
    jobs.reset()
    jobs.agent(PERIODIC, "Y")
    jobs.agent(OTHER, "N")
    jobs.agent("CTestAgent::once();")
    jobs.agent("CTestAgent::throws();")
    jobs.agent("CBitrix24::CheckLicenseAgent();", MODULE_ID="bitrix24")
    jobs.run("lesson")
    value = jobs.portal.value
    periodic, other = jobs.rows(PERIODIC), jobs.rows(OTHER)
    assert str(periodic["NEXT_EXEC"]) == "2020-01-01 01:00:00", "a periodic agent makes up for every time it missed"
    assert value("SELECT NEXT_EXEC > NOW() + INTERVAL 3500 SECOND FROM b_agent WHERE ID=%s", other["ID"]) == 1
    for row in (periodic, other):
        assert (row["RUNNING"], row["RETRY_COUNT"], row["DATE_CHECK"]) == ("N", 0, None)
    assert value("SELECT COUNT(*) FROM b_agent WHERE NAME='CTestAgent::once();'") == 0
    thrown, lost = jobs.rows("CTestAgent::throws();"), jobs.rows("CBitrix24::CheckLicenseAgent();")
    assert (thrown["RUNNING"], thrown["RETRY_COUNT"], thrown["LAST_EXEC"]) == ("Y", 1, None)
    assert (lost["RUNNING"], lost["RETRY_COUNT"], lost["LAST_EXEC"]) == ("N", None, None)
    for row in (thrown, lost):
        assert value("SELECT DATE_CHECK > NOW() + INTERVAL 500 SECOND FROM b_agent WHERE ID=%s", row["ID"]) == 1


def test_a_pass_has_its_limit_and_the_kit_goes_on(jobs: Jobs) -> None:
    jobs.constants("")
    jobs.portal.option("main", "check_agents", "N")
    jobs.portal.option("main", "agents_limit", "4")
    for way, ran in (("lesson", 4), ("kit", 10)):
        jobs.reset()
        for number in range(10):
            jobs.agent(f"CTest::number({number});")
        jobs.run(way)
        assert jobs.portal.value("SELECT COUNT(*) FROM b_agent WHERE LAST_EXEC IS NOT NULL") == ran


def test_only_one_pass_at_a_time_takes_agents(jobs: Jobs) -> None:
    jobs.constants("")
    assert jobs.portal.value("SELECT GET_LOCK(CONCAT(DATABASE(), '_agent'), 0)") == 1
    try:
        assert jobs.outcome("kit") == "-/mail"
    finally:
        jobs.portal.value("SELECT RELEASE_LOCK(CONCAT(DATABASE(), '_agent'))")


def test_an_agent_that_ends_the_program_is_named_and_the_others_run_a_minute_later(jobs: Jobs) -> None:
    jobs.constants("")
    jobs.portal.option("main", "check_agents", "N")
    jobs.reset()
    jobs.agent("CTestAgent::dies();", SORT=200)
    jobs.agent(OTHER)
    jobs.mail()
    first = jobs.run("kit")
    assert first is not None
    assert first.returncode == 1
    assert "was running: CTestAgent::dies();" in first.stderr
    assert jobs.rows(OTHER)["LAST_EXEC"] is None
    second = jobs.run("kit")
    assert second is not None
    assert second.returncode == 0, second.stderr
    assert jobs.rows(OTHER)["LAST_EXEC"] is not None
    assert jobs.portal.value("SELECT SUCCESS_EXEC FROM b_event") == "Y"


def test_mail_goes_in_bulks_and_the_kit_empties_the_queue(jobs: Jobs) -> None:
    jobs.constants("")
    for way, left in (("lesson", 7), ("kit", 0)):
        jobs.reset()
        jobs.mail(12)
        jobs.run(way)
        assert jobs.portal.value("SELECT COUNT(*) FROM b_event WHERE SUCCESS_EXEC='N'") == left


def test_states_of_mail(jobs: Jobs) -> None:
    jobs.constants("")
    jobs.reset()
    jobs.mail()
    jobs.mail(EVENT_NAME="NO_TEMPLATE")
    jobs.mail(LID="s9")
    jobs.mail(C_FIELDS="no array")
    jobs.mail(SUCCESS_EXEC="H")
    jobs.run("kit")
    assert [row["SUCCESS_EXEC"] for row in jobs.portal.sql("SELECT SUCCESS_EXEC FROM b_event ORDER BY ID")] == [
        *"Y00E",
        "H",
    ]
    assert jobs.portal.value("SELECT COUNT(*) FROM b_event WHERE DATE_EXEC IS NULL") == 1


def test_cached_emptiness_hides_rows_until_a_purge(jobs: Jobs) -> None:
    jobs.constants("define('CACHED_b_agent', 3600); define('CACHED_b_event', 3600);")
    jobs.portal.option("main", "check_agents", "N")
    jobs.reset()
    jobs.run("lesson")
    jobs.agent(OTHER)
    jobs.mail()
    jobs.run("lesson")
    assert jobs.rows(OTHER)["LAST_EXEC"] is None
    assert jobs.portal.value("SELECT SUCCESS_EXEC FROM b_event") == "N"
    jobs.portal.purge()
    jobs.run("lesson")
    assert jobs.rows(OTHER)["LAST_EXEC"] is not None
    assert jobs.portal.value("SELECT SUCCESS_EXEC FROM b_event") == "Y"


@pytest.mark.parametrize(("way", "left"), [("page", 10), ("product", 10), ("lesson", 60), ("kit", 10)])
def test_messenger_takes_fifty_of_a_queue_where_the_script_ends_as_a_hit_does(jobs: Jobs, way: str, left: int) -> None:
    jobs.constants("define('NO_AGENT_CHECK', true); define('DisableEventsCheck', true);")
    leave_message(jobs, number=60)
    jobs.run(way)
    assert messages(jobs) == left, "the constants that stop agents and mail do not reach it"


def test_messenger_stands_still_in_mode_cli_and_reaches_out_in_mode_web(jobs: Jobs, sink: Sink) -> None:
    address, taken = sink
    jobs.constants("")
    extra = jobs.portal.root / "bitrix/.settings_extra.php"
    extra.write_text("<?php return ['messenger' => ['value' => ['run_mode' => 'cli']]];")
    try:
        leave_message(jobs, f"{address}/sync")
        for way in ("page", "product", "kit"):
            jobs.run(way)
        assert messages(jobs) == 1
    finally:
        extra.unlink()
    jobs.run("kit")
    assert messages(jobs) == 0
    assert [path for path, _ in taken] == ["/sync"]


def test_jobs_that_agents_leave_are_done_in_the_same_run(jobs: Jobs) -> None:
    jobs.constants("")
    jobs.portal.option("main", "check_agents", "N")
    jobs.reset()
    jobs.agent("CTestAgent::leavesMessage();")
    jobs.agent("CTestAgent::leavesMail(ana@world.test);")
    jobs.run("kit")
    assert jobs.portal.value("SELECT COUNT(*) FROM b_main_messenger_message WHERE QUEUE_ID='search'") == 0
    assert jobs.portal.value("SELECT SUCCESS_EXEC FROM b_event") == "Y"


@pytest.mark.parametrize(
    ("constants", "stopped", "expected"),
    [
        ("", "N", "Y"),
        ("", "Y", "N"),
        ("define('DisableEventsCheck', true);", "N", "N"),
        ("define('DisableMessageServiceCheck', true);", "N", "N"),
        ("define('DisableMessageServiceCheck', false); define('DisableEventsCheck', true);", "N", "Y"),
    ],
)
@pytest.mark.parametrize("way", ["page", "kit"])
def test_sms_leave_at_the_end_of_any_hit_unless_stopped(
    jobs: Jobs, sink: Sink, constants: str, stopped: str, expected: str, way: str
) -> None:
    address, taken = sink
    jobs.constants(constants)
    jobs.portal.option("messageservice", "queue_stopped", stopped)
    code = f"sms{len(constants)}{stopped}{way}"
    jobs.portal.sql(
        "INSERT INTO b_messageservice_rest_app (APP_ID, CODE, TYPE, HANDLER, AUTHOR_ID, DATE_ADD)"
        " VALUES ('1', %s, 'SMS', %s, 1, NOW())",
        code,
        f"{address}/sms",
    )
    jobs.portal.sql("DELETE FROM b_messageservice_message")
    jobs.portal.sql(
        "INSERT INTO b_messageservice_message (TYPE, SENDER_ID, MESSAGE_TO, MESSAGE_BODY) VALUES ('SMS', %s, '+1', '')",
        code,
    )
    jobs.run(way)
    assert jobs.portal.value("SELECT SUCCESS_EXEC FROM b_messageservice_message") == expected
    assert bool(taken) is (expected == "Y")


def test_a_second_run_of_the_kit_steps_aside(jobs: Jobs) -> None:
    jobs.constants("")
    with KIT.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = jobs.run("kit")
    assert second is not None
    assert (second.returncode, second.stdout) == (0, "another run is under way\n")


def test_a_stopped_run_ends_between_two_letters(jobs: Jobs) -> None:
    jobs.constants("")
    jobs.reset()
    jobs.mail(12)
    script = jobs.portal.mails / "slow"
    script.write_text(f"#!/bin/sh\nsleep 0.3\nexec {jobs.portal.mails}/send\n")
    script.chmod(0o755)
    before = len(list(jobs.portal.mails.glob("*.eml")))
    process = subprocess.Popen(
        ["php", "-d", f"sendmail_path={script}", str(KIT), str(jobs.portal.root)], stderr=subprocess.PIPE, text=True
    )
    while len(list(jobs.portal.mails.glob("*.eml"))) == before:
        assert process.poll() is None
    process.terminate()
    assert process.wait(20) == 0, process.stderr
    sent = len(list(jobs.portal.mails.glob("*.eml"))) - before
    done = jobs.portal.value("SELECT COUNT(*) FROM b_event WHERE SUCCESS_EXEC='Y'")
    assert sent == done == 5, "the pass that was under way, and no other"


def test_an_agent_that_hangs_is_named_and_holds_up_neither_mail_nor_the_others(jobs: Jobs) -> None:
    jobs.constants("")
    jobs.portal.option("main", "check_agents", "N")
    jobs.reset()
    jobs.agent("CTestAgent::hangs();", SORT=200)
    jobs.agent(OTHER)
    jobs.mail(12)
    process = subprocess.Popen(
        ["php", "-d", f"sendmail_path={jobs.portal.mails}/send", str(KIT), str(jobs.portal.root)],
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: jobs.rows("CTestAgent::hangs();")["RETRY_COUNT"] == 1)
    assert jobs.portal.value("SELECT COUNT(*) FROM b_event WHERE SUCCESS_EXEC='N'") == 0
    process.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.kill()
    assert "was running: CTestAgent::hangs();" in process.communicate()[1]
    assert jobs.rows(OTHER)["LAST_EXEC"] is None
    again = jobs.run("kit")
    assert again is not None
    assert again.returncode == 0, again.stderr
    assert jobs.rows(OTHER)["LAST_EXEC"] is not None
    hung = jobs.rows("CTestAgent::hangs();")
    assert (hung["RUNNING"], hung["RETRY_COUNT"]) == ("Y", 1), "the portal tries it again ten minutes later"


def test_after_a_loss_of_power_the_others_come_first_ten_minutes_later(jobs: Jobs) -> None:
    jobs.constants("")
    jobs.portal.option("main", "check_agents", "N")
    jobs.reset()
    jobs.agent("CTestAgent::hangs();", SORT=200)
    jobs.agent(OTHER)
    for tries, ran in ((1, False), (2, True)):
        process = subprocess.Popen(["php", str(KIT), str(jobs.portal.root)])
        until(lambda tries=tries: jobs.rows("CTestAgent::hangs();")["RETRY_COUNT"] == tries)
        process.kill()
        process.wait(10)
        assert (jobs.rows(OTHER)["LAST_EXEC"] is not None) is ran
        jobs.portal.sql("UPDATE b_agent SET DATE_CHECK = NOW() - INTERVAL 1 SECOND")
