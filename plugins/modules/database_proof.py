#!/usr/bin/python
"""Proves that the portal's database is reached from this host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_proof
short_description: Test a portal's connection to its database from this host
description:
  - Connects as the portal's user and checks that the connection is encrypted, and that the certificate is trusted by
    this host and valid for the name that the portal uses. Changes nothing.
  - Errors are reported by code, independently of the language of server and system.
options:
  host:
    description: The database's host, as in the portal's settings.
    type: str
    required: true
  user:
    description: The portal's user.
    type: str
    required: true
  password:
    description: That user's password.
    type: str
    required: true
  database:
    description: The database.
    type: str
    required: true
  ca:
    description: CA file for the database.
    type: path
    default: /etc/ssl/certs/ca-certificates.crt
author: encaja
"""

EXAMPLES = r"""
- name: Check the connection from the portal's host
  encaja.portal.database_proof:
    host: database.example.org
    user: portal
    password: "{{ encaja_database_password }}"
    database: portal
  delegate_to: portal.example.org
"""

RETURN = r"""
cipher:
  description: Cipher of the connection.
  returned: success
  type: str
"""

import platform
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.errors import EncajaError
from ansible_collections.encaja.portal.plugins.module_utils.portal import tls_faults

try:
    import pymysql
except ImportError:  # reported by main
    pymysql = None  # type: ignore[assignment]

_REFUSED = frozenset({1044, 1045, 1049, 1698})


def prove(given: dict[str, Any], here: str) -> str:
    """Connect; returns the cipher.

    Args:
        given: the module's options.
        here: the name of the host that connects, for messages.

    Raises:
        EncajaError: what keeps the portal from its database, and what fixes it.
    """
    where = f"{given['host']} from {here}"
    try:
        connection = pymysql.connect(
            host=given["host"], user=given["user"], password=given["password"], database=given["database"],
            ssl_ca=given["ca"], ssl_verify_cert=True, ssl_verify_identity=True, connect_timeout=10,
        )  # fmt: skip
    except OSError as fault:  # the CA file
        raise EncajaError(f"{given['ca']} cannot be read", here, "install ca-certificates, or correct it") from fault
    except pymysql.MySQLError as fault:
        if fault.args and fault.args[0] in _REFUSED:
            raise EncajaError(
                f"the database refuses {given['user']} ({fault.args[0]})",
                where,
                "add that host to database_client_hosts",
            ) from fault
        hint = "see mariadb.service, database_bind, and the firewall (database_client_addresses)"
        found = tls_faults.connection_fault(fault, given["host"], hint)
        raise EncajaError(found.what, where, found.hint) from fault
    with connection, connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        row = cursor.fetchone()
    cipher = str(row[1]) if row else ""
    if not cipher:
        raise EncajaError("the connection is not encrypted", where, "set database_tls to true and run role database")
    return cipher


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "user": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "database": {"type": "str", "required": True},
            "ca": {"type": "path", "default": "/etc/ssl/certs/ca-certificates.crt"},
        },
        supports_check_mode=True,
    )
    here = platform.node()
    if pymysql is None:
        module.fail_json(msg=f"python3-pymysql is not installed on {here}: run role portal there first")
    try:
        cipher = prove(module.params, here)
    except EncajaError as fault:
        module.fail_json(msg=f"the portal cannot connect to its database: {fault}")
    module.exit_json(changed=False, cipher=cipher)


if __name__ == "__main__":
    main()
