"""What an authority sends back, in any usual form: its certificates and keys, and what cannot be read.

PEM (with text around it), DER, PKCS#7 (``.p7b``) and PKCS#12 (``.pfx``, ``.p12``), told apart by their content: names
of files say little. All parsing is done by ``cryptography``; OpenSSL counts the keys of a PKCS#12 file, of which the
library shows the first only.
"""

from __future__ import annotations

import os
import re
import subprocess
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7, pkcs12

from encaja.certificate_faults import told

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.S)
_NEITHER: Final = (b"EC PARAMETERS", b"DH PARAMETERS", b"PUBLIC KEY", b"X509 CRL")
# A sequence that begins with the number 3: PFX of RFC 7292 (a certificate begins with a sequence, PKCS#7 with an OID,
# a key with the number 0 or 1). Some programs write it in BER, with a length that is left open (0x80).
_PFX: Final = re.compile(rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...)\x02\x01\x03", re.S)


@dataclass(frozen=True)
class GivenKey:
    """A private key, and its PEM without a passphrase."""

    key: PrivateKeyTypes = field(repr=False)
    pem: str = field(repr=False)


@dataclass
class Bundle:
    """What given files hold.

    Attributes:
        certificates: each once, in the order of the files.
        keys: private keys.
        requests: names of files that are certificate requests.
        faults: what cannot be read, a clause each.
    """

    certificates: list[x509.Certificate] = field(default_factory=list)
    keys: list[GivenKey] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, *certificates: x509.Certificate) -> None:
        """Add certificates that are not there yet."""
        self.certificates += [one for one in dict.fromkeys(certificates) if one not in self.certificates]

    def add_key(self, key: PrivateKeyTypes, pem: bytes = b"") -> None:
        """Add a key; ``pem`` is its text where that has no passphrase."""
        text = pem or key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.keys.append(GivenKey(key, text.decode("ascii").strip() + "\n"))


class Locked(Exception):  # noqa: N818
    """A key or a PKCS#12 file whose passphrase is missing or another one."""


def read_bundle(files: Mapping[str, bytes], passphrase: str = "", language: str = "en") -> Bundle:
    """Read files of any usual form.

    Args:
        files: name (for messages) to content.
        passphrase: of a key or of a PKCS#12 file.
        language: of the faults.
    """
    bundle = Bundle()
    for name, content in files.items():
        try:
            _read(bundle, name, content, passphrase, language)
        except Locked:
            fault = "passphrase_wrong" if passphrase else "passphrase_missing"
            bundle.faults.append(told(language, fault, file=name))
        except (ValueError, TypeError, UnsupportedAlgorithm):
            bundle.faults.append(told(language, "garbage", file=name))
    return bundle


def _read(bundle: Bundle, name: str, content: bytes, passphrase: str, language: str) -> None:
    blocks = list(_BLOCK.finditer(content))
    for block in blocks:
        label, pem = block[1], block[0] + b"\n"
        if label in (b"CERTIFICATE", b"X509 CERTIFICATE"):
            bundle.add(x509.load_pem_x509_certificate(pem.replace(b"X509 CERT", b"CERT")))
        elif label == b"PKCS7":
            bundle.add(*pkcs7.load_pem_pkcs7_certificates(pem))
        elif label.endswith(b"CERTIFICATE REQUEST"):
            bundle.requests.append(name)
        elif label.endswith(b"PRIVATE KEY"):
            is_locked = b"ENCRYPTED" in pem[:200]
            bundle.add_key(_key(pem, passphrase), b"" if is_locked else pem)
        elif label not in _NEITHER:
            raise ValueError(label)
    if blocks:
        return
    if _PFX.match(content):
        _read_pkcs12(bundle, name, content, passphrase, language)
        return
    loads: tuple[Callable[[], object], ...] = (
        lambda: bundle.add(x509.load_der_x509_certificate(content)),
        lambda: bundle.add(*pkcs7.load_der_pkcs7_certificates(content)),
        lambda: bundle.add_key(_key(content, passphrase, is_der=True)),
        lambda: bundle.requests.append(name if x509.load_der_x509_csr(content) else ""),
    )
    for load in loads:
        try:
            load()
        except (ValueError, UnsupportedAlgorithm):
            continue
        return
    raise ValueError(name)


def _key(content: bytes, passphrase: str, *, is_der: bool = False) -> PrivateKeyTypes:
    load = serialization.load_der_private_key if is_der else serialization.load_pem_private_key
    try:
        return load(content, password=None)
    except TypeError:
        pass
    try:
        return load(content, password=passphrase.encode())
    except (TypeError, ValueError) as fault:
        raise Locked from fault


def _read_pkcs12(bundle: Bundle, name: str, content: bytes, passphrase: str, language: str) -> None:
    for password in dict.fromkeys((passphrase.encode() or None, None, b"")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of BER, which is no fault of the client's
                found = pkcs12.load_pkcs12(content, password)
        except ValueError:
            continue
        bundle.add(
            *([found.cert.certificate] if found.cert else []), *(one.certificate for one in found.additional_certs)
        )
        if (count := _count_keys(content, password or b"")) > 1:
            bundle.faults.append(told(language, "two_keys", file=name, count=count))
        elif found.key is not None:
            bundle.add_key(found.key)
        return
    raise Locked


def _count_keys(content: bytes, password: bytes) -> int:
    """The private keys in a PKCS#12 file; the passphrase goes through a pipe."""
    for more in ([], ["-legacy"]):
        reader, writer = os.pipe()
        os.write(writer, password + b"\n")
        os.close(writer)
        command = ["openssl", "pkcs12", "-nocerts", "-nodes", "-passin", f"fd:{reader}", *more]
        try:
            done = subprocess.run(command, input=content, capture_output=True, pass_fds=(reader,), check=False)
        except OSError:
            return 1  # no OpenSSL on this machine: the key is still compared with the certificate
        finally:
            os.close(reader)
        if done.returncode == 0:
            return done.stdout.count(b"-----BEGIN ") if done.stdout else 0
    return 1
