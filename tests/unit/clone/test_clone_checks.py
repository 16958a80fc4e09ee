"""What forbids a copy is named before anything is changed."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from encaja.clone import checks
from encaja.clone.tables import differences

FACTS = {"environment": "production", "host_key": "AAAA", "mariadb": "11.8.3", "crashed": [], "database_bytes": 10**9}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pub"
    path.write_text("ssh-ed25519 BBBB root@copy\n")
    return path


@pytest.mark.parametrize(
    ("marked", "said"),
    [("production", "says that this host is production"), ("", "nothing"), ("test", "says test, the inventory prepro")],
)
def test_the_target_has_to_be_what_the_inventory_says(tmp_path: Path, marked: str, said: str) -> None:
    marker = tmp_path / "environment"
    marker.write_text(f"{marked}\n")
    assert said in checks.environment_faults("preproduction", marker)[0]
    marker.write_text("preproduction\n")
    assert checks.environment_faults("preproduction", marker) == []
    assert checks.environment_faults("preproduction", tmp_path / "none") != []


def test_the_source_has_to_be_another_host_of_the_right_environment_with_the_right_time(key: Path) -> None:
    assert checks.source_faults("a", {**FACTS, "time": time.time()}, "production", key) == []
    told = {**FACTS, "time": time.time() + 600, "host_key": "BBBB", "environment": "test"}
    found = "; ".join(checks.source_faults("a", told, "production", key))
    assert "says that it is test, the inventory production" in found
    assert "this host's own key" in found
    assert "its clock is +600 s" in found


def test_versions_mount_points_and_crashed_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks, "server_version", lambda: "10.11.6")
    found = "; ".join(checks.database_faults({**FACTS, "crashed": ["portal.b_x"]}, "physical", Path("/proc")))
    assert "the source runs MariaDB 11.8.3, this host 10.11.6" in found
    assert "/proc is a mount point" in found
    assert "table portal.b_x is crashed at the source" in found
    assert checks.database_faults(FACTS, "auto", tmp_path) == []
    assert checks.method("auto", "11.8.3", "10.11.6") == "logical"
    assert checks.method("auto", "11.8.3", "11.8.6") == "physical"
    stopped = checks.database_faults({"mariadb": "11.8.3", "mariadb_fault": "no server answers"}, "auto", tmp_path)
    assert len(stopped) == 1
    assert "MariaDB at the source does not answer: no server answers" in stopped[0]
    monkeypatch.setattr(checks, "server_version", lambda: "")
    assert checks.database_faults(FACTS, "auto", tmp_path) == ["MariaDB is not installed here: run site.yml first"]


def test_space_is_added_up_by_file_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000))
    (tmp_path / "other").mkdir()
    assert checks.space_faults({tmp_path: 600, tmp_path / "other": 300}) == []
    assert len(checks.space_faults({tmp_path: 600, tmp_path / "other": 500})) == 1


def test_every_kind_of_difference_of_a_table() -> None:
    one = {"rows": 1, "checksum": 7}
    source = {"a": one, "b": one, "c": one, "d": one, "e": {"fault": "marked as crashed"}}
    copy = {"a": one, "b": {"rows": 2, "checksum": 7}, "c": {"rows": 1, "checksum": 8}, "e": one, "f": one}
    assert differences(source, copy) == [
        "b has 2 rows, the source 1",
        "c has the source's number of rows, but not their content",
        "d is missing",
        "e could not be read: marked as crashed",
        "f is not in the source",
    ]
