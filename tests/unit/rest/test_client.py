"""The client: batches, pages, and what it makes of a portal's bad moments."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from encaja.errors import ConfigurationError, EncajaError
from encaja.rest.client import RestClient
from encaja.rest.command import Answer, Command, UncertainError
from encaja.rest.errors import AccessError, RefusedError, UnreachableError
from encaja.rest.limiter import Limiter
from encaja.rest.tokens import Application, Tokens
from encaja.rest.webhook import Webhook
from support.fake_cloud import HOOK, FakeCloud
from support.virtual_time import clock, run


def html(status: int) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, html="<html>maintenance</html>")


def broken(kind: type[httpx.TransportError]) -> Callable[[httpx.Request], httpx.Response]:
    def fail(request: httpx.Request) -> httpx.Response:
        raise kind(f"while asking {request.url}", request=request)

    return fail


def ask(cloud: FakeCloud, folder: Path, method: str, *, safe: bool = True, **more: Any) -> tuple[Answer, float]:
    async def scene() -> tuple[Answer, float]:
        async with cloud.portal(folder, **more) as portal:
            began = clock()
            return await portal.call(method, safe=safe), clock() - began

    return run(scene())


@pytest.fixture
def cloud() -> FakeCloud:
    cloud = FakeCloud(rows=1234)
    cloud.methods["server.time"] = lambda _: "now"
    return cloud


def test_batches_answer_in_order_whatever_their_number(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.methods["echo"] = lambda p: p["n"]

    async def scene() -> list[Answer]:
        async with cloud.portal(tmp_path) as portal:
            answers = await portal.batch([Command("echo", {"n": n}) for n in range(230)])
            assert portal.requests == 5
            return answers

    assert [answer.result for answer in run(scene())] == [str(n) for n in range(230)]


def test_parameters_reach_the_method_as_php_reads_them(cloud: FakeCloud, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    cloud.methods["echo"] = seen.append
    given = {"filter": {">ID": 5, "!NAME": "¿A&B=C?"}, "select": ["*", "UF_*"], "on": True, "off": False, "none": None}

    async def scene() -> None:
        async with cloud.portal(tmp_path) as portal:
            await portal.batch([Command("echo", given)])

    run(scene())
    assert seen == [
        {
            "filter": {">ID": "5", "!NAME": "¿A&B=C?"},
            "select": {"0": "*", "1": "UF_*"},
            "on": "1",
            "off": "0",
            "none": "",
        }
    ]


def test_all_rows_come_once_in_order_a_page_at_a_time(cloud: FakeCloud, tmp_path: Path) -> None:
    async def scene() -> list[list[dict[str, Any]]]:
        async with cloud.portal(tmp_path) as portal:
            return [page async for page in portal.rows("crm.lead.list", filter={"!X": "1"}, select=["ID"])]

    pages = run(scene())
    assert [int(row["ID"]) for page in pages for row in page] == list(range(1, 1235))
    assert {len(page) for page in pages} == {50, 34}
    assert all(given["start"] == "-1" and given["filter"]["!X"] == "1" for _, given in cloud.log)
    assert all(given["select"] == {"0": "ID"} for _, given in cloud.log)


@pytest.mark.parametrize("rows", [0, 1, 49, 50, 51, 250, 300, 2600])
def test_last_page_may_be_full_or_empty(rows: int, tmp_path: Path) -> None:
    cloud = FakeCloud(rows=rows)

    async def scene() -> int:
        async with cloud.portal(tmp_path) as portal:
            return sum([len(page) async for page in portal.rows("crm.lead.list")])

    assert run(scene()) == rows


DENSE = list(range(1, 10_001))
MODIFIED = [*range(1, 400_000, 997), *range(400_001, 405_000)]  # a few old ones, and all that are new
HALF = [n for n in range(1, 12_000) if n * 2654435761 % 2**32 < 2**31]


@pytest.mark.parametrize(
    ("identifiers", "most"), [(DENSE, 5), (MODIFIED, 9), (HALF, 6), ([1, *range(10**6, 10**6 + 99)], 4)]
)
def test_list_takes_few_requests_however_its_identifiers_lie(tmp_path: Path, identifiers: list[int], most: int) -> None:
    cloud = FakeCloud()
    cloud.rows["crm.lead.list"] = [{"ID": str(n)} for n in identifiers]

    async def scene() -> tuple[list[int], int]:
        async with cloud.portal(tmp_path) as portal:
            found = [int(row["ID"]) async for page in portal.rows("crm.lead.list") for row in page]
            return found, portal.requests

    found, requests = run(scene())
    assert found == identifiers
    assert requests <= most


def test_list_that_is_left_early_stops_asking(cloud: FakeCloud, tmp_path: Path) -> None:
    async def scene() -> int:
        async with cloud.portal(tmp_path) as portal:
            pages = portal.rows("crm.lead.list")
            async for _ in pages:
                break
            await pages.aclose()  # type: ignore[attr-defined]
            return portal.requests

    assert run(scene()) == 1


def test_pages_go_on_rightly_when_one_within_a_batch_was_refused_for_its_time(cloud: FakeCloud, tmp_path: Path) -> None:
    asked = 0
    list_leads = cloud.do

    def do(method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        if asked == 4:
            return {"error": "OPERATION_TIME_LIMIT", "error_description": "blocked"}
        return list_leads(method, parameters)

    cloud.do = do  # type: ignore[method-assign]

    async def scene() -> list[int]:
        async with cloud.portal(tmp_path) as portal:
            return [int(row["ID"]) async for page in portal.rows("crm.lead.list") for row in page]

    assert run(scene()) == list(range(1, 1235))


@pytest.mark.parametrize(
    "fault",
    [
        html(200),
        html(502),
        html(503),
        lambda _: httpx.Response(503, json={"error": "QUERY_LIMIT_EXCEEDED"}),
        lambda _: httpx.Response(500, json={"error": "INTERNAL_SERVER_ERROR"}),
        lambda _: httpx.Response(200, json=[]),
        broken(httpx.ReadTimeout),
        broken(httpx.RemoteProtocolError),
        broken(httpx.ConnectError),
    ],
)
def test_bad_moment_is_waited_out_with_growing_pauses(
    cloud: FakeCloud, tmp_path: Path, fault: Callable[[httpx.Request], httpx.Response]
) -> None:
    cloud.faults = [fault] * 3
    answer, seconds = ask(cloud, tmp_path, "server.time")
    assert answer.result == "now"
    assert 7 <= seconds < 15


def test_a_portal_that_is_waited_for_is_named_with_the_reason_and_the_end(cloud: FakeCloud, tmp_path: Path) -> None:
    reported: list[str] = []
    cloud.methods["server.time"] = lambda _: "now"
    cloud.faults = [html(502), html(502)]
    ask(cloud, tmp_path, "server.time", on_wait=reported.append)
    what = "waiting for https://cloud.test (HTTP 502 with text/html instead of JSON)"
    assert [line.partition(" since ")[0] for line in reported] == [what, what, ""]
    assert all(", until " in line for line in reported[:2])


def test_patience_ends_with_what_was_seen_last(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.faults = [html(502)] * 1000
    with pytest.raises(UnreachableError) as caught:
        ask(cloud, tmp_path, "server.time", patience=120)
    assert "HTTP 502 with text/html instead of JSON" in str(caught.value)
    assert "https://cloud.test" in str(caught.value)


@pytest.mark.parametrize("fault", [broken(httpx.ReadTimeout), broken(httpx.WriteError), html(502), html(200)])
def test_what_may_have_happened_is_never_sent_again_unless_it_is_safe(
    cloud: FakeCloud, tmp_path: Path, fault: Callable[[httpx.Request], httpx.Response]
) -> None:
    cloud.faults = [fault]
    with pytest.raises(UncertainError) as caught:
        ask(cloud, tmp_path, "server.time", safe=False)
    assert [command.method for command in caught.value.commands] == ["server.time"]
    assert cloud.log == []


@pytest.mark.fault("network cut", "carry-over", "before a request arrives")
@pytest.mark.parametrize(
    "fault", [broken(httpx.ConnectError), lambda _: httpx.Response(503, json={"error": "QUERY_LIMIT_EXCEEDED"})]
)
def test_what_cannot_have_happened_is_sent_again(
    cloud: FakeCloud, tmp_path: Path, fault: Callable[[httpx.Request], httpx.Response]
) -> None:
    cloud.faults = [fault] * 2
    assert ask(cloud, tmp_path, "server.time", safe=False)[0].result == "now"
    assert len(cloud.log) == 1


def test_batch_that_ends_uncertainly_tells_what_went_before(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.methods["add"] = lambda p: int(p["n"])
    sent = 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        if sent == 2:
            raise httpx.ReadError("cut off", request=request)
        return await cloud(request)

    async def scene() -> None:
        async with cloud.portal(tmp_path) as portal:
            portal._client._transport = httpx.MockTransport(handler)
            await portal.batch([Command("add", {"n": n}) for n in range(120)], safe=False)

    with pytest.raises(UncertainError) as caught:
        run(scene())
    assert [answer.result for answer in caught.value.answers] == list(range(50))
    assert [command.parameters["n"] for command in caught.value.commands] == list(range(50, 100))
    assert sent == 2


def without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What a portal says that broke off within a batch: nothing about these commands."""

    def cut(answer: dict[str, Any]) -> dict[str, Any]:
        for name in names:
            answer["result"]["result"].pop(name, None)
        return answer

    return cut


@pytest.mark.parametrize(("safe", "sent"), [(False, 1), (True, 2)])
def test_a_command_without_an_answer_within_a_batch_is_repeated_only_where_that_is_safe(
    cloud: FakeCloud, tmp_path: Path, safe: bool, sent: int
) -> None:
    cloud.methods["add"] = lambda p: int(p["n"])
    answers: list[Callable[[dict[str, Any]], dict[str, Any]]] = [without("c1", "c2")]
    requests = 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal requests
        requests += 1
        found = json.loads((await cloud(request)).content)
        return httpx.Response(200, json=answers.pop(0)(found) if answers else found)

    async def scene() -> list[Answer]:
        async with cloud.portal(tmp_path) as portal:
            portal._client._transport = httpx.MockTransport(handler)
            return await portal.batch([Command("add", {"n": n}) for n in range(4)], safe=safe)

    if safe:
        assert [answer.result for answer in run(scene())] == [0, 1, 2, 3]
    else:
        with pytest.raises(UncertainError) as caught:
            run(scene())
        assert [command.parameters["n"] for command in caught.value.commands] == [1, 2]
    assert requests == sent


def test_what_refers_to_a_failed_command_does_not_run(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.methods["add"] = lambda p: {"error": "", "error_description": "no"} if p["n"] == "bad" else 7
    commands = [
        Command("add", {"n": "good"}, "a"),
        Command("add", {"n": "bad"}, "b"),
        Command("add", {"n": "$result[b]"}, "c"),
    ]

    async def scene() -> list[Answer]:
        async with cloud.portal(tmp_path) as portal:
            return await portal.batch(commands, safe=False)

    good, bad, after = run(scene())
    assert (good.result, good.error) == (7, None)
    assert bad.error is not None
    assert after.error is not None
    assert after.error.code == "NOT_RUN"
    assert len(cloud.log) == 2


def test_errors_within_a_batch_belong_to_their_command(cloud: FakeCloud, tmp_path: Path) -> None:
    async def scene() -> list[Answer]:
        async with cloud.portal(tmp_path) as portal:
            return await portal.batch([Command("server.time"), Command("no.such")])

    good, bad = run(scene())
    assert good.result == "now"
    assert bad.error is not None
    assert (bad.error.code, str(bad.error)) == (
        "ERROR_METHOD_NOT_FOUND",
        "no.such: ERROR_METHOD_NOT_FOUND: Method not found!",
    )


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("insufficient_scope", "give the webhook the scope crm"),
        ("INVALID_CREDENTIALS", "make one as an active administrator"),
        ("expired_token", "make a new webhook"),
        ("WRONG_AUTH_TYPE", "local application's token"),
    ],
)
def test_caller_that_may_not_is_reported_what_to_do(cloud: FakeCloud, tmp_path: Path, code: str, hint: str) -> None:
    cloud.faults = [lambda _: httpx.Response(401, json={"error": code, "error_description": "no"})]
    with pytest.raises(AccessError, match=hint) as caught:
        ask(cloud, tmp_path, "crm.lead.list")
    assert caught.value.code == code
    assert "s3cr3t" not in str(caught.value)


def test_error_of_one_request_stops_the_others(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.methods["echo"] = lambda p: p
    cloud.faults = [lambda _: httpx.Response(401, json={"error": "expired_token"})]

    async def scene() -> None:
        async with cloud.portal(tmp_path) as portal:
            await portal.batch([Command("echo", {"n": n}) for n in range(5000)])

    with pytest.raises(AccessError):
        run(scene())
    assert len(cloud.log) < 1000


def test_portal_that_moved_is_named(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.faults = [lambda r: httpx.Response(302, headers={"location": str(r.url.copy_with(host="new.test"))})]
    with pytest.raises(RefusedError, match=r"the portal is now at new\.test") as caught:
        ask(cloud, tmp_path, "server.time")
    assert "s3cr3t" not in str(caught.value)


def test_portal_whose_licence_has_ended_is_named(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.faults = [lambda _: httpx.Response(302, headers={"location": "/bitrix/coupon_activation.php"})]
    with pytest.raises(RefusedError, match="the portal is shut, its licence has ended"):
        ask(cloud, tmp_path, "server.time")


def test_slow_methods_get_small_batches(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.cost = 6.0
    cloud.operating = 0.0
    cloud.methods["slow"] = lambda _: 1
    cloud.operating = 10_000.0

    async def scene() -> int:
        async with cloud.portal(tmp_path) as portal:
            await portal.batch([Command("slow")])
            await portal.batch([Command("slow")] * 20)
            return portal.requests

    assert run(scene()) == 5, "20 commands of 6 s in requests of 30 s"


def test_workers_are_all_there_are(cloud: FakeCloud, tmp_path: Path) -> None:
    async def scene() -> None:
        async with cloud.portal(tmp_path, workers=3) as portal:
            await asyncio.gather(*(portal.call("server.time") for _ in range(20)))

    run(scene())
    assert cloud.most_active == 3


@pytest.mark.parametrize("kind", [httpx.ReadError, httpx.ConnectError, httpx.InvalidURL])
def test_address_of_the_webhook_is_in_no_error_log_or_repr(
    cloud: FakeCloud, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: Any
) -> None:
    def fault(request: httpx.Request) -> httpx.Response:
        raise kind(f"while asking {request.url}")

    cloud.faults = [fault] * 100
    with caplog.at_level(logging.DEBUG), pytest.raises(EncajaError) as caught:
        ask(cloud, tmp_path, "server.time", patience=3)
    cloud.faults.clear()
    with caplog.at_level(logging.INFO):
        ask(cloud, tmp_path, "server.time")
    reported = [str(caught.value), repr(caught.value), caplog.text, repr(Webhook.parse(HOOK))]
    reported += [path.read_text() for path in tmp_path.iterdir()]
    assert not [text for text in reported if "s3cr3t" in text]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://a.bitrix24.es/rest/1/abc/", "https://a.bitrix24.es/rest/1/abc/m.json"),
        (" https://a.bitrix24.es:8443/rest/17/a-b_c ", "https://a.bitrix24.es:8443/rest/17/a-b_c/m.json"),
        ("https://a.bitrix24.es/rest/1/abc/profile.json", "https://a.bitrix24.es/rest/1/abc/m.json"),
    ],
)
def test_webhook_is_read_as_the_portal_shows_it(text: str, address: str) -> None:
    assert Webhook.parse(text).address("m") == address


@pytest.mark.parametrize(
    "text", ["", "a.bitrix24.es", "https://a.bitrix24.es/rest/", "ftp://a/rest/1/b/", "https://a/x"]
)
def test_other_addresses_are_no_webhook(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not the address of a webhook"):
        Webhook.parse(text)


def test_application_sends_its_token_in_the_body(cloud: FakeCloud, tmp_path: Path) -> None:
    portal: RestClient | None = None

    async def scene() -> None:
        nonlocal portal
        portal = cloud.portal(tmp_path)
        portal._webhook = Webhook("https://cloud.test", token="t0ken")
        await portal.call("server.time")
        await portal.close()

    run(scene())
    assert cloud.log == [("server.time", {"auth": "t0ken"})]


@pytest.mark.parametrize("begin", ["old", ""])
def test_token_is_renewed_once_for_all_requests(cloud: FakeCloud, tmp_path: Path, begin: str) -> None:
    renewals: list[str] = []

    async def handler(request: httpx.Request) -> httpx.Response:
        if request.url.host == "oauth.test":
            renewals.append(request.url.params["refresh_token"])
            return httpx.Response(200, json={"access_token": "new", "refresh_token": "next"})
        if json.loads(request.content)["auth"] == "old":
            return httpx.Response(401, json={"error": "expired_token", "error_description": "expired"})
        return await cloud(request)

    async def scene() -> list[Answer]:
        tokens = Tokens(begin, Application("id", "secret", "first", "https://oauth.test/token"), tmp_path / "tokens")
        limiter = Limiter("cloud.test", tmp_path, clock=clock)
        webhook = Webhook("https://cloud.test")
        async with RestClient(webhook, limiter, tokens=tokens, transport=httpx.MockTransport(handler)) as portal:
            return await asyncio.gather(*(portal.call("server.time") for _ in range(5)))

    assert [answer.result for answer in run(scene())] == ["now"] * 5
    assert renewals == ["first"]


def test_token_that_cannot_be_renewed_is_refused_once(cloud: FakeCloud, tmp_path: Path) -> None:
    cloud.faults = [lambda _: httpx.Response(401, json={"error": "expired_token", "error_description": "expired"})] * 9

    async def scene() -> None:
        limiter = Limiter("cloud.test", tmp_path, clock=clock)
        tokens = Tokens("old", None, tmp_path / "tokens")
        webhook = Webhook("https://cloud.test")
        async with RestClient(webhook, limiter, tokens=tokens, transport=httpx.MockTransport(cloud)) as portal:
            await portal.call("server.time")

    with pytest.raises(AccessError, match="make a new webhook"):
        run(scene())
    assert len(cloud.faults) == 8
