"""The host tools as one file: this package as a zipapp that runs with nothing but Debian's Python and packages.

The same sources give the same bytes, so a host is only changed when the tools are.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import encaja
from encaja.atomic import write_atomically

_START = b"import sys\n\nfrom encaja.host_tools import main\n\nsys.exit(main())\n"
_LEFT_OUT = frozenset({"__pycache__", "ansible", "cli", "lab", "project.py", "runbook"})
_SUFFIXES = frozenset({".py", ".yml", ".sql", ".json", ".php"})
_DATE = (1980, 1, 1, 0, 0, 0)


def _sources(root: Path) -> Iterator[Path]:
    for entry in sorted(root.iterdir()):
        if entry.name in _LEFT_OUT:
            continue
        if entry.is_dir():
            yield from _sources(entry)
        elif entry.suffix in _SUFFIXES:
            yield entry


def _parts() -> list[tuple[str, bytes]]:
    root = Path(encaja.__file__).parent
    files = [(f"encaja/{file.relative_to(root).as_posix()}", file.read_bytes()) for file in _sources(root)]
    return [("__main__.py", _START), *files]


def build(parts: Sequence[tuple[str, bytes]] | None = None) -> bytes:
    """Build the zipapp of the parts that run on hosts: of the package, unless names and contents are given."""
    content = io.BytesIO()
    content.write(b"#!/usr/bin/python3\n")
    with zipfile.ZipFile(content, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name, data in _parts() if parts is None else parts:
            entry = zipfile.ZipInfo(name, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, data)
    return content.getvalue()


def build_file(folder: Path) -> Path:
    """Write the zipapp into a folder under a name that tells its content, unless it is there.

    Returns:
        Its path; the same for the same sources.
    """
    parts = _parts()
    sources = hashlib.sha256()
    for name, data in parts:
        sources.update(f"{name} {len(data)}\n".encode() + data)
    file = folder / f"encaja-{sources.hexdigest()[:16]}.pyz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(file, build(parts), 0o644)
    return file
