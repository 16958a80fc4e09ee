from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from encaja.errors import ConfigurationError
from encaja.telephony.settings import read_settings

JOB = {
    "ami": {"user": "encaja", "password": "a"},
    "portal": {"url": "https://portal.example/", "token": "t", "default_user_id": 1},
    "agents": {"101": 5},
    "trunks": ["provider"],
    "cel_database": "/var/lib/asterisk/cel.db",
    "recordings": None,
    "state": "/var/lib/encaja/telephony",
}


def write_job(path: Path, changes: dict[str, Any], mode: int = 0o600) -> Path:
    path.write_text(json.dumps({**JOB, **changes}))
    path.chmod(mode)
    return path


def test_a_job_is_read(tmp_path: Path):
    settings = read_settings(write_job(tmp_path / "job.json", {}))
    assert (settings.portal.url, settings.agents, settings.trunks) == (
        "https://portal.example",
        {"101": 5},
        {"provider"},
    )
    assert settings.recordings is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"agnets": {}}, "unknown: agnets"),
        ({"ami": {"user": "x"}}, "missing: password"),
        ({"portal": {"url": "https://x", "default_user_id": 1}}, "neither token nor oauth"),
        ({"portal": {"url": "portal.example", "token": "t", "default_user_id": 1}}, "no web address"),
        ({"agents": {"101": "five"}}, "must map extensions"),
        ({"ami": []}, "must be an object"),
    ],
)
def test_a_wrong_job_is_refused_in_one_line(tmp_path: Path, changes: dict[str, Any], says: str):
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_settings(write_job(tmp_path / "job.json", changes))
    assert "\n" not in str(caught.value)


def test_a_job_that_others_may_read_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="mode 0644"):
        read_settings(write_job(tmp_path / "job.json", {}, 0o644))
