"""A client of the portal's REST interface, which keeps its limits, batches calls, and repeats what may be repeated.

Sources: apidocs.bitrix24.com, settings/how-to-call-rest-api, limits, error-codes (system errors).
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from encaja.rest import answers
from encaja.rest.command import BATCH, Answer, Command, UncertainError, query_of
from encaja.rest.download import BrokenOffError, Download, Fetched
from encaja.rest.errors import (
    BUSY_ERRORS,
    TOKEN_ERRORS,
    AccessError,
    MalformedError,
    RefusedError,
    UnreachableError,
    refusal,
)
from encaja.rest.limiter import Limiter
from encaja.rest.listing import Listing, Page
from encaja.rest.tokens import TokenError, Tokens
from encaja.rest.webhook import Webhook
from encaja.status import waiting_for

_REQUEST_SECONDS = 30.0  # what a batch may take of the 60 s that a request has
_LONGEST_PAUSE = 30.0
_FILE_PATIENCE = 60.0  # for one file, which must not hold up all others
_TRIES = 20  # of commands that a batch left without an answer


class RestClient:
    """A portal's REST interface. Use it with ``async with``, or close it.

    Args:
        webhook: who calls.
        limiter: keeps the callers within the portal's limits.
        tokens: an application's, instead of the webhook's path or token.
        verify: certificates to trust.
        timeout: seconds for one request; the portal itself stops at 60.
        workers: concurrent requests.
        patience: seconds for which a failing portal is retried.
        transport: instead of the network, for tests.
        sleep: how to wait.
        on_wait: takes what is waited for, and an empty text when the wait is over.
        file_hosts: hosts to which addresses of files may lead besides the portal and public ones over https.
    """

    def __init__(
        self,
        webhook: Webhook,
        limiter: Limiter,
        *,
        tokens: Tokens | None = None,
        verify: ssl.SSLContext | bool = True,
        timeout: float = 60,
        workers: int = 8,
        patience: float = 600,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_wait: Callable[[str], None] = lambda _: None,
        file_hosts: Collection[str] = (),
    ) -> None:
        self.where = webhook.portal
        self.requests = 0
        """Requests sent, repeated ones included."""
        self._webhook = webhook
        self._tokens = tokens
        self._renewing = asyncio.Lock()
        self._limiter = limiter
        self._caller = "application" if tokens else webhook.fingerprint
        limits = httpx.Limits(max_connections=workers, max_keepalive_connections=workers)
        self._client = httpx.AsyncClient(
            verify=verify,
            timeout=httpx.Timeout(timeout, connect=10.0, pool=None),
            limits=limits,
            transport=transport,
            headers={"Accept-Encoding": "gzip"},
        )
        self._workers = workers
        self._places = asyncio.Semaphore(workers)
        self._patience = patience
        self._sleep = sleep
        self.on_wait = on_wait
        self._file_hosts = file_hosts
        self._pace: dict[str, float] = {}

    async def __aenter__(self) -> RestClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def call(self, method: str, parameters: Mapping[str, Any] | None = None, *, safe: bool = True) -> Answer:
        """Call one method.

        Args:
            method: its name.
            parameters: what it is given.
            safe: whether it may be repeated although it may have been carried out.

        Raises:
            RefusedError: the portal refuses; AccessError where the caller is the reason.
            UnreachableError: the portal failed until the patience was over.
            UncertainError: it is not safe, and may have been carried out.
        """
        command = Command(method, parameters or {})
        answer = await self._send(method, dict(command.parameters), [command], safe)
        self._limiter.spent(f"{self._caller}:{method}", answers.times(answer.get("time")))
        return Answer(command, answer["result"], answer.get("total"), answer.get("next"))

    async def batch(self, commands: Sequence[Command], *, safe: bool = True, ordered: bool = False) -> list[Answer]:
        """Call many methods, at most 50 per request, and return their answers in the same order.

        Commands that refer to each other have to be in the same request: the first 50, the next 50 and so on.

        Args:
            commands: any number of them.
            safe: whether they may be repeated although they may have been carried out. If not, requests are in turn.
            ordered: whether requests are sent in turn anyway.

        Raises:
            AccessError: the caller has no access.
            UnreachableError: the portal failed until the patience was over.
            UncertainError: they are not safe, and some may have been carried out.
        """
        size = self._batch_size(commands)
        parts = [commands[at : at + size] for at in range(0, len(commands), size)]
        done: list[Answer] = []
        if safe and not ordered:
            return [answer for part in await self._together(parts) for answer in part]
        for part in parts:
            try:
                done += await self._batch(part, safe)
            except UncertainError as error:
                error.answers = done + error.answers
                raise
        return done

    async def rows(
        self,
        method: str,
        *,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the portal's own name
        select: Sequence[str] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[Page]:
        """List all rows by ascending identifier: many pages per request, several requests at once, without a count.

        Rows that are added behind the last one meanwhile are left out.

        Args:
            method: one that lists, filters and sorts by its identifier.
            filter: the portal's notation.
            select: fields.
            parameters: further ones.

        Yields:
            Pages of 1 to 50 rows.

        Raises:
            RefusedError: the portal refuses to list this.
            UnreachableError: the portal failed until the patience was over.
        """
        listing = Listing(method, filter or {}, select, parameters or {}, self._batch, self._batch_size)
        async for page in listing.pages(await self.batch(listing.ends(), ordered=True)):
            yield page

    async def rest_of(self, first: Answer, key: str = "") -> list[dict[str, Any]]:
        """All rows of a short list, given the answer with its first page; it has to be asked for in an order.

        Args:
            first: of a method that pages by ``start``.
            key: under which an answer has the rows, where they are not the answer itself.

        Raises:
            RefusedError, UnreachableError: as ``call``.
        """
        answer = first
        rows: list[dict[str, Any]] = list(answer.result[key] if key else answer.result)
        while answer.next is not None:
            answer = await self.call(first.command.method, {**first.command.parameters, "start": answer.next})
            rows += answer.result[key] if key else answer.result
        return rows

    async def upload(self, address: str, field: str, name: str, content: bytes) -> Answer:
        """Send a file once to an address of the portal that it gave.

        Raises:
            RefusedError: the portal refuses it, or the address is another host's.
            UnreachableError: it did not arrive.
            UncertainError: it may have arrived.
        """
        if not _is_below(address, self.where):
            raise RefusedError("", "the address for the file is not the portal's, so it is not sent", "upload")
        outcome = await self._post(address, "upload", files={field: (name, content, "application/octet-stream")})
        command = Command("upload")
        if isinstance(outcome, dict):
            return Answer(command, outcome["result"])
        if not outcome.certain:
            raise UncertainError(f"upload: {outcome.what}", self.where, [command])
        raise UnreachableError(f"upload: {outcome.what}", self.where, outcome.hint)

    async def fetch(self, address: str, target: Path, *, limit: int, size: int | None = None) -> Fetched:
        """Fetch a file of a record into a file.

        Args:
            address: as REST gives it for the purpose; a path is one of this portal.
            target: the file; replaced atomically when the download is complete.
            limit: most bytes that are read.
            size: how many it has to have, where REST says so.

        Raises:
            RefusedError: the portal refuses it, answers with something else, or fails with this file for a minute.
        """
        patience = min(self._patience, _FILE_PATIENCE)
        download = Download(self._webhook.portal, address, limit, size, self._file_hosts)
        waited, pause, since = 0.0, 1.0, time.time()
        while True:
            try:
                async with self._places:
                    await self._limiter.turn()
                    self.requests += 1
                    fetched = await download.store(self._client, target)
            except BrokenOffError as fault:
                what, hint = fault.what, fault.hint
            except httpx.HTTPError as fault:
                what, hint = _network(fault), "check that the portal is up"
            else:
                if waited:
                    self.on_wait("")
                return fetched
            if waited >= patience:
                self.on_wait("")
                raise RefusedError("", what, "download", hint)  # other files may be had, and all else
            self.on_wait(waiting_for(self.where, what, since, time.time() + patience - waited))
            await self._sleep(pause)
            waited += pause
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _together(self, parts: Sequence[Sequence[Command]]) -> list[list[Answer]]:
        # With its own semaphore, so a method that has to wait does not hold up the others.
        places = asyncio.Semaphore(self._workers)

        async def one(part: Sequence[Command]) -> list[Answer]:
            async with places:
                return await self._batch(part)

        tasks = [asyncio.create_task(one(part)) for part in parts]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    async def _batch(self, commands: Sequence[Command], safe: bool = True) -> list[Answer]:
        names = [command.name or f"c{number}" for number, command in enumerate(commands)]
        asked = dict(zip(names, commands, strict=True))
        queries = {name: query_of(command) for name, command in asked.items()}
        linked = any("$result[" in unquote(query) for query in queries.values())
        done: dict[str, Answer] = {}
        left = list(names)
        for _ in range(_TRIES):
            # A command that refers to a failed one must not run with an empty value.
            body = {"halt": int(linked and not safe), "cmd": {name: queries[name] for name in left}}
            result = (await self._send("batch", body, [asked[name] for name in left], safe))["result"]
            blocks = {name: answers.times(_part(result, "result_time", name)) for name in left}
            self._limiter.learned((f"{self._caller}:{asked[name].method}", block) for name, block in blocks.items())
            outcomes = {name: self._outcome(result, name, asked[name], blocks[name]) for name in left}
            busy = [name for name, answer in outcomes.items() if answer is None or _is_busy(answer)]
            if linked and not safe and any(answer and answer.error for answer in outcomes.values()):
                busy = []  # It stopped there.
                outcomes = {
                    name: answer or Answer(asked[name], error=_not_run(asked[name]))
                    for name, answer in outcomes.items()
                }
            silent = [asked[name] for name in busy if outcomes[name] is None]
            if silent and not safe:
                raise UncertainError("no answer within a batch", self.where, silent)
            if linked and busy:
                continue
            done |= {name: answer for name, answer in outcomes.items() if answer and name not in busy}
            left = busy
            if not left:
                return [done[name] for name in names]
        raise UnreachableError(f"{len(left)} commands of a batch got no answer", self.where, "try again later")

    def _outcome(
        self, result: Mapping[str, Any], name: str, command: Command, block: Mapping[str, float]
    ) -> Answer | None:
        """The answer to one command of a batch; None where it has none."""
        if "duration" in block:
            known, seconds = self._pace.get(command.method), block["duration"]
            self._pace[command.method] = seconds if known is None else 0.9 * known + 0.1 * seconds
        fault = _part(result, "result_error", name)
        if fault is not None:
            error = refusal(fault, command.method)
            if error.code in BUSY_ERRORS:
                self._limiter.refused(f"{self._caller}:{command.method}", block)
            return Answer(command, error=error)
        given = result.get("result")
        if not isinstance(given, dict) or name not in given:
            return None
        try:
            total = answers.number(_part(result, "result_total", name), "total")
            following = answers.number(_part(result, "result_next", name), "next")
        except MalformedError:
            return None
        return Answer(command, given[name], total, following)

    def _batch_size(self, commands: Sequence[Command]) -> int:
        slowest = max((self._pace.get(command.method, 0.0) for command in commands), default=0.0)
        return max(1, min(BATCH, int(_REQUEST_SECONDS / slowest))) if slowest else BATCH

    async def _send(self, method: str, body: dict[str, Any], commands: list[Command], safe: bool) -> dict[str, Any]:
        """Send one request, and repeat it until there is an answer."""
        counts = Counter(f"{self._caller}:{command.method}" for command in commands)
        renewed = False
        waited, pause, room, since = 0.0, 1.0, False, time.time()
        while True:
            if not room:
                await self._limiter.room(counts)
                room = True
            async with self._places:
                await self._limiter.turn()
                self.requests += 1
                token = await self._token()
                try:
                    content = {**body, "auth": token} if token else body
                    outcome = await self._post(self._webhook.address(method), method, json=content)
                except AccessError as error:
                    if renewed or self._tokens is None or error.code not in TOKEN_ERRORS:
                        raise
                    renewed = True
                    await self._renew(token, error)
                    continue
            if isinstance(outcome, dict):
                if waited:
                    self.on_wait("")
                return outcome
            if not (safe or outcome.certain):
                raise UncertainError(f"{method}: {outcome.what}", self.where, commands)
            if outcome.busy == "QUERY_LIMIT_EXCEEDED":
                self._limiter.refused()
            elif outcome.busy == "OPERATION_TIME_LIMIT":
                self._limiter.refused(f"{self._caller}:{method}", outcome.time)
                room = False
            if waited >= self._patience:
                raise UnreachableError(f"{method}: {outcome.what}", self.where, outcome.hint)
            self.on_wait(waiting_for(self.where, outcome.what, since, time.time() + self._patience - waited))
            await self._sleep(pause)
            waited += pause
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def _token(self) -> str:
        """The token to send; empty for a webhook."""
        if self._tokens is None:
            return self._webhook.token
        if not self._tokens.access:
            await self._renew("", AccessError("NO_AUTH_FOUND", "there is no token", "application"))
        return self._tokens.access

    async def _renew(self, refused: str, error: AccessError) -> None:
        async with self._renewing:
            if self._tokens is None or not self._tokens.renewable:
                raise error
            if self._tokens.access == refused:  # else another request has renewed it
                try:
                    await self._tokens.renew(self._client)
                except TokenError as fault:
                    raise UnreachableError(fault.what, fault.where, "set a new refresh token") from fault

    async def _post(self, address: str, method: str, **content: Any) -> dict[str, Any] | _Failure:
        try:
            async with self._client.stream("POST", address, **content) as response:
                answer = await answers.read(response)
            if answer is not None and "result" in answer and response.is_success:
                return answers.checked(answer, is_batch=method == "batch")
        except MalformedError as fault:
            return _Failure(f"HTTP {response.status_code} with {fault.what}", hint=fault.hint)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as fault:
            return _Failure(_network(fault), certain=True, hint="check the portal's name, and that it is up")
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            return _Failure(_network(fault), hint="check that the portal is up")
        return _failure(response, answer, method)


@dataclass(frozen=True)
class _Failure:
    """A request without a final answer; ``certain``: it was not carried out."""

    what: str
    certain: bool = False
    busy: str = ""
    time: Mapping[str, float] | None = None
    hint: str = ""


def _failure(response: httpx.Response, answer: dict[str, Any] | None, method: str) -> _Failure:
    """What an answer without a result means, where the request may be repeated.

    Raises:
        RefusedError: it may not.
    """
    if response.is_redirect:
        location = response.headers.get("location", "")
        if location.endswith("/bitrix/coupon_activation.php"):  # behaviour.md 8.2; a page's own name, so no secret
            raise AccessError("", "the portal is shut, its licence has ended", method, "renew it: see 'encaja verify'")
        raise AccessError("", f"the portal is now at {_host(location)}", method, "use a webhook address of that host")
    if answer is None or "error" not in answer:
        kind = response.headers.get("content-type", "nothing").partition(";")[0][:50]
        hint = "open the address in a browser: a web page answers, not the REST interface"
        return _Failure(f"HTTP {response.status_code} with {kind} instead of JSON", hint=hint)
    error = refusal(answer, method)
    if error.code in BUSY_ERRORS:
        return _Failure(error.code, certain=True, busy=error.code, time=answers.times(answer.get("time")))
    if response.is_server_error and error.code != "PORTAL_DELETED":
        return _Failure(f"HTTP {response.status_code} {error.code}", hint="see the portal's own log")
    raise error


def _is_below(address: Any, portal: str) -> bool:
    """Whether an address is one of the portal: its scheme, host and port."""
    try:
        there, own = ((at.scheme, at.hostname, at.port) for at in (urlsplit(address), urlsplit(portal)))
    except (ValueError, TypeError, AttributeError):
        return False
    return there == own


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or "another path"
    except ValueError:
        return "an address that is none"


def _network(fault: Exception) -> str:
    # Never its text, which may contain the address.
    return {"ReadTimeout": "no answer in time", "ConnectTimeout": "no connection in time"}.get(
        type(fault).__name__, type(fault).__name__
    )


def _is_busy(answer: Answer) -> bool:
    return answer.error is not None and answer.error.code in BUSY_ERRORS


def _not_run(command: Command) -> RefusedError:
    return RefusedError("NOT_RUN", "an earlier command of the same request failed", command.method)


def _part(result: Mapping[str, Any], key: str, name: str) -> Any:
    """An entry of a batch's answer; PHP gives an empty list where there is none."""
    entries = result.get(key)
    return entries.get(name) if isinstance(entries, dict) else None
