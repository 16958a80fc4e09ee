"""The vendor's updater, by the product's own command line.

``php bitrix.php update:modules`` asks nothing, alters tables, needs a valid key, a way to the vendor, and the console
that composer installs; without it the program prints a hint and ends. Its exit code proves nothing: what was updated is
seen by the modules' versions. Source: behaviour.md 8.6.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

from ..errors import EncajaError
from . import kernel

PROGRAM: Final = "bitrix/bitrix.php"
COMMAND: Final = "update:modules"
_CONSOLES: Final = ("bitrix/vendor/symfony/console", "vendor/symfony/console")


def lacking(root: Path) -> EncajaError | None:
    """What the program needs and this tree does not have; None when it has everything."""
    if not (root / PROGRAM).is_file():
        return EncajaError(
            "this release has no command line for updates", str(root / PROGRAM), "update in the browser once"
        )
    if not any((root / console).is_dir() for console in _CONSOLES):
        return EncajaError(
            "the console that the updater needs is not installed", str(root / "bitrix"),
            "run composer install there, as the portal's user",
        )  # fmt: skip
    return None


def command(root: Path, *words: str, user: str = kernel.USER) -> list[str]:
    """The program as a command line, run as the portal's user."""
    run = ["php", "-d", "max_execution_time=0", str(root / PROGRAM), *words]
    return ["runuser", "--user", user, "--", *run] if os.geteuid() == 0 else run


def words(modules: Sequence[str] = (), versions: Path | None = None) -> list[str]:
    """What is given to the program: all modules, or those named, or those of a file of versions."""
    return [COMMAND, *(["-m", ",".join(modules)] if modules else []), *(["-i", str(versions)] if versions else [])]


def run(root: Path, given: Sequence[str], log: IO[bytes], seconds: float, user: str = kernel.USER) -> None:
    """Run it; what it prints goes to ``log``.

    Raises:
        EncajaError: it ended with an error, or took too long and was killed.
    """
    with subprocess.Popen(
        command(root, *given, user=user), cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired as fault:
            raise EncajaError(
                f"the updater did not end within {seconds:.0f} s", str(root), "run it again, or switch back"
            ) from fault
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if code:
        raise EncajaError(f"the updater ended with {code}", str(root), "see its log, or switch back")
