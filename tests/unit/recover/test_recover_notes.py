"""What settling noted of a portal goes along with its recovery."""

from __future__ import annotations

from pathlib import Path

from encaja.recover.commands import Journal, RecoverJob, _carry_notes


def test_a_released_portal_is_a_released_one_when_it_is_recovered(tmp_path: Path) -> None:
    job = RecoverJob(tmp_path, tmp_path, tmp_path, tmp_path, {}, tmp_path, state=tmp_path)
    both = Journal(tmp_path / "recovery.json", 0, "", "", "portal_at_1", dump={"database": "portal"})
    _carry_notes(job, both)
    assert list(tmp_path.iterdir()) == [], "a new host has none"
    (tmp_path / "portal.json").write_text('{"released": true}')
    _carry_notes(job, Journal(tmp_path / "recovery.json", 0, "files", "", "portal"))
    _carry_notes(job, both)
    assert (tmp_path / "portal_at_1.json").read_text() == '{"released": true}'
    assert (tmp_path / "portal_at_1.json").stat().st_mode & 0o077 == 0
