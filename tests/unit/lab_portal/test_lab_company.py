"""The company is the same for the same seed, holds together, and hides the cloud's host in valid values."""

# ruff: noqa: ARG002 - the notes take what a store takes; statements are made from constants

from __future__ import annotations

import json
import random
import subprocess
import zlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest

from encaja.portal import neutralise
from encaja.portal.site import Portal
from lab.company import build, keys, office, store
from support.neutralise_rules import harmless, shipped
from unit.lab_portal.standin import SIZES, PortalUnderTest

HOST = "cloud.encaja.test"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("España", 's:7:"España";'),
        (True, "b:1;"),
        (None, "N;"),
        ([1, "a"], 'a:2:{i:0;i:1;i:1;s:1:"a";}'),
        ({"k": {"n": 1.5}}, 'a:1:{s:1:"k";a:1:{s:1:"n";d:1.5;}}'),
    ],
)
def test_php_form_counts_bytes(value: Any, expected: str) -> None:
    assert store.php(value) == expected


@pytest.mark.integration
def test_php_reads_back_what_was_serialised() -> None:
    dice = random.Random(5)
    values = [{f"clave ñ{n}": [dice.random(), "á" * dice.randrange(9), None, dice.random() < 0.5]} for n in range(50)]
    program = "echo json_encode(array_map('unserialize', json_decode(stream_get_contents(STDIN))));"
    done = subprocess.run(
        ["php", "-d", "serialize_precision=-1", "-r", program],
        input=json.dumps([store.php(v) for v in values]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == values


class Notes:
    """A store that notes what it is given."""

    name = "noted"
    bucket = None

    def __init__(self, docroot: Path) -> None:
        self.docroot = docroot
        self.rows: dict[str, list[Any]] = {}
        self.contents: list[bytes] = []

    def insert(self, table: str, rows: Iterable[Any], verb: str = "INSERT") -> int:
        self.rows.setdefault(table, []).extend(dict(row) for row in rows)
        return 0

    def execute(self, sql: str, arguments: tuple[Any, ...] | None = None) -> None:
        self.rows.setdefault(sql, []).append(arguments)

    def value(self, sql: str) -> int:
        return 7

    def next_id(self, table: str, column: str = "ID") -> int:
        return 7

    def file(self, number: int, module: str, name: str, content: bytes, *, cloud: bool = False) -> dict[str, Any]:
        self.contents.append(content)
        return {"ID": number, "NAME": name, "FILE_SIZE": len(content)}


def noted(docroot: Path, seed: int) -> dict[str, list[Any]]:
    notes = Notes(docroot)
    context = build.Context(cast(store.Store, notes), HOST, seed, build.Sizes(**SIZES))
    context.now = datetime(2026, 3, 1, 12)
    for part in build.PARTS:
        part(context)
    return notes.rows


@pytest.mark.integration
def test_same_seed_makes_the_same_company_and_another_one_another(tmp_path: Path) -> None:
    once = noted(tmp_path, 3)
    assert noted(tmp_path, 3) == once
    other = noted(tmp_path, 4)
    assert other.keys() == once.keys()
    assert other["b_crm_lead"] != once["b_crm_lead"]


@pytest.mark.integration
def test_photographs_are_the_same_each_time_and_do_not_shrink(tmp_path: Path) -> None:
    def taken(docroot: Path) -> dict[str, list[Any]]:
        notes = Notes(docroot)
        context = build.Context(cast(store.Store, notes), HOST, 3, build.Sizes(photos=9))
        context.now, context.staff = datetime(2026, 3, 1, 12), [1, 2]
        assert office.photographs(context) == {"photographs": 9}
        return {**notes.rows, "contents": notes.contents}

    first = taken(tmp_path)
    assert taken(tmp_path) == first
    folders = {row["ID"] for row in first["b_disk_object"] if row["TYPE"] == 2}
    photographs = [row for row in first["b_disk_object"] if row["TYPE"] == 3]
    assert {row["PARENT_ID"] for row in photographs} <= folders
    assert [row["SIZE"] for row in photographs] == [len(content) for content in first["contents"]]
    packed = zlib.compress(b"".join(first["contents"]), 9)
    assert len(packed) > 0.99 * sum(len(content) for content in first["contents"])


@pytest.mark.integration
def test_counts_are_as_asked(installed: PortalUnderTest) -> None:
    tables = {"b_crm_company": "companies", "b_crm_lead": "leads", "b_crm_deal": "deals", "b_tasks": "tasks"}
    for table, name in tables.items():
        first = [row["ID"] for row in installed.sql(f"SELECT ID FROM {table} ORDER BY ID LIMIT %s", SIZES[name])]
        assert first == list(range(1, SIZES[name] + 1))
    marks = installed.sql("SELECT EXTERNAL_AUTH_ID AS MARK, COUNT(*) AS N FROM b_user GROUP BY 1")
    counts = {row["MARK"]: row["N"] for row in marks}
    assert counts["socservices"] == SIZES["users"] * 3 // 5
    assert counts["bot"] == 3


@pytest.mark.integration
def test_records_are_older_the_lower_their_number(installed: PortalUnderTest) -> None:
    for table in ("b_crm_company", "b_crm_contact", "b_crm_lead", "b_crm_deal"):
        rows = installed.sql(f"SELECT DATE_CREATE, DATE_MODIFY FROM {table} ORDER BY ID LIMIT 30")
        created = [row["DATE_CREATE"] for row in rows]
        assert created == sorted(created)
        assert all(row["DATE_MODIFY"] >= row["DATE_CREATE"] for row in rows)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("child", "condition", "parent"),
    [
        ("b_crm_deal_contact", "c.CONTACT_ID=p.ID", "b_crm_contact"),
        ("b_crm_timeline_bind", "c.OWNER_ID=p.ID", "b_crm_timeline"),
        ("b_crm_act_bind", "c.ACTIVITY_ID=p.ID", "b_crm_act"),
        ("b_forum_message", "c.TOPIC_ID=p.ID", "b_forum_topic"),
        ("b_im_message", "c.CHAT_ID=p.ID", "b_im_chat"),
        ("b_socialservices_user", "c.USER_ID=p.ID", "b_user"),
    ],
)
def test_nothing_hangs_in_the_air(installed: PortalUnderTest, child: str, condition: str, parent: str) -> None:
    assert installed.value(f"SELECT COUNT(*) FROM {child}")
    assert (
        installed.value(f"SELECT COUNT(*) FROM {child} c LEFT JOIN {parent} p ON {condition} WHERE p.ID IS NULL") == 0
    )


@pytest.mark.integration
def test_topics_count_their_comments_but_for_a_few_that_are_behind(installed: PortalUnderTest) -> None:
    off = installed.sql(
        "SELECT t.POSTS - (SELECT COUNT(*) FROM b_forum_message m WHERE m.TOPIC_ID=t.ID AND m.NEW_TOPIC='N') n"
        " FROM b_forum_topic t"
    )
    behind = [int(row["n"]) for row in off if row["n"]]
    assert set(behind) == {-1}
    assert 0 < len(behind) < len(off) / 4


@pytest.mark.integration
def test_files_of_messages_are_there(installed: PortalUnderTest) -> None:
    rows = installed.sql("SELECT SUBDIR, FILE_NAME, FILE_SIZE FROM b_file WHERE HANDLER_ID IS NULL AND MODULE_ID='im'")
    assert rows
    for row in rows:
        assert (installed.root / "upload" / row["SUBDIR"] / row["FILE_NAME"]).stat().st_size == row["FILE_SIZE"]


@pytest.mark.integration
def test_every_serialised_value_is_valid_and_the_host_is_in_many(installed: PortalUnderTest) -> None:
    columns = installed.sql(
        "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA='portal'"
        " AND DATA_TYPE IN ('varchar', 'text', 'mediumtext', 'longtext')"
    )
    serialised, places = [], set()
    for column in columns:
        table, name = column["TABLE_NAME"], column["COLUMN_NAME"]
        for row in installed.sql(
            f"SELECT `{name}` AS V FROM `{table}` WHERE `{name}` LIKE 'a:%%' OR `{name}` LIKE %s", f"%{HOST}%"
        ):
            if row["V"].startswith("a:"):
                serialised.append(row["V"])
            if HOST in row["V"]:
                places.add(f"{table}.{name}")
    program = "foreach (json_decode(stream_get_contents(STDIN)) as $v) { if (@unserialize($v) === false) { echo $v; } }"
    assert len(serialised) > 50
    assert installed.php("-r", program, stdin=json.dumps(serialised)) == ""
    assert len(places) > 25
    assert {"b_option.VALUE", "b_lang.SERVER_NAME", "b_event.C_FIELDS", "acme_sync_endpoint.CALLBACK_URL"} <= places


@pytest.mark.integration
def test_second_fill_is_refused(installed: PortalUnderTest) -> None:
    with pytest.raises(SystemExit, match="has users or leads already"):
        socket = installed.value("SELECT @@socket")
        database = {"host": f"localhost:{socket}", "name": "portal", "login": "root", "password": ""}
        build.build({"database": database, "host": HOST}, installed.root, build.Sizes(leads=1))


@pytest.mark.integration
def test_every_known_place_of_a_credential_has_one_with_its_mark(portal: PortalUnderTest) -> None:
    for table, (_, columns) in keys.ROWS.items():
        for column in columns:
            mark = keys.mark(f"{table}.{column}").encode()
            values = [row["v"] for row in portal.sql(f"SELECT `{column}` AS v FROM {table}") if row["v"]]
            stored = [value if isinstance(value, bytes) else str(value).encode() for value in values]
            plain = [zlib.decompress(value) if value[:2] == b"x\xda" else value for value in stored]
            assert any(mark[2:] in value for value in plain), f"{table}.{column}"


@pytest.mark.integration
def test_what_workflow_templates_say_is_packed(portal: PortalUnderTest) -> None:
    for row in portal.sql("SELECT TEMPLATE, PARAMETERS FROM b_bp_workflow_template"):
        assert all(zlib.decompress(value).startswith(b"a:") for value in row.values())


@pytest.mark.integration
def test_the_rules_about_a_copy_cover_the_whole_company_but_for_its_own_module(portal: PortalUnderTest) -> None:
    database = Portal(portal.root, portal.root).database
    found = neutralise.unknown_secrets(database, shipped(), harmless())
    assert found == [f"acme_sync_endpoint.{column}" for column in ("ENDPOINT_URL", "API_TOKEN")]
    assert neutralise.unfit_rules(database, shipped()) == []
    database.close()
