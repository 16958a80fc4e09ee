"""Certificates to trust."""

from __future__ import annotations

import functools
import ssl


@functools.cache
def trusted(ca_file: str) -> ssl.SSLContext:
    """The certificates of a file, or those of the system."""
    return ssl.create_default_context(cafile=ca_file or None)
