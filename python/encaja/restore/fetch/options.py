"""How to fetch, and where a download stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FetchOptions:
    """How to fetch.

    Attributes:
        connections: connections at a time, over all volumes.
        piece: bytes asked for in one request.
        rate: limit of all connections together in bytes a second; None for none.
        stall_seconds: a connection that gives nothing for this time is replaced.
        slow_seconds: a connection is compared with the others after this time.
        patience_seconds: give up when nothing at all arrived for this time.
        unknown_name_seconds: give up this time after the first try when the server's name does not resolve and nothing
            was fetched yet; during a download that is waited for like any other loss of the network.
        pause_seconds: first pause before a retry; it doubles up to a minute.
        attempts: how many times one volume may arrive damaged.
        proofs: volumes verified at a time.
    """

    connections: int = 16
    piece: int = 4 << 20
    rate: float | None = None
    stall_seconds: float = 30.0
    slow_seconds: float = 20.0
    patience_seconds: float = 3600.0
    unknown_name_seconds: float = 15.0
    pause_seconds: float = 0.5
    attempts: int = 4
    proofs: int = 2


@dataclass(frozen=True)
class FetchProgress:
    """Where the download stands.

    Attributes:
        count: volumes of the archive.
        good: volumes verified.
        under_way: volumes started and not yet verified.
        rejected: times that a volume arrived damaged.
        done: bytes that are there.
        total: bytes of the whole archive; estimated until every volume was asked for.
        rate: bytes a second, measured over the last seconds.
        waiting: what is waited for, since when and until when; empty while bytes arrive.
    """

    count: int
    good: int
    under_way: int
    rejected: int
    done: int
    total: int
    rate: float
    waiting: str = ""
