"""Whose comments are read again: those of records in which something changed since, and all where that is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from encaja.carryover.mapping.identity_map import IdentityMap
from encaja.carryover.records.comment_activity import CommentBatch, active
from encaja.carryover.source.reader import Reader
from support.fake_cloud import FakeCloud
from support.virtual_time import run

SINCE = datetime(2026, 11, 26, 10, 0, 0, tzinfo=UTC)


class Scene:
    """A cloud with two leads, the first of which has a comment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cloud = FakeCloud()
        self.rows = [{"id": n, "lastActivityTime": SINCE.isoformat()} for n in (1, 2)]
        self.comments: dict[str, list[str]] = {"1": ["10"], "2": []}
        self.cloud.methods["crm.item.list"] = lambda given: {
            "items": self.rows if given["order"]["id"] == "ASC" else self.rows[::-1]
        }
        self.cloud.methods["crm.timeline.comment.list"] = lambda given: [
            {"ID": key, "ENTITY_ID": given["filter"]["ENTITY_ID"], "ENTITY_TYPE": "lead", "CREATED": SINCE.isoformat()}
            for key in self.comments[str(given["filter"]["ENTITY_ID"])]
        ]

    def read(self, *, carry: bool = True, thorough: bool = False, later: int = 60) -> CommentBatch:
        """Read what has to be read, and remember it as carried."""

        async def scene() -> CommentBatch:
            with IdentityMap(self.folder) as identities:
                async with self.cloud.portal(self.folder) as portal:
                    context: Any = SimpleNamespace(
                        map=identities, cloud=portal, reader=Reader(portal), dry_run=False,
                        now_in_cloud=lambda: SINCE + timedelta(seconds=later),
                    )  # fmt: skip
                    [batch] = [batch async for batch in active(context, "lead", {}, thorough=thorough)]
                    await batch.read(context, SINCE)
                    for record in batch.records if carry else []:
                        identities.done("comment", record.id, f"5{record.id}")
                    batch.remember(context)
                    return batch

        return run(scene())


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_comments_are_read_once_while_nothing_changes(scene: Scene) -> None:
    assert [owner.id for owner in scene.read().owners] == ["1", "2"]
    again = scene.read()
    assert (again.owners, again.quiet) == ([], 1)
    scene.rows[1]["lastActivityTime"] = (SINCE + timedelta(hours=1)).isoformat()
    assert [owner.id for owner in scene.read().owners] == ["2"]
    assert [owner.id for owner in scene.read(thorough=True).owners] == ["1", "2"]


def test_what_was_read_in_the_second_of_the_activity_is_read_again(scene: Scene) -> None:
    scene.read(later=1)
    assert len(scene.read().owners) == 2


def test_record_whose_comment_has_not_arrived_is_read_again(scene: Scene) -> None:
    scene.read(carry=False)
    again = scene.read(carry=False)
    assert [owner.id for owner in again.owners] == ["1"]
    assert again.quiet == 0
