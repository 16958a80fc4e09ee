"""What a portal knows of its licence, and where it leads when that has ended.

The key is a file. Edition, end and limits are options that the update system writes once the key is active; nothing
else in the database says them. A time-bound edition is shut ``GRACE`` days after its end: every page but two leads to
``COUPON``, and REST, schedule and agents stop as well. Source: behaviour.md 8.1 and 8.2.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from ..errors import EncajaError
from . import php
from .site import Portal

COUPON: Final = "/bitrix/coupon_activation.php"
"""Where every page leads once the licence has ended."""
KEY_FILE: Final = "bitrix/license_key.php"
END_OPTION: Final = "~support_finish_date"
USERS_OPTION: Final = "PARAM_MAX_USERS"
SITES_OPTION: Final = "PARAM_MAX_SITES"
GRACE: Final = datetime.timedelta(days=15)


class ShutError(EncajaError):
    """A page led to where a licence is entered."""


@dataclass(frozen=True)
class Licence:
    """What the options say.

    Attributes:
        name: of the edition; empty where nothing says.
        codes: of what it includes.
        end: the day on which it ends; None where nothing says, or what says is no day.
        users: people who may use the portal; 0 for any number, None where nothing says.
        sites: the same of sites.
        faults: options that cannot be read, with their values.
    """

    name: str
    codes: str
    end: datetime.date | None
    users: int | None
    sites: int | None
    faults: tuple[str, ...]


def key(portal: Portal) -> str:
    """The key; empty where there is none, or that of a demonstration."""
    found = php.read_variable(portal.text(portal.root / KEY_FILE), "LICENSE_KEY")
    return found if isinstance(found, str) and found.upper() not in {"DEMO", "******"} else ""


def read_licence(portal: Portal) -> Licence:
    """Read the options; one that cannot be read is a fault of its own and leaves the others."""
    faults = []

    def number(name: str) -> int | None:
        if (text := portal.option("main", name).strip()) and not text.isdecimal():
            faults.append(f"main.{name} is {text!r}, no number")
            return None
        return int(text) if text else None

    end = None
    if text := portal.option("main", END_OPTION).strip():
        try:
            end = datetime.datetime.strptime(text, "%Y-%m-%d").date()
        except ValueError:
            faults.append(f"main.{END_OPTION} is {text!r}, no day (YYYY-MM-DD)")
    users, sites = number(USERS_OPTION), number(SITES_OPTION)
    name, codes = (portal.option("main", option) for option in ("~license_name", "~license_codes"))
    return Licence(name, codes, end, users, sites, tuple(faults))


def leads_to_activation(path: str, status: int, headers: Mapping[str, str]) -> bool:
    """Whether an answer sends the reader to where a licence is entered."""
    return 300 <= status < 400 and urlsplit(headers.get("location", "")).path == COUPON != urlsplit(path).path


def refuse_activation(path: str, status: int, headers: Mapping[str, str]) -> None:
    """Raise where an answer does so.

    Raises:
        ShutError: it does.
    """
    if leads_to_activation(path, status, headers):
        raise ShutError(
            f"it leads to {COUPON}: the licence has ended, or what is stored of it does not fit together", path,
            "renew the licence; see 'encaja verify … --only licence'",
        )  # fmt: skip
