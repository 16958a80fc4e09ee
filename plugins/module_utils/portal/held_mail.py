"""Mail that PHP sent before the release: letters past the portal's queue, kept by the host's mailer (role ``mail``).

While ``HOLD`` exists the mailer writes each letter into ``SPOOL``: its own arguments, one a line, an empty line, and
the letter. A name that begins with a dot is a letter that is still being written, and nobody was told that it was sent.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any, BinaryIO, Final

from .. import atomic

HOLD: Final = Path("/etc/encaja/mail.held")
SPOOL: Final = Path("/var/spool/encaja-mail")
MAILER: Final = Path("/usr/local/lib/encaja/mailer")
PROGRAM: Final = "/usr/bin/msmtp"
KIND: Final = "immediate"
"""As decisions name it."""
_ADDRESS: Final = re.compile(r"[^\s\"'<>;:,]+@[^\s\"'<>;:,]+")
_SENT: Final = ".sent"
_HEADERS: Final = 65536
_FAILURES: Final = 3
"""Letters in a row that the relay does not take before the others are left alone."""


def hold(marker: Path = HOLD, mailer: Path = MAILER, *, check: bool = False) -> bool:
    """Have the mailer keep letters from now on; returns whether that is a change."""
    if marker.exists() or not mailer.exists():
        return False
    if not check:
        atomic.write_atomically(marker, b"", 0o644)
    return True


def let_pass(marker: Path = HOLD) -> None:
    """Have the mailer send letters from now on."""
    marker.unlink(missing_ok=True)
    if marker.parent.is_dir():
        atomic.sync_folder(marker.parent)


def waiting(spool: Path = SPOOL, shown: int = 50) -> list[dict[str, Any]]:
    """The letters that are kept, as ``outbox.waiting`` gives a queue: empty where there are none."""
    letters = _letters(spool)
    first = []
    for file in letters[:shown]:
        with suppress(OSError), _open(file) as stream:
            _arguments(stream)
            headers = message_from_bytes(stream.read(_HEADERS))
            to = ", ".join(str(headers[name]) for name in ("To", "Cc", "Bcc") if headers[name])
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(os.fstat(stream.fileno()).st_mtime))
            first.append({"to": ", ".join(dict.fromkeys(_ADDRESS.findall(to))), "what": _text(headers["Subject"]),
                          "when": since})  # fmt: skip
    return [{"kind": KIND, "table": str(spool), "entries": len(letters), "first": first}] if letters else []


def decide(decision: str, spool: Path = SPOOL, program: str = PROGRAM) -> dict[str, Any]:
    """Send the letters that are kept, remove them, or leave them.

    A letter goes from the spool when the relay has taken it, which is noted beside it first: a run that was cut off
    sends none twice, unless the host loses power between the relay's answer and the note.

    Args:
        decision: ``release``, ``purge`` or ``hold``.
        spool: the folder.
        program: what sends a letter, as its owner.

    Returns:
        ``sent``, ``purged`` and ``left``, and ``fault`` (why the first of those that could not be sent is left).
    """
    result: dict[str, Any] = {"sent": 0, "purged": 0, "left": 0, "fault": ""}
    failures = 0
    for file in _letters(spool):
        if decision == "purge":
            _remove(file)
            result["purged"] += 1
        elif decision == "hold" or failures >= _FAILURES:
            result["left"] += 1
        elif fault := _send(file, program):
            failures += 1
            result["left"] += 1
            result["fault"] = result["fault"] or fault
        else:
            failures = 0
            result["sent"] += 1
    if decision == "purge" and spool.is_dir():
        for rest in spool.iterdir():
            rest.unlink(missing_ok=True)
        atomic.sync_folder(spool)
    return result


def _letters(spool: Path) -> list[Path]:
    names = sorted(spool.iterdir()) if spool.is_dir() else []
    return [file for file in names if not file.name.startswith(".") and file.suffix != _SENT]


def _open(file: Path) -> BinaryIO:
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{file} is no letter")
    return os.fdopen(descriptor, "rb")


def _arguments(stream: BinaryIO) -> list[str]:
    def words() -> Iterator[str]:
        while line := stream.readline().rstrip(b"\n"):
            yield os.fsdecode(line)

    return list(words())


def _send(file: Path, program: str) -> str:
    """Send one letter and remove it; returns why it could not be sent.

    Its owner sends it, for the arguments are his. The lock goes on to the program: the next run waits for one that
    outlived its own.
    """
    note = file.with_name(file.name + _SENT)
    try:
        stream = _open(file)
    except OSError as fault:
        return str(fault) if os.path.lexists(file) else ""
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        if not os.fstat(stream.fileno()).st_nlink:
            return ""
        if not (note.exists() and "exitcode=EX_OK" in note.read_text(errors="replace")):
            owner = os.fstat(stream.fileno())
            arguments = _arguments(stream)
            os.lseek(stream.fileno(), stream.tell(), os.SEEK_SET)
            command = [program, f"--logfile={note}", *arguments]
            given: dict[str, Any] = {}
            if os.geteuid() == 0:
                given = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
            try:
                done = subprocess.run(command, stdin=stream, capture_output=True, check=False, **given)
            except OSError as fault:
                return f"{program}: {fault.strerror}"
            if done.returncode:
                return done.stderr.decode(errors="replace").strip()[-200:] or f"{program} ended with {done.returncode}"
        _remove(file)
    return ""


def _remove(file: Path) -> None:
    """The letter first: its note alone means nothing."""
    file.unlink(missing_ok=True)
    atomic.sync_folder(file.parent)
    file.with_name(file.name + _SENT).unlink(missing_ok=True)


def _text(value: Any) -> str:
    try:
        return str(make_header(decode_header(str(value or ""))))
    except (ValueError, LookupError):
        return str(value or "")
