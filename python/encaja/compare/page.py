"""A comparison as one HTML page without external references."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {"title": "comparison of environments", "section": "section", "name": "name", "compared": "compared",
           "equal": "equal", "expected": "expected", "different": "different", "differences": "differences",
           "found": "What differs", "why": "why", "count": "how many", "neutralised": "neutralised copy",
           "names": "names"},
    "es": {"title": "comparación de entornos", "section": "sección", "name": "nombre", "compared": "comparados",
           "equal": "iguales", "expected": "esperadas", "different": "distintos", "differences": "diferencias",
           "found": "Lo que difiere", "why": "motivo", "count": "cuántas", "neutralised": "copia neutralizada",
           "names": "nombres"},
}  # fmt: skip


def to_html(body: Mapping[str, Any], language: str) -> str:
    """The page for what module ``compare`` returned, in a language ("en" or "es")."""
    environment = Environment(
        loader=PackageLoader("encaja.compare", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M}"
    return environment.get_template("page.html.j2").render(body=body, w=WORDS[language], language=language, made=made)
