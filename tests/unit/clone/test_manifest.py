"""The list of files: what differs is told from what only changed at the source while it served."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from encaja.clone import manifest
from encaja.errors import EncajaError


def tree(folder: Path) -> dict[str, str]:
    (folder / "bitrix/cache/deep").mkdir(parents=True)
    (folder / "bitrix/cache/deep/x").write_text("cached")
    (folder / "upload").mkdir()
    for name in ("a", "b", "strange\nname \udcff"):
        (folder / "upload" / name).write_text(name.encode("utf-8", "surrogateescape").hex())
        os.utime(folder / "upload" / name, (1000, 1000))
    (folder / "upload/link").symlink_to("a")
    return dict(manifest.entries(folder, contents=True))


def test_everything_but_caches_is_listed(tmp_path: Path) -> None:
    found = tree(tmp_path)
    assert set(found) == {
        "bitrix", "bitrix/cache", "upload", "upload/a", "upload/b", "upload/strange\nname \udcff", "upload/link"
    }  # fmt: skip
    assert found["upload/link"] == "l a"
    assert manifest.unpack(b"".join(manifest.pack(found.items()))) == found


def test_another_content_of_the_same_size_and_time_is_seen_only_by_reading(tmp_path: Path) -> None:
    before = tree(tmp_path)
    quick = dict(manifest.entries(tmp_path))
    (tmp_path / "upload/a").write_text("99")
    os.utime(tmp_path / "upload/a", (1000, 1000))
    assert dict(manifest.entries(tmp_path)) == quick
    assert dict(manifest.entries(tmp_path, contents=True)) != before


FILE = "f 644 5 {}"


def test_what_moved_on_at_the_source_is_no_fault() -> None:
    before = {"same": FILE.format(1), "changed": FILE.format(1), "deleted": FILE.format(1), "chmodded": FILE.format(1)}
    source = {
        "same": FILE.format(1), "changed": FILE.format(2001), "new": FILE.format(2002), "unzipped": FILE.format(3),
        "chmodded": "f 600 5 1",
    }  # fmt: skip
    copy = dict(before) | {"passing": FILE.format(2003)}
    found = manifest.compare(source, copy, before, since=2000)
    assert found.faults == []
    assert (found.alike, found.moved_on) == (1, 6)


def test_what_did_not_move_must_be_alike() -> None:
    before = {"lost": FILE.format(1), "damaged": FILE.format(1)}
    copy = {"damaged": FILE.format(9), "planted": FILE.format(5)}
    found = manifest.compare(before, copy, before, since=2000)
    assert found.faults == ["damaged differs", "lost is missing", "planted is not in the source"]


@pytest.mark.parametrize("name", ["..", ".", "", "/", "/etc", "../trees", "a/..", "a/b", "a\n"])
def test_what_is_no_tree_s_name_leads_nowhere(name: str) -> None:
    with pytest.raises(EncajaError, match="not the name of a tree"):
        manifest.tree_name(name)
    assert manifest.tree_name("20261130-1") == "20261130-1"


@pytest.mark.parametrize("text", [b"a", b"a\0", b"a\0f 644 1 2\0b\0", b"a\0f"])
def test_a_list_that_is_cut_off_is_none(text: bytes) -> None:
    with pytest.raises(EncajaError, match="cut off"):
        manifest.unpack(text)
    assert manifest.unpack(b"") == {}


@pytest.mark.parametrize("known", ["f", "f ", "f 644 1", "f 644 1 soon", "x"])
def test_a_state_that_is_none_is_a_difference(known: str) -> None:
    assert manifest.compare({"a": known}, {"a": "f 644 1 2"}, {"a": known}, since=5).faults == ["a differs"]


def test_a_time_at_the_very_second_of_the_beginning_may_differ_and_one_before_not() -> None:
    before = {"x": FILE.format(1)}
    for at, fault in ((1999, True), (2000, False), (2001, False)):
        assert bool(manifest.compare({}, {"planted": FILE.format(at)}, {}, since=2000).faults) is fault
        same = {"x": FILE.format(at)}
        assert bool(manifest.compare(same, before, same, since=2000).faults) is fault


def test_directories_and_links_have_no_time_that_excuses_them() -> None:
    before = {"d": "d 755", "l": "l a"}
    found = manifest.compare(before, {"d": "d 777", "l": "l b", "d2": "d 755", "l2": "l f 1 2 9999"}, before, since=0)
    assert found.faults == ["d differs", "d2 is not in the source", "l differs", "l2 is not in the source"]
    assert manifest.compare({"d": "d 755"}, {"d": "d 777"}, {"d": "d 700"}, since=0).moved_on == 1


def test_a_name_that_another_one_begins_with_is_another() -> None:
    before = {"upload/a": FILE.format(1), "upload/ab": FILE.format(1)}
    assert manifest.compare(before, {"upload/ab": FILE.format(1)}, before, since=5).faults == ["upload/a is missing"]


def test_what_is_excluded_is_only_what_is_inside(tmp_path: Path) -> None:
    for name in ("bitrix/cache", "bitrix/cache2", "upload/bitrix/cache"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x").write_text("x")
    (tmp_path / ".encaja-partial").write_text("half")
    (tmp_path / "gone").symlink_to("nowhere")
    found = dict(manifest.entries(tmp_path, contents=True))
    assert {name for name in found if name.endswith("/x")} == {"bitrix/cache2/x", "upload/bitrix/cache/x"}
    assert ".encaja-partial" not in found and found["gone"] == "l nowhere"
    assert found["bitrix/cache2"].startswith("d ")
