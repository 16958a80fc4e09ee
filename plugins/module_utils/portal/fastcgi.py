"""A FastCGI client: asks the portal's own PHP-FPM pool, whose memory and settings no command line shows.

Protocol: FastCGI 1.0, roles and records as in its specification (responder, one request per connection).
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ..errors import EncajaError

_BEGIN, _END, _PARAMS, _STDIN, _STDOUT, _STDERR = 1, 3, 4, 5, 6, 7
_HEADER: Final = struct.Struct(">BBHHBx")
_TIMEOUT: Final = 60.0


def _record(kind: int, data: bytes) -> bytes:
    return _HEADER.pack(1, kind, 1, len(data), 0) + data


def _stream(kind: int, data: bytes) -> bytes:
    parts = [_record(kind, data[start : start + 65535]) for start in range(0, len(data), 65535)]
    return b"".join(parts) + _record(kind, b"")


def _pair(name: str, value: str) -> bytes:
    result = b""
    for text in (name.encode(), value.encode()):
        result += bytes([len(text)]) if len(text) < 128 else struct.pack(">I", len(text) | 0x80000000)
    return result + name.encode() + value.encode()


def request(pool: Path, parameters: Mapping[str, str]) -> tuple[dict[str, str], bytes]:
    """One GET request to a pool's unix socket; returns the response's headers (names in lower case) and body."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_TIMEOUT)
    try:
        connection.connect(str(pool))
        pairs = b"".join(_pair(name, value) for name, value in parameters.items())
        begin = _record(_BEGIN, struct.pack(">HB5x", 1, 0))
        connection.sendall(begin + _stream(_PARAMS, pairs) + _record(_STDIN, b""))
        answer = connection.makefile("rb")
        output = bytearray()
        while True:
            header = answer.read(8)
            if len(header) < 8:
                raise EncajaError("the pool closed the connection", str(pool), "see the log of PHP-FPM")
            _version, kind, _id, size, padding = _HEADER.unpack(header)
            data = answer.read(size + padding)[:size]
            if kind == _STDOUT:
                output += data
            elif kind == _END:
                break
    except OSError as fault:
        raise EncajaError(f"no answer from PHP-FPM: {fault}", str(pool), "start the pool") from fault
    finally:
        connection.close()
    head, _, body = bytes(output).partition(b"\r\n\r\n")
    headers = {}
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers, body


def run_php(pool: Path, code: str, user: str = "www-data") -> str:
    """Run PHP code inside the pool and return what it prints; the file that carries it lives as long as the call."""
    with tempfile.NamedTemporaryFile("w", prefix="encaja-", suffix=".php", dir="/run") as script:
        script.write(code)
        script.flush()
        try:
            os.chown(script.name, pwd.getpwnam(user).pw_uid, grp.getgrnam(user).gr_gid)
        except KeyError:
            Path(script.name).chmod(0o644)
        headers, body = request(
            pool,
            {
                "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_METHOD": "GET",
                "SCRIPT_FILENAME": script.name, "SCRIPT_NAME": "/encaja.php", "REQUEST_URI": "/encaja.php",
                "QUERY_STRING": "", "SERVER_SOFTWARE": "encaja", "REMOTE_ADDR": "127.0.0.1", "SERVER_NAME": "localhost",
            },
        )  # fmt: skip
    status = headers.get("status", "200")
    if not status.startswith("200"):
        raise EncajaError(f"PHP-FPM answered {status}", str(pool), "see its log")
    return body.decode("utf-8", "replace")
