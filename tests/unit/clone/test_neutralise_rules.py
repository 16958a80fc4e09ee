"""The shipped list of rules, and what is refused of somebody's own."""

import pytest

from encaja.errors import EncajaError
from encaja.portal.neutralise import check_rules
from support.neutralise_rules import shipped

RULES = shipped()


def test_the_shipped_rules_can_be_run_and_say_why() -> None:
    check_rules(RULES)
    assert all(rule["why"] for rule in RULES)


def test_a_rule_that_makes_rows_harmless_leaves_none_that_it_finds_live() -> None:
    """Every assignment touches a column that the condition looks at, or it would find the same rows again."""
    for rule in RULES:
        if "make" in rule:
            columns = {assignment.split("=")[0].strip() for assignment in rule["make"].split(", ") if "=" in assignment}
            assert any(column in rule["live"] for column in columns), rule["id"]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([{"table": "b_x", "live": "1", "delete": True}], "has no id"),
        ([{"id": "a", "table": "b_x", "live": "1"}], "needs either"),
        ([{"id": "a", "table": "b_x", "live": "1", "make": "A = 1", "delete": True}], "needs either"),
        ([{"id": "a", "options": {}, "table": "b_x", "live": "1", "delete": True}], "needs either"),
        ([{"id": "a", "options": {}, "sql": "DROP"}], "unknown keys sql"),
        ([{"id": "a", "options": {"pull.*": "N"}}], "only null goes with"),
        ([{"id": "a", "options": {}, "fresh": []}], "needs either"),
        ([{"id": "a", "table": "b_x", "empty": ["A"], "scrub": ["B"]}], "needs either"),
        ([{"id": "a", "empty": ["A"]}], "needs either"),
        ([{"id": "a", "table": "b_x", "sweep": ["b_*"]}], "needs either"),
        ([{"id": "a", "walk": ["b_*"], "delete": True}], "needs either"),
        ([{"id": "a", "options": {}}, {"id": "a", "options": {}}], "two rules are called a"),
    ],
)
def test_rules_that_are_refused(rules: list[dict[str, object]], said: str) -> None:
    with pytest.raises(EncajaError, match=said):
        check_rules(rules)
