"""The lab's estates: which hosts there are, how they come up, and their inventory.

Everything an estate needs between two commands (SSH keys, host keys, the lab's CA, secrets) is in ``.encaja/lab`` of
the project; containers have a label with the key's fingerprint, so leftovers of another checkout can be recognised.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import shutil
import socket
import sys
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from encaja.atomic import write_atomically
from encaja.lab import authority, engine, images
from encaja.lab.engine import LabError, alone, podman
from encaja.project import new_secret

DOMAIN = "encaja.test"
LABEL = "encaja.lab"
ADDRESS = "encaja.address"
NETWORK = "encaja-"
BOOT_SECONDS = 60


@dataclass(frozen=True)
class Host:
    """One lab host: a container with systemd and an address of its own."""

    name: str
    address: str
    release: str = "trixie"
    aliases: tuple[str, ...] = ()
    zone: str = DOMAIN

    @property
    def domain(self) -> str:
        """The host's full name."""
        return f"{self.name}.{self.zone}"


@dataclass(frozen=True)
class Estate:
    """A set of hosts on one network, and the inventory folder that describes them.

    Without ``in_dns`` a host resolves only its own name, which is in ``/etc/hosts`` as Debian's installer writes it.
    """

    name: str
    subnet: str
    inventory: str
    hosts: tuple[Host, ...]
    in_dns: bool = True

    @property
    def network(self) -> str:
        """The name of the estate's podman network."""
        return f"{NETWORK}{self.name}"

    def container(self, host: Host) -> str:
        """The name of the container that is ``host``."""
        return f"encaja-{self.name}-{host.name}"

    def host(self, name: str) -> Host:
        """The host called ``name``.

        Raises:
            LabError: the estate has no such host.
        """
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts)
        raise LabError(f"no host {name!r}", f"estate {self.name}", f"use one of {known}")


ESTATES = {
    "lab": Estate(
        name="lab",
        subnet="10.89.80.0/24",
        inventory="inventories/lab",
        hosts=(
            Host("cloud", "10.89.80.10", aliases=(f"smtp.{DOMAIN}", f"sip.{DOMAIN}")),
            Host("production", "10.89.80.11"),
            Host("preproduction", "10.89.80.12"),
            Host("test", "10.89.80.13"),
            Host("telephony", "10.89.80.14", release="forky"),
        ),
    ),
    "split": Estate(
        name="split",
        subnet="10.89.81.0/24",
        inventory="inventories/lab-split",
        hosts=(
            Host("portal", "10.89.81.11"),
            Host("database", "10.89.81.12"),
            Host("cache", "10.89.81.13"),
            Host("push", "10.89.81.14"),
        ),
    ),
}
MOLECULE = Estate(name="molecule", subnet="10.89.82.0/24", inventory="", hosts=())
Say = Callable[[str], None]


@dataclass
class Workspace:
    """The project folder as the lab uses it: its keys, CA and generated inventories."""

    root: Path
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.root / ".encaja" / "lab"

    @property
    def key(self) -> Path:
        """The private SSH key by which Ansible reaches the hosts."""
        return self.folder / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The host keys of the hosts that are up."""
        return self.folder / "ssh" / "known_hosts"

    @property
    def lock(self) -> Path:
        """Held while these files change: two scenarios of molecule may come up at the same time."""
        return self.folder / "lock"

    @property
    def fingerprint(self) -> str:
        """What marks containers as made by this workspace."""
        return hashlib.sha256(self.key.with_suffix(".pub").read_bytes()).hexdigest()[:16]

    def prepare(self) -> None:
        """Make keys, CA and secrets unless they are there."""
        with alone(self.lock):
            self._prepare()

    def _prepare(self) -> None:
        (self.folder / "ssh").mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        if not self.key.exists():
            _write_key(self.key)
        self.known_hosts.touch(mode=0o600)
        authority.ensure(self.folder / "ca", "encaja lab CA")
        vault = self.folder / "secrets.yml"
        known = yaml.safe_load(vault.read_text()) if vault.exists() else {}
        if missing := {name: value for name, value in new_secrets().items() if name not in known}:
            write_atomically(vault, yaml.safe_dump({**known, **missing}).encode())

    def secrets(self) -> dict[str, str]:
        """The lab's own passwords and keys, made once by ``prepare``."""
        loaded: dict[str, str] = yaml.safe_load((self.folder / "secrets.yml").read_text())
        return loaded

    def host_key(self, container: str) -> tuple[bytes, str]:
        """The SSH host key of a container: private key (PEM) and public key line, made once."""
        path = self.folder / "ssh" / f"host-{container}"
        if not path.exists():
            _write_key(path)
        return path.read_bytes(), path.with_suffix(".pub").read_text().strip()

    def remember(self, address: str, public: str) -> None:
        """Write the host key of ``address`` into ``known_hosts`` in place of an older one."""
        with alone(self.lock):
            lines = self.known_hosts.read_text().splitlines()
            kept = [line for line in lines if line.split(" ", 1)[0] != address]
            kept.append(f"{address} {' '.join(public.split()[:2])}")
            write_atomically(self.known_hosts, ("\n".join(kept) + "\n").encode())


def new_secrets() -> dict[str, str]:
    """Fresh values for every secret that the inventories name."""
    names = (
        "database_password",
        "cache_password",
        "ami_password",
        "backup_password",
        "connector_token",
        "crypto_key",
        "lab_password",
    )
    made = {f"encaja_{name}": new_secret(f"encaja_{name}") for name in (*names, "push_key")}
    made["encaja_lab_webhook"] = secrets.token_hex(12)
    made["encaja_licence_key"] = "LAB-" + secrets.token_hex(8).upper()
    return made


def _write_key(path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    path.with_suffix(".pub").write_text(f"{public} encaja-lab\n")
    write_atomically(path, private.encode())


def _ensure_network(estate: Estate) -> None:
    with alone(engine.MACHINE / "network.lock"):
        if estate.network not in engine.networks():
            engine.forget_network(estate.subnet)
            podman("network", "create", "--subnet", estate.subnet, estate.network)


def _first_files(workspace: Workspace, estate: Estate, host: Host) -> bytes:
    private, public = workspace.host_key(estate.container(host))
    files = {
        "root/.ssh/authorized_keys": (workspace.key.with_suffix(".pub").read_bytes(), 0o600),
        "etc/ssh/ssh_host_ed25519_key": (private, 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (f"{public}\n".encode(), 0o644),
        "usr/local/share/ca-certificates/encaja-lab.crt": ((workspace.folder / "ca" / "ca.crt").read_bytes(), 0o644),
    }
    if not estate.in_dns:
        own = f"127.0.0.1\tlocalhost\n127.0.1.1\t{host.domain}\t{host.name}\n"
        files["etc/hosts"] = (own.encode(), 0o644)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, (data, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), mode, int(time.time())
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def start(workspace: Workspace, estate: Estate, host: Host) -> None:
    """Bring one host up, with SSH answering; a host that runs already is left as it is."""
    container = estate.container(host)
    image = images.image_name(host.release)
    found = engine.containers(LABEL).get(container)
    ours = found and found.labels.get(LABEL) == workspace.fingerprint and found.image == image
    if found and not ours:
        engine.remove([container])
        found = None
    if not found:
        aliases = [f"--network-alias={alias}" for alias in (host.domain, *host.aliases)]
        options = [
            f"--name={container}",
            f"--hostname={host.domain}",
            f"--label={LABEL}={workspace.fingerprint}",
            f"--label={ADDRESS}={host.address}",
            f"--network={estate.network}",
            f"--ip={host.address}",
            *(aliases if estate.in_dns else ["--no-hosts"]),
            "--privileged",
            engine.pids_option(),
            "--ulimit=nofile=10000:20000",
            "--ulimit=nproc=10000:10000",
            "--systemd=always",
            "--stop-signal=SIGRTMIN+3",
        ]
        podman("create", *options, image, "/lib/systemd/systemd")
        podman("cp", "-", f"{container}:/", stdin=_first_files(workspace, estate, host))
    if not (found and found.running):
        podman("start", container)
    workspace.remember(host.address, workspace.host_key(container)[1])
    _await_boot(container, host.address, is_new=not found)


def _await_boot(container: str, address: str, is_new: bool) -> None:
    deadline = time.monotonic() + BOOT_SECONDS
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((address, 22), timeout=1) as connection:
                connection.settimeout(2)
                if connection.recv(4) == b"SSH-":
                    # A host that was in use may have a failed unit: its roles' business, not the lab's.
                    waited = "systemctl is-system-running --wait --quiet" + ("" if is_new else " || true")
                    podman("exec", container, "sh", "-ec", f"{waited}; update-ca-certificates")
                    return
        except OSError:
            time.sleep(0.1)
    raise LabError(f"not up after {BOOT_SECONDS} s", container, f"see 'podman logs {container}'")


def up(workspace: Workspace, name: str = "lab", say: Say = lambda _: None, release: str | None = None) -> None:
    """Bring a whole estate up and write its inventory.

    Args:
        workspace: the project folder.
        name: which estate.
        say: called before steps that take long.
        release: a Debian release for all hosts in place of their own.

    Raises:
        LabError: a host does not come up.
    """
    estate = ESTATES[name]
    if release:
        estate = replace(estate, hosts=tuple(replace(host, release=release) for host in estate.hosts))
    bring_up(workspace, estate, say)
    write_inventory(workspace, estate)
    pack_distributions(workspace, estate)


def bring_up(workspace: Workspace, estate: Estate, say: Say = lambda _: None) -> None:
    """Bring the hosts of an estate up, with all that they need of this machine.

    Raises:
        LabError: a host does not come up.
    """
    installed = engine.ensure_packages()
    if installed:
        say(f"installed {', '.join(installed)}")
    workspace.prepare()
    releases = sorted({host.release for host in estate.hosts})
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda release: images.ensure(release, say), releases))
    _ensure_network(estate)
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda host: start(workspace, estate, host), estate.hosts))


def take_down(estate: Estate) -> list[str]:
    """Remove the containers and the network of one estate, from any checkout; return the containers' names."""
    names = sorted({estate.container(host) for host in estate.hosts} & set(engine.containers(LABEL)))
    engine.remove(names)
    if estate.network in engine.networks():
        podman("network", "rm", estate.network)
    return names


def pack_distributions(workspace: Workspace, estate: Estate) -> None:
    """Pack the stand-ins that the lab has in the place of the vendor's distributions (``tests/lab``)."""
    packer = workspace.root / "tests" / "lab" / "distributions.py"
    if packer.exists():
        engine.run(
            sys.executable, str(packer), str(workspace.folder / "distributions"), str(workspace.root / estate.inventory)
        )


def write_inventory(workspace: Workspace, estate: Estate) -> Path:
    """Write ``generated.yml`` next to the estate's own inventory: addresses, keys, CA and secrets."""
    access = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(workspace.key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={workspace.known_hosts} -o StrictHostKeyChecking=yes",
        "encaja_lab_folder": str(workspace.folder),
        "encaja_lab_ca": str(workspace.folder / "ca"),
    }
    content: dict[str, Any] = {
        "all": {
            "vars": {**access, **workspace.secrets()},
            "hosts": {host.domain: {"ansible_host": host.address} for host in estate.hosts},
        }
    }
    path = workspace.root / estate.inventory / "generated.yml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "---\n# Written by 'encaja lab up'; goes with 'encaja lab down'.\n" + yaml.safe_dump(content)
    write_atomically(path, text.encode())
    return path


def status(name: str = "lab") -> list[tuple[Host, str]]:
    """Every host of an estate with its state: running, stopped or absent."""
    estate = ESTATES[name]
    found = engine.containers(LABEL)
    rows = []
    for host in estate.hosts:
        container = found.get(estate.container(host))
        rows.append((host, "absent" if not container else "running" if container.running else "stopped"))
    return rows


def down_one(workspace: Workspace, name: str) -> list[str]:
    """Remove the containers and the generated inventory of one estate; return the containers' names."""
    estate = ESTATES[name]
    names = take_down(estate)
    _forget_inventory(workspace, estate)
    return names


def _forget_inventory(workspace: Workspace, estate: Estate) -> None:
    for generated in ("generated.yml", "distributions.yml"):
        (workspace.root / estate.inventory / generated).unlink(missing_ok=True)


def down(workspace: Workspace, with_images: bool = False) -> list[str]:
    """Remove every lab container and network of this machine, ours and leftovers; return the containers' names."""
    names = sorted(engine.containers(LABEL))
    engine.remove(names)
    for network in sorted(name for name in engine.networks() if name.startswith(NETWORK)):
        podman("network", "rm", network)
    if engine.is_installed():
        for estate in (*ESTATES.values(), MOLECULE):
            engine.forget_network(estate.subnet)
    for estate in ESTATES.values():
        _forget_inventory(workspace, estate)
    if with_images:
        images.remove_all()
        shutil.rmtree(workspace.folder, ignore_errors=True)
        engine.remove_namespace()
    return names


def start_molecule(workspace: Workspace, name: str, release: str) -> str:
    """Bring one molecule host up, on a free address of molecule's own network; return the address."""
    engine.ensure_packages()
    workspace.prepare()
    images.ensure(release)
    _ensure_network(MOLECULE)
    base = MOLECULE.subnet.rsplit(".", 1)[0]
    taken = {container.labels.get(ADDRESS) for container in engine.containers(LABEL).values()}
    number = 11 + int(hashlib.sha256(name.encode()).hexdigest(), 16) % 200
    while f"{base}.{number}" in taken:
        number = 11 + (number - 10) % 200
    host = Host(name, f"{base}.{number}", release)
    start(workspace, MOLECULE, host)
    return host.address


def remove_molecule(names: list[str]) -> None:
    """Remove molecule hosts; absent ones are no error."""
    engine.remove([MOLECULE.container(Host(name, "")) for name in names])
