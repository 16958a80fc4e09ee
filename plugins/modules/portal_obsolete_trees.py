#!/usr/bin/python
"""Lists the obsolete trees of a portal's host and the databases still in use; removes the trees on request."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_obsolete_trees
short_description: List or remove obsolete trees of a portal
description:
  - A tree is in use while it is live, while a roll-back would lead to it, and while a restore into it is not done. The
    holding page stays as well.
  - Every other tree is obsolete. It is removed only with O(remove), and renamed first, so that a partly removed one is
    never taken for a portal.
  - The databases in use are read from the settings of the trees in use. Unreadable settings are an error, since the
    database behind them would be taken for an obsolete one.
options:
  home:
    description: Directory of trees and of the link C(www).
    type: path
    default: /srv/portal
  work:
    description: Directory in which restores keep their journals.
    type: path
    default: /var/lib/encaja/restore
  remove:
    description: Whether to remove obsolete trees.
    type: bool
    default: false
author: encaja
"""

EXAMPLES = r"""
- name: List obsolete trees
  encaja.portal.portal_obsolete_trees:
"""

RETURN = r"""
kept:
  description: Each tree in use with the reason and its database.
  returned: always
  type: list
  elements: dict
obsolete:
  description: Names of the obsolete trees.
  returned: always
  type: list
  elements: str
databases:
  description: Databases of the trees in use.
  returned: always
  type: list
  elements: str
"""

import json
import shutil
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.errors import EncajaError
from ansible_collections.encaja.portal.plugins.module_utils.portal import (
    php,
    serialized,  # noqa: F401 - php needs it, and Mitogen sends only what a module names
)

HOLDING = "holding"
LEAVING = ".removed-"


def in_use(home: Path, work: Path) -> dict[str, str]:
    """The trees in use, with the reason.

    Raises:
        EncajaError: nothing is live, or a journal of a restore cannot be read.
    """
    link = home / "www"
    if not link.is_symlink() or not link.is_dir():
        raise EncajaError("does not lead to a tree, so the live one is unknown", str(link), "apply role portal first")
    live = link.resolve()
    reasons = {HOLDING: "the holding page", live.name: "live"}
    history = read_journal(work / "switches.json") or []
    before = next((entry["before"] for entry in reversed(history) if entry["after"] == str(live)), None)
    if before:
        reasons.setdefault(Path(before).name, "the roll-back leads to it")
    for path in sorted(work.glob("*/journal.json")):
        if (read_journal(path) or {}).get("phase") != "done":
            reasons.setdefault(path.parent.name, "its restore is not done")
    return reasons


def read_journal(path: Path) -> Any:
    """The content of a JSON file of the restore; None where there is none.

    Raises:
        EncajaError: it cannot be read.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as fault:
        raise EncajaError(
            f"cannot be read ({fault})", str(path), "nothing was removed; repair or remove the file"
        ) from fault


def database_of(tree: Path) -> str:
    """The database that a tree's settings name; empty for a tree without settings, which is no portal.

    Raises:
        EncajaError: they are no plain data, or name none.
    """
    path = tree / "bitrix" / ".settings.php"
    if not path.is_file():
        return ""
    try:
        read: Any = php.parse_settings(path.read_text(errors="surrogateescape"), str(path))
        return str(read["connections"]["value"]["default"]["database"])
    except (KeyError, TypeError) as fault:
        raise EncajaError("names no database", str(path), "nothing was removed; correct or remove the tree") from fault


def converge(home: Path, work: Path, remove: bool) -> dict[str, Any]:
    """List the trees, and remove the obsolete ones on request; returns the module's result."""
    trees = home / "trees"
    reasons = in_use(home, work)
    names = sorted(path.name for path in trees.iterdir() if path.is_dir() and not path.name.startswith(LEAVING))
    kept = [
        {"tree": name, "why": reasons[name], "database": database_of(trees / name)} for name in names if name in reasons
    ]
    obsolete = [name for name in names if name not in reasons]
    halves = sorted(trees.glob(f"{LEAVING}*"))
    if remove:
        for name in obsolete:
            halves.append((trees / name).rename(trees / f"{LEAVING}{name}"))
        for half in halves:
            shutil.rmtree(half)
    databases = sorted({str(one["database"]) for one in kept} - {""})
    return {"changed": bool(obsolete or halves) and remove, "kept": kept, "obsolete": obsolete, "databases": databases}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "home": {"type": "path", "default": "/srv/portal"},
            "work": {"type": "path", "default": "/var/lib/encaja/restore"},
            "remove": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    asked = module.params
    try:
        result = converge(Path(asked["home"]), Path(asked["work"]), asked["remove"] and not module.check_mode)
    except EncajaError as fault:
        module.fail_json(msg=str(fault))
    except OSError as fault:
        module.fail_json(msg=f"{fault.filename}: {fault.strerror}")
    if module.check_mode and asked["remove"]:
        result["changed"] = bool(result["obsolete"])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
