"""The default transport: tornado, which every Bokeh installation has."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from tornado.httpclient import HTTPClientError
from tornado.httputil import HTTPHeaders
from tornado.iostream import StreamClosedError, UnsatisfiableReadError
from tornado.websocket import WebSocketClosedError

from ._connection import LibraryWebSocket, Message
from ._socket import default_ssl_context, look_up, open_socket
from ._target import Target, parse_target
from ._tornado_client import Client, SecureStream, Stream, start_tls
from .base import ConnectionOptions, WebSocket
from .errors import (
    ConnectError,
    ConnectTimeout,
    InvalidHandshake,
    MessageTooBig,
    WebSocketViolation,
)


class TornadoTransport:
    """WebSocket connections over tornado, on whatever asyncio loop is running."""

    async def connect(self, options: ConnectionOptions) -> WebSocket:
        """See `Transport.connect`."""
        target = parse_target(options.url)
        try:
            async with asyncio.timeout(options.connect_timeout):
                return await _connect(options, target)
        except ConnectError:
            raise
        except TimeoutError as error:
            raise ConnectTimeout.after(target.url, options.connect_timeout) from error
        except OSError as error:
            raise ConnectError(f"cannot connect to {target.url}: {error}", url=target.url) from error


async def _connect(options: ConnectionOptions, target: Target) -> WebSocket:
    socket = _TornadoWebSocket(options, target, await _open_stream(options, target))
    try:
        await socket.upgrade()
    except BaseException:
        socket.abort()
        await socket._released()
        raise
    return socket


async def _open_stream(options: ConnectionOptions, target: Target) -> Stream:
    sock = await open_socket(await look_up(target.host, target.port))
    # What arrives is collected in the stream's buffer until the frame is complete.
    max_buffer_size = options.max_message_size + 1024 * 1024
    if not target.secure:
        return Stream(sock, max_buffer_size=max_buffer_size)
    secure = await start_tls(sock, options.ssl_context or default_ssl_context(), target.host)
    return SecureStream(secure, max_buffer_size=max_buffer_size)


class _TornadoWebSocket(LibraryWebSocket):
    """A connection of tornado's WebSocket client."""

    def __init__(self, options: ConnectionOptions, target: Target, stream: Stream) -> None:
        super().__init__(options)
        self._target = target
        self._stream = stream
        self._gone = asyncio.Event()
        headers = HTTPHeaders({"User-Agent": "bokehwire", **target.headers, **options.headers})
        self._client = Client(options, target.url, headers, stream, self)

    async def upgrade(self) -> None:
        """Make the WebSocket handshake."""
        try:
            await self._client.connect_future
        except ConnectError:
            raise
        except (OSError, HTTPClientError, UnsatisfiableReadError) as error:  # the last one: no end of the headers
            raise InvalidHandshake.no_answer(self._target.url) from error
        self._subprotocol = self._client.selected
        self._start_pings()

    def on_message(self, message: str | bytes) -> "asyncio.Future[None] | None":
        """Take a message from tornado."""
        return self._arrived(message)

    def on_pong(self) -> None:
        """Take a pong from tornado."""
        self._heard()

    def on_end(self) -> None:
        """Find out how the connection ended, and let go of it."""
        client = self._client
        if client.too_big is not None:
            self._finish(MessageTooBig(limit=self._options.max_message_size, size=client.too_big))
        elif client.wire is not None and client.wire.answered:
            self._finish_closed(client.close_code, client.close_reason or "")
        elif self._stream.peer_closed or self._stream.error is not None:
            self._finish_lost(self._stream.error)
        else:
            # Nobody else closed the stream, so tornado did, and it does that for these reasons only.
            self._finish(WebSocketViolation(reason="it sent an invalid frame, or text that is not UTF-8"))
        # Only now: while tornado is at work this would start a timer.
        client.close()
        self._gone.set()

    def _progress(self) -> int:
        return self._stream.received

    def _write(self, messages: Sequence[Message]) -> "asyncio.Future[None] | None":
        stream = self._stream
        try:
            stream.gather()
            for binary, data in messages:
                self._client.write_message(bytes(data), binary=binary)
            sent = stream.scatter()
        except (StreamClosedError, WebSocketClosedError) as error:
            raise self._lost_sending(error) from error
        if not stream.writing() and not stream.closed():
            return None
        written: asyncio.Future[None] = self._loop.create_future()
        sent.add_done_callback(lambda _: self._settle(written, sent))
        return written

    def _send_ping(self) -> None:
        with suppress(StreamClosedError, WebSocketClosedError):
            self._client.ping()

    async def _say_goodbye(self, code: int, reason: str) -> None:
        self._client.close(code, reason)
        await self._gone.wait()

    def _drop(self) -> None:
        if not self._loop.is_closed():
            self._stream.close()
        elif self._stream.socket is not None:
            self._stream.socket.close()

    async def _released(self) -> None:
        await super()._released()
        if self._client.wire is not None:
            await self._gone.wait()
        if self._client.handshake is not None and not self._client.handshake.done():
            await asyncio.wait({self._client.handshake})
