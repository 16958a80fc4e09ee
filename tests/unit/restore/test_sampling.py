from __future__ import annotations

import json
from pathlib import Path

import pytest

from encaja.restore.load import sampling


def frames(rows: int, each: int) -> list[bytes]:
    texts = [b"(%d,'text; (%d)')" % (number, number) for number in range(rows)]
    return [
        b"INSERT INTO `b_forum_message` VALUES\n" + b",\n".join(texts[start : start + each]) + b"\n;"
        for start in range(0, rows, each)
    ]


@pytest.mark.parametrize("rows", [0, 1, 24, 25, 1000, 4097])
def test_rows_are_counted_and_samples_spread_over_all_of_them(rows: int) -> None:
    held = sampling.take(frames(rows, 100))
    assert held["rows"] == rows
    numbers = [int(text[1:].partition(",")[0]) for text in held["samples"]]
    assert len(numbers) == len(set(numbers)) >= min(rows, sampling.SAMPLES // 2)
    assert len(numbers) <= sampling.SAMPLES
    if rows > sampling.SAMPLES:
        assert max(numbers) > rows * 0.8
    assert all(text == f"({number},'text; ({number})')" for number, text in zip(numbers, held["samples"], strict=True))


def test_the_dumps_time_stands_beside_what_was_taken(tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    sampling.keep(path, "portal_1", "b_forum_message", sampling.take([]), "2026-03-01 18:30:05")
    sampling.keep(path, "portal_1", "b_other", sampling.take([]), "2026-03-01 18:30:05")
    said = json.loads(path.read_text())
    assert (said["database"], said["begun"]) == ("portal_1", "2026-03-01 18:30:05")
    assert set(said["tables"]) == {"b_forum_message", "b_other"}
