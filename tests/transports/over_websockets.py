"""A transport over the `websockets` library, written as a third party would write one: from the contract alone.

It is no part of the package. Pings, which `TransportConformance` does not look at, are left out.
"""

from __future__ import annotations

import asyncio
import copy
import ipaddress
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from bokehwire.transports import (
    ConnectError,
    ConnectionClosed,
    ConnectionOptions,
    ConnectTimeout,
    Frame,
    HandshakeRefused,
    InvalidHandshake,
    InvalidURL,
    MessageTooBig,
    OutgoingFrame,
    WebSocketViolation,
    WrongSubprotocol,
)

READ_AHEAD = 1024 * 1024


class Socket(asyncio.Protocol):
    """One connection: asyncio's bytes on one side, the library's frames on the other."""

    def __init__(self, options: ConnectionOptions) -> None:
        offered = [Subprotocol(name) for name in options.subprotocols]
        self._options = options
        self._library = ClientProtocol(
            parse_uri(options.url), subprotocols=offered or None, max_size=options.max_message_size
        )
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gone = asyncio.Event()
        self._over = asyncio.Event()
        self._turn = asyncio.Lock()
        self._drained: asyncio.Future[None] | None = None
        self._is_full = False
        self._inbox: deque[Frame] = deque()
        self._size = 0
        self._parts: list[bytes] = []
        self._is_text = False
        self._receiver: asyncio.Future[None] | None = None
        self._goodbye: tuple[int, str] | None = None
        self._ended: ConnectionClosed | None = None
        self.subprotocol: str | None = None

    @property
    def close_code(self) -> int | None:
        return None if self._ended is None else self._ended.code

    @property
    def close_reason(self) -> str:
        return "" if self._ended is None else self._ended.reason

    async def send(self, frames: Sequence[OutgoingFrame]) -> None:
        messages = [self.encoded(frame) for frame in frames]
        await self._turn.acquire()
        try:
            self._check_open()
            for text, data in messages:
                (self._library.send_text if text else self._library.send_binary)(data)
            self._flush()
        except BaseException:
            self._turn.release()
            raise
        if not self._is_full:
            self._turn.release()
            return
        self._drained = asyncio.get_running_loop().create_future()
        # Whatever becomes of this call, the next one has to wait.
        self._drained.add_done_callback(lambda _: self._turn.release())
        await self.drained(self._drained)

    async def drained(self, written: asyncio.Future[None]) -> None:
        await asyncio.shield(written)

    @staticmethod
    def encoded(frame: OutgoingFrame) -> tuple[bool, bytes]:
        if isinstance(frame, str):
            return True, frame.encode()
        if isinstance(frame, memoryview):
            return False, bytes(frame.cast("B"))
        if isinstance(frame, bytes | bytearray):
            return False, bytes(frame)
        raise TypeError(f"a frame must be str, bytes, bytearray or memoryview, not {type(frame).__name__}")

    def _check_open(self) -> None:
        if self._ended is not None:
            raise self.again(self._ended)
        if self._goodbye is not None:
            raise ConnectionClosed(code=self._goodbye[0], reason=self._goodbye[1])

    def again(self, ended: ConnectionClosed) -> ConnectionClosed:
        return copy.copy(ended)

    async def receive(self) -> list[Frame]:
        self.check_receiver()
        while not self._inbox:
            if self._ended is not None:
                raise self.again(self._ended)
            self._receiver = asyncio.get_running_loop().create_future()
            try:
                await self._receiver
            finally:
                self._receiver = None
        frames = self.taken()
        self._resume()
        return frames

    def check_receiver(self) -> None:
        if self._receiver is not None:
            raise RuntimeError("another receive() is waiting already")

    def taken(self) -> list[Frame]:
        frames = list(self._inbox)
        self._inbox.clear()
        self._size = 0
        return frames

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.check_close(code, reason)
        if self._goodbye is not None:
            await self._over.wait()
            return
        self._goodbye = (code, reason)
        self._resume()
        try:
            if self._ended is None:
                async with asyncio.timeout(self._options.close_timeout):
                    await self.say_goodbye(code, reason)
                    await self._gone.wait()
        except TimeoutError:
            self._finish(ConnectionClosed(reason="no closing handshake in time"))
        finally:
            self.abort()
            await self._gone.wait()
            self._over.set()

    def check_close(self, code: int, reason: str) -> None:
        if not 1000 <= code <= 4999 or code in (1004, 1005, 1006, 1015):
            raise ValueError(f"{code} is not a close code that may be sent")
        if len(reason.encode()) > 123:
            raise ValueError("the reason is longer than 123 bytes")

    async def say_goodbye(self, code: int, reason: str) -> None:
        async with self._turn:
            if self._ended is None and self._library.state is State.OPEN:
                self._library.send_close(code, reason)
                self._flush()

    def abort(self) -> None:
        self._finish(ConnectionClosed(reason="aborted by this side"))
        if self._transport is not None:
            self._transport.abort()
        else:
            self._gone.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        request = self._library.connect()
        request.headers.update(self._options.headers)
        self._library.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._library.receive_data(data)
        self._process()

    def eof_received(self) -> None:
        self._library.receive_eof()
        self._process()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(ConnectionClosed(reason="the connection was lost"))
        if not self.opened.done():
            self._refuse(InvalidHandshake.no_answer(self._options.url))
        self._gone.set()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _flush(self) -> None:
        assert self._transport is not None
        # asyncio's writelines() does not tell a full buffer in every Python.
        if data := b"".join(self._library.data_to_send()):
            self._transport.write(data)

    def _process(self) -> None:
        for event in self._library.events_received():
            if isinstance(event, Response):
                self._answered(event)
            elif isinstance(event, WireFrame):
                self._take(event)
        assert self._transport is not None
        if self._transport.is_closing():
            return
        self._flush()
        if (fault := self._library.parser_exc) is not None and self._library.close_rcvd is None:
            self._finish(self._fault(fault))
        elif (closed := self._library.close_rcvd) is not None:
            code, reason = self._goodbye or (closed.code, closed.reason)
            self._finish(ConnectionClosed(code=code, reason=reason, clean=True))
        if self._ended is not None:
            self._transport.close()

    def _fault(self, fault: Exception) -> ConnectionClosed:
        if isinstance(fault, PayloadTooBig):
            return MessageTooBig(limit=self._options.max_message_size)
        if isinstance(fault, EOFError):
            return ConnectionClosed(reason="the connection was lost")
        return WebSocketViolation(reason=str(fault))

    def _answered(self, response: Response) -> None:
        if self.opened.done():
            return
        error = self.refusal(response)
        if error is None:
            self.subprotocol = response.headers.get("Sec-WebSocket-Protocol")
            self.opened.set_result(None)
        else:
            self._refuse(error)

    def _refuse(self, error: ConnectError) -> None:
        self.opened.set_exception(error)
        self.opened.exception()  # nobody is there to see it if connecting was cancelled

    def refusal(self, response: Response) -> ConnectError | None:
        url, selected = self._options.url, response.headers.get("Sec-WebSocket-Protocol")
        if response.status_code != 101:
            told = f"{url} answered HTTP {response.status_code}"
            return HandshakeRefused(told, url=url, status=response.status_code, reason=response.reason_phrase)
        if selected not in (self._options.subprotocols or (None,)):
            return WrongSubprotocol(f"{url} selected {selected!r}", url=url, selected=selected)
        fault = self._library.handshake_exc
        return None if fault is None else InvalidHandshake(f"{url}: {fault}", url=url)

    def _take(self, frame: WireFrame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text, self._parts = frame.opcode is Opcode.TEXT, []
        elif frame.opcode is not Opcode.CONT:
            return
        self._parts.append(bytes(frame.data))
        if frame.fin and self._goodbye is None and self._ended is None:
            data = b"".join(self._parts)
            try:
                self.arrived(data.decode() if self._is_text else data)
            except UnicodeDecodeError:
                self._library.fail(1007, "text that is not UTF-8")

    def arrived(self, frame: Frame) -> None:
        self._inbox.append(frame)
        self._size += len(frame) + 100
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)
        if self.is_ahead():
            assert self._transport is not None
            self._transport.pause_reading()

    def is_ahead(self) -> bool:
        return self._size >= READ_AHEAD

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _finish(self, error: ConnectionClosed) -> None:
        if self._ended is None:
            self._ended = error
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(self.again(self._ended))
            self._drained.exception()  # nobody is there to see it if the sender was cancelled


class WebsocketsTransport:
    """Makes connections by the `websockets` library."""

    socket = Socket

    async def connect(self, options: ConnectionOptions) -> Any:
        host, port = checked(options.url)
        socket = self.socket(options)
        try:
            async with asyncio.timeout(options.connect_timeout):
                await self.open(socket, host, port, options)
                await socket.opened
        except TimeoutError as error:
            await self.failed(socket)
            raise ConnectTimeout.after(options.url, options.connect_timeout) from error
        except ConnectError:
            await self.failed(socket)
            raise
        except OSError as error:
            await self.failed(socket)
            raise ConnectError(f"cannot connect to {options.url}: {error}", url=options.url) from error
        except BaseException:
            self.interrupted(socket)
            raise
        return socket

    def interrupted(self, socket: Socket) -> None:
        socket.abort()

    async def open(self, socket: Socket, host: str, port: int, options: ConnectionOptions) -> None:
        secure = options.url.startswith("wss:")
        await asyncio.get_running_loop().create_connection(
            lambda: socket, host, port, ssl=(options.ssl_context or True) if secure else None
        )

    async def failed(self, socket: Socket) -> None:
        with suppress(ConnectError):
            socket.abort()
            await socket._gone.wait()


def checked(url: str) -> tuple[str, int]:
    """The host and port of a URL that can be used."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in ("ws", "wss") or not host or port == 0 or parts.fragment:
            raise ValueError("it is not ws://host:port/path")
        if any(char <= " " for char in url):
            raise ValueError("it has spaces or control characters")
        if ":" in host:
            ipaddress.ip_address(host)
        elif host.replace(".", "").isdigit():
            ipaddress.IPv4Address(host)
        else:
            host.encode("idna")
    except ValueError as error:
        raise InvalidURL(f"cannot connect to {url!r}: {error}", url=url) from None
    return host, port or (443 if parts.scheme == "wss" else 80)
