"""Puts the collection into the wheel beside the Python package, where Ansible looks for it; a clone has it in links."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
INSIDE = Path("ansible_collections/encaja/portal")
FILES = ("galaxy.yml", "ansible.cfg")
FOLDERS = ("meta", "playbooks", "plugins", "roles")
INVENTORIES = tuple(Path("inventories", name) for name in ("production", "preproduction", "test"))
MADE = ("__pycache__", "*.pyc", "generated.yml", "distributions.yml")


class BuildWithCollection(build_py):
    """Builds the Python package, and the collection beside it."""

    def run(self) -> None:
        """Build both in an empty folder: what an earlier build left is not packed."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            for path in _files():
                placed = Path(self.build_lib, INSIDE, path)
                placed.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, placed)

    def get_source_files(self) -> list[str]:
        """What belongs into the source distribution."""
        return [*super().get_source_files(), *map(str, _files())]


def _files() -> Iterator[Path]:
    """The collection's files, from the root of the clone."""
    yield from map(Path, FILES)
    for folder in (*map(Path, FOLDERS), *INVENTORIES):
        found = sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file())
        if not found:
            raise FileNotFoundError(f"{folder}: nothing of the collection is there (build from a whole clone)")
        yield from (path for path in found if not any(path.match(name) or name in path.parts for name in MADE))


setup(cmdclass={"build_py": BuildWithCollection})
