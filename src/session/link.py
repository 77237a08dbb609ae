"""A link: one connection to a server session, from the handshake to the last byte. All of it belongs to one loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

import msgspec

from ..protocol import (
    Connection,
    Error,
    Event,
    Generation,
    Limits,
    LocalProtocolError,
    Ok,
    Outgoing,
    PatchReceived,
    ProtocolError,
    Ready,
    ReplyReceived,
)
from ..protocol.errors import INTERNAL_ERROR
from ..transports import ConnectionClosed, ConnectionOptions, ConnectTimeout, Frame, Transport, WebSocket
from .endings import describe_refusal, inbox_full
from .errors import InboxFull, NotABokehServer
from .outbox import Outbox
from .requests import Answered, Ask, Doubted, Group, Inbound, Patched

__all__ = ["Link"]

_SUBPROTOCOL = "bokeh"


class Link:
    """One connection: what is in the outbox goes out, what arrives is delivered in order.

    Args:
        transport: Makes the connection.
        options: Where to and how; the subprotocols are "bokeh" and the session's token.
        outbox: What to send, and what is waiting for an answer. It outlives the link.
        deliver: Told of everything that arrives, in order.
        full: Called after each delivered change; says whether too many wait to be handled, which ends the connection.
        admitted: Called when the server has acknowledged the session, before anything is sent.
        asked: Called when an urgent request is being sent.
        progressed: Called after each answer of the server with the requests that it answers.
        ended: Told once why the connection is over, from the moment on that the server has acknowledged the session,
            unless this side has closed or dropped it. What is no Exception has interrupted the loop.
    """

    def __init__(
        self,
        transport: Transport,
        options: ConnectionOptions,
        outbox: Outbox,
        *,
        deliver: Callable[[Inbound], None],
        full: Callable[[], bool],
        admitted: Callable[[Link], None],
        asked: Callable[[], None],
        progressed: Callable[[Group], None],
        ended: Callable[[BaseException], None],
    ) -> None:
        self._transport = transport
        self._options = options
        self._outbox = outbox
        self._deliver = deliver
        self._full = full
        self._admitted = admitted
        self._asked = asked
        self._progressed = progressed
        self._tell_end = ended
        self._connection = Connection(limits=Limits(max_message_size=options.max_message_size, max_pending=None))
        self._wake = asyncio.Event()
        self._socket: WebSocket | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._open = False
        self._fault: BaseException | None = None
        self._abandoned = False
        self._first_id = self._last_id = ""
        self._size = 0  # of the frames of the message that is being read

    @property
    def is_open(self) -> bool:
        """Whether the server has acknowledged the session and the connection stands. Any thread may ask."""
        return self._open

    @property
    def generation(self) -> Generation | None:
        """The wire generation the server speaks, None before its ACK. Any thread may ask."""
        return self._connection.generation

    @property
    def first_id(self) -> str:
        """The id of the server's first message, its ACK; empty before."""
        return self._first_id

    @property
    def last_id(self) -> str:
        """The id of the server's last message so far."""
        return self._last_id

    async def open(self, timeout: float | None) -> None:
        """Connect, and wait until the server has acknowledged the session.

        Args:
            timeout: How long all of that may take, in seconds; None for ever.

        Raises:
            ConnectError: No connection could be made, or the peer is not a Bokeh server, or it refused the session.
                Nothing is left behind.
        """
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout):
                self._socket = await self._transport.connect(self._options)
                if self._socket.subprotocol != _SUBPROTOCOL:
                    self._refuse_peer(f"it selected the subprotocol {self._socket.subprotocol!r}, not {_SUBPROTOCOL!r}")
                self._start(self._read(self._socket, acknowledged))
                await acknowledged
        except TimeoutError as error:
            await self.abandon()
            if isinstance(error, ConnectTimeout):
                raise
            what = "connect" if self._socket is None else "acknowledge the session"
            tls = " Does it speak TLS?" if self._options.url.startswith("wss:") else ""
            raise ConnectTimeout(
                f"{self._options.url} did not {what} within {timeout:g} s.{tls} If the application takes long to "
                "start, raise connect_timeout.",
                url=self._options.url,
            ) from None
        except BaseException:
            await self.abandon()
            raise
        if self._fault is not None:
            self._tell_end(self._fault)
        else:
            self._admitted(self)
            self._open = True
            self._start(self._write(self._socket))

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(coroutine))

    def wake(self) -> None:
        """Have the writer look into the outbox."""
        self._wake.set()

    async def close(self, reason: str) -> None:
        """Exchange close frames with the server. That the connection is over then is not told.

        Args:
            reason: The close reason the server is given.
        """
        self._open = False
        if not self._connection.closed:
            self._connection.send_close(1000, reason)
        if self._socket is not None:
            await self._socket.close(1000, reason)

    def fail(self, fault: Exception) -> None:
        """End the connection, because it is of no use any more.

        Args:
            fault: Why, which is told as the end of it.
        """
        self._end(fault)
        if self._socket is not None:
            self._socket.abort()

    def abort(self) -> None:
        """Drop the socket and stop the tasks, without a word to the server or to anybody here."""
        self.drop_socket()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    def drop_socket(self) -> None:
        """Drop the socket alone, which is all that can be done once the loop is closed."""
        self._open, self._abandoned = False, True
        if self._socket is not None:
            self._socket.abort()

    async def abandon(self) -> None:
        """Do as `abort`, and wait until nothing is left."""
        self.abort()
        current = asyncio.current_task()
        tasks, self._tasks = [task for task in self._tasks if task is not current], []
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, socket: WebSocket, acknowledged: asyncio.Future[None]) -> None:
        """Consume frames until the connection ends. The only place that feeds the connection."""
        fault: Exception
        try:
            while True:
                self._consume(await socket.receive(), acknowledged)
        except ConnectionClosed as closed:
            self._connection.receive_close(closed.code, closed.reason)
            fault = closed
        except Exception as error:  # the peer's protocol errors, and a transport that breaks its contract
            fault = error
        except BaseException as interruption:
            self._end(interruption)
            socket.abort()
            raise
        if not acknowledged.done():
            await self._release(socket, fault)
            acknowledged.set_exception(describe_refusal(self._options.url, fault))
        else:
            self._end(fault)
            await self._release(socket, fault)

    def _consume(self, frames: Sequence[Frame], acknowledged: asyncio.Future[None]) -> None:
        # Apart from the reader, which would hold the last message in its variables until the next one comes.
        for frame in frames:
            self._size += len(frame)
            event = self._connection.receive_frame(frame)
            if event is not None:
                self._take(event, acknowledged)
                self._size = 0

    async def _release(self, socket: WebSocket, fault: Exception) -> None:
        """Let go of a connection that has ended or has to end, telling the peer what it did wrong."""
        if isinstance(fault, ProtocolError):
            await socket.close(fault.close_code, "protocol error")
        elif isinstance(fault, InboxFull):
            await socket.close(INTERNAL_ERROR, fault.reason)
        socket.abort()
        for task in self._tasks[1:]:  # the writer; the reader is about to return
            task.cancel()

    def _take(self, event: Event, acknowledged: asyncio.Future[None]) -> None:
        match event:
            case PatchReceived(message=message):
                self._last_id = message.msgid
                self._deliver(Patched(message, self._outbox.changed(message), self._size))
                if self._full():
                    raise inbox_full(self._options.url)
            case ReplyReceived(reqid=reqid, message=message):
                self._last_id = message.msgid
                group, doubtful = self._outbox.answered(reqid, message)
                if doubtful and isinstance(message, Ok | Error):
                    self._deliver(Doubted(group, message))
                else:
                    self._deliver(Answered(group, message))
                    self._wake.set()
                self._progressed(group)
            case Ready(msgid=msgid) if not acknowledged.done():
                self._first_id = self._last_id = msgid
                acknowledged.set_result(None)
            case _:
                pass  # a reply nobody waits for

    async def _write(self, socket: WebSocket) -> None:
        """Send what is in the outbox, in order. The only place that takes messages from the connection."""
        try:
            while True:
                while self._open and await self._write_next(socket):
                    pass
                await self._wake.wait()
                self._wake.clear()
        except ConnectionClosed:
            return  # the reader meets the same end, after it has taken what arrived before it
        except Exception as fault:  # a transport that breaks its contract must not leave the session hanging
            self._end(fault)
            socket.abort()

    async def _write_next(self, socket: WebSocket) -> bool:
        """Send one message, if there is any. Apart from the writer, which would hold it until there is another one."""
        # Not of a link whose end has been told: what it takes would be under way for ever.
        group = self._outbox.take()
        if not group:
            return False
        try:
            outgoing = self._encode(group)
        except LocalProtocolError as error:
            if len(group) > 1:  # together they exceed a limit, or one of them cannot be sent at all
                self._outbox.resume([(request,) for request in group], (), self._outbox.losses)
            else:
                self._deliver(Answered(group, None, error))
            return True
        self._outbox.sent(outgoing.msgid, group)
        if group[0].urgent:
            self._asked()
        await socket.send(outgoing.frames)
        return True

    def _encode(self, group: Group) -> Outgoing:
        request = group[0]
        match request.ask:
            case Ask.PULL:
                return self._connection.pull_doc()
            case Ask.PUSH:
                return self._connection.push_doc(request.content, request.buffers)
            case Ask.PATCH:
                events = b",".join([patch.content for patch in group])
                buffers = tuple(buffer for patch in group for buffer in patch.buffers)
                return self._connection.patch_doc(msgspec.Raw(b'{"events":[%b]}' % events), buffers)
            case Ask.ROUND_TRIP:
                return self._connection.roundtrip()
            case Ask.SERVER_INFO:
                return self._connection.server_info()

    def _end(self, fault: BaseException) -> None:
        """Tell the end, once."""
        was_open, self._open = self._open, False
        if self._fault is None:
            self._fault = fault
            if was_open and not self._abandoned:
                self._tell_end(fault)

    def _refuse_peer(self, what: str) -> NoReturn:
        raise NotABokehServer(
            f"{self._options.url} is not a Bokeh server: {what}. Check the URL.", url=self._options.url
        )
