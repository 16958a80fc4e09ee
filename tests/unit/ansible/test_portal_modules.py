from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from ansible_collections.encaja.portal.plugins.doc_fragments.portal import ModuleDocFragment
from encaja.errors import EncajaError

NAMES = (
    *(
        "background_proof",
        "background_work",
        "cloud",
        "dbconn",
        "domain",
        "masking",
        "neutralise",
        "options",
        "prove",
        "pull",
        "search",
    ),
    *("settings", "users", "verify"),
)


def load(name: str) -> ModuleType:
    """A module of ours as Ansible finds it."""
    return importlib.import_module(f"ansible_collections.encaja.portal.plugins.modules.portal_{name}")


def task(check: bool = False, **params: Any) -> Any:
    return SimpleNamespace(params=params, check_mode=check, _name="encaja.portal.portal_settings")


@pytest.mark.parametrize("name", NAMES)
def test_documentation_and_arguments_agree(name: str) -> None:
    module = load(name)
    page = yaml.safe_load(module.DOCUMENTATION)
    assert page["module"] == f"portal_{name}"
    documented = dict(page["options"])
    for fragment in page.get("extends_documentation_fragment", []):
        part = getattr(ModuleDocFragment, ".".join(fragment.split(".")[3:]).upper() or "DOCUMENTATION")
        shared = yaml.safe_load(part)["options"]
        assert not documented.keys() & shared.keys()
        documented |= shared
    assert set(documented) == set(module.ARGUMENTS)
    for option, argument in module.ARGUMENTS.items():
        assert documented[option]["type"] == argument["type"], option
        assert documented[option].get("default") == argument.get("default"), option
        assert documented[option].get("choices") == argument.get("choices"), option
        assert bool(documented[option].get("required")) == bool(argument.get("required")), option
    assert yaml.safe_load(module.EXAMPLES)
    assert yaml.safe_load(module.RETURN)


@pytest.mark.parametrize("name", NAMES)
def test_secrets_do_not_reach_logs(name: str) -> None:
    for option, argument in load(name).ARGUMENTS.items():
        if option in {"key", "licence", "secrets", "password"}:
            assert argument["no_log"] is True


FILE = {"owner": None, "group": None, "mode": None, "backup": False}


def settings_task(path: Path, check: bool = False, **params: Any) -> Any:
    wanted = {"sections": {}, "secrets": {}, "replace": [], "absent": [], **FILE, **params}
    return task(check, path=str(path), **wanted)


def test_settings_are_created_kept_and_shown_without_secrets(tmp_path: Path) -> None:
    module = load("settings")
    path = tmp_path / ".settings.php"
    wanted = {"sections": {"cache": {"value": {"type": "redis"}}}, "secrets": {"crypto.value.crypto_key": "hunter2"}}
    looked = module.converge(settings_task(path, check=True, **wanted))
    assert looked["changed"]
    assert not path.exists()
    made = module.converge(settings_task(path, mode="0600", **wanted))
    assert made["changed"]
    assert "hunter2" not in str(made["diff"])
    assert "'crypto_key' => 'hunter2'" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert module.converge(settings_task(path, mode="0600", **wanted)) == {"changed": False}
    assert module.converge(settings_task(path, mode="0640", **wanted)) == {"changed": True}


@pytest.mark.parametrize("text", ["<?php return ['a' => function () {}];", "<?php return ['a' => ;", "<?php $x = 1;"])
def test_unreadable_settings_are_not_changed(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".settings.php"
    path.write_text(text)
    with pytest.raises(Exception, match=r"\.settings\.php:1"):
        load("settings").converge(settings_task(path, sections={"b": {"value": 1}}))
    assert path.read_text() == text


def test_file_keeps_its_mode_and_comments_when_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / ".settings.php"
    path.write_text("<?php // mine\nreturn ['a' => ['value' => 1]];")
    path.chmod(0o604)
    assert load("settings").converge(settings_task(path, sections={"a": {"value": 1}})) == {"changed": False}
    assert "// mine" in path.read_text()
    load("settings").converge(settings_task(path, sections={"a": {"value": 2}}))
    assert path.stat().st_mode & 0o777 == 0o604


def test_a_missing_owner_fails_except_in_check_mode(tmp_path: Path) -> None:
    path = tmp_path / ".settings.php"
    wanted = {"sections": {"a": {"value": 1}}, "owner": "nobody-of-this-name"}
    assert load("settings").converge(settings_task(path, check=True, **wanted))["changed"]
    with pytest.raises(Exception, match="no such owner"):
        load("settings").converge(settings_task(path, **wanted))
    assert not path.exists()


def test_dbconn_constants_variables_and_secrets(tmp_path: Path) -> None:
    module = load("dbconn")
    path = tmp_path / "dbconn.php"
    path.write_text('<?php\n$DBPassword = "******";\ndefine("BX_UTF", true);\n')

    def wanted(**params: Any) -> Any:
        base = {"define": {}, "undefine": [], "variables": {}, "secrets": {}, **FILE}
        return task(path=str(path), **{**base, **params})

    done = module.converge(wanted(define={"NO_AGENT_CHECK": True}, secrets={"DBPassword": "hunter2"}))
    assert done["changed"]
    assert "hunter2" not in str(done["diff"])
    assert path.read_text() == (
        '<?php\ndefine("NO_AGENT_CHECK", true);\n$DBPassword = \'hunter2\';\ndefine("BX_UTF", true);\n'
    )
    assert module.converge(wanted(define={"NO_AGENT_CHECK": True}, secrets={"DBPassword": "hunter2"})) == {
        "changed": False
    }
    module.converge(wanted(undefine=["NO_AGENT_CHECK", "NEVER_THERE"]))
    assert "NO_AGENT_CHECK" not in path.read_text()


def test_unwritable_directory_is_an_error_of_one_line(tmp_path: Path) -> None:
    from encaja.portal import files

    with pytest.raises(EncajaError) as caught:
        files.write(tmp_path / "missing" / "x.php", b"x")
    assert "\n" not in str(caught.value)
    assert "permissions" in caught.value.hint


def test_copies_of_one_moment_do_not_replace_each_other(tmp_path: Path) -> None:
    from encaja.portal import files

    source = tmp_path / "a.php"
    copies = []
    for text in ("one", "two", "three"):
        source.write_text(text)
        copies.append(files.keep_copy(source, tmp_path / "kept"))
    assert [copy.read_text() for copy in copies] == ["one", "two", "three"]
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o700


@pytest.mark.fault("portal 500", "settle", "while the search index is built")
def test_an_interrupted_rebuild_of_the_index_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("search")
    monkeypatch.setattr(module, "STATUS", tmp_path / "reindex" / "status.json")
    monkeypatch.setattr(module.search, "expected_records", lambda _: 400)
    noted: dict[str, Any] = {}
    keys = {"server_uniq_id": "of this copy"}
    portal = SimpleNamespace(
        root=tmp_path, state=lambda: dict(noted), note=lambda **values: noted.update(values),
        option=lambda _, name: keys[name],
    )  # fmt: skip
    begun_with: list[dict[str, Any]] = []

    def reindex(_root: Path, _host: str, progress: Any, state: dict[str, Any]) -> int:
        begun_with.append(dict(state))
        if not state:
            progress(100, {"MODULE": "crm", "ID": 100, "CNT": 100})
            raise EncajaError("the portal's kernel failed", "www")
        progress(300, {"MODULE": "tasks", "ID": 7, "CNT": 300})
        return 380

    monkeypatch.setattr(module.kernel, "reindex", reindex)
    with pytest.raises(EncajaError):
        module._rebuild(portal, "bitrix", "crm.acme.es")
    assert json.loads(module.STATUS.read_text())["phase"] == "failed"
    of = module.search.identity(portal)
    assert noted["reindex"] == {"engine": "bitrix", "of": of, "state": {"MODULE": "crm", "ID": 100, "CNT": 100}}
    assert module._rebuild(portal, "bitrix", "crm.acme.es") == 380
    assert begun_with == [{}, {"MODULE": "crm", "ID": 100, "CNT": 100}]
    assert (noted["reindex"], noted["indexed"]) == (None, 380)
    status = json.loads(module.STATUS.read_text())
    assert (status["phase"], status["done"], status["total"], status["unit"]) == ("done", 380, 400, "records")
    noted["reindex"] = {"engine": "sphinx", "of": of, "state": {"CNT": 5}}
    with pytest.raises(EncajaError):  # of another engine: from the beginning
        module._rebuild(portal, "bitrix", "crm.acme.es")
    assert begun_with[-1] == {}
    keys["server_uniq_id"] = "of the next copy"
    with pytest.raises(EncajaError):  # of an earlier copy in a database of this name: likewise
        module._rebuild(portal, "bitrix", "crm.acme.es")
    assert begun_with[-1] == {}
