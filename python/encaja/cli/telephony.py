"""``encaja telephony``: a test call, and its outcome in the portal."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from encaja.cli.options import AsJson, Inventory
from encaja.cli.playbook_run import play
from encaja.errors import ConfigurationError, EncajaError
from encaja.runbook.record.workspace import INVENTORY_VARIABLE, find_project
from encaja.runbook.run.ansible_command import ansible_environment, inventory_arguments, program
from encaja.telephony.test_call import Step, evaluate, is_settled

app = typer.Typer(no_args_is_help=True)
console = Console(stderr=True)

PLACE = Path("tests/lab/sip/place.yml")
TOOL = "python3 /usr/local/lib/encaja/encaja.pyz telephony-calls /etc/encaja/telephony.json"
LOOK_SECONDS = 2.0


@dataclass(frozen=True)
class Estate:
    """The project and its inventories."""

    project: Path
    inventories: tuple[Path, ...]


@app.command()
def test(
    *,
    inventory: Inventory = None,
    number: Annotated[str, typer.Option(help="The customer's number; by default any.")] = "",
    wait: Annotated[float, typer.Option(help="How long to wait for the call, in seconds.")] = 180.0,
    as_json: AsJson = False,
) -> None:
    """Follow one call from outside into the portal, step by step.

    The lab places the call itself; elsewhere, call one of the portal's numbers from any telephone and answer.
    """
    estate = _estate(inventory or [])
    before = {call["id"] for call in _calls(estate)}
    if _has_outside(estate):
        number = number or f"+346{secrets.randbelow(10**8):08d}"
        console.print(f"the lab calls as {number}")
        _ansible(estate, "ansible-playbook", [str(PLACE), "-e", json.dumps({"call_caller": number})])
    else:
        console.print(f"call one of the portal's numbers now{f' from {number}' if number else ''}, answer, hang up")
    steps = _follow(estate, before, number, time.monotonic() + wait)
    if as_json:
        print(json.dumps([vars(step) for step in steps]))
    failed = [step for step in steps if not step.passed]
    if failed:
        raise EncajaError(f"{failed[0].name}: no ({failed[0].detail})", "test call", "journalctl -u encaja-telephony")
    _tag(estate, before, number)


def _tag(estate: Estate, before: set[str], number: str) -> None:
    """Mark the record that the test call made as test data, so that it is removed with it."""
    call = next((one for one in _calls(estate) if one["id"] not in before and _is_wanted(one, number)), None)
    kind, _, record = str(call["entity"] if call and call["created"] else "").partition(" ")
    if not record:
        return
    test = {"entity": kind.lower(), "id": int(record)}
    try:
        variables = {"carry_over_mode": "tag-tests", "carry_over_tests": [test]}
        play(estate.project, estate.inventories, "carry_over.yml", variables, limit="production", where="production")
    except EncajaError as fault:
        console.print(f"{kind.lower()} {record} is not marked as test data: {fault}", highlight=False)
    else:
        console.print(f"{kind.lower()} {record} is marked as test data", highlight=False)


def _estate(given: list[Path]) -> Estate:
    """The given inventories, or those of the environment."""
    names = given or [Path(name) for name in os.environ.get(INVENTORY_VARIABLE, "").split(":") if name]
    if not names:
        raise ConfigurationError("no inventory", "-i", f"give one with -i, or in {INVENTORY_VARIABLE}")
    if missing := [str(name) for name in names if not name.exists()]:
        raise ConfigurationError("no such inventory", ", ".join(missing), "give an existing file or directory with -i")
    return Estate(find_project(), tuple(name.resolve() for name in names))


def _follow(estate: Estate, before: set[str], number: str, deadline: float) -> list[Step]:
    """Print each step when it is settled, and return all of them."""
    printed = 0
    steps: list[Step] = []
    while time.monotonic() < deadline:
        call = next((one for one in _calls(estate) if one["id"] not in before and _is_wanted(one, number)), None)
        if call:
            steps = evaluate(call, recorded=call["recordings"])
            while printed < len(steps) and steps[printed].passed is not None:
                _print(steps[printed])
                printed += 1
            if is_settled(steps):
                return steps
        time.sleep(LOOK_SECONDS)
    for step in steps[printed:]:
        _print(step)
    return steps or [Step("the exchange received it", passed=False, detail="no call came in")]


def _print(step: Step) -> None:
    sign = "[green]yes[/green]" if step.passed else "[red]no [/red]"
    console.print(f"{sign} {step.name}: {step.detail}", highlight=False)


def _is_wanted(call: dict[str, Any], number: str) -> bool:
    digits = "".join(filter(str.isdigit, number))[-9:]
    return call["direction"] == "in" and "".join(filter(str.isdigit, call["number"])).endswith(digits)


def _calls(estate: Estate) -> list[dict[str, Any]]:
    """Ask the telephone exchange for its latest calls."""
    answer = json.loads(_ansible(estate, "ansible", ["telephony", "-b", "-m", "ansible.builtin.command", "-a", TOOL]))
    found: list[dict[str, Any]] = []
    for part in answer["plays"]:
        for task in part["tasks"]:
            for host, result in task["hosts"].items():
                if "stdout" not in result:
                    raise EncajaError(result.get("msg", "no answer"), host, "run playbooks/telephony.yml")
                latest = json.loads(result["stdout"])
                if latest["trouble"]:
                    raise EncajaError(latest["trouble"], host)
                found += [{**call, "recordings": latest["recordings"]} for call in latest["calls"]]
    return found


def _has_outside(estate: Estate) -> bool:
    listed = json.loads(_ansible(estate, "ansible-inventory", ["--list"]))
    return bool(listed.get("cloud", {}).get("hosts")) and (estate.project / PLACE).is_file()


def _ansible(estate: Estate, name: str, arguments: list[str]) -> str:
    """Run one of Ansible's programs in the project and return its output; its last error line becomes the error."""
    environment = {**os.environ, **ansible_environment(estate.project, os.environ)}
    if name == "ansible":
        environment |= {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"}
    command = [program(name), *inventory_arguments(estate.inventories), *arguments]
    done = subprocess.run(command, cwd=estate.project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode and not (name == "ansible" and done.stdout.lstrip().startswith("{")):
        lines = [
            line for line in (done.stdout + done.stderr).splitlines() if "FAILED" in line or "error" in line.lower()
        ]
        raise EncajaError((lines or ["it failed"])[-1].strip()[:300], name)
    return str(done.stdout)
