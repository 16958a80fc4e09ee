"""Where the collection ``encaja.portal`` lies that belongs to this package.

It is beside the package, where Ansible finds it by Python's path: the wheel puts it there, and a clone has a link.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import encaja
from encaja.errors import ConfigurationError

_INSIDE = Path("ansible_collections/encaja/portal")


@cache
def collections_path() -> Path:
    """The entry of Ansible's collections path under which this package's collection is found.

    Raises:
        ConfigurationError: the package is there without the collection.
    """
    beside = Path(encaja.__file__).absolute().parents[1]
    missing = [name for name in ("playbooks", "plugins", "roles") if not (beside / _INSIDE / name).is_dir()]
    if missing:
        raise ConfigurationError(
            f"the collection encaja.portal is missing beside the Python package ({', '.join(missing)})",
            str(beside),
            "install encaja again, from a whole clone or from its wheel",
        )
    return beside


def collection() -> Path:
    """The collection's folder, with ``playbooks``, ``roles``, ``plugins`` and the shipped inventories.

    Raises:
        ConfigurationError: the package is there without the collection.
    """
    return collections_path() / _INSIDE
