"""Translates records between portals: users, dictionaries, categories, fields, choices, and addresses in texts.

Users are matched by identifier where name or mail agree, then by mail. A value without a counterpart is left out of the
record, which is still carried; the fault stays until there is a counterpart.

Sources: apidocs.bitrix24.com, chats/messages/formatting (``[USER=1]``), user/user-get (``ADMIN_MODE``: without it those
of no department are left out); the portal's addresses of pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from encaja.carryover.mapping.canonical import Canonical, canonical
from encaja.carryover.mapping.entities import BY_ENTITY, BY_SHORT, ITEMS, REFERENCES, ItemKind, kind_of
from encaja.rest.client import RestClient
from encaja.rest.command import Command

_RECORD = re.compile(r"/crm/(?P<entity>lead|deal|contact|company)/(?P<page>details|show|edit)/(?P<key>\d+)(?=/|\b)")
_TASK = re.compile(r"/tasks/task/(?P<page>view|edit)/(?P<key>\d+)(?=/|\b)")
_PERSON = re.compile(r"/company/personal/user/(?P<key>\d+)(?=/|\b)")
_MENTION = re.compile(r"\[USER=(?P<key>\d+)(?P<rest>[^\]]*)\]", re.IGNORECASE)

Resolve = Callable[[str, str], str | None]
"""The identifier in the box of a record (entity, identifier in the cloud), or None."""


@dataclass
class Field:
    """A field of crm.item.* of one portal."""

    kind: str
    title: str
    dynamic: bool
    choices: dict[str, str] = field(default_factory=dict)
    """Text by identifier, for ``choice``."""
    dictionary: str = ""
    multiple: bool = False
    refers: str = ""
    number: bool = False


@dataclass
class Side:
    """The names and identifiers of one portal."""

    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    statuses: dict[str, dict[str, str]] = field(default_factory=dict)
    categories: dict[str, str] = field(default_factory=dict)
    fields: dict[str, dict[str, Field]] = field(default_factory=dict)
    """By entity and name."""


async def read_side(portal: RestClient) -> Side:
    """Read users, dictionaries, categories and fields of a portal.

    Raises:
        RefusedError, UnreachableError: as the client says.
    """
    side = Side()
    # All in one request: a cloud counts requests, and every start of a carry-over needs them.
    first = [
        Command("user.get", {"SORT": "ID", "ORDER": "ASC", "ADMIN_MODE": True}),
        Command("crm.status.list", {"order": {"ID": "ASC"}}),
        Command("crm.category.list", {"entityTypeId": 2}),
        *(Command("crm.item.fields", {"entityTypeId": kind.type_id}) for kind in ITEMS),
    ]
    answers = await portal.batch(first)
    for answer in answers:
        if answer.error:
            raise answer.error
    users, statuses, categories, *fields = answers
    side.users = {str(user["ID"]): user for user in await portal.rest_of(users)}
    for status in await portal.rest_of(statuses):
        side.statuses.setdefault(str(status["ENTITY_ID"]), {})[str(status["STATUS_ID"])] = str(status["NAME"])
    found = await portal.rest_of(categories, "categories")
    side.categories = {str(item["id"]): str(item["name"]) for item in found}
    for kind, answer in zip(ITEMS, fields, strict=True):
        side.fields[kind.entity] = _fields(kind, answer.result["fields"])
    return side


def _fields(kind: ItemKind, described: Mapping[str, Mapping[str, Any]]) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for name, about in described.items():
        how = kind_of(name, about)
        if how is None:
            continue
        choices = {
            str(item["ID"]): str(item["VALUE"]) for item in about.get("items") or [] if isinstance(item, Mapping)
        }
        refers = REFERENCES.get(name, str(about.get("type", "")).removeprefix("crm_") if how == "ref" else "")
        found[name] = Field(
            how,
            str(about.get("title") or name),
            bool(about.get("isDynamic")) or name.startswith("ufCrm"),
            choices,
            str(about.get("statusType") or kind.dictionaries.get(name, "")),
            bool(about.get("isMultiple")),
            refers,
            about.get("type") == "integer",
        )
    if kind.entity != "deal":
        found["fm"] = Field("multi", "fm", dynamic=False)
    if kind.entity in {"lead", "deal"}:
        found["contactIds"] = Field("refs", "contactIds", dynamic=False, refers="contact")
    if kind.entity == "contact":
        found["companyIds"] = Field("refs", "companyIds", dynamic=False, refers="company")
    return found


@dataclass
class Wanted:
    """A record of the cloud as it should be in the box.

    Args:
        values: canonical value by field, in the box's terms.
        raw: the same, as it is written.
        problems: what was left out, and why.
        missing: records without a counterpart that it refers to: (entity, identifier).
    """

    values: dict[str, Canonical] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Cell:
    entity: str
    name: str
    value: Any
    about: Field
    target: Field


class Rewriter:
    """Rewrites addresses and mentions in texts: the cloud's become the box's.

    Args:
        cloud: the cloud's host names.
        box: scheme and host of the box.
    """

    def __init__(self, cloud: Sequence[str], box: str) -> None:
        self._host = re.compile(rf"https?://(?:{'|'.join(map(re.escape, cloud))})(?=[/?#\s\]\"'<]|$)", re.IGNORECASE)
        self._box = box.rstrip("/")

    def rewrite(
        self, text: str, resolve: Callable[[str, str], str | None], user: Callable[[str], str | None]
    ) -> tuple[str, list[tuple[str, str]]]:
        """Rewrite a text.

        Args:
            text: of the cloud.
            resolve: finds the counterpart of a record (entity, identifier).
            user: finds the counterpart of a user.

        Returns:
            The text, and the records in it without a counterpart; their identifiers stay as they were.
        """
        if "/" not in text and "[" not in text:
            return text, []
        missing: list[tuple[str, str]] = []

        def found(entity: str, key: str) -> str:
            box = resolve(entity, key)
            if box is None:
                missing.append((entity, key))
            return box or key

        text = self._host.sub(self._box, text)
        text = _RECORD.sub(lambda m: f"/crm/{m['entity']}/{m['page']}/{found(m['entity'], m['key'])}", text)
        text = _TASK.sub(lambda m: f"/tasks/task/{m['page']}/{found('task', m['key'])}", text)
        text = _PERSON.sub(lambda m: f"/company/personal/user/{user(m['key']) or m['key']}", text)
        return _MENTION.sub(lambda m: f"[USER={user(m['key']) or m['key']}{m['rest']}]", text), missing


class Translation:
    """Translates records of the cloud into the box's terms.

    Args:
        cloud: names and identifiers of the cloud.
        box: those of the box.
        rewriter: rewrites addresses and mentions in texts.
        resolve: finds counterparts of records.
        substitute: user of the box who replaces one without a counterpart.
    """

    def __init__(self, cloud: Side, box: Side, rewriter: Rewriter, resolve: Resolve, substitute: str) -> None:
        self.cloud = cloud
        self.box = box
        self._rewriter = rewriter
        self._resolve = resolve
        self.substitute = substitute
        self._users = _match_users(cloud.users, box.users)

    @property
    def users_without(self) -> list[str]:
        """Users of the cloud who have no counterpart in the box."""
        return [f"{_name(user)} (#{key})" for key, user in self.cloud.users.items() if key not in self._users]

    @property
    def fields_without(self) -> list[str]:
        """Fields that the cloud has and the box lacks."""
        return [
            f"{entity}.{name}"
            for entity, fields in self.cloud.fields.items()
            for name in fields
            if name not in self.box.fields.get(entity, {})
        ]

    def user(self, identifier: Any) -> tuple[str, bool]:
        """A user's counterpart and True; the substitute and False where there is none."""
        found = self._users.get(str(identifier or ""))
        return (found, True) if found else (self.substitute, False)

    def user_name(self, identifier: Any) -> str:
        """Name and identifier of a user of the cloud."""
        user = self.cloud.users.get(str(identifier or ""))
        return f"{_name(user)} (#{identifier})" if user else f"#{identifier}"

    def text(self, value: Any) -> tuple[str, list[tuple[str, str]]]:
        """A text with its addresses and mentions rewritten, and the mentioned records without a counterpart."""
        return self._rewriter.rewrite(str(value or ""), self._resolve, self._users.get)

    def references(self, entity: str, fields: Mapping[str, Any]) -> set[tuple[str, str]]:
        """The records that a record of crm.item.* refers to."""
        found: set[tuple[str, str]] = set()
        for name, about in self.box.fields.get(entity, {}).items():
            if about.refers in BY_ENTITY:
                found |= {(about.refers, key) for key in _identifiers(fields.get(name))}
            elif about.kind == "crm":
                found |= {pair for text in _texts(fields.get(name)) if (pair := short_name(text))}
        return found

    def wanted(self, entity: str, fields: Mapping[str, Any]) -> Wanted:
        """Translate a record of crm.item.*."""
        done = Wanted()
        known = self.box.fields[entity]
        for name, about in self.cloud.fields[entity].items():
            if name not in fields:
                continue
            value = fields[name]
            target = known.get(name)
            if target is None:
                if canonical(value, "any") is not None:
                    done.problems.append(f"field {name} is not in the box")
                continue
            self._field(done, _Cell(entity, name, value, about, target))
        return done

    def here(self, entity: str, fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Canonical]:
        """A record of the box in canonical form."""
        known = self.box.fields[entity]
        return {name: canonical(fields.get(name), _form(known[name])) for name in names}

    def _field(self, done: Wanted, cell: _Cell) -> None:
        form = _form(cell.target)
        several = cell.target.multiple or cell.target.kind in {"refs", "users"}
        empty = canonical(cell.value, form) is None
        if cell.about.kind == "file":
            return  # see records.file_fields
        if form == "flag" and cell.value not in (None, "", []):
            raw = cell.value  # a no is written too: the box may default to yes
        else:
            raw = ([] if several else "") if empty else self._raw(done, cell)
        if raw is not None:
            done.raw[cell.name] = raw
            done.values[cell.name] = canonical(raw, form)

    def _raw(self, done: Wanted, cell: _Cell) -> Any:
        """A value in the box's terms; None to leave the field out."""
        if cell.target.refers in BY_ENTITY:
            return self._linked(done, cell)
        if cell.target.kind in {"user", "users"}:
            return self._people(done, cell.name, cell.value, several=cell.target.kind == "users")
        special = {"status": self._status, "choice": self._choices, "crm": self._crm}.get(cell.target.kind)
        if special is not None:
            return special(done, cell)
        if cell.name == "categoryId" and cell.entity == "deal":
            return self._category(done, cell.value)
        return self._written(done, cell.value) if cell.target.kind in {"text", "any"} else cell.value

    def _written(self, done: Wanted, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text, unknown = self.text(value)
        done.missing += unknown
        return text

    def _linked(self, done: Wanted, cell: _Cell) -> Any:
        found = [(key, self._resolve(cell.target.refers, key)) for key in _identifiers(cell.value)]
        done.missing += [(cell.target.refers, key) for key, box in found if box is None]
        kept = [int(box) for _, box in found if box is not None]
        if not kept:
            return None
        return kept if cell.target.kind == "refs" or cell.target.multiple else kept[0]

    def _people(self, done: Wanted, name: str, value: Any, *, several: bool) -> Any:
        people = []
        for key in _identifiers(value):
            found, exact = self.user(key)
            if not exact:
                done.problems.append(f"user {self.user_name(key)} of field {name} is not in the box")
                if several:
                    continue
            people.append(int(found))
        return people if several else (people[0] if people else None)

    def _status(self, done: Wanted, cell: _Cell) -> str | None:
        dictionary, value = cell.target.dictionary, cell.value
        if dictionary == "DEAL_STAGE" and str(value).startswith("C") and ":" in str(value):
            dictionary = f"DEAL_STAGE_{str(value)[1:].partition(':')[0]}"
        here = self.box.statuses.get(dictionary, {})
        if not dictionary or str(value) in here:
            return str(value)
        title = self.cloud.statuses.get(dictionary, {}).get(str(value), "")
        same = [key for key, text in here.items() if title and text == title]
        if len(same) == 1:
            return same[0]
        done.problems.append(f"{value!r} ({title or 'no name'}) of {cell.name} is not in the box's list {dictionary}")
        return None

    @staticmethod
    def _choices(done: Wanted, cell: _Cell) -> Any:
        about, target = cell.about, cell.target
        by_text = {text: key for key, text in target.choices.items()}
        kept = []
        for key in _identifiers(cell.value):
            text = about.choices.get(key)
            if text is None or target.choices.get(key) == text or not target.choices:
                kept.append(key)
            elif text in by_text:
                kept.append(by_text[text])
            else:
                done.problems.append(f"choice {text!r} of field {cell.name} is not in the box")
        return kept if target.multiple else (kept[0] if kept else "")

    def _crm(self, done: Wanted, cell: _Cell) -> Any:
        value, target = cell.value, cell.target
        kept = []
        for text in _texts(value):
            pair = short_name(text)
            if pair is None:
                kept.append(text)
                continue
            found = self._resolve(*pair)
            if found is None:
                done.missing.append(pair)
            else:
                kept.append(f"{text.rpartition('_')[0]}_{found}" if "_" in text else found)
        return kept if target.multiple else (kept[0] if kept else "")

    def _category(self, done: Wanted, value: Any) -> Any:
        key = str(value)
        if key in self.box.categories:
            return int(key)
        title = self.cloud.categories.get(key, "")
        same = [other for other, text in self.box.categories.items() if title and text == title]
        if len(same) == 1:
            return int(same[0])
        done.problems.append(f"category {title or key} is not in the box")
        return 0


def _form(about: Field) -> str:
    if about.kind in {"refs", "users"} or (about.multiple and about.kind not in {"multi", "file"}):
        return "names"
    if about.kind in {"number", "flag", "moment", "day", "multi"}:
        return about.kind
    return "number" if about.kind in {"ref", "user", "money"} else "any"


def _identifiers(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [str(item) for item in items if item not in (None, "", 0, "0", False)]


_texts = _identifiers


def short_name(text: str) -> tuple[str, str] | None:
    """``L_12`` as (``lead``, ``12``). Source: crm/data-types, short names of types."""
    prefix, _, key = text.rpartition("_")
    kind = BY_SHORT.get(prefix)
    return (kind.entity, key) if kind and key.isdigit() else None


def _name(user: Mapping[str, Any]) -> str:
    return f"{user.get('NAME') or ''} {user.get('LAST_NAME') or ''}".strip() or str(user.get("EMAIL") or "nameless")


def _match_users(cloud: Mapping[str, Mapping[str, Any]], box: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Match users by identifier where mail or name agree, then by a mail that only one has."""

    def mail(user: Mapping[str, Any]) -> str:
        return str(user.get("EMAIL") or "").strip().lower()

    by_mail: dict[str, list[str]] = {}
    for key, user in box.items():
        by_mail.setdefault(mail(user), []).append(key)
    found: dict[str, str] = {}
    for key, user in cloud.items():
        same = box.get(key)
        if same is not None and (mail(same) == mail(user) or _name(same) == _name(user)):
            found[key] = key
        elif mail(user) and len(by_mail.get(mail(user), [])) == 1:
            found[key] = by_mail[mail(user)][0]
    return found
