"""Certificates and keys as a task gives them: PEM text, or the path of a file on the controller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible.errors import AnsibleError
from cryptography import x509

from encaja.certificates import Authority, Found, authorities, examine, read_pem, system_roots
from encaja.errors import EncajaError

KEYS = {"name", "names", "certificate", "key", "chain"}


class Files(Protocol):
    """Finds and reads files on the controller: an action, or a lookup with its search path."""

    _loader: Any

    def _find_needle(self, dirname: str, needle: str) -> str: ...


@dataclass
class Judged:
    """The result of checking a host's certificates.

    Attributes:
        given: those that come with their files.
        signed: those that the private authority signs.
        found: what was seen of the given ones, by name.
        faults: what stands in the way of installing them, with the certificate's name.
        warnings: what will become a fault.
    """

    given: list[dict[str, Any]] = field(default_factory=list)
    signed: list[dict[str, Any]] = field(default_factory=list)
    found: dict[str, Found] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def given_path(files: Files, given: str) -> str:
    """PEM text as it is; else the path of the file, which may be encrypted with ansible-vault and is read decrypted."""
    if "-----BEGIN" in given:
        return given
    return str(files._loader.get_real_file(files._find_needle("files", given)))


def given_pem(files: Files, given: str) -> bytes:
    """What was given, as PEM.

    Raises:
        EncajaError: the file cannot be read, or holds no PEM.
        AnsibleError: there is no such file.
    """
    return read_pem(given_path(files, given))


def known_roots(files: Files, trusted: Iterable[str]) -> list[x509.Certificate]:
    """The authorities that clients trust: the controller's own, and those that are given.

    Raises:
        EncajaError: a file cannot be read, or holds no PEM.
        AnsibleError: there is no such file.
        ValueError: what is given is no certificate.
    """
    roots = system_roots()
    for given in trusted:
        roots += x509.load_pem_x509_certificates(given_pem(files, given))
    return roots


def given_authority(files: Files, authority: Mapping[str, Any]) -> Authority:
    """The private authority that signs the certificates that are not given.

    Raises:
        EncajaError: it cannot be read or used.
        AnsibleError: there is no such file.
    """
    return Authority.load(given_path(files, authority["certificate"]), given_path(files, authority["key"]))


def judge(
    files: Files,
    certificates: Sequence[Mapping[str, Any]],
    authority: Mapping[str, Any],
    trusted: Sequence[str],
    renew_days: int,
) -> Judged:
    """Check everything that is given for a host's certificates, before anything is copied.

    Args:
        files: finds the files.
        certificates: name and names of each, with certificate, key and chain where it is given.
        authority: certificate and key of the private authority, both empty where there is none.
        trusted: authorities to which a given chain may lead.
        renew_days: a certificate that ends within as many days is warned about.
    """
    judged = Judged()
    for number, item in enumerate(certificates):
        where = item.get("name") or f"certificates[{number}]"
        if missing := {"name", "names"} - {key for key in item if item[key]}:
            judged.faults.append(f"{where}: {' and '.join(sorted(missing))} missing")
        if unknown := set(item) - KEYS:
            judged.faults.append(f"{where}: unknown key {', '.join(sorted(unknown))}")
        if bool(item.get("certificate")) != bool(item.get("key")):
            judged.faults.append(f"{where}: give both the certificate and its key, or neither")
    if judged.faults:
        return judged
    for item in certificates:
        (judged.given if item.get("key") else judged.signed).append(dict(item))
    roots = _judge_trusted(files, judged, trusted)
    _judge_given(files, judged, roots, renew_days)
    _judge_signed(files, judged, authority)
    return judged


def _judge_trusted(files: Files, judged: Judged, trusted: Sequence[str]) -> list[x509.Certificate]:
    """The estate's own authorities that every host has to trust; anything else is a fault."""
    roots: list[x509.Certificate] = []
    for number, given in enumerate(trusted):
        try:
            pem = given_pem(files, given)
            authorities(pem, f"tls_trusted[{number}]")
            roots += x509.load_pem_x509_certificates(pem)
        except (EncajaError, AnsibleError) as fault:
            judged.faults.append(_said(fault))
    return roots


def _judge_given(files: Files, judged: Judged, trusted: Sequence[x509.Certificate], renew_days: int) -> None:
    roots = [*system_roots(), *trusted] if judged.given else []
    for item in judged.given:
        try:
            looked = examine(
                given_pem(files, item["certificate"]),
                given_pem(files, item["key"]),
                given_pem(files, item["chain"]) if item.get("chain") else b"",
                names=item["names"],
                roots=roots,
                renew_days=renew_days,
            )
        except (EncajaError, AnsibleError) as fault:
            judged.faults.append(f"{item['name']}: {_said(fault)}")
            continue
        judged.found[item["name"]] = looked
        judged.faults += [f"{item['name']}: {fault}" for fault in looked.faults]
        judged.warnings += [f"the certificate {item['name']} {warning}" for warning in looked.warnings]


def _judge_signed(files: Files, judged: Judged, authority: Mapping[str, Any]) -> None:
    if not judged.signed:
        return
    if not authority.get("certificate") or not authority.get("key"):
        names = ", ".join(item["name"] for item in judged.signed)
        judged.faults.append(
            f"there is no certificate for {names}: set tls_certificate and tls_key to its files, or "
            "tls_ca_certificate and tls_ca_key to those of a private authority that signs it"
        )
        return
    try:
        given_authority(files, authority)
    except (EncajaError, AnsibleError) as fault:
        judged.faults.append(_said(fault))


def _said(fault: Exception) -> str:
    """The first line of a fault: Ansible appends the places that it searched."""
    return str(fault).strip().splitlines()[0]
