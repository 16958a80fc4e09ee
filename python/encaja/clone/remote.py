"""The source host as a copy sees it: one forced command behind a key that exists only for the copy."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..errors import EncajaError

Progress = Callable[[int], None]
CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """How to reach the source: address, key and known host key."""

    address: str
    key: Path
    known_hosts: Path
    port: int = 22
    user: str = "root"

    def ssh(self) -> list[str]:
        """The ssh command with every option but the destination."""
        options = [
            f"UserKnownHostsFile={self.known_hosts}",
            "StrictHostKeyChecking=yes",
            "BatchMode=yes",
            "ConnectTimeout=15",
            "ServerAliveInterval=15",
            "IdentitiesOnly=yes",
        ]
        return ["ssh", "-p", str(self.port), "-i", str(self.key), *(f"-o{option}" for option in options)]

    def command(self, word: str) -> list[str]:
        """The command line that runs ``word`` of the forced command on the source."""
        return [*self.ssh(), f"{self.user}@{self.address}", word]

    def facts(self) -> dict[str, Any]:
        """Versions, sizes and the tree in use, as the source tells them.

        Raises:
            EncajaError: the source does not answer.
        """
        done = subprocess.run(self.command("facts"), capture_output=True, text=True, check=False)
        if done.returncode:
            raise EncajaError(last_line(done.stderr), f"source {self.address}", "check that the host is up, then rerun")
        told: dict[str, Any] = json.loads(done.stdout)
        return told


def last_line(text: str | bytes) -> str:
    """The last thing that a program said, for an error's one line."""
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).strip().splitlines()
    return lines[-1] if lines else "ended without a word"


def pump(producer: list[str], consumer: list[str], progress: Progress, errors: Path, cwd: Path | None = None) -> int:
    """Stream ``producer`` into ``consumer``, counting; return the bytes.

    Raises:
        EncajaError: either end failed; what they said is in the file ``errors``.
    """
    total = 0
    with (
        errors.open("wb") as said,
        subprocess.Popen(producer, stdout=subprocess.PIPE, stderr=said) as giving,
        subprocess.Popen(consumer, stdin=subprocess.PIPE, stdout=said, stderr=said, cwd=cwd) as taking,
    ):
        source, sink = _pipes(giving, taking)
        try:
            while chunk := source.read(CHUNK):
                sink.write(chunk)
                total += len(chunk)
                progress(total)
            sink.close()
        except BrokenPipeError:
            giving.kill()
        codes = (giving.wait(), taking.wait())
    if any(codes):
        raise EncajaError(last_line(errors.read_bytes()), f"{producer[0]} | {consumer[0]}", f"see {errors}, then rerun")
    return total


def _pipes(giving: subprocess.Popen[bytes], taking: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if giving.stdout is None or taking.stdin is None:
        raise RuntimeError("both ends were opened with pipes")
    return giving.stdout, taking.stdin
