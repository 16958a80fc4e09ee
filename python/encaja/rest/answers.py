"""Reading an answer, of which nothing is believed: neither its size, depth and count of values, nor its types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from encaja.rest.errors import MalformedError

MOST_BYTES = 64 << 20
"""Of an answer when it is unpacked; the largest honest one has 50 pages of 50 rows."""
MOST_VALUES = 2_000_000
DEEPEST = 64
_TIMES = ("duration", "finish", "operating", "operating_reset_at")


async def read(response: httpx.Response) -> dict[str, Any] | None:
    """The object in an answer, read while it arrives; None for anything else, such as a page of HTML.

    Raises:
        MalformedError: it is longer, deeper or larger than an honest answer.
    """
    packing = response.headers.get("content-encoding", "identity").strip().lower()
    if packing not in {"identity", "gzip"}:
        raise MalformedError("an answer packed in a way that was not asked for")
    content = bytearray()
    async for piece in response.aiter_bytes():
        content += piece
        if len(content) > MOST_BYTES:
            raise MalformedError(f"an answer of more than {MOST_BYTES >> 20} MiB")
    return decode(bytes(content))


def decode(content: bytes) -> dict[str, Any] | None:
    """As ``read``, of bytes."""
    if len(content) > MOST_VALUES and sum(content.count(sign) for sign in (b",", b"[", b"{")) > MOST_VALUES:
        raise MalformedError(f"an answer of more than {MOST_VALUES} values")
    try:
        answer = json.loads(content)
    except RecursionError:
        raise MalformedError("an answer nested too deeply") from None
    except ValueError:
        return None
    if not isinstance(answer, dict):
        return None
    level: list[Any] = [answer]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return answer
    raise MalformedError("an answer nested too deeply")


def checked(answer: dict[str, Any], *, is_batch: bool) -> dict[str, Any]:
    """An answer with a result, whose ``total`` and ``next`` are numbers.

    Raises:
        MalformedError: they are not, or the result of a batch is none.
    """
    if is_batch and not isinstance(answer["result"], dict):
        raise MalformedError("a batch whose result is none")
    return answer | {what: number(answer.get(what), what) for what in ("total", "next")}


def number(value: Any, what: str, method: str = "") -> int | None:
    """A count, position or identifier; None where there is none.

    Raises:
        MalformedError: it is no such number.
    """
    if value is None:
        return None
    text = str(value)
    if isinstance(value, (int, str)) and text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise MalformedError(f"an answer whose {what} is no number", method)


def times(block: Any) -> Mapping[str, float]:
    """What is usable of the ``time`` of an answer."""
    usable = {}
    for key in _TIMES:
        try:
            seconds = float(block[key])
        except (LookupError, TypeError, ValueError, OverflowError):
            continue
        if 0 <= seconds < 1e12:
            usable[key] = seconds
    return usable
