from __future__ import annotations

from typing import Any

from encaja.carryover.mapping.translation import Field, Rewriter, Side, Translation, short_name

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
