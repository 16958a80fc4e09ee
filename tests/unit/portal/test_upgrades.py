from __future__ import annotations

from pathlib import Path

import pytest

from encaja.portal import upgrades

MAIN = "     release v=13.2,o=Debian,a=stable,n=trixie,l=Debian,c=main,b=amd64\n"
UPDATES = "     release v=13-updates,o=Debian,a=stable-updates,n=trixie-updates,l=Debian,c=main,b=amd64\n"
SECURITY = "     release v=13,o=Debian,a=stable-security,n=trixie-security,l=Debian-Security,c=main,b=amd64\n"


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of Debian 13 with its security suite that waits for no restart."""
    (tmp_path / "os-release").write_text('ID=debian\nVERSION_CODENAME=trixie\nVERSION_ID="13"\n')
    monkeypatch.setattr(upgrades, "RELEASE", tmp_path / "os-release")
    monkeypatch.setattr(upgrades, "REBOOT", tmp_path / "reboot-required")
    monkeypatch.setattr(upgrades, "_said", lambda *_: MAIN + UPDATES + SECURITY)
    return tmp_path


def test_upgrades_that_come_and_are_in_force() -> None:
    assert upgrades.upgrade_faults(automatic=True) == []


@pytest.mark.parametrize(
    "known", ["", MAIN, MAIN + UPDATES, SECURITY.replace("trixie", "bookworm"), SECURITY.replace("o=Debian", "o=Other")]
)
def test_upgrades_without_a_source(monkeypatch: pytest.MonkeyPatch, known: str) -> None:
    monkeypatch.setattr(upgrades, "_said", lambda *_: known)
    ((what, hint),) = upgrades.upgrade_faults(automatic=True)
    assert what == "security upgrades have no source: apt knows no suite trixie-security of Debian"
    assert "base_upgrades" in hint
    assert upgrades.upgrade_faults(automatic=False) == []


def test_an_upgrade_that_waits_for_a_restart(host: Path) -> None:
    (host / "reboot-required").touch()
    assert "(package not named)" in upgrades.upgrade_faults(automatic=False)[0][0]
    (host / "reboot-required.pkgs").write_text("linux-image-6.12\nlibc6\nlibc6\n")
    ((what, _),) = upgrades.upgrade_faults(automatic=False)
    assert what == "an upgrade waits for a restart of the host (libc6, linux-image-6.12)"
