from __future__ import annotations

import datetime
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from encaja.certificates import Authority, CertificateError, Found, covers, examine, read_pem, system_roots

NOW = datetime.datetime.now(datetime.UTC)
NAMES = ("portal.example.org",)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class Signed:
    """A certificate with its key, signed by another (or by itself)."""

    subject: str
    issuer: Signed | None = None
    names: tuple[str, ...] = ()
    first_day: int = -100
    last_day: int = 100
    usage: x509.ObjectIdentifier | None = None
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        above = self.issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(self.subject))
            .issuer_name(name(above.subject))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + datetime.timedelta(days=self.first_day))
            .not_valid_after(NOW + datetime.timedelta(days=self.last_day))
        )
        if self.names:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in self.names]), False)
        if self.usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([self.usage]), False)
        self.certificate = builder.sign(above.key, hashes.SHA256())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


ROOT = Signed("Root", last_day=4000)
MIDDLE = Signed("Middle", ROOT, last_day=2000)
LEAF = Signed("portal.example.org", MIDDLE, names=NAMES)


def look(leaf: Signed = LEAF, key: bytes | None = None, chain: bytes = MIDDLE.pem, **changes: object) -> Found:
    given = {"names": NAMES, "roots": [ROOT.certificate], **changes}
    return examine(leaf.pem, leaf.key_pem if key is None else key, chain, **given)  # type: ignore[arg-type]


def test_a_good_certificate_has_no_fault() -> None:
    found = look()
    assert found.faults == ()
    assert found.warnings == ()
    assert found.names == NAMES
    assert found.issuer == "Middle"


def test_the_chain_is_put_in_order_and_goes_without_the_root() -> None:
    low = Signed("Low", MIDDLE)
    leaf = Signed("portal.example.org", low, names=NAMES)
    found = look(leaf, chain=ROOT.pem + MIDDLE.pem + low.pem)
    assert found.faults == ()
    assert found.full_chain.encode() == leaf.pem + low.pem + MIDDLE.pem


def test_a_chain_behind_the_certificate_in_one_file_is_enough() -> None:
    found = examine(LEAF.pem + MIDDLE.pem, LEAF.key_pem, b"", names=NAMES, roots=[ROOT.certificate])
    assert found.faults == ()


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (look(key=MIDDLE.key_pem), "the key belongs to another certificate"),
        (look(key=b"nonsense"), "the key is neither a certificate nor a key in a known form"),
        (look(names=("crm.example.org",)), "does not cover crm.example.org"),
        (look(chain=b""), "the certificate of 'Middle' is missing"),
        (look(roots=[]), "the certificate of 'Root' is missing"),
        (look(chain=MIDDLE.pem + ROOT.pem, roots=[]), "the root 'Root' is not in the trust store"),
        (look(Signed("portal.example.org", names=NAMES), chain=b""), "signed by itself"),
        (look(Signed("portal.example.org", MIDDLE, NAMES, last_day=-1)), "expired on"),
        (look(Signed("portal.example.org", MIDDLE, NAMES, first_day=5)), "is valid from"),
        (look(Signed("portal.example.org", MIDDLE)), "it covers no name at all"),
        (look(Signed("portal.example.org", MIDDLE, NAMES, usage=ExtendedKeyUsageOID.CLIENT_AUTH)), "not for servers"),
        (look(Signed("a", MIDDLE, NAMES, key=rsa.generate_private_key(65537, 1024))), "1024 bits"),
    ],
)
def test_each_fault_is_named(found: Found, fault: str) -> None:
    assert len(found.faults) == 1
    assert fault in found.faults[0]


def test_all_faults_are_told_at_once() -> None:
    old = Signed("x", MIDDLE, ("other.example.org",), last_day=-3)
    assert len(look(old, key=ROOT.key_pem, chain=b"").faults) == 4


def test_a_key_with_a_passphrase_is_refused_because_no_service_could_start() -> None:
    locked = LEAF.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    assert "passphrase" in look(key=locked).faults[0]


def test_an_issuers_name_alone_does_not_make_a_chain() -> None:
    impostor = Signed("Middle", ROOT)
    assert any("'Middle' is missing" in fault for fault in look(chain=impostor.pem).faults)


def test_an_intermediate_that_expired_is_a_fault() -> None:
    old = Signed("Old", ROOT, last_day=-1)
    found = look(Signed("portal.example.org", old, NAMES), chain=old.pem)
    assert found.faults == (f"the intermediate 'Old' expired on {old.certificate.not_valid_after_utc:%Y-%m-%d}",)


def test_an_end_that_is_near_is_a_warning() -> None:
    found = look(Signed("portal.example.org", MIDDLE, NAMES, last_day=10))
    assert found.faults == ()
    assert "expires in" in found.warnings[0]


def test_what_is_no_certificate_is_said_to_be_none() -> None:
    assert "is neither a certificate nor a key" in examine(b"x", None, b"", names=NAMES, roots=[]).faults[0]


@pytest.mark.parametrize(
    ("pattern", "host", "is_covered"),
    [
        ("*.example.org", "portal.example.org", True),
        ("*.example.org", "a.portal.example.org", False),
        ("*.example.org", "example.org", False),
        ("Portal.Example.org", "portal.example.ORG", True),
        ("portal.example.org", "portal.example.com", False),
    ],
)
def test_a_star_stands_for_one_label(pattern: str, host: str, is_covered: bool) -> None:
    assert covers(pattern, host) is is_covered


AUTHORITY = Authority(ROOT.certificate, ROOT.key)


def test_the_authority_signs_what_a_client_accepts() -> None:
    pem = AUTHORITY.issue(LEAF.public_pem, ["portal.example.org", "192.0.2.1"], 90)
    found = examine(
        pem.encode(), LEAF.key_pem, b"", names=["portal.example.org", "192.0.2.1"], roots=[ROOT.certificate]
    )
    assert found.faults == ()
    assert AUTHORITY.reason_to_renew(pem, LEAF.public_pem.decode(), ["192.0.2.1", "portal.example.org"], 30, 90) == ""


def test_the_days_of_a_signed_certificate_are_those_of_all_its_life() -> None:
    signed = x509.load_pem_x509_certificate(AUTHORITY.issue(LEAF.public_pem, NAMES, 365).encode())
    assert signed.not_valid_after_utc - signed.not_valid_before_utc == datetime.timedelta(days=365)


def test_the_authority_signs_for_no_longer_than_it_lives() -> None:
    pem = AUTHORITY.issue(LEAF.public_pem, NAMES, 100000)
    assert x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc == ROOT.certificate.not_valid_after_utc


@pytest.mark.parametrize(
    ("present", "names", "renew_days", "reason"),
    [
        ("", NAMES, 30, "none yet"),
        ("nonsense", NAMES, 30, "cannot be read"),
        (LEAF.pem.decode(), NAMES, 30, "of 'Middle'"),
        (AUTHORITY.issue(MIDDLE.public_pem, NAMES, 90), NAMES, 30, "key is another"),
        (AUTHORITY.issue(LEAF.public_pem, ["old.example.org"], 90), NAMES, 30, "is for old.example.org"),
        (AUTHORITY.issue(LEAF.public_pem, NAMES, 90), NAMES, 91, "ends in"),
        (AUTHORITY.issue(LEAF.public_pem, NAMES, 397), NAMES, 30, "is valid for 397 days, more than 365"),
    ],
)
def test_it_says_why_it_signs_anew(present: str, names: tuple[str, ...], renew_days: int, reason: str) -> None:
    assert reason in AUTHORITY.reason_to_renew(present, LEAF.public_pem.decode(), names, renew_days, 365)


def test_an_authority_whose_files_do_not_belong_together_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(ROOT.pem)
    (tmp_path / "ca.key").write_bytes(MIDDLE.key_pem)
    with pytest.raises(CertificateError, match="does not fit"):
        Authority.load(str(tmp_path / "ca.crt"), str(tmp_path / "ca.key"))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(CertificateError, match=r"portal\.crt: cannot be read"):
        read_pem("/nonexistent/portal.crt")


def test_an_authority_that_has_expired_signs_nothing() -> None:
    old = Signed("Old", first_day=-20, last_day=-1)
    with pytest.raises(CertificateError, match=r"the authority expired on \d{4}-\d\d-\d\d \(make a new one"):
        Authority.load(old.pem.decode(), old.key_pem.decode())


def test_roots_of_this_machine_are_read_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert isinstance(system_roots(), list)


def test_root_that_cannot_be_read_takes_no_other_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = next(iter(Path("/etc/ssl/certs").glob("*.pem"))).read_bytes()
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    store = tmp_path / "roots.crt"
    store.write_bytes(good + broken + good)
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    assert len(system_roots()) == 2
