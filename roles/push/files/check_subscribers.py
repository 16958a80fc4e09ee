"""Check that every subscribing process accepts a channel signed with the shared key, and closes others with code 4010.

Arguments are the processes' configuration files, with ports and key; prints errors to standard error.
"""

import base64
import hashlib
import hmac
import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

WRONG_CHANNEL = 4010


class Subscriber:
    """One WebSocket of a channel. Raises OSError if it cannot be opened."""

    def __init__(self, host: str, port: int, channel: str) -> None:
        self.stream = socket.create_connection((host, port), timeout=10)
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.sendall(
            (
                f"GET /bitrix/subws/?CHANNEL_ID={channel} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            ).encode()
        )
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = self.stream.recv(4096)
            if not chunk:
                raise OSError("the connection was closed")
            received += chunk
        head, _, self.rest = received.partition(b"\r\n\r\n")
        status = head.split(b"\r\n")[0].decode()
        if " 101 " not in status + " ":
            raise OSError(f"answered {status!r}, not 101 Switching Protocols")

    def close_code(self, seconds: float) -> int | None:
        """The code with which the server closes it within this time; None if it stays open."""
        self.stream.settimeout(seconds)
        try:
            while len(self.rest) < 4:
                chunk = self.stream.recv(4096)
                if not chunk:
                    return 0
                self.rest += chunk
        except TimeoutError:
            return None
        return int.from_bytes(self.rest[2:4], "big") if self.rest[0] & 0x0F == 8 else None


def fault_of(path: str) -> str:
    """What is wrong with the process of this configuration file; empty if nothing."""
    with open(path) as file:
        config = json.load(file)
    server, key = config["servers"][0], config["security"]["key"]
    host = "127.0.0.1" if server["hostname"] == "0.0.0.0" else server["hostname"]
    channel = os.urandom(16).hex()
    signature = hmac.new(key.encode(), channel.encode(), hashlib.sha1).hexdigest()
    where = f"{host}:{server['port']}"
    try:
        right = Subscriber(host, server["port"], f"{channel}.{signature}")
        wrong = Subscriber(host, server["port"], f"{channel}.{'0' * 40}")
        if wrong.close_code(10) != WRONG_CHANNEL:
            return f"{where} accepted a channel with a wrong signature"
        # This one was opened first, so it would have been closed by now.
        code = right.close_code(0.3)
        if code is not None:
            return f"{where} closed a signed channel with {code}; see journalctl -u 'push-server@*'"
    except OSError as fault:
        return f"{where}: {fault}; see journalctl -u 'push-server@*'"
    return ""


with ThreadPoolExecutor(max_workers=16) as pool:
    faults = list(filter(None, pool.map(fault_of, sys.argv[1:])))
sys.exit("\n".join(faults) or 0)
