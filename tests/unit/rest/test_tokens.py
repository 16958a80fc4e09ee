from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import httpx
import pytest

from encaja.rest.tokens import Application, TokenError, Tokens


def test_tokens_are_renewed_kept_and_replaced_by_hand(tmp_path: Path):
    kept = tmp_path / "tokens.json"
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["refresh_token"])
        number = len(asked)
        return httpx.Response(200, json={"access_token": f"access{number}", "refresh_token": f"refresh{number}"})

    def tokens(refresh: str) -> Tokens:
        return Tokens("", Application("id", "secret", refresh), kept)

    first = tokens("begin")
    asyncio.run(first.renew(httpx.AsyncClient(transport=httpx.MockTransport(answer))))
    assert (first.access, stat.S_IMODE(kept.stat().st_mode)) == ("access1", 0o600)
    second = tokens("begin")
    assert second.access == "access1"
    asyncio.run(second.renew(httpx.AsyncClient(transport=httpx.MockTransport(answer))))
    assert asked == ["begin", "refresh1"]
    assert tokens("another").access == ""


@pytest.mark.parametrize(
    "content",
    [
        b'{"access_token": 7}',
        b'{"access_token": "a", "refresh_token": {}}',
        b'["access_token"]',
        b"[" * 200_000,
        b'{"error": "\\u001b[2Jinvalid_grant"}',
    ],
)
def test_what_is_no_token_is_not_kept(content: bytes, tmp_path: Path):
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=content)))
    tokens = Tokens("", Application("id", "secret", "begin"), tmp_path / "tokens.json")
    with pytest.raises(TokenError, match="tokens not renewed") as caught:
        asyncio.run(tokens.renew(client))
    assert "\x1b" not in str(caught.value)
    assert tokens.access == "" and not (tmp_path / "tokens.json").exists()
