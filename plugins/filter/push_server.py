"""The push server's JSON configuration, one file per process, in the form of the vendor's package."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

KINDS = ("sub", "pub")
ROUTES = {
    "sub": {"sub": "/bitrix/subws/", "stat": "/server-stat/"},
    "pub": {"pub": "/bitrix/pub/", "rest": "/bitrix/rest/", "stat": "/server-stat/"},
}
NAMES = {"sub": "Subscribe server", "pub": "Publish server"}
# The vendor's own start script counts processes with one digit.
MOST = 10
# The vendor's package says so; what differs goes into push_limits.
LIMITS = {
    "maxPayload": 1_048_576,
    "maxConnPerChannel": 100,
    "maxMessagesPerRequest": 100,
    "maxChannelsPerRequest": 100,
    "maxRequestsPerSecond": 50,
}


def push_processes(ports: dict[str, list[int]]) -> list[str]:
    """Names of the processes, ``sub-8010`` and so on, from the ports of each kind."""
    return [f"{kind}-{port}" for kind in KINDS for port in ports[kind]]


def push_config(kind: str, port: int, settings: dict[str, Any]) -> dict[str, Any]:
    """The configuration of one process.

    ``settings`` has ``address``, ``key``, ``message_ttl`` (seconds), ``redis`` (``socket``, or ``host`` and ``port``,
    and ``password``) and ``limits``. The spelling TLL is the vendor's.
    """
    config: dict[str, Any] = {
        "servers": [
            {
                "name": NAMES[kind],
                "port": int(port),
                "hostname": settings["address"],
                "backlog": 1024,
                "routes": ROUTES[kind],
            }
        ],
        "publishMode": kind == "pub",
        "clusterMode": True,
        "processUniqueId": f"{kind}-{port}",
        "storage": {
            "type": "redis",
            **{name: value for name, value in settings["redis"].items() if value not in ("", None)},
            "messageTLL": int(settings["message_ttl"]),
            "channelTLL": 86400,
            "onlineTLL": 120,
            "onlineDelta": 10,
        },
        "security": {"key": settings["key"]},
        "debug": {"folderName": "/var/log/push-server", "ip": [], "trustProxy": False},
        "dataDir": "/run/push-server",
    }
    if kind == "pub":
        config["limits"] = {**LIMITS, **settings["limits"]}
    elif settings["limits"]:
        config["limits"] = settings["limits"]
    return config


def push_files(ports: dict[str, list[int]], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The configuration files of all processes as items for ``config_files``; those of further processes go."""
    return [
        {
            "content": json.dumps(push_config(kind, port, settings), indent=2) + "\n",
            "dest": _path(kind, port),
            "group": "push-server",
            "mode": "0640",
            "secret": True,
        }
        if port in ports[kind]
        else {"absent": _path(kind, port)}
        for kind in KINDS
        for port in range(ports[kind][0], ports[kind][0] + MOST)
    ]


def _path(kind: str, port: int) -> str:
    return f"/etc/push-server/push-server-{kind}-{port}.json"


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"push_files": push_files, "push_processes": push_processes}
