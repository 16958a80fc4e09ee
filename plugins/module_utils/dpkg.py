"""Which packages a host has, from dpkg's own list."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

UNITS = "/var/lib/encaja/units-before-packages"
QUERY = "${db:Status-Status}\t${Package}\t${Provides}\n"


def installed(listing: str) -> set[str]:
    """Return all names and virtual names of the installed packages, from ``dpkg-query`` with QUERY as its format."""
    names = set()
    for line in listing.splitlines():
        status, package, provides = line.split("\t")
        if status == "installed":
            names.add(package)
            names.update(item.split("(")[0].split(":")[0].strip() for item in provides.split(",") if item.strip())
    return names


def missing_of(names: Sequence[str]) -> list[str]:
    """Return the names that no installed package has or provides.

    In the order given: of several providers of what a package needs, apt takes the one asked for before it.
    """
    listing = subprocess.run(["dpkg-query", "-W", "-f", QUERY], capture_output=True, text=True, check=True).stdout
    present = installed(listing)
    return [name for name in dict.fromkeys(names) if name not in present]
