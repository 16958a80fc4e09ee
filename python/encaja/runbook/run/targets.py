"""The hosts whose data a destructive step replaces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from encaja.errors import ConfigurationError
from encaja.runbook.book.model import Action, Step
from encaja.runbook.run.ansible_command import action_command, ansible_environment, parse_host_list, write_variables
from encaja.runbook.run.execution import capture
from encaja.runbook.run.inventory import InventoryView
from encaja.runbook.run.pass_run import PassRun


def find_targets(run: PassRun, step: Step) -> list[str]:
    """The hosts whose data a step would replace, if it may.

    Raises:
        ConfigurationError: there are none, or some of them are in the wrong environment.
        EncajaError: Ansible refuses the playbook.
    """
    move = run.move
    action = move.filled(step.action) if step.action else Action()
    run.inventory.prefetch()
    if action.playbook and move.inventories:
        with TemporaryDirectory(prefix="encaja-") as folder:
            variables = write_variables(Path(folder), action.variables)
            command = action_command(move.project, action, move.inventories, variables_file=variables)
            touched = effective_hosts(move.project, command)
    else:
        touched = sorted(run.inventory.view().members("all"))
    fill = move.fill
    filled = replace(step, targets=fill(step.targets), only_on=fill(step.only_on), never_on=fill(step.never_on))
    return check_targets(run.inventory.view(), touched, filled)


def effective_hosts(project: Path, command: Sequence[str]) -> list[str]:
    """The hosts that a playbook's command line would work on.

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
        raise ConfigurationError("; ".join(faults), f"step '{step.id}'", "correct the inventory; nothing was changed")
    return replaced
