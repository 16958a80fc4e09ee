"""A portal that keeps calls, and misbehaves as a test asks; the connector's settings for it, and a clock."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from encaja.telephony.settings import Manager, PortalSettings, Settings

AGENTS = {"101": 5, "102": 6, "103": 7}
TRUNKS = frozenset({"provider"})
DEFAULT_USER = 1


def settings_for(url: str, state: Path, *, recordings: Path | None = None, **portal: Any) -> Settings:
    portal = {"default_user_id": DEFAULT_USER, "token": "secret-token", "rate": 1000.0, "burst": 1000, **portal}
    return Settings(
        ami=Manager("encaja", "ami-secret"),
        portal=PortalSettings(url=url, **portal),
        agents=AGENTS,
        trunks=TRUNKS,
        cel_database=state / "cel.db",
        recordings=recordings,
        state=state,
    )


class FakePortal:
    """Keeps calls as the portal does: register, finish, attach; and every request that came, in order."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.registered: dict[str, dict[str, Any]] = {}
        self.statistics: list[dict[str, Any]] = []
        self.knows_external_ids = True
        self.active_users = {DEFAULT_USER, *AGENTS.values()}
        self.tokens = {"secret-token"}
        self.down = False
        self.broken_answers: list[str] = []
        self.uploads: list[bytes] = []
        self.upload_url = ""

    def steps(self, call_id: str | None = None) -> list[str]:
        """Return the short names of the methods called, in order."""
        return [
            method.removeprefix("telephony.external").lower().removeprefix("call.")
            for method, body in self.requests
            if call_id is None or body.get("CALL_ID") == call_id
        ]

    def bodies(self, step: str) -> list[dict[str, Any]]:
        return [body for method, body in self.requests if method.lower().endswith(step)]

    def answer(self, method: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.down:
            return 502, {}
        if body.get("auth") not in self.tokens:
            return 401, {"error": "expired_token", "error_description": "The access token provided has expired."}
        self.requests.append((method, {key: value for key, value in body.items() if key != "auth"}))
        name = method.lower().rpartition(".")[2]
        try:
            return 200, {"result": getattr(self, f"do_{name}")(body)}
        except ValueError as refusal:
            return 400, {"error": "ERROR_CORE", "error_description": str(refusal)}

    def do_register(self, body: dict[str, Any]) -> dict[str, Any]:
        self._check_user(body)
        keys = ["PHONE_NUMBER", "TYPE", "USER_ID"] + ["EXTERNAL_CALL_ID"] * self.knows_external_ids
        identity = {key: body[key] for key in keys}
        call_id = next((key for key, call in self.registered.items() if identity.items() <= call.items()), "")
        if not call_id:
            call_id = f"externalCall.{len(self.registered) + len(self.statistics) + 1}"
            self.registered[call_id] = dict(body)
        return {"CALL_ID": call_id, "CRM_CREATED_LEAD": 7, "CRM_ENTITY_TYPE": "LEAD", "CRM_ENTITY_ID": 7}

    def do_show(self, body: dict[str, Any]) -> bool:
        return body["CALL_ID"] in self.registered

    do_hide = do_show

    def do_finish(self, body: dict[str, Any]) -> dict[str, Any]:
        self._check_user(body)
        if body["CALL_ID"] not in self.registered:
            raise ValueError("Call is not found (call should be registered prior to finishing)")
        call = self.registered.pop(body["CALL_ID"])
        row = {"CALL_ID": body["CALL_ID"], "EXTERNAL_CALL_ID": call["EXTERNAL_CALL_ID"], "CRM_ACTIVITY_ID": "55"}
        self.statistics.append({**row, "CALL_DURATION": str(body["DURATION"]), "RECORD_FILE_ID": None})
        return row

    def do_attachrecord(self, body: dict[str, Any]) -> dict[str, Any]:
        if not any(row["CALL_ID"] == body["CALL_ID"] for row in self.statistics):
            raise ValueError("Call is not found in the statistic table. It looks like it is not finished yet.")
        if "FILE_CONTENT" not in body:
            return {"uploadUrl": self.upload_url, "fieldName": "file"}
        return {"FILE_ID": 99}

    def do_get(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        wanted = body["FILTER"]
        return [row for row in self.statistics if wanted.items() <= row.items()]

    def _check_user(self, body: dict[str, Any]) -> None:
        if body["USER_ID"] not in self.active_users:
            raise ValueError("User is not found or is not active")


@contextmanager
def serve(portal: FakePortal) -> Iterator[str]:
    """Serve a portal over HTTP and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            method = self.path.rpartition("/")[2].removesuffix(".json")
            if method == "upload":
                portal.uploads.append(data)
                self._send(200, {"result": {"FILE_ID": 100}})
                return
            status, answer = portal.answer(method, json.loads(data))
            if portal.broken_answers and method.lower().endswith(portal.broken_answers[0]):
                # It was carried out, and the answer is lost on the way.
                portal.broken_answers.pop(0)
                self.close_connection = True
                return
            self._send(status, answer)

        def _send(self, status: int, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        portal.upload_url = f"http://127.0.0.1:{server.server_port}/upload"
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class Clock:
    """A clock that only moves when it is reported to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def time(self) -> float:
        return self.now
