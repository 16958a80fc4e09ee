"""Fetching an archive: several connections, every range checked, every volume verified on arrival.

``links`` and ``vendor_storage`` say where the volumes are, ``probe`` learns from the first bytes what the archive is,
``plan`` cuts it into pieces, ``fetcher`` runs the connections, ``replies`` checks what servers answer, ``throttle``
holds connections back or replaces them, ``volume_files`` and ``state`` keep across runs what arrived.
"""

from __future__ import annotations

from encaja.restore.fetch.fetcher import Fetcher
from encaja.restore.fetch.options import FetchOptions, FetchProgress

__all__ = ["FetchOptions", "FetchProgress", "Fetcher"]
