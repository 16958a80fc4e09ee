"""What is not carried is said in the client's language too."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from encaja.carryover.not_carried import not_carried
from encaja.rest.command import Answer, Command


class Cloud:
    """Has invoices and one type of its own, and no quotes."""

    async def call(self, method: str, parameters: dict[str, Any]) -> Any:
        assert (method, parameters) == ("crm.type.list", {"order": {"id": "ASC"}})
        return "the first page"

    async def rest_of(self, first: str, key: str) -> list[dict[str, str]]:
        assert (first, key) == ("the first page", "types")
        return [{"entityTypeId": "130", "title": "Machines"}]

    async def batch(self, commands: list[Command]) -> list[Answer]:
        totals = {7: 0, 31: 12, 130: 3}
        return [Answer(command, total=totals[command.parameters["entityTypeId"]]) for command in commands]


def test_every_row_is_in_both_languages_with_its_count() -> None:
    context: Any = SimpleNamespace(
        cloud=Cloud(),
        since=datetime(2026, 10, 1, tzinfo=UTC),
        left={("activity", "what it belongs to is not in the box"): {"1", "2"}},
        refused={"task": "ACCESS_DENIED"},
        map=SimpleNamespace(times_to_set=lambda: ["lead:1"], faults=list),
    )
    rows = asyncio.run(not_carried(context))
    assert all(row[part].get(language) for row in rows for part in ("what", "why") for language in ("en", "es"))
    counts = {row["what"]["es"]: row["count"] for row in rows}
    assert {name: counts[name] for name in ("facturas", "Machines", "actividades", "tareas")} == {
        "facturas": 12, "Machines": 3, "actividades": 2, "tareas": None,
    }  # fmt: skip
    assert "presupuestos" not in counts
    assert "horas de creación y autores" in counts
