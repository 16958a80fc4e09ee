"""A message published on one port reaches subscribers on the others; the processes are supervised and shut off."""

import json
import textwrap

import pytest

SUB = (8010, 8011, 8012)
PUB = (9010, 9011)
PROCESSES = [f"sub-{port}" for port in SUB] + [f"pub-{port}" for port in PUB]

# Run on the host: subscribes on every port with the key of the configuration, publishes, and prints what came.
EXCHANGE = textwrap.dedent(
    """
    import base64, hashlib, hmac, json, os, socket, sys, urllib.request

    def subscribe(port, channel):
        stream = socket.create_connection(("127.0.0.1", port), timeout=10)
        key = base64.b64encode(os.urandom(16)).decode()
        stream.sendall((f"GET /bitrix/subws/?CHANNEL_ID={channel} HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\n"
                        f"Connection: Upgrade\\r\\nSec-WebSocket-Version: 13\\r\\n"
                        f"Sec-WebSocket-Key: {key}\\r\\n\\r\\n").encode())
        head = b""
        while not head.endswith(b"\\r\\n\\r\\n"):
            head += stream.recv(1)
        return stream

    def receive(stream):
        head = stream.recv(2, socket.MSG_WAITALL)
        size = head[1] & 127
        if size == 126:
            size = int.from_bytes(stream.recv(2, socket.MSG_WAITALL), "big")
        return stream.recv(size, socket.MSG_WAITALL).decode()

    publish, *ports = map(int, sys.argv[1:])
    key = json.load(open(f"/etc/push-server/push-server-sub-{ports[0]}.json"))["security"]["key"]
    channel = os.urandom(8).hex()
    signed = channel + "." + hmac.new(key.encode(), channel.encode(), hashlib.sha1).hexdigest()
    streams = [subscribe(port, signed) for port in ports]
    address = f"http://127.0.0.1:{publish}/bitrix/pub/?CHANNEL_ID={channel}"
    while True:
        with urllib.request.urlopen(address) as answer:
            if json.load(answer)["infos"][0]["subscribers"] == len(ports):
                break
    urllib.request.urlopen(address, data=b'{"command": "hello"}').close()
    print(json.dumps([receive(stream) for stream in streams]))
    """
)


@pytest.fixture
def config(host):
    def read(process):
        return json.loads(host.file(f"/etc/push-server/push-server-{process}.json").content_string)

    return read


@pytest.mark.parametrize("publish", PUB)
def test_a_message_reaches_subscribers_of_every_process(host, publish):
    ports = " ".join(map(str, SUB))
    done = host.run(f"python3 - {publish} {ports} <<'SCRIPT'\n{EXCHANGE}\nSCRIPT")
    assert done.rc == 0, done.stderr
    frames = json.loads(done.stdout)
    assert len(frames) == len(SUB)
    assert all('"text":{"command":"hello"}' in frame for frame in frames)


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_has_its_port_on_the_loopback_only(host, process):
    port = process.rpartition("-")[2]
    assert host.socket(f"tcp://127.0.0.1:{port}").is_listening
    assert not host.socket(f"tcp://0.0.0.0:{port}").is_listening
    assert host.service(f"push-server@{process}").is_running
    stat = json.loads(
        host.check_output(
            f"python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:{port}/server-stat/\").read().decode())'"
        )
    )
    assert stat["processUniqueId"] == process


def test_all_start_with_the_host(host):
    assert host.service("push-server").is_enabled


def test_a_failed_process_is_restarted(host):
    unit = "push-server@sub-8012"
    before = host.check_output(f"systemctl show -P MainPID {unit}")
    host.check_output(f"kill -9 {before}")
    waited = host.run(
        f"for i in $(seq 100); do new=$(systemctl show -P MainPID {unit}); "
        f'[ "$new" != 0 ] && [ "$new" != {before} ] && exit 0; sleep 0.2; done; exit 1'
    )
    assert waited.rc == 0
    host.check_output("timeout 20 sh -c 'until ss -Hltn sport = :8012 | grep -q .; do sleep 0.1; done'")


def test_processes_run_as_an_unprivileged_user(host):
    processes = host.process.filter(comm="node")
    assert len(processes) == len(PROCESSES)
    assert {process.user for process in processes} == {"push-server"}
    status = host.file(f"/proc/{processes[0].pid}/status").content_string
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


def test_the_key_is_in_files_that_only_the_server_reads(host):
    for path in [
        "/etc/default/push-server-multi",
        *(f"/etc/push-server/push-server-{name}.json" for name in PROCESSES),
    ]:
        file = host.file(path)
        assert (file.user, file.group, file.mode) == ("root", "push-server", 0o640), path
        assert file.contains("Pu5hK3y"), path
    arguments = host.check_output("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "Pu5hK3y" not in arguments
    assert "Pu5hK3y" not in host.check_output("journalctl --no-pager -o cat")


def test_redis_is_reached_by_its_socket(host, config):
    storage = config("pub-9010")["storage"]
    assert storage["socket"] == "/run/redis/redis.sock"
    assert "port" not in storage
    assert "redis" in host.user("push-server").groups


def test_limits_are_the_configured_ones(host, config):
    assert config("pub-9010")["limits"]["maxPayload"] == 2048
    assert config("pub-9010")["limits"]["maxConnPerChannel"] == 100
    answer = host.run(
        'head -c 3000 /dev/zero | python3 -c "import sys, urllib.request as u;'
        " u.urlopen('http://127.0.0.1:9010/bitrix/pub/?CHANNEL_ID=x', data=sys.stdin.buffer.read())\""
    )
    assert "413" in answer.stderr


def test_the_release_is_a_link_to_a_directory_named_by_its_hash(host):
    link = host.file("/opt/push-server")
    assert link.is_symlink
    assert link.linked_to.startswith("/opt/push-server-releases/")
    assert host.run("ls /var/cache/push-server-*.tgz").rc != 0


def test_log_rotation_and_directories_exist(host):
    assert host.file("/run/push-server").user == "push-server"
    assert host.file("/var/log/push-server").group == "adm"
    assert host.run("logrotate --debug /etc/logrotate.d/push-server 2>&1 | grep -i error").rc != 0
