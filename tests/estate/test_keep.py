"""The page on keeping an estate, word for word: a backup's password is rotated, a portal is lost with all its hosts."""

from __future__ import annotations

import pytest

from estate import backup
from estate.acme import DATABASE, PRODUCTION, TREE, Project, Rebuilt, changed, restored_files


class TestStore:
    """A repository on another host, which asks for a name and a password of its own."""

    def test_the_repository_opens_with_the_new_password_only(self, stored: Project) -> None:
        assert "run-" in stored.shell("crm", "encaja-backup list")
        old = stored.shell("crm", "encaja-backup restic key list --password-file /root/old 2>&1; rm /root/old")
        assert "wrong password" in old

    def test_nobody_sees_what_opens_it(self, stored: Project) -> None:
        modes = stored.shell("crm", "stat -c %a /etc/encaja/backup.json /etc/encaja/backup.password")
        assert modes.split() == ["600", "600"]


class TestRebuilt:
    """Portal and database lost at once, with nothing left but the inventory and the repository."""

    def test_everything_is_as_it_was(self, rebuilt: Rebuilt, copied: Project, cloud: backup.Backup) -> None:
        assert copied.shell("crm", "readlink -f /srv/portal/www") == TREE
        assert rebuilt.loaded == rebuilt.tables
        files = restored_files(copied)
        assert {name: files.get(name) for name in cloud.files} == {name: rebuilt.files[name] for name in cloud.files}

    @pytest.mark.usefixtures("rebuilt")
    def test_it_serves_and_stays_as_it_is(self, copied: Project) -> None:
        assert copied.page("crm")[0] == 200
        assert DATABASE in copied.shell("crm", "cat /srv/portal/www/bitrix/.settings.php")
        said = copied.done("ansible-playbook", *copied.inventories(PRODUCTION), "site.yml")
        assert set(changed(said).values()) == {0}, said[-6000:]
