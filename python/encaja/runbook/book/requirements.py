"""What the steps of a run-book require of the inventory, for the look before the first of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from encaja.runbook.book.model import Runbook, Step
from encaja.runbook.book.playbooks import find_playbook


def requirements(runbook: Runbook, project: Path) -> list[dict[str, Any]]:
    """One entry for each thing that a step requires.

    Each has the `step`, and either the `names` of the variables of which one needs a value, the host patterns of the
    step's playbook in `hosts`, its `limit`, and in `brought_by` the earlier step that brings the value (empty for
    none); or in `groups` the hosts and groups whose data it replaces, so that they have to be there.
    """
    found: list[dict[str, Any]] = []
    for place, step in enumerate(runbook.steps):
        before = runbook.steps[:place]
        if step.targets:
            found.append({"step": step.id, "groups": list(step.targets)})
        for names in step.requires:
            bringer = next((other.id for other in before if set(other.brings) & set(names)), "")
            limit = step.action.limit if step.action else ""
            found.append(
                {
                    "step": step.id,
                    "names": list(names),
                    "hosts": _patterns(step, project),
                    "limit": limit,
                    "brought_by": bringer,
                }
            )
    return found


def _patterns(step: Step, project: Path) -> list[str]:
    """The hosts of a playbook's own plays, but for those that are worked out when it runs."""
    path = find_playbook(project, step.action.playbook) if step.action and step.action.playbook else None
    if path is None:
        return []
    try:
        plays = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):  # Ansible says so itself, when the step is run
        return []
    hosts = [play.get("hosts") for play in plays or [] if isinstance(play, dict)]
    return [pattern for pattern in hosts if isinstance(pattern, str) and "{{" not in pattern]
