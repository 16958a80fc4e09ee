"""Certificates and keys as a task gives them: PEM text, or the path of files on the controller.

Where a certificate comes from (``source``): ``files`` of the controller, ``bought`` for a key that was made on the host
and stays there, ``acme``, or the ``private`` authority. Without a word it is files where there is a certificate.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from ansible.errors import AnsibleError
from cryptography import x509

from encaja.certificates import Authority, Found, authorities, examine, read_files, read_pem, system_roots
from encaja.errors import EncajaError

KEYS = {"name", "names", "certificate", "key", "chain", "passphrase", "source"}
SOURCES: Final = ("files", "bought", "acme", "private")


class Files(Protocol):
    """Finds and reads files on the controller: an action, or a lookup with its search path."""

    _loader: Any

    def _find_needle(self, dirname: str, needle: str) -> str: ...


@dataclass
class Judged:
    """The result of checking a host's certificates.

    Attributes:
        given: those that come with their files; of bought ones the key is on the host.
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


def source_of(item: Mapping[str, Any]) -> str:
    """Where a certificate comes from."""
    return str(item.get("source") or ("files" if item.get("certificate") else "private"))


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


def given_files(files: Files, given: str) -> dict[str, bytes]:
    """What was given as text, a file or a folder of files: name to content, decrypted.

    Raises:
        EncajaError: a file cannot be read.
        AnsibleError: there is no such file.
    """
    if "-----BEGIN" in given:
        return read_files(given)
    path = Path(files._find_needle("files", given))
    found = [str(path / name) for name in read_files(str(path))] if path.is_dir() else [str(path)]
    return {Path(one).name: Path(files._loader.get_real_file(one)).read_bytes() for one in found}


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
    *,
    requests: str = "",
    may_wait: bool = True,
) -> Judged:
    """Check everything that is given for a host's certificates, before anything is copied.

    Args:
        files: finds the files.
        certificates: name and names of each, with certificate, key and chain where it is given.
        authority: certificate and key of the private authority, both empty where there is none.
        trusted: authorities to which a given chain may lead.
        renew_days: a certificate that ends within as many days is warned about.
        requests: folder on the controller with the requests of bought certificates, and what came back for them.
        may_wait: whether a bought one may still be missing; else that is a fault.
    """
    judged = Judged()
    for number, item in enumerate(certificates):
        where = item.get("name") or f"certificates[{number}]"
        if missing := {"name", "names"} - {key for key in item if item[key]}:
            judged.faults.append(f"{where}: {' and '.join(sorted(missing))} missing")
        if unknown := set(item) - KEYS:
            judged.faults.append(f"{where}: unknown key {', '.join(sorted(unknown))}")
        if item.get("key") and not item.get("certificate"):
            judged.faults.append(f"{where}: give both the certificate and its key, or neither")
        if source_of(item) not in SOURCES:
            judged.faults.append(f"{where}: unknown source '{item['source']}', one of {', '.join(SOURCES)}")
    if judged.faults:
        return judged
    for item in map(dict, certificates):
        source = source_of(item)
        if source == "bought":
            _judge_request(judged, item, Path(requests), may_wait=may_wait)
        elif source != "acme":
            (judged.given if source == "files" else judged.signed).append(item)
    roots = _judge_trusted(files, judged, trusted)
    _judge_given(files, judged, roots, renew_days)
    _judge_signed(files, judged, authority)
    return judged


def _judge_request(judged: Judged, item: dict[str, Any], requests: Path, *, may_wait: bool) -> None:
    """A bought certificate: given as soon as its request is there, and something came back."""
    name = item["name"]
    returned = requests / name
    # The newest first; behind it those that it replaced, of which one may be in use until the new one came back.
    found = sorted(requests.glob(f"{glob.escape(name)}.csr*"), key=lambda path: path.name != f"{name}.csr")
    item["certificate"] = item.get("certificate") or str(returned)
    if not found:
        missing = "is to be bought, but was not requested yet: run 'encaja certificate request'"
    elif item["certificate"] == str(returned) and not (returned.is_dir() and any(returned.iterdir())):
        missing = f"is requested, but nothing came back yet: put what the authority sent into {returned}"
    else:
        judged.given.append({**item, "request": b"\n".join(path.read_bytes() for path in found)})
        return
    (judged.warnings if may_wait else judged.faults).append(f"the certificate {name} {missing}")


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
                given_files(files, item["certificate"]),
                given_pem(files, item["key"]) if item.get("key") else None,
                given_pem(files, item["chain"]) if item.get("chain") else b"",
                names=item["names"],
                roots=roots,
                renew_days=renew_days,
                passphrase=item.get("passphrase") or "",
                request=item.get("request", b""),
                needs_key=source_of(item) == "files",
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
