"""Database and cache take the old password beside the new one until it is taken away; nobody is cut off."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pymysql
import pytest

from ansible_collections.encaja.portal.plugins.modules import cache_password, portal_database
from support.mariadb import disposable_mariadb

FIRST, SECOND, THIRD = 'the "first" one', "the second\\ one", "the third one"


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if not shutil.which("mariadbd"):
        pytest.skip("needs the package mariadb-server")
    with disposable_mariadb(tmp_path_factory.mktemp("mariadb")) as sock:
        yield sock


class Account:
    """The portal's account as the module keeps it."""

    def __init__(self, sock: Path) -> None:
        self.sock = sock

    def keep(self, password: str, keep_old: bool, check_mode: bool = False) -> tuple[list[str], int]:
        """Run the module's part and return the statements that it noted, and how many old passwords are left."""
        module: Any = SimpleNamespace(params={"socket": str(self.sock)}, check_mode=check_mode)
        server = portal_database.Server(module)
        old = server.user("portal", password, ["localhost"], False, keep_old)
        server.close()
        return server.statements, old

    def takes(self, password: str) -> bool:
        try:
            pymysql.connect(unix_socket=str(self.sock), user="portal", password=password).close()
        except pymysql.OperationalError:
            return False
        return True


def test_the_database_takes_both_until_the_old_one_is_taken_away(mariadb: Path) -> None:
    account = Account(mariadb)
    assert account.keep(FIRST, keep_old=True)[1] == 0
    said, old = account.keep(SECOND, keep_old=True)
    assert (old, len(said)) == (1, 1)
    assert "*" not in said[0]
    assert account.takes(FIRST) and account.takes(SECOND)
    assert account.keep(SECOND, keep_old=True) == ([], 1)
    # Yet another one after a run that was cut off: a portal that had not followed still gets in.
    assert account.keep(THIRD, keep_old=True)[1] == 1
    assert account.takes(FIRST) and account.takes(THIRD)
    assert account.keep(THIRD, keep_old=True) == ([], 1)
    assert account.keep(THIRD, keep_old=False, check_mode=True)[0]
    assert account.takes(FIRST)
    assert len(account.keep(THIRD, keep_old=False)[0]) == 1
    assert [account.takes(one) for one in (FIRST, SECOND, THIRD, "")] == [False, False, True, False]
    assert account.keep(THIRD, keep_old=False) == ([], 0) == account.keep(THIRD, keep_old=True)


@pytest.mark.parametrize("way", ["IDENTIFIED BY ''", "IDENTIFIED VIA unix_socket", "IDENTIFIED VIA ed25519 USING ''"])
def test_another_way_to_log_in_is_not_kept(mariadb: Path, way: str) -> None:
    link = pymysql.connect(unix_socket=str(mariadb), user="root")
    with link.cursor() as cursor:
        cursor.execute("DROP USER IF EXISTS portal@localhost")
        try:
            cursor.execute(f"CREATE USER portal@localhost {way}")
        except pymysql.MySQLError:
            pytest.skip("this server lacks the plugin")
    link.close()
    said, old = Account(mariadb).keep(FIRST, keep_old=True)
    assert (len(said), old) == (1, 0)
    assert Account(mariadb).takes(FIRST) and not Account(mariadb).takes("")


class Redis:
    """A Redis of the test's own, and the module's file for it."""

    def __init__(self, home: Path) -> None:
        self.home, self.sock, self.file = home, str(home / "s"), home / "password.conf"
        self.file.write_text("")
        self.start()

    def start(self) -> None:
        command = [
            "redis-server", "--port", "0", "--unixsocket", self.sock, "--dir", str(self.home), "--save", "",
            "--include", str(self.file),
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 30
        while not self.is_up():
            assert time.monotonic() < until
            time.sleep(0.05)

    def is_up(self) -> bool:
        try:
            cache_password.Server(self.sock).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        Path(self.sock).unlink(missing_ok=True)

    def write(self, *passwords: str) -> None:
        self.file.write_text(cache_password.file_text(list(passwords)))

    def set(self, *passwords: str) -> bool:
        """What the module does with the running server, knowing what the file says."""
        server = cache_password.Server(self.sock)
        assert server.is_open_with([*passwords, *cache_password.passwords_in(self.file.read_text())])
        is_changed = server.set_passwords(list(passwords), is_check=False)
        server.close()
        return is_changed

    def takes(self, password: str) -> bool:
        server = cache_password.Server(self.sock)
        try:
            return server.ask("AUTH", password) == "OK"
        except ValueError:
            return False
        finally:
            server.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    if not shutil.which("redis-server"):
        pytest.skip("needs the package redis-server")
    made = Redis(tmp_path)
    yield made
    made.stop()


def test_the_cache_takes_both_until_the_old_one_is_taken_away_and_cuts_nobody_off(redis: Redis) -> None:
    redis.set(FIRST)
    redis.write(FIRST)
    client = cache_password.Server(redis.sock)
    assert client.ask("AUTH", FIRST) == "OK"
    assert redis.set(SECOND, FIRST)
    assert redis.takes(FIRST) and redis.takes(SECOND)
    assert not redis.set(SECOND, FIRST)
    redis.write(SECOND, FIRST)
    assert redis.set(SECOND)
    assert (redis.takes(FIRST), redis.takes(SECOND)) == (False, True)
    assert client.ask("PING") == "PONG"
    client.close()


@pytest.mark.fault("kill -9: controller", "provision", "between a password's file and the server")
def test_a_run_that_was_cut_off_between_file_and_server_is_made_good(redis: Redis) -> None:
    redis.set(FIRST)
    redis.write(SECOND, FIRST)
    assert redis.set(SECOND, FIRST)
    redis.stop()
    redis.start()
    assert redis.takes(FIRST) and redis.takes(SECOND)
    assert not redis.set(SECOND, FIRST)


def test_the_file_says_the_same_as_the_running_server(redis: Redis) -> None:
    assert not redis.set()
    redis.set(FIRST)
    assert not cache_password.Server(redis.sock).is_open_with([])
    redis.write(FIRST)
    redis.stop()
    redis.start()
    assert redis.takes(FIRST) and not redis.takes(SECOND)
    assert cache_password.passwords_in(redis.file.read_text()) == [FIRST]
    assert cache_password.passwords_in('requirepass "an \\"older\\" file"\n') == ['an "older" file']
