"""tornado's WebSocket client, made to work on a stream that we opened and to tell what it sees.

`tornado.websocket.websocket_connect` cannot be stopped while it connects, does not say why a connection ended, and
reads either one message at a time or without limit. The hooks of the client class that it makes change all of that.
"""

import asyncio
import base64
import errno
import hashlib
import socket
import ssl
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Protocol

from tornado.httpclient import HTTPRequest
from tornado.httputil import HTTPHeaders, RequestStartLine, ResponseStartLine
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream, SSLIOStream
from tornado.tcpclient import TCPClient
from tornado.websocket import WebSocketClientConnection, WebSocketProtocol13

from ._socket import acknowledge, corked
from ._target import check_answer
from .base import ConnectionOptions
from .errors import ConnectError, InvalidHandshake

# Above this many bytes, frames are written one by one: joining them would cost more than a system call.
_JOIN_LIMIT = 64 * 1024


class Stream(IOStream):
    """A stream that knows what it has read, and that can write several frames at once.

    Attributes:
        received: Bytes read so far.
        peer_closed: True once the peer has said that nothing more comes.
    """

    _BEGINNING = b"HTTP/"
    received = 0
    peer_closed = False
    _gathered: list[bytes | memoryview] | None = None

    def __init__(self, sock: socket.socket, max_buffer_size: int) -> None:
        super().__init__(sock, max_buffer_size=max_buffer_size)
        # What is only kept has been taken over at once.
        self._kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._kept.set_result(None)

    def read_from_fd(self, buf: bytearray | memoryview) -> int | None:
        """Read as the base class does."""
        size = super().read_from_fd(buf)
        if size:
            if self.received < len(self._BEGINNING):
                self._check_beginning(buf, size)
            self.received += size
            acknowledge(self.socket)
        elif size == 0:
            self.peer_closed = True
        return size

    def set_nodelay(self, value: bool) -> None:
        """Do nothing: small segments never wait. tornado would let them wait again once the upgrade request is sent."""

    def _check_beginning(self, buf: bytearray | memoryview, size: int) -> None:
        # tornado would wait for the end of the headers, which never comes from a peer that does not speak HTTP.
        expected = self._BEGINNING[self.received : self.received + size]
        if bytes(buf[: len(expected)]) != expected:
            # As when the peer resets the connection, which tornado does not log.
            raise ConnectionAbortedError(errno.ECONNABORTED, "the answer is not HTTP")

    def gather(self) -> None:
        """Keep what is written from now on."""
        self._gathered = []

    def scatter(self) -> "asyncio.Future[None]":
        """Write what was kept, in as few segments as possible; the future is that of the last write.

        Raises:
            StreamClosedError: If the stream is closed.
        """
        gathered, self._gathered = self._gathered or [], None
        if sum(map(len, gathered)) <= _JOIN_LIMIT:
            return self.write(b"".join(gathered))
        with corked(self.socket):
            return [self.write(data) for data in gathered][-1]

    def write(self, data: bytes | memoryview) -> "asyncio.Future[None]":
        """Write as the base class does, or keep the data if it is being gathered."""
        if self._gathered is None:
            return super().write(data)
        self._gathered.append(data)
        return self._kept


class SecureStream(Stream, SSLIOStream):
    """The same with TLS."""


async def start_tls(sock: socket.socket, context: ssl.SSLContext, host: str) -> ssl.SSLSocket:
    """Make the TLS handshake on a connected socket, which is closed if that fails; tornado's own would log that.

    Raises:
        OSError: If the handshake fails.
    """
    try:
        sock = secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
        while True:
            try:
                secure.do_handshake()
            except ssl.SSLWantReadError:
                await _ready(secure, IOLoop.READ)
            except ssl.SSLWantWriteError:
                await _ready(secure, IOLoop.WRITE)
            else:
                return secure
    except BaseException:
        sock.close()
        raise


async def _ready(sock: socket.socket, event: int) -> None:
    # asyncio's own way to wait for a socket is missing from one of Windows' event loops.
    io_loop = IOLoop.current()
    ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    io_loop.add_handler(sock, lambda *_: None if ready.done() else ready.set_result(None), event)
    try:
        await ready
    finally:
        io_loop.remove_handler(sock)


class Listener(Protocol):
    """Who is told what happens on an open connection."""

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        """Take a message; tornado reads no further before the result, if any, is done."""
        ...

    def on_pong(self) -> None:
        """Take note of a pong."""
        ...

    def on_end(self) -> None:
        """Take note that tornado has finished with the connection."""
        ...


class _SizeLimit(int):
    """A limit that remembers the size that went over it, which tornado does not tell."""

    exceeded_by: int | None = None

    def __lt__(self, size: int) -> bool:
        # Python asks this for `size > limit`, since the limit's class is derived from the size's.
        over = int(self) < size
        if over:
            self.exceeded_by = size
        return over


class _GivenStream(TCPClient):
    """Stands in for tornado's way to connect: gives a stream that is connected already."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def connect(self, *args: Any, **kwargs: Any) -> IOStream:
        """Give the stream."""
        return self._stream

    def close(self) -> None:
        """Do nothing: there is no resolver to close."""


class WireProtocol(WebSocketProtocol13):
    """Notes what tornado does about close frames.

    Attributes:
        answered: True once a close frame of the peer has been handled, be it one without a code.
    """

    answered = False

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Close as the base class does."""
        # client_terminated is set when a close frame has arrived and also when tornado drops the connection, but only
        # in the first case is the stream still open here.
        if self.client_terminated and not self.stream.closed():
            self.answered = True
        super().close(code, reason)
        # tornado would drop the connection after 5 s, but how long to wait for an answer is a setting here.
        waiting = getattr(self, "_waiting", None)
        if waiting is not None:
            self.stream.io_loop.remove_timeout(waiting)

    def write_message(self, message: str | bytes | dict[str, Any], binary: bool = False) -> "asyncio.Future[None]":
        """Write a message as one frame; the base class makes a task for each, to translate what the stream raises."""
        assert isinstance(message, bytes)
        self._message_bytes_out += len(message)
        return self._write_frame(True, 0x2 if binary else 0x1, message)

    async def _receive_frame_loop(self) -> None:
        # A close reason that is not UTF-8 escapes from tornado's loop, and tornado would log it as its own failure.
        with suppress(UnicodeDecodeError):
            await super()._receive_frame_loop()


class Client(WebSocketClientConnection):
    """One connection, on a connected stream. `connect_future` is done when it is open or has failed.

    Attributes:
        selected: The subprotocol that the server selected.
        wire: What handles the frames, once the connection is open. (tornado's own reference goes when it closes.)
        handshake: The task that makes the handshake, once it has started.
    """

    selected: str | None = None
    wire: WireProtocol | None = None
    handshake: "asyncio.Task[Any] | None" = None

    def __init__(
        self, options: ConnectionOptions, url: str, headers: HTTPHeaders, stream: Stream, listener: Listener
    ) -> None:
        self._url = url
        self._offered = options.subprotocols
        self._listener = listener
        self._limit = _SizeLimit(options.max_message_size)
        request = HTTPRequest(
            url,
            headers=headers,
            # Zero is no timeout: the caller has one for everything.
            connect_timeout=0,
            request_timeout=0,
            follow_redirects=False,
            decompress_response=False,
            # Not used, since the stream is given, but tornado would read the system's certificates for None.
            ssl_options={},
        )
        super().__init__(request, max_message_size=self._limit, subprotocols=list(options.subprotocols) or None)
        self.tcp_client = _GivenStream(stream)

    @property
    def too_big(self) -> int | None:
        """The size of the message that went over the limit, or None."""
        return self._limit.exceeded_by

    async def run(self) -> None:
        """Make the handshake, as the base class does."""
        self.handshake = asyncio.current_task()
        await super().run()

    async def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> None:
        """Check the answer to the upgrade request before tornado does: it would log its findings."""
        if not isinstance(start_line, ResponseStartLine) or (100 <= start_line.code < 200 and start_line.code != 101):
            return
        try:
            self.selected = check_answer(self._url, start_line.code, start_line.reason, headers, self._offered)
            self._check_upgrade(headers)
        except ConnectError as error:
            # With the stream taken away, tornado reads no body and has nobody to tell.
            self.final_callback = lambda response: None
            self.connection.detach()
            self._fail(error)
            return
        await super().headers_received(start_line, headers)

    def _check_upgrade(self, headers: HTTPHeaders) -> None:
        digest = hashlib.sha1(self.key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
        expected = {
            "Upgrade": "websocket",
            "Connection": "upgrade",
            "Sec-WebSocket-Accept": base64.b64encode(digest).decode("ascii"),
        }
        for name, value in expected.items():
            found = headers.get(name, "")
            if found != value and (name == "Sec-WebSocket-Accept" or found.lower() != value):
                raise InvalidHandshake(
                    f"{self._url} answered the WebSocket upgrade with a wrong {name} header ({found!r}): "
                    "is it a WebSocket server?",
                    url=self._url,
                )

    def _fail(self, error: Exception) -> None:
        if not self.connect_future.done():
            self.connect_future.set_exception(error)

    def get_websocket_protocol(self) -> WebSocketProtocol13:
        """Give tornado the protocol object to use."""
        self.wire = WireProtocol(self, mask_outgoing=True, params=self.params)
        return self.wire

    def on_message(self, message: str | bytes) -> Awaitable[None] | None:
        """Pass a message on."""
        return self._listener.on_message(message)

    def on_pong(self, data: bytes) -> None:
        """Pass a pong on."""
        self._listener.on_pong()

    def on_ws_connection_close(self, close_code: int | None = None, close_reason: str | None = None) -> None:
        """Pass on that the connection has ended."""
        self.close_code = close_code
        self.close_reason = close_reason
        self._listener.on_end()
