from __future__ import annotations

from pathlib import Path
from typing import Any

from encaja.carryover.mapping.translation import Field, Rewriter, Side, Translation, read_side, short_name
from support.fake_cloud import FakeCloud
from support.virtual_time import run

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


def test_what_has_no_counterpart_is_left_out_and_reported_while_the_rest_goes_on() -> None:
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
    reported = "; ".join(want.problems)
    assert "Gone (#9)" in reported and "'UC_2' (Signed)" in reported and "ufCrmNew" in reported


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


def test_a_plain_no_is_written_and_nothing_is_not() -> None:
    both = side(fields={"lead": fields(opened=Field("flag", "opened", dynamic=False))})
    for value, raw in (("N", "N"), ("Y", "Y"), (None, ""), ("", "")):
        want = translation(both, both).wanted("lead", {"opened": value})
        assert want.raw == {"opened": raw}
        assert want.values == {"opened": "Y" if value == "Y" else None}


def test_of_two_stages_with_one_name_none_is_guessed() -> None:
    box = side(statuses={"STATUS": {"NEW": "New", "UC_8": "Visit", "UC_9": "Visit"}})
    want = translation(side(), box).wanted("lead", {"title": "t", "stageId": "UC_1"})
    assert "stageId" not in want.raw
    assert want.problems == ["'UC_1' (Visit) of stageId is not in the box's list STATUS"]


def test_stages_without_a_name_are_not_the_same_for_that() -> None:
    cloud = side(statuses={"STATUS": {"UC_1": ""}})
    want = translation(cloud, side(statuses={"STATUS": {"UC_9": ""}})).wanted("lead", {"stageId": "UC_1"})
    assert (want.raw, len(want.problems)) == ({}, 1)


def test_of_two_categories_with_one_name_none_is_guessed() -> None:
    about = {"deal": fields(categoryId=Field("number", "c", dynamic=False))}
    cloud = side(categories={"5": "Rent"}, fields=about)
    for here, expected in (({"8": "Rent"}, 8), ({"8": "Rent", "9": "Rent"}, 0), ({"5": "Other"}, 5), ({}, 0)):
        want = translation(cloud, side(categories=here, fields=about)).wanted("deal", {"categoryId": 5})
        assert (want.raw["categoryId"], bool(want.problems)) == (expected, expected == 0)


def test_the_substitute_stands_for_one_user_and_never_among_several() -> None:
    about = {"lead": fields(observers=Field("users", "observers", dynamic=False))}
    people = {"2": {"NAME": "C", "EMAIL": "c@x.test"}, "9": {"NAME": "Gone", "EMAIL": "g@x.test"}}
    cloud, box = side(fields=about, users=people), side(fields=about)
    want = translation(cloud, box).wanted("lead", {"assignedById": 9, "observers": [9, 2]})
    assert want.raw == {"assignedById": 1, "observers": [2]}
    assert want.problems == [
        "user Gone (#9) of field assignedById is not in the box",
        "user Gone (#9) of field observers is not in the box",
    ]


def test_a_mail_that_two_have_matches_neither() -> None:
    cloud = side(users={"7": {"NAME": "Z", "EMAIL": "z@x.test"}, "8": {"NAME": "Nameless", "EMAIL": ""}})
    box = side(users={str(n): {"NAME": "Q", "EMAIL": "Z@x.test"} for n in (3, 4)} | {"5": {"NAME": "R", "EMAIL": ""}})
    assert translation(cloud, box).user("7") == ("1", False)
    assert translation(cloud, box).user("8") == ("1", False)


def test_a_host_whose_name_begins_with_the_clouds_is_another() -> None:
    rewrite = translation(side(), side()).text
    assert (
        rewrite("see https://acme.bitrix24.es/crm/lead/details/5/ ")[0]
        == "see https://crm.acme.es/crm/lead/details/50/ "
    )
    for other in ("https://acme.bitrix24.es.example/x", "https://acme.bitrix24.esp/x", "https://my-acme.bitrix24.es/x"):
        assert rewrite(other)[0] == other
    assert (
        rewrite("/crm/lead/details/51/ and /crm/lead/details/5")[0] == "/crm/lead/details/51/ and /crm/lead/details/50"
    )


def test_all_users_are_read_in_an_order_whatever_their_department(tmp_path: Path) -> None:
    cloud = FakeCloud()
    asked: list[dict[str, Any]] = []

    def users(given: dict[str, Any]) -> list[dict[str, str]]:
        asked.append(given)
        start = int(given.get("start", 0))
        return [{"ID": str(n)} for n in range(start + 1, min(start + 50, 120) + 1)]

    def statuses(given: dict[str, Any]) -> list[dict[str, str]]:
        start = int(given.get("start", 0))
        return [{"ENTITY_ID": "STATUS", "STATUS_ID": f"S{n}", "NAME": f"{n}"} for n in range(start, start + 50)]

    cloud.methods |= {
        "user.get": users,
        "crm.status.list": statuses,
        "crm.category.list": lambda _: {"categories": [{"id": 0, "name": "General"}]},
        "crm.item.fields": lambda _: {"fields": {}},
    }
    cloud.next["crm.status.list"] = lambda given: None if int(given.get("start", 0)) else 50
    cloud.next["user.get"] = lambda given: start if (start := int(given.get("start", 0)) + 50) < 120 else None

    async def scene() -> Side:
        async with cloud.portal(tmp_path) as portal:
            return await read_side(portal)

    found = run(scene())
    assert list(found.users) == [str(n) for n in range(1, 121)]
    assert len(found.statuses["STATUS"]) == 100
    assert len(asked) == 3
    for given in asked:
        assert (given["SORT"], given["ORDER"], str(given["ADMIN_MODE"]) in {"1", "True"}) == ("ID", "ASC", True)
