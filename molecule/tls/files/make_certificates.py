"""Makes the files of a company's own authority: root, intermediate, and certificates with and without faults.

With a request (``FOLDER REQUEST TO``) it is the authority that sells one: it sends the certificate back as DER, and the
chain as PKCS#7.
"""

import datetime
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs7
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.UTC)


def certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey | x509.CertificateSigningRequest,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    names: tuple[str, ...] = (),
    last_day: int = 3000,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=200))
        .not_valid_after(NOW + datetime.timedelta(days=last_day))
        .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        # Python 3.13 and later refuse what has no identifiers, and an authority that does not say that it signs.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not names:
        signs = dict.fromkeys(("key_cert_sign", "crl_sign"), True)
        others = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        unused = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
        builder = builder.add_extension(x509.KeyUsage(**signs, **unused), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
    return builder.sign(issuer_key, hashes.SHA256())


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    root, middle, portal, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(4))
    names = ("portal.example.org", "www.example.org")
    made = {
        "root": certificate("Example Root", root, "Example Root", root),
        "intermediate": certificate("Example Intermediate", middle, "Example Root", root),
        "expired": certificate(names[0], portal, "Example Intermediate", middle, names=names, last_day=-1),
        "portal": certificate(names[0], portal, "Example Intermediate", middle, names=names),
    }
    made["acme"] = certificate("acme", other, "Example Intermediate", middle, names=("acme.example.org",))
    for name, key in (("portal", portal), ("other", other), ("intermediate", middle)):
        data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.key").write_bytes(data)
    for name, one in made.items():
        (folder / f"{name}.crt").write_bytes(one.public_bytes(Encoding.PEM))


def sell(folder: Path, request: Path, to: Path) -> None:
    asked = x509.load_pem_x509_csr(request.read_bytes())
    names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    )
    issuer_key = serialization.load_pem_private_key((folder / "intermediate.key").read_bytes(), None)
    made = certificate(names[0], asked, "Example Intermediate", issuer_key, names=tuple(names))
    chain = [x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes()) for name in ("root", "intermediate")]
    (to / "certificate.cer").write_bytes(made.public_bytes(Encoding.DER))
    (to / "chain.p7b").write_bytes(pkcs7.serialize_certificates(chain, Encoding.DER))


if len(sys.argv) > 2:
    sell(*map(Path, sys.argv[1:]))
else:
    main(Path(sys.argv[1]))
