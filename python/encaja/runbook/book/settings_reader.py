"""What run-book files say about the move as a whole (`move:`)."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from encaja.runbook.book.faults import LINE, Faults, Place, unknown_keys
from encaja.runbook.book.model import Address, Announcements, MoveSettings
from encaja.runbook.book.source_files import SourceFile
from encaja.vocabulary import LANGUAGES

_KEYS = {
    "name",
    "language",
    "inventory",
    "variables",
    "announce",
    "leads_per_hour",
    "leads_per_day",
    "backup_bytes",
    "addresses",
    "time_zone",
}


def read_settings(files: list[SourceFile], faults: Faults) -> MoveSettings:
    """The settings of all files, later ones first; variables are added up."""
    merged, where = _merge(files, faults)
    at = Place(where, "move", faults)
    return MoveSettings(
        name=str(merged.get("name") or ""),
        language=_language(at, merged.get("language", "en")),
        inventory=at.at("inventory").strings(merged.get("inventory")),
        variables={str(key): str(value) for key, value in at.at("variables").mapping(merged.get("variables")).items()},
        announce=_announcements(at, merged.get("announce") or {}),
        leads_per_hour=_lead_rates(at, merged.get("leads_per_hour"), merged.get("leads_per_day")),
        backup_bytes=_backup_bytes(at, merged.get("backup_bytes", 0)),
        addresses=_addresses(at, merged.get("addresses")),
        time_zone=_time_zone(at, merged.get("time_zone")),
    )


def _merge(files: list[SourceFile], faults: Faults) -> tuple[dict[str, Any], str]:
    """The keys of all files, and the place of the last."""
    merged: dict[str, Any] = {}
    where = files[-1].name
    for file in files:
        given = file.data.get("move") or {}
        if not isinstance(given, dict):
            faults.add(file.name, "'move' is not a mapping")
            continue
        where = file.at(given)
        faults.add_unknown(where, "move has an ", given, _KEYS)
        before = merged.get("variables")
        merged.update({key: value for key, value in given.items() if key != LINE})
        if isinstance(before, dict) and isinstance(merged["variables"], dict):
            merged["variables"] = before | merged["variables"]
    return merged, where


def _language(at: Place, value: Any) -> str:
    if value in LANGUAGES:
        return str(value)
    at.fault(f"move: language is '{value}'", f"known are {', '.join(LANGUAGES)}")
    return "en"


def _announcements(at: Place, value: Any) -> Announcements:
    if not isinstance(value, dict) or unknown_keys(value, {"team", "users"}):
        at.fault("move: announce is not made of team and users", "give each a list of Apprise addresses")
        return Announcements()
    return Announcements(
        at.at("announce team").strings(value.get("team")), at.at("announce users").strings(value.get("users"))
    )


def _backup_bytes(at: Place, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        at.fault(f"move: backup_bytes is '{value}'", "give the archive's size in bytes")
        return 0
    return value


def _time_zone(at: Place, value: Any) -> str:
    name = str(value or "UTC")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        at.fault(f"move: there is no time zone '{name}'", "give one like Europe/Madrid")
        return "UTC"
    return name


def _lead_rates(at: Place, rates: Any, day: Any) -> tuple[float, ...]:
    """Leads for each hour of the day (24) or of the week from Monday 00:00 (168)."""
    if rates is None and day is None:
        return ()
    if rates is None:
        if not _is_amount(day):
            at.fault(f"move: leads_per_day is '{day}'", "give a number")
            return ()
        return (day / 24,) * 24
    if not isinstance(rates, list) or len(rates) not in (24, 168) or not all(map(_is_amount, rates)):
        at.fault("move: leads_per_hour is not a list of 24 (day) or 168 (week from Monday) numbers")
        return ()
    return tuple(float(rate) for rate in rates)


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _addresses(at: Place, value: Any) -> tuple[Address, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(
        isinstance(one, dict) and isinstance(one.get("url"), str) for one in value
    ):
        at.fault("move: addresses is not a list of {title, url}")
        return ()
    return tuple(Address(at.at("address title").text(one.get("title")), one["url"]) for one in value)
