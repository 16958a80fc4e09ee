"""A role's templates and variables, rendered as Ansible would on a host, without a host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import lookup_loader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).parents[2] / "roles"


def trusted(value: Any) -> Any:
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, list):
        return [trusted(item) for item in value]
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    return value


class Role:
    """A role's defaults and variables under an inventory, for rendering and for looking at values."""

    def __init__(self, name: str, inventory: dict[str, Any]) -> None:
        facts = {"distribution_major_version": "13", "memtotal_mb": 4096, "processor_vcpus": 2}
        self.folder = ROLES / name
        self.variables: dict[str, Any] = {"ansible_managed": "Managed by Ansible"}
        for part in ("defaults", "vars"):
            path = self.folder / part / "main.yml"
            if path.exists():
                self.variables |= trusted(yaml.safe_load(path.read_text()))
            if part == "defaults":
                self.variables |= trusted(inventory)
        self.variables["ansible_facts"] = facts | inventory.get("ansible_facts", {})
        self.loader = DataLoader()
        self.templar = Templar(loader=self.loader, variables=self.variables)

    def value(self, name: str) -> Any:
        return self.templar.template(trust_as_template("{{ " + name + " }}"))

    def render(self, template: str, folder: Path | None = None) -> str:
        """A template's text; ``folder`` holds it in place of the role's own."""
        folder = folder or self.folder / "templates"
        scope = self.variables | {"ansible_search_path": [str(self.folder), str(folder)]}
        lookup = lookup_loader.get("ansible.builtin.template", loader=self.loader, templar=self.templar)
        return str(lookup.run([str(folder / template)], variables=scope)[0])
