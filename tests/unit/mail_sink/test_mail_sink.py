"""The lab's mail server: what is sent comes back byte for byte, and can be found."""

from __future__ import annotations

import asyncio
import json
import smtplib
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab import mail_sink


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "sink.crt", tmp_path / "sink.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(*encoding))
    return paths


@pytest.fixture
def sink(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[SimpleNamespace]:
    store = mail_sink.Store(tmp_path / "mails")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    smtp = asyncio.run_coroutine_threadsafe(mail_sink.serve_smtp(store, "127.0.0.1", 0, context), loop).result(10)
    http = mail_sink.serve_http(store, "127.0.0.1", 0)
    yield SimpleNamespace(
        smtp=smtp.sockets[0].getsockname()[1],
        http=f"http://127.0.0.1:{http.server_address[1]}",
        store=store,
        trust=ssl.create_default_context(cafile=str(certificate[0])),
    )
    http.shutdown()
    http.server_close()
    loop.call_soon_threadsafe(smtp.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def message(subject: str = "Hola", to: str = "ana@example.com", text: str = ".\n.dots\nseñor 😀\n") -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = subject, "Portal <portal@encaja.test>", to
    mail.set_content(text)
    return mail


def send(sink: SimpleNamespace, mail: EmailMessage) -> None:
    with smtplib.SMTP("127.0.0.1", sink.smtp, timeout=10) as client:
        client.send_message(mail)


def get(sink: SimpleNamespace, path: str, method: str = "GET") -> str:
    request = urllib.request.Request(sink.http + path, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def test_a_mail_is_kept_as_it_was_sent(sink: SimpleNamespace) -> None:
    sent = message()
    send(sink, sent)
    (mail,) = json.loads(get(sink, "/mails.json"))
    assert mail["sender"] == "portal@encaja.test"
    assert mail["recipients"] == ["ana@example.com"]
    assert mail["subject"] == "Hola"
    assert (mail["tls"], mail["user"]) == (False, "")
    raw = get(sink, f"/mails/{mail['id']}")
    assert raw.replace("\r\n", "\n") == sent.as_bytes().decode()


def test_mails_are_found_by_parts(sink: SimpleNamespace) -> None:
    send(sink, message("Tarea nueva", "ana@example.com"))
    send(sink, message("Contraseña", "luis@example.com"))

    def subjects(query: str) -> list[str]:
        return [mail["subject"] for mail in json.loads(get(sink, f"/mails.json?{query}"))]

    assert subjects("to=LUIS@") == ["Contraseña"]
    assert subjects("subject=tarea") == ["Tarea nueva"]
    assert subjects("to=ana&subject=contrase") == []
    assert subjects("sender=portal") == ["Tarea nueva", "Contraseña"]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        get(sink, "/mails.json?form=x")


def test_the_page_lists_the_newest_first_and_escapes(sink: SimpleNamespace) -> None:
    send(sink, message("older"))
    send(sink, message("<script>alert(1)</script>"))
    page = get(sink, "/")
    assert "<h1>2 mails</h1>" in page
    assert "<script>" not in page
    assert page.index("&lt;script&gt;") < page.index("older")


def test_the_store_can_be_emptied_and_survives_a_restart(sink: SimpleNamespace, tmp_path: Path) -> None:
    send(sink, message("one"))
    again = mail_sink.Store(tmp_path / "mails")
    assert [mail.subject for mail in again.list()] == ["one"]
    assert json.loads(get(sink, "/mails", "DELETE")) == {"removed": 1}
    assert sink.store.list() == []
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(sink, "/mails/000001")


def test_an_encrypted_session_with_a_user_is_told(sink: SimpleNamespace) -> None:
    with smtplib.SMTP("127.0.0.1", sink.smtp, timeout=10) as client:
        client._host = "localhost"  # type: ignore[attr-defined]  # the name that the certificate is for
        client.starttls(context=sink.trust)
        client.login("relay-user", "secret")
        client.send_message(message())
    (mail,) = sink.store.list()
    assert (mail.tls, mail.user) == (True, "relay-user")


def test_commands_out_of_order_are_refused(sink: SimpleNamespace) -> None:
    with smtplib.SMTP("127.0.0.1", sink.smtp, timeout=10) as client:
        client.ehlo()
        assert client.docmd("DATA")[0] == 503
        assert client.docmd("RCPT", "TO:<a@b>")[0] == 503
        assert client.docmd("FLY")[0] == 500
        assert client.docmd("AUTH", "PLAIN AA==")[0] == 535
        client.mail("a@b")
        client.rset()
        assert client.docmd("RCPT", "TO:<a@b>")[0] == 503
    assert sink.store.list() == []


def test_a_mail_that_is_cut_off_is_not_kept(sink: SimpleNamespace) -> None:
    client = smtplib.SMTP("127.0.0.1", sink.smtp, timeout=10)
    client.ehlo()
    client.mail("a@b")
    client.rcpt("c@d")
    client.docmd("DATA")
    client.send("Subject: half\r\n\r\nno end")
    client.close()
    send(sink, message("whole"))
    assert [mail.subject for mail in sink.store.list()] == ["whole"]


def test_a_mail_over_the_limit_is_refused(sink: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_sink, "LARGEST", 1000)
    with smtplib.SMTP("127.0.0.1", sink.smtp, timeout=10) as client:
        client.ehlo()
        client.esmtp_features.pop("size")
        with pytest.raises(smtplib.SMTPDataError, match="552"):
            client.send_message(message(text="x" * 2000))
    assert sink.store.list() == []
