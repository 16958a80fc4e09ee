"""The proof against lies planted into the box: each is found, and what is explained is explained."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from encaja.carryover.mapping.canonical import fingerprints
from encaja.carryover.mapping.identity_map import CommentsRead, Conflict, IdentityMap, State
from encaja.carryover.reconcile import LONGEST, reconcile
from encaja.carryover.source.origins import ORIGINATOR
from encaja.rest.errors import AccessError, RefusedError
from support.crm_portals import AFTER, BEFORE, NOON, Carried


@pytest.fixture
def carried(tmp_path: Path) -> Iterator[Carried]:
    with IdentityMap(tmp_path) as identities:
        yield Carried(tmp_path, identities)


def proof(carried: Carried, **how: Any) -> dict[str, Any]:
    return asyncio.run(reconcile(carried.context, **how))


def row(document: dict[str, Any], entity: str = "lead") -> dict[str, Any]:
    [found] = [one for one in document["entities"] if one["entity"] == entity]
    return dict(found)


def told(document: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    keys = ("cloud", "box", "field", "in_cloud", "in_box")
    return [tuple(one[key] for key in keys) for one in document["records"]]


FULL = {
    "title": "Villa", "opportunity": "120.50", "opened": "Y", "assignedById": 2, "stageId": "NEW",
    "begindate": "2026-11-20", "ufCrmAt": "2026-11-20T10:00:00+01:00", "ufCrmTags": ["a", "b"],
    "fm": [{"id": 1, "typeId": "PHONE", "valueType": "WORK", "value": "+34 1"}],
}  # fmt: skip


def test_two_equal_sides_show_no_difference_and_one_hash(carried: Carried) -> None:
    carried.both("lead", 7, 7, **FULL)
    carried.both("lead", 101, 205, **FULL)
    document = proof(carried)
    assert (document["differences"], document["carried"], document["records"]) == (0, 2, [])
    found = row(document)
    assert (found["new"], found["changed"], found["in_box"]) == (1, 1, 2)
    assert found["hash_cloud"] == found["hash_box"] != "0" * 16
    assert row(document, "deal")["hash_box"] == "0" * 16


LIES = {
    "title": "Vila", "opportunity": "120.51", "opened": "N", "assignedById": 1, "stageId": "WON",
    "begindate": "2026-11-21", "ufCrmAt": "2026-11-20T10:00:01+01:00", "ufCrmTags": ["a"],
    "fm": [{"id": 1, "typeId": "PHONE", "valueType": "HOME", "value": "+34 1"}],
}  # fmt: skip


@pytest.mark.parametrize("box", [7, 205])
@pytest.mark.parametrize("name", LIES)
def test_a_differing_field_of_every_kind_is_found(carried: Carried, name: str, box: int) -> None:
    cloud = 7 if box == 7 else 101
    carried.both("lead", cloud, box, **FULL)
    carried.box.of("lead")[box] |= {name: LIES[name], "updatedTime": BEFORE}
    document = proof(carried)
    assert (document["differences"], row(document)["differing"], row(document)["explained"]) == (1, 1, 0)
    [(of, at, field, in_cloud, in_box)] = told(document)
    assert (of, at, field) == (str(cloud), str(box), name)
    assert in_cloud != in_box
    assert row(document)["hash_cloud"] != row(document)["hash_box"]


def test_several_differing_fields_are_one_differing_record(carried: Carried) -> None:
    for cloud, box in ((101, 205), (102, 206)):
        carried.both("lead", cloud, box, **FULL)
        carried.box.of("lead")[box] |= {"title": "x", "stageId": "WON"}
    document = proof(carried)
    assert (document["differences"], row(document)["differing"], len(document["records"])) == (2, 2, 4)


def test_a_double_is_found_although_both_are_as_the_cloud_has_it(carried: Carried) -> None:
    carried.both("lead", 101, 205, title="Villa")
    carried.both("lead", 102, 206, title="Villa")  # an equal twin of the cloud's is none
    carried.map.done("lead", "101", "205")
    carried.box.item("lead", 207, title="Villa", originatorId=ORIGINATOR, originId="101")
    document = proof(carried)
    assert (document["differences"], document["doubled"], row(document)["doubled"], document["missing"]) == (1, 1, 1, 0)
    assert told(document) == [("101", "205", "(record)", "once", "also 207")]


def test_an_origin_of_another_system_makes_no_double(carried: Carried) -> None:
    carried.both("lead", 101, 205, title="Villa")
    carried.box.item("lead", 207, title="Villa", originatorId="1C", originId="101")
    assert proof(carried)["differences"] == 0


@pytest.mark.parametrize("state", [State.DONE, State.SENDING, None])
def test_a_missing_record_is_missing_whatever_the_map_knows(carried: Carried, state: State | None) -> None:
    carried.cloud.item("lead", 101)
    if state:
        carried.map.mark("lead", "101", state, "205")
    document = proof(carried)
    assert (document["missing"], document["differences"], document["carried"]) == (1, 1, 0)
    assert told(document) == [("101", "205" if state else "", "(record)", "there", "missing")]


def test_a_record_of_the_backup_that_the_box_lost_is_missing(carried: Carried) -> None:
    carried.cloud.item("lead", 7)
    assert told(proof(carried)) == [("7", "7", "(record)", "there", "missing")]


@pytest.mark.parametrize("state", [State.KEPT, State.GONE])
def test_what_a_rule_left_deleted_is_not_missing(carried: Carried, state: State) -> None:
    carried.cloud.item("lead", 101)
    carried.map.mark("lead", "101", state, "205")
    assert proof(carried)["differences"] == 0


def test_another_record_with_the_clouds_number_does_not_stand_for_a_new_one(carried: Carried) -> None:
    carried.cloud.item("lead", 101, title="x")
    carried.box.item("lead", 101, title="x")  # made in the box
    assert proof(carried)["missing"] == 1


def link(carried: Carried, want: dict[str, Any], have: dict[str, Any], entity: str = "lead", box: str = "205") -> None:
    carried.map.done(entity, "101", box, want=fingerprints(want), have=fingerprints(have))


def test_what_the_box_changed_since_is_explained_and_counts_as_the_clouds(carried: Carried) -> None:
    carried.both("lead", 101, 205, title="Villa")
    want = {"title": "Villa", "assignedById": "1"}
    link(carried, want, want)
    carried.box.of("lead")[205]["title"] = "changed here"
    document = proof(carried)
    found = row(document)
    assert (document["differences"], found["explained"], document["records"]) == (0, 1, [])
    assert found["hash_cloud"] == found["hash_box"]


def test_a_difference_beside_an_explained_one_is_none_itself(carried: Carried) -> None:
    carried.both("lead", 101, 205, title="Villa", opportunity="1")
    want = {"title": "Villa", "opportunity": "2", "assignedById": "1"}
    link(carried, want, want)
    carried.box.of("lead")[205] |= {"title": "changed here", "opportunity": "2"}  # the cloud's own is not carried
    document = proof(carried)
    assert [one[2] for one in told(document)] == ["opportunity"]
    assert (row(document)["explained"], document["differences"]) == (1, 1)
    assert row(document)["hash_cloud"] != row(document)["hash_box"]


def test_what_the_last_carrying_should_have_written_is_not_explained(carried: Carried) -> None:
    carried.both("lead", 101, 205, title="Villa")
    link(carried, {"title": "Villa", "assignedById": "1"}, {"title": "broken", "assignedById": "1"})
    carried.box.of("lead")[205]["title"] = "broken"
    document = proof(carried)
    assert [one[2] for one in told(document)] == ["title"], "the box has what was carried: nobody changed it here"
    assert document["differences"] == 1


@pytest.mark.parametrize(("rule", "differences"), [("box", 0), ("cloud", 1), ("ask", 1)])
def test_a_conflict_is_explained_only_where_the_rule_decided_for_the_box(
    carried: Carried, rule: str, differences: int, tmp_path: Path
) -> None:
    again = Carried(tmp_path, carried.map, conflicts=rule)
    again.both("lead", 101, 205, title="cloud")
    old = {"title": "old", "assignedById": "1"}
    link(again, old, old)
    again.box.of("lead")[205]["title"] = "box"
    assert proof(again)["differences"] == differences


def test_another_time_of_creation_is_a_difference(carried: Carried) -> None:
    carried.both("lead", 101, 205)
    carried.box.of("lead")[205]["createdTime"] = "2026-11-26T13:00:05+00:00"
    document = proof(carried)
    assert told(document) == [("101", "205", "createdTime", AFTER, "2026-11-26T13:00:05+00:00")]
    assert document["differences"] == 1
    assert row(document)["hash_cloud"] != row(document)["hash_box"]


def test_what_could_not_be_carried_whole_is_a_difference(carried: Carried) -> None:
    carried.both("lead", 101, 205)
    carried.cloud.of("lead")[101]["stageId"] = "LOST"
    document = proof(carried)
    assert [one[2:4] for one in told(document)] == [
        ("(part)", "'LOST' (no name) of stageId is not in the box's list STATUS")
    ]
    assert document["differences"] == 1


def test_a_file_that_the_box_lacks_is_a_difference_until_it_was_carried(carried: Carried) -> None:
    carried.both("lead", 101, 205)
    carried.cloud.of("lead")[101]["ufCrmPlan"] = {"id": 9}
    document = proof(carried)
    assert [one[2:4] for one in told(document)] == [("(part)", "files of field ufCrmPlan")]
    carried.box.of("lead")[205]["ufCrmPlan"] = {"id": 77}
    carried.map.done("file", "lead:101:ufCrmPlan", "205", want=fingerprints({"files": ["8"]}))
    assert proof(carried)["differences"] == 1, "an earlier file was carried, not this one"
    carried.map.done("file", "lead:101:ufCrmPlan", "205", want=fingerprints({"files": ["9"]}))
    assert proof(carried)["differences"] == 0


def test_lies_on_any_page_are_found(carried: Carried) -> None:
    for number in range(1, 61):
        carried.both("lead", number, number, title=f"{number}")
    for number in range(101, 221):
        carried.both("lead", number, number + 1000, title=f"{number}")
    carried.box.of("lead")[3] |= {"title": "changed here", "updatedTime": "2026-11-26T14:00:00+00:00"}
    carried.box.of("lead")[60] |= {"title": "lie", "updatedTime": BEFORE}
    del carried.box.of("lead")[1110]
    carried.box.of("lead")[1220]["title"] = "lie"
    carried.box.item("lead", 2000, title="150", originatorId=ORIGINATOR, originId="150")
    document = proof(carried)
    found = row(document)
    assert (found["new"], found["changed"], found["in_box"]) == (120, 60, 179)
    assert (document["missing"], document["doubled"], found["differing"]) == (1, 1, 2)
    assert document["differences"] == 4
    assert found["explained"] == 1, "lead 3 was changed in the box, later than in the cloud"
    assert sorted(one[0] for one in told(document)) == ["110", "150", "220", "60"]


def test_what_is_older_than_the_window_is_not_compared(carried: Carried) -> None:
    carried.cloud.item("lead", 7, createdTime=BEFORE, updatedTime=BEFORE)
    document = proof(carried)
    assert (document["differences"], document["carried"]) == (0, 0)


def test_what_was_written_after_the_last_pass_is_counted_apart(carried: Carried) -> None:
    carried.context.until = NOON + timedelta(hours=1)  # the time of lead 101 itself
    carried.both("lead", 101, 205)
    carried.cloud.item("lead", 102, updatedTime="2026-11-26T13:00:01+00:00")
    document = proof(carried)
    assert (document["later"], row(document)["later"], document["carried"], document["differences"]) == (1, 1, 1, 0)


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str, str]] = {
    "requisite": ({"RQ_NAME": "Acme"}, {"RQ_NAME": "Acne"}, "ID", "DATE_CREATE", "DATE_MODIFY"),
    "activity": ({"SUBJECT": "Call", "TYPE_ID": 2}, {"SUBJECT": "Cal"}, "ID", "CREATED", "LAST_UPDATED"),
    "task": ({"title": "Call"}, {"title": "Cal"}, "id", "createdDate", "changedDate"),
}


def planted(carried: Carried, kind: str, cloud: int, box: int = 0, **here: Any) -> None:
    """Plant a record of a kind that belongs to company 1; without ``box`` only in the cloud."""
    for portal in (carried.cloud, carried.box):
        portal.item("company", 1, createdTime=BEFORE, updatedTime=BEFORE)
    made, _, name, created, modified = KINDS[kind]
    fields = {**made, name: cloud, created: AFTER, modified: AFTER}
    fields |= {"OWNER_TYPE_ID": 4, "OWNER_ID": 1, "ENTITY_TYPE_ID": 4, "ENTITY_ID": 1} if kind != "task" else {}
    carried.cloud.plant(kind, cloud, **fields)
    if box:
        carried.box.plant(kind, box, **(fields | {name: box} | here))


@pytest.mark.parametrize("kind", KINDS)
def test_requisites_activities_and_tasks_are_proved_field_by_field(carried: Carried, kind: str) -> None:
    planted(carried, kind, 7, 7)
    planted(carried, kind, 101, 205)
    carried.map.done(kind, "101", "205")
    document = proof(carried)
    found = row(document, kind)
    assert (document["differences"], found["new"], found["changed"], found["in_box"]) == (0, 1, 1, 2)
    assert found["hash_cloud"] == found["hash_box"] != "0" * 16
    [(name, lie)] = KINDS[kind][1].items()
    carried.box.of(kind)[205][name] = lie
    document = proof(carried)
    assert told(document) == [("101", "205", name, KINDS[kind][0][name], lie)]
    found = row(document, kind)
    assert (document["differences"], found["differing"], found["explained"]) == (1, 1, 0)
    assert found["hash_cloud"] != found["hash_box"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_difference_of_theirs_is_explained_only_by_what_was_carried(carried: Carried, kind: str) -> None:
    [(name, lie)] = KINDS[kind][1].items()
    made = KINDS[kind][0]
    planted(carried, kind, 101, 205, **{name: lie})
    link(carried, {name: "older"}, {name: lie}, kind)
    document = proof(carried)
    assert (document["differences"], row(document, kind)["explained"]) == (1, 0), "the cloud has changed it since"
    link(carried, {name: made[name]}, {name: lie}, kind)
    document = proof(carried)
    found = row(document, kind)
    assert (document["differences"], found["explained"], found["differing"]) == (0, 1, 0)
    assert found["hash_cloud"] == found["hash_box"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("known", [True, False])
def test_one_of_theirs_that_the_box_lacks_is_missing_whatever_the_map_knows(
    carried: Carried, kind: str, known: bool
) -> None:
    planted(carried, kind, 7)
    planted(carried, kind, 101)
    if known:
        carried.map.done(kind, "101", "205")
    document = proof(carried)
    assert (document["missing"], document["differences"], row(document, kind)["in_box"]) == (2, 2, 0)
    assert [one[::2] for one in told(document)] == [("7", "(record)", "missing"), ("101", "(record)", "missing")]
    carried.map.mark(kind, "7", State.KEPT)
    carried.map.mark(kind, "101", State.GONE)
    assert proof(carried)["differences"] == 0


def test_their_pages_are_read_to_the_end(carried: Carried) -> None:
    for number in range(101, 221):
        planted(carried, "activity", number, number + 1000)
        carried.map.done("activity", str(number), str(number + 1000))
    del carried.box.of("activity")[1220]
    carried.box.of("activity")[1130]["SUBJECT"] = "lie"
    document = proof(carried)
    assert (document["missing"], row(document, "activity")["differing"], document["differences"]) == (1, 1, 2)


def test_what_belongs_to_nothing_that_is_carried_is_listed_and_no_difference(carried: Carried) -> None:
    planted(carried, "activity", 101)
    carried.cloud.of("activity")[101] |= {"OWNER_TYPE_ID": 7}
    document = proof(carried)
    assert document["differences"] == 0
    assert [one["count"] for one in document["not_carried"] if one["what"]["en"] == "activity"] == [1]


def comment(carried: Carried, number: int, owner: int = 7, created: str = AFTER) -> None:
    carried.cloud.plant("comment", number, ENTITY_TYPE="lead", ENTITY_ID=owner, COMMENT=f"{number}", CREATED=created)


def test_comments_are_proved_by_the_map_and_older_ones_left_alone(carried: Carried) -> None:
    carried.both("lead", 7, 7)
    for number in (1, 2, 3):
        comment(carried, number)
    comment(carried, 4, created=BEFORE)
    carried.map.done("comment", "1", "501")
    carried.map.mark("comment", "2", State.SENDING)
    document = proof(carried)
    found = row(document, "comment")
    assert (found["new"], found["in_box"], found["missing"], document["differences"]) == (3, 1, 2, 2)
    assert [one[::2] for one in told(document)] == [("2", "(record)", "missing"), ("3", "(record)", "missing")]


def test_a_thorough_proof_does_not_believe_that_a_record_is_quiet(carried: Carried) -> None:
    carried.both("lead", 7, 7, lastActivityTime=AFTER)
    comment(carried, 1)
    carried.map.comments_read("lead", [CommentsRead("7", AFTER, "2026-11-26T14:00:00+00:00", 3)])
    quick = proof(carried, thorough=False)
    assert (quick["differences"], row(quick, "comment")["new"], row(quick, "comment")["in_box"]) == (0, 3, 3)
    assert proof(carried)["missing"] == 1


def test_a_kind_that_the_cloud_does_not_list_is_told_and_a_caller_without_access_ends_the_proof(
    carried: Carried,
) -> None:
    carried.cloud.refuses = {"crm.requisite.list"}
    document = proof(carried)
    assert [one["why"]["en"] for one in document["not_carried"] if one["what"]["en"] == "requisite"] == [
        "the cloud does not list them: no"
    ]

    def expired(method: str, parameters: Any) -> None:
        raise AccessError("NO_AUTH_FOUND", "expired", method)

    planted(carried, "activity", 101)
    carried.cloud.before = expired
    with pytest.raises(RefusedError, match="expired"):
        proof(carried)


def test_conflicts_faults_and_stragglers_stand_in_the_document(carried: Carried) -> None:
    carried.map.conflict(Conflict("lead", "1", "1", "title", "a", "b", "open"))
    carried.map.conflict(Conflict("lead", "2", "2", "title", "a", "b", "box"))
    carried.map.conflict(Conflict("lead", "3", "3", "title", "a", "b", "open"))
    carried.context.frozen = NOON
    carried.map.note_fault("lead", "3", "refused", "fix it")
    carried.map.straggler("lead", "4", AFTER, "A")
    document = proof(carried, notes=["a note"])
    assert (document["open_conflicts"], document["frozen"]) == (2, "2026-11-26T12:00:00+00:00")
    assert [(one["cloud"], one["decided_for"]) for one in document["conflicts"]] == [
        ("1", "open"), ("2", "box"), ("3", "open"),
    ]  # fmt: skip
    assert [one["what"] for one in document["faults"]] == ["refused"]
    assert document["stragglers"] == [{"entity": "lead", "cloud": "4", "at": AFTER, "by": "A"}]
    assert document["notes"] == ["a note"]


@pytest.mark.parametrize("kind", ["lead", *KINDS])
def test_the_highest_record_of_the_backup_is_the_same_on_both_sides_and_the_next_one_is_new(
    carried: Carried, kind: str
) -> None:
    for number in (100, 101):
        if kind == "lead":
            carried.cloud.item("lead", number)
            carried.box.item("lead", number)
        else:
            planted(carried, kind, number, number)
    document = proof(carried)
    found = row(document, kind)
    assert (found["new"], found["changed"], found["in_box"], found["missing"]) == (1, 1, 1, 1)
    assert [one[0] for one in told(document)] == ["101"]


def test_a_link_without_a_counterpart_stands_for_none(carried: Carried) -> None:
    carried.cloud.item("lead", 7)
    carried.map.sending("lead", [("7", "")])
    planted(carried, "activity", 7)
    carried.map.sending("activity", [("7", "")])
    carried.box.item("lead", 7, createdTime=AFTER)
    document = proof(carried)
    assert (row(document)["in_box"], row(document, "activity")["missing"]) == (1, 1)


def test_comments_of_tasks_are_proved_too_and_those_before_the_window_only_where_they_were_carried(
    carried: Carried,
) -> None:
    carried.cloud.plant("task", 7, title="Call", createdDate=AFTER, changedDate=AFTER, activityDate=AFTER)
    carried.box.plant("task", 7, title="Call", createdDate=AFTER, changedDate=AFTER)
    at_noon = NOON.isoformat()
    for number, at in ((1, AFTER), (2, AFTER), (3, BEFORE), (4, BEFORE), (5, at_noon)):
        carried.cloud.plant("task_comment", number, TASK_ID=7, POST_MESSAGE="x", POST_DATE=at)
    for number in ("1", "4"):
        carried.map.done("task_comment", number, "501")
    document = proof(carried)
    found = row(document, "task_comment")
    assert (found["new"], found["in_box"], found["missing"], document["differences"]) == (4, 2, 2, 2)
    assert [one[0] for one in told(document)] == ["2", "5"]


def test_a_record_that_refers_to_one_that_is_not_there_is_a_difference(carried: Carried) -> None:
    carried.both("lead", 101, 205)
    carried.cloud.of("lead")[101]["title"] = "see https://cloud.test/crm/deal/details/999/"
    carried.box.of("lead")[205]["title"] = "see https://box.test/crm/deal/details/999/"
    document = proof(carried)
    assert [one[2:4] for one in told(document)] == [("(part)", "refers to deal 999, which is not there")]
    assert document["differences"] == 1


def test_a_long_list_of_differences_is_cut_and_counted_whole(carried: Carried) -> None:
    for number in range(101, 101 + LONGEST + 20):
        carried.cloud.item("lead", number)
        carried.map.conflict(Conflict("lead", str(number), "1", "title", "a", "b", "open"))
        carried.map.note_fault("lead", str(number), "refused")
    document = proof(carried)
    assert (len(document["records"]), document["missing"]) == (LONGEST, LONGEST + 20)
    assert (len(document["conflicts"]), len(document["faults"])) == (LONGEST, LONGEST)
    assert document["open_conflicts"] == LONGEST + 20
