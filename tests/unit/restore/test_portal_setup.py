"""Settings, freeze and places of a restored tree."""

from __future__ import annotations

import pytest

from encaja.portal import php
from encaja.restore import portal_setup
from encaja.restore.errors import BackupError
from encaja.restore.load.database import Server

SERVER = Server("portal_s1", "portal", "p'w\\1")


def test_credentials():
    default = "array('host' => 'old', 'options' => 2.0)"
    text = f"<?php\nreturn array('connections' => array('value' => array('default' => {default})));\n"
    settings = php.parse_settings(portal_setup.fill_settings(text, SERVER))
    assert settings["connections"]["value"]["default"] == {
        "host": "localhost", "options": 2.0, "database": "portal_s1", "login": "portal", "password": "p'w\\1",
    }  # fmt: skip
    assert "messenger" not in settings
    frozen = php.parse_settings(portal_setup.fill_settings(text, SERVER, freeze=True))
    assert frozen["messenger"]["value"]["run_mode"] == "cli"
    with pytest.raises(BackupError, match="no section 'connections'"):
        portal_setup.fill_settings("<?php return array();", SERVER)


def test_dbconn():
    text = (
        '<?php\n$DBHost = "db";\n$DBLogin = "******";\n$DBPassword = "******";\n$DBName = "******";\ndefine("X", 1);\n'
    )
    filled = portal_setup.fill_dbconn(text, SERVER, freeze=True)
    assert php.read_variable(filled, "DBPassword") == "p'w\\1"
    assert php.read_define(filled, "NO_AGENT_CHECK") is True
    assert portal_setup.fill_dbconn(filled, SERVER, freeze=True) == filled
    assert portal_setup.fill_dbconn("<?php\n", SERVER, freeze=False) == "<?php\n"


@pytest.mark.parametrize(
    ("name", "where"),
    [
        (b"restore.php", None),
        (b".htaccess", b".htaccess.restore"),
        (b"sub/.htaccess", b"sub/.htaccess"),
        (b"bitrix/backup/clouds/3/a.jpg", b"upload/clouds/3/a.jpg"),
    ],
)
def test_places(name, where):
    assert portal_setup.place(name) == where
