#!/usr/bin/python
"""Converges the portal's document root: the tree in use, and the managed settings in it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portal_tree
short_description: Converge the portal's document root and the managed settings in it
description:
  - The document root C(www) below O(home) is a link to one of the directories in C(trees). A tree in use is never
    replaced, whatever O(source) is; a restore creates a new tree and switches the link itself.
  - Without a tree, or with the holding page only, the distribution is unpacked to a temporary directory, checked,
    completed with O(seed_files), O(seed_sections) and O(seed_secrets), and moved into place.
  - In the tree in use only O(sections), O(secrets), O(absent), O(define), O(undefine) and O(licence) are managed;
    everything else in its files belongs to the portal.
options:
  home:
    description: Directory with C(www) and C(trees).
    type: path
    required: true
  name:
    description: Name of the distribution's tree.
    type: str
    default: portal
  holding:
    description: Name of the tree with the holding page.
    type: str
    default: holding
  source:
    description: Origin of the portal. C(restore) shows the holding page until a backup is restored.
    type: str
    choices: [distribution, restore]
    required: true
  archive:
    description: The distribution's archive on this host. Without it RV(waits_for_archive) shows whether it is required.
    type: path
  sha256:
    description: The archive's SHA-256.
    type: str
    default: ""
  owner:
    description: Owner of the tree.
    type: str
    default: www-data
  group:
    description: Group of the tree.
    type: str
    default: www-data
  seed_files:
    description: Files of a new tree by their path in it. Files of the distribution are not replaced.
    type: dict
    default: {}
  seed_sections:
    description: Sections for C(.settings.php) of a new tree.
    type: dict
    default: {}
  seed_secrets:
    description: Secret values for C(.settings.php) of a new tree by dotted path.
    type: dict
    default: {}
  sections:
    description:
      - Sections to merge into C(.settings.php), each C({value, readonly}). Must not contain secrets.
      - C({tree}) in a value is replaced by the name of the tree in use.
    type: dict
    default: {}
  secrets:
    description: Secret values by dotted path.
    type: dict
    default: {}
  replace:
    description: Sections to replace instead of merging.
    type: list
    elements: str
    default: []
  absent:
    description: Dotted paths to remove from C(.settings.php).
    type: list
    elements: str
    default: []
  define:
    description: Constants for C(dbconn.php).
    type: dict
    default: {}
  define_for_pages:
    description:
      - Constants that C(dbconn.php) defines as true for pages, and not at all for the schedule (C(portal_cron.php)).
      - With C(BX_CRONTAB_SUPPORT) in the list, the schedule runs all agents, also periodic ones. Defined for the
        schedule as well, it would leave these to pages, where C(main.check_agents) may disable them.
    type: list
    elements: str
    default: []
  undefine:
    description: Constants to remove from C(dbconn.php).
    type: list
    elements: str
    default: []
  licence:
    description: Licence key of the boxed portal; empty leaves the key unchanged.
    type: str
    default: ""
author: encaja
"""

EXAMPLES = r"""
- name: Show the holding page until the portal is restored
  encaja.portal.portal_tree:
    home: /srv/portal
    source: restore
"""

RETURN = r"""
tree:
  description: Name of the tree in use.
  returned: always
  type: str
kind:
  description: C(own) for the distribution, C(restored) for any other portal, C(holding) for the holding page.
  returned: always
  type: str
waits_for_archive:
  description: Whether the distribution's archive is required to continue.
  returned: always
  type: bool
installed:
  description: Whether the distribution's installer has run.
  returned: always
  type: bool
cron_masked:
  description: Whether the portal's timer is masked, as on an isolated copy.
  returned: always
  type: bool
"""

import grp
import hashlib
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.atomic import link_atomically
from ansible_collections.encaja.portal.plugins.module_utils.errors import EncajaError
from ansible_collections.encaja.portal.plugins.module_utils.portal import (
    files,
    php,
    serialized,  # noqa: F401 - php needs it, and Mitogen sends only what a module names
    settings,
)

SETTINGS = "bitrix/.settings.php"
DBCONN = "bitrix/php_interface/dbconn.php"
LICENCE = "bitrix/license_key.php"
INSTALLED = "bitrix/.encaja-installed"  # in the tree, so that a backup and a copy contain it
MARKERS = Path("/var/lib/encaja/portal")  # of earlier versions
MASKS = ("/etc/systemd/system", "/run/systemd/system")
UNITS = ("encaja-portal-cron.timer", "encaja-portal-cron.service")


def digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def root_of(folder: Path) -> Path | None:
    """The portal's root in an unpacked archive: its top, or the only directory there; None if neither."""
    if (folder / "bitrix").is_dir():
        return folder
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and (inside[0] / "bitrix").is_dir() else None


def shown(text: str) -> str:
    """The text of ``dbconn.php`` for a diff, without passwords; old portals have one in it."""
    return (
        text
        if php.read_variable(text, "DBPassword") is None
        else php.edit_variable(text, "DBPassword", settings.HIDDEN)
    )


def defined_for_pages(text: str, constant: str) -> str:
    """The text with a constant that is true on pages only, and defined nowhere else. Source: portal.md 3 (agents)."""
    plain = f'define("{constant}", true);'
    guarded = f'if (!defined("CHK_EVENT") || CHK_EVENT !== true) {plain}'
    without = php.edit_define(text.replace(f"{guarded}\n", ""), constant)
    if guarded in text and without == text.replace(f"{guarded}\n", ""):
        return text
    return str(php.edit_define(without, constant, True)).replace(plain, guarded, 1)


def for_tree(value: Any, name: str) -> Any:
    """The value with ``{tree}`` in its strings replaced by the name of the tree."""
    if isinstance(value, dict):
        return {key: for_tree(item, name) for key, item in value.items()}
    return value.replace("{tree}", name) if isinstance(value, str) else value


class DocumentRoot:
    """The link ``www`` and the trees that it may point to."""

    def __init__(self, module: AnsibleModule) -> None:
        self.wanted = module.params
        self.check: bool = module.check_mode
        home = Path(self.wanted["home"])
        self.link, self.trees = home / "www", home / "trees"
        self.diffs: list[dict[str, str]] = []
        self.waits = False

    def note(self, path: Path, before: str, after: str) -> None:
        """Record a change for the result."""
        header = str(path)
        self.diffs.append({"before_header": header, "after_header": header, "before": before, "after": after})

    def current(self) -> str:
        """Name of the tree in use; empty if there is none.

        Raises:
            EncajaError: ``www`` is no link, or points to nothing.
        """
        if not os.path.lexists(self.link):
            return ""
        if not self.link.is_symlink():
            raise EncajaError("is not a link", str(self.link), f"move it to {self.trees}/NAME and link it from there")
        if not self.link.exists():
            target = os.readlink(self.link)
            raise EncajaError(
                f"points to {target}, which does not exist", str(self.link), "link it to one of the trees"
            )
        return self.link.resolve().name

    def kind(self, name: str) -> str:
        """Kind of the tree of this name."""
        if name in ("", self.wanted["holding"]):
            return "holding"
        return "own" if name == self.wanted["name"] else "restored"

    def switch(self, name: str) -> None:
        """Switch ``www`` to another tree atomically."""
        target = f"trees/{name}"
        before = os.readlink(self.link) if self.link.is_symlink() else ""
        if before == target:
            return
        self.note(self.link, f"-> {before}\n" if before else "", f"-> {target}\n")
        if not self.check:
            link_atomically(self.link, target)

    def choose(self) -> str:
        """Ensure that there is a tree, and return its name."""
        name, holding = self.current(), str(self.wanted["holding"])
        if self.kind(name) != "holding":
            return name
        if self.wanted["source"] == "restore":
            self.switch(holding)
            return holding
        own: Path = self.trees / self.wanted["name"]
        if not own.is_dir():
            if not self.wanted["archive"]:
                self.waits = True
                self.note(own, "", "(the distribution, unpacked)\n")
                return name or holding
            self.unpack(own)
        self.switch(own.name)
        return own.name

    def unpack(self, own: Path) -> None:
        """Unpack the distribution to a temporary directory, complete it, and move it into place."""
        archive = Path(self.wanted["archive"])
        if self.wanted["sha256"] and (found := digest(archive)) != self.wanted["sha256"].lower():
            raise EncajaError(
                f"its SHA-256 is {found}, not {self.wanted['sha256']}", str(archive), "download the archive again"
            )
        self.note(own, "", "(the distribution, unpacked)\n")
        if self.check:
            return
        partial = own.with_name(f".{own.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o750, parents=True)
        try:
            done = subprocess.run(
                ["tar", "--extract", "--no-same-owner", "--no-same-permissions", "--file", archive],
                cwd=partial,
                umask=0o027,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise EncajaError(f"cannot be unpacked: {done.stderr.strip()[-300:]}", str(archive))
            root = root_of(partial)
            if root is None:
                raise EncajaError("contains no directory bitrix", str(archive), "use the portal's distribution")
            self.complete(root)
            subprocess.run(["chown", "-R", f"{self.wanted['owner']}:{self.wanted['group']}", root], check=True)
            root.chmod(0o750)
            (MARKERS / f"{own.name}.installed").unlink(missing_ok=True)
            root.rename(own)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def complete(self, root: Path) -> None:
        """Write the files and settings of a new tree that the distribution lacks."""
        for name, content in self.wanted["seed_files"].items():
            path = root / name
            if not path.exists():
                path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                files.write(path, str(content).encode(), files.Attributes(mode=0o640))
        path = root / SETTINGS
        present = php.parse_settings(php.decode(path.read_bytes()), str(path)) if path.exists() else {}
        seeded = settings.converge(present, self.wanted["seed_sections"], self.wanted["seed_secrets"])
        files.write(path, php.encode(php.render_settings(seeded)), files.Attributes(mode=0o640))

    def keep(self, name: str) -> None:
        """Converge the managed settings in the tree."""
        tree = self.trees / name
        path = tree / SETTINGS
        if not path.exists():
            raise EncajaError("does not exist", str(path), "if this tree is not a portal, link www to another one")
        before = php.parse_settings(php.decode(path.read_bytes()), str(path))
        wanted = self.wanted
        sections = for_tree(wanted["sections"], name)
        after = settings.converge(before, sections, wanted["secrets"], wanted["replace"], wanted["absent"])
        if before != after:
            self.diffs.append(settings.diff(before, after, str(path)))
            self.write(path, php.render_settings(after))
        path = tree / DBCONN
        if path.exists():
            text = changed = php.decode(path.read_bytes())
            for constant in wanted["undefine"]:
                changed = php.edit_define(changed, constant)
            for constant, value in wanted["define"].items():
                changed = php.edit_define(changed, constant, value)
            for constant in wanted["define_for_pages"]:
                changed = defined_for_pages(changed, constant)
            if text != changed:
                self.note(path, shown(text), shown(changed))
                self.write(path, changed)
        path = tree / LICENCE
        if wanted["licence"]:
            text = php.decode(path.read_bytes()) if path.exists() else ""
            if php.read_variable(text, "LICENSE_KEY") != wanted["licence"]:
                self.note(path, f"{settings.HIDDEN}\n" if text else "", f"{settings.HIDDEN_CHANGED}\n")
                self.write(path, php.edit_variable(text, "LICENSE_KEY", wanted["licence"]))

    def write(self, path: Path, text: str) -> None:
        """Write a file of the tree in use, and keep a copy of the old one."""
        if self.check:
            return
        if path.exists():
            files.keep_copy(path)
        owner = files.Attributes(
            pwd.getpwnam(self.wanted["owner"]).pw_uid, grp.getgrnam(self.wanted["group"]).gr_gid, 0o640
        )
        files.write(path, php.encode(text), owner)


def converge(module: AnsibleModule) -> dict[str, Any]:
    """Converge the document root (in check mode, only plan); returns the module's result."""
    root = DocumentRoot(module)
    name = root.choose()
    kind = root.kind(name)
    if kind != "holding" and (root.trees / name).is_dir():
        root.keep(name)
    masks = [Path(folder, unit) for folder in MASKS for unit in UNITS]
    return {
        "changed": bool(root.diffs) and (module.check_mode or not root.waits),
        "diff": root.diffs,
        "tree": name,
        "kind": kind,
        "waits_for_archive": root.waits,
        "installed": any(mark.exists() for mark in (root.trees / name / INSTALLED, MARKERS / f"{name}.installed")),
        "cron_masked": any(mask.is_symlink() and os.readlink(mask) == os.devnull for mask in masks),
    }


ARGUMENTS: dict[str, dict[str, Any]] = {
    "home": {"type": "path", "required": True},
    "name": {"type": "str", "default": "portal"},
    "holding": {"type": "str", "default": "holding"},
    "source": {"type": "str", "choices": ["distribution", "restore"], "required": True},
    "archive": {"type": "path"},
    "sha256": {"type": "str", "default": ""},
    "owner": {"type": "str", "default": "www-data"},
    "group": {"type": "str", "default": "www-data"},
    "seed_files": {"type": "dict", "default": {}},
    "seed_sections": {"type": "dict", "default": {}},
    "seed_secrets": {"type": "dict", "default": {}, "no_log": True},
    "sections": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "replace": {"type": "list", "elements": "str", "default": []},
    "absent": {"type": "list", "elements": "str", "default": []},
    "define": {"type": "dict", "default": {}},
    "define_for_pages": {"type": "list", "elements": "str", "default": []},
    "undefine": {"type": "list", "elements": "str", "default": []},
    "licence": {"type": "str", "default": "", "no_log": True},
}


def main() -> None:
    """Run the module. It needs no database, so it does without the library of the other portal modules."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = converge(module)
    except EncajaError as fault:
        module.fail_json(msg=str(fault))
    except OSError as fault:
        module.fail_json(msg=f"{fault.filename}: {fault.strerror}" if fault.filename else str(fault))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
