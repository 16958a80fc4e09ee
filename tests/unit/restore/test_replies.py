"""What a server may answer is bounded, whatever it says of itself."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from encaja.restore.errors import BackupError, BackupUsageError
from encaja.restore.fetch import links, probe, replies, vendor_storage
from encaja.restore.fetch.options import FetchOptions


def endless() -> Iterator[bytes]:
    while True:
        yield b"<a href='a.tar'>" * 4096


def serving(monkeypatch: pytest.MonkeyPatch, **answer: object) -> httpx.Client:
    """A client, and any that is made from now on, to which every request is answered alike."""

    def respond(_: httpx.Request) -> httpx.Response:
        made = {key: value() if callable(value) else value for key, value in answer.items()}
        return httpx.Response(200, **made)  # type: ignore[arg-type]

    original = httpx.Client

    def client(**more: object) -> httpx.Client:
        return original(**{**more, "transport": httpx.MockTransport(respond)})  # type: ignore[arg-type]

    monkeypatch.setattr(httpx, "Client", client)
    return client()


@pytest.mark.parametrize(
    ("asked", "seconds"), [("7", 7.0), ("9" * 18, 300.0), ("9" * 400, 0.0), ("²", 0.0), ("-1", 0.0)]
)
def test_a_server_may_ask_for_a_short_pause_only(asked: str, seconds: float) -> None:
    response = httpx.Response(503, headers={"Retry-After": asked.encode("latin-1")})
    with pytest.raises(replies.RetryError) as caught:
        replies.check_status(response)
    assert caught.value.after == seconds


@pytest.mark.parametrize("number", ["9" * 5000, "-5", "²", ""])
def test_a_number_that_is_none_is_not_read(number: str) -> None:
    headers = {"Content-Range": f"bytes 0-9/{number}".encode("latin-1"), "Content-Length": number.encode("latin-1")}
    response = httpx.Response(206, headers=headers)
    assert replies.content_range(response) is None
    assert replies.content_length(response) is None
    with pytest.raises(replies.RetryError):
        replies.check_status(httpx.Response(416, headers={"Content-Range": f"bytes */{number}".encode("latin-1")}))


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip, gzip"}])
def test_a_text_is_bounded_while_it_is_read(headers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(replies.RetryError, match=r"longer than 4 MiB|packed although"):
        replies.ask_for_text(serving(monkeypatch, content=endless, headers=headers), "https://cloud.test/")


def test_an_endless_index_page_is_no_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    link = links.make_link("https://cloud.test/a.tar")
    looking = probe.Probe(serving(monkeypatch, content=endless), link, FetchOptions())
    with pytest.raises(BackupError, match="there is no listing"):
        looking._listed()


def test_an_endless_listing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    serving(monkeypatch, content=endless)
    with pytest.raises(BackupUsageError, match="cannot read the listing: the answer is longer than 4 MiB"):
        links.make_link("https://cloud.test/a.tar", listing="https://cloud.test/list")


@pytest.mark.parametrize("number", ["65536", "2000000000", "9" * 5000])
def test_a_listing_of_a_volume_that_no_archive_has_does_not_count(number: str) -> None:
    link = links.make_link("https://cloud.test/a.tar")
    assert sorted(links.read_listing(f"a.tar\na.tar.{number}\n", link)) == [0]
    assert sorted(links.read_index(f"<a href='a.tar'><a href='a.tar.{number}'>", link.folder, link.name)) == [0]


def test_a_page_of_unfinished_links_is_read_at_once() -> None:
    link = links.make_link("https://cloud.test/a.tar")
    assert links.read_index("<a " * 1_000_000, link.folder, link.name) == {}
    assert links.read_index("<a href='" * 400_000, link.folder, link.name) == {}


@pytest.mark.parametrize(
    "answer",
    [
        b"<files><file name='a.enc' size='x'/><file name='b.enc' size='-5'/></files>",
        b"<files><file name='a.enc' size='" + b"9" * 5000 + b"'/><file name='b.enc'/></files>",
    ],
)
def test_sizes_in_the_vendors_storage_that_are_none(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    serving(monkeypatch, content=lambda: iter([answer]))
    assert set(vendor_storage.VendorStorage("key", "https://cloud.test/").files().values()) == {0}


def test_entities_of_entities_in_the_vendors_storage_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entities = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10}'>" for n in range(1, 12))
    text = f"<!DOCTYPE x [<!ENTITY e0 'ha'>{entities}]><x>&e11;</x>".encode()
    serving(monkeypatch, content=lambda: iter([text]))
    with pytest.raises(BackupError, match="cannot be read"):
        vendor_storage.VendorStorage("key", "https://cloud.test/").files()
