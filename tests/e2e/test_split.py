"""One environment on four hosts, a host per function: the same roles, another inventory."""

from __future__ import annotations

from e2e.conftest import Lab
from e2e.test_move import changed


def test_the_split_estate_converges_and_stays(split: Lab) -> None:
    virgin = split.play("site.yml", "--check")
    assert virgin.returncode == 0, virgin.stdout[-4000:]
    first = split.play("site.yml")
    assert first.returncode == 0, first.stdout[-4000:]
    second = split.play("site.yml")
    assert second.returncode == 0, second.stdout[-4000:]
    assert set(changed(second.stdout).values()) == {0}, second.stdout[-4000:]


def test_the_portal_reaches_its_neighbours(split: Lab) -> None:
    listening = split.shell("database", "ss -Hlnt sport = :3306")
    assert "3306" in listening
    settings = split.shell("portal", "ss -Hlnt sport = :3306 | wc -l")
    assert settings == "0"
