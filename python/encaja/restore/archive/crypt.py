"""The encryption of ``.enc`` archives.

One block of 512 bytes comes first: 256 clear bytes (random value, signature, version) and the same 256 bytes encrypted,
which is how a password is checked. The key is the 32 hexadecimal digits of md5(password) as raw bytes. The cipher is
AES-256-ECB (since main 24) or Blowfish-ECB, without padding; the header does not say which, so both are tried
(main 26.250, ``CTar``; the header's version is 1.1 or 1.2).
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers import Cipher, CipherAlgorithm, CipherContext, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from encaja.restore.errors import BackupError, WrongPassword

HEADER_LENGTH = 512
SIGNATURE = b"Bitrix Encrypted File"
_VERSIONS = (b"1.0", b"1.1", b"1.2")


class Decryptor(Protocol):
    """Decrypts a stream piece by piece."""

    name: str

    def update(self, data: bytes) -> bytes:
        """Decrypt what makes whole cipher blocks; the rest waits for more."""


class _Ecb:
    def __init__(self, name: str, algorithm: CipherAlgorithm) -> None:
        self.name = name
        self._context: CipherContext = Cipher(algorithm, modes.ECB()).decryptor()  # noqa: S305  (the vendor's format)

    def update(self, data: bytes) -> bytes:
        return self._context.update(data)


def archive_key(password: str) -> bytes:
    """Derive the cipher's key from the password."""
    return hashlib.md5(password.encode(), usedforsecurity=False).hexdigest().encode()


def check_header(block: bytes, where: str = "") -> None:
    """Check the clear half of the service block.

    Raises:
        BackupError: it is not the block of an encrypted archive, or of an unknown version.
    """
    if len(block) < HEADER_LENGTH or not block[100:190].startswith(SIGNATURE):
        raise BackupError("no signature of an encrypted archive", where, "take the archive as the vendor made it")
    version = block[190:200].rstrip(b"\0")
    if version not in _VERSIONS:
        raise BackupError(
            f"unknown version {version.decode(errors='replace')!r} of the encryption", where, "update encaja"
        )


def _blowfish(key: bytes) -> _Ecb | None:
    """The older cipher; None where the machine's OpenSSL does not bring it."""
    try:
        from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish  # noqa: PLC0415
    except ImportError:  # before version 43 it was in its old place
        from cryptography.hazmat.primitives.ciphers.algorithms import Blowfish  # noqa: PLC0415
    try:
        return _Ecb("Blowfish-ECB", Blowfish(key))  # noqa: S304  (the vendor's format)
    except UnsupportedAlgorithm:
        return None


def open_header(block: bytes, password: str | None, where: str = "") -> Decryptor:
    """Find the cipher that the password opens the archive with.

    Args:
        block: the first 512 bytes of the archive (unpacked).
        password: the archive's password.
        where: the file or address, for messages.

    Returns:
        A decryptor for what follows the block.

    Raises:
        WrongPassword: none was given, or it does not fit.
        BackupError: the block is not one, or its cipher is not on this machine.
    """
    check_header(block, where)
    if password is None:
        raise WrongPassword("the archive is encrypted", where, "give its password with --password-file")
    key = archive_key(password)
    aes = _Ecb("AES-256-ECB", AES(key))
    if aes.update(block[256:512]) == block[:256]:
        return _Ecb("AES-256-ECB", AES(key))
    blowfish = _blowfish(key)
    if blowfish and blowfish.update(block[256:512]) == block[:256]:
        return _blowfish(key) or blowfish
    if blowfish is None:
        raise WrongPassword(
            "the password does not open the archive with AES-256, and this machine has no Blowfish to try",
            where,
            "check the password; for an old archive enable OpenSSL's legacy provider",
        )
    raise WrongPassword(
        "the password does not open the archive", where, "check the password given to the vendor's backup"
    )
