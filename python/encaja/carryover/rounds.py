"""Rounds: what is new or changed in the cloud since the last round is carried into the box.

A round reads from where the last complete one began, less an overlap, so an interrupted round is simply read again;
what is in the box already is recognised and left alone.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median

from encaja.carryover import deletions
from encaja.carryover.change_probe import ChangeProbe
from encaja.carryover.context import Context
from encaja.carryover.database_times import TimeKeeper
from encaja.carryover.mapping.canonical import moment, wall_clock
from encaja.carryover.mapping.entities import BY_ENTITY, BY_SHORT, ITEMS
from encaja.carryover.mapping.identity_map import IdentityMap
from encaja.carryover.mapping.translation import Rewriter, Translation, read_side
from encaja.carryover.merge import RECORD
from encaja.carryover.prepare import check_webhook, prepared_since
from encaja.carryover.records import crm_items
from encaja.carryover.records.base import carry as carry_records
from encaja.carryover.records.comments import carry_comments
from encaja.carryover.records.file_fields import ENTITY as FILES
from encaja.carryover.records.file_fields import carry_files
from encaja.carryover.records.kinds import record_kinds
from encaja.carryover.records.product_rows import carry_rows
from encaja.carryover.settings import Settings
from encaja.carryover.source.offline_events import OfflineEvents
from encaja.carryover.source.reader import Record
from encaja.carryover.source.watermarks import find_watermarks
from encaja.errors import ConfigurationError
from encaja.rest.client import RestClient
from encaja.rest.limiter import Limiter, Limits
from encaja.rest.tokens import Tokens
from encaja.rest.trust import trusted
from encaja.rest.webhook import Webhook

SKEW_REPORTED = 60.0
"""Seconds by which the clocks may differ before it is reported."""
RETRIED = frozenset({*BY_ENTITY, "requisite", "bank_detail", "activity", "task", "comment"})
"""Kinds that are read again by identifier after a fault; the others are read again with their owner."""
_ROUNDS_AFTER = 3
"""Rounds that begin once everything written before the freeze can be read; what they still find was written later."""
_REFRESH = 300.0  # seconds after which users, dictionaries and fields are read again


def open_portals(settings: Settings, on_wait: Callable[[str], None] = lambda _: None) -> tuple[RestClient, RestClient]:
    """Both portals: the cloud within its limits, the box without any; ``on_wait`` takes what they wait for."""
    cloud, box = settings.cloud, settings.box
    limits = Limits(rate=settings.rate, burst=settings.burst)
    free = Limits(rate=1e6, burst=1_000_000, operating=0.0)
    return (
        RestClient(
            cloud,
            Limiter(cloud.host, settings.state, limits, on_wait=on_wait),
            verify=trusted(settings.cloud_ca),
            on_wait=on_wait,
            file_hosts=settings.file_hosts,
        ),
        RestClient(
            box, Limiter(f"box {box.host}", settings.state, free), verify=trusted(settings.box_ca), on_wait=on_wait
        ),
    )


@asynccontextmanager
async def open_application(
    settings: Settings, on_wait: Callable[[str], None] = lambda _: None
) -> AsyncIterator[RestClient | None]:
    """The cloud, called as its local application, whose offline events report deletions; None without a token."""
    if not settings.cloud_token and settings.cloud_oauth is None:
        yield None
        return
    cloud = settings.cloud
    limiter = Limiter(cloud.host, settings.state, Limits(rate=settings.rate, burst=settings.burst))
    tokens = Tokens(settings.cloud_token, settings.cloud_oauth, settings.state / "tokens.json")
    trust = trusted(settings.cloud_ca)
    async with RestClient(Webhook(cloud.portal), limiter, tokens=tokens, verify=trust, on_wait=on_wait) as application:
        yield application


@asynccontextmanager
async def open_carry_over(
    settings: Settings,
    *,
    dry_run: bool = False,
    reader: bool = False,
    on_wait: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[CarryOver]:
    """Open everything that a carry-over needs.

    Args:
        settings: its settings.
        dry_run: use a copy of the map, and write nothing into the box.
        reader: only read the map; another carry-over may write it meanwhile.
        on_wait: takes what is waited for, and an empty text when the wait is over.

    Raises:
        EncajaError: another carry-over is running, a portal cannot be reached or its webhook may not do this.
    """
    cloud, box = open_portals(settings, on_wait)
    async with cloud, box:
        if not (dry_run or reader):
            set_aside(settings)
        identities = (
            IdentityMap.in_memory(settings.state) if dry_run else IdentityMap(settings.state, writer=not reader)
        )
        with identities:
            carry_over = CarryOver(settings, cloud, box, identities, dry_run=dry_run)
            await carry_over.begin()
            try:
                async with open_application(settings, on_wait) as application:
                    carry_over.events = OfflineEvents(application) if application else None
                    yield carry_over
            finally:
                carry_over.end()


def set_aside(settings: Settings) -> None:
    """Set aside the map of a portal that is no longer live: after another restore, the carry-over starts over."""
    if not settings.portal_root:
        return
    live = os.path.realpath(settings.portal_root)
    noted = settings.state / "portal"
    before = noted.read_text().strip() if noted.exists() else live
    if before != live:
        stamp = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
        for path in settings.state.glob("identity.sqlite3*"):
            path.rename(path.with_name(path.name.replace("identity", f"identity-{stamp}")))
    settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    noted.write_text(f"{live}\n")


class CarryOver:
    """A carry-over, round by round.

    Args:
        settings: its settings.
        cloud: where records come from.
        box: where they go.
        identities: the map.
        dry_run: whether nothing is written into the box.
    """

    def __init__(
        self, settings: Settings, cloud: RestClient, box: RestClient, identities: IdentityMap, *, dry_run: bool = False
    ) -> None:
        self.settings = settings
        self.cloud = cloud
        self.box = box
        self.map = identities
        self.dry_run = dry_run
        self.context: Context
        self.probe: ChangeProbe
        self.keeper: TimeKeeper | None = None
        self.notes: list[str] = []
        self.events: OfflineEvents | None = None
        self._refreshed = 0.0
        self.behind = 0.0
        """Seconds since the time up to which the box has everything."""

    async def begin(self) -> None:
        """Check both webhooks, and read the dictionaries, fields and users of both portals."""
        await asyncio.gather(check_webhook(self.cloud, "cloud"), check_webhook(self.box, "box"))
        cloud_ahead, box_ahead = await asyncio.gather(_ahead(self.cloud), _ahead(self.box))
        skew = box_ahead[0] - cloud_ahead[0]
        if abs(skew.total_seconds()) > SKEW_REPORTED:
            self.notes.append(f"the box's clock is {skew.total_seconds():+.0f} s off the cloud's: fix its time service")
        if self.settings.portal_root:
            self.keeper = TimeKeeper(Path(self.settings.portal_root), box_ahead[1])
        since = self._since()
        restored = self.settings.restored or (self.keeper.went_live() if self.keeper else since.isoformat())
        await find_watermarks(self.cloud, self.box, self.map)
        self.context = Context(
            self.settings,
            self.cloud,
            self.box,
            self.map,
            await self._translation(),
            skew=skew,
            ahead=cloud_ahead[0],
            since=since,
            restored=wall_clock(restored),
            frozen=moment(self.map.note("frozen")),
            until=moment(self.map.note("until")) if self.settings.in_use else None,
            dry_run=self.dry_run,
        )
        self.probe = ChangeProbe(self.context)

    def end(self) -> None:
        """Close what was opened."""
        if self.keeper:
            self.keeper.close()

    def _since(self) -> datetime:
        text = self.settings.since or self.map.note("since", "") or prepared_since(self.settings)
        found = moment(text)
        if found is None:
            raise ConfigurationError(
                "no start time: it is not known from when on records are to be carried",
                "carry-over",
                "run 'encaja carry-over prepare' before the backup is ordered, or give --since TIME",
            )
        self.map.remember("since", text)
        return found

    async def _translation(self) -> Translation:
        cloud, box = await asyncio.gather(read_side(self.cloud), read_side(self.box))
        substitute = str(self.settings.substitute or self.settings.box.path.partition("/")[0])
        rewriter = Rewriter((self.settings.cloud.host, *self.settings.cloud_hosts), self.settings.box.portal)
        self._refreshed = time.monotonic()
        return Translation(cloud, box, rewriter, self.map.box_id, substitute)

    async def round(self) -> int:
        """Carry what is new and changed since the last round; returns the number of records."""
        if time.monotonic() - self._refreshed > _REFRESH:
            self.context.translation = await self._translation()
        context = self.context
        context.absent.clear()
        before = context.tally.total
        began = context.now_in_cloud()
        mark = moment(self.map.note("reached")) or context.since
        await self._apply()
        await self._retry()
        await self.probe.carry_changes(mark - timedelta(seconds=self.settings.overlap))
        if self.events and not self.dry_run:
            await deletions.listen(context, self.events, self._carriers())
        self._set_times()
        if not self.dry_run:
            self.map.remember("reached", began.isoformat())
        self.behind = (context.now_in_cloud() - began).total_seconds()
        return context.tally.total - before

    def _carriers(self) -> dict[str, Callable[[Sequence[Record]], Awaitable[None]]]:
        """By kind: what carries records that were read by identifier."""
        context = self.context
        return {
            **{kind.entity: partial(crm_items.carry, context, kind) for kind in ITEMS},
            **{kind.entity: partial(carry_records, kind) for kind in record_kinds(context)},
            "comment": partial(carry_comments, context),
        }

    async def _apply(self) -> None:
        """Apply decisions about open conflicts."""
        context = self.context
        context.decided = {}
        for item in self.map.answers():
            context.decided.setdefault((item.entity, item.cloud), []).append(item)
        if not context.decided or self.dry_run:
            return
        await deletions.apply_answers(context)
        carriers = self._carriers()
        names: dict[str, list[str]] = {}
        for (entity, name), found in context.decided.items():
            if any(item.field != RECORD for item in found):
                names.setdefault(entity, []).append(name)
        for entity, wanted in names.items():
            if entity in carriers:
                await carriers[entity](await context.reader.fetch(entity, wanted))
            elif entity == "product_rows":
                await self._apply_rows(wanted)
            elif entity == FILES:
                await self._apply_files(wanted)

    async def _apply_rows(self, names: Sequence[str]) -> None:
        for short, kind in BY_SHORT.items():
            keys = [name.partition(":")[2] for name in names if name.partition(":")[0] == short]
            if keys:
                owners = await self.context.reader.fetch(kind.entity, keys)
                await carry_rows(self.context, await self.context.reader.belonging("product_rows", owners))

    async def _apply_files(self, names: Sequence[str]) -> None:
        """Compare the files of fields again, named as in the map."""
        for kind in ITEMS:
            keys = [name.split(":")[1] for name in names if name.partition(":")[0] == kind.entity]
            records = await self.context.reader.fetch(kind.entity, keys)
            await carry_files(self.context, kind, records)
            gone = set(keys) - {record.id for record in records}
            for name in names:
                if name.partition(":")[0] == kind.entity and name.split(":")[1] in gone:
                    self.map.clear_fault(FILES, name)

    async def _retry(self) -> None:
        """Retry faulty records that are due."""
        due: dict[str, list[str]] = {}
        for item in self.map.faults(due=True):
            due.setdefault(item.entity, []).append(item.cloud)
        carriers = self._carriers()
        for entity, names in due.items():
            if entity == FILES:
                await self._apply_files(names)
            if entity not in RETRIED:
                continue
            records = await self.context.reader.fetch(entity, names)
            for name in set(names) - {record.id for record in records}:
                self.map.clear_fault(entity, name)  # gone from the cloud; the sweep handles it
            if records:
                await carriers[entity](records)

    def _set_times(self) -> None:
        if self.keeper and not self.dry_run:
            self.keeper.set_all(self.map)

    async def drain(self, say: Callable[[str], None]) -> None:
        """At the freeze: run rounds until nothing is left, retry every fault, and handle deletions.

        The last round begins at least ``overlap`` seconds after the start. Where the cloud is still in use, the drain
        ends with the records that were there at the start.
        """
        began = self.context.now_in_cloud()
        if self.settings.in_use:
            self.context.until = began
            self.map.remember("until", began.isoformat())
        elif self.context.frozen is None and not self.dry_run:
            self.context.frozen = began
            self.map.remember("frozen", began.isoformat())
        self.map.hasten()
        settled = began + timedelta(seconds=self.settings.overlap)
        after = 0
        while after < _ROUNDS_AFTER:
            after += self.context.now_in_cloud() > settled
            carried = await self.round()
            if carried:
                say(f"{carried} records")
            elif after:
                break
            else:
                # What was being written at the start has an earlier time, and becomes readable only now.
                await asyncio.sleep(max(0.0, (settled - self.context.now_in_cloud()).total_seconds()) + 0.01)
        await deletions.sweep(self.context)

    def line(self) -> str:
        """The state of the carry-over in one line."""
        tally = self.context.tally
        parts = [
            f"{self.behind:.0f} s behind",
            f"{sum(tally.new.values())} new",
            f"{sum(tally.changed.values())} changed",
        ]
        if tally.deleted:
            parts.append(f"{sum(tally.deleted.values())} deleted")
        if tally.delays:
            parts.append(f"{median(tally.delays):.1f} s from the cloud to the box")
        if faults := self.map.faults():
            parts.append(f"{len(faults)} with a fault")
        if late := self.map.stragglers():
            parts.append(f"{len(late)} written in the cloud after the freeze")
        return ", ".join(parts)


async def _ahead(portal: RestClient) -> tuple[timedelta, timedelta]:
    """How far a portal's clock is ahead of this host's, and its offset from UTC."""
    answer = await portal.call("server.time")
    shown = datetime.fromisoformat(str(answer.result))
    # It is cut to seconds. The request may have waited for its turn, the answer has not.
    ahead = shown + timedelta(seconds=0.5) - datetime.now(UTC)
    return (ahead if abs(ahead) > timedelta(seconds=2) else timedelta()), shown.utcoffset() or timedelta()
