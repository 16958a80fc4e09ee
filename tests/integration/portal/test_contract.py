"""What the kit believes of the product is tried on the stand-in, and one that behaves otherwise is told by name."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from encaja.errors import EncajaError
from encaja.portal import contract, kernel, php
from encaja.portal.contract_probe import TAG, Subject
from encaja.portal.domain import DomainPolicy
from encaja.portal.site import Portal
from encaja.portal.verify import Scene
from integration.portal.cloud_portal import connect
from unit.ansible.test_portal_modules import load, task
from unit.lab_portal.standin import install, serving, until

pytestmark = pytest.mark.integration
SIZES = {"users": 8, "companies": 5, "contacts": 10, "leads": 60, "deals": 5, "tasks": 5, "messages": 10}
FROZEN = "define('NO_AGENT_CHECK', true);\ndefine('DisableEventsCheck', true);\n"
MAIN, REST, PULL = (f"bitrix/modules/{name}/lib" for name in ("main", "rest", "pull"))
UNFROZEN_ONLY, FROZEN_ONLY = {"page-held-mail"}, {"page-frozen-agents", "page-frozen-mail", "rest-import"}

Look = Callable[..., Subject]


@pytest.fixture(scope="module")
def box(server: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The tree of a settled box with a small company in it, and the name of its database."""
    root = install(tmp_path_factory.mktemp("box"), server, "proven", SIZES)
    dbconn = root / "bitrix/php_interface/dbconn.php"
    dbconn.write_text("".join(line for line in dbconn.read_text().splitlines(True) if "BX24_" not in line))
    settings = root / "bitrix/.settings.php"
    read = php.parse_settings(settings.read_text(), str(settings))
    settings.write_text(php.render_settings({**read, "pull": {"value": {"nginx": "N"}, "readonly": False}}))
    with connect(server, "proven") as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM b_module WHERE ID = 'bitrix24'")
        cursor.execute("DELETE FROM b_module_to_module WHERE TO_CLASS LIKE '%HostRestriction'")
        cursor.execute("UPDATE b_event SET SUCCESS_EXEC = 'Y'")
        for module, name, value in (
            ("pull", "server_mode", "personal"), ("pull", "nginx", "Y"), ("encaja", "rest_bucket", "100000"),
            ("encaja", "rest_rate", "100000"), ("main", "~support_finish_date", "2099-12-31"),
            ("main", "PARAM_MAX_USERS", "50"),
        ):  # fmt: skip
            cursor.execute("REPLACE INTO b_option (MODULE_ID, NAME, VALUE) VALUES (%s, %s, %s)", (module, name, value))
    (root / "bitrix/vendor/symfony/console").mkdir(parents=True)
    return root, "proven"


@pytest.fixture(scope="module")
def address(box: tuple[Path, str]) -> Iterator[str]:
    with serving(box[0]) as url:
        yield url


@pytest.fixture
def look(box: tuple[Path, str], address: str, tmp_path: Path) -> Iterator[Look]:
    """The box as a fresh look has it; what a test changed is purged."""
    where = urlsplit(address)

    def subject(patience: float = 0.8) -> Subject:
        policy = DomainPolicy(str(where.hostname), "http", int(where.port or 0))
        portal = Portal(box[0], tmp_path / "state")
        return Subject(Scene(portal, policy, tmp_path / "no-socket"), user="root", patience=patience)

    subject().purge()
    yield subject
    subject().purge()


@contextmanager
def altered(path: Path, *replaced: tuple[str, str]) -> Iterator[None]:
    """A file of the stand-in with other text, for a while."""
    text = path.read_text()
    other = text
    for old, new in replaced:
        assert old in other, f"the stand-in has changed: alter {path.name} otherwise"
        other = other.replace(old, new)
    path.write_text(other)
    try:
        yield
    finally:
        path.write_text(text)


@contextmanager
def frozen(root: Path, *, wanted: bool = True) -> Iterator[None]:
    """The box before its release."""
    if not wanted:
        yield
        return
    dbconn = root / "bitrix/php_interface/dbconn.php"
    with altered(dbconn, ("<?php\n", f"<?php\n{FROZEN}")):
        yield


def ids(document: dict[str, Any], state: str) -> set[str]:
    return {one["id"] for one in document["assumptions"] if one["state"] == state}


def said(document: dict[str, Any], state: str = "") -> dict[str, str]:
    return {one["id"]: one["evidence"] for one in document["assumptions"] if state in {"", one["state"]}}


def left(subject: Subject) -> int:
    """Rows of probes, their leads among them."""
    written = {rows for one in contract.CONTRACT for rows in one.writes}
    tagged = sum(subject.database.count(f"SELECT COUNT(*) FROM {one.table} WHERE {one.mark}") for one in written)
    return tagged + subject.database.count("SELECT COUNT(*) FROM b_crm_lead WHERE ORIGINATOR_ID = 'encaja-probe'")


@pytest.mark.parametrize("before_release", [False, True])
def test_the_stand_in_behaves_as_the_kit_believes(box: tuple[Path, str], look: Look, *, before_release: bool) -> None:
    with frozen(box[0], wanted=before_release):
        found = contract.prove(look())
    assert found["differences"] == 0, said(found, "differs")
    assert ids(found, "unproven") == (UNFROZEN_ONLY if before_release else FROZEN_ONLY), said(found, "unproven")
    assert ids(found, "not-applicable") == set()
    assert found["warnings"] == []
    assert found["release"].startswith("26.250")
    assert left(look()) == 0


ALTERATIONS: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("kernel-options", f"{MAIN}/option.php", [("            $name = strtolower($name);\n", "")]),
    ("kernel-option-of-site", f"{MAIN}/option.php",
     [("$values[$site ?: 's1'][$name] ?? $values['-'][$name]", "$values['-'][$name]")]),
    ("kernel-purge", f"{MAIN}/cache.php", [("managed_cache", "kept_cache")]),
    ("kernel-module-row", f"{MAIN}/loader.php",
     [(' && is_dir($_SERVER[\'DOCUMENT_ROOT\'] . "/bitrix/modules/$module")', "")]),
    ("kernel-settings", f"{MAIN}/config.php",
     [("return self::$sections[$name]['value']", "return $name === 'cookies' ? [] : self::$sections[$name]['value']")]),
    ("kernel-constants", "bitrix/modules/main/include.php",
     [("const BX_PERSONAL_ROOT", "define('BX_FILE_PERMISSIONS', 0600);\nconst BX_PERSONAL_ROOT")]),
    ("kernel-module-versions", "bitrix/modules/crm/install/version.php",
     [("\n$arModuleVersion", "\n$arModuleVersion = ['VERSION' => '1.0.0'];\n$arModuleVersion")]),
    ("kernel-updater", "bitrix/bitrix.php", [("update:modules  Updates", "update:all  Updates")]),
    ("kernel-mail-queue", f"{MAIN}/mail.php", [("serialize($fields)", "json_encode($fields)")]),
    ("kernel-login", f"{MAIN}/user.php", [("str_starts_with($hash, '$6$')", "str_starts_with($hash, '$5$')")]),
    ("kernel-login-mark", f"{MAIN}/user.php", [(" AND (EXTERNAL_AUTH_ID IS NULL OR EXTERNAL_AUTH_ID='')", "")]),
    ("kernel-recovery", f"{MAIN}/user.php", [("'CHECKWORD' => $checkword,", "")]),
    ("kernel-user-types", f"{MAIN}/usertable.php", [("'bot',", "'bot', 'robot',")]),
    ("kernel-push-server", f"{PULL}/pull.php",
     [("if ($stored !== null) {", "if ($stored !== null && $name !== 'nginx') {")]),
    ("kernel-messenger-files", "bitrix/modules/im/lib/im.php",
     [("COption::GetOptionString('disk', 'successfully_converted') === 'Y'", "false")]),
    ("kernel-reindex", "bitrix/modules/search/lib/search.php", [(", bool $clear = false)", ")")]),
    ("kernel-registration", f"{REST}/event.php", [("static function register()", "static function register($host)")]),
    ("page-licence", "bitrix/components/bitrix/login/component.php",
     [("<?php\n", "<?php\nredirect('/bitrix/coupon_activation.php');\n")]),
    ("page-recovery", "bitrix/components/bitrix/login/component.php", [('name="USER_CHECKWORD"', 'name="WORD"')]),
    ("page-frozen-agents", f"{MAIN}/agent.php", [("NO_AGENT_CHECK", "NO_AGENT")]),
    ("page-frozen-mail", f"{MAIN}/mail.php", [("DisableEventsCheck", "DisableEvents")]),
    ("page-held-mail", f"{MAIN}/mail.php", [("SUCCESS_EXEC='N'", "SUCCESS_EXEC IN ('N','H')")]),
    ("rest-webhook", f"{REST}/server.php", [("FROM b_rest_ap WHERE", "FROM b_rest_ap WHERE TITLE='approved' AND")]),
    ("rest-wrong-code", f"{REST}/server.php",
     [("'Invalid request credentials', 401", "'Invalid request credentials', 403")]),
    ("rest-scope", f"{REST}/server.php", [("insufficient_scope", "no_scope")]),
    ("rest-batch", f"{REST}/server.php", [("++$number > 50", "++$number > 100")]),
    ("rest-methods", f"{REST}/requisite.php", [("'crm.requisite.preset.list'", "'crm.preset.list'")]),
    ("rest-pages", f"{REST}/server.php", [("SIZE = 50", "SIZE = 25")]),
    ("rest-import", "bitrix/modules/crm/lib/import.php", [("SYSTEM = ['createdTime' => 'Created on', ", "SYSTEM = [")]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "file", "replaced"), ALTERATIONS, ids=[name for name, _, _ in ALTERATIONS])
def test_a_portal_that_behaves_otherwise_is_told_by_name(
    box: tuple[Path, str], look: Look, name: str, file: str, replaced: list[tuple[str, str]]
) -> None:
    with frozen(box[0], wanted=name not in UNFROZEN_ONLY), altered(box[0] / file, *replaced):
        found = contract.prove(look(), [name.partition("-")[0]])
    assert ids(found, "differs") == {name}, said(found)
    assert left(look()) == 0


ROWS = [
    ("table-tasks", "ALTER TABLE b_forum_topic RENAME COLUMN POSTS TO POSTS_NOW",
     "ALTER TABLE b_forum_topic RENAME COLUMN POSTS_NOW TO POSTS"),
    ("table-option-key", "ALTER TABLE b_option DROP PRIMARY KEY, ADD PRIMARY KEY (MODULE_ID, NAME, SITE_ID)",
     "ALTER TABLE b_option DROP PRIMARY KEY, ADD PRIMARY KEY (MODULE_ID, NAME)"),
    ("table-login-key", "ALTER TABLE b_user DROP KEY ix_login, ADD KEY ix_login (LOGIN)",
     "ALTER TABLE b_user DROP KEY ix_login, ADD UNIQUE KEY ix_login (LOGIN, EXTERNAL_AUTH_ID)"),
    ("rows-licence", "UPDATE b_option SET VALUE = '31.12.2099' WHERE NAME = '~support_finish_date'",
     "UPDATE b_option SET VALUE = '2099-12-31' WHERE NAME = '~support_finish_date'"),
    ("rows-policies", "UPDATE b_group SET SECURITY_POLICY = '{\"SESSION_TIMEOUT\": 15}'", ""),
    ("rows-passwords", "UPDATE b_user SET PASSWORD = 'Encaja2026!' WHERE ID = 2", ""),
    ("rows-templates", "UPDATE b_bp_workflow_template SET TEMPLATE = '[]'", ""),
    ("rows-files", "UPDATE b_file SET SUBDIR = 'elsewhere'", ""),
    ("rows-departments", "UPDATE b_uts_user SET UF_DEPARTMENT = '1,2'", ""),
    ("rows-mail-fields", "UPDATE b_event SET C_FIELDS = '{}'", ""),
    ("rows-task-forum", "DELETE FROM b_forum", ""),
    ("rows-messenger-storage", "DELETE FROM b_disk_storage", ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "undo"), ROWS, ids=[name for name, _, _ in ROWS])
def test_so_is_one_whose_tables_say_otherwise(look: Look, name: str, change: str, undo: str) -> None:
    subject = look()
    table = "" if undo else change.replace("DELETE FROM", "UPDATE").split()[1]
    if table:
        subject.database.execute(f"CREATE TABLE encaja_kept LIKE {table}")
        subject.database.execute(f"INSERT INTO encaja_kept SELECT * FROM {table}")
    subject.database.execute(change)
    try:
        found = contract.prove(look(), ["table", "rows"])
    finally:
        if undo:
            subject.database.execute(undo)
        else:
            subject.database.execute(f"DELETE FROM {table}")
            subject.database.execute(f"INSERT INTO {table} SELECT * FROM encaja_kept")
            subject.database.execute("DROP TABLE encaja_kept")
    assert ids(found, "differs") == {name}, said(found, "differs")


def test_what_a_killed_probe_left_is_found_by_its_tag_and_removed(box: tuple[Path, str], look: Look) -> None:
    with frozen(box[0]):
        process = multiprocessing.get_context("fork").Process(
            target=lambda: contract.prove(look(patience=60), ["page-frozen-mail"])
        )
        process.start()
        watcher = look()
        until(lambda: left(watcher) > 0)
        os.kill(int(process.pid or 0), signal.SIGKILL)
        process.join()
        assert left(look()) == 1
        found = contract.prove(look(), ["table-mail"])
    assert found["warnings"] == ["1 rows of an earlier probe, which was killed, were removed"]
    assert left(look()) == 0


def test_a_lead_that_a_killed_probe_left_goes_through_rest(box: tuple[Path, str], look: Look) -> None:
    database = look().database
    before = database.count("SELECT COUNT(*) FROM b_crm_lead")
    database.execute(
        "INSERT INTO b_crm_lead (TITLE, ORIGINATOR_ID, DATE_CREATE, DATE_MODIFY, CREATED_BY_ID)"
        " VALUES (%s, 'encaja-probe', NOW() - INTERVAL 1 HOUR, NOW() - INTERVAL 1 HOUR, 1)",
        TAG,
    )
    with frozen(box[0]):
        found = contract.prove(look(), ["rest-import"])
    assert ids(found, "holds") == {"rest-import"}, said(found)
    assert "1 left by an earlier probe removed" in said(found)["rest-import"]
    assert database.count("SELECT COUNT(*) FROM b_crm_lead") == before


def test_another_release_is_a_warning_that_says_what_is_unproven(box: tuple[Path, str], look: Look) -> None:
    with altered(box[0] / "bitrix/modules/main/classes/general/version.php", ("26.250.0", "27.100.0")):
        found = contract.prove(look(), ["page"])
    assert found["differences"] == 0
    (warning,) = found["warnings"]
    assert warning.startswith("the contract was observed in release 23.300 or 26.250, not in 27.100.0")
    assert warning.endswith("not proven here: page-frozen-agents, page-frozen-mail")


def test_what_is_missing_stops_nothing_else(box: tuple[Path, str], look: Look) -> None:
    root, database = box[0], look().database
    database.execute("DELETE FROM b_module WHERE ID = 'search'")
    database.execute("RENAME TABLE b_agent TO b_agent_away")
    licence = root / "bitrix/license_key.php"
    text = licence.read_text()
    licence.unlink()
    look().purge()
    try:
        with frozen(root):
            found = contract.prove(look())
    finally:
        licence.write_text(text)
        database.execute("RENAME TABLE b_agent_away TO b_agent")
        database.execute("INSERT INTO b_module (ID) VALUES ('search')")
    assert found["differences"] == 0, said(found, "differs")
    assert ids(found, "not-applicable") == {"table-search", "kernel-reindex"}
    assert ids(found, "unproven") == {"table-agents", "kernel-licence", "page-frozen-agents", "page-held-mail"}
    reasons = said(found)
    assert "no table b_agent" in reasons["table-agents"]
    assert "license_key.php is missing" in reasons["kernel-licence"]
    assert "module search is not installed" in reasons["kernel-reindex"]


def test_a_shut_box_is_told_by_its_pages_and_by_all_work_through_its_kernel(look: Look) -> None:
    database, ended = look().database, "UPDATE b_option SET VALUE = %s WHERE NAME = '~support_finish_date'"
    database.execute(ended, "2020-01-01")
    look().purge()
    try:
        found = contract.prove(look(), ["page", "rest", "kernel-options"])
        with pytest.raises(EncajaError, match="ended in its prolog"):
            list(kernel.call(look().portal.root, "box.example", "emit(true);", user="root"))
    finally:
        database.execute(ended, "2099-12-31")
    assert ids(found, "differs") == {"page-licence"}, said(found)
    assert {"kernel-options", "rest-webhook"} <= ids(found, "unproven")
    assert "coupon_activation.php" in said(found)["rest-webhook"]


def test_a_kernel_without_an_interface_that_the_kit_calls_differs(box: tuple[Path, str], look: Look) -> None:
    with altered(
        box[0] / "bitrix/modules/search/lib/search.php", ("function ReIndexAll", "function ReIndexEverything")
    ):
        found = contract.prove(look(), ["kernel-reindex"])
    assert ids(found, "differs") == {"kernel-reindex"}, said(found)


def test_in_check_mode_nothing_is_written(box: tuple[Path, str], look: Look) -> None:
    """Apart from when an agent ran last: the pages of the test before may have started one that still runs."""

    def written() -> tuple[Any, ...]:
        rows = look().database.rows
        return (
            rows("CHECKSUM TABLE b_option, b_event, b_rest_ap, b_user, b_module"),
            rows("SELECT ID, MODULE_ID, NAME, ACTIVE, IS_PERIOD, AGENT_INTERVAL FROM b_agent ORDER BY ID"),
        )

    with frozen(box[0]):
        before = written()
        found = contract.prove(look(), write=False)
        assert written() == before
    assert found["differences"] == 0
    assert {one.id for one in contract.CONTRACT if one.writes} <= ids(found, "unproven")


def test_where_there_is_no_portal_yet_nothing_is_proven_and_nothing_fails(tmp_path: Path) -> None:
    module = load("prove")
    given = {"domain": "crm.acme.es", "root": str(tmp_path), "state": str(tmp_path), "only": ["table"]}
    found = module.look(task(**given))["proof"]
    assert found["differences"] == 0
    assert {one["state"] for one in found["assumptions"]} == {"unproven"}
    assert "no portal here" in found["warnings"][0]
    with pytest.raises(Exception, match="no assumption is called 'tabel'"):
        module.look(task(**{**given, "only": ["tabel"]}))
