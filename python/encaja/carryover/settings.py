"""Carry-over settings: the job file ``/etc/encaja/carry-over.json``."""

from __future__ import annotations

import json
import stat
from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from encaja.errors import ConfigurationError
from encaja.rest.tokens import Application
from encaja.rest.webhook import Webhook

_HINT = "run playbooks/carry_over.yml"


class Rule(StrEnum):
    """Whose value counts where both sides changed the same field."""

    NEWEST = "newest"
    CLOUD = "cloud"
    BOX = "box"
    ASK = "ask"


class Deletion(StrEnum):
    """What becomes of a record that one side deleted.

    ``cloud``: what was deleted in the cloud is deleted in the box, unless it was changed there. ``keep``: nothing is
    deleted. ``ask``: nothing is deleted, and each one is listed as open.
    """

    CLOUD = "cloud"
    KEEP = "keep"
    ASK = "ask"


@dataclass(frozen=True)
class Settings:
    """Carry-over settings.

    Args:
        cloud_webhook: address of an administrator's inbound webhook of the cloud. A secret.
        box_webhook: the same of the box. A secret.
        state: folder of the identity map and of all progress.
        since: from when on records are carried (ISO 8601); empty for what ``prepare`` noted.
        restored: when the restored portal went live (ISO 8601, or as its database writes it); empty for ``since``.
        cloud_token: access token of a local application in the cloud, whose offline events report deletions; empty
            where the plan allows none.
        cloud_oauth: that application, where its tokens expire; they are renewed and kept in ``state``.
        cloud_hosts: further host names of the cloud, also rewritten in texts.
        file_hosts: hosts to which addresses of files may lead although they are not public, or not over https.
        cloud_ca: file of the certificates to trust for the cloud; empty for the system's.
        box_ca: likewise for the box.
        portal_root: document root of the box, where it is on this host: times that REST does not keep are then set in
            its database. Where empty, they are listed.
        conflicts: whose value counts where both sides changed a field.
        deletions: what becomes of what one side deleted.
        substitute: user of the box who replaces one without a counterpart; 0 for the webhook's own.
        in_use: whether the cloud stays in use, as in a rehearsal: what is written after the last pass began is then
            neither a straggler nor missing, but counted separately.
        interval: seconds between rounds of ``--follow``.
        overlap: seconds by which windows overlap, and after which a record that is being written can be read.
        patience: seconds for which the box may go on with a request whose connection was lost.
        rate: requests per second that the cloud allows in the long run.
        burst: requests that it allows at once.
    """

    cloud_webhook: str
    box_webhook: str
    state: Path
    since: str = ""
    restored: str = ""
    cloud_token: str = ""
    cloud_oauth: Application | None = None
    cloud_hosts: tuple[str, ...] = ()
    file_hosts: tuple[str, ...] = ()
    cloud_ca: str = ""
    box_ca: str = ""
    portal_root: str = ""
    conflicts: Rule = Rule.NEWEST
    deletions: Deletion = Deletion.CLOUD
    substitute: int = 0
    in_use: bool = False
    interval: float = 1.0
    overlap: float = 10.0
    patience: float = 60.0
    rate: float = 2.0
    burst: int = 50

    @property
    def cloud(self) -> Webhook:
        """The cloud's webhook, read."""
        return Webhook.parse(self.cloud_webhook)

    @property
    def box(self) -> Webhook:
        """The box's webhook, read."""
        return Webhook.parse(self.box_webhook)


def read_settings(path: Path) -> Settings:
    """Read the job file.

    Raises:
        ConfigurationError: it cannot be read, others may read it, or something in it is missing, unknown or wrong;
            all problems are reported together.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = json.loads(path.read_text())
    except (OSError, ValueError) as fault:
        raise ConfigurationError(str(fault), str(path), _HINT) from fault
    if mode & 0o077:
        raise ConfigurationError(f"holds secrets but has mode {mode:04o}", str(path), "chmod 0600")
    if not isinstance(data, dict):
        raise ConfigurationError("is not a JSON object", str(path), _HINT)
    return make_settings(data, str(path))


def make_settings(data: dict[str, Any], where: str) -> Settings:
    """Make settings from plain values.

    Raises:
        ConfigurationError: lists all problems.
    """
    known = {item.name: item for item in fields(Settings)}
    faults = [f"unknown: {name}" for name in sorted(set(data) - set(known))]
    faults += [f"missing: {name}" for name, item in known.items() if item.default is MISSING and not data.get(name)]
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name not in known or value is None:
            continue
        try:
            values[name] = _converted(name, value)
        except ConfigurationError as fault:
            faults.append(f"{name}: {fault.what}")
        except (ValueError, TypeError) as fault:
            faults.append(f"{name}: {fault}")
    if faults:
        raise ConfigurationError("; ".join(faults), where, "correct the variables carry_over_… and rerun the playbook")
    return Settings(**values)


def _converted(name: str, value: Any) -> Any:
    if name in {"cloud_webhook", "box_webhook"}:
        if value:
            Webhook.parse(str(value))
        return str(value)
    if name in {"since", "restored"} and value:
        datetime.fromisoformat(str(value))
        return str(value)
    kinds: dict[str, Any] = {
        "cloud_oauth": _application,
        "cloud_hosts": tuple,
        "file_hosts": tuple,
        "state": Path,
        "conflicts": Rule,
        "deletions": Deletion,
        "substitute": int,
        "in_use": bool,
        "burst": int,
    } | dict.fromkeys(("interval", "overlap", "patience", "rate"), float)
    return kinds.get(name, str)(value)


def _application(value: Any) -> Application:
    lacking = {"client_id", "client_secret", "refresh_token"} - {name for name in value if value[name]}
    unknown = set(value) - {item.name for item in fields(Application)}
    if lacking or unknown:
        words = ["lacks " + ", ".join(sorted(lacking))] * bool(lacking) + [
            "unknown: " + ", ".join(sorted(unknown))
        ] * bool(unknown)
        raise ConfigurationError("; ".join(words))
    return Application(**value)
