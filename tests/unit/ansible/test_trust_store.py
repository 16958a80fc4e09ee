"""What a host trusts is what is given, also after a run that was cut off."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ansible_collections.encaja.portal.plugins.module_utils import trusted_roots as trust_store
from encaja.certificates import CertificateError, authorities


def authority(name: str, *, ca: bool = True, days: int = 30) -> str:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=90))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


class Host:
    """Debian's directories, and a program that makes the store as Debian's does."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.given, self.store = folder / "given", folder / "store"
        self.given.mkdir()
        self.store.mkdir()
        self.runs: list[list[str]] = []
        self.dies = False
        monkeypatch.setattr(trust_store.subprocess, "run", self.update)

    def update(self, command: list[str], **_: object) -> None:
        self.runs.append(command)
        if self.dies:
            raise subprocess.CalledProcessError(1, command, stderr="no space left")
        if "--fresh" in command:
            for link in list(self.store.iterdir()):
                if link.is_symlink():
                    link.unlink()
        for path in sorted(self.given.rglob("*.crt")):
            link = self.store / f"{path.stem}.pem"
            if not link.is_symlink():
                link.symlink_to(path)
        bundle = "".join(path.read_text() for path in sorted(self.given.rglob("*.crt")))
        (self.store / "ca-certificates.crt").write_text(bundle)

    def trusts(self) -> int:
        return len(trust_store.certificates(trust_store.read(self.store / "ca-certificates.crt")))

    def converge(self, *roots: str, check: bool = False) -> bool:
        files = {f"encaja/{name}.crt": pem for root in roots for name, pem in authorities(root.encode(), "x").items()}
        return bool(trust_store.converge(self.given, "encaja", files, check, self.store)["changed"])


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_listed_authorities_are_trusted_and_removed_ones_are_not(host: Host) -> None:
    one, other = authority("Acme Root"), authority("Acme Root 2")
    (host.given / "own.crt").write_text(authority("somebody's own"))
    assert host.converge(one, other, check=True)
    assert host.runs == []
    assert host.converge(one, other)
    assert host.trusts() == 3
    assert not host.converge(one, other)
    assert host.converge(one)
    assert host.trusts() == 2
    assert host.converge()
    assert host.trusts() == 1, "what somebody placed by hand is not ours"
    assert not host.converge()
    assert not host.converge(check=True)
    assert len(host.runs) == 3


@pytest.mark.parametrize("before", [[], ["Acme Old"]])
@pytest.mark.fault("interrupt: controller", "provision", "between root certificates and the list made of them")
def test_an_interrupted_run_is_completed(host: Host, before: list[str]) -> None:
    old = [authority(name) for name in before]
    host.converge(*old)
    new = [] if old else [authority("Acme Root")]
    host.dies = True
    with pytest.raises(subprocess.CalledProcessError):
        host.converge(*new)
    host.dies = False
    assert host.converge(*new)
    assert host.trusts() == len(new)
    assert not host.converge(*new)


@pytest.mark.parametrize(
    ("pem", "said"),
    [
        (authority("www.acme.es", ca=False), "'www.acme.es' is no authority's certificate"),
        (authority("Acme Root", days=-1), "'Acme Root' expired on"),
        ("-----BEGIN NOTHING-----", "is no PEM certificate"),
    ],
)
def test_a_certificate_that_is_not_an_authority_is_refused(pem: str, said: str) -> None:
    with pytest.raises(CertificateError, match=said) as fault:
        authorities(pem.encode(), "files/root.crt")
    assert "files/root.crt" in str(fault.value)


def test_several_in_one_file_have_different_names() -> None:
    found = authorities((authority("Ácme Root") + authority("Ácme Root")).encode(), "x")
    assert len(found) == 2
    assert all(name.startswith("encaja-cme-root-") for name in found)
