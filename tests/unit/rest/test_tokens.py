from __future__ import annotations

import asyncio
import stat
from pathlib import Path

from encaja.rest.tokens import Application, Tokens


def test_tokens_are_renewed_kept_and_replaced_by_hand(tmp_path: Path):
    kept = tmp_path / "tokens.json"
    asked: list[str] = []

    class Answer:
        status_code = 200

        def json(self) -> dict[str, str]:
            return {"access_token": f"access{len(asked)}", "refresh_token": f"refresh{len(asked)}"}

    class Client:
        async def get(self, _: str, params: dict[str, str]) -> Answer:
            asked.append(params["refresh_token"])
            return Answer()

    def tokens(refresh: str) -> Tokens:
        return Tokens("", Application("id", "secret", refresh), kept)

    first = tokens("begin")
    asyncio.run(first.renew(Client()))  # type: ignore[arg-type]
    assert (first.access, stat.S_IMODE(kept.stat().st_mode)) == ("access1", 0o600)
    second = tokens("begin")
    assert second.access == "access1"
    asyncio.run(second.renew(Client()))  # type: ignore[arg-type]
    assert asked == ["begin", "refresh1"]
    assert tokens("another").access == ""
