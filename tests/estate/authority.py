"""A company's own certificate authority: a root, an intermediate that signs, and certificates in files."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey
Extension = tuple[x509.ExtensionType, bool]


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, signs_others: bool) -> Extension:
    return x509.KeyUsage(
        digital_signature=not signs_others,
        key_cert_sign=signs_others,
        crl_sign=signs_others,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    ), True


def _authority(below: int) -> list[Extension]:
    return [(x509.BasicConstraints(ca=True, path_length=below), True), _usage(signs_others=True)]


@dataclass(frozen=True)
class Authority:
    """Signs in the name of ``certificate``."""

    certificate: x509.Certificate
    key: Key

    @classmethod
    def root(cls, name: str) -> Authority:
        """A root of that name, which may sign authorities."""
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(_sign(_name(name), key, _name(name), key, _authority(1)), key)

    def authority(self, name: str) -> Authority:
        """An authority below this one, which may sign hosts."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Authority(self._signed(_name(name), key, _authority(0)), key)

    def host(self, folder: Path, *names: str) -> None:
        """Write ``NAME.crt`` and ``NAME.key`` (PEM) for a server with these names, called by the first of them."""
        key = ec.generate_private_key(ec.SECP256R1())
        extensions: list[Extension] = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            _usage(signs_others=False),
            (x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        ]
        (folder / f"{names[0]}.crt").write_bytes(pem(self._signed(_name(names[0]), key, extensions)))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{names[0]}.key").write_bytes(private)

    def _signed(self, subject: x509.Name, key: Key, more: list[Extension]) -> x509.Certificate:
        known = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return _sign(subject, key, self.certificate.subject, self.key, [*more, (known, False)])


def _sign(
    subject: x509.Name, key: Key, issuer: x509.Name, signer: Key, extensions: list[Extension]
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates as they stand in a file."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
