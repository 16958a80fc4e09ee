"""An action of the collection on the controller, without a play around it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def made(kind: Any, arguments: dict[str, Any], *, loader: Any = None, templar: Any = None, check: bool = False) -> Any:
    """An action that is ready for ``run``.

    Args:
        kind: its class.
        arguments: of its task.
        loader: reads files; a stand-in by default.
        templar: renders templates.
        check: whether the task runs in check mode.
    """
    task = SimpleNamespace(
        args=arguments, check_mode=check, diff=False, async_val=0, action=kind.__module__.rpartition(".")[2],
        get_name=lambda: "Task", collections=[], delegate_to=None, environment=None,
    )  # fmt: skip
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None), reset=lambda: None, become=None)
    return kind(task, connection, SimpleNamespace(), loader or SimpleNamespace(get_real_file=str), templar, None)
