"""Images of Debian hosts, made with mmdebstrap from this machine's own apt sources.

The address of the mirror is read at run time and goes into the image's own sources only.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from encaja.lab.engine import MACHINE, LabError, alone, command, is_installed, podman, run

RELEASES = {"bookworm": 12, "trixie": 13, "forky": 14}
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
)
# A lab is disposable: dpkg need not fsync, and manuals are not needed.
DPKG = """\
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-include=/usr/share/locale/locale.alias
"""
# A mirror may lag behind a testing suite: its index can be older than its own time limit.
APT = """\
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
APT::Install-Recommends "false";
"""
LABEL = "encaja.image"


def debian_mirror() -> str:
    """The address of the Debian archive that this machine's apt uses.

    Raises:
        LabError: apt has no source for a Debian release.
    """
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(ORIGIN) $(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in listed.stdout.splitlines():
        parts = line.split()
        if len(parts) >= 4 and parts[1] == "Debian" and parts[2].rstrip("/").endswith("/debian"):
            return parts[2].rstrip("/")
    for path in sorted(Path("/etc/apt").glob("sources.list*")) + sorted(Path("/etc/apt/sources.list.d").glob("*")):
        if path.is_file() and (found := re.search(r"https?://\S+/debian(?=[/\s])", path.read_text())):
            return found.group(0)
    raise LabError("apt knows no Debian archive", "/etc/apt", "add a Debian source and run 'apt-get update'")


def image_name(release: str) -> str:
    """The name of the image for ``release``; it changes when the recipe does."""
    if release not in RELEASES:
        raise LabError(f"unknown Debian release {release!r}", "lab image", f"use one of {', '.join(RELEASES)}")
    recipe = "\n".join((release, *PACKAGES, DPKG, APT))
    return f"localhost/encaja/{release}:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def exists(release: str) -> bool:
    """Whether the image for ``release`` is there."""
    return subprocess.run(command("image", "exists", image_name(release)), check=False).returncode == 0


def ensure(release: str, say: Callable[[str], None] = lambda _: None) -> str:
    """Build the image for ``release`` unless it is there; return its name."""
    name = image_name(release)
    if exists(release):
        return name
    with alone(MACHINE / f"image-{release}.lock"):
        if not exists(release):
            _build(name, release, say)
    return name


def _build(name: str, release: str, say: Callable[[str], None]) -> None:
    say(f"building the image of Debian {RELEASES[release]} ({release})")
    with tempfile.TemporaryDirectory(prefix="encaja-image-") as folder:
        root, dpkg, apt = Path(folder, "root.tar"), Path(folder, "dpkg"), Path(folder, "apt")
        dpkg.write_text(DPKG)
        apt.write_text(APT)
        run(
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            '--aptopt=Acquire::Check-Valid-Until "false"',
            "--dpkgopt=force-unsafe-io",
            f"--setup-hook=mkdir -p $1/etc/dpkg/dpkg.cfg.d && cp {dpkg} $1/etc/dpkg/dpkg.cfg.d/lab",
            f"--customize-hook=cp {apt} $1/etc/apt/apt.conf.d/90lab",
            # A container has no modules and no console of its own, and gets its host keys later.
            "--customize-hook=chroot $1 systemctl mask systemd-modules-load.service console-getty.service",
            "--customize-hook=rm -f $1/etc/ssh/ssh_host_*",
            release,
            str(root),
            debian_mirror(),
            timeout=900,
        )
        podman("import", "--change", f"LABEL {LABEL}={release}", str(root), name)


def remove_all() -> None:
    """Remove every image that this module made, of any recipe."""
    if not is_installed():
        return
    names = podman("images", "--filter", f"label={LABEL}", "--format", "{{.ID}}").split()
    if names:
        podman("rmi", "--force", *dict.fromkeys(names))
