"""The canonical form of field values, and short hashes of it.

Two portals write the same value in different ways (``"5"`` and ``5``, ``null`` and ``""``, one time in two time
zones); the canonical form is the same for both.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

Canonical = Any
"""JSON without floats: None for anything empty, texts, and lists of these."""


def moment(text: Any) -> datetime | None:
    """A portal's time, in UTC; None where there is none."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def wall_clock(value: Any) -> str:
    """Date and time by the portal's wall clock, to the second, as its database holds them."""
    return str(value or "")[:19].replace(" ", "T")


def canonical(value: Any, kind: str) -> Canonical:
    """A value's canonical form.

    Args:
        value: as REST gives it.
        kind: of the field: ``text``, ``number``, ``flag``, ``moment``, ``day``, ``names`` (an unordered list),
            ``multi`` (telephones, mails and the like) or ``any``.
    """
    if kind != "flag" and value in (None, "", [], {}, False):
        return None
    return _FORMS.get(kind, _plain)(value)


def _names(value: Any) -> Canonical:
    items = value if isinstance(value, list) else [value]
    return sorted({str(item) for item in items if item not in (None, "", 0, "0", False)}) or None


def _flag(value: Any) -> Canonical:
    return "Y" if value in (True, "Y", "1", 1, "y", "true") else None


def _moment(value: Any) -> Canonical:
    found = moment(value)
    return found.isoformat(timespec="seconds") if found else str(value)


def _number(value: Any) -> Canonical:
    try:
        number = Decimal(str(value).split("|", maxsplit=1)[0])
    except InvalidOperation:
        return str(value)
    if not number.is_finite() or number == 0:
        return None
    return format(number.normalize(), "f")


def _day(value: Any) -> Canonical:
    try:
        return date.fromisoformat(str(value)[:10]).isoformat()
    except ValueError:
        return str(value)


def _plain(value: Any) -> Canonical:
    if isinstance(value, Mapping):
        shown = {str(key): _plain(item) for key, item in value.items()}
        return {key: item for key, item in sorted(shown.items()) if item is not None} or None
    if isinstance(value, list):
        return [_plain(item) for item in value] or None
    if isinstance(value, bool):
        return "Y" if value else None
    if isinstance(value, float) and math.isfinite(value):
        return _number(value)
    return None if value in (None, "") else str(value).replace("\r\n", "\n").rstrip()


def _multi(value: Any) -> Canonical:
    items = value.values() if isinstance(value, Mapping) else value or []
    found = {
        (str(item.get("typeId", "")), str(item.get("valueType", "")), str(item.get("value", "")).strip())
        for item in items
        if isinstance(item, Mapping) and item.get("value")
    }
    return [list(item) for item in sorted(found)] or None


_FORMS: Mapping[str, Callable[[Any], Canonical]] = {
    "day": _day,
    "flag": _flag,
    "moment": _moment,
    "multi": _multi,
    "names": _names,
    "number": _number,
}


def fingerprint(value: Canonical) -> str:
    """A short hash of a canonical value; empty for None."""
    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def fingerprints(values: Mapping[str, Canonical]) -> dict[str, str]:
    """Hash by field."""
    return {name: fingerprint(value) for name, value in values.items()}


def whole(hashes: Mapping[str, str]) -> str:
    """One hash for a whole record."""
    return fingerprint([[name, text] for name, text in sorted(hashes.items()) if text])


def shown(value: Canonical, longest: int = 200) -> str:
    """A canonical value for a person."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= longest else text[: longest - 1] + "…"
