"""Times of creation and authors that REST does not keep, set in the box's database.

REST takes ``createdTime`` only of a record that is newer than all others of its kind, and none at all for activities
and comments. Where the box is on this host, they are written into its database. Source: the columns of the tables of
CRM, tasks and forum.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from encaja.carryover.mapping.canonical import moment
from encaja.carryover.mapping.identity_map import IdentityMap
from encaja.portal.database import Database
from encaja.portal.site import Portal as Site


@dataclass(frozen=True)
class _Column:
    table: str
    time: str
    author: str


_COLUMNS = {
    "lead": _Column("b_crm_lead", "DATE_CREATE", "CREATED_BY_ID"),
    "deal": _Column("b_crm_deal", "DATE_CREATE", "CREATED_BY_ID"),
    "contact": _Column("b_crm_contact", "DATE_CREATE", "CREATED_BY_ID"),
    "company": _Column("b_crm_company", "DATE_CREATE", "CREATED_BY_ID"),
    "activity": _Column("b_crm_act", "CREATED", "AUTHOR_ID"),
    "comment": _Column("b_crm_timeline", "CREATED", "AUTHOR_ID"),
    "task": _Column("b_tasks", "CREATED_DATE", "CREATED_BY"),
}


_TOGETHER = 500  # rows of one transaction: each commit waits for the disk, and holds them until then


class TimeKeeper:
    """Sets times in the database of the box.

    Args:
        root: document root of the box on this host.
        offset: of the box's clock from UTC, as its REST interface shows it.
    """

    def __init__(self, root: Path, offset: timedelta) -> None:
        self._root = root
        self._offset = offset
        self._database: Database | None = None

    def set_all(self, identities: IdentityMap) -> int:
        """Set every time that is still to be set, and return their number; safe to repeat.

        Raises:
            EncajaError: the portal or its database cannot be reached.
        """
        rows = [row for row in identities.times_to_set() if row[0] in _COLUMNS]
        if not rows:
            return 0
        database = self._connected()
        for at in range(0, len(rows), _TOGETHER):
            part = rows[at : at + _TOGETHER]
            with database.transaction():
                for row in part:
                    self._set(database, *row)
            identities.times_set((entity, box) for entity, box, _, _ in part)
        return len(rows)

    def _set(self, database: Database, entity: str, box: str, created: str, author: str) -> None:
        column = _COLUMNS[entity]
        when = self.wall(created)
        if when is None:
            return
        authored = f", {column.author}=%s" if author.isdigit() and author != "0" else ""
        values = (when, author) if authored else (when,)
        database.execute(f"UPDATE {column.table} SET {column.time}=%s{authored} WHERE ID=%s", *values, int(box))  # noqa: S608

    def wall(self, text: str) -> str | None:
        """A time as the box's database writes it."""
        found = moment(text)
        return self._local(found).strftime("%Y-%m-%d %H:%M:%S") if found else None

    def _local(self, at: datetime) -> datetime:
        # The host has the portal's time zone, summer time included; if not, the current offset has to do.
        if datetime.now(UTC).astimezone().utcoffset() == self._offset:
            return at.astimezone()
        return at.astimezone(timezone(self._offset))

    def went_live(self) -> str:
        """When the tree that is live was made so, by the wall clock of the box's database."""
        at = datetime.fromtimestamp(self._root.lstat().st_ctime, UTC)
        return self._local(at).strftime("%Y-%m-%dT%H:%M:%S")

    def close(self) -> None:
        """Close the connection to the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _connected(self) -> Database:
        if self._database is None:
            self._database = Site(self._root).database
        return self._database
