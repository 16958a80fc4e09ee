"""Packs what the lab has in the place of the vendor's distributions, and tells the lab's inventories about it.

``encaja lab up`` runs it: ``distributions.py DIRECTORY INVENTORY…`` writes the archives into DIRECTORY and a file
``distributions.yml`` into every INVENTORY folder.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import tarfile
from pathlib import Path

import yaml

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from lab.push_server import build as push_server  # noqa: E402


def pack_portal(directory: Path) -> Path:
    """Write the stand-in portal's ``portal.tar.gz``, the same bytes each time, and return its path."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        root = HERE / "portal" / "www"
        for path in sorted(root.rglob("*")):
            entry = tarfile.TarInfo(path.relative_to(root).as_posix())
            entry.mode = 0o755 if path.is_dir() else 0o644
            if path.is_dir():
                entry.type = tarfile.DIRTYPE
                archive.addfile(entry)
            elif path.is_file():
                entry.size = path.stat().st_size
                archive.addfile(entry, io.BytesIO(path.read_bytes()))
    written = directory / "portal.tar.gz"
    written.write_bytes(packed.getvalue())
    return written


def main(directory: Path, inventories: list[Path]) -> None:
    """Pack everything and write the inventories' part."""
    directory.mkdir(parents=True, exist_ok=True)
    push, portal = push_server.build(directory), pack_portal(directory)
    variables = {
        "encaja_push_tarball": push.path,
        "encaja_push_tarball_sha256": push.sha256,
        "push_packages": ["nodejs", *push.packages],
        "encaja_lab_portal": str(portal),
        "encaja_lab_portal_sha256": hashlib.sha256(portal.read_bytes()).hexdigest(),
    }
    text = "---\n# Written by 'encaja lab up'.\n" + yaml.safe_dump({"all": {"vars": variables}})
    for inventory in inventories:
        (inventory / "distributions.yml").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
