"""The vendor's encryption: a service block at the front, then ECB over the whole stream, no padding, no MAC."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from .tar import BLOCK

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm

SIGNATURE = b"Bitrix Encrypted File"
VERSION = b"1.2"
CIPHERS = ("aes-256-ecb", "bf-ecb")

Encrypt = Callable[[bytes], bytes]
"""Encrypts a run of whole tar blocks; every run stands alone, as ECB allows."""


def key_of(password: bytes) -> bytes:
    """The cipher's key: the 32 hexadecimal digits of the password's MD5, as they are."""
    return hashlib.md5(password, usedforsecurity=False).hexdigest().encode()


def encryptor(password: bytes, cipher: str = "aes-256-ecb") -> Encrypt:
    """A function that encrypts whole blocks with the key of `password`; `cipher` is one of `CIPHERS`."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key = key_of(password)
    algorithm = algorithms.AES(key) if cipher == "aes-256-ecb" else _blowfish(key)

    def encrypt(data: bytes) -> bytes:
        context = Cipher(algorithm, modes.ECB()).encryptor()
        return context.update(data) + context.finalize()

    return encrypt


def service_block(encrypt: Encrypt) -> bytes:
    """The first 512 bytes of an encrypted archive: 256 in clear, and the same 256 encrypted (the password's check)."""
    salt = hashlib.md5(secrets.token_bytes(32), usedforsecurity=False).hexdigest().encode()
    clear = salt.ljust(100, b"\0") + SIGNATURE.ljust(90, b"\0") + VERSION.ljust(10, b"\0")
    clear = clear.ljust(BLOCK // 2, b"\0")
    return clear + encrypt(clear)


def _blowfish(key: bytes) -> BlockCipherAlgorithm:
    try:  # where newer versions keep it; Debian 12 has it among the others
        from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
    except ImportError:
        from cryptography.hazmat.primitives.ciphers.algorithms import Blowfish
    return Blowfish(key)
