"""The kit's own module_utils, found as Ansible finds them."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils

HERE = str(Path(__file__).parents[3] / "plugins/module_utils")
if HERE not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(HERE)
