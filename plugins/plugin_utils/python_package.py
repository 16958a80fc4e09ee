"""Plugins of the controller need the Python package ``encaja``: importing this module says so where it is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from ansible.errors import AnsibleError

if find_spec("encaja") is None:
    raise AnsibleError(
        f"collection encaja.portal: the Python package 'encaja' is missing in {sys.prefix}: "
        "install it beside ansible-core with pip, then run the same command again"
    )
