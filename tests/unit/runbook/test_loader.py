"""Reading run-books: the shipped one, files over it, and every fault at once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from encaja.runbook.book.faults import RunbookError
from encaja.runbook.book.loader import load_runbook
from encaja.runbook.book.model import Kind, Owner, RetryOn, Runbook, Urgency
from encaja.runbook.record.journal import Journal
from encaja.runbook.record.workspace import Move, open_move, project_inventories
from encaja.runbook.report import tables
from support import recorded_week as case

HEAD = "version: 1\nbase: none\nphases: {1: {title: One, urgency: low}, 2: {title: Two, urgency: high}}\nsteps:\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return case.make_project(tmp_path)


def load(project: Path, *texts: str) -> Runbook:
    files = []
    for number, text in enumerate(texts):
        path = project / f"runbook-{number}.yml"
        path.write_text(text)
        files.append(path)
    return load_runbook(project, files)


def faults(project: Path, *texts: str) -> list[str]:
    with pytest.raises(RunbookError) as error:
        load(project, *texts)
    assert error.value.exit_code == 2
    return error.value.faults


def test_shipped_runbook_holds_the_steps_of_the_case(project: Path) -> None:
    runbook = load_runbook(project)
    titles = {step.title.en for step in runbook}
    for title in (
        "Deploy the $target environment",
        "Test the deployed environment",
        "Deploy the boxed version on the hosts",
        "Buy the TLS certificate for telephony",
        "Deploy $clone: a full copy of $source",
        "Restore the backup on $target",
        "Configure the portal after the backup",
        "Configure the telephony server to work with the portal",
        "First telephony test",
        "Declare it healthy; delete the test data",
        "Stop the sales managers in the cloud",
        "Carry over deals, leads, contacts made since the backup",
        "Sales start work in the box",
        "Full performance approval",
        "Refresh $clone: a full copy of $source",
    ):
        assert title in titles
    assert [phase.urgency for phase in runbook.phases.values()] == [Urgency.MEDIUM, Urgency.HIGH, Urgency.LOW]
    assert all(step.title.es != step.title.en for step in runbook)
    owners = {step.id: step.owner for step in runbook}
    assert owners["restore"] is Owner.CONTRACTOR
    assert owners["request-backup"] is owners["test-call"] is Owner.CLIENT


def test_steps_that_replace_data_say_where_they_may(project: Path) -> None:
    for step in load_runbook(project):
        if step.destructive:
            assert step.only_on or "production" in step.never_on, step.id


def test_steps_say_what_they_require_of_the_inventory(project: Path) -> None:
    (project / "playbooks" / "carry_over.yml").write_text(
        "- hosts: portal:!cloud\n  tasks: []\n- hosts: '{{ x }}'\n  tasks: []\n"
    )
    text = (
        HEAD
        + "  - {id: order, phase: 1, title: Order, owner: client, run: {human: do}, estimate: 1m, brings: [token]}\n"
        + "  - {id: carry, phase: 1, title: Carry, owner: client, estimate: 1m, needs: [order],\n"
        + "     run: {playbook: carry_over.yml, limit: $target}, requires: [webhook or hook, token]}\n"
        + "move: {variables: {target: production}}\n"
    )
    runbook = load(project, text)
    shared = {"step": "carry", "hosts": ["portal:!cloud"], "limit": "production"}
    assert Move(project, project, runbook, ()).requirements() == [
        {**shared, "names": ["webhook", "hook"], "brought_by": ""},
        {**shared, "names": ["token"], "brought_by": "order"},
    ]
    (line,) = faults(project, text.replace("webhook or hook", "web hook"))
    assert "step 'carry' requires 'web hook'" in line


def test_the_look_before_the_first_step_is_told_what_all_steps_require(project: Path) -> None:
    runbook = load_runbook(project)
    move = Move(project, project, runbook, ())
    look = runbook.get("preflight")
    assert look is not None
    assert look.action is not None
    told = move.filled(look.action).variables["preflight_requires"]
    (carry,) = [item for item in told if item["step"] == "carry-over"]
    assert (carry["names"][0], carry["limit"]) == ("encaja_cloud_webhook", "production")
    assert {"step": "deploy-preproduction", "groups": ["preproduction"]} in told


def test_order_follows_needs(project: Path) -> None:
    runbook = load_runbook(project)
    ids = [step.id for step in runbook]
    for step in runbook:
        assert all(ids.index(need) < ids.index(step.id) for need in step.needs)


def test_file_changes_adds_and_removes_steps(project: Path) -> None:
    runbook = load(
        project,
        """
steps:
  - {id: restore, estimate: 3h, retry: {times: 1, delay: 5s, when: [failed]}}
  - {id: buy-certificate, remove: true}
  - {id: deploy-box, verify: {command: ['true']}}
  - {id: warm-caches, phase: 2, after: settle, title: {en: Warm, es: Calentar}, owner: contractor,
     needs: [settle], run: {command: ['true']}, estimate: 1m}
""",
    )
    restore = runbook.get("restore")
    assert restore is not None
    assert restore.estimate == timedelta(hours=3)
    assert restore.retry.when == {RetryOn.FAILED}
    assert restore.destructive
    certificate = runbook.get("install-certificate")
    assert certificate is not None
    assert certificate.needs == ("provision",)
    ids = [step.id for step in runbook]
    assert ids.index("warm-caches") == ids.index("settle") + 1


def test_later_file_wins_and_null_takes_a_key_away(project: Path) -> None:
    runbook = load(project, "steps: [{id: restore, estimate: 3h}]", "steps: [{id: restore, estimate: 4h, retry: null}]")
    restore = runbook.get("restore")
    assert restore is not None
    assert restore.estimate == timedelta(hours=4)
    assert restore.retry.times == 0


def test_file_adds_to_the_moves_variables(project: Path) -> None:
    runbook = load(project, "move: {variables: {target: test, backup: x}}")
    assert runbook.settings.variables == {
        "target": "test",
        "source": "production",
        "clone": "preproduction",
        "backup": "x",
    }


def test_file_without_base_stands_alone(project: Path) -> None:
    runbook = load(
        project,
        HEAD + "  - {id: only, phase: 1, title: Only, owner: client, run: {human: do}, estimate: 1m, expires: 2d}\n",
    )
    assert [step.id for step in runbook] == ["only"]
    assert runbook.steps[0].kind is Kind.HUMAN
    assert runbook.steps[0].expires == timedelta(days=2)


def test_all_faults_are_named_at_once_with_their_places(project: Path) -> None:
    found = faults(
        project,
        HEAD
        + """\
  - {id: a, phase: 1, title: A, run: {playbook: nowhere.yml}, estimate: 1m}
  - {id: b, phase: 7, title: B, owner: vendor, run: {human: do}, estimate: soon}
  - {id: b, phase: 1, title: B again, owner: client, run: {human: do}, estimate: 1m}
  - {id: c, phase: 1, owner: client, run: {playbook: restore.yml, command: [ls]}, needs: [ghost], estimate: 1m}
  - {id: d, phase: 1, title: D, owner: client, run: {human: do}, estimate: 1m, colour: red, destructive: true}
  - {id: Bad_Id, phase: 1}
  - {id: e, phase: 1, title: E, owner: client, run: {command: [no-such-program-here]}, estimate: 1m}
""",
    )
    text = "\n".join(found)
    for part in (
        ":5: step 'a': owner is missing",
        ":5: step 'a' runs playbook 'nowhere.yml', which does not exist",
        ":6: step 'b' is in phase '7'",
        ":6: step 'b': owner is 'vendor'",
        ":6: step 'b': estimate: 'soon' is not a duration",
        ":7: step id 'b' is used twice",
        ":8: step 'c' runs playbook and command",
        ":8: step 'c' needs 'ghost', which does not exist",
        ":8: step 'c': title is missing",
        ":9: step 'd' has an unknown key 'colour'",
        ":9: step 'd' is destructive but runs nothing",
        ":10: step 6 has no usable id",
        ":11: step 'e' runs command 'no-such-program-here', which is not installed",
    ):
        assert part in text, part
    assert all("\n" not in line for line in found)


@pytest.mark.parametrize("language", ["en", "es"])
def test_every_step_that_changes_something_says_how_it_is_proven_and_undone(project: Path, language: str) -> None:
    for step in load_runbook(project):
        if step.changes:
            assert step.proven, step.id
            assert step.undo.get(language), step.id
        assert step.undo.en != step.undo.es or not step.undo.en, step.id


def test_proofs_and_undoing_take_many_forms(project: Path) -> None:
    runbook = load(
        project,
        HEAD
        + """\
  - {id: a, phase: 1, title: A, owner: client, run: {command: ['true']}, estimate: 1m,
     verify: {checks: [php, case-10-search], steps: [b]}, undo: {run: {command: [ls, $target]}, en: List, es: Listar}}
  - {id: b, phase: 1, title: B, owner: client, run: {command: ['true']}, estimate: 1m, verify: {command: ['true']}}
  - {id: c, phase: 1, title: C, owner: client, run: {command: ['true']}, estimate: 1m, verify: {en: Itself, es: Solo}}
""",
    )
    first, second, third = runbook.steps
    assert first.proof.checks == ("php", "case-10-search")
    assert first.proof.steps == ("b",)
    assert first.verify is not None
    assert (first.verify.playbook, first.verify.limit) == ("verify.yml", "$target")
    assert first.verify.variables == {"verify_only": ["php", "case-10-search"]}
    assert first.undo_action is not None
    assert first.undo_action.command == ("ls", "$target")
    assert second.verify is not None
    assert not second.undoable
    assert third.verify is None
    assert third.proof.text.es == "Solo"


def test_proofs_that_prove_nothing_are_refused(project: Path) -> None:
    step = "  - {{id: {0}, phase: 1, title: X, owner: client, run: {{command: ['true']}}, estimate: 1m, {1}}}\n"
    found = faults(
        project,
        HEAD
        + step.format("a", "verify: {steps: [ghost]}")
        + step.format("b", "verify: {steps: [a]}")
        + step.format("c", "verify: {checks: [phantom]}")
        + step.format("d", "verify: {human: do}")
        + step.format("e", "verify: {}")
        + step.format("f", "undo: {run: {command: [no-such-program-here]}, en: Back}")
        + step.format("g", "undo: {run: {command: ['true']}}")
        + step.format("h", "destructive: true"),
    )
    text = "\n".join(found)
    for part in (
        ":5: step 'a' is verified by step 'ghost', which does not exist",
        ":6: step 'b' is verified by step 'a', which comes before it",
        ":7: step 'c' is verified by check 'phantom', which does not exist",
        ":8: step 'd' is verified by a person",
        ":9: step 'e': verify says nothing",
        ":10: step 'f' runs command 'no-such-program-here', which is not installed",
        ":11: step 'g': undo is missing or not a text",
        ":12: step 'h' replaces data and does not say how it is verified",
        ":12: step 'h' replaces data and does not say how it is undone",
    ):
        assert part in text, part


def test_step_that_was_taken_out_proves_nothing_any_more(project: Path) -> None:
    runbook = load(project, "steps: [{id: compare-preproduction, remove: true}]")
    refresh = runbook.get("refresh-preproduction")
    assert refresh is not None
    assert not refresh.proven


def test_the_steps_of_an_update_update_a_copy_first_and_the_target_by_decision_of_a_person(project: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/update.md").read_text()
    runbook = load(project, page.rpartition("```yaml\n")[2].partition("```")[0])
    copy, approve, portal = (runbook.get(name) for name in ("update-copy", "approve-update", "update-portal"))
    assert copy and approve and portal
    assert copy.destructive and portal.destructive and approve.kind is Kind.HUMAN
    assert (copy.needs, approve.needs, portal.needs) == (("test-host",), ("prove-copy",), ("approve-update", "verify"))
    assert copy.never_on == ("production",) and portal.proven and copy.proven
    assert load(project).get("update-copy") is None


def test_undoing_is_shown_as_one_would_type_it(project: Path) -> None:
    move = Move(project, project / ".encaja", load_runbook(project), (project / "inventories/lab",))
    undo = tables.undo_text(move.step("restore"), move, "es")
    assert "Se conservan" in undo
    assert "encaja playbook -i inventories/lab restore.yml --limit production --tags rollback" in undo
    assert tables.proof_text(move.step("settle"), move, "en") == "verify"
    assert tables.proof_text(move.step("deploy-box"), move, "es") == "test-box"


def test_cycle_is_named_with_its_members(project: Path) -> None:
    step = "  - {{id: {0}, phase: 1, title: X, owner: client, run: {{human: do}}, estimate: 1m, needs: [{1}]}}\n"
    found = faults(project, HEAD + step.format("a", "c") + step.format("b", "a") + step.format("c", "b"))
    assert len(found) == 1
    assert "circle: a → c → b → a" in found[0]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("steps: [{id: x, id: y}]", "key 'id' is given twice"),
        ("steps: [", "is not valid YAML"),
        ("- a\n- b", "is not a mapping"),
        ("version: 99\nsteps: []", "version 99 is newer"),
        ("stpes: []", "unknown key 'stpes'"),
        ("base: other", "base is 'other'"),
        ("move: {language: fr}", "language is 'fr'"),
        ("move: {time_zone: Mars/Base}", "there is no time zone 'Mars/Base'"),
        ("move: {time_zone: ../etc}", "there is no time zone '../etc'"),
        ("move: {leads_per_hour: [1, 2]}", "leads_per_hour is not a list of 24"),
        ("steps: [{id: ghost, remove: true}]", "removes step 'ghost', which does not exist"),
        ("steps: [{id: restore, after: ghost}]", "comes after 'ghost', which does not exist"),
        ("steps: [{id: restore, retry: 3}]", "retry is not made of"),
        ("steps: [{id: restore, retry: {times: -1}}]", "retry times is '-1'"),
        ("steps: [{id: restore, gap: wide}]", "gap is 'wide'"),
        ("phases: {1: {title: One, urgency: extreme}}", "urgency is 'extreme'"),
    ],
)
def test_one_fault_one_line(project: Path, text: str, part: str) -> None:
    found = faults(project, text)
    assert any(part in line for line in found), found


def test_two_files_may_take_out_the_same_step(project: Path) -> None:
    files = [project / "one.yml", project / "two.yml"]
    for path in files:
        path.write_text("version: 1\nsteps: [{id: test-host, remove: true}]\n")
    assert "test-host" not in {step.id for step in load_runbook(project, files)}


def test_unreadable_file_is_a_fault(project: Path) -> None:
    with pytest.raises(RunbookError, match="cannot be read"):
        load_runbook(project, [project / "missing.yml"])


SHIPPED = Path(__file__).parents[3] / "inventories"


def test_of_several_inventories_the_run_book_of_the_first_counts(tmp_path: Path) -> None:
    def target(*names: str) -> str:
        move = open_move(project=tmp_path, inventories=[SHIPPED / name for name in names])
        return move.runbook.settings.variables["target"]

    assert target("production", "preproduction", "test") == "production"
    assert target("test", "production") == "test"


def test_a_project_s_inventories_are_those_of_its_run_book_whatever_pass_there_was(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "inventories" / name).mkdir(parents=True)
    (tmp_path / "runbook.yml").write_text("version: 1\nmove: {inventory: [inventories/a, inventories/b]}\n")
    with Journal(tmp_path / ".encaja/journal.sqlite3") as journal:
        journal.start_pass("rehearsal-1", "marta", {"inventories": [str(tmp_path / "inventories/c")]})
    assert [path.name for path in project_inventories(tmp_path)] == ["a", "b"]
    assert [path.name for path in open_move(project=tmp_path).inventories] == ["c"]
    (tmp_path / "runbook.yml").unlink()
    assert [path.name for path in project_inventories(tmp_path)] == ["c"]
