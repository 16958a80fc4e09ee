"""Nothing that a cloud answers is believed: each answer is used, or ends in one error of the kit's kind."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encaja.errors import EncajaError
from encaja.rest import answers
from encaja.rest.client import RestClient
from encaja.rest.command import Command, UncertainError
from encaja.rest.errors import MalformedError, RefusedError, UnreachableError
from encaja.rest.limiter import Limiter
from encaja.rest.webhook import Webhook
from support.fake_cloud import FakeCloud
from support.virtual_time import run


@contextmanager
def serving(content: bytes, encoding: str = "gzip") -> Iterator[str]:
    """A cloud that gives the same bytes to every request."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Encoding", encoding)
            self.end_headers()
            try:
                self.wfile.write(content)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/rest/1/code/"
        finally:
            server.shutdown()
            thread.join()


def ask(url: str) -> Any:
    async def scene() -> Any:
        webhook = Webhook.parse(url)
        async with RestClient(webhook, Limiter(webhook.host, None), patience=0) as portal:
            return (await portal.call("crm.deal.list")).result

    return asyncio.run(scene())


def packed_text(size: int) -> bytes:
    return gzip.compress(b'{"result": "' + b"a" * size + b'"}')


def test_a_packed_answer_is_read() -> None:
    with serving(packed_text(1000)) as url:
        assert ask(url) == "a" * 1000


@pytest.mark.parametrize(
    ("content", "encoding", "reason"),
    [
        (packed_text(300 << 20), "gzip", "more than 64 MiB"),
        (gzip.compress(packed_text(300 << 20)), "gzip, gzip", "packed in a way"),
        (packed_text(1000), "br", "packed in a way"),
        (gzip.compress(b'{"result": [' + b"[]," * (5 << 20) + b"1]}"), "gzip", "more than 2000000 values"),
    ],
    ids=["bomb", "bomb in a bomb", "brotli", "values"],
)
def test_an_answer_is_bounded_while_it_is_read(content: bytes, encoding: str, reason: str) -> None:
    with serving(content, encoding) as url:
        tracemalloc.start()
        try:
            with pytest.raises(UnreachableError, match=reason):
                ask(url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 300 << 20


def content(text: bytes) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(200, content=text)


DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        b'{"result": ' + DEEP + b"}",
        b'{"result": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"result": 1, "total": "x"}',
        b'{"result": 1, "total": [1]}',
        b'{"result": 1, "total": 1.5}',
        b'{"result": 1, "next": -50}',
        b'{"result": 1, "next": true}',
        b'{"result": 1, "total": ' + b"9" * 5000 + b"}",
        b'{"result": 1, "total": "' + "²".encode() + b'"}',
        b'"result"',
        b'["result"]',
        b"\xff\xfe{",
    ],
    ids=range(13),
)
def test_an_answer_of_another_form_is_one_error(text: bytes, tmp_path: Path) -> None:
    cloud = FakeCloud()

    async def scene(safe: bool) -> None:
        async with cloud.portal(tmp_path, patience=0) as portal:
            await portal.call("crm.deal.add", safe=safe)

    for safe, kind in ((True, UnreachableError), (False, UncertainError)):
        cloud.faults = [content(text)]
        with pytest.raises(kind, match="HTTP 200 with") as caught:
            run(scene(safe))
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("result", [[], None, "x", 7, [[]]])
def test_a_batch_of_another_form_is_one_error(result: Any, tmp_path: Path) -> None:
    cloud = FakeCloud()

    async def scene() -> None:
        async with cloud.portal(tmp_path, patience=0) as portal:
            await portal.batch([Command("crm.deal.get")])

    cloud.faults = [content(json.dumps({"result": result}).encode())] * 30
    with pytest.raises(UnreachableError, match="a batch whose result is none"):
        run(scene())


@pytest.mark.parametrize("part", ["result_total", "result_next"])
@pytest.mark.parametrize("safe", [True, False])
def test_a_wrong_type_within_a_batch_is_no_answer(part: str, safe: bool, tmp_path: Path) -> None:
    cloud = FakeCloud()

    async def scene() -> None:
        async with cloud.portal(tmp_path, patience=0) as portal:
            await portal.batch([Command("crm.deal.add")], safe=safe)

    answer = {"result": {"result": {"c0": 1}, part: {"c0": "x"}}}
    cloud.faults = [content(json.dumps(answer).encode())] * 30
    with pytest.raises(UnreachableError if safe else UncertainError, match="no answer"):
        run(scene())


@pytest.mark.parametrize(
    "time",
    [
        "x", [], {"operating": "x"}, {"operating": None, "finish": {}}, {"operating": -5, "finish": 1e300},
        {"operating": float("inf"), "finish": 5}, {"operating": float("nan"), "finish": float("nan")},
        {"operating": 10**400, "finish": 5}, {"operating": 1, "finish": 1e11, "operating_reset_at": 1e11},
        {"operating": 1, "finish": 5, "operating_reset_at": 1e11}, {"duration": "x"}, {"duration": float("nan")},
    ],
    ids=range(12),
)  # fmt: skip
def test_a_time_that_cannot_be_holds_nothing_up(time: Any, tmp_path: Path) -> None:
    cloud = FakeCloud()
    cloud.methods["crm.deal.get"] = lambda _: "found"

    async def scene() -> Any:
        async with cloud.portal(tmp_path, patience=0) as portal:
            first = await portal.call("crm.deal.get")
            batch = await portal.batch([Command("crm.deal.get")])
            return first.result, batch[0].result, (await portal.call("crm.deal.get")).result

    single, batch = {"result": 1, "time": time}, {"result": {"result": {"c0": 2}, "result_time": {"c0": time}}}
    cloud.faults = [content(json.dumps(answer).encode()) for answer in (single, batch)]
    assert run(scene()) == (1, 2, "found")


@pytest.mark.parametrize(
    "result",
    [
        None, "x", 7, {}, {"items": "x"}, [1], [None], [[]], [{}], [{"ID": "x"}], [{"ID": None}],
        [{"ID": -1}], [{"ID": "9" * 100}],
    ],
    ids=range(13),
)  # fmt: skip
def test_rows_of_another_form_are_one_error(result: Any, tmp_path: Path) -> None:
    cloud = FakeCloud()
    rows = result * 50 if isinstance(result, list) else result
    cloud.methods["crm.lead.list"] = lambda _: rows

    async def scene() -> None:
        async with cloud.portal(tmp_path, patience=0) as portal:
            async for _ in portal.rows("crm.lead.list"):
                continue

    with pytest.raises(MalformedError, match=r"^crm\.lead\.list: an answer (without|with|whose)"):
        run(scene())


@pytest.mark.parametrize("step", [0, -1])
def test_a_list_that_never_advances_ends(step: int, tmp_path: Path) -> None:
    cloud = FakeCloud()
    asked: list[int] = []

    def page(parameters: dict[str, Any]) -> list[dict[str, Any]]:
        if parameters["order"]["ID"] == "DESC":
            return [{"ID": 10**15}]
        asked.append(1)
        return [{"ID": 10**6 + step * len(asked) + number} for number in range(50)]

    cloud.methods["crm.lead.list"] = page

    async def scene() -> None:
        async with cloud.portal(tmp_path, patience=0) as portal:
            rows: AsyncIterator[Any] = portal.rows("crm.lead.list")
            async for _ in rows:
                continue

    with pytest.raises(MalformedError, match="not in the order"):
        run(scene())


def test_the_text_of_an_error_is_one_short_line(tmp_path: Path) -> None:
    cloud = FakeCloud()
    text = "no\n\x1b[2J" + "x" * 100_000

    async def scene() -> None:
        async with cloud.portal(tmp_path, patience=0) as portal:
            await portal.call("crm.deal.get")

    for error in ({"error": text, "error_description": text}, {"error": {"a": text}, "error_description": [text]}):
        cloud.faults = [lambda _, error=error: httpx.Response(400, json=error)]  # type: ignore[misc]
        with pytest.raises(RefusedError) as caught:
            run(scene())
        assert len(str(caught.value)) < 700 and str(caught.value).isprintable()


@pytest.mark.parametrize("location", ["https://[", "", "//\n", "https://user:secret@other.test/"])
def test_a_redirect_to_anywhere_is_one_error(location: str, tmp_path: Path) -> None:
    cloud = FakeCloud()

    async def scene() -> None:
        async with cloud.portal(tmp_path, patience=0) as portal:
            await portal.call("crm.deal.get")

    cloud.faults = [lambda _: httpx.Response(302, headers={"location": location})]
    with pytest.raises(EncajaError) as caught:
        run(scene())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest", "http://cloud.test/rest/upload", "https://cloud.test:8443/upload",
        "https://cloud.test@evil.test/upload", "https://cloud.test.evil.test/", "//evil.test/", "/upload",
        "https://[", "file:///etc/passwd", "", None, 7, ["https://cloud.test/"],
    ],
    ids=range(13),
)  # fmt: skip
def test_a_file_is_sent_to_the_portal_only(address: Any, tmp_path: Path) -> None:
    cloud = FakeCloud()
    sent: list[httpx.Request] = []
    cloud.faults = [lambda request: sent.append(request) or httpx.Response(200, json={"result": 1})]  # type: ignore[func-returns-value]

    async def scene() -> None:
        async with cloud.portal(tmp_path, patience=0) as portal:
            await portal.upload(address, "file", "a.wav", b"voice")

    with pytest.raises(RefusedError, match="not the portal's"):
        run(scene())
    assert sent == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
KEYS = ("result", "result_error", "result_time", "result_total", "result_next", "total", "next", "time", "error", "c0")
SHAPED = st.recursive(
    JSON,
    lambda inner: st.dictionaries(st.sampled_from(KEYS), inner, max_size=5) | st.lists(inner, max_size=3),
    max_leaves=30,
)


@given(SHAPED, st.sampled_from([200, 400, 500]), st.booleans())
def test_any_answer_is_used_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, answer: Any, status: int, batch: bool
) -> None:
    cloud = FakeCloud()
    cloud.faults = [lambda _: httpx.Response(status, content=json.dumps(answer).encode())] * 60

    async def scene() -> None:
        async with cloud.portal(tmp_path_factory.mktemp("any"), patience=0) as portal:
            if batch:
                await portal.batch([Command("crm.deal.get")])
            else:
                await portal.call("crm.deal.get")

    try:
        run(scene())
    except EncajaError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=300))
def test_any_bytes_are_an_object_or_none(text: bytes) -> None:
    assert isinstance(answers.decode(text), (dict, type(None)))
