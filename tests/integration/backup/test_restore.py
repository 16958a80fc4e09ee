"""A restore ends in the archive's tree and rows, whatever happens on the way."""

from __future__ import annotations

import json

import pytest
from restoring import NAMES, definitions, expected_tree, job, rows, run, tree, write_job

pytestmark = pytest.mark.integration


def assert_restored(home, database, kind="plain"):
    reference = f"reference_{kind.replace('-', '_')}"
    assert rows(database, "portal_s1") == rows(database, reference)
    assert definitions(database, "portal_s1").keys() == definitions(database, reference).keys()
    assert tree(home / "trees" / "s1") == expected_tree(kind)
    assert (home / "www").resolve() == home / "trees" / "s1"
    assert database.run("SELECT @@GLOBAL.max_allowed_packet, @@GLOBAL.innodb_flush_log_at_trx_commit") == [
        (16 << 20, 1)
    ]


@pytest.mark.parametrize("kind", sorted(NAMES))
def test_local_archive(kind, home, database):
    code, text = run(write_job(home / "job.json", job(home, database, kind)))
    assert code == 0, text
    assert_restored(home, database, kind)
    status = json.loads((home / "work" / "status.json").read_text())
    assert status["phase"] == "done" and status["error"] is None
