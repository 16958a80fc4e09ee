"""What the lab's hosts say in their journals, shown where a test or a scenario on them failed."""

from __future__ import annotations

import sys
from pathlib import Path

from encaja.lab import engine, estate

LINES = 40


def journals(names: list[str] | None = None) -> dict[str, str]:
    """The last warnings of each running host of the lab, by container; of those in ``names`` where given."""
    said = {}
    for name, container in sorted(engine.containers(estate.LABEL).items()):
        if container.running and (names is None or name in names):
            try:
                said[name] = engine.podman(
                    "exec", name, "journalctl", "--boot", "--no-pager", "--output=short-iso", "--priority=warning",
                    f"--lines={LINES}", timeout=60,
                )  # fmt: skip
            except engine.LabError as fault:
                said[name] = f"no journal: {fault}"
    return said


def main() -> None:
    """``host_journal.py FOLDER PLATFORM …``: keep the journals of molecule's hosts, before these are removed."""
    folder, platforms = Path(sys.argv[1]), sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    names = {estate.MOLECULE.container(estate.Host(platform, "")): platform for platform in platforms}
    for platform in platforms:
        (folder / f"{platform}.journal").unlink(missing_ok=True)
    for name, text in journals(list(names)).items():
        (folder / f"{names[name]}.journal").write_text(text)


if __name__ == "__main__":
    main()
