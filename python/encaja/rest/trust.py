"""Whom to believe that a server is the one it says."""

from __future__ import annotations

import functools
import ssl


@functools.cache
def trusted(ca_file: str) -> ssl.SSLContext:
    """Return the certificates that vouch for a server: those of a file, or those of the system."""
    return ssl.create_default_context(cafile=ca_file or None)
