#!/usr/bin/python
"""Converges a portal's database, its user and that user's rights, and checks the server's settings."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_database
short_description: Converge a portal's database, user and rights on MariaDB, and check the server's settings
description:
  - C(community.mysql) keeps one password per account. This module lets a new one be valid next to the old one
    (O(keep_old_password)), so that a secret is rotated without a failed request, takes rights and accounts away that
    are not asked for, and compares the live settings, in one round trip.
  - Connects as root through the server's socket, so that root has no password.
  - Creates the database, and the user with exactly the rights requested. Accounts of the same user for other client
    hosts are dropped and other rights revoked. Databases are never dropped.
  - The password is sent to the server as a hash only.
  - Compares the server's live settings with O(settings), and reports all differences together.
options:
  database:
    description: The database to create.
    type: str
    required: true
  databases:
    description: Databases, as patterns for GRANT, on which the user has all rights.
    type: list
    elements: str
    required: true
  character_set:
    description: Character set of the database.
    type: str
    default: utf8mb4
  collation:
    description: Collation of the database.
    type: str
    default: utf8mb4_unicode_ci
  user:
    description: Name of the user.
    type: str
    required: true
  password:
    description: Password of the user.
    type: str
    required: true
  client_hosts:
    description: Hosts, as patterns, from which the user may connect.
    type: list
    elements: str
    default: [localhost]
  keep_old_password:
    description:
      - Whether an account's current password stays valid in addition to the new one, so that clients can be updated one
        by one. The same task without this option revokes the old one.
    type: bool
    default: false
  require_tls:
    description: Whether accounts for other hosts than localhost must use TLS.
    type: bool
    default: false
  settings:
    description: Global variables of the server and their required values.
    type: dict
    default: {}
  socket:
    description: Socket of the server.
    type: path
    default: /run/mysqld/mysqld.sock
requirements: [python3-pymysql]
author: encaja
"""

EXAMPLES = r"""
- name: Create the portal's database and user
  encaja.portal.portal_database:
    database: portal
    databases: [portal, portal\_%]
    user: portal
    password: "{{ database_password }}"
    settings: {sql_mode: "", innodb_strict_mode: "OFF"}
"""

RETURN = r"""
statements:
  description: Statements that were (or, in check mode, would be) executed, without the password.
  returned: always
  type: list
  elements: str
old_passwords:
  description: Number of old passwords that the user's accounts still accept.
  returned: always
  type: int
"""

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule

try:
    import pymysql
except ImportError:
    pymysql = None  # type: ignore[assignment]

OLD_NAMES = {"transaction_isolation": "tx_isolation"}  # before MariaDB 11.1
NATIVE = "mysql_native_password"
GRANT = re.compile(r"^GRANT (?P<rights>.+?) ON (?P<on>`(?:[^`]|``)+`\.\*|\*\.\*) TO ", re.IGNORECASE)


def native_hash(password: str) -> str:
    """Return a password as mysql_native_password stores it: ``*`` and SHA-1 of SHA-1 in capitals."""
    inner = hashlib.sha1(password.encode()).digest()  # noqa: S324  the server's own format
    return "*" + hashlib.sha1(inner).hexdigest().upper()  # noqa: S324


def quoted(name: str) -> str:
    """Quote an identifier."""
    return "`" + name.replace("`", "``") + "`"


def text(value: str) -> str:
    """Quote a string for a statement without parameters (user names and hosts)."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def granted(lines: list[str]) -> dict[str, str]:
    """Parse SHOW GRANTS: object (as written there) to its privileges, without USAGE."""
    rights: dict[str, str] = {}
    for line in lines:
        if found := GRANT.match(line):
            if found["rights"].upper() != "USAGE":
                rights[found["on"]] = found["rights"].upper()
        elif line.upper().startswith("GRANT "):
            rights[line] = "OTHER"
    return rights


def ways_in(account: dict[str, Any]) -> list[tuple[str, str]]:
    """The authentication methods of an account (a row of mysql.global_priv): plugin and stored value."""
    # An empty entry of the list means the account's own plugin and password.
    ways = [way or account for way in account.get("auth_or", [{}])]
    return [(str(way.get("plugin", NATIVE)) or NATIVE, str(way.get("authentication_string", ""))) for way in ways]


def same(have: str, want: object) -> bool:
    """Whether a variable has the wanted value, in any spelling of switches and numbers."""
    if isinstance(want, bool):
        want = "ON" if want else "OFF"
    spelled = {"1": "ON", "0": "OFF"}
    one, other = have.strip().upper(), str(want).strip().upper()
    return one == other or (
        spelled.get(one, one) == spelled.get(other, other) and {one, other} & {"ON", "OFF"} != set()
    )


class Server:
    """The server through its socket."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.statements: list[str] = []
        self._link = pymysql.connect(
            unix_socket=module.params["socket"], user="root", charset="utf8mb4", autocommit=True, connect_timeout=10
        )

    def close(self) -> None:
        """Close the connection."""
        self._link.close()

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a read-only query."""
        with self._link.cursor() as cursor:
            cursor.execute(query, values or None)
            return list(cursor.fetchall())

    def do(self, statement: str, hidden: Sequence[str] = ()) -> None:
        """Run a statement, unless in check mode, and record it without secrets."""
        noted = statement
        for secret in hidden:
            noted = noted.replace(secret, "(hidden)")
        self.statements.append(noted)
        if not self.module.check_mode:
            with self._link.cursor() as cursor:
                cursor.execute(statement)

    def check_settings(self, wanted: dict[str, object]) -> None:
        """Fail with all global variables that have another value."""
        live = {str(name): str(value) for name, value in self.ask("SHOW GLOBAL VARIABLES")}
        live.update({new: live[old] for new, old in OLD_NAMES.items() if old in live})
        faults = [
            f"{name} is '{live[name]}', must be '{value}'" if name in live else f"{name} is unknown to this server"
            for name, value in wanted.items()
            if name not in live or not same(live[name], value)
        ]
        if faults and self.module.check_mode:
            self.statements.extend(faults)
        elif faults:
            self.module.fail_json(
                msg=f"the server has settings with which the portal does not work: {'; '.join(faults)} "
                "(a later file in /etc/mysql overrides the role's, or the server was not restarted)"
            )

    def database(self, name: str, character_set: str, collation: str) -> None:
        """Create the database, or correct its default character set and collation."""
        now = self.ask(
            "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA "
            "WHERE SCHEMA_NAME = %s",
            name,
        )
        kind = f"CHARACTER SET {character_set} COLLATE {collation}"
        if not now:
            self.do(f"CREATE DATABASE {quoted(name)} {kind}")
        elif now[0] != (character_set, collation):
            self.do(f"ALTER DATABASE {quoted(name)} {kind}")

    def user(self, name: str, password: str, hosts: list[str], require_tls: bool, keep_old: bool) -> int:
        """Create the user's accounts, one for each client host, drop those for other hosts, and count old passwords."""
        wanted = native_hash(password)
        rows = self.ask("SELECT Host, Priv FROM mysql.global_priv WHERE User = %s", name)
        now: dict[str, dict[str, Any]] = {str(host): json.loads(read) for host, read in rows}
        kept = 0
        for host in hosts:
            account = f"{text(name)}@{text(host)}"
            has = now.get(host, {})
            ways = ways_in(has) if host in now else []
            old = [secret for plugin, secret in ways if plugin == NATIVE and secret not in ("", wanted) and keep_old]
            # Clients accept a change of the authentication method only once. Two old passwords come from an interrupted
            # run, most likely before the portal was updated, so it still uses the older one.
            old = old[-1:]
            kept += len(old)
            tls = 1 if require_tls and host != "localhost" else 0
            if set(ways) == {(NATIVE, one) for one in (wanted, *old)} and int(has.get("ssl_type", 0)) == tls:
                continue
            verb = "ALTER" if host in now else "CREATE"
            require = "REQUIRE SSL" if tls else "REQUIRE NONE"
            secrets = [text(one) for one in (wanted, *old)]
            via = " OR ".join(f"{NATIVE} USING {secret}" for secret in secrets)
            self.do(f"{verb} USER {account} IDENTIFIED VIA {via} {require}", secrets)
        for host in sorted(set(now) - set(hosts)):
            self.do(f"DROP USER {text(name)}@{text(host)}")
        return kept

    def rights(self, name: str, hosts: list[str], databases: list[str]) -> None:
        """Grant all rights on ``databases``, and revoke all others."""
        wanted = {f"{quoted(database)}.*" for database in databases}
        exists = {str(row[0]) for row in self.ask("SELECT Host FROM mysql.user WHERE User = %s", name)}
        for host in hosts:
            account = f"{text(name)}@{text(host)}"
            now: dict[str, str] = {}
            if host in exists:
                now = granted([str(row[0]) for row in self.ask(f"SHOW GRANTS FOR {account}")])
            if {on for on, rights in now.items() if rights == "ALL PRIVILEGES"} == wanted == set(now):
                continue
            if set(now) - wanted:
                self.do(f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {account}")
                now = {}
            for on in sorted(wanted):
                if now.get(on) != "ALL PRIVILEGES":
                    self.do(f"GRANT ALL PRIVILEGES ON {on} TO {account}")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "database": {"type": "str", "required": True},
            "databases": {"type": "list", "elements": "str", "required": True},
            "character_set": {"type": "str", "default": "utf8mb4"},
            "collation": {"type": "str", "default": "utf8mb4_unicode_ci"},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "client_hosts": {"type": "list", "elements": "str", "default": ["localhost"]},
            "keep_old_password": {"type": "bool", "default": False, "no_log": False},
            "require_tls": {"type": "bool", "default": False},
            "settings": {"type": "dict", "default": {}},
            "socket": {"type": "path", "default": "/run/mysqld/mysqld.sock"},
        },
        supports_check_mode=True,
    )
    asked = module.params
    not_yet = f"make database {asked['database']} and user {asked['user']} once the server runs"
    if pymysql is None:
        if module.check_mode:
            module.exit_json(changed=True, statements=[not_yet], old_passwords=0)
        module.fail_json(msg="python3-pymysql is not installed on this host; run role database with tag install")
    try:
        server = Server(module)
        server.check_settings(asked["settings"])
        server.database(asked["database"], asked["character_set"], asked["collation"])
        old = server.user(
            asked["user"],
            asked["password"],
            asked["client_hosts"],
            asked["require_tls"],
            asked["keep_old_password"],
        )
        server.rights(asked["user"], asked["client_hosts"], asked["databases"])
        server.close()
    except pymysql.Error as fault:
        if module.check_mode:
            module.exit_json(changed=True, statements=[not_yet], old_passwords=0)
        module.fail_json(msg=f"MariaDB at {asked['socket']} refuses the host's root: {fault.args[-1]}")
    module.exit_json(changed=bool(server.statements), statements=server.statements, old_passwords=old)


if __name__ == "__main__":
    main()
