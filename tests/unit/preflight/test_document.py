"""The page of variables is the one that the specifications give."""

from pathlib import Path

from encaja.preflight.document import page

ROOT = Path(__file__).parents[3]


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "variables.md").read_text() == page(ROOT / "roles"), "run 'make docs'"


def test_every_role_is_on_it() -> None:
    text = page(ROOT / "roles")
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        if path.parents[1].name == "topology":  # takes nothing, and specifies what it gives
            continue
        assert f"\n## {path.parents[1].name}\n" in text
