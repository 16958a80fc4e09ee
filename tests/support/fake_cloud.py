"""A cloud portal in memory: rows, batches, the documented limits, and any misbehaviour that a test asks for."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

from encaja.rest.client import RestClient
from encaja.rest.limiter import Limiter, Limits
from encaja.rest.webhook import Webhook
from support.virtual_time import clock

HOOK = "https://cloud.test/rest/1/s3cr3t/"
SHIFT = 1_700_000_000.0  # the portal's clock is not ours


class FakeCloud:
    """Answers requests. ``cost`` is the operating time of one command in seconds, ``latency`` that of a request."""

    def __init__(self, *, rows: int = 0, cost: float = 0.0, rate: int = 2, bucket: int = 50, operating: float = 480.0):
        self.rows = {"crm.lead.list": [{"ID": str(n), "TITLE": f"lead {n}"} for n in range(1, rows + 1)]}
        self.cost, self.rate, self.bucket, self.operating = cost, rate, bucket, operating
        self.latency: Callable[[], float] = lambda: random.uniform(0.05, 0.8)
        self.refusals: list[str] = []
        self.log: list[tuple[str, dict[str, Any]]] = []
        self.faults: list[Callable[[httpx.Request], httpx.Response]] = []
        """Taken one by one in place of an answer."""
        self.methods: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.next: dict[str, Callable[[dict[str, Any]], int | None]] = {}
        self.active = self.most_active = 0
        self._level, self._second = 0.0, 0
        self._baskets: dict[str, list[tuple[float, float]]] = {}

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            await asyncio.sleep(self.latency() / 2)
            answer = self._answer(request)
            await asyncio.sleep(self.latency() / 2)
            return answer
        finally:
            self.active -= 1

    def _answer(self, request: httpx.Request) -> httpx.Response:
        second = int(clock())
        self._level = max(0.0, self._level - (second - self._second) * self.rate)
        self._second = second
        if self._level + 1 > self.bucket:
            self.refusals.append("QUERY_LIMIT_EXCEEDED")
            return httpx.Response(503, json={"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"})
        self._level += 1
        if self.faults:
            return self.faults.pop(0)(request)
        method = request.url.path.rpartition("/")[2].removesuffix(".json")
        body = json.loads(request.content)
        if method != "batch":
            self.log.append((method, body))
            return self._response(self.do(method, body))
        out: dict[str, Any] = {
            "result": {},
            "result_error": {},
            "result_time": {},
            "result_total": [],
            "result_next": {},
        }
        for name, command in body["cmd"].items():
            inner, _, query = command.partition("?")
            parameters = self._parse(query, out["result"])
            self.log.append((inner, parameters))
            answer = self.do(inner, parameters)
            if "error" in answer:
                out["result_error"][name] = {key: answer[key] for key in ("error", "error_description")}
                if body.get("halt"):
                    break
            else:
                out["result"][name] = answer["result"]
                out["result_time"][name] = answer["time"]
                if "next" in answer:
                    out["result_next"][name] = answer["next"]
        return httpx.Response(200, json={"result": out, "time": {}})

    @staticmethod
    def _response(answer: dict[str, Any]) -> httpx.Response:
        status = {"OPERATION_TIME_LIMIT": 429, "insufficient_scope": 403, "INVALID_CREDENTIALS": 401}
        return httpx.Response(status.get(answer.get("error", ""), 400) if "error" in answer else 200, json=answer)

    def _parse(self, query: str, results: dict[str, Any]) -> dict[str, Any]:
        parameters: dict[str, Any] = {}
        for pair in filter(None, query.split("&")):
            name, _, text = (unquote(part) for part in pair.partition("="))
            first, *more = re.findall(r"[^\[\]]+", name)
            place = parameters
            for part in more:
                place, first = place.setdefault(first, {}), part
            place[first] = self._refer(text, results)
        return parameters

    @staticmethod
    def _refer(text: str, results: dict[str, Any]) -> str:
        if not (found := re.fullmatch(r"\$result((?:\[[^\]]*\])+)", text)):
            return text
        value: Any = results
        for key in re.findall(r"\[([^\]]*)\]", found[1]):
            try:
                value = value[int(key)] if isinstance(value, list) else value[key]
            except (KeyError, IndexError, TypeError):
                return ""
        return str(value)

    def do(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        now = clock()
        baskets = [entry for entry in self._baskets.get(method, []) if entry[0] + 600 > now]
        if sum(seconds for _, seconds in baskets) > self.operating:
            self.refusals.append("OPERATION_TIME_LIMIT")
            return {"error": "OPERATION_TIME_LIMIT", "error_description": "Method is blocked"}
        if baskets and int((baskets[-1][0] + SHIFT) // 60) == int((now + SHIFT) // 60):
            baskets[-1] = (baskets[-1][0], baskets[-1][1] + self.cost)
        else:
            baskets.append((now, self.cost))
        self._baskets[method] = baskets
        time = {
            "finish": now + SHIFT,
            "duration": self.cost,
            "operating": sum(seconds for _, seconds in baskets),
            "operating_reset_at": int(baskets[0][0] + 600 + SHIFT),
        }
        if method in self.methods:
            result = self.methods[method](parameters)
            if isinstance(result, dict) and "error" in result:
                return result
            following = self.next[method](parameters) if method in self.next else None
            return {"result": result, "time": time} | ({"next": following} if following else {})
        if method in self.rows:
            return {"result": self.listed(self.rows[method], parameters), "time": time}
        return {"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"}

    @staticmethod
    def listed(rows: list[dict[str, Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        given = parameters.get("filter", {})
        after, upto = int(given.get(">ID") or 0), int(given.get("<=ID") or 10**9)
        found = [row for row in rows if after < int(row["ID"]) <= upto]
        return found[-50:][::-1] if parameters["order"]["ID"] == "DESC" else found[:50]

    def portal(self, folder: Path, limits: Limits | None = None, **more: Any) -> RestClient:
        limiter = Limiter("cloud.test", folder, limits, clock=clock)
        return RestClient(Webhook.parse(HOOK), limiter, transport=httpx.MockTransport(self), **more)
