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
def test_a_manager_that_cannot_be_heard_is_said_in_one_line(
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

    said = asyncio.run(scene())
    assert says in said
    assert "telephony_ami_password" in said
    assert "\n" not in said


def test_nobody_at_the_managers_port():
    with pytest.raises(ManagerError, match=r"127\.0\.0\.1:1"):
        asyncio.run(ManagerClient(Manager("encaja", "x", port=1)).connect())
