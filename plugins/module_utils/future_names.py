"""Names that the host will have in its /etc/hosts, for checks of a host that is not set up yet."""

from __future__ import annotations

import socket
from typing import Any


def coming_names(hosts: list[dict[str, Any]]) -> dict[str, str]:
    """Address by name, in small letters, of entries with ``address`` and ``names``."""
    return {str(name).lower(): str(entry["address"]) for entry in hosts for name in entry.get("names", [])}


def resolve_by(hosts: list[dict[str, Any]]) -> None:
    """Make the names of ``hosts`` resolve to their addresses in this process."""
    coming = coming_names(hosts)
    ask = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
        return ask(coming.get(str(host).lower(), host), *rest, **named)

    socket.getaddrinfo = getaddrinfo
