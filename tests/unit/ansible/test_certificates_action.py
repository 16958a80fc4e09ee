"""Action and module ``certificates`` together: what is installed on a host, and what is refused beforehand."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleFileNotFound
from ansible.module_utils.testing import patch_module_args
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ansible_collections.encaja.portal.plugins.action.certificates import ActionModule
from ansible_collections.encaja.portal.plugins.module_utils import certificate_store
from ansible_collections.encaja.portal.plugins.modules import certificates as module
from encaja.certificates import examine
from support.actions import made
from unit.test_certificates import Signed

NAME = "portal.example.org"
ROOT = Signed("Acme Root", last_day=4000)
GOOD = Signed(NAME, ROOT, (NAME,))
TRUSTED = ROOT.pem.decode()


class Host:
    """A host whose directory of certificates is a folder, and a controller that asks it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.asked = 0
        self.warned: list[str] = []

    def converge(self, *certificates: dict[str, Any], check: bool = False, **more: Any) -> dict[str, Any]:
        given = {"certificates": list(certificates), "folder": str(self.folder), "trusted": [TRUSTED], **more}
        action = made(ActionModule, given, check=check)
        action._display = SimpleNamespace(warning=self.warned.append, vv=lambda _: None)
        action._find_needle = self._needle
        action._execute_module = lambda **asked: self._module(asked["module_args"], check)
        result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "one"})
        return result

    def _module(self, arguments: dict[str, Any], check: bool) -> dict[str, Any]:
        self.asked += 1
        with patch_module_args({**arguments, "_ansible_check_mode": check}), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return result

    def _needle(self, _: str, name: str) -> str:
        if not Path(name).exists():
            raise AnsibleFileNotFound(file_name=name)
        return name

    def found(self) -> dict[str, int]:
        """Files and their modes."""
        return {path.name: stat.S_IMODE(path.stat().st_mode) for path in sorted(self.folder.glob("*.*"))}


def new_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(certificate_store, "grp", SimpleNamespace(getgrnam=_group))
    return Host(tmp_path / "tls", capsys)


def _group(name: str) -> Any:
    if name != "ssl-cert":
        raise KeyError(name)
    return SimpleNamespace(gr_gid=os.getgid())


def given(signed: Signed = GOOD) -> dict[str, Any]:
    return {"name": NAME, "names": [NAME], "certificate": signed.pem.decode(), "key": signed.key_pem.decode()}


def authority(root: Signed = ROOT) -> dict[str, Any]:
    return {"certificate": root.pem.decode(), "key": root.key_pem.decode()}


def test_a_given_certificate_is_installed_once_with_its_key_for_the_group_alone(host: Host) -> None:
    result = host.converge(given())
    assert result["changed"]
    assert host.found() == {f"{NAME}.crt": 0o644, f"{NAME}.key": 0o640}
    assert (host.folder / f"{NAME}.crt").read_bytes().strip() == GOOD.pem.strip()
    assert (host.folder / f"{NAME}.key").read_bytes().strip() == GOOD.key_pem.strip()
    assert "PRIVATE" not in json.dumps(result)
    [facts] = result["certificates"]
    assert (facts["name"], facts["names"]) == (NAME, [NAME])
    assert not host.converge(given())["changed"]
    if not os.getuid():
        (host.folder / f"{NAME}.key").chmod(0o644)
        assert host.converge(given())["changed"], "others could read the key"
        assert host.found()[f"{NAME}.key"] == 0o640


def test_check_mode_tells_what_would_change_and_changes_nothing(host: Host) -> None:
    result = host.converge(given(), {"name": "own", "names": ["own.example.org"]}, check=True, authority=authority())
    assert result["changed"]
    assert not host.folder.exists()


@pytest.mark.fault("certificate expired", "provision", "a given one, and a good one in its place")
def test_an_expired_certificate_touches_no_host_and_a_good_one_follows(host: Host) -> None:
    expired = Signed(NAME, ROOT, (NAME,), last_day=-1)
    with pytest.raises(AnsibleActionFail, match=rf"nothing was installed.*{NAME}: .*expired"):
        host.converge(given(expired))
    assert host.asked == 0
    host.converge(given())
    assert (host.folder / f"{NAME}.crt").read_bytes().strip() == GOOD.pem.strip()


def test_all_that_is_wrong_is_told_together_before_any_host_is_asked(host: Host) -> None:
    wrong = [
        {"names": ["a"]}, {"name": "c", "names": ["c"], "colour": "red"},
    ]  # fmt: skip
    with pytest.raises(AnsibleActionFail) as caught:
        host.converge(*wrong)
    for part in ("certificates[0]: name missing", "c: unknown key colour"):
        assert part in str(caught.value)
    foreign = Signed(NAME, Signed("Nobody"), (NAME,))
    others = {**given(), "name": "other", "names": ["other.example.org"]}
    with pytest.raises(AnsibleActionFail) as caught:
        host.converge(given(foreign), others, {"name": "own", "names": ["own"]}, {**given(), "key": "/no/such/key"})
    for part in (f"{NAME}: ", "other: ", "there is no certificate for own: set tls_certificate", "/no/such/key"):
        assert part in str(caught.value)
    assert host.asked == 0


def test_a_certificate_that_soon_ends_is_warned_about_and_installed(host: Host) -> None:
    assert host.converge(given(Signed(NAME, ROOT, (NAME,), last_day=20)))["changed"]
    [warning] = host.warned
    assert warning.startswith(f"the certificate {NAME} ")


def test_the_authority_signs_what_has_no_files_and_the_hosts_key_stays_there(host: Host) -> None:
    result = host.converge({"name": "own", "names": ["own.example.org"]}, authority=authority())
    assert result["changed"] and host.asked == 2
    key = (host.folder / "own.key").read_text()
    assert host.found() == {"own.crt": 0o644, "own.key": 0o640}
    found = examine(
        (host.folder / "own.crt").read_bytes(), key.encode(), b"", names=["own.example.org"], roots=[ROOT.certificate]
    )
    assert not found.faults
    assert [facts["names"] for facts in result["certificates"]] == [["own.example.org"]]
    again = host.converge({"name": "own", "names": ["own.example.org"]}, authority=authority())
    assert not again["changed"] and (host.folder / "own.key").read_text() == key


@pytest.mark.fault("certificate expired", "provision", "one that the estate's own authority signed")
@pytest.mark.parametrize("why", ["expired", "another name", "another key", "another authority", "no key that is one"])
def test_a_signed_certificate_that_no_longer_fits_is_signed_again(host: Host, why: str) -> None:
    own = {"name": "own", "names": ["own.example.org"]}
    host.converge(own, authority=authority())
    key = load_pem_private_key((host.folder / "own.key").read_bytes(), None)
    if why == "expired":
        old = Signed("own", ROOT, ("own.example.org",), last_day=-1, key=key)  # type: ignore[arg-type]
        (host.folder / "own.crt").write_bytes(old.pem)
    elif why == "another name":
        own["names"] = ["new.example.org"]
    elif why == "another key":
        (host.folder / "own.key").write_text(new_key())
    elif why == "another authority":
        (host.folder / "own.crt").write_bytes(Signed("own", Signed("Other"), ("own.example.org",), key=key).pem)  # type: ignore[arg-type]
    else:
        (host.folder / "own.key").write_text("")
    assert host.converge(own, authority=authority())["changed"]
    pem, private = (host.folder / "own.crt").read_bytes(), (host.folder / "own.key").read_bytes()
    assert examine(pem, private, b"", names=own["names"], roots=[ROOT.certificate]).faults == ()
    assert not host.converge(own, authority=authority())["changed"]


def test_an_authority_that_cannot_sign_is_refused_before_any_host_is_asked(host: Host) -> None:
    mixed = {**authority(), "key": GOOD.key_pem.decode()}
    with pytest.raises(AnsibleActionFail, match="nothing was installed"):
        host.converge({"name": "own", "names": ["own.example.org"]}, authority=mixed)
    with pytest.raises(AnsibleActionFail, match="nothing was installed"):
        host.converge(given(), trusted=[TRUSTED, "no PEM at all"])
    assert host.asked == 0


def test_a_host_without_the_group_and_one_that_cannot_be_written_say_so(host: Host) -> None:
    result = host.converge(given(), group="nobody-here")
    assert result["failed"] and "install the package ssl-cert first" in result["msg"]
    host.folder.write_text("a file")
    result = host.converge(given())
    assert result["failed"] and f"cannot be installed in {host.folder}" in result["msg"]
