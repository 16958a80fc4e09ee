"""The rules about a copy, as role neutralise has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROLE = Path(__file__).parents[2] / "roles" / "neutralise"
DEFAULTS: dict[str, Any] = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())


def harmless() -> list[str]:
    """What looks like a credential and is none."""
    return [one for path in sorted((ROLE / "files/harmless").glob("*.yml")) for one in yaml.safe_load(path.read_text())]


def shipped(domain: str = "copy.example.org") -> list[dict[str, Any]]:
    """The rules of all modules in their order, and the one of the copy's own name, which is in the role's defaults."""
    files = sorted((ROLE / "files" / "rules").glob("*.yml"))
    own = {"id": "mail-from", "why": "A sender that does not exist", "options": {"main.email_from": f"nobody@{domain}"}}
    return [*(rule for path in files for rule in yaml.safe_load(path.read_text())), own]
