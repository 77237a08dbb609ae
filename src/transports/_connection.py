"""What every built-in WebSocket does alike: the inbox, turns to send, pings, closing.

A subclass connects this to one library: it feeds `_arrived`, `_heard` and `_finish` from the library's callbacks and
says how to write, ping, say goodbye and drop the connection.
"""

import asyncio
import copy
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import TypeAlias

from .base import ConnectionOptions, Frame, OutgoingFrame
from .errors import ConnectionClosed, WebSocketViolation

READ_AHEAD = 1024 * 1024
"""How many bytes of messages may wait for `receive` before the transport stops reading from its socket.

A message counts `_OVERHEAD` bytes more than its length. The last one may go over the limit, and the library's own
buffers (about 64 KiB with tornado, 192 KiB with aiohttp) and the kernel's come on top. From then on TCP's flow control
holds back the peer.
"""
# What a message costs beside its payload, so that a flood of empty ones is limited too.
_OVERHEAD = 100

Message: TypeAlias = tuple[bool, bytes | bytearray | memoryview]
"""A WebSocket message to send: whether it is binary, and its payload."""


class LibraryWebSocket(ABC):
    """A `WebSocket` over a library's connection object."""

    def __init__(self, options: ConnectionOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._subprotocol: str | None = None
        self._inbox: deque[Frame] = deque()
        self._inbox_size = 0
        self._receiver: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._turn = asyncio.Lock()
        self._ended: ConnectionClosed | None = None
        self._goodbye: tuple[int, str] | None = None
        self._over = asyncio.Event()
        self._alive = False
        self._last_progress = 0
        self._pinger: asyncio.Task[None] | None = None

    @property
    def subprotocol(self) -> str | None:
        """See `WebSocket.subprotocol`."""
        return self._subprotocol

    @property
    def close_code(self) -> int | None:
        """See `WebSocket.close_code`."""
        return None if self._ended is None else self._ended.code

    @property
    def close_reason(self) -> str:
        """See `WebSocket.close_reason`."""
        return "" if self._ended is None else self._ended.reason

    async def send(self, frames: Sequence[OutgoingFrame]) -> None:
        """See `WebSocket.send`."""
        messages = [_as_message(frame) for frame in frames]
        await self._turn.acquire()
        written: asyncio.Future[None] | None = None
        try:
            self._check_open()
            if messages:
                written = self._write(messages)
        finally:
            if written is None:
                self._turn.release()
        if written is None:
            return
        # Whatever becomes of this call, the next message has to wait until this one is out of the way.
        written.add_done_callback(self._end_turn)
        await asyncio.shield(written)

    def _end_turn(self, written: "asyncio.Future[None]") -> None:
        self._turn.release()

    def _check_open(self) -> None:
        if self._ended is not None:
            raise self._again(self._ended)
        if self._goodbye is not None:
            code, reason = self._goodbye
            raise ConnectionClosed("the WebSocket connection is being closed", code=code, reason=reason)

    @staticmethod
    def _again(error: ConnectionClosed) -> ConnectionClosed:
        # One exception object raised many times would collect all their tracebacks.
        fresh = copy.copy(error)
        fresh.__cause__ = error.__cause__
        return fresh

    async def receive(self) -> list[Frame]:
        """See `WebSocket.receive`."""
        if self._receiver is not None:
            raise RuntimeError("another receive() of this connection is waiting already")
        while not self._inbox:
            if self._ended is not None:
                raise self._again(self._ended)
            self._receiver = self._loop.create_future()
            try:
                await self._receiver
            finally:
                self._receiver = None
        frames = list(self._inbox)
        self._inbox.clear()
        self._inbox_size = 0
        self._make_room()
        return frames

    def _arrived(self, frame: Frame) -> "asyncio.Future[None] | None":
        """Take a message from the library. If a future is returned, the library must not read on until it is done."""
        self._alive = True
        if self._goodbye is not None or self._ended is not None:
            return None
        self._inbox.append(frame)
        self._inbox_size += len(frame) + _OVERHEAD
        self._wake_receiver()
        if self._inbox_size < READ_AHEAD:
            return None
        if self._room is None:
            self._room = self._loop.create_future()
        return self._room

    def _heard(self) -> None:
        """Note that the peer has answered a ping."""
        self._alive = True

    def _wake_receiver(self) -> None:
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
            # The peer could not be heard until now.
            self._alive = True

    def _finish(self, error: ConnectionClosed) -> None:
        """Note how the connection ended; the first one counts."""
        if self._ended is not None:
            return
        self._ended = error
        self._make_room()
        self._wake_receiver()
        if self._pinger is not None:
            self._pinger.cancel()

    def _finish_closed(self, code: int | None, reason: str) -> None:
        """Note that the peer's close frame arrived, with the code and reason that it had.

        The built-in servers of Bokeh 3 close with 10000 and 10001, so codes above the range of RFC 6455 are reported.
        """
        if self._goodbye is not None:
            code, reason = self._goodbye
        elif code is None:
            code = 1005
        elif code < 3000 and code not in _DEFINED_CODES:
            self._finish(WebSocketViolation(reason=f"it closed with code {code}, which is not allowed"))
            return
        self._finish(ConnectionClosed(code=code, reason=reason, clean=True))

    def _finish_lost(self, cause: BaseException | None) -> None:
        """Note that the connection ended without a close frame."""
        reason = "the connection was lost without a closing handshake"
        error = ConnectionClosed(reason=f"{reason}: {cause}" if cause is not None else reason)
        error.__cause__ = cause
        self._finish(error)

    def _lost_sending(self, cause: BaseException) -> ConnectionClosed:
        """Give what to raise when a write has failed: how the connection ended, as far as that is known by now."""
        if self._ended is not None:
            return self._again(self._ended)
        return ConnectionClosed(reason=f"the connection was lost while sending: {cause}")

    def _settle(self, written: "asyncio.Future[None]", outcome: "asyncio.Future[None]") -> None:
        """Pass the outcome of a library's write on."""
        if written.done():
            return
        error = None if outcome.cancelled() else outcome.exception()
        if outcome.cancelled() or error is not None:
            written.set_exception(self._lost_sending(error or ConnectionError("aborted")))
            # Nobody is there to see it if the sender was cancelled.
            written.exception()
        else:
            written.set_result(None)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """See `WebSocket.close`."""
        if not 1000 <= code <= 4999 or code in (1004, 1005, 1006, 1015):
            raise ValueError(f"{code} is not a close code that may be sent")
        if len(reason.encode()) > 123:
            raise ValueError("the reason for closing is longer than 123 bytes of UTF-8")
        if self._goodbye is not None:
            await self._over.wait()
            return
        self._goodbye = (code, reason)
        # What is waiting for room is not going to be received any more.
        self._make_room()
        try:
            if self._ended is None:
                async with asyncio.timeout(self._options.close_timeout):
                    async with self._turn:
                        if self._ended is None:
                            await self._say_goodbye(code, reason)
        except TimeoutError:
            self._finish(ConnectionClosed(reason=f"no closing handshake within {self._options.close_timeout} s"))
        finally:
            self.abort()
            try:
                await self._released()
            finally:
                self._over.set()

    def abort(self) -> None:
        """See `WebSocket.abort`."""
        if self._loop.is_closed():  # nobody waits there any more
            self._drop()
            return
        self._finish(ConnectionClosed(reason="aborted by this side"))
        self._drop()

    def _start_pings(self) -> None:
        interval = self._options.ping_interval
        if interval is not None:
            self._pinger = self._loop.create_task(self._ping(interval, self._options.ping_timeout or interval))

    async def _ping(self, interval: float, timeout: float) -> None:
        ping_at = self._loop.time() + interval
        give_up_at = math.inf
        while True:
            await asyncio.sleep(min(ping_at, give_up_at) - self._loop.time())
            now = self._loop.time()
            if self._has_signs_of_life():
                give_up_at = math.inf
            if now >= give_up_at:
                break
            if now >= ping_at:
                self._send_ping()
                ping_at = now + interval
                give_up_at = min(give_up_at, now + timeout)
        self._pinger = None
        self._finish(ConnectionClosed(reason=f"ping timeout: nothing arrived within {timeout:g} s after a ping"))
        self._drop()

    def _has_signs_of_life(self) -> bool:
        """Say whether the peer was heard since the last call, or could not be, because we do not read."""
        alive, self._alive = self._alive, False
        progress, self._last_progress = self._last_progress, self._progress()
        # A large message that is on its way keeps a pong waiting.
        return alive or self._room is not None or self._last_progress != progress

    @abstractmethod
    def _progress(self) -> int:
        """Give a number that changes when bytes arrive."""

    @abstractmethod
    def _write(self, messages: Sequence[Message]) -> "asyncio.Future[None] | None":
        """Write messages in one go, or start to; the future, if any, is done when the next ones may be written.

        Raises:
            ConnectionClosed: If the connection was found to be lost; the future may fail with it as well.
        """

    @abstractmethod
    def _send_ping(self) -> None:
        """Send a ping without waiting."""

    @abstractmethod
    async def _say_goodbye(self, code: int, reason: str) -> None:
        """Send a close frame and wait until the library has finished with the connection."""

    @abstractmethod
    def _drop(self) -> None:
        """Close the socket without waiting. Can be called again."""

    async def _released(self) -> None:
        """Wait until nothing is left of the dropped connection."""
        if self._pinger is not None:
            await asyncio.wait({self._pinger})


def _as_message(frame: OutgoingFrame) -> Message:
    if isinstance(frame, str):
        return False, frame.encode()
    if isinstance(frame, memoryview):
        return True, frame.cast("B")
    if isinstance(frame, bytes | bytearray):
        return True, frame
    raise TypeError(f"a frame must be str, bytes, bytearray or memoryview, not {type(frame).__name__}")


_DEFINED_CODES = frozenset({*range(1000, 1004), *range(1007, 1015)})
