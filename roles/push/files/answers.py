"""See that every subscribing process accepts a channel signed with the shared key, and closes another with code 4010.

Ports and key are those of the configuration files given; says what is wrong on standard error.
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


def close_code(host: str, port: int, channel: str) -> int | None:
    """The code with which the server closes the WebSocket; None while it stays open."""
    with socket.create_connection((host, port), timeout=10) as stream:
        key = base64.b64encode(os.urandom(16)).decode()
        stream.sendall(
            (
                f"GET /bitrix/subws/?CHANNEL_ID={channel} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            ).encode()
        )
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = stream.recv(4096)
            if not chunk:
                raise OSError("the connection was closed")
            received += chunk
        head, _, rest = received.partition(b"\r\n\r\n")
        status = head.split(b"\r\n")[0].decode()
        if " 101 " not in status + " ":
            raise OSError(f"answered {status!r}, not 101 Switching Protocols")
        stream.settimeout(0.3 if not rest else 10)
        try:
            while len(rest) < 4:
                chunk = stream.recv(4096)
                if not chunk:
                    return 0
                rest += chunk
        except TimeoutError:
            return None
        return int.from_bytes(rest[2:4], "big") if rest[0] & 0x0F == 8 else None


def fault_of(path: str) -> str:
    """What is wrong with the process that this file configures; empty when nothing is."""
    with open(path) as file:
        config = json.load(file)
    server, key = config["servers"][0], config["security"]["key"]
    host = "127.0.0.1" if server["hostname"] == "0.0.0.0" else server["hostname"]
    channel = os.urandom(16).hex()
    signature = hmac.new(key.encode(), channel.encode(), hashlib.sha1).hexdigest()
    where = f"{host}:{server['port']}"
    try:
        code = close_code(host, server["port"], f"{channel}.{signature}")
        if code is not None:
            return f"{where} closed a signed channel with {code}; see journalctl -u 'push-server@*'"
        if close_code(host, server["port"], f"{channel}.{'0' * 40}") != WRONG_CHANNEL:
            return f"{where} took a channel with a wrong signature"
    except OSError as fault:
        return f"{where}: {fault}; see journalctl -u 'push-server@*'"
    return ""


with ThreadPoolExecutor(max_workers=16) as pool:
    faults = list(filter(None, pool.map(fault_of, sys.argv[1:])))
sys.exit("\n".join(faults) or 0)
