"""Podman with a cgroup tree that systemd accepts, whatever tree this machine has.

A machine with plain cgroup v2 needs nothing. On a hybrid tree crun refuses to start systemd; there every podman call
enters one persistent private mount namespace in which ``/sys/fs/cgroup`` is a fresh cgroup2 mount. The machine's own
tree is never touched.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

from encaja.errors import EncajaError

PACKAGES = (
    "aardvark-dns",
    "crun",
    "iproute2",
    "iptables",
    "mmdebstrap",
    "netavark",
    "nftables",
    "openssh-client",
    "podman",
    "uidmap",
)
MACHINE = Path("/run/encaja")  # the lab's state of this machine
NAMESPACE = MACHINE / "mount" / "namespace"
NETWORK_NAMESPACES = Path("/run/netns")
ADDRESSES = Path("/run/containers/networks/ipam.db")


class LabError(EncajaError):
    """The lab could not be brought to the wanted state."""


def run(*command: str, stdin: bytes | None = None, timeout: float = 600) -> str:
    """Run ``command`` and return its standard output.

    Raises:
        LabError: the command is missing, failed or took longer than ``timeout`` seconds.
    """
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False)
    except FileNotFoundError as fault:
        raise LabError("a program is missing", command[0], "run 'make setup' as root") from fault
    except subprocess.TimeoutExpired as fault:
        raise LabError(f"no answer in {timeout:.0f} s", " ".join(command[:4]), "check the machine's load") from fault
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise LabError(said[-1] if said else f"exit code {done.returncode}", " ".join(command[:6]))
    return done.stdout.decode(errors="replace")


def require_root() -> None:
    """Refuse to run without root.

    Raises:
        LabError: this process is not root's.
    """
    if os.geteuid() != 0:
        raise LabError("the lab needs root", "this user", "run the command as root")


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold the lock file ``lock``; another process that takes it waits."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as taken:
        fcntl.flock(taken, fcntl.LOCK_EX)
        yield


def is_installed() -> bool:
    """Whether podman is there; without it there is no lab."""
    return shutil.which("podman") is not None


def ensure_packages() -> list[str]:
    """Install the Debian packages that the lab needs and this machine lacks; return their names."""
    require_root()
    with alone(MACHINE / "packages.lock"):
        return _ensure_packages()


def _ensure_packages() -> list[str]:
    known = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", *PACKAGES],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    present = {line.split()[0] for line in known.splitlines() if line.split()[1:2] == ["ii"]}
    missing = [name for name in PACKAGES if name not in present]
    if missing:
        environment = ("env", "DEBIAN_FRONTEND=noninteractive")
        run(*environment, "apt-get", "update", "-q")
        wait = ("-o", "DPkg::Lock::Timeout=300")
        run(*environment, "apt-get", "install", *wait, "-q", "-y", "--no-install-recommends", *missing, timeout=900)
    return missing


def _is_plain_cgroup2() -> bool:
    return Path("/sys/fs/cgroup/cgroup.controllers").exists()


def pids_option() -> str:
    """The option of podman that lifts the limit of processes.

    A hybrid tree has no controller for it, and crun of Debian 13 fails where it has to write even "no limit"; 0 makes
    it write nothing.
    """
    return f"--pids-limit={-1 if _is_plain_cgroup2() else 0}"


def _is_mounted(path: Path) -> bool:
    return any(line.split()[4] == str(path) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def _ensure_namespace() -> None:
    folder = NAMESPACE.parent
    if _is_mounted(NAMESPACE):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with alone(MACHINE / "namespace.lock"):
        if _is_mounted(NAMESPACE):
            return
        if not _is_mounted(folder):
            run("mount", "--bind", str(folder), str(folder))
            run("mount", "--make-private", str(folder))
        # Made under another name first, so that one under its final name is complete.
        making = folder / "making"
        if _is_mounted(making):
            run("umount", str(making))
        making.touch()
        NAMESPACE.touch()
        run("unshare", f"--mount={making}", "--propagation=private", "true")
        script = "umount -R /sys/fs/cgroup && mkdir -p /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup"
        run("nsenter", f"--mount={making}", "sh", "-c", script)
        run("mount", "--bind", str(making), str(NAMESPACE))
        run("umount", str(making))


def remove_namespace() -> None:
    """Unmount the private mount namespace, if there is one."""
    for path in (NAMESPACE, NAMESPACE.parent):
        if _is_mounted(path):
            run("umount", str(path))
    shutil.rmtree(MACHINE, ignore_errors=True)


def command(*arguments: str) -> list[str]:
    """The full command line for ``podman ARGUMENTS`` on this machine."""
    return [*_in_namespace(), "podman", *([] if _is_plain_cgroup2() else ["--log-level=error"]), *arguments]


def _in_namespace() -> list[str]:
    """The start of a command line that has to see podman's mounts."""
    require_root()
    if _is_plain_cgroup2():
        return []
    _ensure_namespace()
    return ["nsenter", f"--mount={NAMESPACE}"]


def podman(*arguments: str, stdin: bytes | None = None, timeout: float = 600) -> str:
    """Run podman and return what it printed.

    Raises:
        LabError: podman failed.
    """
    return run(*command(*arguments), stdin=stdin, timeout=timeout)


def podman_json(*arguments: str) -> Any:
    """Run podman and parse the JSON that it printed."""
    return json.loads(podman(*arguments) or "null")


@dataclass(frozen=True)
class Container:
    """One container as podman knows it."""

    name: str
    image: str
    running: bool
    labels: dict[str, str]


def containers(label: str) -> dict[str, Container]:
    """All containers that carry ``label`` (``name`` or ``name=value``), by name; none where podman is not installed."""
    if not is_installed():
        return {}
    listed = podman_json("ps", "--all", "--filter", f"label={label}", "--format", "json") or []
    found = (
        Container(
            name=entry["Names"][0],
            image=entry["Image"],
            running=entry["State"] == "running",
            labels=entry.get("Labels") or {},
        )
        for entry in listed
    )
    return {container.name: container for container in found}


def networks() -> set[str]:
    """The names of podman's networks; none where podman is not installed."""
    return set(podman("network", "ls", "--format", "{{.Name}}").split()) if is_installed() else set()


def forget_network(subnet: str) -> None:
    """Remove what hosts that lost power left of a network that podman no longer knows.

    A container that is killed and started again leaves its old network namespace behind, which keeps the bridge, and
    with it the subnet, in use for ever. Addresses of dead containers stay taken until podman's record of
    them is deleted, which is possible while no container runs.
    """
    inside = ip_network(subnet)
    for namespace in sorted(NETWORK_NAMESPACES.glob("netns-*")):
        if _interfaces(inside, "-netns", namespace.name):
            run(*_in_namespace(), "ip", "netns", "delete", namespace.name)
    for bridge in _interfaces(inside):
        run("ip", "link", "delete", bridge)
    if not podman("ps", "--quiet").strip():
        ADDRESSES.unlink(missing_ok=True)


def _interfaces(inside: IPv4Network | IPv6Network, *where: str) -> list[str]:
    """The names of the interfaces with an address of a network; none where the namespace is gone."""
    try:
        shown = json.loads(run(*_in_namespace(), "ip", *where, "-json", "-4", "address", "show") or "[]")
    except LabError:
        return []
    return [
        interface["ifname"]
        for interface in shown
        if any(ip_address(address["local"]) in inside for address in interface.get("addr_info", ()))
    ]


def remove(names: list[str]) -> None:
    """Stop and remove containers by name; absent ones are no error."""
    if not names or not is_installed():
        return
    removal = ("rm", "--force", "--ignore", "--volumes", "--time", "2", *names)
    try:
        podman(*removal)
    except LabError:
        # podman fails when a container ends by itself at that moment; the second time it has ended.
        podman(*removal)
