from __future__ import annotations

from pathlib import Path

from encaja.carryover.mapping.identity_map import IdentityMap
from encaja.carryover.prepare import prepared_since
from encaja.carryover.rounds import set_aside
from encaja.carryover.settings import Settings


def test_another_restore_is_another_box_and_starts_over(tmp_path: Path) -> None:
    first, second = tmp_path / "trees/a", tmp_path / "trees/b"
    first.mkdir(parents=True)
    second.mkdir()
    live = tmp_path / "www"
    live.symlink_to(first)
    settings = Settings("", "", tmp_path / "state", portal_root=str(live))
    set_aside(settings)
    with IdentityMap(settings.state) as identities:
        identities.done("lead", "5", "6")
    (settings.state / "prepared.json").write_text('{"since": "2026-11-20T10:00:00+00:00"}')

    set_aside(settings)
    with IdentityMap(settings.state) as identities:
        assert identities.box_id("lead", "5") == "6", "the same tree keeps its map"

    live.unlink()
    live.symlink_to(second)
    set_aside(settings)
    with IdentityMap(settings.state) as identities:
        assert identities.box_id("lead", "5") is None
    assert list(settings.state.glob("identity-*.sqlite3")), "the old one is kept beside it"
    assert prepared_since(settings) == "2026-11-20T10:00:00+00:00"
