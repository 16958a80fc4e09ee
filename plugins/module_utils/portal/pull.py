"""Push & pull: the cloud's rows removed, the box's own server written into the settings, and the way tested.

An option of module ``pull`` in ``b_option`` wins over ``.settings.php``, so rows that came along from the cloud keep
the box from its own push server; without it the messenger has no attachment icon (``CIMDisk::Enabled()`` asks for it).
Source: portal.md 2.2, 2.3 and 5 (1, 2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import socket
import ssl
import struct
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ..errors import EncajaError
from . import silence
from .plan import Plan
from .site import Portal
from .tls_faults import connection_fault

SETTINGS_KEYS: Final = frozenset(
    {f"path_to_{name}{suffix}" for suffix in ("", "_secure")
     for name in ("listener", "modern_listener", "mobile_listener", "websocket", "publish_web")}
    | {"path_to_publish", "path_to_json_rpc", "nginx", "nginx_version", "nginx_headers", "nginx_command_per_hit",
       "websocket", "push", "push_message_per_hit", "push_service_url", "signature_key", "signature_algo", "guest",
       "exclude_sites", "enable_protobuf", "shared_server_address", "shared_server_key", "registered_on_shared_server",
       "shared_worker_allowed", "host_id"}
)  # fmt: skip
"""Options that belong into the settings file or to the cloud's own server; rows of them are removed."""

KEY_FILES: Final = (Path("/etc/default/push-server-multi"), Path("/etc/push-server"))
_TIMEOUT: Final = 10.0
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True)
class PullPolicy:
    """Where the box's push server is.

    Attributes:
        key: the key that signs channels; the push server has the same one.
        port: TCP port of the portal when it is not the scheme's own, else 0.
        publish_url: where the portal publishes.
        mobile_port, mobile_port_secure: ports of the listeners for the mobile application; 0 for the portal's own.
    """

    key: str
    port: int = 0
    publish_url: str = "http://127.0.0.1:8895/bitrix/pub/"
    mobile_port: int = 8893
    mobile_port_secure: int = 8894


def section(policy: PullPolicy) -> dict[str, str]:
    """The value of the settings section ``pull``; ``#DOMAIN#`` is filled in by the portal for every request."""
    host = "#DOMAIN#" + (f":{policy.port}" if policy.port else "")
    mobile = f"#DOMAIN#:{policy.mobile_port}" if policy.mobile_port else host
    mobile_secure = f"#DOMAIN#:{policy.mobile_port_secure}" if policy.mobile_port_secure else host
    return {
        "path_to_listener": f"http://{host}/bitrix/sub/",
        "path_to_listener_secure": f"https://{host}/bitrix/sub/",
        "path_to_modern_listener": f"http://{host}/bitrix/sub/",
        "path_to_modern_listener_secure": f"https://{host}/bitrix/sub/",
        "path_to_mobile_listener": f"http://{mobile}/bitrix/sub/",
        "path_to_mobile_listener_secure": f"https://{mobile_secure}/bitrix/sub/",
        "path_to_websocket": f"ws://{host}/bitrix/subws/",
        "path_to_websocket_secure": f"wss://{host}/bitrix/subws/",
        "path_to_publish": policy.publish_url,
        "path_to_publish_web": f"http://{host}/bitrix/rest/",
        "path_to_publish_web_secure": f"https://{host}/bitrix/rest/",
        "nginx_version": "4",
        "nginx_command_per_hit": "100",
        "nginx": "Y",
        "nginx_headers": "N",
        "push": "Y",
        "websocket": "Y",
        "signature_key": policy.key,
        "signature_algo": "sha1",
        "guest": "N",
    }


def stale_rows(portal: Portal) -> list[str]:
    """Names of options of module pull that override the settings."""
    keys = _overriding_keys(portal)
    return sorted(name for module, name in portal.options if module == "pull" and name in keys)


def _overriding_keys(portal: Portal) -> frozenset[str]:
    # What keeps telephones silent until the release stays, and so does what came back with it and says the same.
    same = portal.options.get(("pull", "push")) == "Y"
    return SETTINGS_KEYS - ({"push"} if same or portal.has(silence.TABLE) else set())


def plan_pull(portal: Portal, policy: PullPolicy) -> Plan:
    """Everything that connects the portal to the box's own push server."""
    plan = Plan()
    keys = _overriding_keys(portal)
    stale = stale_rows(portal)
    for name in stale:
        portal.remove_option(plan, "pull", name)
    for module, name, _site in portal.site_options:
        if module == "pull" and name in keys and name not in stale:
            portal.remove_option(plan, "pull", name)
    portal.set_option(plan, "pull", "server_mode", "personal")
    wanted = {"value": section(policy), "readonly": True}
    present = portal.settings.get("pull")
    if not (isinstance(present, Mapping) and present.get("value") == wanted["value"]):
        portal.set_settings(plan, {**portal.settings, "pull": wanted})
        old = present.get("value", {}) if isinstance(present, Mapping) else {}
        if isinstance(old, Mapping) and old.get("signature_key") != policy.key:
            _forget_channels(portal, plan)
    if "pull" in portal.extra:
        portal.set_extra(plan, {name: value for name, value in portal.extra.items() if name != "pull"})
    server_key = push_server_key()
    plan.report = {"removed_rows": stale, "key_matches": None if server_key is None else server_key == policy.key}
    if plan.report["key_matches"] is False:
        plan.warnings.append(
            "the push server has another key: run the role 'push' (playbook push_pull) with the same one"
        )
    if storage_is_missing(portal):
        plan.warnings.append("im.disk_storage_id names a storage that does not exist")
    return plan


def storage_is_missing(portal: Portal) -> bool:
    """Whether the messenger's storage option leads nowhere; changing it would detach chats from files."""
    storage = portal.option("im", "disk_storage_id")
    if not storage or not portal.has("b_disk_storage"):
        return False
    return not portal.database.count("SELECT COUNT(*) FROM b_disk_storage WHERE ID = %s", storage)


def _forget_channels(portal: Portal, plan: Plan) -> None:
    for table in ("b_pull_channel", "b_pull_watch", "b_pull_stack", "b_pull_push_queue"):
        if portal.has(table) and (count := portal.database.count(f"SELECT COUNT(*) FROM {table}")):  # noqa: S608
            plan.statement(table, f"DELETE FROM {table}", (), f"{count} rows of the cloud's channels")  # noqa: S608  as above


def push_server_key(places: tuple[Path, ...] = KEY_FILES) -> str | None:
    """The key of the push server on this host, None when there is none here."""
    for place in places:
        if place.is_file() and (
            found := re.search(r"^\s*SECURITY_KEY=[\"']?([^\"'\s]+)", place.read_text(), re.MULTILINE)
        ):
            return found.group(1)
        if place.is_dir():
            for path in sorted(place.glob("*.json")):
                try:
                    key = json.loads(path.read_text()).get("security", {}).get("key")
                except (ValueError, AttributeError):
                    continue
                if key:
                    return str(key)
    return None


def signed_channel(channel: str, key: str) -> str:
    """A channel as the portal hands it to a browser: its id and the HMAC-SHA1 of the id."""
    return f"{channel}.{hmac.new(key.encode(), channel.encode(), hashlib.sha1).hexdigest()}"


class WebSocket:
    """As much of RFC 6455 as listening on a channel takes."""

    def __init__(
        self, url: str, connect_to: str = "", timeout: float = _TIMEOUT, context: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "wss"
        port = parts.port or (443 if secure else 80)
        host = parts.hostname or ""
        try:
            raw = socket.create_connection((connect_to or host, port), timeout)
            self._socket = (
                (context or ssl.create_default_context()).wrap_socket(raw, server_hostname=host) if secure else raw
            )
            key = base64.b64encode(os.urandom(16)).decode()
            target = f"{parts.path}?{parts.query}" if parts.query else parts.path
            lines = [
                f"GET {target} HTTP/1.1", f"Host: {parts.netloc}", "Upgrade: websocket", "Connection: Upgrade",
                f"Origin: https://{parts.netloc}", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
            ]  # fmt: skip
            self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
            self._stream = self._socket.makefile("rb")
            status = self._stream.readline().decode("latin-1").strip()
            headers = {}
            while (line := self._stream.readline().decode("latin-1").strip()) != "":
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
        except OSError as fault:
            raise connection_fault(fault, host, "check nginx and the push server") from fault
        accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324  RFC 6455 says so
        if " 101 " not in f"{status} " or headers.get("sec-websocket-accept") != accept:
            raise EncajaError(
                f"no WebSocket: {status or 'connection closed'}", parts.netloc, "check nginx' push locations"
            )

    def receive(self) -> str:
        """The next message; control frames are passed over, a close is an error that names its code."""
        while True:
            try:
                head = self._stream.read(2)
            except OSError as fault:
                raise EncajaError("nothing received in time", "push server", "check its log and Redis") from fault
            if len(head) < 2:
                raise EncajaError("the push server closed the connection", "push server", "check its log")
            opcode, size = head[0] & 15, head[1] & 127
            if size == 126:
                size = struct.unpack(">H", self._stream.read(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", self._stream.read(8))[0]
            data = self._stream.read(size)
            if opcode == 8:
                code = struct.unpack(">H", data[:2])[0] if len(data) >= 2 else 0
                reason = data[2:].decode("utf-8", "replace")
                raise EncajaError(
                    f"closed with {code} {reason}", "push server", "make both keys equal (4010) or see its log"
                )
            if opcode in {1, 2}:
                return data.decode("utf-8", "replace")

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def prove(settings: Mapping[str, Any], domain: str, scheme: str = "https", connect_to: str = "") -> dict[str, Any]:
    """Publish a message as the portal does and receive it as a browser does; returns what went which way.

    Args:
        settings: the value of the section ``pull``.
        domain: the portal's replacement for ``#DOMAIN#``.
        scheme: of the portal; it decides which of the two listeners is used.
        connect_to: address to connect to when the name does not resolve to this host.
    """
    name = "path_to_websocket_secure" if scheme == "https" else "path_to_websocket"
    channel = secrets.token_hex(16)
    signed = signed_channel(channel, str(settings.get("signature_key", "")))
    url = str(settings.get(name, "")).replace("#DOMAIN#", domain)
    listener = WebSocket(f"{url}?CHANNEL_ID={signed}&binaryMode=false&revision=19", connect_to)
    try:
        text = f"encaja {secrets.token_hex(8)}"
        publish(str(settings.get("path_to_publish", "")), channel, text)
        for _ in range(5):
            if text in (received := listener.receive()):
                return {"websocket": url, "published_to": settings.get("path_to_publish"), "received": received[:200]}
    finally:
        listener.close()
    raise EncajaError("the published message did not come back", "push server", "check its log and Redis")


def publish(url: str, channel: str, text: str) -> None:
    """Post one message to a channel as the portal's kernel does."""
    request = urllib.request.Request(  # noqa: S310  the address is the portal's own setting
        f"{url}?CHANNEL_ID={channel}",
        json.dumps({"text": text}).encode(),
        {"Content-Type": "application/json", "Message-Expiry": "60"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            answer.read()
    except (urllib.error.URLError, OSError, ValueError) as fault:
        raise EncajaError(f"publishing failed: {fault}", url, "start the push server; see its log") from fault
