"""Where a project's playbooks are."""

from __future__ import annotations

from pathlib import Path

from encaja.ansible.collection import collection
from encaja.errors import ConfigurationError


def find_playbook(project: Path, name: str) -> Path | None:
    """The file of a playbook: of the project's `playbooks/`, of the collection, or of the project itself; or None."""
    for path in (project / "playbooks" / name, collection() / "playbooks" / name, project / name):
        if path.is_file():
            return path
    return None


def get_playbook(project: Path, name: str) -> Path:
    """The file of a playbook.

    Raises:
        ConfigurationError: there is none.
    """
    path = find_playbook(project, name)
    if path is None:
        raise ConfigurationError("does not exist", f"playbook '{name}'", "look into playbooks/")
    return path
