"""What goes into an archive, in which order, and what is masked on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.backup_writer import tree
from lab.backup_writer.__main__ import main
from lab.backup_writer.archive import Options, make_name, write_backup
from lab.backup_writer.errors import BackupWriterError
from lab.backup_writer.masking import mask_dbconn, mask_settings
from lab.backup_writer.php_array import export_file, parse_file
from unit.backup_writer.vendor_archive import entries, stream, volumes

SETTINGS = r"""<?php
/* kept by the portal */
return [
    'utf_mode' => ['value' => true, 'readonly' => true],
    'crypto' => array('value' => array('crypto_key' => 'it\'s \\ key'), "readonly" => TRUE,),
    'connections' => ['value' => [
        'default' => ['className' => '\\Bitrix\\Main\\DB\\MysqliConnection', 'host' => 'localhost', // the first
            'login' => 'portal', 'password' => "s'ec\$ret", 'database' => 'portal', 'options' => 2],
        'archive' => ['host' => 'db2', 'database' => 'old', 'login' => 'root', 'password' => 'hunter2'],
    ], 'readonly' => true],
    'exception_handling' => ['value' => ['handled_errors_types' => 4437, 'ratio' => 0.5, 'log' => null, 0 => 'a', 'b']],
];
"""


FILES = {
    "index.php": "<?php",
    "bitrix/.config.php": "<?php // cloud",
    "bitrix/.settings.php": SETTINGS,
    "bitrix/php_interface/dbconn.php": "<?php\n$DBLogin = \"portal\";\n$DBPassword = 'x;y';\n$DBHost = 'h';\n",
    "bitrix/backup/old.tar.gz": "old",
    "bitrix/backup/clouds/1/a.bin": "cloud file",
    "bitrix/modules/main/include.php": "<?php",
    "upload/tmp/x": "no",
    "upload/resize_cache/x": "no",
    "upload/disk/a.txt": "yes",
    **{f"bitrix/{name}/x": "no" for name in tree.BITRIX_SKIPPED},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "www"
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def archived(directory: Path) -> dict[str, bytes]:
    return {entry.path.decode(): entry.content for entry in entries(stream(volumes(directory)))}


def test_excluded_directories_and_old_backups_stay_out(root: Path, tmp_path: Path) -> None:
    write_backup(root, tmp_path / "out", "n")
    assert sorted(archived(tmp_path / "out")) == [
        "bitrix/",
        "bitrix/.config.php",
        "bitrix/.settings.php",
        "bitrix/backup/clouds/",
        "bitrix/backup/clouds/1/",
        "bitrix/backup/clouds/1/a.bin",
        "bitrix/modules/",
        "bitrix/modules/main/",
        "bitrix/modules/main/include.php",
        "bitrix/php_interface/",
        "bitrix/php_interface/dbconn.php",
        "index.php",
        "upload/",
        "upload/disk/",
        "upload/disk/a.txt",
    ]


def test_the_clouds_configuration_is_first_and_only_once(root: Path, tmp_path: Path) -> None:
    write_backup(root, tmp_path / "out", "n")
    assert next(iter(archived(tmp_path / "out"))) == "bitrix/.config.php"


def test_links_are_followed_but_not_into_the_root(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("far")
    (root / "out").symlink_to(outside)
    (root / "loop").symlink_to(root / "upload")
    (root / "again.txt").symlink_to(root / "upload/disk/a.txt")
    (root / "broken").symlink_to(root / "nowhere")
    write_backup(root, tmp_path / "archive", "n")
    found = archived(tmp_path / "archive")
    assert found["out/f"] == b"far"
    assert found["again.txt"] == b"yes"
    assert not {"loop/", "broken"} & set(found)


def test_a_further_sites_files_lie_under_its_identifier(root: Path, tmp_path: Path) -> None:
    site = tmp_path / "second"
    for name in ("index.php", "bitrix/x.php", "upload/x.txt"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(name)
    write_backup(root, tmp_path / "out", "n", sites={"s2": site})
    assert [name for name in archived(tmp_path / "out") if "sites" in name] == ["bitrix/backup/sites/s2/index.php"]


def test_credentials_of_every_connection_are_masked_and_nothing_else(root: Path, tmp_path: Path) -> None:
    write_backup(root, tmp_path / "out", "n")
    found = archived(tmp_path / "out")
    masked = parse_file(found["bitrix/.settings.php"].decode(), "masked")
    expected = parse_file(SETTINGS, "settings")
    for connection in expected["connections"]["value"].values():
        connection.update(login="******", password="******", database="******")
    assert masked == expected
    assert b"secret" not in b"".join(found.values()).replace(b"\\$", b"")
    assert b"hunter2" not in b"".join(found.values())
    assert found["bitrix/php_interface/dbconn.php"] == (
        b'<?php\n$DBLogin = "******";\n$DBPassword = "******";\n$DBHost = \'h\';\n'
    )


def test_settings_are_exported_as_var_export_does() -> None:
    assert mask_settings(
        b"<?php return array('a' => array('value' => array(1, 'x' => \"it's\"), 'readonly' => false));"
    ) == (
        b"<?php\nreturn array (\n  'a' => \n  array (\n    'value' => \n    array (\n      0 => 1,\n"
        b"      'x' => 'it\\'s',\n    ),\n    'readonly' => false,\n  ),\n);\n"
    )


def test_exported_settings_read_back_the_same() -> None:
    settings = parse_file(SETTINGS, "settings")
    assert parse_file(export_file(settings), "exported") == settings


def test_settings_that_are_not_plain_values_name_file_and_line() -> None:
    with pytest.raises(BackupWriterError, match=r"bitrix/\.settings\.php, line 3: "):
        mask_settings(b"<?php\nreturn [\n'a' => getenv('A')];")


def test_dbconn_without_credentials_is_left_alone() -> None:
    content = b"<?php\ndefine('BX_UTF', true);\n// $DBPassword is elsewhere\n"
    assert mask_dbconn(content) == content


def test_a_name_is_made_like_the_vendors() -> None:
    assert len(make_name()) == len("20261001_210000_full_k3Jd92LmQx7PzVtB")
    assert make_name("cloud.example.com").startswith("cloud.example.com_20")
    assert make_name("a-very-long-name.example.com").startswith("a-very-long-name.exa20")


def test_the_same_tree_makes_the_same_archive(root: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_backup(root, tmp_path / name, "n", options=Options(volume_size=2048, hit=512))
    one, two = (volumes(tmp_path / name) for name in ("one", "two"))
    assert [volume.content for volume in one] == [volume.content for volume in two]
    assert len(one) > 3


def test_an_existing_archive_is_not_overwritten(root: Path, tmp_path: Path) -> None:
    write_backup(root, tmp_path / "out", "n")
    with pytest.raises(BackupWriterError, match="exists"):
        write_backup(root, tmp_path / "out", "n")


def test_command_line_tells_what_it_made(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = tmp_path / "password"
    secret.write_text("correct horse\n")
    arguments = ["--root", str(root), "--output", str(tmp_path / "out"), "--name", "n", "--password-file", str(secret)]
    assert main([*arguments, "--volume-size", "4096"]) == 0
    told = json.loads(capsys.readouterr().out)
    made = volumes(tmp_path / "out")
    assert told["first"] == str(tmp_path / "out" / "n.enc.gz")
    assert told["volumes"] == len(made)
    assert told["size"] == sum(len(volume.unpacked) for volume in made)
    assert archived(tmp_path / "out")["index.php"] == b"<?php"


def test_command_line_names_a_missing_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path / "nowhere"), "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("backup_writer: No document root at ")
