#!/usr/bin/python
"""Give a running Redis its password without a restart, with the old one beside it while clients follow."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_password
short_description: The password of Redis, in its file and in the running server
description:
  - Writes the file that C(redis.conf) includes, then compares the running server with it and sets what differs. So a
    run that was cut off between the two is made good by the next one, and nobody's connection is cut.
  - The server is reached through its socket; no password is seen in a process list.
options:
  file:
    description: The file, included by C(redis.conf).
    type: path
    default: /etc/redis/password.conf
  socket:
    description: Socket of the server. A server that does not run reads the file when it starts.
    type: path
    default: /run/redis/redis.sock
  password:
    description: The password. Empty for a server that asks for none.
    type: str
    default: ""
  keep_old_password:
    description:
      - Whether passwords that the file has are taken beside the new one, so that clients can follow one by one. The
        same task without it takes the old ones away.
    type: bool
    default: false
author: encaja
"""

EXAMPLES = r"""
- name: Set the cache's password
  encaja.portal.cache_password:
    password: "{{ cache_password }}"
    keep_old_password: true
"""

RETURN = r"""
old_passwords:
  description: How many passwords, beside the new one, the server is left with.
  returned: always
  type: int
restart:
  description: Whether the running server knows none of these passwords and has to be restarted.
  returned: always
  type: bool
"""

import grp
import hashlib
import json
import pwd
import re
import socket
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.encaja.portal.plugins.module_utils.atomic import write_atomically

HEAD = "# Ansible managed\n"
QUOTED = re.compile(r'^requirepass ("(?:[^"\\]|\\.)*")$|(?<= )(">(?:[^"\\]|\\.)*")(?= )', re.MULTILINE)


def file_text(passwords: list[str]) -> str:
    """The file for a server that takes each of these passwords; without one it lets everybody in, as Redis does."""
    if not passwords:
        return HEAD
    ways = " ".join(json.dumps(f">{password}", ensure_ascii=False) for password in passwords)
    return f"{HEAD}user default on {ways} ~* &* +@all\n"


def passwords_in(text: str) -> list[str]:
    """The passwords that such a file names, in the older form (``requirepass``) as well."""
    found = [first or second for first, second in QUOTED.findall(text)]
    return [json.loads(quoted).removeprefix(">") for quoted in found]


def hashed(password: str) -> str:
    """A password as Redis shows it."""
    return hashlib.sha256(password.encode()).hexdigest()


class Server:
    """The running server. Raises OSError where there is none, or where it does not speak as Redis does."""

    def __init__(self, path: str) -> None:
        self._stream = socket.socket(socket.AF_UNIX)
        self._stream.settimeout(10)
        self._stream.connect(path)
        self._reader = self._stream.makefile("rb")

    def close(self) -> None:
        """End the connection."""
        self._reader.close()
        self._stream.close()

    def ask(self, *words: str) -> object:
        """Send a command and return the answer; a refusal is a ValueError."""
        sent = [word.encode() for word in words]
        self._stream.sendall(b"*%d\r\n" % len(sent) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in sent))
        return self._answer()

    def _answer(self) -> object:
        line = self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise ValueError(rest.decode(errors="replace"))
        if kind in (b"$", b"*") and int(rest) < 0:
            return None
        if kind == b"$":
            return self._reader.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        return rest.decode(errors="replace")

    def is_open_with(self, passwords: list[str]) -> bool:
        """Log in with the first of the passwords that is taken, or without any."""
        return any(self._takes("AUTH", password) for password in passwords) or self._takes("PING")

    def _takes(self, *words: str) -> bool:
        try:
            self.ask(*words)
        except ValueError:
            return False
        return True

    def set_passwords(self, passwords: list[str], is_check: bool) -> bool:
        """Let the server take exactly these passwords, and tell whether it took others."""
        told = self.ask("ACL", "GETUSER", "default")
        if not isinstance(told, list):
            raise OSError("it does not say which passwords it takes")
        shown = dict(zip(told[::2], told[1::2], strict=True))
        is_free = "nopass" in shown["flags"]
        wanted = {hashed(password) for password in passwords}
        if set(shown["passwords"]) == wanted and is_free == (not wanted):
            return False
        if not is_check:
            ways = [f"#{one}" for one in sorted(wanted)] or ["nopass"]
            self.ask("ACL", "SETUSER", "default", "resetpass", *ways)
        return True


def write(path: Path, text: str) -> None:
    """Write the file for Redis alone, whole or not at all."""
    write_atomically(path, text.encode(), 0o640, (pwd.getpwnam("redis").pw_uid, grp.getgrnam("redis").gr_gid))


def needs_writing(path: Path, text: str) -> bool:
    """Whether the file has other content, or another owner or mode, than it has to have."""
    try:
        now = path.stat()
        return path.read_text() != text or (path.owner(), path.group(), now.st_mode & 0o777) != (
            "redis",
            "redis",
            0o640,
        )
    except (OSError, KeyError):
        return True


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "file": {"type": "path", "default": "/etc/redis/password.conf"},
            "socket": {"type": "path", "default": "/run/redis/redis.sock"},
            "password": {"type": "str", "default": "", "no_log": True},
            "keep_old_password": {"type": "bool", "default": False, "no_log": False},
        },
        supports_check_mode=True,
    )
    asked = module.params
    path = Path(asked["file"])
    wanted = [asked["password"]] if asked["password"] else []
    had = passwords_in(path.read_text()) if path.exists() else []
    old = [one for one in had if one not in wanted] if asked["keep_old_password"] and wanted else []
    text = file_text(wanted + old)
    is_changed, is_restart = needs_writing(path, text), False
    if is_changed and not module.check_mode:
        try:
            write(path, text)
        except (OSError, KeyError) as fault:
            module.fail_json(msg=f"{path} cannot be written ({fault}); is redis-server installed? (tag install)")
    try:
        server = Server(asked["socket"])
    except OSError:  # it reads the file when it starts
        module.exit_json(changed=is_changed, old_passwords=len(old), restart=False)
    try:
        if server.is_open_with(wanted + had):
            is_changed = server.set_passwords(wanted + old, module.check_mode) or is_changed
        else:
            is_changed = is_restart = True
    except (OSError, ValueError) as fault:
        module.fail_json(
            msg=f"Redis at {asked['socket']}: {fault}; see journalctl -u redis-server, then run this again"
        )
    finally:
        server.close()
    module.exit_json(changed=is_changed, old_passwords=len(old), restart=is_restart)


if __name__ == "__main__":
    main()
