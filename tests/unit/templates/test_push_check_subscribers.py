"""What the push role asks of its server after a start: it must take the right channel, and no other."""

import base64
import hashlib
import hmac
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "roles" / "push" / "files" / "check_subscribers.py"
KEY = "shared with the portal"
CLOSE_4010 = b"\x88\x02" + (4010).to_bytes(2, "big")


def is_signed(channel: str) -> bool:
    public, _, signature = channel.partition(".")
    return hmac.new(KEY.encode(), public.encode(), hashlib.sha1).hexdigest() == signature


def serve(stream: socket.socket, is_taken: Callable[[str], bool]) -> None:
    asked = b""
    while b"\r\n\r\n" not in asked:
        asked += stream.recv(4096)
    channel = re.findall(rb"CHANNEL_ID=(\S+)", asked)[0].decode()
    key = re.findall(rb"Sec-WebSocket-Key: (\S+)", asked)[0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    if not is_taken(channel):
        stream.sendall(CLOSE_4010)


@contextmanager
def server(is_taken: Callable[[str], bool]) -> Iterator[int]:
    """A subscribing process on a free port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    streams: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            streams.append(stream)
            threading.Thread(target=serve, args=(stream, is_taken), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        for one in (listener, *streams):
            one.close()


@pytest.mark.parametrize(
    ("is_taken", "told"),
    [
        pytest.param(is_signed, "", id="as it should"),
        pytest.param(lambda _: True, "accepted a channel with a wrong signature", id="takes all"),
        pytest.param(lambda _: False, "closed a signed channel with 4010", id="takes none, as with another key"),
    ],
)
def test_a_process_is_checked_with_both_channels(tmp_path: Path, is_taken: Callable[[str], bool], told: str) -> None:
    with server(is_taken) as port:
        config = {"servers": [{"hostname": "0.0.0.0", "port": port}], "security": {"key": KEY}}
        (tmp_path / "sub.json").write_text(json.dumps(config))
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(tmp_path / "sub.json")], capture_output=True, text=True, check=False
        )
    assert told in done.stderr
    assert (done.returncode != 0) is bool(told)


def test_a_process_that_does_not_listen_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = {"servers": [{"hostname": "127.0.0.1", "port": port}], "security": {"key": KEY}}
    (tmp_path / "sub.json").write_text(json.dumps(config))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "sub.json")], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"127.0.0.1:{port}" in done.stderr
    assert KEY not in done.stderr
