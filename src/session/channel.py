"""The channel: one connection's I/O, between the transport's frames and the session's requests.

It lives on one asyncio loop. `post` may be called from any thread; everything else belongs to the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

import msgspec

from ..protocol import (
    Connection,
    Error,
    Generation,
    Limits,
    LocalProtocolError,
    Ok,
    Outgoing,
    PatchDoc,
    PatchReceived,
    ProtocolError,
    Ready,
    ReplyReceived,
)
from ..transports import ConnectionClosed, ConnectionOptions, ConnectTimeout, MessageTooBig, Transport, WebSocket
from .endings import ABNORMAL, describe_loss, describe_refusal, describe_too_late
from .errors import ConnectionLost, NotABokehServer
from .outbox import Outbox
from .requests import Answered, Ask, Doubted, Group, Inbound, Lost, Patched, Request

__all__ = ["Channel"]

_SUBPROTOCOL = "bokeh"


class Channel:
    """One connection to a server session, from the handshake to the last byte.

    Args:
        transport: Makes the connection.
        options: Where to and how; the subprotocols are "bokeh" and the session's token.
        timeout: How long the whole of connecting may take, up to the server's ACK, in seconds; None for ever.
        deliver: Told of everything that arrives, in order, on the loop. The last call brings a `Lost`.
        may_remove: Says whether a change from the server may take a model out of the document. Called on the loop.
    """

    def __init__(
        self,
        transport: Transport,
        options: ConnectionOptions,
        *,
        timeout: float | None,
        deliver: Callable[[Inbound], None],
        may_remove: Callable[[PatchDoc], bool],
    ) -> None:
        self._transport = transport
        self._options = options
        self._timeout = timeout
        self._deliver = deliver
        self._connection = Connection(limits=Limits(max_message_size=options.max_message_size, max_pending=None))
        self._outbox = Outbox(may_remove)
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._wake_scheduled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0  # that runs the loop
        self._socket: WebSocket | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._open = False
        self._hung_up = False  # our close frame is on its way: what ends the connection now is us
        self._ended: Lost | None = None

    @property
    def is_open(self) -> bool:
        """Whether the server has acknowledged the session and the connection stands. Any thread may ask."""
        return self._open

    @property
    def generation(self) -> Generation | None:
        """The wire generation the server speaks, None before its ACK. Any thread may ask."""
        return self._connection.generation

    async def open(self) -> None:
        """Connect, and wait until the server has acknowledged the session.

        Raises:
            ConnectError: No connection could be made, or the peer is not a Bokeh server, or it refused the session.
                Nothing is left behind.
        """
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        acknowledged: asyncio.Future[None] = self._loop.create_future()
        try:
            async with asyncio.timeout(self._timeout):
                self._socket = await self._transport.connect(self._options)
                if self._socket.subprotocol != _SUBPROTOCOL:
                    self._refuse_peer(f"it selected the subprotocol {self._socket.subprotocol!r}, not {_SUBPROTOCOL!r}")
                self._tasks.append(self._loop.create_task(self._read(self._socket, acknowledged)))
                await acknowledged
        except TimeoutError as error:
            await self.abandon()
            if isinstance(error, ConnectTimeout):
                raise
            what = "connect" if self._socket is None else "acknowledge the session"
            tls = " Does it speak TLS?" if self._options.url.startswith("wss:") else ""
            raise ConnectTimeout(
                f"{self._options.url} did not {what} within {self._timeout} s.{tls} If the application takes long to "
                "start, raise connect_timeout.",
                url=self._options.url,
            ) from None
        except BaseException:
            await self.abandon()
            raise
        if self._ended is None:
            self._open = True
            self._tasks.append(self._loop.create_task(self._write(self._socket)))

    def post(self, request: Request) -> Exception | None:
        """Send a request in its turn. Never waits; any thread may call.

        Args:
            request: What to ask. Its outcome is delivered as `Answered`, or in the `Lost` that ends the channel.

        Returns:
            None, or the reason why the request cannot be sent any more; then nothing is delivered.
        """
        assert self._loop is not None
        if self._ended is None and not self._loop.is_closed():
            self._outbox.post(request)
            # Changes that wait for an answer are sent when it comes.
            if request.ask is not Ask.PATCH or not self._outbox.waits:
                self._wake_writer()
            return None
        return self._too_late(request)

    def resume(self, again: Sequence[Group]) -> None:
        """Go on after a `Doubted`. Never waits; any thread may call.

        Args:
            again: What has to be sent again, before anything else; each as one message.
        """
        assert self._loop is not None
        if self._ended is None and not self._loop.is_closed():
            self._outbox.resume(again)
            self._wake_writer()

    @property
    def is_delivered(self) -> bool:
        """Whether the server has answered everything that changes its document. Any thread may ask."""
        return self._ended is not None or not self._outbox.holds_changes

    def _wake_writer(self) -> None:
        assert self._loop is not None
        if threading.get_ident() == self._thread:
            self._wake.set()
            self._settled.set()
        elif not self._wake_scheduled:
            self._wake_scheduled = True
            self._loop.call_soon_threadsafe(self._wake_up)

    async def close(self, reason: str, timeout: float | None) -> tuple[str, ...]:
        """Send what was posted, wait for the answers, then close the connection. Safe to call twice.

        Nothing is left behind when it is cancelled, or takes too long: the connection is dropped then.

        Args:
            reason: The close reason the server is given.
            timeout: How long all of this may take, in seconds; None for ever.

        Returns:
            The changes that the server has not confirmed, oldest first, each as a short text.
        """
        if self._socket is None:
            return ()
        try:
            async with asyncio.timeout(timeout):
                await self._until_delivered()
                await self._hang_up(self._socket, reason)
        except TimeoutError:
            pass  # what was not answered is named in what is returned, and the socket is dropped below
        finally:
            self._end(None)
            await self.abandon()
        assert self._ended is not None
        return tuple(change for request in self._ended.unanswered for change in request.changes)

    async def _hang_up(self, socket: WebSocket, reason: str) -> None:
        """Exchange close frames with the server."""
        self._open = False
        self._hung_up = self._ended is None
        if not self._connection.closed:
            self._connection.send_close(1000, reason)
        await socket.close(1000, reason)

    async def _until_delivered(self) -> None:
        """Wait until the server has answered everything that changes its document."""
        while not self.is_delivered:
            self._settled.clear()
            await self._settled.wait()

    def drop(self) -> None:
        """Drop the connection without a word to the server, from any thread, whether its loop runs or not."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        if loop.is_running():
            asyncio.run_coroutine_threadsafe(self.abandon(), loop)
            return
        abandoning = self.abandon()
        try:
            loop.run_until_complete(abandoning)
        except RuntimeError:  # this thread is inside another loop
            abandoning.close()

    def _wake_up(self) -> None:
        self._wake_scheduled = False
        if self._ended is not None:
            for request in self._outbox.clear():
                self._deliver(Answered((request,), None, self._too_late(request)))
            return
        self._wake.set()
        self._settled.set()

    async def _read(self, socket: WebSocket, acknowledged: asyncio.Future[None]) -> None:
        """Consume frames until the connection ends. The only place that feeds the connection."""
        fault: Exception
        try:
            while True:
                for frame in await socket.receive():
                    self._receive(frame, acknowledged)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            self._end(self._lost(ABNORMAL, "its event loop was stopped"))
            socket.abort()
            raise
        except ConnectionClosed as closed:
            self._connection.receive_close(closed.code, closed.reason)
            fault = closed
        except Exception as error:  # the peer's protocol errors, and a transport that breaks its contract
            fault = error
        if not acknowledged.done():
            await self._release(socket, fault)
            acknowledged.set_exception(self._describe_refusal(fault))
        else:
            self._end(None if self._hung_up else self._describe_loss(fault))
            await self._release(socket, fault)

    async def _release(self, socket: WebSocket, fault: Exception) -> None:
        """Let go of a connection that has ended or has to end, telling the peer what it did wrong."""
        if isinstance(fault, ProtocolError):
            await socket.close(fault.close_code, "protocol error")
        socket.abort()
        for task in self._tasks[1:]:  # the writer; the reader is about to return
            task.cancel()

    def _receive(self, frame: str | bytes, acknowledged: asyncio.Future[None]) -> None:
        match self._connection.receive_frame(frame):
            case Ready() if not acknowledged.done():
                acknowledged.set_result(None)
            case ReplyReceived(reqid=reqid, message=message):
                group, doubtful = self._outbox.answered(reqid, message)
                if doubtful and isinstance(message, Ok | Error):
                    self._deliver(Doubted(group, message))
                else:
                    self._deliver(Answered(group, message))
                    self._wake.set()
                self._settled.set()
            case PatchReceived(message=message):
                self._deliver(Patched(message, self._outbox.changed(message)))
            case _:
                pass  # half a message, or a reply nobody waits for

    async def _write(self, socket: WebSocket) -> None:
        """Send what is posted, in order. The only place that takes messages from the connection."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while group := self._outbox.take():
                    try:
                        outgoing = self._encode(group)
                    except LocalProtocolError as error:
                        if len(group) > 1:  # together they exceed a limit, or one of them cannot be sent at all
                            self._outbox.resume([(request,) for request in group])
                        else:
                            self._deliver(Answered(group, None, error))
                        continue
                    self._outbox.sent(outgoing.msgid, group)
                    await socket.send(outgoing.frames)
        except ConnectionClosed:
            return  # the reader meets the same end, after it has taken what arrived before it
        except Exception as fault:  # a transport that breaks its contract must not leave the session hanging
            self._end(self._describe_loss(fault))
            socket.abort()

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

    def _end(self, error: Exception | None) -> None:
        """Deliver the end, once."""
        self._open = False
        if self._ended is None:
            self._ended = Lost(error, self._outbox.clear())
            self._settled.set()
            self._deliver(self._ended)

    async def abandon(self) -> None:
        """Release the socket and the tasks, whatever state they are in, without a word to the server."""
        if self._ended is None:
            self._ended = Lost(None)  # never acknowledged, so nobody is to be told
        if self._socket is not None:
            self._socket.abort()
        current = asyncio.current_task()
        tasks, self._tasks = [task for task in self._tasks if task is not current], []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _refuse_peer(self, what: str) -> NoReturn:
        raise NotABokehServer(
            f"{self._options.url} is not a Bokeh server: {what}. Check the URL.", url=self._options.url
        )

    def _describe_refusal(self, fault: Exception) -> Exception:
        return describe_refusal(self._options.url, fault)

    def _describe_loss(self, fault: Exception) -> ConnectionLost:
        match fault:
            case MessageTooBig():
                loss = self._lost(1009, str(fault))
            case ConnectionClosed(code=code, reason=reason):
                loss = self._lost(ABNORMAL if code is None else code, reason)
            case ProtocolError(close_code=code):
                loss = self._lost(code, f"the server broke the protocol: {fault}")
            case _:
                loss = self._lost(ABNORMAL, f"{type(fault).__name__}: {fault}")
        loss.__cause__ = fault
        return loss

    def _lost(self, code: int, reason: str) -> ConnectionLost:
        return describe_loss(self._options.url, code, reason, tuple(self._outbox.requests()))

    def _too_late(self, request: Request) -> ConnectionLost:
        return describe_too_late(self._options.url, request)
