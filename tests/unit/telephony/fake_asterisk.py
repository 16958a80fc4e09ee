"""The manager interface and the database of channel events of an Asterisk."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


class FakeAsterisk:
    """The manager interface and the database of channel events of an Asterisk."""

    def __init__(self, database: Path) -> None:
        self.port = 0
        self.alive: set[str] = set()
        self.logins = 0
        self.silent = False
        self._writers: list[asyncio.StreamWriter] = []
        self._database = database

    def happen(self, message: dict[str, str]) -> None:
        """Write an event to the database, and tell it to who listens."""
        columns = (
            "EventName",
            "Timestamp",
            "CallerIDnum",
            "Exten",
            "Context",
            "Channel",
            "UniqueID",
            "LinkedID",
            "Extra",
        )
        row = [message[key].removeprefix(" ") for key in columns]
        with sqlite3.connect(self._database) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS cel (AcctId INTEGER PRIMARY KEY, eventtype,eventtime,cidnum,exten,context,"
                "channame,uniqueid,linkedid,extra)"
            )
            database.execute(f"INSERT INTO cel VALUES (NULL, {', '.join('?' * 9)})", row)
        database.close()
        linked = row[7]
        (self.alive.discard if row[0] == "LINKEDID_END" else self.alive.add)(linked)
        for writer in self._writers:
            self._send(writer, {key: value.removeprefix(" ") for key, value in message.items()})

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            for writer in self._writers:
                writer.close()
            server.close()
            await server.wait_closed()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Asterisk Call Manager/11.0.0\r\n")
        while block := await self._block(reader):
            number = {"ActionID": block["ActionID"]}
            if self.silent:
                continue
            if block["Action"] == "Challenge":
                self._send(writer, {"Response": "Success", "Challenge": "4711", **number})
            elif block["Action"] == "Login":
                key = hashlib.md5(b"4711ami-secret", usedforsecurity=False).hexdigest()
                is_right = block.get("Key") == key and block["Username"] == "encaja"
                answer = {"Response": "Success" if is_right else "Error", "Message": "Authentication failed"}
                self._send(writer, {**answer, **number})
                if is_right:
                    self.logins += 1
                    self._writers.append(writer)
            elif block["Action"] == "CoreShowChannels":
                self._send(writer, {"Response": "Success", "EventList": "start", **number})
                for linked in self.alive:
                    self._send(writer, {"Event": "CoreShowChannel", "Linkedid": linked, **number})
                self._send(writer, {"Event": "CoreShowChannelsComplete", "EventList": "Complete", **number})
        writer.close()

    async def _block(self, reader: asyncio.StreamReader) -> dict[str, str]:
        lines = {}
        while line := (await reader.readline()).decode().strip():
            key, _, value = line.partition(": ")
            lines[key] = value
        return lines

    def _send(self, writer: asyncio.StreamWriter, message: dict[str, str]) -> None:
        writer.write(("".join(f"{key}: {value}\r\n" for key, value in message.items()) + "\r\n").encode())
