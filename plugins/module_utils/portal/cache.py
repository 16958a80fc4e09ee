"""Purging what the portal has cached of its options and sites, after its database was changed behind its back.

Options are cached per module (``b_option:<module>``) for the time in ``cache_flags.config_options``, as files below
``bitrix/managed_cache``, in Redis or in APCu, whatever the section ``cache`` of ``.settings.php`` says.
Source: portal.md 2.1 and 3.
"""

from __future__ import annotations

import shutil
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ..errors import EncajaError
from . import fastcgi

DIRECTORIES: Final = ("managed_cache", "cache", "stack_cache", "html_pages")
NOT_CACHE: Final = (b"PHPREDIS_SESSION", b"push", b"bitrix:push")
"""Prefixes of keys that others keep in the same Redis: PHP's sessions and the push server."""
_TIMEOUT: Final = 10.0
_CLEAR: Final = (
    "<?php echo function_exists('apcu_clear_cache') && apcu_clear_cache() ? 'apcu ' : '';"
    " echo function_exists('opcache_reset') && opcache_reset() ? 'opcache' : '';"
)


class Redis:
    """The few commands of Redis that purging and checking need, over its own protocol (RESP2)."""

    def __init__(self, target: str | tuple[str, int], password: str = "") -> None:
        if isinstance(target, str):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(_TIMEOUT)
            self._socket.connect(target)
        else:
            self._socket = socket.create_connection(target, _TIMEOUT)
        self._stream = self._socket.makefile("rb")
        if password:
            self.command("AUTH", password)

    def command(self, *words: str | bytes) -> Any:
        """Send one command and return its answer (text as bytes)."""
        parts = [word if isinstance(word, bytes) else word.encode() for word in words]
        self._socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self._answer()

    def _answer(self) -> Any:
        line = self._stream.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise EncajaError(f"Redis: {rest.decode(errors='replace')}", "cache", "check address and password")
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            data = self._stream.read(size + 2)
            return data[:-2]
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        if kind == b"+":
            return rest
        raise EncajaError("no answer in Redis' protocol", "cache", "check the address of the cache")

    def delete(self, pattern: str, spared: tuple[bytes, ...] = ()) -> int:
        """Delete the keys of a glob pattern but for spared prefixes, a part at a time; returns their number."""
        cursor, deleted = b"0", 0
        while True:
            cursor, found = self.command("SCAN", cursor, "MATCH", pattern, "COUNT", "1000")
            keys = [key for key in found if not key.startswith(spared)]
            if keys:
                deleted += int(self.command("UNLINK", *keys))
            if cursor == b"0":
                return deleted

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def redis_target(section: Mapping[Any, Any]) -> tuple[str | tuple[str, int], str] | None:
    """Address and password of the Redis that a ``cache`` or ``session`` section names, None when it names none."""
    server = section.get("redis", section)
    if not isinstance(server, Mapping) or not server.get("host"):
        return None
    host, port = str(server["host"]), int(server.get("port") or 0)
    target: str | tuple[str, int] = host.removeprefix("unix://") if "/" in host else (host, port or 6379)
    return target, str(server.get("password") or section.get("password") or "")


def _spared(settings: Mapping[Any, Any]) -> tuple[bytes, ...]:
    section = settings.get("session", {})
    value = section.get("value", {}) if isinstance(section, Mapping) else {}
    handlers = value.get("handlers", {}) if isinstance(value, Mapping) else {}
    general = handlers.get("general", {}) if isinstance(handlers, Mapping) else {}
    prefix = str(general.get("keyPrefix") or "BX") if isinstance(general, Mapping) else "BX"
    return (prefix.encode(), *NOT_CACHE)


def purge(root: Path, settings: Mapping[Any, Any], fpm_socket: Path | None = None) -> list[str]:
    """Empty every cache of the portal below its document root; returns what was emptied, for the report."""
    done: list[str] = []
    for name in DIRECTORIES:
        directory = root / "bitrix" / name
        entries = list(directory.iterdir()) if directory.is_dir() else []
        # Renamed first: a page that is built meanwhile must not find half a cache.
        for entry in entries:
            doomed = entry.with_name(f".{uuid.uuid4().hex}")
            entry.rename(doomed)
            if doomed.is_dir() and not doomed.is_symlink():
                shutil.rmtree(doomed, ignore_errors=True)
            else:
                doomed.unlink(missing_ok=True)
        if entries:
            done.append(f"{name}: {len(entries)} entries")
    section = settings.get("cache", {})
    value = section.get("value", {}) if isinstance(section, Mapping) else {}
    if isinstance(value, Mapping) and "redis" in str(value.get("type", "")).lower() and (target := redis_target(value)):
        server = Redis(*target)
        try:
            sid = str(value.get("sid") or "").replace("#01", "")
            if count := server.delete(f"*{sid}*" if sid else "*", _spared(settings)):
                done.append(f"redis: {count} keys")
        finally:
            server.close()
    if fpm_socket and fpm_socket.exists():
        done.append(f"fpm: {fastcgi.run_php(fpm_socket, _CLEAR).strip()}")
    return done
