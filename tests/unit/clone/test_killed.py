"""The tool that copies, killed at every single step: nothing is lost, and the same command ends well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unit.clone.killed_copy import NEW, PARTS, Estate


def holds_the_copy(estate: Estate) -> None:
    assert estate.serving() == NEW
    assert estate.whole_data() == [NEW]
    assert (estate.home / "www").readlink() == Path("trees/t1")
    assert (estate.home / "www/index.php").read_text() == "new"
    assert sorted(path.name for path in estate.datadir.parent.iterdir()) == ["mysql"]
    assert json.loads((estate.state / "database-proven.json").read_text())["name"] == "c1"
    status = json.loads((estate.state / "status.json").read_text())
    assert status["error"] is None
    assert status["phase"] == "done"


def test_undisturbed(tmp_path: Path) -> None:
    estate = Estate(tmp_path)
    assert estate.run() == 0, (tmp_path / "said").read_text()
    holds_the_copy(estate)
    assert estate.run() == 0
    holds_the_copy(estate)


@pytest.mark.integration
@pytest.mark.fault("kill -9: host tool", "clone", "at every step of a physical copy")
def test_killed_at_every_step(tmp_path: Path) -> None:
    killed = 0
    for step in range(1, 1000):
        estate = Estate(tmp_path / str(step))
        code = estate.run(kill_at=step)
        if code == 0:
            break
        assert code == -9, (tmp_path / str(step) / "said").read_text()
        killed += 1
        assert estate.whole_data(), f"after step {step} there is no whole data left"
        assert estate.run() == 0, f"after step {step}: {(tmp_path / str(step) / 'said').read_text()}"
        holds_the_copy(estate)
    assert killed > 60, "the copy takes more steps than that: they are not counted"


@pytest.mark.integration
@pytest.mark.fault("kill -9: host tool", "clone", "at every step of a copy as SQL")
def test_a_copy_as_sql_killed_at_every_step(tmp_path: Path) -> None:
    killed = 0
    for step in range(1, 1000):
        estate = Estate(tmp_path / str(step))
        estate.write_job(method="logical")
        code = estate.run(kill_at=step)
        if code == 0:
            break
        assert code == -9, (tmp_path / str(step) / "said").read_text()
        killed += 1
        loaded = (estate.state / "database-loaded.json").exists()
        assert not loaded or estate.serving() == NEW, f"after step {step} a half loaded copy counts as whole"
        assert estate.run() == 0, f"after step {step}: {(tmp_path / str(step) / 'said').read_text()}"
        assert estate.serving() == NEW
        assert (estate.home / "www").readlink() == Path("trees/t1")
        assert json.loads((estate.state / "status.json").read_text())["phase"] == "done"
    assert killed > 30, "the copy takes more steps than that: they are not counted"


@pytest.mark.parametrize("first", [1, 7, 13])
@pytest.mark.fault("kill -9: host tool", "clone", "again and again, a little later each time")
def test_killed_again_and_again(tmp_path: Path, first: int) -> None:
    """A rerun that is killed a little later each time comes to an end as well."""
    estate = Estate(tmp_path)
    for step in range(first, 400, 7):
        code = estate.run(kill_at=step)
        assert estate.whole_data()
        if code == 0:
            break
        assert code == -9
    holds_the_copy(estate)


@pytest.mark.fault("disk full", "clone", "from every step of a physical copy on")
@pytest.mark.integration
def test_the_disk_is_full_from_any_step_on(tmp_path: Path) -> None:
    filled = 0
    for step in range(1, 1000, 5):
        estate = Estate(tmp_path / str(step))
        code = estate.run(step, full=True)
        if code == 0:
            break
        said = (tmp_path / str(step) / "said").read_text()
        assert code == 1 and "Traceback" not in said, said
        filled += 1
        assert estate.whole_data(), f"after step {step} there is no whole data left"
        assert estate.run() == 0, f"after step {step}: {(tmp_path / str(step) / 'said').read_text()}"
        holds_the_copy(estate)
    assert filled > 12, "the copy takes more steps than that: they are not counted"


@pytest.mark.fault("SSH cut", "clone", "in each answer of the source, and within the database")
@pytest.mark.parametrize("cut", ["ask", "sent", "data", "end"])
def test_a_connection_that_is_cut_costs_another_run(tmp_path: Path, cut: str) -> None:
    estate = Estate(tmp_path)
    assert estate.run(cut=cut) == 1
    assert "closed by remote host" in json.loads((estate.state / "status.json").read_text())["error"]
    assert estate.whole_data()
    assert estate.run() == 0, (tmp_path / "said").read_text()
    holds_the_copy(estate)


@pytest.mark.fault("volume corrupt", "clone", "the server does not start on the copied data")
def test_a_server_that_does_not_start_on_the_copy_gets_its_old_data_back(tmp_path: Path) -> None:
    estate = Estate(tmp_path)
    (tmp_path / "refuse").touch()
    assert estate.run() == 1
    assert estate.serving() == "old"
    assert "it fails" in json.loads((estate.state / "status.json").read_text())["error"]
    (tmp_path / "refuse").unlink()
    assert estate.run() == 0
    holds_the_copy(estate)


@pytest.mark.fault("volume corrupt", "clone", "the copied database is not the source's")
def test_a_copy_that_is_not_what_the_source_had_is_fetched_anew(tmp_path: Path) -> None:
    estate = Estate(tmp_path)
    estate.write_job(parts=["check", "files", "database", "switch-database"])
    assert estate.run() == 0
    (tmp_path / "serving").write_text("damaged on the way")
    estate.write_job(parts=["prove-database"])
    assert estate.run() == 1
    assert "portal.b_user has 18 rows" in json.loads((estate.state / "status.json").read_text())["error"]
    estate.write_job(parts=PARTS)
    assert estate.run() == 0, (tmp_path / "said").read_text()
    holds_the_copy(estate)


def test_what_an_earlier_copy_left_half_done_is_thrown_away(tmp_path: Path) -> None:
    estate = Estate(tmp_path)
    for name in ("mysql.encaja-new", "mysql.encaja-old", "mysql.encaja-gone"):
        (estate.datadir.parent / name).mkdir()
        (estate.datadir.parent / name / "encaja-prepared.json").write_text('{"name": "another"}')
    assert estate.run() == 0, (tmp_path / "said").read_text()
    holds_the_copy(estate)


def test_a_source_that_did_not_hold_still_is_asked_again_and_not_for_ever(tmp_path: Path) -> None:
    estate = Estate(tmp_path)
    (tmp_path / "restless").write_text("xx")
    assert estate.run() == 0, (tmp_path / "said").read_text()
    holds_the_copy(estate)
    other = Estate(tmp_path / "other")
    (tmp_path / "other/restless").write_text("xxx")
    assert other.run() == 1
    assert "changed while its tables were counted" in json.loads((other.state / "status.json").read_text())["error"]
    assert other.serving() == "old"
