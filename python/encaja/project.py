"""A project: the folder with the inventories, secrets and settings of one client's estate."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from encaja.ansible.collection import collection
from encaja.errors import ConfigurationError

ENVIRONMENTS = ("production", "preproduction", "test")
PLACEHOLDERS = {
    "production": "portal.example.com",
    "telephony": "telephony.example.com",
    "preproduction": "preproduction.example.com",
    "test": "test.example.com",
}
"""The hosts of the shipped inventories: each environment's portal, and production's telephone exchange."""
GENERATED = (
    "encaja_database_password",
    "encaja_cache_password",
    "encaja_push_key",
    "encaja_backup_password",
    "encaja_ami_password",
)
"""The secrets that can be generated."""
VAULT_PASSWORD = ".vault-password"  # noqa: S105 - the file's name
_PUBLIC, _PRIVATE = 0o666, 0o600
_OF_A_CLONE = ("roles_path", "collections_path")
_NAME = re.compile(
    r"(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_ADDRESS = re.compile(r"[0-9a-fA-F:]*:[0-9a-fA-F:.]*")

_RUNBOOK = """\
---
# This project's run-book, laid over the kit's own ('encaja plan'). Take steps out, add your own, say whom to tell.
version: 1
move:
  name: {name}
  inventory: [inventories/production, inventories/preproduction, inventories/test]
"""
_IGNORED = f"""\
# The password of the vaults: keep a copy of it elsewhere.
/{VAULT_PASSWORD}
# Journal, attempts and reports.
/.encaja/
*.retry
"""


@dataclass(frozen=True)
class Answers:
    """What is known about the estate when the project is made; the rest stays a placeholder.

    `domains` are the host names of the portals and of the exchange, `addresses` the addresses by which Ansible
    reaches them; both have the keys of `PLACEHOLDERS`.
    """

    domains: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Validate places, names and addresses.

        Raises:
            ConfigurationError: the first fault.
        """
        for option, given in (("--domain", self.domains), ("--host", self.addresses)):
            for place, value in given.items():
                if place not in PLACEHOLDERS:
                    raise ConfigurationError(f"there is no '{place}'", option, f"use {', '.join(PLACEHOLDERS)}")
                if not _NAME.fullmatch(value) and not (given is self.addresses and _ADDRESS.fullmatch(value)):
                    wanted = "a host's name or address" if given is self.addresses else "a host's name"
                    raise ConfigurationError(f"'{value}' is not {wanted}", option, f"write {option} {place}=…")


def new_secret(name: str) -> str:
    """A value for the secret of this name, of the length that the roles require."""
    return secrets.token_hex(64) if name == "encaja_push_key" else secrets.token_urlsafe(24)


def make_project(target: Path, answers: Answers) -> None:
    """Make a project in a folder that is empty or does not exist, completely or not at all.

    Raises:
        ConfigurationError: the folder is not empty or cannot be written, or an answer is not valid.
    """
    answers.check()
    there = target.exists()
    wanted = "give a folder that is empty or does not exist"
    if there and not target.is_dir():
        raise ConfigurationError("is a file", str(target), wanted)
    if there and (entry := next(target.iterdir(), None)):
        raise ConfigurationError(f"is not empty, it holds {entry.name}", str(target), wanted)
    target.parent.mkdir(parents=True, exist_ok=True)
    # An empty folder is filled, not replaced: it may be a mount point or a shell's working directory.
    place = target if there else target.parent
    scratch = Path(tempfile.mkdtemp(prefix=".encaja-init-", dir=place))
    try:
        _write(scratch, target.name, answers)
        if there:
            # A folder is a project once it has inventories, so they come last.
            for entry in sorted(scratch.iterdir(), key=lambda path: path.name == "inventories"):
                entry.rename(target / entry.name)
        else:
            scratch.chmod(0o777 & ~_umask())
            scratch.rename(target)
    except OSError as error:
        raise ConfigurationError(f"cannot be made: {error.strerror}", str(target), "give another folder") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _write(folder: Path, name: str, answers: Answers) -> None:
    from ansible.parsing.vault import VaultLib, VaultSecret  # noqa: PLC0415 - a slow import, for this alone

    password = secrets.token_urlsafe(32)
    vault = VaultLib([("default", VaultSecret(password.encode()))])
    _put(folder / VAULT_PASSWORD, f"{password}\n", _PRIVATE)
    _put(folder / ".gitignore", _IGNORED)
    _put(folder / "ansible.cfg", _settings())
    _put(folder / "runbook.yml", _RUNBOOK.format(name=json.dumps(name)))
    for environment in ENVIRONMENTS:
        source = collection() / "inventories" / environment
        values = Path("group_vars", environment)
        for file in (Path("hosts.yml"), Path("runbook.yml"), values / "main.yml", values / "vault.yml"):
            if not (source / file).is_file():
                continue
            text = (source / file).read_text(encoding="utf-8")
            written = folder / "inventories" / environment / file
            if file.name == "vault.yml":
                encrypted: bytes = vault.encrypt(_with_secrets(text, source / file))
                _put(written, encrypted.decode(), _PRIVATE)
            else:
                _put(written, _answered(text, answers))


def _put(path: Path, text: str, mode: int = _PUBLIC) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)


def _settings() -> str:
    """The clone's settings for Ansible without its paths, which would not hold on another machine."""
    shipped = (collection() / "ansible.cfg").read_text(encoding="utf-8").splitlines()
    kept = [line for line in shipped if not line.startswith(_OF_A_CLONE)]
    kept.insert(1, f"vault_password_file = {VAULT_PASSWORD}")
    head = "# The collection encaja.portal comes with the Python package encaja; Ansible needs that next to it."
    return "\n".join([head, *kept, ""])


def _with_secrets(text: str, where: Path) -> str:
    """The shipped vault with a new value for each secret that can be generated."""
    for name in GENERATED:
        text = re.sub(rf"^{name}: change me$", f'{name}: "{new_secret(name)}"', text, flags=re.MULTILINE)
    if "change me" not in text:
        raise ConfigurationError("this is not the shipped vault", str(where), "restore it from git")
    return text


def _answered(text: str, answers: Answers) -> str:
    """A shipped file with the answers in place of its placeholders."""
    for place, address in answers.addresses.items():
        # A host is named in its environment first.
        host = re.escape(PLACEHOLDERS[place])
        text = re.sub(rf"^( +)({host}):.*$", rf'\1\2: {{ansible_host: "{address}"}}', text, count=1, flags=re.MULTILINE)
    for place, domain in answers.domains.items():
        text = text.replace(PLACEHOLDERS[place], domain)
    return text
