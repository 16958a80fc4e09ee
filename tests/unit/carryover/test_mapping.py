from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.deletions import Identifiers
from encaja.carryover.mapping.translation import Field, Rewriter, Side, Translation, short_name
from encaja.carryover.records.updates import _multi
from encaja.carryover.settings import read_settings
from encaja.errors import ConfigurationError

KNOWN = {("contact", "7"): "70", ("lead", "5"): "50", ("company", "1"): "1"}


def fields(**more: Field) -> dict[str, Field]:
    return {
        "title": Field("text", "title", dynamic=False),
        "contactIds": Field("refs", "contactIds", dynamic=False, refers="contact"),
        "companyId": Field("ref", "companyId", dynamic=False, refers="company"),
        "assignedById": Field("user", "assignedById", dynamic=False),
        "stageId": Field("status", "stageId", dynamic=False, dictionary="STATUS"),
        "ufCrmKind": Field("choice", "Kind", dynamic=True, choices={"1": "flat", "2": "house"}),
        **more,
    }


def side(**changes: Any) -> Side:
    people = {"1": {"NAME": "A", "LAST_NAME": "B", "EMAIL": "a@x.test"}, "2": {"NAME": "C", "EMAIL": "c@x.test"}}
    made = Side(users=people, statuses={"STATUS": {"NEW": "New", "UC_1": "Visit"}}, fields={"lead": fields()})
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def translation(cloud: Side, box: Side) -> Translation:
    rewriter = Rewriter(("acme.bitrix24.es",), "https://crm.acme.es")
    return Translation(cloud, box, rewriter, lambda entity, key: KNOWN.get((entity, key)), "1")


def test_references_users_statuses_and_choices_in_the_boxs_terms() -> None:
    box = side(
        statuses={"STATUS": {"NEW": "New", "UC_9": "Visit"}},
        fields={"lead": fields(ufCrmKind=Field("choice", "Kind", dynamic=True, choices={"1": "house", "5": "flat"}))},
        users={
            "1": {"NAME": "A", "LAST_NAME": "B"},
            "2": {"NAME": "Other", "EMAIL": "o@x.test"},
            "8": {"NAME": "C", "EMAIL": "C@x.test"},
        },
    )  # fmt: skip
    want = translation(side(), box).wanted(
        "lead",
        {"title": "t", "contactIds": [7], "companyId": 1, "assignedById": 2, "stageId": "UC_1", "ufCrmKind": "1"},
    )
    assert want.raw == {
        "title": "t", "contactIds": [70], "companyId": 1, "assignedById": 8, "stageId": "UC_9", "ufCrmKind": "5",
    }  # fmt: skip
    assert (want.problems, want.missing) == ([], [])


def test_what_has_no_counterpart_is_left_out_and_told_while_the_rest_goes_on() -> None:
    cloud = side(
        statuses={"STATUS": {"NEW": "New", "UC_1": "Visit", "UC_2": "Signed"}},
        fields={"lead": fields(ufCrmNew=Field("text", "New", dynamic=True))},
        users={"9": {"NAME": "Gone", "EMAIL": "g@x.test"}},
    )
    want = translation(cloud, side()).wanted(
        "lead",
        {"title": "t", "contactIds": [7, 8], "assignedById": 9, "stageId": "UC_2", "ufCrmNew": "x", "companyId": 44},
    )
    assert want.raw == {"title": "t", "contactIds": [70], "assignedById": 1}
    assert want.missing == [("contact", "8"), ("company", "44")]
    told = "; ".join(want.problems)
    assert "Gone (#9)" in told and "'UC_2' (Signed)" in told and "ufCrmNew" in told


def test_addresses_and_mentions_are_rewritten_and_strange_ones_are_not() -> None:
    text = (
        "https://acme.bitrix24.es/crm/lead/details/5/ and https://acme.bitrix24.es.evil.test/crm/lead/details/5/"
        " [USER=2]Ana[/USER] /company/personal/user/2/tasks/task/view/12/ https://acme.bitrix24.es/crm/deal/details/3/"
    )
    found, missing = Rewriter(("acme.bitrix24.es",), "https://crm.acme.es").rewrite(
        text, lambda entity, key: KNOWN.get((entity, key)), {"2": "22"}.get
    )
    assert found == (
        "https://crm.acme.es/crm/lead/details/50/ and https://acme.bitrix24.es.evil.test/crm/lead/details/50/"
        " [USER=22]Ana[/USER] /company/personal/user/22/tasks/task/view/12/ https://crm.acme.es/crm/deal/details/3/"
    )
    assert missing == [("deal", "3"), ("task", "12")]


def test_short_names_of_records() -> None:
    assert [short_name(text) for text in ("L_12", "CO_3", "X_1", "12")] == [
        ("lead", "12"),
        ("company", "3"),
        None,
        None,
    ]


def test_multi_fields_are_added_and_removed_by_what_they_say() -> None:
    here = [
        {"id": 15, "typeId": "PHONE", "valueType": "WORK", "value": "1"},
        {"id": 16, "typeId": "PHONE", "valueType": "WORK", "value": "2"},
    ]
    wanted = [
        {"typeId": "PHONE", "valueType": "WORK", "value": "2"},
        {"typeId": "EMAIL", "valueType": "HOME", "value": "a@x.test"},
    ]
    assert _multi(wanted, here) == {
        "n0": {"typeId": "EMAIL", "valueType": "HOME", "value": "a@x.test"},
        "15": {"id": 15, "typeId": "PHONE", "value": ""},
    }


def test_a_set_of_identifiers() -> None:
    numbers = Identifiers()
    for number in (0, 7, 8, 100_000):
        numbers.add(number)
    assert [n for n in (0, 1, 7, 8, 9, 99_999, 100_000, 10**9) if n in numbers] == [0, 7, 8, 100_000]


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


def test_all_faults_of_the_job_are_told_at_once_without_its_secrets(tmp_path: Path) -> None:
    path = job(
        tmp_path, conflicts="mine", since="yesterday", box_webhook="https://crm.acme.es/secret-code", colour="red"
    )
    with pytest.raises(ConfigurationError) as told:
        read_settings(path)
    text = str(told.value)
    assert all(word in text for word in ("conflicts", "since", "box_webhook", "colour"))
    assert "secret-code" not in text


def test_a_job_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="mode 0644"):
        read_settings(job(tmp_path, mode=0o644))


def test_a_plain_no_is_written_and_nothing_is_not() -> None:
    both = side(fields={"lead": fields(opened=Field("flag", "opened", dynamic=False))})
    for value, raw in (("N", "N"), ("Y", "Y"), (None, ""), ("", "")):
        want = translation(both, both).wanted("lead", {"opened": value})
        assert want.raw == {"opened": raw}
        assert want.values == {"opened": "Y" if value == "Y" else None}
