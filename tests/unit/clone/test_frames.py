"""Streams over one connection: whole ones are told from those that were cut off."""

from __future__ import annotations

import io

import pytest

from encaja.clone.frames import Sender, receive
from encaja.errors import EncajaError


def sent() -> bytes:
    stream = io.BytesIO()
    sender = Sender(stream)
    sender.data(0, b"one")
    sender.data(1, b"x" * 3_000_000)
    sender.data(0, b"two")
    sender.end(0)
    sender.end(1)
    sender.close({"tables": 2})
    return stream.getvalue()


def test_streams_come_apart_again() -> None:
    got: dict[int, bytes] = {}
    ended: list[int] = []
    seen: list[int] = []
    word = receive(
        io.BytesIO(sent()),
        lambda number, part: got.update({number: got.get(number, b"") + part}),
        ended.append,
        seen.append,
    )
    assert got == {0: b"onetwo", 1: b"x" * 3_000_000}
    assert ended == [0, 1]
    assert word == {"tables": 2}
    assert seen[-1] == 3_000_006


@pytest.mark.parametrize("cut", [0, 3, 7, 20, 2_000_000, -1])
def test_a_cut_is_noticed(cut: int) -> None:
    with pytest.raises(EncajaError, match="cut off"):
        receive(io.BytesIO(sent()[:cut]), lambda *_: None, lambda _: None, lambda _: None)
