"""Fetching an archive: several connections, every range checked, every volume proven on arrival.

``links`` and ``storage`` say where the volumes are, ``probe`` learns from the first bytes what the archive is, ``plan``
cuts it into pieces, ``fetcher`` runs the connections, ``replies`` checks what servers say, ``pace`` holds connections
back or replaces them, ``parts`` and ``state`` keep what arrived across runs.
"""

from __future__ import annotations

from encaja.restore.fetch.fetcher import Fetcher
from encaja.restore.fetch.options import FetchOptions, FetchProgress

__all__ = ["FetchOptions", "FetchProgress", "Fetcher"]
