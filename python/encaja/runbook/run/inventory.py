"""What the conductor needs from the inventory: environments, portals' addresses, and what is secret."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encaja.errors import ConfigurationError, EncajaError
from encaja.runbook.redact import Redactor, secrets_of_inventory
from encaja.runbook.run.ansible_command import ansible_environment, inventory_arguments, program
from encaja.runbook.run.execution import capture
from encaja.vocabulary import ENVIRONMENTS


@dataclass(frozen=True)
class InventoryView:
    """The resolved inventory. It holds secrets: it stays in memory."""

    groups: Mapping[str, frozenset[str]]
    hostvars: Mapping[str, Mapping[str, Any]]
    secrets: frozenset[str]

    def environments(self, host: str) -> tuple[str, ...]:
        """The environments that a host is in; one, if the inventory is sound."""
        return tuple(name for name in ENVIRONMENTS if host in self.groups.get(name, ()))

    def members(self, name: str) -> frozenset[str]:
        """The hosts of a group, or the host of that name."""
        return self.groups.get(name) or (frozenset({name}) if name in self.hostvars else frozenset())

    def addresses(self) -> list[tuple[str, str]]:
        """Each portal's environment and address."""
        found: dict[str, str] = {}
        for host in sorted(self.groups.get("portal", ())):
            domain = self.hostvars.get(host, {}).get("encaja_domain", host)
            environments = self.environments(host)
            if environments and isinstance(domain, str):
                domain = host if "{{" in domain else domain
                found.setdefault(environments[0], f"https://{domain}/")
        return [(name, found[name]) for name in ENVIRONMENTS if name in found]


def read_inventory(project: Path, inventories: Sequence[Path]) -> InventoryView:
    """The inventory as Ansible resolves it.

    Raises:
        EncajaError: Ansible cannot read it.
    """
    where = ", ".join(str(path) for path in inventories) or "inventory"
    command = [program("ansible-inventory"), *inventory_arguments(inventories), "--list"]
    output = capture(command, project, ansible_environment(project, os.environ), where)
    try:
        return parse_inventory(json.loads(output))
    except ValueError as error:
        raise EncajaError("Ansible gave no usable inventory", where, "try 'ansible-inventory --list'") from error


def parse_inventory(data: Mapping[str, Any]) -> InventoryView:
    """The view of what `ansible-inventory --list` gave."""
    children = {name: group for name, group in data.items() if name != "_meta" and isinstance(group, dict)}
    meta = data.get("_meta")
    hostvars = meta.get("hostvars", {}) if isinstance(meta, dict) else {}

    def hosts(name: str, seen: frozenset[str]) -> frozenset[str]:
        group = children.get(name, {})
        found = frozenset(group.get("hosts", ()))
        for child in group.get("children", ()):
            if child not in seen:
                found |= hosts(child, seen | {child})
        return found

    groups = {name: hosts(name, frozenset({name})) for name in children}
    everyone = frozenset().union(*groups.values(), hostvars.keys()) if groups else frozenset(hostvars)
    return InventoryView(
        {**groups, "all": everyone},
        {host: hostvars.get(host, {}) for host in everyone},
        frozenset(secrets_of_inventory(data)),
    )


class InventoryReader:
    """Reads the move's inventories once, in the background while the first playbook starts."""

    def __init__(self, project: Path, inventories: Sequence[Path]) -> None:
        self._project = project
        self._inventories = tuple(inventories)
        self._future: Future[InventoryView] | None = None
        self._redactor: Redactor | None = None

    def prefetch(self) -> None:
        """Begin to read, unless that was done or there is nothing to read."""
        if self._future is None and self._inventories:
            pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inventory")
            self._future = pool.submit(read_inventory, self._project, self._inventories)
            pool.shutdown(wait=False)

    def view(self) -> InventoryView:
        """The inventory; waits for it.

        Raises:
            ConfigurationError: no inventory is given.
            EncajaError: Ansible cannot read it.
        """
        self.prefetch()
        if self._future is None:
            raise ConfigurationError(
                "no inventory is given", "encaja run", "give one with -i, or 'move: {inventory: …}' in runbook.yml"
            )
        return self._future.result()

    def addresses(self) -> list[tuple[str, str]]:
        """Environments' portals by name and address; empty where the inventory cannot be read."""
        try:
            return self.view().addresses() if self._inventories else []
        except EncajaError:
            return []

    def redactor(self) -> Redactor:
        """What masks the inventory's secrets; before `prefetch` it knows none of them."""
        if self._redactor is not None:
            return self._redactor
        if self._future is None:
            return Redactor()
        try:
            secrets = self._future.result().secrets
        except EncajaError:
            # The playbook fails over the same inventory, and explains it better.
            secrets = frozenset()
        self._redactor = Redactor(secrets)
        return self._redactor
