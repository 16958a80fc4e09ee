"""Values that the portal packs: zlib around serialised PHP, as it does with workflow templates, or the bare text.

Which of the two a row has depends on its age and on an option, so a value is written back in the form that it had.
Source: behaviour-carry.md, theme 10 (bizproc).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from .serialized import SerializedError, is_serialized

BLOBS: Final = {"tinyblob": 0xFF, "blob": 0xFFFF, "mediumblob": 0xFFFFFF, "longblob": 0xFFFFFFFF}
"""The types of columns that can hold a packed value, with how many bytes go in."""

PACKED_SQL: Final = "LEFT({column}, 2) IN (x'7801', x'785E', x'789C', x'78DA')"
"""The condition of rows whose ``column`` begins as zlib does."""

_LARGEST: Final = 256 << 20
_LEVEL: Final = 9


@dataclass(frozen=True)
class Value:
    """What a stored value says, and whether it was packed."""

    text: str
    packed: bool

    def stored(self, text: str) -> bytes:
        """Another text in the form that this value was stored in."""
        data = text.encode("utf-8", "surrogateescape")
        return zlib.compress(data, _LEVEL) if self.packed else data


def looks_packed(data: bytes) -> bool:
    """Whether a value begins as zlib does (it may still be cut)."""
    return len(data) > 1 and data[0] == 0x78 and (data[0] << 8 | data[1]) % 31 == 0


def read(data: bytes) -> Value:
    """What a value of a column that may be packed says.

    Raises:
        SerializedError: it begins as zlib does and cannot be unpacked, or it is binary and nothing that is known.
    """
    if not looks_packed(data):
        try:
            return Value(data.decode("utf-8"), packed=False)
        except UnicodeDecodeError:
            if is_serialized(data):
                return Value(data.decode("utf-8", "surrogateescape"), packed=False)
            raise SerializedError("neither packed nor serialised", hint="the value was damaged") from None
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, _LARGEST)
    except zlib.error as fault:
        raise SerializedError(f"cannot be unpacked ({fault})", hint="the value was cut or damaged") from None
    if not unpacker.eof:
        raise SerializedError("cannot be unpacked to its end", hint="the value was cut or is far too large")
    return Value(text.decode("utf-8", "surrogateescape"), packed=True)
