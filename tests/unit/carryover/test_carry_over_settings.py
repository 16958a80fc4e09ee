"""The job file of a carry-over: read whole, or refused with everything that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.settings import make_settings, read_settings
from encaja.errors import ConfigurationError

HOOKS = {"cloud_webhook": "https://c.test/rest/1/cloudsecret/", "box_webhook": "https://b.test/rest/1/boxsecret/"}
OAUTH = {"client_id": "local.1", "client_secret": "s", "refresh_token": "r"}


def make(**more: Any) -> Any:
    return make_settings({**HOOKS, "state": "/var/lib/x", **more}, "job")


def test_application_whose_tokens_expire_is_read() -> None:
    settings = make(cloud_oauth=OAUTH)
    assert (settings.cloud_oauth.client_id, settings.cloud_oauth.endpoint[:8]) == ("local.1", "https://")
    assert make(cloud_oauth=None).cloud_oauth is None
    assert make(file_hosts=["files.example"]).file_hosts == ("files.example",)


def test_everything_that_is_wrong_is_reported_at_once_and_no_secret() -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(cloud_oauth={"client_id": "x", "secret": "hush"}, conflicts="random", burst="many", color="blue")
    reported = str(caught.value)
    for part in ("color", "conflicts", "burst", "cloud_oauth: lacks client_secret, refresh_token; unknown: secret"):
        assert part in reported
    assert "hush" not in reported
    assert "cloudsecret" not in reported


def test_job_that_others_may_read_is_refused(tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({**HOOKS, "state": str(tmp_path)}))
    job.chmod(0o644)
    with pytest.raises(ConfigurationError, match="mode 0644"):
        read_settings(job)
    job.chmod(0o600)
    assert read_settings(job).cloud.host == "c.test"


def job(tmp_path: Path, mode: int = 0o600, **changes: Any) -> Path:
    given = {
        "cloud_webhook": "https://acme.bitrix24.es/rest/1/secret-code/",
        "box_webhook": "https://crm.acme.es/rest/1/secret-code/",
        "state": str(tmp_path),
        **changes,
    }
    path = tmp_path / "job.json"
    path.touch()
    path.chmod(mode)
    path.write_text(json.dumps(given))
    return path


def test_the_job_is_read_whole(tmp_path: Path) -> None:
    settings = read_settings(job(tmp_path, conflicts="ask", deletions="keep", overlap=3))
    assert (settings.conflicts, settings.deletions, settings.overlap) == ("ask", "keep", 3.0)
    assert settings.cloud.host == "acme.bitrix24.es"


def test_all_faults_of_the_job_are_reported_at_once_without_its_secrets(tmp_path: Path) -> None:
    path = job(
        tmp_path, conflicts="mine", since="yesterday", box_webhook="https://crm.acme.es/secret-code", colour="red"
    )
    with pytest.raises(ConfigurationError) as reported:
        read_settings(path)
    text = str(reported.value)
    assert all(word in text for word in ("conflicts", "since", "box_webhook", "colour"))
    assert "secret-code" not in text


def test_a_job_that_others_may_read_names_its_mode(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="mode 0644"):
        read_settings(job(tmp_path, mode=0o644))
