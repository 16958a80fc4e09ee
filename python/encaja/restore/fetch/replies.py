"""What a server may answer to a request for a piece of a volume, and what it means."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from itertools import chain

import httpx

_NUMBER = r"([0-9]{1,18})"
_CONTENT_RANGE = re.compile(rf"bytes {_NUMBER}-{_NUMBER}/{_NUMBER}")
_OUTSIDE = re.compile(rf"bytes \*/{_NUMBER}")
_LONGEST_TEXT = 4 << 20
_LONGEST_PAUSE = 300.0
"""Seconds; a server may ask for any number of them."""
_DENIED = frozenset({401, 403, 404, 410})


class RetryError(Exception):
    """The request has to be made again.

    Args:
        reason: what happened.
        after: seconds the server asks to wait.
        overloaded: whether the server as a whole refuses, not this request.
    """

    def __init__(self, reason: str, after: float = 0.0, *, overloaded: bool = False) -> None:
        super().__init__(reason)
        self.after = after
        self.overloaded = overloaded


class DeniedError(Exception):
    """The server refuses the address.

    Args:
        status: its answer; 200 when it sends a web page in place of the file.
    """

    def __init__(self, status: int) -> None:
        super().__init__(
            f"the server answers {status}" if status != httpx.codes.OK else "a web page in place of the file"
        )
        self.status = status


class ChangedError(Exception):
    """The file at the server is another one than at the first request.

    Args:
        size: its bytes now.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"now {size} bytes")
        self.size = size


def is_unknown_name(problem: BaseException | None) -> bool:
    """Whether a request failed because the server's name does not resolve."""
    while problem is not None:
        if isinstance(problem, socket.gaierror):
            return True
        problem = problem.__cause__ or problem.__context__
    return False


def reason_of(problem: Exception) -> str:
    """Why a request failed, in a few words."""
    return "its name does not resolve" if is_unknown_name(problem) else str(problem) or type(problem).__name__


def refuses_everybody(problem: Exception) -> bool:
    """Whether a failed request means that the server as a whole is in trouble, and others should wait too."""
    if isinstance(problem, RetryError):
        return problem.overloaded
    return isinstance(problem, (httpx.ConnectError, httpx.ConnectTimeout))


def check_status(response: httpx.Response) -> None:
    """Let answers pass that bring the file.

    Raises:
        DeniedError: the address is refused.
        ChangedError: the file ends before the range that was asked for.
        RetryError: anything else.
    """
    status = response.status_code
    if status in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        return
    if status in _DENIED:
        raise DeniedError(status)
    outside = _OUTSIDE.fullmatch(response.headers.get("Content-Range", ""))
    if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and outside:
        raise ChangedError(int(outside[1]))
    after = response.headers.get("Retry-After", "")
    raise RetryError(
        f"the server answers {status}",
        min(_LONGEST_PAUSE, float(after)) if re.fullmatch(_NUMBER, after) else 0.0,
        overloaded=status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR,
    )


def body(response: httpx.Response) -> Iterator[bytes]:
    """The bytes as they come. The first ones are checked: an expired link may answer with a page to log in.

    Raises:
        DeniedError: it is a web page.
    """
    pieces = response.iter_raw()
    if response.status_code != httpx.codes.OK or "text/html" not in response.headers.get("Content-Type", ""):
        return pieces
    first = next(pieces, b"")
    if first.lstrip()[:1] in (b"<", b""):
        raise DeniedError(httpx.codes.OK)
    return chain((first,), pieces)


def content_range(response: httpx.Response) -> tuple[int, int] | None:
    """First byte and total size by the answer's Content-Range; None when it has none that can be read."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return (int(found[1]), int(found[3])) if found else None


def content_length(response: httpx.Response) -> int | None:
    """Content-Length; None where the server does not say."""
    length = response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch(_NUMBER, length) else None


def ask_for_text(client: httpx.Client, address: str, **parameters: str) -> str:
    """Ask for a text that is small where it is honest.

    Raises:
        DeniedError: the address is refused.
        RetryError: it is longer than 4 MiB, or packed although that was not asked for.
        httpx.HTTPError: there is no answer.
    """
    content = b""
    with client.stream("GET", address, params=parameters or None, headers={"Accept-Encoding": "identity"}) as response:
        check_status(response)
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise RetryError("the answer is packed although that was not asked for")
        for piece in response.iter_raw():
            content += piece
            if len(content) > _LONGEST_TEXT:
                raise RetryError(f"the answer is longer than {_LONGEST_TEXT >> 20} MiB")
    return content.decode(errors="replace")
