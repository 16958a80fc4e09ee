#!/usr/bin/python
"""Keeps a copy isolated, services masked and everything outbound refused, until it is proven inert."""

from __future__ import annotations

DOCUMENTATION = r"""
module: isolation
short_description: Isolate a copy of the portal, or release its permitted services
description:
  - V(isolated) refuses all outbound traffic first, then stops and masks the services. This survives a restart of the
    host.
  - V(released) unmasks and starts the permitted services; outbound traffic stays refused except to O(allowed).
  - V(released) requires the proof that M(encaja.portal.portal_neutralise) leaves on the host; V(isolated) removes it.
  - Replies on inbound connections are always allowed, and what a host needs to keep its address (neighbour discovery,
    and DHCP within its own networks; a client that gets no answer there broadcasts below the rules).
  - V(check) changes nothing. It reports whether the host is a copy, and fails on one that is isolated, where nothing
    can run.
  - V(open) changes nothing. It fails on a host that is or was a copy and still blocks outbound traffic.
  - The other two fail on a host whose marker says production, or another environment than O(environment).
options:
  state:
    description: The state to bring the host to, or V(check) or V(open) to check only.
    type: str
    choices: [isolated, released, check, open]
    required: true
  services:
    description: Units to stop and mask (V(isolated)), or to unmask and start (V(released)). Unknown units are skipped.
    type: list
    elements: str
    default: []
  allowed:
    description:
      - Addresses or networks that the host may reach, each alone or as C(ADDRESS tcp PORT) or C(ADDRESS udp PORT).
    type: list
    elements: str
    default: []
  environment:
    description: The environment that the host's marker must name.
    type: str
    required: true
  ssh_ports:
    description: Ports on which sshd listens; its replies are allowed, also on connections older than the rules.
    type: list
    elements: int
    default: [22]
  proof:
    description: The file that proves that the copy on this host is inert. Empty for a host without a portal.
    type: str
    default: /etc/encaja/neutralised
  marker:
    description: The file that names the host's environment.
    type: path
    default: /etc/encaja/environment
author: encaja
"""

EXAMPLES = r"""
- name: Isolate the copy
  encaja.portal.isolation:
    state: isolated
    environment: test
    services: [php8.4-fpm.service]
    allowed: [10.0.0.11 tcp 22]
"""

RETURN = r"""
is_copy:
  description: Whether the host is a copy, which has no way out.
  returned: when O(state=check) or O(state=open)
  type: bool
done:
  description: What was done, in order.
  returned: when O(state=isolated) or O(state=released)
  type: list
  elements: str
refused:
  description: Packets refused since the rules were loaded.
  returned: when O(state=isolated) or O(state=released)
  type: int
"""

import ipaddress
import json
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.atomic import write_atomically

RULES = "/etc/nftables.d/encaja-egress.nft"
FLAG = "/etc/encaja/dark"  # the name that a host isolated by an earlier version has it under
TIMER = "encaja-portal-cron.timer"
HEADER = "# Written by encaja for a copy of production: outbound traffic is refused except to the addresses below.\n"


class RefusedError(Exception):
    """The host must not, or could not, be brought to the state."""


def run(*command: str) -> str:
    """Run a command and return what it said.

    Raises:
        RefusedError: it failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"'{' '.join(command)}' failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def destination(allowed: str) -> str:
    """The part of a rule that matches ``ADDRESS``, ``ADDRESS tcp PORT`` or ``ADDRESS udp PORT``.

    Raises:
        ValueError: it is none of them.
    """
    address, *rest = allowed.split()
    network = ipaddress.ip_network(address, strict=False)
    family = "ip6" if network.version == 6 else "ip"
    if not rest:
        return f"{family} daddr {network}"
    if len(rest) != 2 or rest[0] not in ("tcp", "udp") or not 0 < int(rest[1]) < 65536:
        raise ValueError(f"{allowed!r} is not an address, or an address with 'tcp PORT' or 'udp PORT'")
    return f"{family} daddr {network} {rest[0]} dport {rest[1]}"


def own_networks() -> list[str]:
    """The IPv4 networks that this host is in."""
    shown = json.loads(run("ip", "-json", "-4", "address", "show") or "[]")
    found = [
        ipaddress.IPv4Network(f"{address['local']}/{address['prefixlen']}", strict=False)
        for interface in shown
        for address in interface.get("addr_info", [])
        if address.get("scope") == "global"
    ]
    return [str(network) for network in ipaddress.collapse_addresses(found)]


def rules(allowed: list[str], ssh_ports: tuple[int, ...] = (22,), networks: Sequence[str] = ()) -> str:
    """The nftables commands that fill the chain for outbound traffic.

    A connection that is older than the connection tracking counts as opened by whoever spoke first, so the answers of
    sshd are let out by their port; what opens a connection (SYN without ACK) is not among them.
    """
    answers = "tcp flags & (syn | ack) != syn accept"
    lines = ["flush chain inet encaja encaja_egress", *(
        f"add rule inet encaja encaja_egress {rule}"
        for rule in (
            'oif "lo" accept',
            "ct direction reply accept",
            *(f"tcp sport {port} {answers}" for port in ssh_ports),
            "meta l4proto 58 icmpv6 type { 133, 135, 136, 143 } accept",
            f"ip daddr {{ {', '.join(['255.255.255.255', *networks])} }} udp sport 68 udp dport 67 accept",
            *(f"{destination(one)} counter accept" for one in allowed),
            "counter reject with icmpx admin-prohibited",
        )
    )]  # fmt: skip
    return HEADER + "\n".join(lines) + "\n"


def write(path: str, text: str) -> bool:
    """Bring a file to its content; returns whether it changed."""
    if os.path.exists(path):
        with open(path) as stream:
            if stream.read() == text:
                return False
    write_atomically(Path(path), text.encode(), 0o644)
    return True


def states(units: list[str]) -> dict[str, tuple[str, str]]:
    """Unit to its (file state, active state); unknown units are left out."""
    found = {}
    for unit in units:
        shown = run("systemctl", "show", "-p", "LoadState,UnitFileState,ActiveState", unit)
        values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        if values.get("LoadState") != "not-found":
            found[unit] = (values.get("UnitFileState", "") or values.get("LoadState", ""), values["ActiveState"])
    return found


class Isolation:
    """Brings a host to one of the two states and records each change in ``done``."""

    def __init__(self, module: AnsibleModule) -> None:
        self.check: bool = module.check_mode
        self.services: list[str] = module.params["services"]
        self.proof: str = module.params["proof"]
        self.ssh_ports = tuple(module.params["ssh_ports"])
        self.done: list[str] = []

    def _act(self, what: str, *command: str) -> None:
        """Record one change and, unless in check mode, make it."""
        self.done.append(what)
        if not self.check:
            run(*command)

    def _require_persistence(self) -> None:
        """Check that the rules are loaded when the host starts.

        Raises:
            RefusedError: they are not.
        """
        try:
            with open("/etc/nftables.conf") as stream:
                read = "/etc/nftables.d/" in stream.read()
        except FileNotFoundError:
            read = False
        enabled = subprocess.run(["systemctl", "is-enabled", "-q", "nftables.service"], check=False).returncode == 0
        if not read or not enabled:
            raise RefusedError(
                "the rules would not survive a restart: nftables.service does not load them (run site.yml first)"
            )

    def refused(self) -> int:
        """Packets refused since the rules were loaded."""
        shown = subprocess.run(
            ["nft", "list", "chain", "inet", "encaja", "encaja_egress"], capture_output=True, text=True, check=False
        )
        found = re.search(r"counter packets (\d+) bytes \d+ reject", shown.stdout)
        return int(found.group(1)) if found else 0

    def _block_outbound(self, allowed: list[str]) -> None:
        """Refuse outbound traffic except to ``allowed``, now and after a restart."""
        wanted = rules(allowed, self.ssh_ports, own_networks())
        current = open(RULES).read() if os.path.exists(RULES) else ""  # noqa: SIM115
        if current != wanted:
            self.done.append(f"outbound traffic refused, except to {', '.join(allowed) or 'nothing'}")
            if not self.check:
                write(RULES, wanted)
        if not self.check:
            loaded = subprocess.run(
                ["nft", "list", "chain", "inet", "encaja", "encaja_egress"], capture_output=True, text=True, check=False
            )
            if current != wanted or "reject" not in loaded.stdout:
                run("nft", "-f", RULES)

    def isolate(self, allowed: list[str]) -> None:
        """Block outbound traffic first, then stop what could send any."""
        self._require_persistence()
        self._block_outbound(allowed)
        if self.proof and os.path.exists(self.proof):
            self.done.append("no longer proven inert")
            if not self.check:
                os.unlink(self.proof)
        if not os.path.exists(FLAG):
            self.done.append("marked isolated")
            if not self.check:
                write(FLAG, "This copy is isolated until it is proven inert.\n")
        for unit, (file_state, active) in states(self.services).items():
            if file_state != "masked":
                self._act(f"masked {unit}", "systemctl", "mask", "--now", unit)
                if not self.check:
                    # systemd counts a timer that is masked while it runs as failed, and with it the whole host.
                    subprocess.run(["systemctl", "reset-failed", unit], capture_output=True, check=False)
            elif active in ("active", "activating"):
                self._act(f"stopped {unit}", "systemctl", "stop", unit)

    def release(self, allowed: list[str]) -> None:
        """Start the permitted services; outbound traffic stays blocked."""
        if self.proof and not os.path.exists(self.proof) and not self.check:
            raise RefusedError(f"{self.proof}: no proof that this copy is inert (run playbooks/clone.yml)")
        self._block_outbound(allowed)
        for unit, (file_state, active) in states(self.services).items():
            if file_state == "masked":
                self._act(f"unmasked {unit}", "systemctl", "unmask", unit)
            if active != "active":
                self._act(f"started {unit}", "systemctl", "start", unit)
        if os.path.exists(FLAG):
            self.done.append("no longer isolated")
            if not self.check:
                os.unlink(FLAG)


def check(module: AnsibleModule) -> None:
    """Report whether the host is a copy, and fail on one that is isolated."""
    if os.path.exists(FLAG):
        environment = module.params["environment"]
        module.fail_json(
            msg=f"{FLAG}: this host is an isolated copy, which only another copy can change"
            f" (copy to it again: encaja clone production {environment} --confirm {environment})"
        )
    is_copy = os.path.exists(RULES)
    if is_copy and module.params["state"] == "open":
        module.fail_json(
            msg=f"{RULES}: this host held a copy and still blocks outbound traffic, which a portal requires"
            f" (to make it a portal's host again: rm -f {RULES} {module.params['proof']};"
            f" systemctl unmask {TIMER}; systemctl restart nftables; then run site.yml)"
        )
    module.exit_json(changed=False, is_copy=is_copy)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["isolated", "released", "check", "open"], "required": True},
            "services": {"type": "list", "elements": "str", "default": []},
            "allowed": {"type": "list", "elements": "str", "default": []},
            "environment": {"type": "str", "required": True},
            "ssh_ports": {"type": "list", "elements": "int", "default": [22]},
            "proof": {"type": "str", "default": "/etc/encaja/neutralised"},
            "marker": {"type": "path", "default": "/etc/encaja/environment"},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    if given["state"] in ("check", "open"):
        check(module)
    try:
        with open(given["marker"]) as stream:
            marked = stream.read().strip()
    except FileNotFoundError:
        module.fail_json(msg=f"{given['marker']}: the host has no marker (run site.yml first)")
    if marked == "production":
        module.fail_json(
            msg=f"{given['marker']}: this host is production, which is never a copy (choose another target)"
        )
    if marked != given["environment"]:
        module.fail_json(
            msg=f"{given['marker']}: this host belongs to {marked}, but the inventory says {given['environment']}"
            " (correct the wrong one)"
        )
    isolation = Isolation(module)
    try:
        (isolation.isolate if given["state"] == "isolated" else isolation.release)(given["allowed"])
    except (OSError, ValueError, RefusedError) as fault:
        module.fail_json(msg=str(fault), done=isolation.done)
    module.exit_json(changed=bool(isolation.done), done=isolation.done, refused=isolation.refused())


if __name__ == "__main__":
    main()
