"""The aiohttp transport: ``pip install 'bokehwire[aiohttp]'``."""

import asyncio
import re
import struct
import sys
from collections.abc import Coroutine, Sequence
from contextlib import nullcontext, suppress
from typing import Any, cast

import aiohttp

from ._aiohttp_client import LostError, Opened, RefusedError, open_connection, wait_closed
from ._connection import LibraryWebSocket, Message
from ._socket import acknowledge, corked
from ._target import parse_target
from .base import ConnectionOptions, WebSocket
from .errors import ConnectError, ConnectTimeout, InvalidHandshake, MessageTooBig, WebSocketViolation

_SIZE = re.compile(r"Message size (\d+) exceeds")


class AiohttpTransport:
    """WebSocket connections over aiohttp, on whatever asyncio loop is running."""

    async def connect(self, options: ConnectionOptions) -> WebSocket:
        """See `Transport.connect`."""
        target = parse_target(options.url)
        try:
            async with asyncio.timeout(options.connect_timeout):
                return _AiohttpWebSocket(options, await open_connection(options, target))
        except ConnectError:
            raise
        except TimeoutError as error:
            raise ConnectTimeout.after(target.url, options.connect_timeout) from error
        except aiohttp.WSServerHandshakeError as error:
            raise InvalidHandshake(
                f"{target.url} answered the WebSocket upgrade wrongly ({error.message}): is it a WebSocket server?",
                url=target.url,
            ) from error
        except aiohttp.ClientConnectorError as error:
            raise ConnectError(f"cannot connect to {target.url}: {error.os_error}", url=target.url) from error
        except RefusedError as error:
            raise error.error from None
        except (aiohttp.ClientError, LostError) as error:
            raise InvalidHandshake.no_answer(target.url) from error
        except OSError as error:
            raise ConnectError(f"cannot connect to {target.url}: {error}", url=target.url) from error


class _AiohttpWebSocket(LibraryWebSocket):
    """A connection of aiohttp's WebSocket client."""

    def __init__(self, options: ConnectionOptions, opened: Opened) -> None:
        super().__init__(options)
        self._connection, self._response, self._transport, self._socket, self._subprotocol = opened
        self._tasks: set[asyncio.Task[None]] = set()
        self._pong: asyncio.Task[None] | None = None
        self._pump = self._loop.create_task(self._read())
        self._start_pings()

    async def _read(self) -> None:
        try:
            while await self._take(await self._connection.receive()):
                if not self._socket.received:
                    # uvloop reads without asking the socket object.
                    acknowledge(self._socket)
        except Exception as error:
            self._finish_lost(error)
        finally:
            self._drop()

    async def _take(self, message: aiohttp.WSMessage) -> bool:
        """Handle what aiohttp gives; return whether more can come."""
        kind = message.type
        if kind in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            room = self._arrived(message.data)
            if room is not None:
                await room
            return True
        if kind == aiohttp.WSMsgType.PING:
            self._answer(message.data)
            return True
        if kind == aiohttp.WSMsgType.PONG:
            self._heard()
            return True
        if kind == aiohttp.WSMsgType.CLOSE:
            # aiohttp gives 0 for a close frame without a code.
            code = message.data or None
            answer = self._goodbye is None
            self._finish_closed(code, message.extra or "")
            if answer:
                async with asyncio.timeout(self._options.close_timeout):
                    await self._send_close(code, "")
        elif kind == aiohttp.WSMsgType.ERROR and isinstance(message.data, aiohttp.WebSocketError):
            self._finish_broken(message.data)
        else:
            self._finish_lost(None)
        return False

    def _finish_broken(self, error: aiohttp.WebSocketError) -> None:
        limit = self._options.max_message_size
        size = _SIZE.search(str(error))
        if error.code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
            self._finish(MessageTooBig(limit=limit, size=int(size[1]) if size else None))
        else:
            self._finish(WebSocketViolation(reason=str(error)))

    def _answer(self, data: bytes) -> None:
        # A peer that pings faster than it reads must not make us wait, or keep many answers; a later ping is enough.
        if self._pong is None or self._pong.done():
            self._pong = self._start(self._connection.pong(data))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start one of aiohttp's coroutines, as early as Python can; its outcome does not matter."""
        task: asyncio.Task[None]
        if sys.version_info >= (3, 12):
            task = asyncio.Task(coroutine, loop=self._loop, eager_start=True)
        else:
            task = self._loop.create_task(coroutine)
        if not task.done():
            self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    def _progress(self) -> int:
        return self._socket.received

    def _write(self, messages: Sequence[Message]) -> "asyncio.Future[None] | None":
        task = self._start(self._write_all(messages))
        if task.done() and task.exception() is None:
            return None
        written: asyncio.Future[None] = self._loop.create_future()
        task.add_done_callback(lambda task: self._settle(written, task))
        return written

    async def _write_all(self, messages: Sequence[Message]) -> None:
        # Runs to its end whatever becomes of the sender: half a message would be worse than none.
        with corked(self._socket) if len(messages) > 1 else nullcontext():
            for binary, data in messages:
                kind = aiohttp.WSMsgType.BINARY if binary else aiohttp.WSMsgType.TEXT
                await self._connection.send_frame(cast(bytes, data), kind)
        if self._transport.is_closing():
            raise ConnectionError("the connection is closed")

    def _send_ping(self) -> None:
        self._start(self._connection.ping())

    async def _say_goodbye(self, code: int, reason: str) -> None:
        with suppress(ConnectionError):
            await self._send_close(code, reason)
        await asyncio.wait({self._pump})

    async def _send_close(self, code: int | None, reason: str) -> None:
        payload = b"" if code is None else struct.pack("!H", code) + reason.encode()
        await self._connection.send_frame(payload, aiohttp.WSMsgType.CLOSE)

    def _drop(self) -> None:
        if self._loop.is_closed():
            self._socket.close()
            return
        self._drop_socket()

    def _drop_socket(self) -> None:
        self._response.close()
        self._transport.abort()

    async def _released(self) -> None:
        await super()._released()
        await asyncio.wait({self._pump, *self._tasks})
        await wait_closed([self._socket])
