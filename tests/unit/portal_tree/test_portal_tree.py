from __future__ import annotations

import grp
import hashlib
import importlib
import os
import pwd
import subprocess
import tarfile
from pathlib import Path
from types import SimpleNamespace

import ansible.module_utils
import pytest

from encaja.errors import EncajaError
from encaja.portal import php

UTILS = Path(__file__).parents[3] / "python" / "encaja" / "ansible" / "module_utils"
ME = pwd.getpwuid(os.geteuid()).pw_name
OURS = grp.getgrgid(os.getegid()).gr_name


@pytest.fixture(scope="module")
def tree_module():
    """The module as Ansible packs it: the portal package below ansible.module_utils."""
    ansible.module_utils.__path__.append(str(UTILS))
    try:
        yield importlib.import_module("ansible_collections.encaja.portal.plugins.modules.portal_tree")
    finally:
        ansible.module_utils.__path__.remove(str(UTILS))


@pytest.fixture
def home(tmp_path, monkeypatch, tree_module):
    monkeypatch.setattr(tree_module, "MARKERS", tmp_path / "markers")
    monkeypatch.setattr(tree_module.files, "BACKUPS", tmp_path / "kept")
    monkeypatch.setattr(tree_module.files.keep_copy, "__defaults__", (tmp_path / "kept",))
    (tmp_path / "trees" / "holding").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def converge(tree_module, home):
    defaults = {name: argument.get("default") for name, argument in tree_module.ARGUMENTS.items()}

    def run(check: bool = False, **wanted):
        values = defaults | {"home": str(home), "owner": ME, "group": OURS} | wanted
        try:
            return tree_module.converge(SimpleNamespace(params=values, check_mode=check))
        except tree_module.EncajaError as fault:  # the packed package has an error class of its own
            raise EncajaError(fault.what, fault.where, fault.hint) from fault

    return run


def packed(path: Path, top: str = ".", files: dict[str, str] | None = None) -> Path:
    source = path / "source" / top
    for name, text in ({"bitrix/x.php": "x", "index.php": "y"} if files is None else files).items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    archive = path / "portal.tar.gz"
    with tarfile.open(archive, "w:gz") as stream:
        stream.add(path / "source", ".")
    return archive


def restored(home: Path, settings: str = "<?php return ['crypto' => ['value' => ['crypto_key' => 'k']]];") -> Path:
    tree = home / "trees" / "restored-1"
    (tree / "bitrix" / "php_interface").mkdir(parents=True)
    (tree / "bitrix" / ".settings.php").write_text(settings)
    (tree / "bitrix" / "php_interface" / "dbconn.php").write_text("<?php\n$DBPassword = 'old-word';\n")
    (home / "www").symlink_to("trees/restored-1")
    return tree


def test_a_restore_shows_the_holding_page_and_then_nothing_changes(converge, home):
    assert converge(source="restore")["changed"] is True
    assert str((home / "www").readlink()) == "trees/holding"
    again = converge(source="restore", sections={"pull": {"value": {}}})
    assert (again["changed"], again["kind"]) == (False, "holding")


def test_a_distribution_is_asked_for_and_put_in_place_with_its_seeds(converge, home, tmp_path):
    asked = converge(source="distribution")
    assert (asked["waits_for_archive"], asked["changed"], asked["kind"]) == (True, False, "holding")
    archive = packed(tmp_path)
    done = converge(
        source="distribution",
        archive=str(archive),
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest().upper(),
        seed_files={"bitrix/php_interface/dbconn.php": "<?php\n", "index.php": "not this"},
        seed_sections={"connections": {"value": {"default": {"database": "portal"}}}},
        seed_secrets={"crypto.value.crypto_key": "key"},
        sections={"cache": {"value": {"sid": "{tree}"}}},
        define={"BX_UTF": True},
    )
    assert (done["kind"], done["tree"], done["waits_for_archive"]) == ("own", "portal", False)
    tree = home / "www"
    assert (tree / "index.php").read_text() == "y"
    assert php.parse_settings((tree / "bitrix/.settings.php").read_text()) == {
        "connections": {"value": {"default": {"database": "portal"}}},
        "crypto": {"value": {"crypto_key": "key"}},
        "cache": {"value": {"sid": "portal"}},
    }
    assert (tree / "bitrix/php_interface/dbconn.php").read_text() == '<?php\ndefine("BX_UTF", true);\n'
    assert not list((home / "trees").glob(".*"))


def test_a_single_directory_at_the_top_is_stepped_over(converge, home, tmp_path):
    converge(source="distribution", archive=str(packed(tmp_path, "bitrix24_encode")))
    assert (home / "www" / "index.php").exists()


@pytest.mark.parametrize(
    ("sha256", "files", "what"),
    [("0" * 64, None, "its SHA-256 is"), ("", {"readme.txt": "no portal"}, "contains no directory bitrix")],
)
def test_a_bad_distribution_leaves_nothing_behind(converge, home, tmp_path, sha256, files, what):
    with pytest.raises(EncajaError, match=what):
        converge(source="distribution", archive=str(packed(tmp_path, files=files)), sha256=sha256)
    assert [path.name for path in (home / "trees").iterdir()] == ["holding"]
    assert not (home / "www").exists()


def test_a_broken_archive_is_named(converge, tmp_path):
    (tmp_path / "broken.tar.gz").write_bytes(b"\x1f\x8b not really")
    with pytest.raises(EncajaError, match=r"broken\.tar\.gz: cannot be unpacked"):
        converge(source="distribution", archive=str(tmp_path / "broken.tar.gz"))


def test_a_restored_tree_is_never_replaced_and_keeps_its_own(converge, home, tmp_path):
    tree = restored(home)
    result = converge(source="distribution", archive=str(packed(tmp_path)), secrets={"pull.value.signature_key": "s"})
    assert (result["kind"], result["tree"], result["waits_for_archive"]) == ("restored", "restored-1", False)
    assert str((home / "www").readlink()) == "trees/restored-1"
    assert php.parse_settings((tree / "bitrix/.settings.php").read_text()) == {
        "crypto": {"value": {"crypto_key": "k"}},
        "pull": {"value": {"signature_key": "s"}},
    }
    assert converge(source="distribution", secrets={"pull.value.signature_key": "s"})["changed"] is False


def test_check_mode_says_it_all_and_does_nothing(converge, home):
    tree = restored(home)
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    result = converge(
        check=True, source="restore", licence="L", define={"A": True}, sections={"cache": {"value": {"type": "files"}}}
    )
    assert [Path(one["after_header"]).name for one in result["diff"]] == [
        ".settings.php",
        "dbconn.php",
        "license_key.php",
    ]
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


def test_no_secret_is_shown(converge, home):
    restored(home)
    result = converge(
        source="restore", licence="licence-word", define={"A": True}, secrets={"connections.value.password": "new-word"}
    )
    assert result["diff"]
    for secret in ("licence-word", "new-word", "old-word"):
        assert secret not in str(result)


def test_settings_that_are_a_program_are_left_alone_and_named(converge, home):
    text = "<?php\nreturn ['a' => getenv('A')];"
    tree = restored(home, text)
    with pytest.raises(EncajaError, match=r"\.settings\.php:2"):
        converge(source="restore", sections={"cache": {"value": {}}})
    assert (tree / "bitrix/.settings.php").read_text() == text


@pytest.mark.parametrize(
    "before",
    [
        "<?php\n",
        '<?php\ndefine("BX_CRONTAB_SUPPORT", true);\n',
        '<?php\nif (!(defined("CHK_EVENT") && CHK_EVENT===true))\n\tdefine("BX_CRONTAB_SUPPORT", true);\n',
    ],
)
def test_a_constant_for_pages_is_defined_once_and_stays_where_it_is(tree_module, before):
    after = tree_module.defined_for_pages(before, "BX_CRONTAB_SUPPORT")
    assert after.count("BX_CRONTAB_SUPPORT") == 1
    assert tree_module.defined_for_pages(after, "BX_CRONTAB_SUPPORT") == after
    frozen = php.edit_define(after, "NO_AGENT_CHECK", True)
    assert tree_module.defined_for_pages(frozen, "BX_CRONTAB_SUPPORT") == frozen


def test_a_link_to_nothing_and_a_directory_are_named(converge, home):
    (home / "www").symlink_to("trees/gone")
    with pytest.raises(EncajaError, match="points to trees/gone, which does not exist"):
        converge(source="restore")
    (home / "www").unlink()
    (home / "www").mkdir()
    with pytest.raises(EncajaError, match="is not a link"):
        converge(source="restore")


def test_the_distribution_counts_as_installed_with_a_mark_only(converge, home, tmp_path):
    converge(source="distribution", archive=str(packed(tmp_path)))
    assert converge(source="distribution")["installed"] is False
    (home / "trees/portal/bitrix/.encaja-installed").touch()
    assert converge(source="distribution")["installed"] is True


def test_a_tree_that_came_back_from_a_backup_is_not_installed_again(converge, home, tmp_path):
    """The mark is in the tree, so it comes along to a host that knows nothing yet."""
    converge(source="distribution", archive=str(packed(tmp_path)))
    (home / "trees/portal/bitrix/.encaja-installed").touch()
    (home / "trees/portal").rename(tmp_path / "backup")
    (home / "www").unlink()
    converge(source="restore")
    (tmp_path / "backup").rename(home / "trees/portal")
    (home / "www").unlink()
    (home / "www").symlink_to("trees/portal")
    found = converge(source="distribution")
    assert (found["kind"], found["installed"]) == ("own", True)


def test_the_mark_of_a_host_that_was_made_earlier_still_counts(converge, tmp_path):
    converge(source="distribution", archive=str(packed(tmp_path)))
    (tmp_path / "markers").mkdir()
    (tmp_path / "markers" / "portal.installed").touch()
    assert converge(source="distribution")["installed"] is True


def test_a_masked_timer_is_seen(converge, tmp_path, tree_module, monkeypatch):
    monkeypatch.setattr(tree_module, "MASKS", (str(tmp_path / "units"),))
    assert converge(source="restore")["cron_masked"] is False
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "encaja-portal-cron.timer").symlink_to(os.devnull)
    assert converge(source="restore")["cron_masked"] is True


def test_the_unpacked_files_are_for_the_portal_only(converge, home, tmp_path):
    converge(source="distribution", archive=str(packed(tmp_path)))
    for path in (home / "trees" / "portal").rglob("*"):
        assert path.stat().st_mode & 0o007 == 0, path
    assert subprocess.run(["test", "-r", home / "www/index.php"], check=False).returncode == 0
