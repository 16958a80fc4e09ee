from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fake_asterisk import FakeAsterisk

from encaja.telephony.ami import ManagerClient, ManagerError
from encaja.telephony.settings import Manager


@pytest.mark.parametrize(
    ("password", "silent", "says"), [("wrong", False, "Authentication failed"), ("ami-secret", True, "no answer")]
)
def test_a_manager_that_is_not_available_is_reported_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, password: str, silent: bool, says: str
):
    monkeypatch.setattr("encaja.telephony.ami.ANSWER_SECONDS", 0.2)

    async def scene() -> str:
        asterisk = FakeAsterisk(tmp_path / "cel.db")
        asterisk.silent = silent
        async with asterisk.run():
            client = ManagerClient(Manager("encaja", password, port=asterisk.port))
            try:
                await client.connect()
            except ManagerError as fault:
                return str(fault)
            finally:
                await client.close()
        return ""

    message = asyncio.run(scene())
    assert says in message
    assert "telephony_ami_password" in message
    assert "\n" not in message


def test_nothing_at_the_managers_port():
    with pytest.raises(ManagerError, match=r"127\.0\.0\.1:1"):
        asyncio.run(ManagerClient(Manager("encaja", "x", port=1)).connect())
