"""A peer that misbehaves on purpose: an HTTP and WebSocket server in a thread, which follows a script.

It is written over bare streams, since a WebSocket library would keep it from doing what the tests need: wrong
handshakes, half frames, silence, resets. A script is a coroutine function that is given the connection; the ones that
most tests want are made by `refuse`, `never_answer` and `upgrade`.
"""

from __future__ import annotations

import asyncio
import enum
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Self

from bokehwire.testing.conformance.wire import Opcode, accept_value, encode_close, encode_frame, read_frame

from .live import DEADLINE, HOST, THREAD_PREFIX
from .sockets import set_reset_on_close

Script = Callable[["PeerConnection"], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """The head of an HTTP request; the names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def subprotocols(self) -> list[str]:
        return [name.strip() for name in self.headers.get("sec-websocket-protocol", "").split(",") if name.strip()]


@dataclass(frozen=True)
class Close:
    """The close frame that a client has sent, or that the peer shall send."""

    code: int | None = 1000
    reason: str = ""


class Ending(enum.Enum):
    """What the peer does after its last frame, other than to send a close frame."""

    STALL = "reads on and says nothing"
    DEAF = "does not even read"
    RESET = "resets the TCP connection"
    EOF = "ends the TCP connection without a close frame"


class PeerConnection:
    """A client's connection to a ScriptedPeer. Attributes may be read by any thread, methods are for the script."""

    def __init__(self, peer: ScriptedPeer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peer = peer
        self._reader = reader
        self._writer = writer
        self.request: Request | None = None
        # Messages of the client, joined from their fragments; text is str.
        self.received: list[str | bytes] = []
        self.close: Close | None = None
        # Set when the client's side of the TCP connection has ended.
        self.ended = False

    async def read_request(self) -> Request:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        pairs = (line.split(":", 1) for line in lines[1:] if line)
        self.request = Request(method, target, {name.lower(): value.strip() for name, value in pairs})
        self._peer.notify()
        return self.request

    async def send_raw(self, data: bytes) -> None:
        """Bytes as they are, be they a frame or not."""
        self._writer.write(data)
        await self._writer.drain()

    async def respond(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        """An HTTP response."""
        fields = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
        head = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in fields.items())]
        await self.send_raw("\r\n".join([*head, "", ""]).encode("latin-1") + body)

    async def accept(self, subprotocol: str | None = "bokeh", *, key: str | None = None) -> None:
        """Accepts the upgrade; `key` stands in for the client's in the computation of Sec-WebSocket-Accept."""
        request = self.request or await self.read_request()
        accept = accept_value(request.headers["sec-websocket-key"] if key is None else key)
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        lines.append(f"Sec-WebSocket-Accept: {accept}")
        if subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        await self.send_raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def send(self, *frames: str | bytes) -> None:
        """Messages of one frame each; str makes text frames."""
        await self.send_raw(b"".join(encode_frame(frame) for frame in frames))

    async def send_close(self, code: int | None = 1000, reason: str = "") -> None:
        """A close frame. The code is not checked: Bokeh's servers send some that the standard forbids."""
        await self.send_raw(encode_close(code, reason))

    async def receive(self) -> str | bytes | Close | None:
        """The client's next message or close frame; None when the connection has ended. Pings are answered."""
        opcode, parts = Opcode.CONTINUATION, bytearray()
        while True:
            try:
                frame = await read_frame(self._reader)
            except (asyncio.IncompleteReadError, ConnectionError):
                self.ended = True
                self._peer.notify()
                return None
            if frame.opcode is Opcode.PING:
                await self.send_raw(encode_frame(frame.payload, Opcode.PONG))
            elif frame.opcode is Opcode.CLOSE:
                code = int.from_bytes(frame.payload[:2], "big") if frame.payload else None
                self.close = Close(code, frame.payload[2:].decode())
                self._peer.notify()
                return self.close
            elif frame.opcode is not Opcode.PONG:
                opcode = opcode if frame.opcode is Opcode.CONTINUATION else frame.opcode
                parts += frame.payload
                if frame.final:
                    message = parts.decode() if opcode is Opcode.TEXT else bytes(parts)
                    self.received.append(message)
                    self._peer.notify()
                    return message

    async def drain_client(self) -> None:
        """Reads, and records, until the client has closed or is gone."""
        while isinstance(await self.receive(), str | bytes):
            pass

    async def stall(self) -> None:
        """Does nothing, not even read, until the peer is stopped."""
        transport = self._writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        await asyncio.get_running_loop().create_future()

    def reset(self) -> None:
        """Ends the TCP connection by a reset."""
        set_reset_on_close(self._writer.get_extra_info("socket"))
        self._writer.transport.abort()


class ScriptedPeer:
    """Listens between `with` and the end of the block and runs the script for each connection.

    Args:
        script: What it does; a sequence gives one script to each connection, in order, and the last to all others.
    """

    def __init__(self, script: Script | Sequence[Script]) -> None:
        self._scripts = [script] if callable(script) else list(script)
        self._changed = threading.Condition()
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name=f"{THREAD_PREFIX}-peer", daemon=True)
        self._errors: list[BaseException] = []
        self.connections: list[PeerConnection] = []
        self.port = 0

    def url(self, path: str = "/") -> str:
        return f"http://{HOST}:{self.port}{path}"

    def websocket_url(self, path: str = "/") -> str:
        return f"ws://{HOST}:{self.port}{path.rstrip('/')}/ws"

    @property
    def last(self) -> PeerConnection:
        return self.connections[-1]

    def wait_for(self, predicate: Callable[[], object]) -> None:
        """Waits until the predicate holds; it is asked whenever the peer has received something."""
        with self._changed:
            assert self._changed.wait_for(predicate, DEADLINE), "the peer has not seen what the test waits for"

    def notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._started.result(DEADLINE)
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *exc_info: object) -> None:
        self.stop()
        if self._errors and exc_type is None:
            raise self._errors[0]

    def stop(self) -> None:
        """Ends all connections, and the thread; a second stop does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the peer's thread has not ended"

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._started.set_exception(error)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(self._loop.create_task(self._serve(reader, writer)))

        server = await asyncio.start_server(connected, HOST, 0)
        self._started.set_result(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = PeerConnection(self, reader, writer)
        script = self._scripts[min(len(self.connections), len(self._scripts) - 1)]
        self.connections.append(connection)
        self.notify()
        try:
            await script(connection)
        except (ConnectionError, asyncio.IncompleteReadError):
            # The client has gone away in the middle of the script, which is its right.
            connection.ended = True
            self.notify()
        except Exception as error:
            self._errors.append(error)
        finally:
            # Closed by hand: transport.close() would wait for a client that does not read.
            if not writer.transport.is_closing() and writer.transport.get_write_buffer_size():
                writer.transport.abort()
            writer.close()


def refuse(status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Script:
    """Answers the upgrade by an HTTP status."""

    async def script(connection: PeerConnection) -> None:
        await connection.read_request()
        await connection.respond(status, headers, body)

    return script


async def never_answer(connection: PeerConnection) -> None:
    """Accepts the TCP connection, reads the request, and never says a word."""
    await connection.read_request()
    await connection.stall()


def upgrade(*frames: str | bytes, then: Close | Ending = Ending.STALL, subprotocol: str | None = "bokeh") -> Script:
    """Accepts the upgrade, sends the frames, then closes or ends as told, recording what the client sends meanwhile."""

    async def script(connection: PeerConnection) -> None:
        await connection.accept(subprotocol)
        await connection.send(*frames)
        match then:
            case Close(code, reason):
                await connection.send_close(code, reason)
                await connection.drain_client()
            case Ending.STALL:
                await connection.drain_client()
            case Ending.DEAF:
                await connection.stall()
            case Ending.RESET:
                connection.reset()
            case Ending.EOF:
                pass

    return script
