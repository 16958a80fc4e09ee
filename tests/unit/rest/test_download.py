"""Files: what counts as one, how far its address may lead, and what is left behind."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from encaja.rest import download
from encaja.rest.download import Fetched
from encaja.rest.errors import RefusedError
from support.fake_cloud import FakeCloud
from support.virtual_time import run

ADDRESS = "https://cloud.test/rest/1/s3cr3t/download/?token=disk%7CaWQ9NyZf%7Cabc"
FILE = {"content-disposition": "attachment; filename*=utf-8''plan%20B.pdf", "content-type": "application/pdf"}
LIMIT = 1000

Answer = Callable[[httpx.Request], httpx.Response]


def sent(content: bytes = b"the plan", status: int = 200, **headers: str) -> Answer:
    given = FILE | {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: httpx.Response(status, content=content, headers={k: v for k, v in given.items() if v})


def streamed(*chunks: bytes | Exception, **headers: str) -> Answer:
    """An answer without a length of its own, whose parts come one by one; an exception ends it."""

    async def parts() -> AsyncIterator[bytes]:
        for chunk in chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    return lambda _: httpx.Response(200, content=parts(), headers=FILE | headers)


def to(address: str) -> Answer:
    return lambda _: httpx.Response(302, headers={"location": address})


class Fetching:
    """Fetches from a portal with the answers given, and keeps what was asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.asked: list[httpx.Request] = []
        self.names = {"bucket.test": ["93.184.216.34"], "inside.test": ["10.0.0.7"]}

        async def addresses(host: str, _: int) -> list[str]:
            return self.names.get(host, [])

        monkeypatch.setattr(download, "_addresses", addresses)

    def __call__(self, *answers: Answer, address: str = ADDRESS, hosts: tuple[str, ...] = (), **more: Any) -> Fetched:
        cloud = FakeCloud()

        def answer(one: Answer) -> Answer:
            def kept(request: httpx.Request) -> httpx.Response:
                self.asked.append(request)
                return one(request)

            return kept

        cloud.faults = [answer(one) for one in answers]

        async def scene() -> Fetched:
            async with cloud.portal(self.folder, file_hosts=hosts) as portal:
                return await portal.fetch(address, self.folder / "file", **{"limit": LIMIT, **more})

        try:
            return run(scene())
        finally:
            assert not cloud.faults, "all answers were asked for"

    @property
    def content(self) -> bytes:
        return (self.folder / "file").read_bytes()


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetching:
    return Fetching(tmp_path, monkeypatch)


def test_address_goes_out_as_it_came_with_the_headers_that_the_product_asks_for(fetch: Fetching) -> None:
    assert fetch(sent(), size=8) == Fetched(8, "plan B.pdf")
    [request] = fetch.asked
    assert str(request.url) == ADDRESS
    asked = {name: request.headers[name] for name in ("accept", "accept-language", "referer", "user-agent")}
    assert asked["accept"] == "*/*" and asked["accept-language"]
    assert asked["referer"] == "https://cloud.test/"
    assert asked["user-agent"].startswith("encaja/")
    assert fetch.content == b"the plan"


def test_path_is_one_of_the_portal(fetch: Fetching) -> None:
    fetch(sent(), address="/rest/download.json?auth=a&token=b")
    assert str(fetch.asked[0].url) == "https://cloud.test/rest/download.json?auth=a&token=b"


@pytest.mark.fault("network cut", "carry-over", "while a file is fetched")
def test_file_arrives_whole_after_a_broken_transfer(fetch: Fetching) -> None:
    broken = streamed(b"the", httpx.ReadError("cut off"))
    short = sent(content_length="9")
    assert fetch(broken, sent(status=502), short, sent(), size=8).size == 8
    assert fetch.content == b"the plan"
    assert sorted(path.suffix for path in fetch.folder.iterdir()) == ["", ".json"], "nothing is left behind"


def test_file_that_stays_broken_does_not_stop_the_others(fetch: Fetching) -> None:
    with pytest.raises(RefusedError, match="HTTP 500"):
        fetch(*[sent(status=500)] * 7)


PAGE = {"content_disposition": "", "content_type": "text/html; charset=utf-8"}
JSON = {"content_disposition": "", "content_type": "application/json"}


@pytest.mark.parametrize(
    ("answer", "size", "what"),
    [
        (sent(b"<html>log in</html>", **PAGE), None, "answers with text/html"),
        (sent(b"Access denied.", **PAGE), 14, "answers with text/html"),
        (sent(b'{"status": "denied", "message": ""}', **JSON), None, r"application/json instead of it \(denied\)"),
        (sent(b'{"error": "expired_token"}', **JSON), None, r"\(expired_token\)"),
        (sent(b"<html></html>", content_type="text/html"), None, "answers with text/html"),
        (sent(b"something", content_disposition=""), None, "answers with application/pdf"),
        (sent(b"half of it"), 20, "has 10 bytes instead of 20"),
        (streamed(b"who knows whether this is all"), None, "how long it is"),
        (sent(gzip.compress(b"x" * 900), content_encoding="gzip"), None, "packed"),
        (sent(b"", status=404), None, "HTTP 404"),
        (sent(b"", status=206), None, "HTTP 206"),
        (to("/auth/?backurl=%2Fdisk"), None, "leads to the page /auth/ instead"),
        (to("https://cloud.test/bitrix/coupon_activation.php"), None, "leads to the page /bitrix/coupon_activation"),
        (sent(b"x" * 1001), None, "too large"),
        (streamed(*[b"x" * 400] * 3, **{"content-length": ""}), 900, "too large|bytes instead"),
    ],
)
def test_what_is_no_file_is_refused_and_not_kept(fetch: Fetching, answer: Answer, size: int | None, what: str) -> None:
    with pytest.raises(RefusedError, match=what) as caught:
        fetch(answer, size=size)
    assert "s3cr3t" not in str(caught.value)
    assert not (fetch.folder / "file").exists()
    assert [path.suffix for path in fetch.folder.iterdir()] == [".json"]


def test_page_that_is_the_file_is_one(fetch: Fetching) -> None:
    html = {"content_disposition": "attachment; filename=offer.html", "content_type": "text/html"}
    assert fetch(sent(b"<html>offer</html>", **html)).name == "offer.html"


def test_no_more_is_read_than_the_limit(fetch: Fetching) -> None:
    read: list[int] = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            read.append(100)
            yield b"x" * 100

    def lies(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=endless(), headers=FILE)

    with pytest.raises(RefusedError, match="too large"):
        fetch(lies, size=900)
    assert sum(read) <= LIMIT + 100
    with pytest.raises(RefusedError, match="too large"):
        fetch(size=LIMIT + 1)  # which is not even asked for
    assert len(fetch.asked) == 1


def test_another_host_is_asked_over_https_at_the_address_that_was_checked(fetch: Fetching) -> None:
    assert fetch(to("https://bucket.test/plan.pdf?sig=1"), sent()).size == 8
    request = fetch.asked[1]
    assert (request.url.scheme, request.url.host, request.headers["host"]) == ("https", "93.184.216.34", "bucket.test")
    assert request.extensions["sni_hostname"] == "bucket.test"


@pytest.mark.parametrize(
    "there",
    [
        "http://bucket.test/plan.pdf",
        "https://inside.test/plan.pdf",
        "https://127.0.0.1/plan.pdf",
        "https://[::1]/plan.pdf",
        "https://169.254.169.254/latest/meta-data/",
        "https://unknown.test/plan.pdf",
    ],
)
def test_no_address_leads_inside(fetch: Fetching, there: str) -> None:
    fetch.names |= {"127.0.0.1": ["127.0.0.1"], "::1": ["::1"], "169.254.169.254": ["169.254.169.254"]}
    for hops in ([to(there)], [to("https://bucket.test/other"), to(there)]):
        with pytest.raises(RefusedError, match="its address leads to") as caught:
            fetch(*hops)
        assert "carry_over_file_hosts" in str(caught.value)
    with pytest.raises(RefusedError, match="its address leads to"):
        fetch(address=there)
    assert not (fetch.folder / "file").exists()


@pytest.mark.parametrize("address", ["", "ftp://cloud.test/plan", "https://[cloud/plan", "file:///etc/passwd"])
def test_what_is_no_address_is_refused(fetch: Fetching, address: str) -> None:
    with pytest.raises(RefusedError, match="address"):
        fetch(address=address)
    with pytest.raises(RefusedError, match="address"):
        fetch(to(address or "ftp://x"), hosts=("cloud.test", "x"))


def test_secret_never_goes_out_unencrypted(fetch: Fetching) -> None:
    with pytest.raises(RefusedError, match="without https"):
        fetch(address=ADDRESS.replace("https", "http"))
    with pytest.raises(RefusedError, match="without https"):
        fetch(to(ADDRESS.replace("https", "http")))


def test_inventory_may_let_it_lead_elsewhere(fetch: Fetching) -> None:
    assert fetch(to("http://inside.test/plan.pdf"), sent(), hosts=("inside.test",)).size == 8
    assert str(fetch.asked[1].url) == "http://inside.test/plan.pdf"


def test_addresses_that_lead_in_a_circle_end(fetch: Fetching) -> None:
    with pytest.raises(RefusedError, match="from one to the next"):
        fetch(*[to(ADDRESS)] * 5)


def test_names_are_looked_up() -> None:
    assert asyncio.run(download._addresses("127.0.0.1", 443)) == ["127.0.0.1"]
    assert asyncio.run(download._addresses("no.such.host.invalid", 443)) == []
