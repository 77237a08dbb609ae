"""The asynchronous session, which is the real one: the blocking session is a thin face over it."""

from __future__ import annotations

import inspect
import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from bokeh.document import Document

from ..protocol import Generation, ServerInfoReply
from ..transports import ConnectError, ConnectionOptions, ConnectTimeout, HandshakeRefused, Transport, resolve
from . import urls
from .channel import Channel
from .checks import (
    check_callables,
    check_mapping,
    check_model,
    check_numbers,
    check_size,
    check_token,
    check_wait,
    close_reason,
)
from .constants import DEFAULT_SERVER_WEBSOCKET_URL
from .credentials import checked_id, new_session_id, new_token
from .endings import describe_late, some_of
from .errors import ApplyError, ConnectionLost, ReplyTimeout, SessionClosed, UsageError, WaitTimeout
from .lifeline import Lifeline, weakly
from .loop_runner import LoopRunner
from .reconnecting import Reconnect, Reconnection, checked_policy
from .recovery import Recovery
from .requests import Answered, Ask, Disconnected, Group, Inbound, Lost, Reply, Request
from .runner import Runner, is_over, run_to_end
from .show import BrowserTarget, open_page
from .sync import SyncEngine
from .trouble import Trouble, note_failed_close

if TYPE_CHECKING:
    from bokeh.client.states import ErrorReason
    from bokeh.core.types import ID
    from bokeh.models.ui import UIElement
    from bokeh.util.browser import BrowserLike

__all__ = ["AsyncClientSession"]

T = TypeVar("T")

_log = logging.getLogger(__name__)


class AsyncClientSession:
    """A connection to one session of a Bokeh server, keeping a Document equal to the server's.

    Everything happens on the asyncio loop on which the session connects: changes from the server are applied to
    `document` as they arrive, and changes made to `document` are sent as they are made. Call `pull` or `push` first.
    Use it as an asynchronous context manager, or call `close` at the end.

    Args:
        session_id: The name of the session on the server; None makes a new one.
        websocket_url: The ws or wss URL of the application, whose path ends in "/ws".
        arguments: HTTP request arguments for the application, by name; a sequence of values gives one several times.
            They count only when the session is new.
        max_message_size: The largest WebSocket message accepted from the server, in bytes.
        transport: "tornado", "aiohttp", or a Transport.
        connect_timeout: How long connecting may take, up to the server's ACK, in seconds; None for ever. It includes
            the time the application needs to build a new session.
        reply_timeout: How long to wait for the answer to a pull, a push or a round trip, in seconds; None for ever.
        close_timeout: How long `close` waits for the server to confirm what was sent, and then for its close frame,
            in seconds.
        ping_interval: Seconds between two pings to the server, None for none. A server that computes for longer than
            `ping_timeout` cannot answer them, so they are off unless asked for.
        ping_timeout: How long to wait for a pong before the connection counts as lost, in seconds.
        headers: Further HTTP headers for the handshake, such as an Authorization.
        token: The session's token, or a function that makes one for each connection; None makes it from the session's
            id and Bokeh's settings. A function should be quick: when a blocking session reconnects, it is called in the
            thread that serves all of them.
        on_error: Called with each error that happens between two calls, such as a change that the server rejected, or
            the loss of the connection. The next call of the session raises it all the same. It is also told what the
            document's periodic, timeout and next-tick callbacks raise, which is logged and not raised again.
        reconnect: Whether to connect again, under the same id, when the network was lost: True, or a `Reconnect` that
            says how. Calls wait meanwhile, each for its own time. Changes that were under way are compared with what
            the server has, and sent again only where it lacks them; changes made meanwhile are kept and sent then.
        on_disconnect: Called with the `ConnectionLost` when the connection was lost and another one is being sought.
        on_reconnect: Called with a `Reconnection` when the session is connected again and its document is the server's.
        max_inbox_size: How many bytes of changes from the server may wait, in a blocking session without `io_loop`,
            until a call looks at them, with those of yours that it has answered behind them. Beyond that the connection
            is closed, and the next call raises an `InboxFull`.

    Raises:
        ValueError: `transport` names no transport, `session_id` is empty, or a number is not above 0.
        TypeError: `session_id` is not text, `arguments` or `headers` is not a mapping, a callback is not a function, or
            `reconnect` is neither a bool nor a Reconnect.
        ImportError: The transport's library is not installed.
    """

    def __init__(
        self,
        session_id: str | None = None,
        websocket_url: str = DEFAULT_SERVER_WEBSOCKET_URL,
        arguments: Mapping[str, str | Sequence[str]] | None = None,
        max_message_size: int = 20 * 1024 * 1024,
        *,
        transport: str | Transport = "tornado",
        connect_timeout: float | None = 30.0,
        reply_timeout: float | None = 60.0,
        close_timeout: float = 10.0,
        ping_interval: float | None = None,
        ping_timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | Callable[[], str] | None = None,
        on_error: Callable[[Exception], object] | None = None,
        reconnect: bool | Reconnect = False,
        on_disconnect: Callable[[ConnectionLost], object] | None = None,
        on_reconnect: Callable[[Reconnection], object] | None = None,
        max_inbox_size: int = 64 * 1024 * 1024,
        _runner: Runner | None = None,
    ) -> None:
        check_size("max_message_size", max_message_size)
        check_size("max_inbox_size", max_inbox_size)
        check_mapping("arguments", arguments)
        check_mapping("headers", headers)
        check_callables(on_error=on_error, on_disconnect=on_disconnect, on_reconnect=on_reconnect)
        check_numbers(
            connect_timeout=connect_timeout,
            reply_timeout=reply_timeout,
            close_timeout=close_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
        )
        self._id: ID = checked_id(session_id) if session_id is not None else new_session_id()
        self._url = websocket_url
        self._transport = resolve(transport)
        self._arguments = arguments
        self._max_message_size = max_message_size
        self._max_inbox_size = max_inbox_size
        self._ping_interval = ping_interval
        self._ping_timeout = ping_timeout
        self._headers = headers
        self._connect_timeout = connect_timeout
        self._reply_timeout = reply_timeout
        self._close_timeout = close_timeout
        self._token = token
        self._runner = _runner if _runner is not None else LoopRunner()
        self._policy = checked_policy(reconnect)
        self._trouble = Trouble(self._id, on_error, on_disconnect, on_reconnect)
        # Neither the loop nor the document keeps a session alive that the program has let go of, nor do callbacks that
        # it has given, which may lead back here.
        self._engine = SyncEngine(
            weakly(self._post),
            weakly(self._resume),
            self._runner.schedule,
            weakly(self._trouble.note),
            None if self._policy is None else self._recovery(self._policy),
        )
        self._runner.connect_to(weakly(self._handle), weakly(self._trouble.note_callback))
        self._lifeline = Lifeline(self._id, self._engine)
        self._finalizer = weakref.finalize(self, self._lifeline.cut)
        self._channel: Channel | None = None
        self._opening: Channel | None = None  # while it connects, for a close to stop it
        self._turn = self._runner.make_turn()  # connect, pull and push one at a time
        self._connect_error: Exception | None = None
        self._loss: ConnectionLost | None = None
        self._disconnection: ConnectionLost | None = None  # while another connection is being sought
        self._loss_raised = False
        self._loss_told = False
        self._closed = False
        self._finished_by: int | None = None  # the thread that ends the interpreter, which those end with that wait
        self._server_info: dict[str, Any] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except Exception as trouble:
            if error is None:
                raise
            note_failed_close(error, trouble)

    @property
    def connected(self) -> bool:
        """Whether the server has acknowledged the session and the connection stands."""
        return self._channel is not None and self._channel.is_open and not self._lifeline.is_inherited

    @property
    def document(self) -> Document | None:
        """The document kept equal to the server's; None before the first pull or push."""
        self._runner.pump()
        self._engine.catch_up()
        return self._engine.document

    @property
    def id(self) -> ID:
        """The name of the session on the server."""
        return self._id

    @property
    def token(self) -> str:
        """A token that authenticates the session, made anew from Bokeh's settings as they are now.

        BOKEH_SIGN_SESSIONS and BOKEH_SECRET_KEY must be the same as on the server. It expires 300 s after it was made.

        Raises:
            ValueError: Sessions are to be signed and there is no key, or what was given as `token` cannot be one.
        """
        if self._token is not None:
            return check_token(self._token() if callable(self._token) else self._token)
        return new_token(self._id)

    @property
    def url(self) -> str:
        """The WebSocket URL of the application."""
        return self._url

    @property
    def error_reason(self) -> ErrorReason | None:
        """Why there is no connection, as `bokeh.client.states.ErrorReason`; None while there is none to give."""
        from bokeh.client.states import ErrorReason

        self._runner.pump()
        if isinstance(self._connect_error, HandshakeRefused):
            return ErrorReason.HTTP_ERROR
        if self._connect_error is not None or self._loss is not None or self._disconnection is not None:
            return ErrorReason.NETWORK_ERROR
        return ErrorReason.NO_ERROR if self._closed else None

    @property
    def error_code(self) -> int | None:
        """The HTTP status of a refused handshake or the close code of a lost connection.

        None when the failure has no code, 0 when there was no failure.
        """
        self._runner.pump()
        if isinstance(self._connect_error, HandshakeRefused):
            return self._connect_error.status
        loss = self._loss or self._disconnection
        if loss is not None:
            return loss.code
        return 0 if self._connect_error is None else None

    @property
    def error_detail(self) -> str:
        """What is known of the failure, in words; empty when there was none."""
        self._runner.pump()
        error = self._connect_error or self._loss or self._disconnection
        return "" if error is None else str(error)

    async def connect(self) -> None:
        """Connect to the server. Does nothing when the session is connected.

        Raises:
            ConnectError: No connection could be made; the subclass says why. A later call tries again.
            ValueError: The token, an argument or a header cannot be sent; it says which.
            ConnectionLost: The session was connected, and the connection was lost.
            SessionClosed: The session was closed.
        """
        self._check()
        async with self._turn:
            await self._connect()

    async def close(self, why: str = "closed") -> None:
        """Send what is pending, and what the document holds back; wait for the server to confirm it, and disconnect.

        Does nothing when the session is closed or was never connected. What other tasks or threads wait for in the
        session meanwhile, a connection above all, ends with SessionClosed.

        Args:
            why: The close reason the server is given; what is over 123 bytes in UTF-8 is cut off.

        Raises:
            TypeError: `why` is not text. The session stays open.
            SessionClosed: The server did not confirm all changes within `close_timeout`; it names them. The connection
                is closed all the same.
            PatchRejected: The server rejected a change since the last call.
            ApplyError: A change from the server could not be applied, or a handler raised while it was.
            ConnectionLost: The connection had been lost with changes unconfirmed, and no call has said so yet.
        """
        reason = close_reason(why)
        if self._closed:
            self._raise_late()
            return
        if self._lifeline.is_inherited:  # it is the parent process's to close
            self._closed = True
            self._engine.close()
            self._finalizer.detach()
            return
        if self._runner.is_dead:
            self._close_without_loop()
            self._trouble.raise_first()
            return
        self._runner.check()
        try:
            try:
                self._runner.pump()
                self._engine.take_up_all()
            finally:
                unconfirmed = await self._hang_up(reason)
            self._runner.pump()
            self._note_undelivered(unconfirmed)  # a loss that closing has met is known only now
        finally:
            self._engine.close()
            self._runner.release()
            self._finalizer.detach()  # what it holds on to may lead back here, by way of the program's on_error
        self._trouble.raise_first()

    def check_connection_errors(self) -> None:
        """Raise what keeps the session from being connected, if anything does.

        Raises:
            ConnectError: There is no connection; the message says why. A 404 names the application's path and the URL.
        """
        self._runner.pump()
        if self.connected:
            return
        if self._connect_error is not None:
            raise self._connect_error
        loss = self._loss or self._disconnection
        if loss is not None:
            raise ConnectError(str(loss), url=self._url) from loss
        state = "was closed" if self._closed else "has not connected yet: call connect() first"
        raise ConnectError(f"the session {state} ({self._url}).", url=self._url)

    async def pull(self) -> None:
        """Load the server's document into `document`, connecting first if needed.

        A second pull overwrites the contents of the same Document object. Nothing is changed on the server.

        Raises:
            ConnectError: No connection could be made.
            RequestRefused: The server answered with an error.
            ApplyError: The document cannot be built here; the one that was there is left as it is or emptied.
            ReplyTimeout: The server did not answer within `reply_timeout`.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
        """
        self._check()
        async with self._turn:
            await self._connect()
            await self._answer(self._engine.pull())
        self._trouble.raise_first()

    async def push(self, document: Document | None = None) -> None:
        """Overwrite the server's document with one of ours, connecting first if needed.

        Args:
            document: What to push; None takes `document`, or a new Document when there is none yet.

        Raises:
            ValueError: The session has another document already.
            DocumentInUse: The document belongs to another open session.
            ConnectError: No connection could be made.
            RequestRefused: The server answered with an error.
            ReplyTimeout: The server did not answer within `reply_timeout`.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
        """
        if document is not None and not isinstance(document, Document):
            raise TypeError(f"push takes a Document, not {type(document).__name__}.")
        self._check()
        async with self._turn:
            current = self._engine.document
            if document is not None and current is not None and document is not current:
                raise ValueError(
                    "this session has another document already. Change session.document, or make a new session to push "
                    "a different one."
                )
            await self._connect()
            if document is None:
                document = current if current is not None else Document()
            await self._answer(self._engine.push(document))
        self._trouble.raise_first()

    async def force_roundtrip(self) -> None:
        """Wait until the server has processed all that was sent, and all that it sent meanwhile has been applied.

        Raises:
            PatchRejected: The server rejected a change.
            ApplyError: A change from the server could not be applied, or a handler raised while it was.
            ReplyTimeout: The server did not answer within `reply_timeout`.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
            UsageError: The session is not connected yet.
        """
        self._require_connection()
        await self._answer(self._engine.ask(Ask.ROUND_TRIP))
        await self._until_settled()
        self._trouble.raise_first()

    async def request_server_info(self) -> dict[str, Any]:
        """Ask for the versions of the server. The first answer is kept.

        A Bokeh 4 server has no such request. There the answer is taken from the document, which names the version of
        Bokeh that wrote it: the one pulled last, or else one that is pulled for this and thrown away.

        Returns:
            `{"version_info": {"bokeh": ..., "server": ...}}`, both versions as strings.

        Raises:
            RequestRefused: The server answered with an error.
            ReplyTimeout: The server did not answer within `reply_timeout`.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
            UsageError: The session is not connected yet.
        """
        channel = self._require_connection()
        if self._server_info is None:
            if channel.generation is Generation.V3:
                reply = await self._answer(self._engine.ask(Ask.SERVER_INFO))
                if not isinstance(reply, ServerInfoReply) or not isinstance(reply.content, dict):
                    raise ApplyError(f"the server answered a SERVER-INFO-REQ with {type(reply).__name__}.")
                self._server_info = reply.content
            else:
                version = self._engine.server_version or await self._ask_version()
                self._server_info = {"version_info": {"bokeh": version, "server": version}}
        self._trouble.raise_first()
        return self._server_info

    async def show(self, obj: UIElement | None = None, browser: str | None = None, new: BrowserTarget = "tab") -> None:
        """Open the session's page in a browser. The session need not be connected for that, unless `obj` is given.

        Args:
            obj: A layout, plot or widget that is added to the document's roots if it is not one of them.
            browser: The name of a browser as in the standard library's `webbrowser`; None takes the default.
            new: "tab", "window" or "same".

        Raises:
            ValueError: `new` is none of the three.
            webbrowser.Error: There is no browser of that name, or none at all.
            TypeError: `obj` is no model.
            UsageError: `obj` is given and there is no document yet.
        """
        await self._show(obj, browser, new, None)

    async def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until a predicate holds. It is evaluated at once, and after each change from the server.

        Args:
            predicate: Gives a true value when the wait is over.
            timeout: In seconds, None for ever. With 0 or less, the predicate is evaluated once.

        Returns:
            The predicate's true value.

        Raises:
            TypeError: The predicate is not a function, or an asynchronous one.
            ValueError: `timeout` is not a number.
            WaitTimeout: The predicate did not hold in time.
            PatchRejected: The server rejected a change.
            ApplyError: A change from the server could not be applied, or a handler raised while it was.
            UsageError: The session belongs to the process that this one is a fork of.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
        """

        def condition() -> tuple[T] | None:
            value = predicate()
            if inspect.isawaitable(value):
                if inspect.iscoroutine(value):
                    value.close()
                raise TypeError("predicate must not be asynchronous: it is evaluated after each change.")
            if value:
                return (value,)
            self._check_state()
            return None

        check_wait(predicate, timeout)
        self._check_process()
        self._runner.check()
        self._engine.catch_up()
        found = await self._runner.wait(condition, timeout, callbacks=True)
        if found is None:
            assert timeout is not None
            raise WaitTimeout(f"the condition did not hold within {timeout} s.", timeout=timeout)
        return found[0]

    async def run_until_closed(self) -> None:
        """Process changes from the server and the document's callbacks until the session is closed from either side.

        Raises:
            PatchRejected: The server rejected a change.
            ApplyError: A change from the server could not be applied, or a handler raised while it was.
            UsageError: The session belongs to the process that this one is a fork of.
            ConnectionLost: The connection was lost with changes unconfirmed.
        """

        def condition() -> bool:
            self._trouble.raise_first()
            return self._closed or self._loss is not None or self._channel is None

        self._check_process()
        self._runner.check()
        self._engine.catch_up()
        await self._runner.wait(condition, None, callbacks=True)
        if self._loss is not None and self._loss.unconfirmed:
            self._raise_loss(self._loss)

    def _finish(self, begun: float) -> None:
        """Deliver what is not, since the interpreter ends and no call will come. Of a session without `io_loop` alone.

        Args:
            begun: When the end began, on the monotonic clock: all sessions together take no longer than the one that
                waits longest.

        Raises:
            BaseException: What interrupts it, such as KeyboardInterrupt. Errors are logged, since nobody catches them.
        """
        if self._closed or self._lifeline.is_inherited:
            return
        self._close_timeout = max(0.0, self._close_timeout - (time.monotonic() - begun))
        try:
            self._runner.pump()
            self._engine.take_up_all()
            channel = self._channel
            if self._loss is None and channel and run_to_end(self._runner.perform(channel.has_delivered())):
                self._closed, self._finished_by = True, threading.get_ident()
                self._engine.end()  # and is told of what atexit functions change that come after this
                self._finalizer.detach()
                self._trouble.raise_first()
            else:
                run_to_end(self.close("the program has ended"))
        except Exception as error:
            _log.error("session %s was not closed before the interpreter ended: %s", self._id, error)
        except BaseException:  # as Ctrl-C, or sys.exit in a handler
            lost = () if self._channel is None else self._channel.unconfirmed
            if lost:
                _log.error("session %s was not closed, and changes are lost: %s", self._id, some_of(lost))
            raise

    def _close_without_loop(self) -> None:
        """Close though nothing can be awaited; what the server has not confirmed is lost."""
        self._closed = True
        try:
            try:
                self._engine.take_up_all()
            finally:
                unconfirmed = () if self._channel is None else self._channel.unconfirmed
                if self._channel is not None:
                    self._channel.drop()
            self._note_undelivered(unconfirmed)
        finally:
            self._engine.close()
            self._finalizer.detach()

    async def _hang_up(self, reason: str) -> tuple[str, ...]:
        """Wait until the server has answered all changes, close the connection, and give those it has not confirmed."""
        self._closed = True
        channel, opening = self._channel, self._opening
        if channel is None:
            if opening is not None:
                await self._runner.perform(opening.stop(self._close_timeout))
            return ()
        deadline = time.monotonic() + self._close_timeout
        left = 0.0  # if the wait is interrupted
        unconfirmed: tuple[str, ...] = ()
        try:
            try:
                # What the server refuses on the way has to be handled here before the rest is sent.
                while await self._runner.wait(lambda: self._is_delivered(channel), deadline - time.monotonic()):
                    if await self._runner.perform(channel.has_delivered()):
                        break
                left = max(0.0, deadline - time.monotonic())
            finally:
                unconfirmed = await self._runner.perform(channel.close(reason, left))
        except BaseException as interruption:
            if channel.is_open:  # interrupted before the close had begun
                channel.drop()
            if unconfirmed:
                interruption.add_note(
                    f"The server has not confirmed {len(unconfirmed)} changes: {some_of(unconfirmed)}"
                )
            raise
        return unconfirmed

    def _note_undelivered(self, unconfirmed: tuple[str, ...]) -> None:
        """Keep what closing could not deliver for the program, unless it has been told."""
        if self._loss is not None:
            if not self._loss_raised and (self._loss.unconfirmed or self._engine.late_changes):
                self._trouble.keep(self._told(self._loss))
        elif unconfirmed:
            self._trouble.note(
                SessionClosed(
                    f"the session was closed before the server confirmed {len(unconfirmed)} changes: "
                    + some_of(unconfirmed),
                    unconfirmed=unconfirmed,
                )
            )

    def _is_delivered(self, channel: Channel) -> bool:
        """Whether the server has answered all changes and nothing is left to be settled with it."""
        self._runner.pump()
        return channel.is_delivered and (self._engine.is_settled or not channel.is_open)

    async def _connect(self) -> None:
        self._check()
        if self._channel is not None:
            await self._until_reconnected()
            return
        self._connect_error = None
        try:
            options = self._options()
        except ConnectError as error:
            self._connect_error = error
            raise
        channel = Channel(
            self._transport,
            options,
            timeout=self._connect_timeout,
            deliver=self._runner.deliver,
            may_remove=self._engine.may_remove,
            full=is_over(self._runner, self._max_inbox_size),
            reconnect=self._policy,
            renew=weakly(self._options),
        )
        self._opening = channel
        try:
            if self._closed:  # by another thread, which has not seen that there is something to stop
                self._check_state()
            await self._runner.perform(channel.open())
            self._finalizer.atexit = not self._runner.adopt(channel, weakly(self._finish))
            self._channel = self._lifeline.channel = channel
        except ConnectError as error:
            self._connect_error = error
            raise
        except BaseException:
            if channel.is_open and self._channel is None:  # interrupted between the two
                channel.drop()
            raise
        finally:
            self._opening = None
        if self._closed:  # by another thread, meanwhile
            await self._runner.perform(channel.abandon())
            self._check_state()

    async def _until_reconnected(self) -> None:
        """Wait until there is a connection again, where it was lost and another one is being sought."""

        def condition() -> bool:
            self._check_state()
            return self._disconnection is None

        if not await self._runner.wait(condition, self._connect_timeout):
            raise ConnectTimeout(
                f"{self._url} has not been reached again within {self._connect_timeout} s. The session goes on trying.",
                url=self._url,
            )

    def _recovery(self, policy: Reconnect) -> Recovery:
        doubted, drop_changes = weakly(self._doubted), weakly(self._drop_changes)
        return Recovery(
            push_into_new_session=policy.new_session == "push",
            give_up=weakly(self._give_up),
            doubted=lambda: doubted() or (),
            drop_changes=lambda: drop_changes() or (),
            reached=weakly(self._reached),
            recovered=weakly(self._trouble.tell_reconnection),
        )

    def _give_up(self, failure: Exception | None, changes: tuple[str, ...]) -> None:
        assert self._channel is not None
        self._channel.give_up(failure, changes)

    def _doubted(self) -> Group:
        assert self._channel is not None
        return self._channel.doubted

    def _drop_changes(self) -> Group:
        assert self._channel is not None
        return self._channel.drop_changes()

    def _reached(self) -> None:
        self._disconnection = None

    def _options(self) -> ConnectionOptions:
        urls.check_websocket_url(self._url)
        return ConnectionOptions(
            url=urls.with_arguments(self._url, self._arguments),
            subprotocols=("bokeh", self.token),
            headers=dict(self._headers or {}),
            connect_timeout=self._connect_timeout,
            close_timeout=self._close_timeout,
            max_message_size=self._max_message_size,
            ping_interval=self._ping_interval,
            ping_timeout=self._ping_timeout,
        )

    async def _answer(self, request: Request) -> Reply:
        """Wait for the reply to a request, handling what arrives before it."""
        try:
            settled = await self._runner.wait(lambda: request.done, self._reply_timeout)
        except BaseException:
            request.abandoned = True
            raise
        if not settled:
            request.abandoned = True
            raise self._reply_timeout_of(request.ask.value)
        if request.error is not None:
            if self._loss is not None and request.error is self._loss:
                self._raise_loss(self._loss)
            raise request.error
        assert request.reply is not None
        return request.reply

    async def _until_settled(self) -> None:
        """Wait until it is known what has become of each change up to now, and the conflicts are settled."""
        made = self._engine.made
        if not await self._runner.wait(lambda: self._engine.is_answered_up_to(made), self._reply_timeout):
            raise self._reply_timeout_of("PATCH-DOC")
        if self._loss is not None:
            self._raise_loss(self._loss)
        answers = self._engine.answers
        if not await self._runner.wait(lambda: self._engine.is_settled_since(answers), self._reply_timeout):
            raise self._reply_timeout_of("PULL-DOC-REQ")

    def _reply_timeout_of(self, asked: str) -> ReplyTimeout:
        assert self._reply_timeout is not None
        waiting = 0 if self._channel is None else len(self._channel.unconfirmed)
        behind = f" (changes that wait as well: {waiting})" if waiting else ""
        return ReplyTimeout(
            f"{self._url} did not answer the {asked} within {self._reply_timeout} s{behind}. Is the server busy? "
            "Try again, since a session that was open stays open, or raise reply_timeout.",
            request=asked,
            timeout=self._reply_timeout,
        )

    async def _ask_version(self) -> str:
        versions: list[str] = []

        def read(reply: Reply) -> None:
            match getattr(reply, "content", None):
                case {"doc": {"version": str(version)}}:
                    versions.append(version)
                case _:
                    raise ApplyError("the server's document does not name its version.")

        await self._answer(self._engine.ask(Ask.PULL, read))
        return versions[0]

    async def _show(
        self, obj: UIElement | None, browser: str | None, new: BrowserTarget, controller: BrowserLike | None
    ) -> None:
        if obj is not None:
            check_model(obj)
            self._check()
            document = self.document
            if document is None:
                raise UsageError("there is no document to add to yet: call pull() or push() first.")
            if obj not in document.roots:
                document.add_root(obj)
        if self.connected:
            await self.force_roundtrip()  # the page must find what was just added
        open_page(urls.page_url(self._url, self._id), browser, new, controller)

    def _post(self, request: Request) -> None:
        self._check_process()
        assert self._channel is not None
        refusal = self._channel.post(request)
        if refusal is not None:
            self._engine.handle(Answered((request,), None, refusal))
        if self._runner.is_crowded and not self._engine.is_letting_go:
            self._runner.tidy()

    def _resume(self, again: Sequence[Group], doubted: Group, losses: int) -> None:
        assert self._channel is not None
        self._channel.resume(again, doubted, losses)

    def _handle(self, inbound: Inbound) -> None:
        if isinstance(inbound, Lost) and isinstance(inbound.error, ConnectionLost):
            self._loss, self._disconnection = inbound.error, None
            # Once raised it has this session in its traceback, and the channel keeps it.
            self._lifeline.channel, self._lifeline.lost = None, inbound.error.unconfirmed
        self._engine.handle(inbound)
        if isinstance(inbound, Lost) and inbound.error is not None and not self._loss_told:
            self._loss_told = True  # first, as below
            self._trouble.tell(inbound.error)
        if isinstance(inbound, Disconnected) and self._disconnection is not inbound.error:
            self._disconnection = inbound.error  # first, since the program may end itself when it is told
            self._trouble.tell_disconnection(inbound.error)

    def _check(self) -> None:
        """Raise what keeps a call from being useful."""
        self._check_process()
        self._runner.check()
        self._runner.pump()
        self._engine.catch_up()
        self._check_state()

    def _check_process(self) -> None:
        if self._lifeline.is_inherited:
            raise UsageError("this session belongs to the process that made it. Make a new one after a fork.")

    def _check_state(self) -> None:
        self._trouble.raise_first()
        if self._closed and self._finished_by in (None, threading.get_ident()):
            self._raise_late()
            raise SessionClosed("the session was closed. Make a new one to go on.")
        if self._loss is not None:
            self._raise_loss(self._loss)

    def _raise_late(self) -> None:
        """Name what was changed after the end of the interpreter had closed the session, if anything was."""
        late = self._engine.late_changes
        if late:
            self._engine.close()
            raise SessionClosed(
                f"the session had been closed with the program when these changes were made: {some_of(late)} "
                f"({len(late)} in all). Register the atexit function after bokehwire is imported, to run before that.",
                unconfirmed=late,
            )

    def _raise_loss(self, loss: ConnectionLost) -> NoReturn:
        loss = self._loss = self._told(loss)
        raise loss.with_traceback(None)

    def _told(self, loss: ConnectionLost) -> ConnectionLost:
        """Give a loss with all that it has cost, for the program to be told; from then on its document is its own."""
        try:
            self._engine.take_up_all()
        except Exception as error:  # of the program's handlers, which are told of these changes now
            loss.add_note(f"Letting go of what was held back failed: {type(error).__name__}: {error}")
        complete = describe_late(loss, self._engine.late_changes)
        self._engine.close()
        self._loss_raised, self._lifeline.lost = True, ()
        return complete

    def _require_connection(self) -> Channel:
        self._check()
        if self._channel is None:
            raise UsageError("the session is not connected: call connect(), pull() or push() first.")
        return self._channel
