"""`encaja lab`: all hosts on this machine, as Debian containers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from encaja.errors import ConfigurationError
from encaja.lab import engine, estate

app = typer.Typer(no_args_is_help=True)
host_app = typer.Typer(help="Single hosts for role tests.", no_args_is_help=True)
app.add_typer(host_app, name="host", hidden=True)
console = Console(stderr=True)

EstateName = Annotated[str, typer.Option("--estate", help="lab: a host per environment; split: a host per function.")]


def project_root() -> Path:
    """The clone: the nearest folder upwards that holds ``inventories/lab`` and ``tests/lab``.

    Raises:
        ConfigurationError: there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "inventories" / "lab").is_dir() and (folder / "tests" / "lab").is_dir():
            return folder
    raise ConfigurationError("the lab is in the kit's repository only", str(here), "change into a clone of it")


def _workspace() -> estate.Workspace:
    return estate.Workspace(project_root())


def _known(name: str) -> str:
    if name not in estate.ESTATES:
        raise ConfigurationError(f"no estate {name!r}", "--estate", f"use one of {', '.join(estate.ESTATES)}")
    return name


@app.command()
def up(
    name: EstateName = "lab",
    release: Annotated[
        str | None, typer.Option("--release", help="A Debian release for all hosts: bookworm or trixie.")
    ] = None,
) -> None:
    """Start the hosts (images are built the first time) and write their inventory."""
    with console.status("starting the lab"):
        estate.up(_workspace(), _known(name), lambda text: console.print(f"[dim]{text}[/dim]"), release)
    status(name)


@app.command()
def down(
    name: Annotated[str | None, typer.Option("--estate", help="Only the hosts of this estate.")] = None,
    images: Annotated[bool, typer.Option("--images", help="Also images, keys and secrets.")] = False,
) -> None:
    """Remove the lab's containers and networks, also those that an earlier run left."""
    if name and images:
        raise ConfigurationError("images serve every estate", "--estate", "leave out --estate, or --images")
    removed = estate.down_one(_workspace(), _known(name)) if name else estate.down(_workspace(), with_images=images)
    for container in removed:
        console.print(f"removed {container}")


@app.command()
def status(name: EstateName = "lab") -> None:
    """List the hosts and whether they run."""
    table = Table("host", "address", "Debian", "state", title=f"estate {_known(name)}", title_justify="left")
    for host, state in estate.status(name):
        colour = {"running": "green", "stopped": "red"}.get(state, "dim")
        table.add_row(host.name, host.address, host.release, f"[{colour}]{state}[/{colour}]")
    console.print(table)


@app.command()
def shell(host: str, name: EstateName = "lab") -> None:
    """Open a root shell on a host."""
    chosen = estate.ESTATES[_known(name)]
    command = engine.command("exec", "-it", chosen.container(chosen.host(host)), "bash", "-l")
    os.execvp(command[0], command)  # noqa: S606 - the shell takes this process's place


@app.command()
def url(name: EstateName = "lab") -> None:
    """Print the addresses to open, and the lines for /etc/hosts."""
    portals = [host for host in estate.ESTATES[_known(name)].hosts if host.name != "telephony"]
    for host in portals:
        console.print(f"https://{host.domain}/")
    names = "\n".join(f"{host.address} {host.domain}" for host in portals)
    console.print(f"\n[dim]for /etc/hosts:[/dim]\n{names}")
    console.print(f"[dim]their certificates are signed by[/dim] {_workspace().folder / 'ca' / 'ca.crt'}")


@host_app.command("up")
def host_up(hosts: list[str]) -> None:
    """Start hosts, each given as NAME=RELEASE; prints molecule's instance configuration (JSON)."""
    workspace = _workspace()
    instances = []
    for name, _, release in (host.partition("=") for host in hosts):
        address = estate.start_molecule(workspace, name, release or "trixie")
        access = {"address": address, "user": "root", "port": 22, "identity_file": str(workspace.key)}
        instances.append({"instance": name, **access})
    typer.echo(json.dumps(instances))


@host_app.command("down")
def host_down(hosts: list[str]) -> None:
    """Remove hosts."""
    estate.remove_molecule(hosts)
