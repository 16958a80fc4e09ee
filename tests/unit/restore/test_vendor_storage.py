"""The vendor's own storage as a source, played by a stand-in that keeps its contract."""

from __future__ import annotations

import pytest
from backup_archives import FIXTURES

from encaja.restore.errors import BackupError, WrongPassword
from encaja.restore.fetch import Fetcher, FetchOptions
from encaja.restore.fetch.vendor_storage import VendorStorage, open_stored
from lab.misbehaving_server import Fault, running
from lab.vendor_storage import VendorStorageServer

NAME = "20261002_210000_full_Wq81ZsPo4RtYu6Nm.enc.gz"
QUICK = FetchOptions(connections=4, piece=64 << 10, patience_seconds=6, pause_seconds=0.02, stall_seconds=1)


def storage(**options) -> VendorStorageServer:
    return VendorStorageServer(FIXTURES / "encrypted", "L-1", "correct horse", **options)


@pytest.mark.fault("link expired", "restore", "the vendor's storage wants another request")
def test_fetches_and_asks_again_when_a_request_is_no_good_any_more(tmp_path):
    with running(storage(uses=3, faults=[Fault("flip", f"{NAME}.13", times=1, at=20000)])) as server:
        source = open_stored(VendorStorage("L-1", server.address), "correct horse")
        assert (str(source.name), source.count) == (NAME, 17)
        fetcher = Fetcher(source, tmp_path, QUICK)
        fetcher.run()
    assert max(server.asked.count(name) for name in server.asked) > 1
    for path in (FIXTURES / "encrypted").glob("*.enc.gz*"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_what_it_refuses(tmp_path):
    with running(storage()) as server:
        with pytest.raises(BackupError, match="does not know this licence key"):
            open_stored(VendorStorage("another", server.address), "correct horse")
        with pytest.raises(WrongPassword, match="needs the backup's password"):
            open_stored(VendorStorage("L-1", server.address), None)
        with pytest.raises(BackupError, match=r"there is no backup 2020\.enc"):
            open_stored(VendorStorage("L-1", server.address), "correct horse", "2020.enc")
        source = open_stored(VendorStorage("L-1", server.address), "wrong")
        with pytest.raises(WrongPassword, match="another password"):
            Fetcher(source, tmp_path, QUICK).run()
        assert "L-1" not in str(server.record.requests) and "wrong" not in repr(source)


def test_missing_volumes_are_told_at_once(tmp_path):
    for number in (0, 2):
        (tmp_path / (f"a.enc.{number}" if number else "a.enc")).write_bytes(b"x")
    with (
        running(VendorStorageServer(tmp_path, "L-1", "p")) as server,
        pytest.raises(BackupError, match=r"lacks volumes 1 of a\.enc"),
    ):
        open_stored(VendorStorage("L-1", server.address), "p")


def test_storage_that_is_away():
    with running(storage()) as server:
        address = server.address
    with pytest.raises(BackupError, match="does not answer"):
        open_stored(VendorStorage("L-1", address), "p")
