"""Authorities of the lab and of tests. A real estate brings certificates that the world trusts."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from encaja.certificates import CLOCK_SLACK, Authority

DAYS = 3650


def ensure(folder: Path, name: str, *, above: Authority | None = None, below: int = 0) -> Authority:
    """Make ``ca.key`` and ``ca.crt`` (PEM, P-256, ten years) in ``folder`` unless they are there, and load them.

    Args:
        folder: where they are.
        name: the authority's name.
        above: the authority that signs it; itself without one.
        below: how many authorities may stand between it and a host.
    """
    key_path, certificate_path = folder / "ca.key", folder / "ca.crt"
    if not (key_path.exists() and certificate_path.exists()):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        _write_key(key_path, key)
        certificate_path.write_bytes(_sign(name, key, above, below).public_bytes(Encoding.PEM))
    return Authority.load(str(certificate_path), str(key_path))


def ensure_host(folder: Path, authority: Authority, *names: str, days: int = 365) -> bool:
    """Make ``NAME.key`` and ``NAME.crt`` for a server with these names, called by the first of them.

    Returns:
        Whether they were made; False where they are there.
    """
    key_path, certificate_path = folder / f"{names[0]}.key", folder / f"{names[0]}.crt"
    if key_path.exists() and certificate_path.exists():
        return False
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(key_path, key)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    certificate_path.write_text(authority.issue(public, names, days))
    return True


def _sign(name: str, key: ec.EllipticCurvePrivateKey, above: Authority | None, below: int) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = above.key if above else key
    now = datetime.datetime.now(datetime.UTC)
    end = now + datetime.timedelta(days=DAYS)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(above.certificate.subject if above else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SLACK)
        .not_valid_after(min(end, above.certificate.not_valid_after_utc) if above else end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=below), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
