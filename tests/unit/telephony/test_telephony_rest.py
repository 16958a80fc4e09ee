from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_portal import FakePortal, serve, settings_for

from encaja.rest.tokens import Application, Tokens
from encaja.telephony.rest import RefusalError, TelephonyRest, UnreachableError


def call(url: str, state: Path, **portal: Any) -> Any:
    async def scene() -> Any:
        client = TelephonyRest(settings_for(url, state, **portal).portal, state)
        try:
            return await client.call("telephony.externalcall.show", {"CALL_ID": "1"})
        finally:
            await client.close()

    return asyncio.run(scene())


def test_a_refused_token_that_cannot_be_renewed_keeps_every_call_waiting(tmp_path: Path):
    portal = FakePortal()
    portal.tokens = {"another"}
    with serve(portal) as url, pytest.raises(UnreachableError, match="token was refused") as caught:
        call(url, tmp_path)
    assert "secret-token" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error", "may_have_happened"),
    [
        (503, "QUERY_LIMIT_EXCEEDED", False),
        (429, "OPERATION_TIME_LIMIT", False),
        (403, "insufficient_scope", False),
        (402, "PAYMENT_REQUIRED", False),
        (500, "INTERNAL_SERVER_ERROR", True),
        (502, "", True),
    ],
)
def test_what_concerns_all_calls_makes_them_wait_after_one_try(
    tmp_path: Path, status: int, error: str, may_have_happened: bool
):
    portal, tries = FakePortal(), []

    def answer(method: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        tries.append((method, body["auth"]))
        return status, {"error": error} if error else {}

    portal.answer = answer  # type: ignore[method-assign]
    with serve(portal) as url, pytest.raises(UnreachableError) as caught:
        call(url, tmp_path)
    assert tries == [("telephony.externalcall.show", "secret-token")]
    assert caught.value.may_have_happened is may_have_happened


@pytest.mark.parametrize("error", ["ERROR_CORE", "ACCESS_DENIED"])
def test_a_refusal_concerns_one_call(tmp_path: Path, error: str):
    portal = FakePortal()
    portal.answer = lambda *_: (400, {"error": error, "error_description": "no"})  # type: ignore[method-assign]
    with serve(portal) as url, pytest.raises(RefusalError, match=f"{error}: no") as caught:
        call(url, tmp_path)
    assert caught.value.description == "no"


def test_a_portal_that_is_down_has_done_nothing(tmp_path: Path):
    with pytest.raises(UnreachableError) as caught:
        call("http://127.0.0.1:1", tmp_path)
    assert caught.value.may_have_happened is False


def test_an_expired_token_is_renewed_once_and_the_call_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    renewals = []

    async def renew(self: Tokens, _: httpx.AsyncClient) -> None:
        renewals.append(self.access)
        self.access = "secret-token" if self.access else "expired"

    monkeypatch.setattr(Tokens, "renew", renew)
    portal = FakePortal()
    with serve(portal) as url:
        call(url, tmp_path, token="", oauth=Application("id", "secret", "refresh"))
    assert renewals == ["", "expired"]
    assert portal.steps() == ["show"]
