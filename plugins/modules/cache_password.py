#!/usr/bin/python
"""Sets the password of a running Redis without a restart; the old one stays valid while clients are updated."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_password
short_description: Set the password of Redis in its file and in the running server
description:
  - Writes the file that C(redis.conf) includes, then compares the running server with it and sets what differs. So the
    next run completes an interrupted one, and no connection is closed.
  - Connects through the server's socket; no password appears in the process list.
options:
  file:
    description: The file, included by C(redis.conf).
    type: path
    default: /etc/redis/password.conf
  socket:
    description: Socket of the server. A stopped server reads the file when it starts.
    type: path
    default: /run/redis/redis.sock
  password:
    description: The password. Empty for a server without one.
    type: str
    default: ""
  keep_old_password:
    description:
      - Whether passwords in the file stay valid in addition to the new one, so that clients can be updated one by one.
        The same task without this option revokes the old ones.
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
  description: Number of old passwords that the server still accepts.
  returned: always
  type: int
restart:
  description: Whether the running server accepts none of these passwords and must be restarted.
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
    """The file for a server that accepts each of these passwords; without any it requires none."""
    if not passwords:
        return HEAD
    ways = " ".join(json.dumps(f">{password}", ensure_ascii=False) for password in passwords)
    return f"{HEAD}user default on {ways} ~* &* +@all\n"


def passwords_in(text: str) -> list[str]:
    """The passwords in such a file, also in its older form (``requirepass``)."""
    found = [first or second for first, second in QUOTED.findall(text)]
    return [json.loads(quoted).removeprefix(">") for quoted in found]


def hashed(password: str) -> str:
    """A password's hash as Redis shows it."""
    return hashlib.sha256(password.encode()).hexdigest()


class Server:
    """The running server. Raises OSError if there is none, or if its answer is not Redis's protocol."""

    def __init__(self, path: str) -> None:
        self._stream = socket.socket(socket.AF_UNIX)
        self._stream.settimeout(10)
        self._stream.connect(path)
        self._reader = self._stream.makefile("rb")

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()
        self._stream.close()

    def ask(self, *words: str) -> object:
        """Send a command and return the reply; an error reply is a ValueError."""
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
        """Authenticate with the first password that is accepted, or without any."""
        return any(self._takes("AUTH", password) for password in passwords) or self._takes("PING")

    def _takes(self, *words: str) -> bool:
        try:
            self.ask(*words)
        except ValueError:
            return False
        return True

    def set_passwords(self, passwords: list[str], is_check: bool) -> bool:
        """Make the server accept exactly these passwords; returns whether it accepted others."""
        reply = self.ask("ACL", "GETUSER", "default")
        if not isinstance(reply, list):
            raise OSError("unexpected reply to ACL GETUSER")
        shown = dict(zip(reply[::2], reply[1::2], strict=True))
        is_free = "nopass" in shown["flags"]
        wanted = {hashed(password) for password in passwords}
        if set(shown["passwords"]) == wanted and is_free == (not wanted):
            return False
        if not is_check:
            ways = [f"#{one}" for one in sorted(wanted)] or ["nopass"]
            self.ask("ACL", "SETUSER", "default", "resetpass", *ways)
        return True


def write(path: Path, text: str) -> None:
    """Write the file atomically, readable by Redis only."""
    write_atomically(path, text.encode(), 0o640, (pwd.getpwnam("redis").pw_uid, grp.getgrnam("redis").gr_gid))


def needs_writing(path: Path, text: str) -> bool:
    """Whether the file has other content, or another owner or mode, than it must have."""
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
