"""The source host as a copy sees it: one forced command behind a key that exists only for the copy."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from encaja.clone import frames, manifest
from encaja.errors import EncajaError

Progress = Callable[[int], None]
CONNECT_SECONDS: Final = 15
"""Time limit for a connection to the source."""


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
            f"ConnectTimeout={CONNECT_SECONDS}",
            "ServerAliveInterval=15",
            "IdentitiesOnly=yes",
            "ControlPath=none",
            # The cheapest for the source's processor where both sides know it.
            "Ciphers=^aes128-gcm@openssh.com",
        ]
        return ["ssh", "-p", str(self.port), "-i", str(self.key), *(f"-o{option}" for option in options)]

    def command(self, *words: str) -> list[str]:
        """The command line that asks the source for ``words``."""
        return [*self.ssh(), f"{self.user}@{self.address}", *words]

    def ask(self, *words: str) -> bytes:
        """What the source answers.

        Raises:
            EncajaError: it does not answer, or refuses.
        """
        done = subprocess.run(self.command(*words), capture_output=True, check=False)
        if done.returncode:
            raise EncajaError(last_line(done.stderr), f"source {self.address}", "check that the host is up, then rerun")
        return done.stdout

    def facts(self) -> dict[str, Any]:
        """Versions, sizes and the tree in use, as the source reports them.

        Raises:
            EncajaError: the source does not answer, or not with what it is asked for.
        """
        try:
            found = json.loads(self.ask("facts"))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise EncajaError("answers something else than facts", f"source {self.address}", "run site.yml there")
        if "tree" in found:
            manifest.tree_name(str(found["tree"]))
        return found

    def stream(
        self,
        word: str,
        errors: Path,
        data: Callable[[int, bytes], None],
        end: Callable[[int], None],
        progress: Progress,
    ) -> dict[str, Any]:
        """Have the source send frames for ``word``; returns its closing frame.

        Args:
            word: what is asked for.
            errors: a file for the source's error output.
            data: called with the parts of each stream.
            end: called with the number of each stream that is complete.
            progress: called with the bytes received so far.

        Raises:
            EncajaError: the source failed, or the connection was cut off.
        """
        with (
            errors.open("wb") as said,
            subprocess.Popen(self.command(word), stdout=subprocess.PIPE, stderr=said) as giving,
        ):
            if giving.stdout is None:
                raise RuntimeError("it was opened with a pipe")
            try:
                closing = frames.receive(giving.stdout, data, end, progress)
            except EncajaError as fault:
                giving.kill()
                giving.wait()
                raise EncajaError(
                    last_line(errors.read_bytes(), str(fault.what)), f"source {self.address}", f"see {errors}, rerun"
                ) from fault
            except BaseException:
                giving.kill()
                raise
        return closing


def last_line(text: str | bytes, otherwise: str = "ended without output") -> str:
    """The last line of a program's output, for an error message; without what a terminal would obey."""
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).strip().splitlines()
    return "".join(sign for sign in lines[-1][:1000] if sign.isprintable()) if lines else otherwise
