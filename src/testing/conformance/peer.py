"""The other end of a connection under test: a WebSocket server that follows a script, on the test's own event loop."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeAlias, cast

from .wire import Opcode, WireFrame, accept_value, encode_close, encode_frame, read_frame

HOST = "127.0.0.1"

Script: TypeAlias = Callable[[Any], Awaitable[None]]
"""What the other end does with a connection: a coroutine function that takes a `MessageConnection`, or a
`PeerConnection` where the bytes on the wire matter."""


class MessageConnection(Protocol):
    """The server's side of a connection, as far as it can be told without looking at bytes.

    Everything but `accept` raises ConnectionError when the connection has ended.
    """

    async def accept(self, *, subprotocol: str | None = "bokeh") -> None:
        """Accept the connection."""
        ...

    async def refuse(self) -> None:
        """Answer that the connection is forbidden (HTTP status 403)."""
        ...

    async def send(self, *messages: str | bytes) -> None:
        """Send messages."""
        ...

    async def delivered(self) -> None:
        """Wait until the client's side has taken what was sent, whether or not anybody receives it there."""
        ...

    async def send_close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection, or answer the client's close; after this, nothing may be sent."""
        ...

    async def read_message(self) -> str | bytes:
        """Wait for the client's next message."""
        ...

    def messages(self) -> AsyncIterator[str | bytes]:
        """Give the client's messages as they come, and answer the close at their end."""
        ...

    async def read_close(self) -> tuple[int | None, str]:
        """Wait for the code and reason that the client closes with."""
        ...

    async def read_end(self) -> bytes:
        """Wait for the end of the connection, whatever the client sends before it, and return that."""
        ...

    def pause_reading(self) -> None:
        """Take nothing from the connection until told to."""
        ...

    def resume_reading(self) -> None:
        """Go on."""
        ...


@dataclass
class Request:
    """The head of an HTTP request; the names of headers are in lower case."""

    target: str
    headers: Mapping[str, str]


@dataclass
class PeerConnection:
    """One accepted connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requested: asyncio.Future[Request] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def __post_init__(self) -> None:
        self.socket: Any = self.writer.get_extra_info("socket")

    async def read_request(self) -> Request:
        """Read the head of the upgrade request."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(":", 1) for line in lines[1:] if line)
        request = Request(lines[0].split(" ")[1], {name.lower(): value.strip() for name, value in pairs})
        self.requested.set_result(request)
        return request

    async def respond(self, status: str, headers: Mapping[str, str | None] | None = None, body: bytes = b"") -> None:
        """Send an HTTP response; a header that is None is left out."""
        lines = [f"{name}: {value}" for name, value in (headers or {}).items() if value is not None]
        await self.send_raw("\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1") + body)

    async def accept(
        self, changes: Mapping[str, str | None] | None = None, *, subprotocol: str | None = "bokeh", frames: bytes = b""
    ) -> None:
        """Read the request and accept the upgrade, with encoded frames right behind the answer.

        `changes` replace headers; None leaves one out.
        """
        request = await self.read_request()
        headers: dict[str, str | None] = {
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-accept": accept_value(request.headers["sec-websocket-key"]),
            "sec-websocket-protocol": subprotocol,
        }
        await self.respond("101 Switching Protocols", headers | dict(changes or {}), frames)

    async def refuse(self) -> None:
        """Read the request and answer that it is forbidden."""
        await self.read_request()
        await self.respond("403 Forbidden", {"Content-Length": "0"})

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def send(self, *messages: str | bytes) -> None:
        """Send messages of one frame each, in one write."""
        await self.send_raw(b"".join(map(encode_frame, messages)))

    async def delivered(self) -> None:
        """Wait for the answer to a ping (RFC 6455, section 5.5.3), which the client reads behind what was sent."""
        await self.send_raw(encode_frame("", Opcode.PING))
        frame = await self.read_frame()
        assert frame.opcode is Opcode.PONG, frame

    async def send_close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a close frame with any code."""
        await self.send_raw(encode_close(code, reason))

    async def read_frame(self) -> WireFrame:
        """Read a frame of the client."""
        return await read_frame(self.reader)

    async def read_message(self) -> str | bytes:
        """Read a message that is not a control frame."""
        frame = await self.read_frame()
        assert frame.final
        assert frame.opcode in (Opcode.TEXT, Opcode.BINARY), frame
        return frame.payload.decode() if frame.opcode is Opcode.TEXT else frame.payload

    async def messages(self) -> AsyncIterator[str | bytes]:
        """Give messages, and answer pings and the close frame."""
        while True:
            frame = await self.read_frame()
            if frame.opcode is Opcode.CLOSE:
                await self.send_raw(encode_frame(frame.payload, Opcode.CLOSE))
                return
            if frame.opcode is Opcode.PING:
                await self.send_raw(encode_frame(frame.payload, Opcode.PONG))
            elif frame.opcode is not Opcode.PONG:
                yield frame.payload.decode() if frame.opcode is Opcode.TEXT else frame.payload

    async def read_close(self) -> tuple[int | None, str]:
        """Read a close frame."""
        frame = await self.read_frame()
        assert frame.opcode is Opcode.CLOSE, frame
        code = int.from_bytes(frame.payload[:2], "big") if frame.payload else None
        return code, frame.payload[2:].decode()

    async def read_end(self) -> bytes:
        """Read until the client's side has ended, in whatever way."""
        data = bytearray()
        try:
            while chunk := await self.reader.read(1 << 20):
                data += chunk
        except ConnectionError:
            pass
        return bytes(data)

    def pause_reading(self) -> None:
        """Read nothing more from the socket until told to."""
        cast(asyncio.Transport, self.writer.transport).pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        cast(asyncio.Transport, self.writer.transport).resume_reading()

    def reset(self) -> None:
        """End the TCP connection by a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Peer:
    """Listens within an ``async with`` block and follows the script with each connection.

    When the block ends, what still runs of the scripts is cancelled; what a script raised is raised, unless it is about
    the connection having ended.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, receive_buffer: int | None = None) -> None:
        self._script = script
        self._tls = tls
        self._receive_buffer = receive_buffer
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self.connections: list[PeerConnection] = []
        self.port = 0

    @property
    def url(self) -> str:
        """The URL to connect to."""
        return f"{'ws' if self._tls is None else 'wss'}://{HOST}:{self.port}/app/ws"

    async def connection(self, index: int = 0) -> PeerConnection:
        """Give a connection, once it is there."""
        while len(self.connections) <= index:
            self._changed.clear()
            await self._changed.wait()
        return self.connections[index]

    def is_own(self, task: asyncio.Task[Any]) -> bool:
        """Say whether a task is one of the peer's."""
        return task in self._tasks

    def clients(self) -> int:
        """Say how many sockets of this process are connected to the peer."""
        count = 0
        for number in map(int, os.listdir("/proc/self/fd")):
            with suppress(OSError):
                if stat.S_ISSOCK(os.fstat(number).st_mode):
                    with socket.socket(fileno=os.dup(number)) as sock:
                        count += sock.getpeername() == (HOST, self.port)
        return count

    def has_open_sockets(self) -> bool:
        """Say whether a connection's socket is not closed yet."""
        return any(connection.socket.fileno() != -1 for connection in self.connections)

    async def finished(self) -> None:
        """Wait until all scripts have ended."""
        while running := [task for task in self._tasks if not task.done()]:
            await asyncio.wait(running)

    async def __aenter__(self) -> Self:
        sock = socket.create_server((HOST, 0))
        if self._receive_buffer is not None:
            # Accepted sockets inherit it.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        self.port = sock.getsockname()[1]
        self._server = await asyncio.start_server(self._connected, sock=sock, ssl=self._tls)
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, *exc_info: object) -> None:
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self.connections:
            connection.writer.transport.abort()
        failures = [failure for failure in outcomes if isinstance(failure, Exception)]
        if failures and exc_type is None:
            raise failures[0]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = PeerConnection(reader, writer)
        self.connections.append(connection)
        self._changed.set()
        self._tasks.add(asyncio.get_running_loop().create_task(self._follow(connection)))

    async def _follow(self, connection: PeerConnection) -> None:
        try:
            await self._script(connection)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            connection.requested.cancel()
            connection.writer.close()


async def echo(connection: MessageConnection) -> None:
    """Be a well-behaved server: send back every message, and answer the close."""
    await connection.accept()
    async for message in connection.messages():
        await connection.send(message)


async def accept_and_read(connection: MessageConnection) -> None:
    """Accept the connection, then read and say nothing until the client is gone."""
    await connection.accept()
    await connection.read_end()


async def accept_and_hold(connection: MessageConnection) -> None:
    """Accept the connection, then neither read nor write."""
    await connection.accept()
    connection.pause_reading()
    await asyncio.get_running_loop().create_future()


async def refuse(connection: MessageConnection) -> None:
    """Answer with a status."""
    await connection.refuse()
    await connection.read_end()
