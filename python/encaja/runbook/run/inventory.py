"""What the conductor has to know of the inventory: environments, portals' addresses, and what is secret."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from encaja.errors import ConfigurationError, EncajaError
from encaja.runbook.book.model import Step
from encaja.runbook.redact import secrets_of_inventory
from encaja.runbook.run.ansible_command import ansible_environment, inventory_arguments, parse_host_list, program
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


def read_ahead(project: Path, inventories: Sequence[Path]) -> Future[InventoryView]:
    """Begins `read_inventory` in the background, while the first playbook starts up."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inventory")
    future = pool.submit(read_inventory, project, inventories)
    pool.shutdown(wait=False)
    return future


def effective_hosts(project: Path, command: Sequence[str]) -> list[str]:
    """The hosts that a playbook command line would work on.

    Raises:
        EncajaError: Ansible refuses the command line.
    """
    words = [*command[:-1], "--list-hosts", command[-1]]
    return parse_host_list(capture(words, project, ansible_environment(project, os.environ), command[-1]))


def check_targets(view: InventoryView, touched: Sequence[str], step: Step) -> list[str]:
    """The hosts whose data a destructive step would replace, if it may.

    Args:
        view: the inventory.
        touched: hosts that its playbook works on.
        step: the step, its variables filled in. Its `targets` are the groups or hosts whose data it replaces (none: all
            that it works on), `only_on` the environments that it may replace (none: any), `never_on` those it may not.

    Raises:
        ConfigurationError: there are no hosts, or some of them are in the wrong environment.
    """
    named: set[str] = set().union(*(view.members(target) for target in step.targets))
    replaced = [host for host in touched if not step.targets or host in named]
    if not replaced:
        wanted = ", ".join(step.targets) or "its playbook's hosts"
        raise ConfigurationError(
            f"no host to work on ({wanted})", f"step '{step.id}'", "check the inventory and the move's variables"
        )
    faults = []
    for host in replaced:
        environments = view.environments(host)
        if len(environments) != 1:
            faults.append(f"{host} is in {' and '.join(environments) or 'no environment'}")
        elif environments[0] in step.never_on:
            faults.append(f"{host} is {environments[0]}, which is never a target")
        elif step.only_on and environments[0] not in step.only_on:
            faults.append(f"{host} is {environments[0]}, not {' or '.join(step.only_on)}")
    if faults:
        raise ConfigurationError("; ".join(faults), f"step '{step.id}'", "correct the inventory; nothing was touched")
    return replaced
