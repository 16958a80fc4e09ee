from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.errors import ConfigurationError, EncajaError
from encaja.portal import (
    applications,
    background_work,
    cache,
    checks_case,
    checks_server,
    cloud,
    domain,
    files,
    php,
    pull,
    search,
    users,
)
from encaja.portal.plan import Plan
from encaja.portal.serialized import serialize, unserialize
from encaja.portal.site import Portal
from encaja.restore.load import sampling
from integration.portal.cloud_portal import HASH, NEW, OLD, again

pytestmark = pytest.mark.integration
POLICY = domain.DomainPolicy(NEW, mail_from="crm@acme.es")


def settled_domain(portal: Portal, kept: Path) -> Portal:
    plan, change = domain.plan_domain(portal, POLICY)
    plan.apply(portal.database, kept)
    portal.note(old_hosts=list(change.old))
    return again(portal)


def test_the_domain_reaches_into_packed_templates_and_a_damaged_one_is_named(portal: Portal, tmp_path: Path) -> None:
    """Workflow templates are packed or not, by their age; what cannot be read stays, and the rest goes on."""
    said = serialize([{"Properties": {"Text": f"Más: https://{OLD}/pub/", "Nested": serialize({"u": OLD}).decode()}}])
    rows: dict[int, bytes] = {1: zlib.compress(said, 9), 2: said, 3: zlib.compress(said, 9)[:-9], 4: b"\x1f\x8b\xff"}
    for number, template in rows.items():
        portal.database.execute(
            "INSERT INTO b_bp_workflow_template (ID, ENTITY, DOCUMENT_TYPE, TEMPLATE, PARAMETERS, MODIFIED)"
            " VALUES (%s, 'CCrmDocumentLead', 'LEAD', %s, %s, NOW())", number, template, zlib.compress(b"a:0:{}", 9),
        )  # fmt: skip
    full = serialize([OLD, random.Random(1).randbytes(0xFFFF).hex()[: 0xFFFF - 100]])
    portal.database.execute("UPDATE b_bp_workflow_template SET VARIABLES = %s WHERE ID = 2", full)
    portal.database.execute(
        "INSERT INTO b_bp_workflow_instance (ID, ENTITY, DOCUMENT_ID, WORKFLOW_TEMPLATE_ID, WORKFLOW, MODIFIED)"
        " VALUES ('w1', 'CCrmDocumentLead', 'LEAD_1', 1, %s, NOW())", rows[1],
    )  # fmt: skip
    assert domain.scan(portal, [OLD]).tables["b_bp_workflow_template.TEMPLATE"] == 2
    plan, _ = domain.plan_domain(portal, domain.DomainPolicy("a-far-longer-name." * 4 + NEW))
    assert [one.split(":")[0] for one in plan.warnings if "b_bp_" in one] == [
        "b_bp_workflow_template.VARIABLES[2]", "b_bp_workflow_template.TEMPLATE[3]",
        "b_bp_workflow_template.TEMPLATE[4]",
    ]  # fmt: skip
    assert zlib.compress(said, 9).decode("latin-1") not in str(plan.diff())
    after = settled_domain(portal, tmp_path / "kept")
    wanted = serialize([{"Properties": {"Text": f"Más: https://{NEW}/pub/", "Nested": serialize({"u": NEW}).decode()}}])
    found = {r["ID"]: r["TEMPLATE"] for r in after.database.rows("SELECT ID, TEMPLATE FROM b_bp_workflow_template")}
    assert found == {1: zlib.compress(wanted, 9), 2: wanted, 3: rows[3], 4: rows[4]}
    assert after.database.value("SELECT WORKFLOW FROM b_bp_workflow_instance") == found[1]
    assert not [name for name in domain.scan(after, [OLD]).tables if name.startswith("b_bp_")]
    again_planned, _ = domain.plan_domain(after, POLICY)
    assert not [row.label for row in again_planned.rows if row.label.startswith("b_bp_")]


def test_domain_reaches_every_setting_and_a_second_run_finds_nothing(portal: Portal, tmp_path: Path) -> None:
    after = settled_domain(portal, tmp_path / "kept")
    assert after.option("main", "server_name") == NEW
    assert after.option("main", "mail_link_protocol") == "https"
    assert after.option("main", "email_from") == "crm@acme.es"
    for module, name in domain.ADDRESS_OPTIONS:
        assert after.option(module, name) == f"https://{NEW}"
    assert unserialize(after.option("crm", "form_links")) == {"form": f"https://{NEW}/pub/form/ñ/", "n": 2}
    assert json.loads(after.option("intranet", "settings")) == {"url": f"https://{NEW}/company/"}
    assert (after.sites[0]["SERVER_NAME"], after.sites[0]["DOC_ROOT"]) == (NEW, "")
    assert [row["DOMAIN"] for row in after.database.rows("SELECT DOMAIN FROM b_lang_domain")] == [NEW]
    fields = unserialize(after.database.value("SELECT C_FIELDS FROM b_event LIMIT 1"))
    assert fields == {"URL": f"https://{NEW}/crm/"}
    assert after.settings["custom"]["value"]["callback"] == f"https://{NEW}/x"
    assert after.settings["cookies"]["value"] == {"secure": True, "http_only": True}
    assert php.read_define(after.dbconn, "BX24_HOST_NAME") is None
    assert OLD not in after.text(after.root / "robots.txt")
    second, change = domain.plan_domain(after, POLICY)
    assert not second.changed, second.diff()
    assert change.old == (OLD,)


def test_damaged_value_is_left_alone_and_told(portal: Portal) -> None:
    plan, _ = domain.plan_domain(portal, POLICY)
    assert any("landing" in warning and "damaged" in warning for warning in plan.warnings)
    assert not any("landing/broken" in row.label for row in plan.rows)


def test_scan_names_table_and_column_of_what_people_wrote(portal: Portal, tmp_path: Path) -> None:
    after = settled_domain(portal, tmp_path / "kept")
    remains = domain.scan(after, [OLD])
    assert remains.tables == {"b_im_message.MESSAGE": 1, "b_option.VALUE": 1}
    assert remains.files == ["page.php"]
    policy = domain.DomainPolicy(NEW, content=("b_im_message.MESSAGE",))
    plan, _ = domain.plan_domain(after, policy)
    plan.apply(after.database, tmp_path / "kept")
    assert after.database.value("SELECT MESSAGE FROM b_im_message") == f"look at https://{NEW}/docs/1"


def test_everything_everywhere_leaves_only_what_cannot_be_read(portal: Portal, tmp_path: Path) -> None:
    plan, _ = domain.plan_domain(portal, domain.DomainPolicy(NEW, content=("*",)))
    plan.apply(portal.database, tmp_path / "kept")
    assert domain.scan(again(portal), [OLD]).tables == {"b_option.VALUE": 1}


@pytest.mark.parametrize(
    ("sql", "policy", "what"),
    [
        ("UPDATE b_lang SET ACTIVE='N'", POLICY, "no active site"),
        ("SELECT 1", domain.DomainPolicy(NEW, site="zz"), "no active site 'zz'"),
        ("INSERT INTO b_lang (LID, NAME, DIR, LANGUAGE_ID, SERVER_NAME) VALUES ('s2', 'B', '/b/', 'es', 'b.example')",
         POLICY, "different hosts"),
        ("SELECT 1", domain.DomainPolicy(NEW, content=("b_nothing.X",)), "no such column"),
        ("SELECT 1", domain.DomainPolicy("https://crm.acme.es"), "no valid host"),
    ],
)  # fmt: skip
def test_bad_sites_and_policies_change_nothing(
    portal: Portal, sql: str, policy: domain.DomainPolicy, what: str
) -> None:
    portal.database.execute(sql)
    with pytest.raises(ConfigurationError, match=what):
        domain.plan_domain(portal, policy)


def test_second_site_of_the_same_host_gets_the_domain_too_and_a_sub_path_is_told(portal: Portal) -> None:
    portal.database.execute(
        "INSERT INTO b_lang (LID,NAME,DIR,LANGUAGE_ID,SERVER_NAME) VALUES ('ex','Extranet','/extranet/','es',%s)", OLD
    )
    portal.database.execute("UPDATE b_lang SET DIR='/portal/' WHERE LID='s1'")
    plan, _ = domain.plan_domain(portal, POLICY)
    assert plan.report["sites"] == ["s1", "ex"]
    assert any("/portal/" in warning for warning in plan.warnings)


def test_settings_that_are_no_data_are_named_and_nothing_is_touched(portal: Portal) -> None:
    path = portal.settings_path
    text = path.read_text().replace("'readonly' => true", "'readonly' => true, 'x' => function () {}", 1)
    path.write_text(text)
    with pytest.raises(EncajaError, match=r"\.settings\.php:\d+: a closure"):
        domain.plan_domain(again(portal), POLICY)
    assert path.read_text() == text


@pytest.mark.fault("disk full", "settle", "when half of the files are written")
def test_a_disk_full_half_way_puts_rows_and_files_back_and_the_next_run_settles(
    portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, _ = domain.plan_domain(portal, POLICY)
    from encaja.portal import plan as plans

    real, calls = plans.write, []

    def failing(path: Path, data: bytes, *attributes: files.Attributes) -> None:
        calls.append(path)
        with monkeypatch.context() as patch:
            if len(calls) == 2:
                patch.setattr(os, "fsync", no_room)
            real(path, data, *attributes)

    def no_room(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(plans, "write", failing)
    plan.files.insert(0, plans.FileChange(portal.root / "bitrix/new.php", "", "<?php", "", ""))
    before = {path: path.read_bytes() for path in portal.root.rglob("*") if path.is_file()}
    with pytest.raises(EncajaError, match="No space left on device"):
        plan.apply(portal.database, tmp_path / "kept")
    assert {path: path.read_bytes() for path in portal.root.rglob("*") if path.is_file()} == before
    assert again(portal).option("main", "server_name") == ""
    monkeypatch.setattr(plans, "write", real)
    after = settled_domain(again(portal), tmp_path / "kept")
    assert after.option("main", "server_name") == NEW
    assert not domain.plan_domain(after, POLICY)[0].changed


def test_a_tree_that_cannot_be_written_is_told_and_nothing_is_changed(
    portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(**_: Any) -> Any:
        raise OSError(errno.EROFS, "Read-only file system")

    plan, _ = domain.plan_domain(portal, POLICY)
    monkeypatch.setattr(tempfile, "mkstemp", read_only)
    before = {path: path.read_bytes() for path in portal.root.rglob("*") if path.is_file()}
    with pytest.raises(EncajaError, match="cannot be written: Read-only file system") as caught:
        plan.apply(portal.database, tmp_path / "kept")
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in portal.root.rglob("*") if path.is_file()} == before
    assert again(portal).option("main", "server_name") == ""


@contextlib.contextmanager
def immutable(path: Path) -> Iterator[None]:
    """A file that even root cannot change, replace or remove."""
    if subprocess.run(["chattr", "+i", path], capture_output=True, check=False).returncode:
        pytest.skip("this file system has no immutable files, or this is not root")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", path], check=True)


@contextlib.contextmanager
def mounted_read_only(path: Path) -> Iterator[None]:
    """A directory below which nothing can be written."""
    if subprocess.run(["mount", "--bind", path, path], capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", path], check=True)
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def contents(root: Path) -> dict[Path, tuple[bytes, int, int]]:
    """Every file below a directory with its owner and mode."""
    return {
        path: (path.read_bytes(), path.stat().st_uid, path.stat().st_mode) for path in root.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    ("guard", "place", "words"),
    [
        (immutable, "bitrix/.settings.php", "Operation not permitted"),
        (immutable, "bitrix/.settings_extra.php", "Operation not permitted"),  # which is to go
        (mounted_read_only, "bitrix", "Read-only file system"),
    ],
)
def test_what_really_cannot_be_written_is_told_and_the_rest_is_put_back(
    portal: Portal, tmp_path: Path, guard: Callable[[Path], AbstractContextManager[None]], place: str, words: str
) -> None:
    (portal.root / "bitrix/.settings_extra.php").write_text(php.render_settings({"pull": {"value": {"nginx": "Y"}}}))
    os.chown(portal.root / "robots.txt", 65534, 65534)
    portal = again(portal)
    plan, _ = domain.plan_domain(portal, POLICY)
    portal.set_settings(plan, {**portal.settings, "encaja": {"value": 1}})
    portal.set_extra(plan, {})
    guarded = [change for change in plan.files if change.path.is_relative_to(portal.root / place)]
    plan.files.sort(key=lambda change: change in guarded)
    assert plan.rows
    assert 0 < len(guarded) < len(plan.files)
    before, kept = contents(portal.root), tmp_path / "kept"
    with guard(portal.root / place), pytest.raises(EncajaError, match=words) as caught:
        plan.apply(portal.database, kept)
    assert "\n" not in str(caught.value)
    assert str(guarded[0].path) in str(caught.value)
    assert contents(portal.root) == before
    assert again(portal).option("main", "server_name") == ""
    assert {path.read_bytes() for path in kept.iterdir()} >= {
        before[change.path][0] for change in plan.files if change not in guarded and change.path in before
    }
    plan.apply(portal.database, kept)
    assert again(portal).option("main", "server_name") == NEW
    assert portal.settings_path.read_text() != before[portal.settings_path][0].decode()


def test_a_new_file_belongs_to_who_reads_it(portal: Portal) -> None:
    os.chown(portal.root / "bitrix", 65534, 65534)
    files.write(portal.root / "bitrix/new.php", b"<?php")
    assert (portal.root / "bitrix/new.php").stat().st_uid == 65534


def test_a_portal_on_a_sub_path_and_foreign_roots_are_found(portal: Portal) -> None:
    scene: Any = SimpleNamespace(portal=portal)
    assert "document root '/home/cloud/www'" in checks_case.sites(scene).evidence
    portal.database.execute("UPDATE b_lang SET DIR='/portal/', DOC_ROOT=''")
    scene.portal = again(portal)
    assert "site s1 is in /portal/" in checks_case.sites(scene).evidence


def test_differences_show_no_secrets(portal: Portal) -> None:
    plan = cloud.plan_cloud(portal, cloud.CloudPolicy("BOX-LICENCE-1"))
    plan.extend(pull.plan_pull(portal, pull.PullPolicy("push-key-1")))
    plan.extend(domain.plan_domain(portal, POLICY)[0])
    background_work.plan_constants(portal, plan, frozen=True, cron=True)
    shown = json.dumps(plan.diff())
    for secret in ("BOX-LICENCE-1", "push-key-1", "cloud-secret", "source-crypto-key", "cloud-key", "dbconn-password"):
        assert secret not in shown


def test_pull_rows_go_and_the_file_gets_the_box_server(portal: Portal, tmp_path: Path) -> None:
    policy = pull.PullPolicy("k" * 32)
    plan = pull.plan_pull(portal, policy)
    plan.apply(portal.database, tmp_path / "kept")
    after = again(portal)
    assert {name: value for (module, name), value in after.options.items() if module == "pull"} == {
        "server_mode": "personal",
        "config_timestamp": "1700000000",
    }
    assert after.section("pull") == pull.section(policy)
    assert after.settings["crypto"] == portal.settings["crypto"]
    assert after.database.count("SELECT COUNT(*) FROM b_pull_channel") == 0
    assert not pull.plan_pull(after, policy).changed


def test_extra_settings_cannot_bring_the_cloud_back(portal: Portal, tmp_path: Path) -> None:
    portal.extra_path.write_text("<?php return ['pull' => ['value' => ['nginx' => 'N']]];")
    portal = again(portal)
    pull.plan_pull(portal, pull.PullPolicy("k")).apply(portal.database, tmp_path / "kept")
    assert not portal.extra_path.exists()
    assert again(portal).section("pull")["nginx"] == "Y"


def test_users_are_sorted_by_what_keeps_them_out(portal: Portal) -> None:
    reasons = {user.id: user.reason for user in users.read_users(portal)}
    assert reasons == {
        1: "ok",
        2: "network",
        3: "network",
        4: "ok",
        5: "inactive",
        7: "network",
        8: "no_password",
        10: "external",
    }


def test_marks_of_employees_are_cleared_with_free_logins(portal: Portal, tmp_path: Path) -> None:
    plan, cured = users.plan_users(portal, clear_marks=True)
    assert set(cured) == {"2", "3", "8"}
    assert plan.report["cured"] == 2
    plan.apply(portal.database, tmp_path / "kept")
    portal.note(recovery=cured)
    after = again(portal)
    rows = {row["ID"]: row for row in after.database.rows("SELECT ID, LOGIN, EXTERNAL_AUTH_ID FROM b_user")}
    assert (rows[2]["LOGIN"], rows[2]["EXTERNAL_AUTH_ID"]) == ("ana@acme.es", None)
    assert (rows[3]["LOGIN"], rows[3]["EXTERNAL_AUTH_ID"]) == ("luis@acme.es", None)
    assert rows[6]["EXTERNAL_AUTH_ID"] == "bot"
    assert rows[7]["EXTERNAL_AUTH_ID"] == "socservices"
    assert users.pending_recovery(after) == [2, 3, 8]
    assert {user.id for user in users.read_users(after, [2, 3, 8]) if user.reason == "recovery"} == {2, 3, 8}
    second, cured = users.plan_users(after, clear_marks=True)
    assert not second.changed
    assert not cured
    after.database.execute("UPDATE b_user SET PASSWORD = %s WHERE ID = 2", HASH[:-6] + "abcdef")
    assert users.pending_recovery(again(portal)) == [3, 8]


def test_list_for_the_administrator_is_no_formula(portal: Portal) -> None:
    text = users.as_csv(users.read_users(portal), "es")
    assert "'=cmd|calc" in text
    assert "solo entra por Bitrix24.Network" in text
    assert HASH not in text


def test_cloud_is_left_behind(portal: Portal, tmp_path: Path) -> None:
    policy = cloud.CloudPolicy("BOX")
    cloud.plan_cloud(portal, policy).apply(portal.database, tmp_path / "kept")
    after = again(portal)
    assert "bitrix24" not in after.modules
    assert after.database.count("SELECT COUNT(*) FROM b_module_to_module WHERE TO_MODULE_ID='bitrix24'") == 0
    assert "BX24_" not in after.dbconn
    assert "BX_CACHE_TYPE" not in after.dbconn
    assert 'define("CACHED_b_option", 3600);' in after.dbconn
    assert php.read_variable(after.text(after.root / "bitrix/license_key.php"), "LICENSE_KEY") == "BOX"
    assert after.option("rest", "service_client_secret") == ""
    found = {row["code"]: row for row in applications.inventory(after) if row["kind"] == "application"}
    assert (found["vendor.app"]["active"], found["local.1"]["active"]) == (False, False)
    assert "buy" in found["vendor.app"]["cure"]
    bots = {row["code"]: row["active"] for row in cloud.inventory_bots(after)}
    assert bots == {"marta": False, "own": True}
    assert after.database.value("SELECT HANDLER_ID FROM b_file WHERE ID = 1") is None
    assert after.database.value("SELECT ACTIVE FROM b_clouds_file_bucket") == "N"
    assert cloud.cloud_files(after)["missing_samples"] == ["im/2/nowhere.txt"]
    assert not cloud.plan_cloud(after, policy).changed


def test_waiting_mail_is_held_and_new_mail_is_not(portal: Portal, tmp_path: Path) -> None:
    policy = background_work.WorkPolicy()
    plan, notes = background_work.plan_work(portal, policy)
    plan.apply(portal.database, tmp_path / "kept")
    portal.note(**notes)
    after = again(portal)
    assert background_work.mail_counts(after) == {"waiting": 0, "held": 3, "mailboxes": 0}
    assert [(kind["event"], kind["mails"]) for kind in background_work.held_mail(after)] == [("NEW_LEAD", 3)]
    assert background_work.is_frozen(after)
    assert 'if (!(defined("CHK_EVENT") && CHK_EVENT === true)) define("BX_CRONTAB_SUPPORT", true);' in after.dbconn
    assert not background_work.strict_groups(after, 1440)
    assert unserialize(after.database.value("SELECT SECURITY_POLICY FROM b_group WHERE ID=1")) == {
        "SESSION_TIMEOUT": 1440, "SESSION_IP_MASK": "0.0.0.0", "MAX_STORE_NUM": 10,
    }  # fmt: skip
    assert after.option("main", "session_expand") == "N"
    assert after.option("tasks", "task_forum_id") == "8"
    assert background_work.comment_counts(after)["low_counts"] == 0
    after.database.execute("INSERT INTO b_event (EVENT_NAME, LID) VALUES ('USER_PASS_REQUEST', 's1')")
    second, _ = background_work.plan_work(again(portal), policy)
    assert not second.changed, second.diff()
    released, _ = background_work.plan_work(again(portal), background_work.WorkPolicy(frozen=False, mail="release"))
    released.apply(portal.database, tmp_path / "kept")
    assert background_work.mail_counts(again(portal))["waiting"] == 4
    assert not background_work.is_frozen(again(portal))


@pytest.mark.parametrize("own", [None, {"run_mode": "web", "brokers": {}}, {"run_mode": "cli"}, {"brokers": {}}])
@pytest.mark.parametrize("extra", [False, True])
def test_the_messenger_stands_still_until_the_release_and_is_as_before(
    portal: Portal, tmp_path: Path, own: dict[str, Any] | None, extra: bool
) -> None:
    if own is not None:
        path = portal.extra_path if extra else portal.settings_path
        sections = {} if extra else portal.settings
        plan = Plan()
        fresh = again(portal)
        save = fresh.set_extra if extra else fresh.set_settings
        save(plan, {**sections, "messenger": {"value": own, "readonly": True}})
        plan.apply(portal.database, tmp_path / "kept")
        assert path.exists()
    before = again(portal).effective
    for _ in range(2):
        plan = Plan()
        background_work.plan_messenger(again(portal), plan, frozen=True)
        plan.apply(portal.database, tmp_path / "kept")
        assert again(portal).section("messenger")["run_mode"] == "cli"
    assert not plan.changed
    for _ in range(2):
        plan = Plan()
        background_work.plan_messenger(again(portal), plan, frozen=False)
        plan.apply(portal.database, tmp_path / "kept")
        assert again(portal).effective == before
    assert not plan.changed


def test_a_sites_own_value_does_not_bring_agents_back_to_pages(portal: Portal, tmp_path: Path) -> None:
    portal.database.execute(
        "INSERT INTO b_option_site (MODULE_ID, NAME, SITE_ID, VALUE) VALUES ('main', 'check_agents', 's1', 'Y')"
    )
    plan, _ = background_work.plan_work(again(portal), background_work.WorkPolicy())
    plan.apply(portal.database, tmp_path / "kept")
    after = again(portal)
    assert after.option("main", "check_agents") == after.site_options["main", "check_agents", "s1"] == "N"
    assert not background_work.plan_work(after, background_work.WorkPolicy())[0].changed


def test_lost_comments_are_told_and_not_counted_away(portal: Portal, tmp_path: Path) -> None:
    portal.database.execute("UPDATE b_forum_topic SET POSTS = 5 WHERE ID = 101")
    plan, _ = background_work.plan_work(portal, background_work.WorkPolicy())
    plan.apply(portal.database, tmp_path / "kept")
    counts = background_work.comment_counts(again(portal))
    assert (counts["missing"], counts["low_counts"]) == (2, 0)
    scene: Any = SimpleNamespace(portal=again(portal))
    assert "2 comments are missing" in checks_case.comments(scene).evidence


def test_comments_are_held_against_the_dump(portal: Portal, tmp_path: Path) -> None:
    assert background_work.compare_with_dump(portal, tmp_path) is None
    assert not background_work.dump_begun(portal, tmp_path)
    columns = list(portal.columns["b_forum_message"])
    rows = portal.database.rows("SELECT * FROM b_forum_message ORDER BY ID")

    def literal(value: Any) -> str:
        return "NULL" if value is None else str(portal.database.connection.escape(value))

    frame = "INSERT INTO `b_forum_message` VALUES\n" + ",\n".join(
        f"({','.join(literal(row[name]) for name in columns)})" for row in rows
    )
    held = sampling.take([frame.encode() + b"\n;", None])
    assert (held["rows"], len(held["samples"])) == (8, 8)
    (tmp_path / "stamp").mkdir()
    sampling.keep(
        tmp_path / "stamp" / "dump.json", portal.database.name, "b_forum_message", held, "2026-03-01 18:30:05"
    )
    assert background_work.dump_begun(portal, tmp_path) == "2026-03-01 18:30:05"
    assert (tmp_path / "stamp" / "dump.json").stat().st_mode & 0o077 == 0
    same = {"rows": 8, "absent": 0, "samples": 8, "samples_absent": 0, "samples_different": 0}
    assert background_work.compare_with_dump(portal, tmp_path) == same
    portal.database.execute("UPDATE b_forum_message SET POST_MESSAGE = 'cut' WHERE ID = %s", rows[1]["ID"])
    portal.database.execute("DELETE FROM b_forum_message WHERE ID = %s", rows[5]["ID"])
    lost = {**same, "absent": 1, "samples_absent": 1, "samples_different": 1}
    assert background_work.compare_with_dump(again(portal), tmp_path) == lost


def test_the_connection_has_the_databases_collation(portal: Portal) -> None:
    scene: Any = SimpleNamespace(portal=portal)
    assert checks_server.connection_charset(scene).state == "ok"
    file = portal.root / "bitrix/php_interface/after_connect_d7.php"
    file.write_text("<?php $this->queryExecute(\"SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'\");")
    assert "utf8mb4_bin, the database utf8mb4" in checks_server.connection_charset(scene).evidence
    file.write_text("<?php $this->queryExecute('SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci');")
    assert checks_server.connection_charset(scene).state == "ok"


def test_tables_that_a_module_misses_are_named(portal: Portal) -> None:
    script = portal.root / "bitrix/modules/tasks/install/mysql/install.sql"
    script.parent.mkdir(parents=True)
    script.write_text("CREATE TABLE IF NOT EXISTS b_tasks (ID int, NEW_ONE varchar(3) DEFAULT ',(', PRIMARY KEY (ID));"
                      "create table b_tasks_later (ID int);")  # fmt: skip
    scene: Any = SimpleNamespace(portal=portal)
    evidence = checks_server.table_structure(scene).evidence
    assert evidence == "2 tables or columns are missing: b_tasks.new_one, b_tasks_later"


def test_a_table_for_measuring_goes_again(portal: Portal) -> None:
    scene: Any = SimpleNamespace(portal=portal)
    assert "rows per second" in checks_server.inserts(scene).evidence
    assert not again(portal).has("encaja_speed")


def test_purged_mail_is_gone_but_new_mail_is_not(portal: Portal, tmp_path: Path) -> None:
    _, notes = background_work.plan_work(portal, background_work.WorkPolicy())
    portal.note(**notes)
    portal.database.execute("INSERT INTO b_event (EVENT_NAME, LID) VALUES ('NEW', 's1')")
    plan, _ = background_work.plan_work(again(portal), background_work.WorkPolicy(mail="purge"))
    plan.apply(portal.database, tmp_path / "kept")
    assert portal.database.count("SELECT COUNT(*) FROM b_event") == 1


def test_search_that_is_empty_or_does_not_find_has_to_be_rebuilt(portal: Portal, tmp_path: Path) -> None:
    plan = search.plan_search(portal, "mysql")
    assert search.needs_reindex(plan.report)
    plan.apply(portal.database, tmp_path / "kept")
    after = again(portal)
    assert ("main", "~ft_b_user_index") not in after.options
    for task in (1, 2):
        after.database.execute(
            "INSERT INTO b_search_content (ID, DATE_CHANGE, MODULE_ID, ITEM_ID, TITLE)"
            " VALUES (%s, NOW(), 'tasks', %s, %s)",
            task, str(task), f"Presupuesto número {task}",
        )  # fmt: skip
        after.database.execute("INSERT INTO b_search_content_text VALUES (%s, '', 'PRESUPUESTO')", task)
    assert not search.needs_reindex(search.index_state(after))


def test_caches_are_emptied(portal: Portal) -> None:
    assert cache.purge(portal.root, portal.effective) == ["managed_cache: 1 entries"]
    assert list((portal.root / "bitrix/managed_cache").iterdir()) == []
    assert cache.purge(portal.root, portal.effective) == []
