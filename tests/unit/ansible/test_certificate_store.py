"""A host's certificates: changed in one step, proven by what ports show, taken back where one shows something else."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.encaja.portal.plugins.module_utils import certificate_store
from ansible_collections.encaja.portal.plugins.module_utils.certificate_store import NotShownError, Store, fingerprint
from unit.test_certificates import MIDDLE, NAMES, Signed

NAME = "portal.example.org"
FORMER = Signed(NAME, MIDDLE, NAMES)
NEW = Signed(NAME, MIDDLE, NAMES)
WEB = "127.0.0.1:443"


def texts(signed: Signed) -> tuple[str, str]:
    return signed.pem.decode(), signed.key_pem.decode()


@dataclass
class Server:
    """Reads the files when it is reloaded, and shows them until then as they were.

    Attributes:
        refuses: the certificate that it does not come up with.
        is_deaf: whether a reload does nothing.
    """

    folder: Path
    refuses: str = ""
    is_deaf: bool = False
    breaks: bool = False
    shows: str = ""
    reloads: list[str] = field(default_factory=list)

    def reload(self, unit: str) -> str:
        self.reloads.append(unit)
        certificate, key = ((self.folder / f"{NAME}.{kind}").read_text() for kind in ("crt", "key"))
        assert certificate_store.public_key(key) == certificate_store.openssl(
            "x509", "-noout", "-pubkey", data=certificate
        )
        if certificate == self.refuses:
            self.shows = "" if self.breaks else self.shows
            return "Job failed.\nSee the journal." if not self.breaks else ""
        self.shows = self.shows if self.is_deaf else certificate
        return ""

    def look(self, address: str, name: str) -> str:
        assert (address, name) == (WEB, NAME)
        return self.shows


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def make(tmp_path: Path, server: Server) -> Callable[..., Store]:
    def store(*, check: bool = False) -> Store:
        services = {"nginx.service": [WEB]}
        return Store(tmp_path, os.getgid(), services, check, look=server.look, reload=server.reload, wait=0.2)

    return store


def install(store: Store, signed: Signed) -> Store:
    store.install(NAME, *texts(signed), NAME)
    return store


def test_both_files_change_together_and_the_port_shows_the_new_serial(
    make: Callable[..., Store], server: Server, tmp_path: Path
) -> None:
    install(make(), FORMER)
    server.reload("nginx.service")
    store = install(make(), NEW)
    assert server.shows == NEW.pem.decode()
    assert [int(one["serial"], 16) for one in store.served] == [NEW.certificate.serial_number]
    assert sorted(store.changed) == [f"{tmp_path}/{NAME}.crt", f"{tmp_path}/{NAME}.key"]
    assert (tmp_path / f"{NAME}.key").stat().st_mode & 0o777 == 0o640
    assert len([one for one in (tmp_path / "versions" / NAME).iterdir() if not one.is_symlink()]) == 1
    before = list(server.reloads)
    again = install(make(), NEW)
    assert (again.changed, again.served, server.reloads) == ([], [], before)


@pytest.mark.parametrize("way", ["refused", "deaf", "silent"])
def test_it_goes_back_by_itself_where_a_service_does_not_come_up(
    make: Callable[..., Store], server: Server, way: str
) -> None:
    install(make(), FORMER)
    server.reload("nginx.service")
    server.refuses, server.breaks, server.is_deaf = (
        (NEW.pem.decode() if way != "deaf" else ""),
        way == "silent",
        way == "deaf",
    )
    with pytest.raises(NotShownError) as told:
        install(make(), NEW)
    words = {
        "refused": "nginx.service: Job failed.",
        "deaf": "nginx.service shows serial",
        "silent": "does not answer on",
    }
    assert words[way] in str(told.value)
    assert "the former one (serial " in str(told.value)
    assert str(told.value).endswith("is in use again, and shown")
    assert server.shows == FORMER.pem.decode() == make().file(NAME, "crt")
    assert make().file(NAME, "key") == FORMER.key_pem.decode()


class PowerFailedError(BaseException):
    pass


@pytest.mark.fault("power loss: host", "provision", "at any step from one certificate to the next")
def test_power_lost_at_any_rename_leaves_a_pair_that_fits_and_the_next_run_ends_it(
    make: Callable[..., Store], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(make(), FORMER)
    server.reload("nginx.service")
    rename, left = Path.rename, 0

    def failing(path: Path, target: Path) -> Path:
        nonlocal left
        if left == 0:
            raise PowerFailedError
        left -= 1
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    for left_now in range(4):
        for signed, other in ((NEW, FORMER), (FORMER, NEW)):
            left = left_now
            with contextlib.suppress(PowerFailedError):
                install(make(), signed)
            server.reload("nginx.service")  # what boots now finds a key that fits
            assert server.shows in (signed.pem.decode(), other.pem.decode())
            left = 99
            install(make(), signed)
            assert server.shows == signed.pem.decode()


def test_files_of_an_earlier_version_are_taken_over_and_come_back(
    make: Callable[..., Store], server: Server, tmp_path: Path
) -> None:
    for kind, text in zip(("crt", "key"), texts(FORMER), strict=True):
        (tmp_path / f"{NAME}.{kind}").write_text(text)
    server.reload("nginx.service")
    server.refuses = NEW.pem.decode()
    with pytest.raises(NotShownError, match="is in use again"):
        install(make(), NEW)
    assert make().file(NAME, "crt") == FORMER.pem.decode()


def test_check_mode_says_what_would_change_and_changes_nothing(
    make: Callable[..., Store], server: Server, tmp_path: Path
) -> None:
    install(make(), FORMER)
    reloads = list(server.reloads)
    store = install(make(check=True), NEW)
    assert sorted(store.changed) == [f"{tmp_path}/{NAME}.crt", f"{tmp_path}/{NAME}.key"]
    assert make().file(NAME, "crt") == FORMER.pem.decode()
    assert server.reloads == reloads


def test_a_port_with_another_certificate_has_to_show_as_much_as_before(
    make: Callable[..., Store], server: Server
) -> None:
    install(make(), FORMER)
    server.shows, server.is_deaf = MIDDLE.pem.decode(), True
    assert install(make(), NEW).served == []
    server.breaks, server.refuses = True, FORMER.pem.decode()
    with pytest.raises(NotShownError, match=r"does not answer on 127\.0\.0\.1:443"):
        install(make(), FORMER)


def test_a_server_that_makes_itself_a_certificate_at_each_start_is_no_fault(
    make: Callable[..., Store], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As MariaDB does before role database names one."""
    server.shows = Signed("own").pem.decode()

    def restart(_: str) -> str:
        server.shows = Signed("own").pem.decode()
        return ""

    monkeypatch.setattr(server, "reload", restart)
    assert install(make(), NEW).served == []
    assert make().file(NAME, "crt") == NEW.pem.decode()


def test_a_bought_certificate_finds_its_requested_key(make: Callable[..., Store], tmp_path: Path) -> None:
    store = install(make(), FORMER)
    (tmp_path / "requests").mkdir()
    store.requested_key(NAME).write_text(NEW.key_pem.decode())
    assert store.key_for(NAME, NEW.pem.decode()) == NEW.key_pem.decode()
    assert store.key_for(NAME, FORMER.pem.decode()) == FORMER.key_pem.decode()
    assert store.key_for(NAME, MIDDLE.pem.decode()) == ""
    install(store, NEW)
    assert not store.requested_key(NAME).exists()


def test_a_real_port_is_asked_by_name(tmp_path: Path) -> None:
    for kind, text in zip(("crt", "key"), texts(NEW), strict=True):
        (tmp_path / kind).write_text(text)
    words = [
        "openssl",
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-cert",
        str(tmp_path / "crt"),
        "-key",
        str(tmp_path / "key"),
    ]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if line.startswith("ACCEPT"))
        address = f"127.0.0.1:{line.rpartition(':')[2].strip()}"
        assert fingerprint(certificate_store.shown(address, NAME)) == fingerprint(NEW.pem.decode())
        process.kill()
    assert certificate_store.shown(address, NAME) == ""
