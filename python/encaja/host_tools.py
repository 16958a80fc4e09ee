"""The host tools: long, stateful work on a host, run by systemd from the zipapp.

``python3 encaja.pyz <tool> <job.json>``; only Debian packages are needed, and only those of the tool that runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from encaja.errors import EncajaError

TOOLS = {
    "carry-over-decide": "encaja.carryover.commands:decide_conflicts",
    "carry-over-follow": "encaja.carryover.commands:follow",
    "carry-over-forget-tests": "encaja.carryover.commands:forget_tests",
    "carry-over-once": "encaja.carryover.commands:once",
    "carry-over-prepare": "encaja.carryover.commands:prepare_cloud",
    "carry-over-preview": "encaja.carryover.commands:preview",
    "carry-over-reconcile": "encaja.carryover.commands:reconcile_both",
    "carry-over-tag-tests": "encaja.carryover.commands:tag_tests",
    "clone": "encaja.clone.commands:run",
    "clone-source": "encaja.clone.source:run",
    "health": "encaja.health.commands:health",
    "health-show": "encaja.health.commands:show",
    "recover": "encaja.recover.commands:recover",
    "recover-rollback": "encaja.recover.commands:rollback",
    "restore": "encaja.restore.commands:restore",
    "restore-cleanup": "encaja.restore.commands:cleanup",
    "restore-rollback": "encaja.restore.commands:rollback",
    "telephony": "encaja.telephony.connector:run",
    "telephony-calls": "encaja.telephony.calls:run",
    "update": "encaja.update.commands:update",
    "update-rollback": "encaja.update.commands:rollback",
}
"""Tool names and the functions that carry them out: job file in, exit code out."""


def main(arguments: list[str] | None = None) -> int:
    """Run a tool.

    Returns:
        Its exit code: 0 done, 1 failed, 2 bad usage.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 2 or given[0] not in TOOLS:
        print(f"usage: encaja.pyz {{{'|'.join(sorted(TOOLS))}}} JOB.json", file=sys.stderr)
        return 2
    module, _, name = TOOLS[given[0]].partition(":")
    tool: Callable[[Path], int] = getattr(import_module(module), name)
    try:
        return tool(Path(given[1]))
    except EncajaError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:  # such as a disk that is full before there is a status file
        where = str(error.filename or given[1])
        print(EncajaError(error.strerror or str(error), where, "solve that, then rerun"), file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
