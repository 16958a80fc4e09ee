"""The certificate authorities that a host trusts: local files and the store built from them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.encaja.portal.plugins.module_utils.atomic import write_atomically

STORE = Path("/etc/ssl/certs")
BUNDLE = "ca-certificates.crt"
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


def certificates(text: str) -> set[str]:
    """The certificates of a PEM file, without white space."""
    return {re.sub(r"\s+", "", body) for body in _CERTIFICATE.findall(text)}


def read(path: Path) -> str:
    """A file's text, empty if there is none."""
    return path.read_text(encoding="ascii", errors="replace") if path.is_file() else ""


def place(path: Path, text: str) -> None:
    """Write a file atomically."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    write_atomically(path, text.encode("ascii"), 0o644)


def left_behind(store: Path, owned: Path) -> bool:
    """Whether the store still links to a missing file: a run was interrupted before the store was rebuilt."""
    if not store.is_dir():
        return False
    links = (Path(entry.path) for entry in os.scandir(store) if entry.is_symlink())
    return any(str(link.readlink()).startswith(f"{owned}/") and not link.exists() for link in links)


def converge(folder: Path, owned: str, files: dict[str, str], check: bool, store: Path = STORE) -> dict[str, Any]:
    """Converge the store (in check mode, only plan); returns the module's result.

    Raises:
        CalledProcessError: Debian's program failed.
    """
    mine = folder / owned
    wanted = {folder / name: text for name, text in files.items()}
    placed = [path for path, text in wanted.items() if read(path) != text]
    removed = [path for path in sorted(mine.glob("*.crt")) if path not in wanted]
    cleared = bool(removed) or left_behind(store, mine)
    held = certificates(read(store / BUNDLE))
    missing = any(not certificates(text) <= held for text in wanted.values())
    changed = bool(placed) or cleared or missing
    if changed and not check:
        for path in placed:
            place(path, wanted[path])
        for path in removed:
            path.unlink()
        # Debian's program keeps links to removed files unless it recreates all links.
        subprocess.run(
            ["update-ca-certificates", *(["--fresh"] if cleared else [])], capture_output=True, text=True, check=True
        )
    return {"changed": changed, "placed": [str(path) for path in placed], "removed": [str(path) for path in removed]}
