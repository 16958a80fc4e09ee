"""What all modules of a carry-over share: both portals, the identity map, the translation, the rules and the counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from encaja.carryover.mapping.canonical import Canonical, moment, shown, wall_clock
from encaja.carryover.mapping.identity_map import Conflict, IdentityMap
from encaja.carryover.mapping.translation import Translation, Wanted
from encaja.carryover.settings import Settings
from encaja.carryover.source.reader import Reader, Record
from encaja.rest.client import RestClient


@dataclass
class Tally:
    """Counts of a run.

    Args:
        new: records carried for the first time, by entity.
        changed: records updated, by entity.
        deleted: records deleted in the box, by entity.
        delays: seconds from a record's modification in the cloud to its arrival in the box, of the newest ones.
    """

    new: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    deleted: dict[str, int] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)

    def count(self, what: str, entity: str) -> None:
        """Count one record."""
        numbers: dict[str, int] = getattr(self, what)
        numbers[entity] = numbers.get(entity, 0) + 1

    @property
    def total(self) -> int:
        """The sum of all counts."""
        return sum(sum(numbers.values()) for numbers in (self.new, self.changed, self.deleted))


@dataclass
class Context:
    """A running carry-over.

    Args:
        settings: its settings.
        cloud: where records come from.
        box: where they go.
        map: which record is which.
        translation: between the names and identifiers of both portals.
        skew: how far the box's clock is ahead of the cloud's.
        ahead: how far the cloud's clock is ahead of this host's.
        since: from when on records are carried, by the cloud's clock.
        restored: until when the box was as in the backup, by the wall clock of its database.
        frozen: when work in the cloud stopped; None before that.
        until: where the cloud stays in use, when the last pass began; what was written later is not compared.
        dry_run: whether nothing is written into the box.
    """

    settings: Settings
    cloud: RestClient
    box: RestClient
    map: IdentityMap
    translation: Translation
    skew: timedelta
    ahead: timedelta
    since: datetime
    restored: str
    frozen: datetime | None = None
    dry_run: bool = False
    until: datetime | None = None
    reader: Reader = field(init=False)
    """Reads the cloud."""
    absent: set[tuple[str, str]] = field(default_factory=set)
    """References that were requested from the cloud in this round."""
    tally: Tally = field(default_factory=Tally)
    preview: list[dict[str, Any]] = field(default_factory=list)

    box_reader: Reader = field(init=False)
    """Reads the box."""
    decided: dict[tuple[str, str], list[Conflict]] = field(default_factory=dict)
    """By record: decisions about its open conflicts, to be applied in this round."""
    refused: dict[str, str] = field(default_factory=dict)
    """By kind: why the cloud does not list it."""
    left: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    """By kind and reason: identifiers of what REST does not carry."""

    def __post_init__(self) -> None:
        self.reader = Reader(self.cloud)
        self.box_reader = Reader(self.box)

    def now_in_cloud(self) -> datetime:
        """The time on the cloud's clock."""
        return datetime.now(UTC) + self.ahead

    def in_cloud(self, seconds: float) -> datetime:
        """A time of this host, in seconds since the epoch, on the cloud's clock."""
        return datetime.fromtimestamp(seconds, UTC) + self.ahead

    def in_box(self, seconds: float) -> datetime:
        """The same on the box's clock, or up to two seconds before: differences of less are not seen."""
        return self.in_cloud(seconds) + self.skew - timedelta(seconds=2)

    @staticmethod
    def times_of(record: Record) -> str:
        """When a record was created, as the cloud writes it."""
        return str(record.fields.get("createdTime") or record.created.isoformat())

    def created_differs(self, record: Record, item: dict[str, Any]) -> str:
        """A record's time of creation in the box, where it is not the cloud's; else empty."""
        here, there = item.get("createdTime"), self.times_of(record)
        same = moment(here) == record.created or wall_clock(here) == wall_clock(there)
        return "" if same or record.entity not in {"lead", "deal", "contact", "company"} else str(here)

    def note_created(self, record: Record, item: dict[str, Any]) -> None:
        """Have time of creation and author of a carried record set where the box has another time."""
        if self.created_differs(record, item):
            creator = record.fields.get("createdBy")
            author = self.translation.user(creator)[0] if creator else ""
            self.map.note_time(record.entity, str(item["id"]), self.times_of(record), author)

    def note_straggler(self, record: Record) -> None:
        """Note a record that was written in the cloud after the freeze."""
        if self.frozen and record.modified > self.frozen and not self.dry_run:
            who = record.fields.get("updatedBy") or record.fields.get("createdBy") or record.fields.get("AUTHOR_ID")
            at = record.modified.isoformat(timespec="seconds")
            self.map.straggler(record.entity, record.id, at, self.translation.user_name(who))

    def is_later(self, record: Record) -> bool:
        """Whether a record was written after the last pass began, in a cloud that stays in use."""
        return self.until is not None and record.modified > self.until

    def touched(self, item: dict[str, Any]) -> bool:
        """Whether a record of the box was changed since the backup was restored."""
        return wall_clock(item.get("updatedTime")) > self.restored

    def cloud_is_newer(self, record: Record, item: dict[str, Any]) -> bool:
        """Whether the cloud's record was modified after the box's, with the clocks' difference taken into account."""
        here = moment(item.get("updatedTime"))
        return here is None or record.modified >= here - self.skew

    def is_new(self, record: Record) -> bool:
        """Whether a record was created after the backup."""
        return int(record.id) > self.map.watermark(record.entity)

    def answers(
        self, entity: str, cloud: str, want: Mapping[str, Canonical], have: Mapping[str, Canonical]
    ) -> dict[str, str]:
        """By field, the side that was decided for, where both values are still those of the decision.

        Where they are not, the conflict is open again, with the current values.
        """
        found: dict[str, str] = {}
        for item in self.decided.get((entity, cloud), ()):
            if item.field not in want:
                continue
            values = shown(want[item.field]), shown(have.get(item.field))
            if values == (item.cloud_value, item.box_value):
                found[item.field] = item.decision
            elif not self.dry_run:
                self.map.conflict(Conflict(entity, cloud, item.box, item.field, *values, "open"))
        return found

    def note_fault(self, record: Record, what: str, hint: str) -> None:
        """Note why a record could not be carried; the others go on."""
        if not self.dry_run:
            self.map.note_fault(record.entity, record.id, what, hint)

    def note_problems(self, record: Record, want: Wanted) -> None:
        """Note what is still wrong with a record that has arrived, or clear its fault."""
        problems = [*want.problems, *(f"refers to {entity} {key}, which is not there" for entity, key in want.missing)]
        if problems:
            what = "; ".join(dict.fromkeys(problems))
            self.note_fault(record, what, "add what is missing; the record is then completed")
        elif not self.dry_run:
            self.map.clear_fault(record.entity, record.id)

    def note_left_out(self, entity: str, why: str, record: Record) -> None:
        """Note a record that is not carried, and why."""
        self.left.setdefault((entity, why), set()).add(record.id)

    def count(self, record: Record, how: str) -> None:
        """Count a record that has arrived."""
        self.tally.count(how, record.entity)
        self.tally.delays.append((self.now_in_cloud() - record.modified).total_seconds())
        del self.tally.delays[:-200]

    def note_preview(self, entity: str, how: str, record: Record, fields: Sequence[str] = ()) -> None:
        """Note what would be done, in a dry run."""
        self.tally.count(how, entity)
        if len(self.preview) < 1000:
            self.preview.append({"entity": entity, "cloud": record.id, "what": how, "fields": list(fields)})
