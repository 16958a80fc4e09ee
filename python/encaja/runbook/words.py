"""The words of tables and messages in each language."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources

import yaml


@cache
def read_words(use: str) -> Mapping[str, Mapping[str, str]]:
    """The words for one use ("tables", "states" or "preflight"), by language."""
    text = resources.files("encaja.runbook").joinpath("words.yml").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, str]] = yaml.safe_load(text)[use]
    return found
