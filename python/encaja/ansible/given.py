"""Certificates and keys as a task gives them: PEM text, or the path of a file on the controller."""

from __future__ import annotations

from collections.abc import Iterable

from ansible.plugins.action import ActionBase
from cryptography import x509

from encaja.certificates import read_pem, system_roots


def given_path(action: ActionBase, given: str) -> str:
    """PEM text as it is; else the path of the file, which may be encrypted with ansible-vault and is read decrypted."""
    if "-----BEGIN" in given:
        return given
    return str(action._loader.get_real_file(action._find_needle("files", given)))


def given_pem(action: ActionBase, given: str) -> bytes:
    """What was given, as PEM.

    Raises:
        EncajaError: the file cannot be read, or holds no PEM.
    """
    return read_pem(given_path(action, given))


def known_roots(action: ActionBase, trusted: Iterable[str]) -> list[x509.Certificate]:
    """The authorities that clients know: the controller's own, and those that are given.

    Raises:
        EncajaError: a file cannot be read, or holds no PEM.
        ValueError: what is given is no certificate.
    """
    roots = system_roots()
    for given in trusted:
        roots += x509.load_pem_x509_certificates(given_pem(action, given))
    return roots
