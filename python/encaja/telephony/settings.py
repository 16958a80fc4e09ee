"""Connector settings: the job file ``/etc/encaja/telephony.json``."""

from __future__ import annotations

import json
import stat
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from encaja.errors import ConfigurationError
from encaja.rest.tokens import Application


@dataclass(frozen=True)
class Manager:
    """Asterisk's manager interface."""

    user: str
    password: str
    host: str = "127.0.0.1"
    port: int = 5038


@dataclass(frozen=True)
class PortalSettings:
    """The portal and how to call it.

    Args:
        url: its address, without a path.
        token: the application's token, where it does not expire; else ``oauth`` is given.
        oauth: the application whose tokens are renewed.
        ca_file: certificates to trust for the portal; empty for the system's.
        rate: requests per second that it allows in the long run.
        burst: requests that it allows at once.
        default_user_id: the user of unanswered calls.
        create_lead: whether an unknown number becomes a lead.
        source: identifier of the source of records made by calls.
    """

    url: str
    default_user_id: int
    token: str = ""
    oauth: Application | None = None
    ca_file: str = ""
    rate: float = 2.0
    burst: int = 50
    create_lead: bool = True
    source: str = "CALL"


@dataclass(frozen=True)
class Settings:
    """Connector settings.

    Args:
        ami: Asterisk's manager interface.
        portal: the portal.
        agents: portal user by extension; the extension is the name of the telephone's endpoint.
        trunks: names of the endpoints that lead outside.
        cel_database: where Asterisk keeps its channel events.
        recordings: folder of the recordings, or None when calls are not recorded.
        state: folder of the connector's own files.
        event_days: for how long Asterisk's channel events are kept.
    """

    ami: Manager
    portal: PortalSettings
    agents: dict[str, int]
    trunks: frozenset[str]
    cel_database: Path
    recordings: Path | None
    state: Path
    event_days: int = 30


def read_settings(path: Path) -> Settings:
    """Read the job file.

    Raises:
        ConfigurationError: when it cannot be read, others may read it, or something in it is missing, unknown or wrong.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = json.loads(path.read_text())
    except (OSError, ValueError) as fault:
        raise ConfigurationError(str(fault), str(path), "run playbooks/telephony.yml") from fault
    if mode & 0o077:
        raise ConfigurationError(f"holds secrets but has mode {mode:04o}", str(path), "chmod 0600")
    return _settings(data, str(path))


def _settings(data: Any, where: str) -> Settings:
    top = _checked(data, Settings, where)
    portal = _checked(top["portal"], PortalSettings, f"{where}: portal")
    if portal.get("oauth") is not None:
        portal["oauth"] = Application(**_checked(portal["oauth"], Application, f"{where}: portal.oauth"))
    elif not portal.get("token"):
        hint = "set telephony_portal_token or telephony_portal_oauth"
        raise ConfigurationError("neither token nor oauth is given", f"{where}: portal", hint)
    if not str(portal["url"]).startswith(("https://", "http://")):
        raise ConfigurationError(f"no web address: {portal['url']!r}", f"{where}: portal.url", "start it with https://")
    if not isinstance(top["agents"], dict) or not all(isinstance(user, int) for user in top["agents"].values()):
        raise ConfigurationError("must map extensions to user IDs", f"{where}: agents", "check telephony_agents")
    return Settings(
        ami=Manager(**_checked(top["ami"], Manager, f"{where}: ami")),
        portal=PortalSettings(**{**portal, "url": portal["url"].rstrip("/")}),
        agents=top["agents"],
        trunks=frozenset(top["trunks"]),
        cel_database=Path(top["cel_database"]),
        recordings=Path(top["recordings"]) if top["recordings"] else None,
        state=Path(top["state"]),
        event_days=int(top.get("event_days", 30)),
    )


def _checked(data: Any, shape: Any, where: str) -> dict[str, Any]:
    """The values of an object whose keys are those of a dataclass."""
    if not isinstance(data, dict):
        raise ConfigurationError(f"must be an object, not {type(data).__name__}", where)
    known = {item.name for item in fields(shape)}
    needed = {item.name for item in fields(shape) if item.default is MISSING and item.default_factory is MISSING}
    if unknown := sorted(set(data) - known):
        raise ConfigurationError(f"unknown: {', '.join(unknown)}", where, f"known are {', '.join(sorted(known))}")
    if missing := sorted(needed - set(data)):
        raise ConfigurationError(f"missing: {', '.join(missing)}", where)
    return dict(data)
