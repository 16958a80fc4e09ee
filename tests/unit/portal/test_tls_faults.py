"""Why a connection was not made, told by codes: with servers whose certificates are wrong, and in other languages."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from encaja.errors import EncajaError
from encaja.portal import checks_case, pull, tls_faults, verify
from encaja.portal.copy_state import CopyState
from encaja.restore.errors import BackupError
from encaja.restore.fetch.links import Link
from encaja.restore.fetch.options import FetchOptions
from encaja.restore.fetch.probe import Probe

Server = Callable[..., int]


def made(folder: Path, *, own: bool, days: int, name: str) -> Path:
    """A certificate with its key in one file: of an authority that nobody knows, or signed by itself."""
    now = datetime.datetime.now(datetime.UTC)
    key, root = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer = subject if own else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme Root")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=90))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key if own else root, hashes.SHA256())
    )
    path = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Starts a TLS server with such a certificate; returns its port."""
    opened: list[socket.socket] = []

    def start(*, own: bool = False, days: int = 30, name: str = "localhost") -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made(tmp_path, own=own, days=days, name=name))
        listening = socket.create_server(("127.0.0.1", 0))
        opened.append(listening)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    if listening.fileno() < 0:
                        return

        threading.Thread(target=serve, daemon=True).start()
        return int(listening.getsockname()[1])

    yield start
    for listening in opened:
        listening.close()


def trusting(port: int, name: str = "localhost") -> ssl.SSLContext:
    """A client's context that trusts whatever this server shows."""
    return ssl.create_default_context(cadata=ssl.get_server_certificate(("127.0.0.1", port)))


CASES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "certificate: this host does not trust its authority", "name its root in tls_trusted"),
    ({"own": True}, "certificate: it is signed by itself", "give one of an authority"),
    ({"own": True, "days": -1}, "certificate: it is not valid today", "renew it"),
    ({"own": True, "name": "other.example"}, "certificate: it does not cover localhost", "give one that does"),
]


@pytest.mark.parametrize(("wrong", "said", "hint"), CASES)
def test_a_web_socket_says_that_it_is_the_certificate(server: Server, wrong: Any, said: str, hint: str) -> None:
    port = server(**wrong)
    context = trusting(port) if {"days", "name"} & wrong.keys() else None
    with pytest.raises(EncajaError) as fault:
        pull.WebSocket(f"wss://localhost:{port}/", "127.0.0.1", context=context)
    assert fault.value.what.startswith(said)
    assert fault.value.hint.startswith(hint)
    assert "nginx" not in fault.value.hint


def test_a_name_that_is_unknown_and_a_port_that_is_closed_are_no_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EncajaError, match="nothing listens there"), socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
        closed.close()
        pull.WebSocket(f"wss://localhost:{port}/", "127.0.0.1")

    def unknown(*_: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Nombre o servicio desconocido")

    monkeypatch.setattr(socket, "create_connection", unknown)
    with pytest.raises(EncajaError, match="the name does not resolve on this host") as fault:
        pull.WebSocket("wss://crm.acme.es/")
    assert "base_hosts" in fault.value.hint


def test_a_fetch_gives_up_at_once_and_says_what_to_trust(server: Server) -> None:
    link = Link(f"https://localhost:{server()}/backup.tar.gz")
    options = FetchOptions(patience_seconds=600)
    with httpx.Client(verify=ssl.create_default_context()) as client, pytest.raises(BackupError) as fault:
        Probe(client, link, options).look(Path("/nowhere"), None)
    assert fault.value.what == "certificate: this host does not trust its authority"
    assert "tls_trusted" in fault.value.hint


def test_a_database_s_certificate_is_told_through_all_that_is_wrapped_around_it() -> None:
    inner = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] ошибка проверки сертификата")
    inner.verify_code = 20
    fault = pymysql.OperationalError(2003, "No se puede conectar")
    fault.original_exception = inner  # type: ignore[attr-defined]
    found = tls_faults.connection_fault(fault, "db.acme.es", "see mariadb.service")
    assert str(found).startswith("db.acme.es: certificate: this host does not trust its authority (name its root")
    assert tls_faults.connection_fault(pymysql.OperationalError(2003, "x"), "db", "see it").hint == "see it"


def test_verification_names_the_certificate_and_its_cure() -> None:
    inner = ssl.SSLCertVerificationError(1, "x")
    inner.verify_code = 62

    def get(*_: Any, **__: Any) -> Any:
        raise inner

    policy = SimpleNamespace(domain="crm.acme.es", scheme="https")
    section = {"push": "Y", "path_to_mobile_listener_secure": "https://#DOMAIN#:8894/bitrix/sub/"}
    portal = SimpleNamespace(section=lambda _: section, options={}, state=dict, has=lambda *_: False)
    copy = CopyState(False, "", "")
    scene: Any = SimpleNamespace(portal=portal, policy=policy, get=get, unreached={}, is_private=False, copy=copy)
    mobile = next(check for check in checks_case.CHECKS if check.id == "case-05-mobile")
    told = verify.run_check(mobile, scene)
    assert told["evidence"] == "certificate: it does not cover crm.acme.es (port 8894)"
    assert told["cure"].startswith("give one that does")
    broken = verify.run_check(verify.check("web-x", ("x", "x"), lambda scene: scene.get("/"), "role web"), scene)
    assert broken["evidence"] == "could not be checked: certificate: it does not cover crm.acme.es"
    assert broken["cure"].startswith("give one that does")
