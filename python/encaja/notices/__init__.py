"""Notices about the move, in English and Spanish; sent by mail, chat or webhook through Apprise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import resources
from string import Template

import yaml

from encaja.errors import ConfigurationError

CARRY_TAG = "#encaja"
_UNTIL = {"en": " by {} UTC", "es": " antes del {} UTC"}
_OWNERS = {
    "en": {"contractor": "contractor", "client": "client"},
    "es": {"contractor": "contratista", "client": "cliente"},
}
_LATER = {"en": "DATE", "es": "FECHA"}


@dataclass(frozen=True)
class Notice:
    """A text ready to be sent."""

    subject: str
    body: str


@cache
def texts(language: str) -> Mapping[str, Mapping[str, str]]:
    """All notices of a language ("en" or "es"), by name."""
    data = yaml.safe_load(resources.files("encaja.notices").joinpath(f"{language}.yml").read_text(encoding="utf-8"))
    return {name: {"subject": text["subject"], "body": text["body"]} for name, text in data.items()}


def compose(name: str, language: str, values: Mapping[str, str], *, until: datetime | None = None) -> Notice:
    """The notice `name` with its values put in.

    Args:
        name: a key of the language's file.
        language: "en" or "es".
        values: what `$names` stand for; a missing date is shown as a blank to fill in.
        until: when an answer is due.

    Raises:
        ConfigurationError: there is no such notice.
    """
    found = texts(language).get(name)
    if found is None:
        known = ", ".join(sorted(texts(language)))
        raise ConfigurationError(f"there is no notice '{name}'", f"notices/{language}.yml", f"known are {known}")
    filled = {"date": _LATER[language], "tag": CARRY_TAG, "portal": "https://…/", **values}
    filled["until"] = _UNTIL[language].format(f"{until:%Y-%m-%d %H:%M}") if until else ""
    if "owner" in filled:
        filled["owner"] = _OWNERS[language].get(filled["owner"], filled["owner"])
    return Notice(Template(found["subject"]).safe_substitute(filled), Template(found["body"]).safe_substitute(filled))


def send(notice: Notice, addresses: Sequence[str]) -> list[str]:
    """Sends a notice to Apprise addresses (`mailto://`, `slack://`, `json://` …).

    Returns:
        A line for each address that could not be reached, with its scheme only: an address may hold a password.
    """
    if not addresses:
        return []
    from apprise import Apprise, NotifyFormat  # noqa: PLC0415 - a slow import, needed only for sending

    failed = []
    for address in addresses:
        scheme = address.partition("://")[0]
        sender = Apprise()
        if not sender.add(address):
            failed.append(f"'{scheme}://…' is not an address that Apprise understands")
        elif not sender.notify(title=notice.subject, body=notice.body, body_format=NotifyFormat.TEXT):
            failed.append(f"'{scheme}://…' did not accept \"{notice.subject}\"")
    return failed
