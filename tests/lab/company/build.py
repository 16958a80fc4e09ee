"""The company, part by part, in the order in which the parts refer to each other."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from . import crm, keys, office, people, vendor
from .store import Store


@dataclass(frozen=True)
class Sizes:
    """How many of each."""

    users: int = 60
    companies: int = 2000
    contacts: int = 2400
    leads: int = 2400
    deals: int = 2000
    tasks: int = 2000
    messages: int = 4000
    photos: int = 0
    days: int = 400


class Context:
    """What every part needs: the store, the dice, the clock and the cloud's host."""

    def __init__(self, store: Store, host: str, seed: int, sizes: Sizes) -> None:
        self.store = store
        self.host = host
        self.url = f"https://{host}"
        self.dice = random.Random(seed)
        self.sizes = sizes
        self.now = portal_time()
        self.staff: list[int] = []
        self.people: dict[int, str] = {}
        self.links = "cloud"

    def times(self, count: int) -> list[datetime]:
        """Return moments in rising order, as records are created, the last some minutes ago."""
        span = self.sizes.days * 86400 - 1800
        start = self.now - timedelta(days=self.sizes.days)
        return [start + timedelta(seconds=s) for s in sorted(self.dice.randrange(span) for _ in range(count))]

    def later(self, moment: datetime, days: int = 20) -> datetime:
        """Return a moment after another one, but not in the future."""
        return min(self.now - timedelta(minutes=1), moment + timedelta(seconds=self.dice.randrange(1, days * 86400)))


def portal_time() -> datetime:
    """Return the local time of PHP, whose zone may differ from the host's."""
    done = subprocess.run(["php", "-r", "echo date('Y-m-d H:i:s');"], capture_output=True, text=True, check=True)
    return datetime.fromisoformat(done.stdout)


PARTS: tuple[Callable[[Context], dict[str, int]], ...] = (
    people.users,
    crm.companies,
    crm.contacts,
    crm.leads,
    crm.deals,
    crm.activities,
    crm.comments,
    office.tasks,
    office.messages,
    vendor.everything,
    keys.planted,
    office.photographs,
)


def build(
    config: Mapping[str, Any],
    docroot: Path,
    sizes: Sizes,
    *,
    seed: int = 1,
    links: str = "cloud",
    bucket: Path | None = None,
) -> dict[str, int]:
    """Fill the portal and return how many rows each part made.

    The portal must be installed and empty but for its administrator; a second call on a filled one is refused.
    """
    store = Store(config["database"], docroot, bucket)
    if store.value("SELECT COUNT(*) FROM b_crm_lead") or store.value("SELECT COUNT(*) FROM b_user") > 1:
        raise SystemExit(f"company: database {store.name} has users or leads already; fill a newly installed portal")
    context = Context(store, config["host"], seed, sizes)
    context.links = links
    counts: dict[str, int] = {}
    for part in PARTS:
        counts.update(part(context))
    store.connection.commit()
    return counts
