"""What a small cloud portal holds, for tests that settle it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pymysql

from encaja.portal.serialized import serialize
from encaja.portal.site import Portal

MODULES = Path(__file__).parents[2] / "lab" / "portal" / "www" / "bitrix" / "modules"
OLD = "acme.bitrix24.es"
NEW = "crm.acme.es"


def connect(socket: Path, database: str | None = None) -> pymysql.connections.Connection[Any]:
    return pymysql.connect(unix_socket=str(socket), user="root", database=database, autocommit=True, charset="utf8mb4")


SETTINGS = {
    "utf_mode": {"value": True, "readonly": True},
    "cookies": {"value": {"secure": False, "http_only": True}, "readonly": False},
    "crypto": {"value": {"crypto_key": "source-crypto-key"}, "readonly": True},
    "pull": {
        "value": {"path_to_publish": f"http://{OLD}/pub/", "signature_key": "cloud", "nginx": "N"},
        "readonly": False,
    },
    "custom": {"value": {"callback": f"https://{OLD}/x"}, "readonly": False},
}
DBCONN = f"""<?php
$DBPassword = "dbconn-password";
define("BX_UTF", true);
define("BX24_HOST_NAME", "{OLD}");
define("BX24_DB_NAME", "cloud");
define("BX_CACHE_TYPE", "memcache");
define("CACHED_b_option", 3600);
"""
HASH = "$6$0123456789abcdef$" + "x" * 86


def fill(cursor: Any) -> None:
    def insert(table: str, **values: Any) -> None:
        columns = ", ".join(f"`{name}`" for name in values)
        cursor.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({', '.join(['%s'] * len(values))})",
            list(values.values()),
        )

    for name in ("main", "pull", "im", "imbot", "imopenlines", "imconnector", "voximplant", "search", "tasks", "forum",
                 "rest", "disk", "crm", "bitrix24", "mail"):  # fmt: skip
        insert("b_module", ID=name)
    insert("b_module_to_module", FROM_MODULE_ID="main", MESSAGE_ID="OnProlog", TO_MODULE_ID="bitrix24")
    insert(
        "b_lang", LID="s1", DEF="Y", NAME="Acme", DIR="/", LANGUAGE_ID="es", SERVER_NAME="", DOC_ROOT="/home/cloud/www"
    )
    insert("b_lang_domain", LID="s1", DOMAIN=OLD)
    options = {
        ("main", "server_name"): "",
        ("main", "email_from"): "no-reply@bitrix24.es",
        ("main", "session_expand"): "Y",
        ("main", "dump_auto_enable_auto"): "1",
        ("main", "~ft_b_user_index"): "a:0:{}",
        ("imbot", "portal_url"): f"https://{OLD}",
        ("imopenlines", "portal_url"): "",
        ("crm", "form_links"): serialize({"form": f"https://{OLD}/pub/form/ñ/", "n": 2}).decode(),
        ("landing", "broken"): f's:99:"https://{OLD}/";',
        ("intranet", "settings"): '{"url":"https:\\/\\/' + OLD + '\\/company\\/"}',
        ("pull", "server_mode"): "shared",
        ("pull", "nginx"): "N",
        ("pull", "shared_server_key"): "cloud-key",
        ("pull", "config_timestamp"): "1700000000",
        ("disk", "successfully_converted"): "Y",
        ("rest", "service_client_id"): "app.1",
        ("rest", "service_client_secret"): "cloud-secret",
        ("tasks", "task_forum_id"): "99",
    }
    for (module, name), value in options.items():
        insert("b_option", MODULE_ID=module, NAME=name, VALUE=value)
    people = [
        (1, "admin", "admin@acme.es", "Y", None, HASH, "es"),
        (2, "ana@acme.es", "ana@acme.es", "Y", "socservices", HASH, "es"),
        (3, "luis", "luis@acme.es", "Y", "socservices", HASH, "en"),
        (4, "luis", "otro@acme.es", "Y", None, HASH, "es"),
        (5, "gone", "gone@acme.es", "N", "socservices", HASH, "es"),
        (6, "bot_x", "", "Y", "bot", "", "es"),
        (7, "guest", "guest@else.es", "Y", "socservices", HASH, "es"),
        (8, "nopass", "np@acme.es", "Y", "", "", "es"),
        (9, "marta", "", "Y", "bot", "", "es"),
        (10, "=cmd|calc", "eva@acme.es", "Y", "ldap#1", HASH, "es"),
    ]
    for number, login, email, active, mark, password, language in people:
        insert("b_user", ID=number, LOGIN=login, EMAIL=email, ACTIVE=active, EXTERNAL_AUTH_ID=mark, PASSWORD=password,
               LANGUAGE_ID=language, DATE_REGISTER="2026-01-01", NAME=login.title())  # fmt: skip
        department = serialize({0: 5}).decode() if number not in {6, 7, 9} else "a:0:{}"
        insert("b_uts_user", VALUE_ID=number, UF_DEPARTMENT=department)
    insert("b_im_bot", BOT_ID=9, MODULE_ID="imbot", CODE="marta", CLASS="\\Bitrix\\ImBot\\Bot\\Marta")
    insert("b_im_bot", BOT_ID=6, MODULE_ID="im", CODE="own", CLASS="\\Acme\\Bot")
    policy = serialize({"SESSION_TIMEOUT": 15, "SESSION_IP_MASK": "255.255.255.255", "MAX_STORE_NUM": 10}).decode()
    insert("b_group", ID=1, NAME="Admins", SECURITY_POLICY=policy)
    insert("b_group", ID=2, NAME="All", SECURITY_POLICY=serialize({"SESSION_TIMEOUT": 0}).decode())
    insert(
        "b_rest_app",
        CLIENT_ID="app.market",
        CODE="vendor.app",
        STATUS="P",
        URL="https://app.vendor.example/",
        SCOPE="crm",
    )
    insert("b_rest_app", CLIENT_ID="local.1", CODE="local.1", STATUS="L", URL=f"https://{OLD}/local/app/", SCOPE="crm")
    for _ in range(3):
        insert("b_event", EVENT_NAME="NEW_LEAD", LID="s1", C_FIELDS=serialize({"URL": f"https://{OLD}/crm/"}).decode())
    insert(
        "b_agent",
        MODULE_ID="main",
        NAME="x();",
        NEXT_EXEC="2026-01-01",
        RUNNING="Y",
        DATE_CHECK="2026-01-01",
        IS_PERIOD="N",
    )
    insert("b_im_message", CHAT_ID=1, AUTHOR_ID=1, MESSAGE=f"look at https://{OLD}/docs/1", DATE_CREATE="2026-01-01")
    insert("b_forum", ID=8, NAME="Tasks")
    for task in (1, 2):
        insert("b_tasks", ID=task, TITLE=f"Presupuesto número {task}", FORUM_TOPIC_ID=100 + task, SITE_ID="s1")
        insert("b_forum_topic", ID=100 + task, FORUM_ID=8, TITLE="t", USER_START_NAME="a", START_DATE="2026-01-01",
               LAST_POSTER_NAME="a", LAST_POST_DATE="2026-01-01", POSTS=1)  # fmt: skip
        for number in range(4):
            insert("b_forum_message", FORUM_ID=8, TOPIC_ID=100 + task, POST_DATE="2026-01-01",
                   POST_MESSAGE=f"c{number}", NEW_TOPIC="Y" if number == 0 else "N", APPROVED="Y")  # fmt: skip
    insert("b_file", ID=1, SUBDIR="im/1", FILE_NAME="here.txt", FILE_SIZE=4, HANDLER_ID="3")
    insert("b_file", ID=2, SUBDIR="im/2", FILE_NAME="nowhere.txt", FILE_SIZE=4, HANDLER_ID=None)
    insert("b_clouds_file_bucket", ID=3, BUCKET="cloud", ACTIVE="Y")
    insert("b_pull_channel", USER_ID=1, CHANNEL_ID="old", DATE_CREATE="2026-01-01")


def again(portal: Portal) -> Portal:
    """The same portal, read anew."""
    return Portal(portal.root, portal.state_directory)
