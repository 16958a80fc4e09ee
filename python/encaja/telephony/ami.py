"""A small client of Asterisk's manager interface (AMI).

Messages are lines ``Key: value`` ended by an empty line; the password goes over as the MD5 answer to a challenge, as
Asterisk's documentation of ``Challenge`` and ``Login`` has it (docs.asterisk.org, AMI actions).
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator

from encaja.errors import EncajaError
from encaja.telephony.settings import Manager

ANSWER_SECONDS = 10.0


class ManagerError(EncajaError):
    """Asterisk's manager interface is not available."""

    def __init__(self, what: str, settings: Manager) -> None:
        where = f"manager interface {settings.host}:{settings.port}"
        super().__init__(what, where, "check that Asterisk runs with the telephony_ami_password")


Message = dict[str, str]


class ManagerClient:
    """One connection: events, and actions with their responses.

    Args:
        settings: address and login.
    """

    def __init__(self, settings: Manager) -> None:
        self._settings = settings
        self._numbers = itertools.count(1)
        self._answers: dict[str, asyncio.Queue[Message]] = {}
        self._events: asyncio.Queue[Message | None] = asyncio.Queue()
        self._reader_task: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> None:
        """Connect and log in.

        Raises:
            ManagerError: there is no answer, or the login is refused.
        """
        settings = self._settings
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, self._writer = await asyncio.open_connection(settings.host, settings.port)
                await reader.readline()
        except OSError as fault:
            raise ManagerError(str(fault) or type(fault).__name__, settings) from fault
        self._reader_task = asyncio.create_task(self._read(reader))
        challenge = await self.ask({"Action": "Challenge", "AuthType": "MD5"})
        answer = hashlib.md5((challenge.get("Challenge", "") + settings.password).encode(), usedforsecurity=False)
        login = {"Action": "Login", "AuthType": "MD5", "Username": settings.user, "Key": answer.hexdigest()}
        if (response := await self.ask(login)).get("Response") != "Success":
            raise ManagerError(response.get("Message", "login refused"), settings)

    async def close(self) -> None:
        """End the connection."""
        if self._reader_task:
            self._reader_task.cancel()
        if self._writer:
            self._writer.close()

    async def events(self) -> AsyncIterator[Message]:
        """Yield events as they come.

        Raises:
            ManagerError: the connection has ended.
        """
        while (message := await self._events.get()) is not None:
            yield message
        raise ManagerError("connection ended", self._settings)

    async def ask(self, action: Message) -> Message:
        """Send an action and return the response.

        Raises:
            ManagerError: there was no answer.
        """
        number, queue = self._send(action)
        try:
            return await self._next(queue)
        finally:
            del self._answers[number]

    async def list(self, action: Message) -> list[Message]:
        """Send an action whose answer is a list, and return the list.

        Raises:
            ManagerError: there was no answer, or a refusal.
        """
        number, queue = self._send(action)
        try:
            first = await self._next(queue)
            if first.get("Response") != "Success":
                raise ManagerError(f"{action['Action']}: {first.get('Message', 'refused')}", self._settings)
            items = []
            while (message := await self._next(queue)).get("EventList") != "Complete":
                items.append(message)
            return items
        finally:
            del self._answers[number]

    def _send(self, action: Message) -> tuple[str, asyncio.Queue[Message]]:
        if self._writer is None or self._writer.is_closing():
            raise ManagerError("not connected", self._settings)
        number = str(next(self._numbers))
        queue = self._answers[number] = asyncio.Queue()
        lines = [f"{key}: {value}" for key, value in {**action, "ActionID": number}.items()]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        return number, queue

    async def _next(self, queue: asyncio.Queue[Message]) -> Message:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await queue.get()
        except TimeoutError as fault:
            raise ManagerError("no answer", self._settings) from fault

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while message := await read_message(reader):
                queue = self._answers.get(message.get("ActionID", ""))
                await (queue or self._events).put(message)
        except (OSError, ValueError):
            pass
        finally:
            self._events.put_nowait(None)


async def read_message(reader: asyncio.StreamReader) -> Message:
    """Return the next message; an empty one at the end of the connection."""
    message: Message = {}
    while line := await reader.readline():
        text = line.decode(errors="replace").rstrip("\r\n")
        if not text:
            if message:
                return message
            continue
        key, separator, value = text.partition(":")
        if separator:
            message[key] = value.removeprefix(" ")
    return {}
