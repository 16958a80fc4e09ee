from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from encaja.errors import EncajaError
from encaja.portal import masking

ROLE = yaml.safe_load((Path(__file__).parents[3] / "roles/neutralise/defaults/main.yml").read_text())
MASK = masking.Mask(b"key")


@pytest.mark.parametrize("kind", list(masking.KINDS))
@pytest.mark.parametrize("text", ["", " ", "Ana María García-López", "ana@acme.es", "+34 600 123 456", "—", "x"])
def test_a_mask_is_known_as_one_and_is_not_masked_again(kind: str, text: str) -> None:
    once = masking.KINDS[kind](MASK, text)
    assert masking.KINDS[kind](MASK, once) == once
    assert masking.KINDS[kind](masking.Mask(b"another"), once) == once


def test_the_same_person_has_the_same_mask_however_written() -> None:
    first, last = MASK.name("Ana"), MASK.name("García")
    assert MASK.name("Ana García") == f"{first} {last}"
    assert MASK.name("GARCÍA, Ana").split() == [last, first]
    assert MASK.phone("+34 600 123 456") == MASK.phone("600123456") == MASK.phone("0034600123456")
    assert MASK.mail("Ana@Acme.ES ") == MASK.mail("ana@acme.es")
    assert len({MASK.name(f"name{number}") for number in range(500)}) > 495
    assert MASK.phone("600123456") != MASK.phone("600123457")


def test_another_key_makes_other_masks_and_nothing_real_is_left() -> None:
    other = masking.Mask(b"other")
    for make, real in (
        (masking.Mask.name, "Ana"),
        (masking.Mask.mail, "ana@acme.es"),
        (masking.Mask.phone, "600123456"),
    ):
        assert make(MASK, real) != make(other, real)
        assert real.lower() not in make(MASK, real).lower()
    assert MASK.login("ana.garcia") == "ana.garcia"
    assert MASK.login("ana@acme.es").endswith("@masked.invalid")


def test_the_shipped_rules_can_be_run_and_leave_bots_and_test_users_alone() -> None:
    masking.check_rules(ROLE["neutralise_mask_rules"])
    assert len({rule["id"] for rule in ROLE["neutralise_mask_rules"]}) == len(ROLE["neutralise_mask_rules"])
    assert all("where" in rule for rule in ROLE["neutralise_mask_rules"] if rule["table"] == "b_user")
    assert masking.TEST_USER_MARK in ROLE["neutralise_real_users"]


def test_bad_rules_are_refused_all_at_once() -> None:
    with pytest.raises(EncajaError) as fault:
        masking.check_rules([{"id": "a", "table": "t", "columns": ["X"], "as": "magic"}, {"as": "name", "sql": "DROP"}])
    for said in ("as: magic", "lacks columns, id, table", "unknown keys sql"):
        assert said in str(fault.value)


def test_the_key_is_made_once_for_root_alone(tmp_path: Path) -> None:
    key = masking.read_key(tmp_path / "deep" / "mask.key")
    assert masking.read_key(tmp_path / "deep" / "mask.key") == key
    assert len(key) == 64
    assert (tmp_path / "deep" / "mask.key").stat().st_mode & 0o777 == 0o600
