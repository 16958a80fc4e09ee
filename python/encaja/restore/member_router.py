"""Where the members of the archive go: the dump to the spool, everything else to the tree."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from encaja.restore.archive.sqldump import AFTER_CONNECT_NAME, DUMP_NAME, after_connect
from encaja.restore.archive.tars import Member
from encaja.restore.archive.tree import TreeWriter, safe_name
from encaja.restore.archive.verify_volume import FRONT
from encaja.restore.errors import BackupError
from encaja.restore.load.statement_spool import StatementSpool

_LONGEST_AFTER = 1 << 16
"""Bytes of ``_after_connect.sql``, which holds two statements."""
BEGINNING: dict[str, Any] = {
    "kind": "",
    "after": "",
    "seen": False,
    "ended": False,
    "tree": {"file": None, "files": 0, "bytes": 0},
    "spool": {"charset": None, "finished": False, "pending": 0, "ended": False, "tables": []},
}
"""The state before the first member."""


class MemberRouter:
    """Takes the members of the archive in order.

    Args:
        writer: the new tree.
        spool: the dump's way to the database.
        settled: called with the character set and collation that ``_after_connect.sql`` gives.
        part_begins: called with the bytes of every file of the dump but the first.
    """

    def __init__(
        self,
        writer: TreeWriter,
        spool: StatementSpool,
        settled: Callable[[str | None, str | None], None],
        part_begins: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._writer = writer
        self._spool = spool
        self._settled = settled
        self._part_begins = part_begins
        self._kind = ""
        self._after = b""
        self.dump_seen = False
        self.dump_ended = False

    def begin(self, member: Member) -> None:
        """Choose where the member goes by its name."""
        name = safe_name(member.name)
        if AFTER_CONNECT_NAME.fullmatch(name):
            self._kind, self._after = "after", b""
        elif DUMP_NAME.fullmatch(name):
            if self.dump_seen:
                self._part_begins(member.size)
            self._kind, self.dump_seen = "dump", True
        else:
            self._kind = "tree"
            if not self.dump_ended and name not in FRONT:
                self._end_dump(name)
            self._writer.begin(member)

    def data(self, piece: memoryview) -> None:
        """Pass the bytes on."""
        if self._kind == "tree":
            self._writer.data(piece)
        elif self._kind == "dump":
            self._spool.feed(piece)
        else:
            self._after += piece
            if len(self._after) > _LONGEST_AFTER:
                raise BackupError("_after_connect.sql is too long", "", "check where this archive comes from")

    def end(self) -> None:
        """The member is complete."""
        if self._kind == "tree":
            self._writer.end()
        elif self._kind == "dump":
            self._spool.end_part()
        else:
            self._settled(*after_connect(self._after))
        self._kind = ""

    def finish(self) -> None:
        """The archive is over."""
        if not self.dump_ended:
            self._end_dump(b"")

    def _end_dump(self, name: bytes) -> None:
        """The dump stands at the front of the archive: the first file of the tree says that it is over."""
        if not self.dump_seen:
            raise BackupError(
                "the archive has no dump at its front",
                os.fsdecode(name),
                "this is no full backup of a portal; take one with its database",
            )
        self._spool.end()
        self.dump_ended = True

    def state(self) -> dict[str, Any]:
        """The whole state as plain values."""
        return {
            "kind": self._kind,
            "after": self._after.hex(),
            "seen": self.dump_seen,
            "ended": self.dump_ended,
            "tree": self._writer.state(),
            "spool": self._spool.state(),
        }

    def save_pending(self, name: str) -> None:
        """Keep what the state does not hold."""
        self._spool.save_pending(name)

    def forget_pending(self, name: str) -> None:
        """It is not needed any more."""
        self._spool.forget_pending(name)

    def resume(self, state: dict[str, Any], pending: str) -> None:
        """Go back to an earlier state."""
        self._kind, self._after = state["kind"], bytes.fromhex(state["after"])
        self.dump_seen, self.dump_ended = state["seen"], state["ended"]
        self._writer.resume(state["tree"])
        self._spool.resume(state["spool"], pending)
