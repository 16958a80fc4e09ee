"""A host's certificates: each with its key in a folder of its own, of which one link says the one in use.

``<name>.crt`` and ``<name>.key`` lead through ``versions/<name>/live``, so that one rename changes both: no service
ever starts with the certificate of one and the key of the other, whenever the power fails. ``versions/<name>/proven``
is the last one that every service showed on its port; what came after it is looked at again by the next run.

Module ``certificates`` and the program ``encaja-certificate`` of the hosts use it; it needs Python and OpenSSL only.
"""

from __future__ import annotations

import grp
import hashlib
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FOLDER: Final = "/etc/encaja/tls"
CERTIFICATE, KEY = "certificate.crt", "private.key"
CURVE: Final = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
WAIT: Final = 15.0  # seconds for a service to show what it was told to load
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)


class NotShownError(Exception):
    """A service did not come up with a new certificate; the former one is in use again."""


def openssl(*words: str, data: str = "") -> str:
    """What OpenSSL prints; empty where it refuses."""
    done = subprocess.run(["openssl", *words], input=data, capture_output=True, text=True, check=False, timeout=20)
    return done.stdout if done.returncode == 0 else ""


def fingerprint(pem: str) -> str:
    """SHA-256 of the first certificate; empty where there is none."""
    found = _PEM.search(pem)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(found[0])).hexdigest() if found else ""


def serial(pem: str) -> str:
    """The serial number of the first certificate, as authorities and browsers write it."""
    return openssl("x509", "-noout", "-serial", data=pem).strip().partition("=")[2] if pem else ""


def public_key(key: str) -> str:
    """The public half of a key in PEM; empty where OpenSSL cannot read it."""
    return openssl("pkey", "-pubout", "-passin", "pass:", data=key) if key else ""


def shown(address: str, name: str) -> str:
    """The certificate that a port shows to who asks for a name, PEM; empty where none comes.

    Args:
        address: ``host:port``, or ``mysql:host:port`` for a database server.
        name: the server's name.
    """
    words = ["s_client", "-connect", address.removeprefix("mysql:"), "-servername", name]
    words += ["-starttls", "mysql"] if address.startswith("mysql:") else []
    try:
        done = subprocess.run(
            ["openssl", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=5,
            errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return ""
    found = _PEM.search(done.stdout)
    return found[0] + "\n" if found else ""


def reload_unit(unit: str) -> str:
    """Reload a unit where it runs, without dropping connections where it can; what systemd says of a failure."""
    if subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode:
        return ""
    done = subprocess.run(["systemctl", "reload-or-restart", unit], capture_output=True, text=True, check=False)
    return done.stderr.strip() or f"code {done.returncode}" if done.returncode else ""


@dataclass
class Store:
    """The certificates of a host.

    Attributes:
        folder: where they are.
        group: number of the group that may read the keys.
        services: units that read them, each with the addresses at which it shows one.
        check: whether nothing may be changed.
        changed: what was changed, or would be.
        served: what ports showed afterwards: certificate, unit, address and serial number.
    """

    folder: Path
    group: int
    services: Mapping[str, Sequence[str]] = field(default_factory=dict)
    check: bool = False
    changed: list[str] = field(default_factory=list)
    served: list[dict[str, str]] = field(default_factory=list)
    look: Callable[[str, str], str] = shown
    reload: Callable[[str], str] = reload_unit
    wait: float = WAIT

    def file(self, name: str, kind: str) -> str:
        """The text of a certificate (``crt``) or its key (``key``), empty if there is none."""
        path = self.folder / f"{name}.{kind}"
        return path.read_text(encoding="ascii", errors="replace") if path.is_file() else ""

    def requested_key(self, name: str) -> Path:
        """Where the key of a certificate is that was requested, and did not come yet."""
        return self.folder / "requests" / f"{name}.key"

    def prepare(self) -> None:
        """Create the folder, readable by all; the keys have their own mode."""
        if not self.folder.is_dir():
            self.changed.append(str(self.folder))
            if not self.check:
                self.folder.mkdir(parents=True, mode=0o755)

    def make_key(self, name: str) -> None:
        """Generate a private key if there is none."""
        if self.file(name, "key"):
            self._attributes(name)
            return
        self.changed.append(str(self.folder / f"{name}.key"))
        if not self.check:
            made = openssl("genpkey", *CURVE)
            if not made:
                raise OSError("OpenSSL made no key")
            self._use(name, "", made)

    def key_for(self, name: str, certificate: str) -> str:
        """The host's own key of a certificate that was bought for it; empty if it has none."""
        wanted = openssl("x509", "-noout", "-pubkey", data=certificate)
        path = self.requested_key(name)
        keys = [path.read_text(encoding="ascii") if path.is_file() else "", self.file(name, "key")]
        return next((key for key in keys if key and public_key(key) == wanted), "")

    def install(self, name: str, certificate: str, key: str, server_name: str) -> None:
        """Bring a certificate and its key into use, together, and prove that every service shows it.

        Raises:
            NotShownError: one did not; the former certificate is in use again.
        """
        folder = self.folder / "versions" / name
        self._adopt(name)
        is_same = (self.file(name, "crt"), self.file(name, "key")) == (certificate, key)
        is_proven = _target(folder / "live") == _target(folder / "proven")
        self._attributes(name)
        if is_same and is_proven:
            return
        if not is_same:
            self.changed += [
                str(self.folder / f"{name}.{kind}")
                for kind, text in (("crt", certificate), ("key", key))
                if self.file(name, kind) != text
            ]
        if self.check:
            return
        before = {address: self._seen(address, server_name) for one in self.services.values() for address in one}
        if not is_same:
            self._use(name, certificate, key)
        if faults := self._bring_up(name, before, server_name):
            self._go_back(name, folder, before, server_name, faults)
        _point(folder / "proven", _target(folder / "live"))
        self.requested_key(name).unlink(missing_ok=True)
        for old in folder.iterdir():
            if old.is_dir() and not old.is_symlink() and old.name != _target(folder / "live"):
                shutil.rmtree(old)

    def _go_back(self, name: str, folder: Path, before: Mapping[str, str], server_name: str, faults: list[str]) -> None:
        former, tried = _target(folder / "proven"), serial(self.file(name, "crt"))
        what = f"the certificate {name} (serial {tried}) does not work: {'; '.join(faults)}"
        if not former or not (folder / former / CERTIFICATE).stat().st_size:
            raise NotShownError(f"{what}; there is no former one")
        _point(folder / "live", former)
        again = self._bring_up(name, before, server_name)
        what += f"; the former one (serial {serial(self.file(name, 'crt'))}) is in use again"
        raise NotShownError(f"{what}, but {'; '.join(again)}" if again else f"{what}, and shown")

    def _seen(self, address: str, server_name: str) -> str:
        return fingerprint(self.look(address, server_name))

    def _bring_up(self, name: str, before: Mapping[str, str], server_name: str) -> list[str]:
        """Reload the services, and say which of them do not show the certificate in use."""
        wanted = fingerprint(self.file(name, "crt"))
        ours = {fingerprint(one.read_text()) for one in (self.folder / "versions" / name).glob(f"*/{CERTIFICATE}")}
        faults, served = [], []
        for unit, addresses in self.services.items():
            if said := self.reload(unit):
                faults.append(f"{unit}: {said.splitlines()[0]}")
                continue
            for address in addresses:
                # What showed nothing need not. What showed another than ours has to show one again: MariaDB makes one
                # for itself at each start, until it is told of ours.
                if not before[address]:
                    continue
                expected = {wanted} if before[address] in ours else set()
                pem = self._wait_for(address, server_name, expected)
                if not pem or (expected and fingerprint(pem) not in expected):
                    seen = f"shows serial {serial(pem)}" if pem else "does not answer"
                    faults.append(f"{unit} {seen} on {address}")
                elif fingerprint(pem) == wanted:
                    served.append({"name": name, "unit": unit, "address": address, "serial": serial(pem)})
        self.served = [one for one in self.served if one["name"] != name] + served
        return faults

    def _wait_for(self, address: str, server_name: str, expected: set[str]) -> str:
        end = time.monotonic() + self.wait
        while True:
            pem = self.look(address, server_name)
            if (fingerprint(pem) in expected if expected else pem) or time.monotonic() >= end:
                return pem
            time.sleep(0.1)

    def _adopt(self, name: str) -> None:
        """Put files of an earlier version of the kit under the link that changes both."""
        paths = [self.folder / f"{name}.{kind}" for kind in ("key", "crt")]
        if self.check or not all(path.is_file() and not path.is_symlink() for path in paths):
            return
        self._use(name, self.file(name, "crt"), self.file(name, "key"))
        folder = self.folder / "versions" / name
        _point(folder / "proven", _target(folder / "live"))

    def _use(self, name: str, certificate: str, key: str) -> None:
        """Write a certificate and its key, and let the name mean them."""
        folder = self.folder / "versions" / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        version = hashlib.sha256(f"{certificate}\0{public_key(key)}".encode()).hexdigest()[:16]
        if not (folder / version).is_dir():
            staged = Path(tempfile.mkdtemp(prefix=".", dir=folder))
            for file, text, mode, group in ((CERTIFICATE, certificate, 0o644, 0), (KEY, key, 0o640, self.group)):
                _write(staged / file, text, mode, group)
            staged.chmod(0o755)
            _sync(staged)
            staged.rename(folder / version)
        _point(folder / "live", version)
        for kind, file in (("key", KEY), ("crt", CERTIFICATE)):
            target = f"versions/{name}/live/{file}"
            if (kind == "key" or certificate) and _target(self.folder / f"{name}.{kind}") != target:
                _point(self.folder / f"{name}.{kind}", target)

    def _attributes(self, name: str) -> None:
        for kind, mode, group in (("crt", 0o644, 0), ("key", 0o640, self.group)):
            path = self.folder / f"{name}.{kind}"
            if not path.is_file():
                continue
            now = path.stat()
            if (now.st_mode & 0o7777, now.st_uid, now.st_gid) == (mode, os.geteuid(), group):
                continue
            self.changed.append(str(path))
            if not self.check:
                os.chown(path, os.geteuid(), group)
                path.chmod(mode)


def _target(link: Path) -> str:
    return str(link.readlink()) if link.is_symlink() else ""


def _point(link: Path, target: str) -> None:
    """Let a link mean another target, in one step that outlives a power failure."""
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.rename(link)
    _sync(link.parent)


def _write(path: Path, text: str, mode: int, group: int) -> None:
    with path.open("x", encoding="ascii") as stream:
        os.fchmod(stream.fileno(), mode)
        os.fchown(stream.fileno(), -1, group)
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def group_number(name: str, *, check: bool) -> int:
    """The number of a group.

    Raises:
        KeyError: there is none; in check mode 0, for its package is not installed yet.
    """
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        if not check:
            raise
        return 0
