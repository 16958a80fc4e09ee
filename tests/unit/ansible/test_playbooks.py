from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
LOOK_ONLY = {"preflight", "verify", "prove", "compare", "certificate_list", "health"}
OWN_CHECK = {"clone"}
"""Of the direction, and of the markers of both sides."""
ARGUMENT_CHECKS = {"encaja.portal.preflight_inventory", "encaja.portal.role_arguments"}
READS_ONLY = {"encaja.portal.converged"}


def told(task: dict[str, Any]) -> list[dict[str, Any]]:
    """The task, or those of the file that it imports."""
    imported = task.get("ansible.builtin.import_tasks")
    return yaml.safe_load((PLAYBOOKS / imported).read_text()) if imported else [task]


@pytest.mark.parametrize("path", sorted(PLAYBOOKS.glob("*.yml")), ids=lambda path: path.stem)
def test_a_host_of_another_environment_is_refused_first_with_any_tags(path: Path) -> None:
    if path.stem in LOOK_ONLY | OWN_CHECK:
        return
    entries: list[dict[str, Any]] = yaml.safe_load(path.read_text())
    plays = [play for play in entries if "hosts" in play]
    if entries[0].get("ansible.builtin.import_playbook") == "validate_hosts.yml":
        looked = set(entries[0]["vars"]["validated_hosts"].split(":"))
        plays = [play for play in plays if not set(play["hosts"].split(":")) <= looked]
    # The first play of provision.yml has all hosts; elsewhere each play has hosts of its own.
    for play in plays[:1] if path.stem == "provision" else plays:
        tasks = [task for key in ("pre_tasks", "tasks") for one in play.get(key, []) for task in told(one)]
        looks = next(task for task in tasks if task.get("ansible.builtin.import_role", {}).get("name") == "base")
        assert looks["ansible.builtin.import_role"]["tasks_from"] in {"environment", "mark"}
        assert looks["tags"] == ["always"]
        assert looks["any_errors_fatal"] is True
        before = tasks[: tasks.index(looks)]
        looking = [task for task in before if not set(task) & (ARGUMENT_CHECKS | READS_ONLY)]
        states = [task.get("encaja.portal.isolation", {}).get("state") for task in looking]
        assert states == ["check"] * len(looking), "something may change before"
        if "pre_tasks" not in play:
            assert play["roles"] == ["topology"], "roles run before tasks: look in pre_tasks"


@pytest.mark.parametrize("path", sorted(PLAYBOOKS.glob("*.yml")), ids=lambda path: path.stem)
def test_what_only_a_tag_starts_is_started_by_it(path: Path) -> None:
    """Tags of an ``include`` do not reach what it includes, and ``--tags`` then runs nothing, with success."""
    plays = [play for play in yaml.safe_load(path.read_text()) if "hosts" in play]
    for task in [task for play in plays for key in ("pre_tasks", "tasks") for task in play.get(key, [])]:
        named = task.get("ansible.builtin.include_role")
        if named is None or "never" not in task.get("tags", ()):
            continue
        included = PLAYBOOKS.parent / "roles" / named["name"] / "tasks" / f"{named['tasks_from']}.yml"
        for one in yaml.safe_load(included.read_text()):
            assert set(one.get("tags", ())) & set(task["tags"]), f"{included.name}: {one['name']}"
