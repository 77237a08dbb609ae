"""A TCP proxy that does harm at a chosen point: between a client and a server, at any byte of any WebSocket frame.

It understands just enough of what passes to know where the head of an HTTP message ends and where frames begin. It has
a thread and a loop of its own, so that a blocking client can be tested as well.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from .live import DEADLINE, HOST, THREAD_PREFIX
from .sockets import set_reset_on_close

__all__ = ["Action", "Direction", "Fault", "FaultProxy", "Frame", "Position", "Splitter"]

_END_OF_HEAD = b"\r\n\r\n"
_CHUNK = 64 * 1024
# Linux only.
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
# Seconds for which DELAY holds what it delays: longer than a round trip takes here, and nothing depends on it.
_DELAY = 0.01


class Direction(enum.Enum):
    TO_SERVER = "client to server"
    TO_CLIENT = "server to client"


_OPPOSITE = {Direction.TO_SERVER: Direction.TO_CLIENT, Direction.TO_CLIENT: Direction.TO_SERVER}


class Position(enum.Enum):
    """How much of a frame has passed when the fault happens."""

    BEFORE = "before"
    FIRST_BYTE = "after one byte"
    HEADER = "before the header's last byte"
    PAYLOAD = "in the middle of the payload"
    AFTER = "after"


class Action(enum.Enum):
    """What happens at the point."""

    RESET = "both connections are reset"
    FIN = "both connections end in good order"
    STALL = "nothing more passes in this direction, until it is released"
    DELAY = "what follows is late"
    SPLIT = "the rest of the frame passes byte by byte"


@dataclass(frozen=True)
class Frame:
    """A WebSocket frame that has passed, or the head of an HTTP message, whose header is its first line.

    Attributes:
        phase: What the proxy was told that it is part of.
        direction: Where it went.
        number: How many frames of the phase had gone there before it.
        header: The size of its header in bytes.
        size: Its whole size in bytes.
    """

    phase: str
    direction: Direction
    number: int
    header: int
    size: int

    def offset(self, position: Position) -> int:
        """How many of its bytes come before a position."""
        match position:
            case Position.BEFORE:
                return 0
            case Position.FIRST_BYTE:
                return 1
            case Position.HEADER:
                return self.header - 1
            case Position.PAYLOAD:
                return self.header + (self.size - self.header) // 2
            case Position.AFTER:
                return self.size


@dataclass(frozen=True)
class Fault:
    """What shall happen, and where; phase, direction and number are those of a `Frame`."""

    phase: str
    direction: Direction
    number: int
    position: Position
    action: Action

    def __str__(self) -> str:
        place = f"{self.position.value} frame {self.number} of {self.phase!r}, {self.direction.value}"
        return f"{self.action.name} {place}"


class Splitter:
    """Finds the frames in a stream of bytes, which begins with the head of an HTTP message."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._in_head = True
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[tuple[int, int] | None, bytes]]:
        """Takes what has arrived.

        Returns:
            Pieces that do not cross the end of a frame, each with the sizes of header and frame if it begins one.
            A header is held back until it is complete.
        """
        self._held += data
        pieces: list[tuple[tuple[int, int] | None, bytes]] = []
        while self._held:
            sizes = None
            if not self._left:
                sizes = self._head_sizes() if self._in_head else self._frame_sizes()
                if sizes is None:
                    break
                self._in_head = False
                self._left = sizes[1]
            piece = bytes(self._held[: self._left])
            del self._held[: self._left]
            self._left -= len(piece)
            pieces.append((sizes, piece))
        return pieces

    def rest(self) -> bytes:
        """What was held back when the stream ended."""
        return bytes(self._held)

    def _head_sizes(self) -> tuple[int, int] | None:
        end = self._held.find(_END_OF_HEAD)
        return None if end < 0 else (self._held.find(b"\r\n") + 2, end + len(_END_OF_HEAD))

    def _frame_sizes(self) -> tuple[int, int] | None:
        if len(self._held) < 2:
            return None
        code = self._held[1] & 0x7F
        extension = {126: 2, 127: 8}.get(code, 0)
        header = 2 + extension + (4 if self._held[1] & 0x80 else 0)
        if len(self._held) < header:
            return None
        payload = int.from_bytes(self._held[2 : 2 + extension], "big") if extension else code
        return header, header + payload


class _Cut(Exception):
    """The fault has ended the link."""


class _Side:
    """Where one direction of a link writes to."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._ended = False

    async def write(self, data: bytes) -> None:
        """Passes bytes on; what comes after the end is thrown away."""
        if data and not self._ended:
            self._writer.write(data)
            await self._writer.drain()

    def end(self) -> None:
        """Says that nothing more comes. What comes from there is read on."""
        if not self._ended and not self._writer.transport.is_closing():
            self._ended = True
            with suppress(OSError):  # it has been reset, which reading from it says as well
                self._writer.write_eof()

    def acknowledge(self) -> None:
        """Acknowledges what was read from there: the servers' habit of waiting for that must not make tests slow."""
        if _QUICKACK is not None and not self._writer.transport.is_closing():
            self._writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        if not self._writer.transport.is_closing():
            set_reset_on_close(self._writer.get_extra_info("socket"))
        self._writer.transport.abort()


class _Link:
    """One client's connection, and the one to the server that was made for it."""

    def __init__(self, proxy: FaultProxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._sides = {Direction.TO_CLIENT: _Side(client), Direction.TO_SERVER: _Side(server)}

    async def run(self, from_client: asyncio.StreamReader, from_server: asyncio.StreamReader) -> None:
        in_good_order = False
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(from_client, Direction.TO_SERVER))
                group.create_task(self._pump(from_server, Direction.TO_CLIENT))
            in_good_order = True
        except* (_Cut, ConnectionError):
            pass  # what has reset one side resets the other
        finally:
            for side in self._sides.values():
                if in_good_order:
                    side.close()
                else:
                    side.reset()

    async def _pump(self, reader: asyncio.StreamReader, direction: Direction) -> None:
        side, splitter = self._sides[direction], Splitter()
        fault: Fault | None = None
        until = 0  # how much of the current frame passes before the fault
        while data := await reader.read(_CHUNK):
            self._sides[_OPPOSITE[direction]].acknowledge()
            for sizes, piece in splitter.feed(data):
                await self._proxy.unblocked()
                if sizes is not None:
                    fault, until = self._proxy.passing(direction, *sizes)
                if fault is None or len(piece) < until:
                    await side.write(piece)
                    until -= len(piece)
                else:
                    await side.write(piece[:until])
                    await self._act(fault, side, piece[until:])
                    fault = None
        await side.write(splitter.rest())
        side.end()

    async def _act(self, fault: Fault, side: _Side, rest: bytes) -> None:
        released = self._proxy.happens(fault)
        match fault.action:
            case Action.RESET:
                raise _Cut
            case Action.FIN:
                for either in self._sides.values():
                    either.end()
            case Action.STALL:
                await released.wait()
            case Action.DELAY:
                await asyncio.sleep(_DELAY)
            case Action.SPLIT:
                for byte in rest:
                    await side.write(bytes([byte]))
                    await asyncio.sleep(0)
                return
        await side.write(rest)


class FaultProxy:
    """Listens between `with` and the end of the block and passes everything on, but for one fault at a time.

    Any thread may call.

    Args:
        target: The port of the server.

    Attributes:
        happened: Set once the fault has happened.
        frames: What has passed, or has begun to, since `arm` was called.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._fault: Fault | None = None
        self._phase = ""
        self._passed: Counter[tuple[str, Direction]] = Counter()
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name=f"{THREAD_PREFIX}-proxy", daemon=True)
        self._links: set[asyncio.Task[None]] = set()
        self._released = asyncio.Event()
        self.happened = threading.Event()
        self.frames: list[Frame] = []
        self.port = 0

    def url(self, path: str = "/") -> str:
        return f"http://{HOST}:{self.port}{path}"

    def websocket_url(self, path: str = "/") -> str:
        return f"ws://{HOST}:{self.port}{path.rstrip('/')}/ws"

    def arm(self, fault: Fault | None) -> None:
        """Sets the fault that shall happen, once, lets everything pass and counts frames from none again."""
        self.frames = []
        self._passed.clear()
        self.happened.clear()
        self.release()
        self.unblock()
        self._fault = fault

    def enter(self, phase: str) -> None:
        """Says what the frames that begin from now on are part of."""
        self._phase = phase

    def wait(self) -> None:
        """Waits until the fault has happened."""
        assert self.happened.wait(DEADLINE), "the exchange never came to the fault"

    def release(self) -> None:
        """Lets go on what is stalled."""
        self._call(self._release)

    def block(self) -> None:
        """Passes nothing more on, in no direction, on no connection, as when a cable is pulled."""
        self._call(self._open.clear)

    def unblock(self) -> None:
        """Passes on what has waited since `block`."""
        self._call(self._open.set)

    def retarget(self, target: int) -> None:
        """Sends connections that are made from now on to another port."""
        self._target = target

    def drop(self) -> None:
        """Resets all connections; returns when they are gone."""
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result(DEADLINE)

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._started.result(DEADLINE)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._call(self._stop.set)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the proxy's thread has not ended"

    def passing(self, direction: Direction, header: int, size: int) -> tuple[Fault | None, int]:
        """Takes note of a frame; returns its fault and where in it that happens. For the proxy's own links."""
        phase = self._phase
        number = self._passed[phase, direction]
        self._passed[phase, direction] += 1
        frame = Frame(phase, direction, number, header, size)
        self.frames.append(frame)
        fault = self._fault
        if fault is None or (fault.phase, fault.direction, fault.number) != (phase, direction, number):
            return None, 0
        return fault, frame.offset(fault.position)

    def happens(self, fault: Fault) -> asyncio.Event:
        """Takes note that a fault happens; returns what ends a stall. For the proxy's own links."""
        self._fault = None
        self.happened.set()
        return self._released

    async def unblocked(self) -> None:
        """Waits while everything is blocked. For the proxy's own links."""
        await self._open.wait()

    def _call(self, function: Callable[[], None]) -> None:
        """Runs a function on the proxy's loop; returns when it has run."""

        async def run() -> None:
            function()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(DEADLINE)

    def _release(self) -> None:
        released, self._released = self._released, asyncio.Event()
        released.set()

    async def _drop(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            link = self._loop.create_task(self._serve(reader, writer))
            self._links.add(link)
            link.add_done_callback(self._links.discard)

        listener = await asyncio.start_server(connected, HOST, 0)
        self._started.set_result(listener.sockets[0].getsockname()[1])
        await self._stop.wait()
        listener.close()
        await self._drop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection(HOST, self._target)
        except BaseException as error:
            _Side(writer).reset()
            if isinstance(error, OSError):
                return  # the server is not there, which the client is told by a reset
            raise
        for either in (writer, to_server):
            either.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await _Link(self, writer, to_server).run(reader, from_server)
