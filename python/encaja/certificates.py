"""Certificates: checking a set of files before it is installed, and signing by a private authority.

The checks are those that a browser, a mobile application or a telephone would fail on: the key fits, the names cover
the host, the dates hold, and the chain leads to an authority that clients know. All faults are reported together.
"""

from __future__ import annotations

import datetime
import functools
import ipaddress
import re
import ssl
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from encaja.certificate_bundle import Bundle, read_bundle
from encaja.certificate_faults import told
from encaja.errors import ConfigurationError

SIGNERS = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)
Signer: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

KIND: Final = "certificates"
MINIMUM_RSA_BITS = 2048
WEAK_HASHES = ("md5", "sha1")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)
_REQUEST = re.compile(
    rb"-----BEGIN (?:NEW )?CERTIFICATE REQUEST-----.+?-----END (?:NEW )?CERTIFICATE REQUEST-----", re.S
)
CLOCK_SLACK = datetime.timedelta(minutes=5)


class CertificateError(ConfigurationError):
    """Certificate files that cannot be used."""


@dataclass(frozen=True)
class Found:
    """The result of a check: the chain to install, its faults and warnings.

    Attributes:
        full_chain: PEM of the certificate and its intermediates in order, without the root; empty if there is none.
        key: its private key, PEM without a passphrase; empty where it was not given.
        faults: what has to be fixed before it can be installed, a clause each.
        warnings: what will become a fault.
        names: host names and addresses that the certificate covers.
        issuer: who signed it.
        expires: last moment of its validity, UTC.
    """

    full_chain: str = ""
    key: str = field(default="", repr=False)
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    issuer: str = ""
    expires: datetime.datetime | None = None

    def facts(self, name: str) -> dict[str, Any]:
        """What it is: its name, the names that it covers, issuer, last day and the days that are left."""
        left = (self.expires - datetime.datetime.now(datetime.UTC)).days if self.expires else None
        return {
            "name": name,
            "names": list(self.names),
            "issuer": self.issuer,
            "expires": self.expires.date().isoformat() if self.expires else None,
            "days_left": left,
        }

    def as_row(self, name: str) -> dict[str, Any]:
        """What it is and what is wrong with it, for tables and programs (kind ``certificates``)."""
        return {**self.facts(name), "faults": list(self.faults), "warnings": list(self.warnings)}


def read_pem(given: str) -> bytes:
    """Return what is given either as PEM text or as the path of a file in any form.

    Raises:
        CertificateError: the file cannot be read.
    """
    return b"\n".join(read_files(given).values())


def read_files(given: str) -> dict[str, bytes]:
    """Return what is given as PEM text, as the path of a file, or as a folder of files: name to content.

    Raises:
        CertificateError: a file cannot be read.
    """
    if "-----BEGIN" in given:
        return {"the certificate": given.encode()}
    path = Path(given).expanduser()
    try:
        if not path.is_dir():
            return {path.name: path.read_bytes()}
        listed = sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith("."))
        return {one.name: one.read_bytes() for one in listed}
    except OSError as fault:
        where = str(fault.filename or path)
        raise CertificateError(f"cannot be read: {fault.strerror}", where, "give the path of a file") from fault


def common_name(name: x509.Name) -> str:
    """Return the common name, or the whole distinguished name where there is none."""
    values = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(values[0].value) if values else name.rfc4514_string()


def covered_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the host names and addresses of a certificate (subjectAltName only, as clients do)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    return (*names.get_values_for_type(x509.DNSName), *addresses)


def covers(pattern: str, name: str) -> bool:
    """Whether a certificate's name is the host's, with ``*`` standing for one whole first label (RFC 6125)."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if pattern.startswith("*."):
        return "." in name and name.split(".", 1)[1] == pattern[2:]
    return pattern == name


def system_roots() -> list[x509.Certificate]:
    """Return the authorities that this machine trusts, less those that the library cannot read."""
    found = ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
    path = Path(found)
    return [root for pem in _PEM.findall(path.read_bytes()) for root in _root(pem)] if path.is_file() else []


def _root(pem: bytes) -> list[x509.Certificate]:
    """A root of the trust store. Several in use have the serial number 0, which is not worth a warning."""
    known = "Parsed a serial number which wasn't positive"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", known, CryptographyDeprecationWarning)
        try:
            return [x509.load_pem_x509_certificate(pem)]
        except ValueError:
            return []


def authorities(pem: bytes, where: str) -> dict[str, str]:
    """Authorities that hosts have to trust: the PEM of each by a unique name.

    Args:
        pem: one or several certificates.
        where: what was given, for messages.

    Raises:
        CertificateError: it is no certificate, or not an authority's, or no longer valid; all of it at once.
    """
    try:
        given = x509.load_pem_x509_certificates(pem)
    except ValueError as fault:
        raise CertificateError("is no PEM certificate", where, "give the authority's own certificate") from fault
    found: dict[str, str] = {}
    faults = []
    for certificate in given:
        name = common_name(certificate.subject)
        try:
            is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            is_authority = certificate.issuer == certificate.subject
        if not is_authority:
            faults.append(f"'{name}' is no authority's certificate")
        elif certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
            faults.append(f"'{name}' expired on {certificate.not_valid_after_utc.date()}")
        short = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
        digest = certificate.fingerprint(hashes.SHA256()).hex()[:8]
        found["-".join(filter(None, ("encaja", short, digest)))] = certificate.public_bytes(Encoding.PEM).decode()
    if faults:
        raise CertificateError("; ".join(faults), where, "give the root that signed the certificates")
    return found


def examine(
    certificate: bytes | Mapping[str, bytes],
    key: bytes | None,
    chain: bytes,
    *,
    names: Sequence[str],
    roots: Iterable[x509.Certificate],
    renew_days: int = 30,
    now: datetime.datetime | None = None,
    passphrase: str = "",
    request: bytes = b"",
    needs_key: bool = False,
    language: str = "en",
) -> Found:
    """Check a certificate with its key and chain as a client would, and report everything that is wrong.

    Args:
        certificate: the certificate in any usual form, with or without its chain; or several files, name to content.
        key: its private key; None where it is in ``certificate``, stays on the host, or is left out of the checks.
        chain: intermediate certificates, in any order; may be empty.
        names: host names that have to be covered.
        roots: authorities that clients trust.
        renew_days: a certificate that ends within as many days is warned about.
        now: the moment to check for, in place of the present one.
        passphrase: of the key or of a PKCS#12 file.
        request: the certificate requests of a host that keeps the key, PEM, the newest first.
        needs_key: whether a key has to be given, be it in ``key`` or in ``certificate``.
        language: of faults and warnings.

    Raises:
        CertificateError: ``request`` is no request.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    say = functools.partial(told, language)
    files = {"the certificate": certificate} if isinstance(certificate, bytes) else dict(certificate)
    more = {"the key": key or b"", "the chain": chain}
    files |= {name: content for name, content in more.items() if content.strip()}
    bundle = read_bundle(files, passphrase, language)
    asked = requested_keys(request) if request else []
    keys = [one.key.public_key() for one in bundle.keys]
    leaf = _leaf(bundle.certificates, asked or keys, names)
    if leaf is None:
        return Found(faults=(*bundle.faults, *_no_leaf(bundle, files, names, say)))
    covered = covered_names(leaf)
    own_key = next((one for one in bundle.keys if _spki(one.key.public_key()) == _spki(leaf.public_key())), None)
    faults = [
        *bundle.faults,
        *_key_faults(leaf, bundle, asked, needs_key=needs_key, say=say),
        *_name_faults(covered, names, say),
        *_use_faults(leaf, say),
    ]
    rest = [one for one in bundle.certificates if one != leaf]
    above, chain_faults = _chain(leaf, rest, list(roots), now, say)
    date_faults, warnings = _dates(leaf, renew_days, now, say)
    full_chain = b"".join(item.public_bytes(Encoding.PEM) for item in above).decode()
    return Found(
        full_chain=full_chain,
        key=own_key.pem if own_key else "",
        faults=(*faults, *date_faults, *chain_faults),
        warnings=tuple(warnings),
        names=covered,
        issuer=common_name(leaf.issuer),
        expires=leaf.not_valid_after_utc,
    )


def requested_keys(requests: bytes) -> list[object]:
    """The public keys of certificate requests, PEM one behind the other.

    Raises:
        CertificateError: one is none, or there is none.
    """
    try:
        found = [x509.load_pem_x509_csr(one).public_key() for one in _REQUEST.findall(requests)]
    except (ValueError, UnsupportedAlgorithm):
        found = []
    if not found:
        hint = "run 'encaja certificate request' again"
        raise CertificateError("is no PEM certificate request", "the request", hint)
    return list(found)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _leaf(given: Sequence[x509.Certificate], keys: Sequence[object], names: Sequence[str]) -> x509.Certificate | None:
    """The server's own certificate: that of the key, else one that covers the names, else one that signed no other."""
    known = [_spki(key) for key in keys]
    own = [
        one
        for one in given
        if not _is_authority(one) and not any(signed_by(other, one) for other in given if other != one)
    ]
    fits = [one for key in known for one in own if _spki(one.public_key()) == key]
    named = [one for one in own if names and not _missing(covered_names(one), names)]
    return next(iter([*fits, *named, *own]), None)


def _no_leaf(bundle: Bundle, files: Mapping[str, bytes], names: Sequence[str], say: Callable[..., str]) -> list[str]:
    if bundle.certificates:
        wanted = ", ".join(names) or "the host"
        return [say("authority_given", name=common_name(bundle.certificates[0].subject), wanted=wanted)]
    if bundle.requests:
        return [say("only_request", files=", ".join(bundle.requests))]
    return [] if bundle.faults else [say("no_certificate", files=", ".join(files))]


def _key_faults(
    leaf: x509.Certificate, bundle: Bundle, asked: Sequence[object], *, needs_key: bool, say: Callable[..., str]
) -> list[str]:
    own = leaf.public_key()
    faults = []
    if asked:
        faults = [] if _spki(own) in map(_spki, asked) else [say("other_request")]
    elif bundle.keys and all(_spki(one.key.public_key()) != _spki(own) for one in bundle.keys):
        faults = [say("other_key")]
    elif needs_key and not bundle.keys and not bundle.faults:
        faults = [say("no_key")]
    if not faults and isinstance(own, rsa.RSAPublicKey) and own.key_size < MINIMUM_RSA_BITS:
        faults = [say("key_short", bits=own.key_size, minimum=MINIMUM_RSA_BITS)]
    return faults


def _spki(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def _missing(covered: Sequence[str], names: Sequence[str]) -> list[str]:
    return [name for name in names if not any(covers(pattern, name) for pattern in covered)]


def _name_faults(covered: Sequence[str], names: Sequence[str], say: Callable[..., str]) -> list[str]:
    missing = _missing(covered, names)
    if not missing:
        return []
    return [say("other_name", missing=", ".join(missing), covered=", ".join(covered) or say("no_name"))]


def _use_faults(leaf: x509.Certificate, say: Callable[..., str]) -> list[str]:
    faults = []
    try:
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if ExtendedKeyUsageOID.SERVER_AUTH not in uses:
            faults.append(say("not_for_servers"))
    except x509.ExtensionNotFound:
        pass
    algorithm = leaf.signature_hash_algorithm
    if algorithm is not None and algorithm.name in WEAK_HASHES:
        faults.append(say("weak_signature", algorithm=algorithm.name))
    return faults


def _dates(
    leaf: x509.Certificate, renew_days: int, now: datetime.datetime, say: Callable[..., str]
) -> tuple[list[str], list[str]]:
    end = leaf.not_valid_after_utc
    if end <= now:
        return [say("expired", day=end.date())], []
    if leaf.not_valid_before_utc > now + CLOCK_SLACK:
        return [say("not_yet", day=f"{leaf.not_valid_before_utc:%Y-%m-%d %H:%M}")], []
    left = (end - now).days
    return [], [say("ends_soon", days=left, day=end.date())] if left < renew_days else []


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ``issuer`` signed ``certificate``."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _chain(
    leaf: x509.Certificate,
    given: list[x509.Certificate],
    roots: list[x509.Certificate],
    now: datetime.datetime,
    say: Callable[..., str],
) -> tuple[list[x509.Certificate], list[str]]:
    """Order the given certificates from the leaf upwards; the chain has to end below a known root."""
    by_subject: dict[x509.Name, list[x509.Certificate]] = {}
    for root in roots:
        by_subject.setdefault(root.subject, []).append(root)
    chain = [leaf]
    faults: list[str] = []
    while True:
        top = chain[-1]
        if any(signed_by(top, root) for root in by_subject.get(top.issuer, [])):
            return chain, faults
        above = next((item for item in given if item not in chain and signed_by(top, item)), None)
        if above is None:
            break
        if above.not_valid_after_utc <= now:
            name = common_name(above.subject)
            faults.append(say("intermediate_expired", name=name, day=above.not_valid_after_utc.date()))
        chain.append(above)
    top = chain[-1]
    if top.issuer != top.subject:
        urls = _issuer_urls(top)
        offered = say("offered_at", url=urls[0]) if urls else ""
        faults.append(say("intermediate_missing", name=common_name(top.issuer), offered=offered))
    elif len(chain) == 1:
        faults.append(say("own_signature"))
    else:
        faults.append(say("root_unknown", name=common_name(top.subject)))
    return chain, faults


def _issuer_urls(certificate: x509.Certificate) -> list[str]:
    """Where the issuer's own certificate is offered (RFC 5280, 4.2.2.1)."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return []
    return [
        one.access_location.value
        for one in access
        if one.access_method == AuthorityInformationAccessOID.CA_ISSUERS
        and isinstance(one.access_location, x509.UniformResourceIdentifier)
    ]


@dataclass(frozen=True)
class Authority:
    """A private authority that signs certificates for the estate's hosts."""

    certificate: x509.Certificate
    key: Signer

    @classmethod
    def load(cls, certificate: str, key: str) -> Authority:
        """Read an authority from two PEM files (or PEM texts).

        Raises:
            CertificateError: a file cannot be read, is not PEM, the two do not belong together, or it has expired.
        """
        try:
            read = x509.load_pem_x509_certificate(read_pem(certificate))
            signer = serialization.load_pem_private_key(read_pem(key), password=None)
        except (ValueError, TypeError) as fault:
            raise CertificateError(
                "the authority's certificate or key is not PEM without a passphrase",
                certificate,
                "see tls_ca_certificate",
            ) from fault
        if not isinstance(signer, SIGNERS) or _spki(signer.public_key()) != _spki(read.public_key()):
            raise CertificateError("the authority's key does not fit its certificate", certificate, "see tls_ca_key")
        end = read.not_valid_after_utc
        if end <= datetime.datetime.now(datetime.UTC):
            raise CertificateError(
                f"the authority expired on {end:%Y-%m-%d}", certificate, "make a new one, see tls_ca_certificate"
            )
        return cls(read, signer)

    def issue(self, public_key_pem: bytes, names: Sequence[str], days: int) -> str:
        """Sign a certificate for a public key, and return its PEM.

        Args:
            public_key_pem: the host's public key; its private key never leaves the host.
            names: host names and addresses to cover; the first is the subject.
            days: days of validity in all, never beyond the authority's own.
        """
        public_key = serialization.load_pem_public_key(public_key_pem)
        if not isinstance(public_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
            raise CertificateError("the host's key is of a kind that servers do not use", names[0])
        begin = datetime.datetime.now(datetime.UTC) - CLOCK_SLACK
        end = min(begin + datetime.timedelta(days=days), self.certificate.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])]))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
        )
        is_edwards = isinstance(self.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        signed = builder.sign(self.key, None if is_edwards else hashes.SHA256())
        return signed.public_bytes(Encoding.PEM).decode()

    def reason_to_renew(
        self, certificate_pem: str, public_key_pem: str, names: Sequence[str], renew_days: int, days: int
    ) -> str:
        """Why a host's present certificate has to be renewed, for ``days`` in all; empty where it is good."""
        try:
            present = x509.load_pem_x509_certificate(certificate_pem.encode())
        except ValueError:
            return "the present one cannot be read" if certificate_pem.strip() else "there is none yet"
        if not signed_by(present, self.certificate):
            return f"the present one is of '{common_name(present.issuer)}'"
        if _spki(present.public_key()) != _spki(serialization.load_pem_public_key(public_key_pem.encode())):
            return "the host's key is another one"
        if set(covered_names(present)) != {str(name) for name in names}:
            return f"the present one is for {', '.join(covered_names(present))}"
        whole = (present.not_valid_after_utc - present.not_valid_before_utc).days
        left = (present.not_valid_after_utc - datetime.datetime.now(datetime.UTC)).days
        if left < renew_days:
            return f"the present one ends in {left} days"
        return f"the present one is valid for {whole} days, more than {days}" if whole > days else ""


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
