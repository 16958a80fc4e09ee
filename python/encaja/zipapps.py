"""The host tools as one file: this package as a zipapp that runs with nothing but Debian's Python and packages.

The same sources give the same bytes, so a host is only changed when the tools are.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import encaja

_START = b"import sys\n\nfrom encaja.host import main\n\nsys.exit(main())\n"
_LEFT_OUT = frozenset({"__pycache__", "ansible", "cli", "lab", "runbook"})
_SUFFIXES = frozenset({".py", ".yml", ".sql", ".json", ".php"})
_DATE = (1980, 1, 1, 0, 0, 0)


def _sources(root: Path) -> Iterator[Path]:
    for entry in sorted(root.iterdir()):
        if entry.name in _LEFT_OUT or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _sources(entry)
        elif entry.suffix in _SUFFIXES:
            yield entry


def build() -> bytes:
    """Build the zipapp of the parts that run on hosts."""
    root = Path(encaja.__file__).parent
    content = io.BytesIO()
    content.write(b"#!/usr/bin/python3\n")
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        parts = [("__main__.py", _START)]
        parts += [(f"encaja/{file.relative_to(root).as_posix()}", file.read_bytes()) for file in _sources(root)]
        for name, data in parts:
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, data)
    return content.getvalue()


def build_file(folder: Path) -> Path:
    """Write the zipapp into a folder under a name that tells its content.

    Returns:
        Its path; the same for the same sources.
    """
    data = build()
    file = folder / f"encaja-{hashlib.sha256(data).hexdigest()[:16]}.pyz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        temporary.write_bytes(data)
        temporary.replace(file)
    return file
