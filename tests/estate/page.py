"""What ``docs/estate.md`` tells an operator to type."""

from __future__ import annotations

import re

from estate.acme import ROOT

PAGE = ROOT / "docs" / "estate.md"


def commands(heading: str, paragraph: str = "") -> list[str]:
    """The commands below a heading, a block each and to the letter; of one part (``**Portal…``) where it is named.

    Raises:
        LookupError: the page has no such heading, paragraph or command.
    """
    sections = re.split(r"^## (.*)$", PAGE.read_text(), flags=re.MULTILINE)
    text = dict(zip(sections[1::2], sections[2::2], strict=True))[heading]
    if paragraph:
        parts = re.split(r"^(?=\*\*|### )", text, flags=re.MULTILINE)
        text = next((part for part in parts if part.startswith(f"**{paragraph}")), "")
    found = re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise LookupError(f"{PAGE}: no command below {heading!r} {paragraph!r}")
    return found
