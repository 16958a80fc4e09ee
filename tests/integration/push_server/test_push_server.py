"""The stand-in of the push server as its tarball ships it: processes of both kinds over a private Redis."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import websockets

from lab.push_server.build import build

MODULES = Path("/usr/share/nodejs")
KEY = "k" * 64
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        not (shutil.which("node") and shutil.which("redis-server") and (MODULES / "ws").exists()),
        reason="needs the packages nodejs, node-ws and redis-server",
    ),
]


@dataclass(frozen=True)
class Servers:
    sub: tuple[int, int]
    pub: int
    home: Path

    def publish(self, channel: str, text: str, **headers: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.pub}/bitrix/pub/"
        return httpx.post(url, params={"CHANNEL_ID": channel}, content=text, headers=headers)

    def subscribe(self, channel: str, number: int = 0, **more: str) -> websockets.connect:
        query = "&".join(f"{name}={value}" for name, value in {"CHANNEL_ID": channel, **more}.items())
        return websockets.connect(f"ws://127.0.0.1:{self.sub[number]}/bitrix/subws/?{query}", proxy=None)


def signed(channel: str, *, public: bool = False, key: str = KEY) -> str:
    text = f"public:{channel}" if public else channel
    return f"{channel}.{hmac.new(key.encode(), text.encode(), hashlib.sha1).hexdigest()}"


def texts(frame: str) -> list[dict[str, object]]:
    return [json.loads(found) for found in re.findall(r"#!NGINXNMS!#(.*?)#!NGINXNME!#", frame, re.DOTALL)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, answers: object, process: subprocess.Popen[bytes]) -> None:
    for _ in range(150):
        assert process.poll() is None, f"{what} ended with {process.returncode}"
        if answers():  # type: ignore[operator]
            return
        time.sleep(0.1)
    raise AssertionError(f"{what} does not answer")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    home = tmp_path_factory.mktemp("push")
    redis_socket = home / "redis.sock"
    with tarfile.open(build(home).path) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not in the Python of Debian 12
        archive.extractall(home)
    package = home / "package"
    running: list[subprocess.Popen[bytes]] = []
    ports: dict[str, int] = {}
    try:
        redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(redis_socket), "--save", "", "--dir", str(home)],
            stdout=subprocess.DEVNULL,
        )
        running.append(redis)
        wait_for("Redis", redis_socket.exists, redis)
        for name in ("sub-0", "sub-1", "pub-0"):
            kind = name.partition("-")[0]
            ports[name] = free_port()
            template = (package / f"etc/push-server/push-server-{kind}-__PORT__.json").read_text()
            values = {
                "__PORT__": str(ports[name]),
                "__WS_HOST__": "127.0.0.1",
                "__REDIS_SOCK__": str(redis_socket),
                "__SECURITY_KEY__": KEY,
                "__SUBWSPATH__": "/bitrix/subws/",
                "__PUBPATH__": "/bitrix/pub/",
                "__RESTPATH__": "/bitrix/rest/",
            }
            config = home / f"{name}.json"
            config.write_text(
                re.sub(r"__[A-Z_]+__", lambda found, known=values: known.get(found[0], "/nowhere"), template)
            )
            process = subprocess.Popen(
                ["node", str(package / "server.js"), "--config", str(config)],
                env={**os.environ, "NODE_PATH": str(MODULES)},
            )
            running.append(process)
            wait_for(name, lambda port=ports[name]: listens(port), process)
        yield Servers((ports["sub-0"], ports["sub-1"]), ports["pub-0"], home)
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(20)


def test_a_message_reaches_subscribers_of_every_process(servers: Servers) -> None:
    async def scenario() -> list[str]:
        async with servers.subscribe(signed("a1"), 0) as one, servers.subscribe(signed("a1"), 1) as other:
            while (await asyncio.to_thread(state, servers, "a1"))["subscribers"] < 2:
                await asyncio.sleep(0.05)
            answer = await asyncio.to_thread(servers.publish, "a1", '{"module_id":"im","command":"message"}')
            assert answer.status_code == 200
            assert answer.json()["infos"][0]["subscribers"] == 2
            return [await asyncio.wait_for(client.recv(), 10) for client in (one, other)]

    frames = asyncio.run(scenario())
    assert frames[0] == frames[1]
    (message,) = texts(frames[0])
    assert message["channel"] == "a1"
    assert message["text"] == {"module_id": "im", "command": "message"}


def state(servers: Servers, channel: str) -> dict[str, int]:
    url = f"http://127.0.0.1:{servers.pub}/bitrix/pub/"
    infos: list[dict[str, int]] = httpx.get(url, params={"CHANNEL_ID": channel}).json()["infos"]
    return infos[0]


@pytest.mark.parametrize("channel", ["a2", "a2.", signed("a2", key="another"), signed("a2") + "0", ""])
def test_a_wrong_channel_closes_the_socket_with_4010(servers: Servers, channel: str) -> None:
    async def scenario() -> tuple[int | None, str | None]:
        async with servers.subscribe(channel) as client:
            await asyncio.wait_for(client.wait_closed(), 10)
            return client.close_code, client.close_reason

    assert asyncio.run(scenario()) == (4010, "Wrong Channel Id")


def test_one_wrong_channel_among_several_is_enough(servers: Servers) -> None:
    async def scenario() -> int | None:
        async with servers.subscribe(f"{signed('a3')}/{signed('b3', key='x')}") as client:
            await asyncio.wait_for(client.wait_closed(), 10)
            return client.close_code

    assert asyncio.run(scenario()) == 4010


def test_a_late_subscriber_gets_what_it_missed_until_it_expires(servers: Servers) -> None:
    first = servers.publish("late", '"zero"').json()["infos"][0]["id"]
    servers.publish("late", '"short"', **{"Message-Expiry": "1"})
    servers.publish("late", '"long"', **{"Message-Expiry": "600"})
    time.sleep(1.1)

    async def scenario() -> str:
        async with servers.subscribe(signed("late"), 1, mid=first) as client:
            return str(await asyncio.wait_for(client.recv(), 10))

    assert [message["text"] for message in texts(asyncio.run(scenario()))] == ["long"]


def test_long_polling_answers_with_the_message(servers: Servers) -> None:
    first = servers.publish("poll", '"zero"').json()["infos"][0]["id"]
    servers.publish("poll", '"one"')
    url = f"http://127.0.0.1:{servers.sub[0]}/bitrix/subws/"
    answer = httpx.get(url, params={"CHANNEL_ID": signed("poll"), "mid": first})
    assert [message["text"] for message in texts(answer.text)] == ["one"]
    assert httpx.get(url, params={"CHANNEL_ID": signed("poll", key="x")}).status_code == 403


def test_browsers_publish_only_to_signed_public_channels(servers: Servers) -> None:
    url = f"http://127.0.0.1:{servers.pub}/bitrix/rest/"
    answers = [
        httpx.post(url, params={"CHANNEL_ID": channel}, content="x").status_code
        for channel in ("p1", signed("p1"), signed("p1", public=True))
    ]
    assert answers == [403, 403, 200]


def test_a_signed_publish_is_checked_and_a_long_one_refused(servers: Servers) -> None:
    assert servers.publish(signed("s"), "x").status_code == 200
    assert servers.publish(signed("s", key="x"), "x").status_code == 403
    assert servers.publish("s", "x" * 1_048_577).status_code == 413
    assert servers.publish("/".join(f"c{n}" for n in range(101)), "x").status_code == 400


def test_the_server_goes_on_when_redis_comes_back(servers: Servers) -> None:
    redis = ["redis-cli", "-s", str(servers.home / "redis.sock")]

    async def scenario() -> str:
        async with servers.subscribe(signed("back"), 1) as client:
            while (await asyncio.to_thread(state, servers, "back"))["subscribers"] < 1:
                await asyncio.sleep(0.05)
            subprocess.run(
                [*redis, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"], check=True, capture_output=True
            )
            subprocess.run([*redis, "CLIENT", "KILL", "TYPE", "pubsub"], check=True, capture_output=True)
            for _ in range(100):
                await asyncio.sleep(0.1)
                count = subprocess.run(
                    [*redis, "PUBSUB", "NUMSUB", "push-server:bus:back"], check=True, capture_output=True, text=True
                )
                if count.stdout.split()[-1] == "1":
                    break
            answer = await asyncio.to_thread(servers.publish, "back", '"again"')
            assert answer.status_code == 200
            return str(await asyncio.wait_for(client.recv(), 10))

    assert [message["text"] for message in texts(asyncio.run(scenario()))] == ["again"]


def test_statistics_tell_which_process_answers(servers: Servers) -> None:
    stat = httpx.get(f"http://127.0.0.1:{servers.pub}/server-stat/").json()
    assert stat["mode"] == "pub"
    assert stat["processUniqueId"] == f"pub-{servers.pub}"
    assert stat["published"] >= 1
    assert httpx.get(f"http://127.0.0.1:{servers.sub[0]}/nowhere").status_code == 404


def test_an_empty_key_ends_the_process_with_one_line(servers: Servers) -> None:
    config = servers.home / "broken.json"
    config.write_text('{"servers": [{"port": 1, "routes": {"sub": "/"}}], "security": {"key": ""}}')
    ended = subprocess.run(
        ["node", str(servers.home / "package/server.js"), "--config", str(config)],
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr == f"{config}: security.key is empty\n"
