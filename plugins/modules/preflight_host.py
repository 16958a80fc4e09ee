#!/usr/bin/python
"""Finds what would stop the kit on this host: release, marker, clock, disk, ports, name resolution."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_host
short_description: Report everything that would stop the kit on a host
description:
  - Inspects Debian's release, the environment marker, the clock, free disk space, used ports, name resolution and the
    source of security upgrades.
  - Changes nothing and does not fail; see RV(faults) for the problems.
options:
  environment:
    description: The host's environment in the inventory.
    type: str
    required: true
  releases:
    description: Debian releases that this host's roles support.
    type: list
    elements: str
    required: true
  skew_seconds:
    description: Seconds by which the clocks of host and controller may differ.
    type: float
    default: 5
  disk:
    description: >-
      Disk space required, as a list of C(path), C(bytes) and C(why). Entries on the same file system are added up.
    type: list
    elements: dict
    default: []
  ports:
    description: Ports that the roles will serve, as a list of C(port), C(proto) and the C(programs) that may use them.
    type: list
    elements: dict
    default: []
  names:
    description: Host names that must resolve.
    type: list
    elements: str
    default: []
  hosts:
    description: >-
      Future entries of C(/etc/hosts), as a list of C(address) and C(names), which are used for name resolution.
    type: list
    elements: dict
    default: []
  apart:
    description: >-
      Directories that should not share a disk, as a list of C(path), C(other), C(what) (the content of the path) and
      C(hint).
    type: list
    elements: dict
    default: []
  upgrades:
    description: Whether security upgrades have to come by themselves.
    type: bool
    default: false
author: encaja
"""

EXAMPLES = r"""
- name: Inspect the host
  encaja.portal.preflight_host:
    environment: production
    releases: ["12", "13"]
    disk: [{path: /srv, bytes: 64000000000, why: "backup, tree and database"}]
"""

RETURN = r"""
faults:
  description: What is wrong, and how to fix it.
  returned: always
  type: list
  elements: dict
advice:
  description: Warnings, likewise.
  returned: always
  type: list
  elements: dict
clock:
  description: The host's clock, in seconds since 1970.
  returned: always
  type: float
"""

import os
import re
import socket
import subprocess
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.future_names import coming_names
from ansible_collections.encaja.portal.plugins.module_utils.portal.upgrades import upgrade_faults

MARKER = "/etc/encaja/environment"
Found = list[tuple[str, str]]


def release_faults(releases: list[str]) -> Found:
    """Faults if this is not a Debian release that the roles support."""
    with open("/etc/os-release") as stream:
        pairs = dict(line.rstrip().split("=", 1) for line in stream if "=" in line)
    name = pairs.get("ID", "").strip('"')
    version = pairs.get("VERSION_ID", "").strip('"')
    codenames = {"forky": "14", "trixie": "13", "bookworm": "12"}
    version = version or codenames.get(pairs.get("VERSION_CODENAME", "").strip('"'), "?")
    if name == "debian" and version in releases:
        return []
    return [(f"{name} {version} is not supported here", f"install Debian {' or '.join(releases)}")]


def marker_faults(environment: str) -> Found:
    """Faults if the host's marker names another environment than the inventory."""
    try:
        with open(MARKER) as stream:
            marked = stream.read().strip()
    except FileNotFoundError:
        return []
    if marked == environment:
        return []
    hint = f"take it out of group '{environment}', or remove {MARKER} if it really changes over"
    return [(f"its marker says {marked!r}, the inventory says {environment!r}", hint)]


def present(path: str) -> str:
    """The path, or its nearest existing parent."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def apart_advice(pairs: list[dict[str, Any]]) -> Found:
    """Warnings about directories on the same disk that should survive each other."""
    return [
        (f"{pair['what']} ({pair['path']}) is on the same disk as {pair['other']}", pair["hint"])
        for pair in pairs
        if os.stat(present(pair["path"])).st_dev == os.stat(present(pair["other"])).st_dev
    ]


def disk_faults(needs: list[dict[str, Any]]) -> Found:
    """Faults for file systems without enough space for everything on them."""
    by_device: dict[int, tuple[str, int, list[str]]] = {}
    for need in needs:
        path = present(need["path"])
        device = os.stat(path).st_dev
        _, total, whys = by_device.get(device, (path, 0, []))
        by_device[device] = (path, total + int(need["bytes"]), [*whys, need["why"]])
    found = []
    for path, wanted, whys in by_device.values():
        free = os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
        if free < wanted:
            what = f"{free / 1e9:.1f} GB free on the disk of {path}, {wanted / 1e9:.1f} GB needed for {', '.join(whys)}"
            found.append((what, "enlarge the disk, or mount a larger one there"))
    return found


def listeners() -> dict[tuple[str, int], str]:
    """The listening programs: protocol and port to the program's name."""
    shown = subprocess.run(["ss", "-Hlntup"], capture_output=True, text=True, check=False).stdout
    held = {}
    for line in shown.splitlines():
        parts = line.split()
        if len(parts) < 5:
            continue
        program = re.search(r'\(\("([^"]+)"', line)
        held[parts[0], int(parts[4].rsplit(":", 1)[1])] = program.group(1) if program else "?"
    return held


def port_faults(ports: list[dict[str, Any]]) -> Found:
    """Faults for ports used by other programs than the role's."""
    held = listeners()
    found = []
    for port in ports:
        program = held.get((port.get("proto", "tcp"), int(port["port"])))
        if program and program not in port.get("programs", []):
            hint = f"stop and disable {program}, or move it to another host"
            found.append((f"port {port['port']}/{port.get('proto', 'tcp')} is taken by {program}", hint))
    return found


def name_faults(names: list[str], hosts: list[dict[str, Any]]) -> Found:
    """Faults for names that do not resolve, also not with ``hosts`` in /etc/hosts."""
    coming = coming_names(hosts)
    found = []
    for name in dict.fromkeys(names):
        if name.lower() in coming:
            continue
        try:
            socket.getaddrinfo(name, None)
        except OSError:
            found.append((f"{name} does not resolve", "add it to the DNS, or to base_hosts in the inventory"))
    return found


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "environment": {"type": "str", "required": True},
            "releases": {"type": "list", "elements": "str", "required": True},
            "disk": {"type": "list", "elements": "dict", "default": []},
            "ports": {"type": "list", "elements": "dict", "default": []},
            "names": {"type": "list", "elements": "str", "default": []},
            "hosts": {"type": "list", "elements": "dict", "default": []},
            "apart": {"type": "list", "elements": "dict", "default": []},
            "upgrades": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given = module.params
    found = [
        *release_faults(given["releases"]),
        *marker_faults(given["environment"]),
        *disk_faults(given["disk"]),
        *port_faults(given["ports"]),
        *name_faults(given["names"], given["hosts"]),
    ]
    faults = [{"what": what, "hint": hint} for what, hint in found]
    warned = [*apart_advice(given["apart"]), *upgrade_faults(automatic=given["upgrades"])]
    advice = [{"what": what, "hint": hint} for what, hint in warned]
    module.exit_json(changed=False, faults=faults, advice=advice, clock=time.time())


if __name__ == "__main__":
    main()
