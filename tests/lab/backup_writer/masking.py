"""Credentials never enter an archive: the two files that hold them are masked on the way in."""

from __future__ import annotations

import re
from collections.abc import Callable

from .php_array import export_file, parse_file

MASK = "******"
_CREDENTIALS = ("login", "password", "database")
_ASSIGNMENT = re.compile(rb"""^([ \t]*\$(?:DBLogin|DBPassword|DBName)\s*=\s*)(?:"[^"\n]*"|'[^'\n]*')""", re.MULTILINE)


def mask_settings(content: bytes) -> bytes:
    """`bitrix/.settings.php`, exported anew with the credentials of every connection masked and all else kept."""
    settings = parse_file(content.decode("utf-8", "surrogateescape"), "bitrix/.settings.php")
    section = settings.get("connections")
    connections = section.get("value") if isinstance(section, dict) else None
    if isinstance(connections, dict):
        for connection in connections.values():
            if isinstance(connection, dict):
                connection.update(dict.fromkeys(_CREDENTIALS, MASK))
    return export_file(settings).encode("utf-8", "surrogateescape")


def mask_dbconn(content: bytes) -> bytes:
    """`bitrix/php_interface/dbconn.php` with its login, password and database name masked."""
    return _ASSIGNMENT.sub(rb'\1"' + MASK.encode() + b'"', content)


MASKED: dict[bytes, Callable[[bytes], bytes]] = {
    b"bitrix/.settings.php": mask_settings,
    b"bitrix/php_interface/dbconn.php": mask_dbconn,
}
"""What replaces a file's content, by its path in the archive."""
