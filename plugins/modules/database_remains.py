#!/usr/bin/python
"""Removes from a copy's database server what was erased from its tables and still is on the disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: database_remains
short_description: Purge the remains of erased values from the data directory of a copy's database server
description:
  - An erased value stays in free parts of pages, in undo logs, in the doublewrite buffer and in the redo log.
  - Rebuilds every table, writes over undo logs and doublewrite buffer, and makes the redo log anew. It can be
    interrupted and run again. It takes about as long as copying the database, and the room of its largest table.
  - Connects as root through the server's socket.
  - Fails on a host whose marker says production, or that has none.
options:
  socket:
    description: The server's socket.
    type: path
    default: /run/mysqld/mysqld.sock
  marker:
    description: The file that names the host's environment.
    type: path
    default: /etc/encaja/environment
author: encaja
"""

EXAMPLES = r"""
- name: Purge what was erased from the copy's database
  encaja.portal.database_remains:
"""

RETURN = r"""
tables:
  description: How many tables were rebuilt.
  returned: always
  type: int
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.errors import EncajaError
from ansible_collections.encaja.portal.plugins.module_utils.portal_library import remains, run

try:
    import pymysql
except ImportError:  # the portal library names the package that is missing
    pymysql = None  # type: ignore[assignment]


def purge(module: AnsibleModule) -> dict[str, Any]:
    """Purge the server of this host; returns the module's result.

    Raises:
        EncajaError: it is no copy, or the server cannot be purged.
    """
    marker = Path(module.params["marker"])
    environment = marker.read_text().strip() if marker.exists() else ""
    if environment in ("", "production"):
        what = f"this host is {environment or 'without a marker'}; only a copy is purged"
        raise EncajaError(what, str(marker), "choose another target")
    if module.check_mode:
        return {"changed": False, "tables": 0}

    def connect() -> Any:
        try:
            return pymysql.connect(unix_socket=module.params["socket"], user="root", charset="utf8mb4", autocommit=True)
        except pymysql.MySQLError as fault:
            raise EncajaError(f"does not answer: {fault.args[-1]}", module.params["socket"], "start MariaDB") from fault

    return {"changed": True, "tables": remains.Remains(connect).purge()}


ARGUMENTS: dict[str, dict[str, Any]] = {
    "socket": {"type": "path", "default": "/run/mysqld/mysqld.sock"},
    "marker": {"type": "path", "default": "/etc/encaja/environment"},
}

if __name__ == "__main__":
    run(ARGUMENTS, purge)
