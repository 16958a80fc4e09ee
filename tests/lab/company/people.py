"""Users: employees with a password of the portal or of the vendor's network, and the system's pseudo-users."""

from __future__ import annotations

import json
import subprocess
from hashlib import md5
from typing import TYPE_CHECKING, Any

from .store import ascii_name, php
from .words import CITIES, DEPARTMENTS, FIRST, LAST, POSITIONS

if TYPE_CHECKING:
    from .build import Context

PASSWORD = "Encaja2026!"
SYSTEM = (
    ("bot", "marta", "Marta"),
    ("bot", "support24", "Support"),
    ("bot", "sales.assistant", "Sales assistant"),
    ("email", "cliente@correo.test", "Cliente"),
    ("imconnector", "livechat_1", "Guest"),
    ("imconnector", "telegram_77", "Telegram guest"),
    ("__controller", "controller", "Controller"),
    ("replica", "replica_1", "Replica"),
    ("call", "call_guest", "Call guest"),
    ("saleanonymous", "anonymous_1", "Anonymous"),
    ("document_editor", "editor", "Editor"),
    ("calendar_sharing", "sharing", "Sharing"),
)
HASHER = (
    "foreach (json_decode(stream_get_contents(STDIN)) as $w) { $h[] = crypt($w[0], '$6$' . $w[1] . '$'); }"
    " echo json_encode($h);"
)


def hashes(words: list[tuple[str, str]]) -> list[str]:
    """Return crypt SHA-512 hashes of (word, salt) pairs, made by PHP as the portal makes them."""
    done = subprocess.run(["php", "-r", HASHER], input=json.dumps(words), capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


def users(c: Context) -> dict[str, int]:
    """Sixty per cent of the employees log in through the network, and so have no usable password in the portal."""
    salts = ["".join(c.dice.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=16)) for _ in range(8)]
    known = hashes(
        [(PASSWORD, s) for s in salts] + [("".join(c.dice.choices("0123456789abcdef", k=24)), s) for s in salts]
    )
    real, useless = known[:8], known[8:]
    rows: list[dict[str, Any]] = []
    profiles, groups, network, accounts = [], [], [], []
    for n in range(c.sizes.users):
        number, first, last = n + 2, FIRST[n % len(FIRST)], LAST[(n * 7) % len(LAST)]
        mail = f"{ascii_name(first)}.{ascii_name(last)}.{number}@desarrollos.test"
        by_network = n % 5 < 3
        row = {
            "ID": number,
            "LOGIN": mail,
            "PASSWORD": useless[n % 8] if by_network else real[n % 8],
            "ACTIVE": "N" if n % 19 == 18 else "Y",
            "NAME": first,
            "LAST_NAME": last,
            "EMAIL": mail,
            "DATE_REGISTER": c.now,
            "LAST_LOGIN": c.now,
            "LAST_ACTIVITY_DATE": c.now,
            "LID": "s1",
            "WORK_POSITION": POSITIONS[n % len(POSITIONS)],
            "WORK_DEPARTMENT": DEPARTMENTS[n % len(DEPARTMENTS)],
            "PERSONAL_CITY": CITIES[n % len(CITIES)],
            "PERSONAL_MOBILE": f"+3460000{number:04d}",
            "EXTERNAL_AUTH_ID": "socservices" if by_network else (None if n % 2 else ""),
            "LANGUAGE_ID": "es" if n % 4 else "en",
            "BX_USER_ID": md5(mail.encode(), usedforsecurity=False).hexdigest(),
            "XML_ID": str(number),
            "TIME_ZONE": "",
        }
        if n == 3:
            # One password is still in the form that portals used before.
            row["PASSWORD"] = "oldsalt8" + md5(f"oldsalt8{PASSWORD}".encode(), usedforsecurity=False).hexdigest()
        rows.append(row)
        profiles.append(
            {"VALUE_ID": number, "UF_DEPARTMENT": php([1 + n % len(DEPARTMENTS)]), "UF_PHONE_INNER": str(100 + number)}
        )
        groups += [{"USER_ID": number, "GROUP_ID": g} for g in (2, 12)]
        if by_network:
            network.append(
                {
                    "LOGIN": mail,
                    "NAME": first,
                    "LAST_NAME": last,
                    "EMAIL": mail,
                    "EXTERNAL_AUTH_ID": "Bitrix24Net",
                    "USER_ID": number,
                    "XML_ID": str(900000 + number),
                    "PERSONAL_WWW": f"https://www.bitrix24.net/id{900000 + number}/",
                    "OATOKEN": md5(f"token{number}".encode(), usedforsecurity=False).hexdigest(),
                    "OATOKEN_EXPIRES": 1900000000,
                    "REFRESH_TOKEN": md5(f"refresh{number}".encode(), usedforsecurity=False).hexdigest(),
                    "SITE_ID": "s1",
                    "INITIALIZED": "Y",
                }
            )
            accounts.append({"LOGIN": mail, "PASSWORD": real[n % 8]})
        c.people[number] = f"{first} {last}"
        if row["ACTIVE"] == "Y":
            c.staff.append(number)
    # A network user whose login a local, inactive one has as well: clearing the mark must not break the unique key.
    twin = dict(rows[0]) | {
        "ID": c.sizes.users + 2,
        "EXTERNAL_AUTH_ID": "",
        "ACTIVE": "N",
        "XML_ID": "twin",
        "LAST_NAME": rows[0]["LAST_NAME"] + " (antigua)",
    }
    rows.append(twin)
    for n, (kind, login, name) in enumerate(SYSTEM):
        rows.append(
            dict(rows[0])
            | {
                "ID": c.sizes.users + 3 + n,
                "LOGIN": login,
                "PASSWORD": useless[n % 8],
                "EMAIL": login if "@" in login else "",
                "ACTIVE": "Y",
                "NAME": name,
                "LAST_NAME": "",
                "EXTERNAL_AUTH_ID": kind,
                "WORK_POSITION": "",
                "XML_ID": f"{kind}_{login}",
            }
        )
    c.store.insert("b_user", rows)
    c.store.insert("b_uts_user", profiles)
    c.store.insert("b_user_group", groups)
    c.store.insert("b_socialservices_user", network)
    c.store.insert(f"`{c.store.name}_network`.account", accounts, verb="REPLACE")
    c.store.insert(
        "b_user_index",
        [
            {
                "USER_ID": r["ID"],
                "SEARCH_USER_CONTENT": f"{r['NAME']} {r['LAST_NAME']}".upper(),
                "NAME": r["NAME"],
                "LAST_NAME": r["LAST_NAME"],
            }
            for r in rows
        ],
    )
    c.store.insert(
        "b_user_stored_auth",
        [
            {
                "USER_ID": u,
                "DATE_REG": c.now,
                "LAST_AUTH": c.now,
                "STORED_HASH": md5(f"stored{u}".encode(), usedforsecurity=False).hexdigest(),
                "TEMP_HASH": "N",
                "IP_ADDR": 3232235777,
            }
            for u in c.staff
        ],
    )
    c.store.insert(
        "b_user_option",
        [
            {
                "USER_ID": u,
                "CATEGORY": "intranet",
                "NAME": "left_menu",
                "VALUE": php(
                    {
                        "start": f"{c.url}/stream/",
                        "items": [
                            {"text": "Leads", "link": f"{c.url}/crm/lead/list/"},
                            {"text": "España", "link": "/tasks/"},
                        ],
                    }
                ),
                "COMMON": "N",
            }
            for u in c.staff
        ],
    )
    c.store.execute(
        "UPDATE b_group SET SECURITY_POLICY=%s WHERE ID=12",
        (
            php(
                {
                    "SESSION_TIMEOUT": 15,
                    "SESSION_IP_MASK": "255.255.255.255",
                    "STORE_IP_MASK": "255.255.255.255",
                    "STORE_TIMEOUT": 4320,
                }
            ),
        ),
    )
    return {"users": c.sizes.users, "network users": len(network), "system users": len(SYSTEM)}
