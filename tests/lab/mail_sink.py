"""Stand-in: the mail server of the outside world. Takes every mail, sends none, and shows them on a page.

Runs with nothing but Python. Mails lie in the store as they came (`<id>.eml`) with a line of JSON each in
`mails.jsonl`. The page: `/` lists them, `/mails.json?to=…&subject=…` gives the lines that match (parts of the text),
`/mails/<id>` gives one as it came, DELETE `/mails` empties the store.
As a program: `mail_sink.py STORE [--smtp ADDRESS:PORT] [--http ADDRESS:PORT] [--certificate FILE --key FILE]`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import contextlib
import html
import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

LARGEST = 50 * 1024 * 1024
"""Bytes in the largest mail that is taken."""

_LONGEST_LINE = 65_536
_INDEX = "mails.jsonl"
_STYLE = "body{font:15px system-ui;margin:2rem}td,th{padding:.3rem 1rem .3rem 0;text-align:left;vertical-align:top}"


@dataclass(frozen=True)
class Mail:
    """What is known of one mail; `sender` and `recipients` are the envelope's."""

    id: str
    received: str
    sender: str
    recipients: list[str]
    subject: str
    header_from: str
    header_to: str
    size: int
    client: str
    tls: bool
    user: str


class Store:
    """Mails in a directory, oldest first. Safe for several threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        directory.mkdir(parents=True, exist_ok=True)
        self._number = max((int(path.stem) for path in directory.glob("*.eml")), default=0)

    def add(self, content: bytes, envelope: dict[str, Any]) -> Mail:
        """Keep one mail."""
        message = message_from_bytes(content, policy=default)
        with self._lock:
            self._number += 1
            mail = Mail(
                id=f"{self._number:06d}",
                received=datetime.now(UTC).isoformat(timespec="seconds"),
                subject=str(message.get("Subject", "")),
                header_from=str(message.get("From", "")),
                header_to=str(message.get("To", "")),
                size=len(content),
                **envelope,
            )
            (self._directory / f"{mail.id}.eml").write_bytes(content)
            with (self._directory / _INDEX).open("a", encoding="utf-8") as index:
                index.write(json.dumps(asdict(mail), ensure_ascii=False) + "\n")
        return mail

    def list(self, **parts: str) -> list[Mail]:
        """Mails whose recipients (`to`), `sender` and `subject` have these parts, whatever the case."""
        index = self._directory / _INDEX
        with self._lock:
            lines = index.read_text(encoding="utf-8").splitlines() if index.exists() else []
        mails = [Mail(**json.loads(line)) for line in lines]
        return [mail for mail in mails if all(part.lower() in _searched(mail, name) for name, part in parts.items())]

    def content(self, identifier: str) -> bytes | None:
        """One mail as it came; None where there is no such mail."""
        path = self._directory / f"{identifier}.eml"
        return path.read_bytes() if identifier.isdigit() and path.is_file() else None

    def clear(self) -> int:
        """Remove all mails, and tell how many there were."""
        with self._lock:
            paths = list(self._directory.glob("*.eml"))
            (self._directory / _INDEX).unlink(missing_ok=True)
            for path in paths:
                path.unlink()
        return len(paths)


def _searched(mail: Mail, name: str) -> str:
    texts = {"to": " ".join(mail.recipients) + mail.header_to, "sender": mail.sender + mail.header_from}
    return texts.get(name, mail.subject).lower()


class Session:
    """One SMTP connection (RFC 5321, with AUTH of any user and, where there is a certificate, STARTTLS)."""

    def __init__(
        self, store: Store, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext | None
    ) -> None:
        self._store, self._reader, self._writer, self._tls = store, reader, writer, tls
        self._encrypted = False
        self._user = ""
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._client = str((writer.get_extra_info("peername") or ("",))[0])
        self._commands: dict[str, Callable[[str], Any]] = {
            "EHLO": self._ehlo,
            "HELO": lambda _: self._reply(250, "mail sink"),
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": lambda _: self._reply(250, "OK"),
            "VRFY": lambda _: self._reply(252, "Send it and see"),
        }

    async def run(self) -> None:
        """Serve the connection to its end."""
        await self._reply(220, "mail sink")
        while line := await self._reader.readline():
            verb, _, argument = line.decode("utf-8", "replace").strip().partition(" ")
            if verb.upper() == "QUIT":
                await self._reply(221, "Bye")
                return
            command = self._commands.get(verb.upper())
            if command is None:
                await self._reply(500, f"{verb[:20]} is not known")
            else:
                await command(argument)

    async def _reply(self, code: int, *lines: str) -> None:
        for number, line in enumerate(lines, 1):
            self._writer.write(f"{code}{' ' if number == len(lines) else '-'}{line}\r\n".encode())
        await self._writer.drain()

    async def _ehlo(self, _: str) -> None:
        offers = [f"SIZE {LARGEST}", "8BITMIME", "SMTPUTF8", "AUTH PLAIN LOGIN"]
        if self._tls is not None and not self._encrypted:
            offers.append("STARTTLS")
        await self._reply(250, "mail sink", *offers)

    async def _starttls(self, _: str) -> None:
        if self._tls is None or self._encrypted:
            await self._reply(454, "TLS is not available")
            return
        await self._reply(220, "Go ahead")
        await self._writer.start_tls(self._tls)
        self._encrypted = True

    async def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() == "PLAIN":
            response = initial or await self._ask("")
            self._user = [*_base64(response).split("\0"), ""][1]
        elif mechanism.upper() == "LOGIN":
            self._user = _base64(initial or await self._ask("VXNlcm5hbWU6"))
            await self._ask("UGFzc3dvcmQ6")
        await self._reply(*((235, "Welcome") if self._user else (535, "No user was named")))

    async def _ask(self, challenge: str) -> str:
        await self._reply(334, challenge)
        return (await self._reader.readline()).decode("ascii", "replace").strip()

    async def _mail(self, argument: str) -> None:
        self._sender, self._recipients = _address(argument), []
        await self._reply(250, "OK")

    async def _rcpt(self, argument: str) -> None:
        address = _address(argument)
        if self._sender is None or not address:
            await self._reply(503, "MAIL first, then RCPT TO:<address>")
            return
        self._recipients.append(address)
        await self._reply(250, "OK")

    async def _data(self, _: str) -> None:
        if not self._recipients:
            await self._reply(503, "RCPT first")
            return
        await self._reply(354, "End with a line of one dot")
        content = await self._content()
        if content is None:
            await self._reply(552, f"Over {LARGEST} bytes")
            return
        envelope = {
            "sender": self._sender,
            "recipients": self._recipients,
            "client": self._client,
            "tls": self._encrypted,
            "user": self._user,
        }
        mail = await asyncio.to_thread(self._store.add, content, envelope)
        self._sender, self._recipients = None, []
        await self._reply(250, f"Kept as {mail.id}")

    async def _content(self) -> bytes | None:
        lines: list[bytes] = []
        size = 0
        while (line := await self._reader.readline()) not in (b".\r\n", b".\n"):
            if not line:
                raise ConnectionError("the client went away inside a mail")
            line = line[1:] if line.startswith(b".") else line
            size += len(line)
            if size <= LARGEST:
                lines.append(line)
        return b"".join(lines) if size <= LARGEST else None

    async def _rset(self, _: str) -> None:
        self._sender, self._recipients = None, []
        await self._reply(250, "OK")


def _address(argument: str) -> str:
    return argument.partition("<")[2].partition(">")[0]


def _base64(text: str) -> str:

    try:
        return base64.b64decode(text).decode("utf-8", "replace")
    except binascii.Error:
        return ""


async def serve_smtp(store: Store, address: str, port: int, tls: ssl.SSLContext | None = None) -> asyncio.Server:
    """Listen for mails; port 0 takes any free one."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ValueError, ssl.SSLError):
            await Session(store, reader, writer, tls).run()
        writer.close()

    return await asyncio.start_server(connected, address, port, limit=_LONGEST_LINE)


class Page(BaseHTTPRequestHandler):
    """The page over the store."""

    store: Store

    def do_GET(self) -> None:
        """List mails, as a page or as JSON, or give one."""
        url = urlsplit(self.path)
        if url.path == "/":
            self._answer(200, "text/html; charset=utf-8", _listing(self.store.list()).encode())
        elif url.path == "/mails.json":
            parts = {name: values[-1] for name, values in parse_qs(url.query).items()}
            if unknown := set(parts) - {"to", "sender", "subject"}:
                self._answer(400, "text/plain", f"unknown: {', '.join(sorted(unknown))}\n".encode())
                return
            found = [asdict(mail) for mail in self.store.list(**parts)]
            self._answer(200, "application/json", json.dumps(found, ensure_ascii=False).encode())
        elif (
            url.path.startswith("/mails/") and (content := self.store.content(url.path.rpartition("/")[2])) is not None
        ):
            self._answer(200, "text/plain; charset=utf-8", content)
        else:
            self._answer(404, "text/plain", b"no such mail\n")

    def do_DELETE(self) -> None:
        """Empty the store."""
        if self.path == "/mails":
            self._answer(200, "application/json", json.dumps({"removed": self.store.clear()}).encode())
        else:
            self._answer(404, "text/plain", b"only /mails can be emptied\n")

    def log_message(self, *_: Any) -> None:
        """Say nothing: the journal is for mails."""

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve_http(store: Store, address: str, port: int) -> ThreadingHTTPServer:
    """Serve the page from a thread; port 0 takes any free one."""
    server = ThreadingHTTPServer((address, port), type("StorePage", (Page,), {"store": store}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _listing(mails: list[Mail]) -> str:
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{html.escape(text)}</td>" for text in (mail.received, mail.sender, ", ".join(mail.recipients)))
        + f'<td><a href="/mails/{mail.id}">{html.escape(mail.subject) or "(no subject)"}</a></td></tr>'
        for mail in reversed(mails)
    )
    return (
        f"<!doctype html><meta charset=utf-8><title>Mails</title><style>{_STYLE}</style><h1>{len(mails)} mails</h1>"
        f"<table><tr><th>received<th>from<th>to<th>subject</tr>{rows}</table>"
    )


def _endpoint(text: str) -> tuple[str, int]:
    address, separator, port = text.rpartition(":")
    if not separator or not port.isdigit():
        raise argparse.ArgumentTypeError(f"{text} is not ADDRESS:PORT")
    return address, int(port)


async def _run(options: argparse.Namespace) -> None:
    tls = None
    if options.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(options.certificate, options.key)
    store = Store(options.store)
    serve_http(store, *options.http)
    servers = [await serve_smtp(store, address, port, tls) for address, port in options.smtp or [("", 25), ("", 587)]]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    """Run until stopped."""
    parser = argparse.ArgumentParser(description="Take every mail, send none.")
    parser.add_argument("store", type=Path)
    parser.add_argument("--smtp", type=_endpoint, action="append", metavar="ADDRESS:PORT", help="default :25 and :587")
    parser.add_argument("--http", type=_endpoint, default=("", 8025), metavar="ADDRESS:PORT", help="default :8025")
    parser.add_argument("--certificate", type=Path, help="for STARTTLS")
    parser.add_argument("--key", type=Path)
    options = parser.parse_args()
    if (options.certificate is None) != (options.key is None):
        parser.error("--certificate and --key go together")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(options))


if __name__ == "__main__":
    main()
