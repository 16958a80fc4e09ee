"""Redis is accessible to its users only."""

import shlex

from testinfra.host import Host

PASSWORD = "long enough, with \"quotes\" and 'ticks'"
SOCKET = "redis-cli -s /run/redis/redis.sock"


def test_portals_user_reaches_the_socket(host: Host) -> None:
    command = f"REDISCLI_AUTH={shlex.quote(PASSWORD)} {SOCKET} ping"
    assert host.check_output(f"su -s /bin/sh www-data -c {shlex.quote(command)}") == "PONG"


def test_other_users_do_not(host: Host) -> None:
    assert host.run(f"su -s /bin/sh nobody -c '{SOCKET} ping'").rc != 0


def test_network_needs_the_password(host: Host) -> None:
    assert "NOAUTH" in host.run("redis-cli -h 127.0.0.1 get x").stdout
    assert host.check_output(f"REDISCLI_AUTH={shlex.quote(PASSWORD)} redis-cli -h 127.0.0.1 ping") == "PONG"
    assert host.socket("tcp://0.0.0.0:6379").is_listening


def test_password_file_is_not_world_readable(host: Host) -> None:
    secret = host.file("/etc/redis/password.conf")
    assert (secret.user, secret.group, secret.mode) == ("redis", "redis", 0o640)


def test_full_memory_evicts_unused_keys_and_a_failed_snapshot_does_not_stop_writes(host: Host) -> None:
    settings = f"REDISCLI_AUTH={shlex.quote(PASSWORD)} {SOCKET} config get"
    assert host.check_output(f"{settings} maxmemory").split() == ["maxmemory", str(64 * 1024 * 1024)]
    assert host.check_output(f"{settings} maxmemory-policy").split()[1] == "volatile-lru"
    assert host.check_output(f"{settings} stop-writes-on-bgsave-error").split()[1] == "no"


def test_sessions_survive_a_restart(host: Host) -> None:
    command = f"REDISCLI_AUTH={shlex.quote(PASSWORD)} {SOCKET}"
    host.check_output(f"{command} setex verify 600 kept")
    host.check_output("systemctl restart redis-server")
    assert host.check_output(f"{command} get verify") == "kept"
