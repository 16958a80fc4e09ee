"""What authorities send back: every usual form is read, every fault named at once, in both languages."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
    pkcs12,
)
from cryptography.x509.oid import AuthorityInformationAccessOID

from encaja.certificate_bundle import read_bundle
from encaja.certificate_faults import FAULTS
from encaja.certificates import Found, examine, read_files, system_roots
from unit.test_certificates import LEAF, MIDDLE, NAMES, ROOT, Signed, name

LOCK = BestAvailableEncryption(b"secreto")
DER, PEM = Encoding.DER, Encoding.PEM
CERTIFICATES = [LEAF.certificate, MIDDLE.certificate, ROOT.certificate]


def request_of(signed: Signed) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(name(signed.subject))
    return builder.sign(signed.key, hashes.SHA256()).public_bytes(PEM)


def pfx(signed: Signed, lock: object = LOCK, *more: Signed) -> bytes:
    others = [one.certificate for one in more]
    return pkcs12.serialize_key_and_certificates(b"x", signed.key, signed.certificate, others, lock)  # type: ignore[arg-type]


def key_as(encoding: Encoding, form: PrivateFormat, lock: object = None) -> bytes:
    return LEAF.key.private_bytes(encoding, form, lock or NoEncryption())  # type: ignore[arg-type]


def _parts(der: bytes) -> list[tuple[bytes, bytes]]:
    """Elements of DER one behind the other: the whole, and its content."""
    found = []
    while der:
        size, head = der[1], 2
        if size & 0x80:
            head += size & 0x7F
            size = int.from_bytes(der[2:head], "big")
        found.append((der[: head + size], der[head : head + size]))
        der = der[head + size :]
    return found


def _element(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, *([0x80 | len(size)] if len(body) > 127 else []), *size]) + body


def pfx_of_two() -> bytes:
    """A PKCS#12 file with two keys, as some keystores are exported; no library writes one."""
    pairs = []
    for signed in (LEAF, MIDDLE):
        version, content, _ = _parts(_parts(pfx(signed, NoEncryption()))[0][1])
        kind, wrapped = _parts(content[1])
        pairs.append(_parts(_parts(_parts(wrapped[1])[0][1])[0][1]))
    contents = _element(0x30, *(whole for pair in pairs for whole, _ in pair))
    return _element(0x30, version[0], _element(0x30, kind[0], _element(0xA0, _element(0x04, contents))))


def look(files: dict[str, bytes], *, passphrase: str = "", language: str = "en", **more: object) -> Found:
    given = {"names": NAMES, "roots": [ROOT.certificate], "needs_key": True, **more}
    return examine(files, None, b"", passphrase=passphrase, language=language, **given)  # type: ignore[arg-type]


FORMS = {
    "PEM of all, root first": {
        "all.pem": b"".join(one.public_bytes(PEM) for one in reversed(CERTIFICATES)) + LEAF.key_pem
    },
    "PEM with words around": {
        "a": b"Subject: x\r\n" + LEAF.pem + b"\nBag Attributes\n" + MIDDLE.pem,
        "k": LEAF.key_pem,
    },
    "DER each": {
        "a.cer": LEAF.certificate.public_bytes(DER),
        "b.crt": MIDDLE.certificate.public_bytes(DER),
        "k.key": key_as(DER, PrivateFormat.PKCS8),
    },
    "PKCS#7 DER": {"a.p7b": pkcs7.serialize_certificates(CERTIFICATES, DER), "k": LEAF.key_pem},
    "PKCS#7 PEM": {"a.p7b": pkcs7.serialize_certificates(CERTIFICATES, PEM), "k": LEAF.key_pem},
    "PKCS#12": {"a.pfx": pfx(LEAF, LOCK, MIDDLE, ROOT)},
    "PKCS#12 without a passphrase": {"a.pfx": pfx(LEAF, NoEncryption(), MIDDLE)},
    "old key": {"a": LEAF.pem + MIDDLE.pem, "k": key_as(PEM, PrivateFormat.TraditionalOpenSSL)},
    "locked key": {"a": LEAF.pem + MIDDLE.pem, "k": key_as(PEM, PrivateFormat.PKCS8, LOCK)},
    "locked DER key": {"a": LEAF.pem + MIDDLE.pem, "k": key_as(DER, PrivateFormat.PKCS8, LOCK)},
    "with its request": {"a": LEAF.pem + MIDDLE.pem, "k": LEAF.key_pem, "r.csr": request_of(LEAF)},
    "twice the same": {"a": LEAF.pem + MIDDLE.pem, "b": LEAF.certificate.public_bytes(DER), "k": LEAF.key_pem},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_usual_form_is_put_in_order(form: str) -> None:
    found = look(FORMS[form], passphrase="secreto")
    assert found.faults == ()
    assert found.full_chain.encode() == LEAF.pem + MIDDLE.pem
    assert "ENCRYPTED" not in found.key
    assert read_bundle({"k": found.key.encode()}).keys[0].key.private_numbers() == LEAF.key.private_numbers()  # type: ignore[union-attr]


def _offering(url: str) -> Signed:
    """A certificate that says where its issuer's own is."""
    leaf = Signed("portal.example.org", MIDDLE, NAMES)
    place = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(url))
    builder = x509.CertificateBuilder(
        leaf.certificate.issuer, leaf.certificate.subject, leaf.key.public_key(), 7,
        leaf.certificate.not_valid_before_utc, leaf.certificate.not_valid_after_utc,
    )  # fmt: skip
    for one in leaf.certificate.extensions:
        builder = builder.add_extension(one.value, one.critical)
    leaf.certificate = builder.add_extension(x509.AuthorityInformationAccess([place]), False).sign(
        MIDDLE.key, hashes.SHA256()
    )
    return leaf


OFFERING = _offering("http://ca.example/middle.der")
LATER = Signed("portal.example.org", MIDDLE, NAMES, first_day=5)
OLD = Signed("portal.example.org", MIDDLE, NAMES, last_day=-1)
SHOP = Signed("shop.example.org", MIDDLE, ("shop.example.org",))
CASES = {
    "key of another": ({"a": LEAF.pem + MIDDLE.pem + SHOP.key_pem}, "other_key", "la clave es de otro certificado"),
    "expired": (
        {"a": OLD.pem + MIDDLE.pem + OLD.key_pem},
        "expired",
        f"caducó el {OLD.certificate.not_valid_after_utc.date()}",
    ),
    "not yet": ({"a": LATER.pem + MIDDLE.pem + LATER.key_pem}, "not_yet", "solo es válido desde"),
    "wrong name": (
        {"a": SHOP.pem + MIDDLE.pem + SHOP.key_pem},
        "other_name",
        "no cubre portal.example.org (cubre shop.example.org)",
    ),
    "root instead": (
        {"a": system_roots()[0].public_bytes(PEM)},
        "authority_given",
        "no el suyo: entregue el emitido a nombre de portal.example.org",
    ),
    "intermediate away": (
        {"a": OFFERING.pem + OFFERING.key_pem},
        "intermediate_missing",
        "falta el certificado de 'Middle', añádalo a la cadena (su autoridad lo ofrece en http://ca.example/middle.der)",
    ),
    "locked key": (
        {"a": LEAF.pem + MIDDLE.pem, "k.key": FORMS["locked key"]["k"]},
        "passphrase_missing",
        "k.key tiene contraseña",
    ),
    "locked PKCS#12": (FORMS["PKCS#12"], "passphrase_missing", "a.pfx tiene contraseña"),
    "two keys": ({"a.pfx": pfx_of_two()}, "two_keys", "a.pfx contiene 2 claves privadas"),
    "garbage": ({"a.crt": b"\x30\x03\x02\x01"}, "garbage", "a.crt no es un certificado ni una clave"),
    "a web page": ({"a.crt": b"<html>please log in</html>"}, "garbage", "a.crt no es un certificado ni una clave"),
    "cut PEM": ({"a.crt": LEAF.pem.replace(b"M", b"", 3)}, "garbage", "a.crt no es un certificado"),
    "nothing": ({}, "no_certificate", "no contiene ningún certificado"),
    "no key": ({"a": LEAF.pem + MIDDLE.pem}, "no_key", "falta la clave privada"),
    "the request": ({"r.csr": request_of(LEAF)}, "only_request", "r.csr es la solicitud"),
}


def _begins(fault: str) -> str:
    """The words of a fault before and between its values, the longest."""
    return max(FAULTS[fault][0].replace("}", "{").split("{")[::2], key=len)


@pytest.mark.parametrize("case", CASES)
def test_each_fault_is_named_in_both_languages(case: str) -> None:
    files, fault, spanish = CASES[case]
    found = look(files)
    assert _begins(fault) in "; ".join(found.faults)
    assert spanish in "; ".join(look(files, language="es").faults)
    assert len(look(files, language="es").faults) == len(found.faults)
    if fault != "two_keys":  # whose second certificate is an authority's
        assert len(found.faults) == 1


def test_a_wrong_passphrase_is_named_and_never_shown() -> None:
    for form in ("PKCS#12", "locked key"):
        found = look(FORMS[form], passphrase="falsa")
        assert "does not open" in found.faults[0]
        assert "falsa" not in repr(found)


def test_all_faults_of_all_files_are_told_at_once() -> None:
    files = {"a": OLD.pem, "b.p7b": b"\x30\x80garbage", "k": FORMS["locked key"]["k"]}
    found = look(files, names=("crm.example.org",))
    words = ("b.p7b is neither", "k has a passphrase", "does not cover", "expired", "'Middle' is missing")
    assert [any(word in fault for fault in found.faults) for word in words] == [True] * len(words)


def test_a_certificate_for_the_host_s_request_needs_no_key_here() -> None:
    files = {"a.p7b": pkcs7.serialize_certificates(CERTIFICATES, DER)}
    found = look(files, request=request_of(LEAF), needs_key=False)
    assert (found.faults, found.key) == ((), "")
    other = look(files, request=request_of(MIDDLE), needs_key=False)
    assert other.faults == ("was not made for the host's request: its key is another one (send the .csr file again)",)


def test_last_year_s_certificate_in_the_same_folder_does_no_harm() -> None:
    found = look({"1-old": OLD.pem, "2-new": LEAF.pem + MIDDLE.pem}, request=request_of(LEAF), needs_key=False)
    assert (found.faults, found.full_chain.encode()) == ((), LEAF.pem + MIDDLE.pem)


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "leaf.crt").write_bytes(LEAF.pem)
    (tmp_path / ".hidden").write_bytes(b"x")
    assert read_files(str(tmp_path)) == {"leaf.crt": LEAF.pem}


def test_both_languages_take_the_same_values() -> None:
    for english, spanish in FAULTS.values():
        values = [sorted(part.split("}")[0] for part in words.split("{")[1:]) for words in (english, spanish)]
        assert values[0] == values[1]
