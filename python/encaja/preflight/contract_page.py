"""Writes ``docs/contract.md`` from the table of what the kit assumes of the product.

``python -m encaja.preflight.contract_page`` prints the page; ``make docs`` puts it in its place.
"""

from __future__ import annotations

import textwrap
from itertools import groupby

from encaja.portal.contract import CONTRACT, RELEASES
from encaja.portal.contract_probe import Assumption

WIDTH = 100  # as in .mdformat.toml
HEAD = """# Contract

```
encaja prove production                       # a table; exit code 4 when an assumption does not hold
encaja prove production --only rest --json    # those whose id begins with a word, for programs
```

{purpose}

| state | meaning |
| -- | -- |
| holds | the portal behaves as the kit assumes |
| DIFFERS | it behaves otherwise: understand it before anything that depends on it is run |
| unproven | it could not be tried here, and why: no rows yet, a frozen portal, a portal in use, no HTTPS |
| not applicable | the module that it is about is not installed |

{writing}

{releases}
"""
PURPOSE = """What the kit takes for granted about the vendor's product, made from `encaja.portal.contract` by
`make docs`. Every assumption has a probe, which runs against any portal (playbook `prove.yml`, module `portal_prove`):
on the fresh box before the backup is requested (step *prove-box*), and on the restored portal before its release (step
*prove-portal*). The stand-in of the tests has to pass the same probes, so it cannot drift from what the kit believes.
The results are in the journal and in the report."""
WRITING = """Probes marked *writes* make rows of their own, which carry the tag `encaja_probe`, and remove them at
once; what a killed run left is found by the tag and removed by the next. They purge the portal's caches as settling
does. A lead is imported only where no person works yet. A webhook of a probe has a code of its own and lives for the
one probe."""
RELEASED = """Observed in releases {releases} of the product. A portal of another one is a warning that names
what was not proven on it."""
TITLES = {
    "table": "Tables",
    "rows": "What stands in them",
    "kernel": "The kernel",
    "page": "Pages, and what they start",
    "rest": "REST",
}


def page() -> str:
    """The whole page as Markdown."""
    lines = [
        HEAD.format(
            purpose=_filled(PURPOSE), writing=_filled(WRITING), releases=_filled(RELEASED.format(releases=_releases()))
        )
    ]
    for group, members in groupby(CONTRACT, key=_group):
        lines.append(f"\n## {TITLES[group]}\n\n| id | the kit assumes | source | used by |\n| -- | -- | -- | -- |\n")
        lines += [_row(one) for one in members]
    return "".join(lines)


def _group(one: Assumption) -> str:
    return one.id.partition("-")[0]


def _row(one: Assumption) -> str:
    writes = " *writes*" if one.writes else ""
    used = ", ".join(f"`{name}`" for name in one.used)
    return f"| `{one.id}`{writes} | {one.says['en']} | {one.source} | {used} |\n"


def _releases() -> str:
    return " and ".join(RELEASES)


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_on_hyphens=False)


def main() -> None:
    """Print the page."""
    print(page(), end="")


if __name__ == "__main__":
    main()
