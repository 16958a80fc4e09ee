"""Requisites of contacts and companies, their bank details and addresses.

Source: apidocs.bitrix24.com, crm/requisites (``XML_ID`` and ``ORIGINATOR_ID`` are free; an address is known by its type
and what it belongs to).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from encaja.carryover.context import Context
from encaja.carryover.mapping.canonical import canonical, fingerprints, whole
from encaja.carryover.mapping.entities import BY_TYPE
from encaja.carryover.mapping.translation import Wanted
from encaja.carryover.records.base import LeftOutError, RecordKind
from encaja.carryover.records.crm_items import ensure
from encaja.carryover.source.origins import ORIGINATOR
from encaja.carryover.source.reader import REQUISITE, Record
from encaja.rest.command import Command
from encaja.rest.errors import RefusedError

_KEYS = frozenset({"TYPE_ID", "ENTITY_TYPE_ID", "ENTITY_ID", "ANCHOR_TYPE_ID", "ANCHOR_ID", "LOC_ADDR_ID"})
"""Fields of an address that say whose it is."""


class Requisites(RecordKind):
    """Requisites."""

    entity = "requisite"
    method = "crm.requisite"

    @property
    def shape(self) -> dict[str, str]:  # type: ignore[override]
        """The fields that every country has, and those that begin with RQ_ or UF_."""
        return self._shape

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._shape = {"NAME": "text", "CODE": "any", "ACTIVE": "flag", "SORT": "number", "PRESET_ID": "number"}

    async def want(self, record: Record) -> Wanted:
        """A requisite; its fields differ by country."""
        self._shape |= {name: "any" for name in record.fields if name.startswith(("RQ_", "UF_"))}
        return await super().want(record)

    def owners(self, record: Record) -> Iterable[tuple[str, str]]:
        """The contact or company."""
        kind = BY_TYPE.get(int(record.fields.get("ENTITY_TYPE_ID") or 0))
        return [(kind.entity, str(record.fields["ENTITY_ID"]))] if kind else []

    async def links(self, want: Wanted, record: Record) -> None:
        """The contact, company or requisite that it belongs to."""
        owner = next(iter(self.owners(record)), None)
        box = self.linked(want, *owner) if owner else None
        if box is None:
            raise LeftOutError("what it belongs to is not in the box")
        want.raw |= {"ENTITY_TYPE_ID": int(record.fields.get("ENTITY_TYPE_ID") or REQUISITE), "ENTITY_ID": int(box)}

    def find(self, records: Sequence[Record]) -> list[Command]:
        """By the origin that it was given."""
        return [
            Command(
                f"{self.method}.list",
                {
                    "filter": {"ORIGINATOR_ID": ORIGINATOR, "XML_ID": record.id},
                    "select": ["ID"],
                    "order": {"ID": "ASC"},
                },
            )
            for record in records
        ]

    def add(self, record: Record, want: Wanted) -> Command:
        """With its origin."""
        fields = {name: value for name, value in want.raw.items() if value != ""}
        return Command(f"{self.method}.add", {"fields": {**fields, "ORIGINATOR_ID": ORIGINATOR, "XML_ID": record.id}})


class BankDetails(Requisites):
    """Bank details of requisites."""

    entity = "bank_detail"
    method = "crm.requisite.bankdetail"

    def owners(self, record: Record) -> Iterable[tuple[str, str]]:
        """The requisite."""
        return [("requisite", str(record.fields["ENTITY_ID"]))]


async def carry_addresses(context: Context, records: Sequence[Record]) -> None:
    """Carry addresses; a record has one of each type, so writing it again does no harm."""
    links = context.map.find("address", [record.id for record in records])
    await ensure(
        context, {("lead", record.id.rpartition(":")[2]) for record in records if record.id.split(":")[1] == "1"}
    )
    for record in records:
        kind, owner_type, owner = record.id.split(":")
        entity = "requisite" if int(owner_type) == REQUISITE else BY_TYPE[int(owner_type)].entity
        box = context.map.box_id(entity, owner)
        fields = {name: value for name, value in record.fields.items() if name not in _KEYS}
        hashes = fingerprints({name: canonical(value, "any") for name, value in fields.items()})
        link = links.get(record.id)
        if box is None or (link and whole(link.want) == whole(hashes)):
            continue
        if context.dry_run:
            context.note_preview("address", "changed" if link else "new", record)
            continue
        key = {"TYPE_ID": int(kind), "ENTITY_TYPE_ID": int(owner_type), "ENTITY_ID": int(box)}
        there = await context.box.call("crm.address.list", {"filter": key})
        same = there.result and whole(hashes) == whole(
            fingerprints({name: canonical(there.result[0].get(name), "any") for name in fields})
        )
        try:
            if not same:
                await context.box.call(
                    f"crm.address.{'update' if there.result else 'add'}", {"fields": {**key, **fields}}
                )
                context.count(record, "changed" if there.result else "new")
        except RefusedError as fault:
            context.note_fault(record, f"the box refuses it: {fault.what}", "it is retried")
            continue
        context.map.done(
            "address", record.id, f"{kind}:{owner_type}:{box}", want=hashes, modified=record.modified.isoformat()
        )
        context.map.clear_fault("address", record.id)
