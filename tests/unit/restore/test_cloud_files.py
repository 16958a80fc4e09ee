"""The files of the cloud that are not in the archive."""

from __future__ import annotations

import os

import pytest

from encaja.restore import cloud_files
from encaja.restore.errors import BackupError
from lab.misbehaving_server import Fault, serving

MANIFEST = """<?php die(); ?>
2026-10-01 10:00:00 5 b1/iblock/a b.txt
2026-10-01 10:00:00 3 b1/cache/x.txt
2026-10-01 10:00:00 4 b1/gone.txt
2026-10-01 10:00:00 6 b1/there.txt
"""


def test_cloud_manifest(tmp_path):
    mirror, tree = tmp_path / "mirror", tmp_path / "tree"
    (mirror / "b1" / "iblock").mkdir(parents=True)
    (mirror / "b1" / "iblock" / "a b.txt").write_bytes(b"12345")
    (tree / "upload").mkdir(parents=True)
    (tree / "upload" / "there.txt").write_bytes(b"123456")
    files = cloud_files.read_manifest(MANIFEST, "m")
    assert [(file.place, file.size) for file in files] == [
        ("upload/iblock/a b.txt", 5), ("upload/gone.txt", 4), ("upload/there.txt", 6),
    ]  # fmt: skip
    with serving(mirror, [Fault("status", times=2, at=503)]) as server:
        found = cloud_files.CloudFetcher(tree, (server.url.rstrip("/"),), pause_seconds=0.01).run(files)
    assert (found.fetched, found.present, found.missing) == (1, 1, ["b1/gone.txt"])
    assert (tree / "upload" / "iblock" / "a b.txt").read_bytes() == b"12345"


@pytest.mark.parametrize("line", ["nonsense", "2026-10-01 10:00:00 x b/a"])
def test_bad_line_of_a_manifest_is_named(line):
    with pytest.raises(BackupError, match="m, line 2"):
        cloud_files.read_manifest(f"2026-10-01 10:00:00 5 b/a\n{line}\n", "m")


def test_no_path_of_a_manifest_leaves_the_tree():
    with pytest.raises(BackupError, match="leaves the tree"):
        cloud_files.read_manifest("2026-10-01 10:00:00 5 b/../../etc/x\n", "m")


def test_a_folder_of_cloud_files_that_a_killed_run_did_not_give_away_is_given_away(tmp_path, monkeypatch):
    (tmp_path / "upload" / "iblock").mkdir(parents=True)
    given = []
    monkeypatch.setattr(os, "chown", lambda folder, *owner: given.append((folder, *owner)))
    fetcher = cloud_files.CloudFetcher(tmp_path, (), (33, 33))
    fetcher._folders(tmp_path / "upload" / "iblock")
    fetcher._folders(tmp_path / "upload" / "iblock")
    assert given == [(tmp_path / "upload", 33, 33), (tmp_path / "upload" / "iblock", 33, 33)]
