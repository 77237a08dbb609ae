"""The asynchronous session, which is the real one: the blocking session is a thin face over it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from bokeh.document import Document

from ..protocol import Generation, ServerInfoReply
from ..transports import ConnectError, HandshakeRefused, Transport, resolve
from . import urls
from .attachment import Attachment
from .checks import check_callables, check_model, check_wait, close_reason
from .constants import DEFAULT_SERVER_WEBSOCKET_URL
from .credentials import checked_id, new_session_id
from .errors import ApplyError, ConnectionLost, UsageError, WaitTimeout
from .loop_runner import LoopRunner
from .reconnecting import Reconnect, Reconnection, checked_policy
from .requests import Ask, Reply
from .runner import Runner
from .settings import Settings
from .show import BrowserTarget, open_page
from .trouble import Trouble, note_failed_close

if TYPE_CHECKING:
    from bokeh.client.states import ErrorReason
    from bokeh.core.types import ID
    from bokeh.models.ui import UIElement
    from bokeh.util.browser import BrowserLike

__all__ = ["AsyncClientSession"]

T = TypeVar("T")


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
        check_callables(on_error=on_error, on_disconnect=on_disconnect, on_reconnect=on_reconnect)
        self._settings = Settings(
            session_id=checked_id(session_id) if session_id is not None else new_session_id(),
            url=websocket_url,
            arguments=arguments,
            max_message_size=max_message_size,
            max_inbox_size=max_inbox_size,
            connect_timeout=connect_timeout,
            reply_timeout=reply_timeout,
            close_timeout=close_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            headers=headers,
            token=token,
        )
        self._runner = _runner if _runner is not None else LoopRunner()
        self._trouble = Trouble(self._settings.session_id, on_error, on_disconnect, on_reconnect)
        policy = checked_policy(reconnect)
        self._attachment = Attachment(self._settings, resolve(transport), self._runner, policy, self._trouble)
        self._engine = self._attachment.engine
        self._turn = self._runner.make_turn()  # connect, pull and push one at a time
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
        return self._attachment.is_connected

    @property
    def document(self) -> Document | None:
        """The document kept equal to the server's; None before the first pull or push."""
        self._runner.pump()
        self._engine.catch_up()
        return self._engine.document

    @property
    def id(self) -> ID:
        """The name of the session on the server."""
        return self._settings.session_id

    @property
    def token(self) -> str:
        """A token that authenticates the session, made anew from Bokeh's settings as they are now.

        BOKEH_SIGN_SESSIONS and BOKEH_SECRET_KEY must be the same as on the server. It expires 300 s after it was made.

        Raises:
            ValueError: Sessions are to be signed and there is no key, or what was given as `token` cannot be one.
        """
        return self._settings.make_token()

    @property
    def url(self) -> str:
        """The WebSocket URL of the application."""
        return self._settings.url

    @property
    def error_reason(self) -> ErrorReason | None:
        """Why there is no connection, as `bokeh.client.states.ErrorReason`; None while there is none to give."""
        from bokeh.client.states import ErrorReason

        self._runner.pump()
        failure = self._attachment.failure
        if isinstance(failure, HandshakeRefused):
            return ErrorReason.HTTP_ERROR
        if failure is not None:
            return ErrorReason.NETWORK_ERROR
        return ErrorReason.NO_ERROR if self._attachment.is_closed else None

    @property
    def error_code(self) -> int | None:
        """The HTTP status of a refused handshake or the close code of a lost connection.

        None when the failure has no code, 0 when there was no failure.
        """
        self._runner.pump()
        connect_error = self._attachment.connect_error
        if isinstance(connect_error, HandshakeRefused):
            return connect_error.status
        loss = self._attachment.loss or self._attachment.disconnection
        if loss is not None:
            return loss.code
        return 0 if connect_error is None else None

    @property
    def error_detail(self) -> str:
        """What is known of the failure, in words; empty when there was none."""
        self._runner.pump()
        failure = self._attachment.failure
        return "" if failure is None else str(failure)

    async def connect(self) -> None:
        """Connect to the server. Does nothing when the session is connected.

        Raises:
            ConnectError: No connection could be made; the subclass says why. A later call tries again.
            ValueError: The token, an argument or a header cannot be sent; it says which.
            ConnectionLost: The session was connected, and the connection was lost.
            SessionClosed: The session was closed.
        """
        self._attachment.check()
        async with self._turn:
            await self._attachment.connect()

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
        await self._attachment.close(close_reason(why))

    def check_connection_errors(self) -> None:
        """Raise what keeps the session from being connected, if anything does.

        Raises:
            ConnectError: There is no connection; the message says why. A 404 names the application's path and the URL.
        """
        self._runner.pump()
        if self.connected:
            return
        failure, url = self._attachment.failure, self._settings.url
        if isinstance(failure, ConnectError):
            raise failure
        if failure is not None:
            raise ConnectError(str(failure), url=url) from failure
        state = "was closed" if self._attachment.is_closed else "has not connected yet: call connect() first"
        raise ConnectError(f"the session {state} ({url}).", url=url)

    async def pull(self) -> None:
        """Load the server's document into `document`, connecting first if needed.

        A second pull overwrites the contents of the same Document object. Nothing is changed on the server. What you
        change while it is under way is there when it is done, though in other model objects.

        Raises:
            ConnectError: No connection could be made.
            RequestRefused: The server answered with an error.
            ApplyError: The document cannot be built here; the one that was there is left as it is or emptied.
            ReplyTimeout: The server did not answer within `reply_timeout`.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
            PatchRejected: The server rejected a change that was made before, or while this was under way.
            UsageError: Such a change could not be sent, or was overwritten by what the server has. The error names it.
        """
        self._attachment.check()
        async with self._turn:
            await self._attachment.connect()
            await self._attachment.answer(self._engine.pull())
        if not self._engine.is_settled:  # what was changed meanwhile comes back first, before it is built upon
            await self._attachment.until_settled()
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
        self._attachment.check()
        async with self._turn:
            current = self._engine.document
            if document is not None and current is not None and document is not current:
                raise ValueError(
                    "this session has another document already. Change session.document, or make a new session to push "
                    "a different one."
                )
            await self._attachment.connect()
            if document is None:
                document = current if current is not None else Document()
            await self._attachment.answer(self._engine.push(document))
        self._trouble.raise_first()

    async def force_roundtrip(self) -> None:
        """Wait until the server has processed all that was sent, and all that it sent meanwhile has been applied.

        Raises:
            PatchRejected: The server rejected a change.
            ApplyError: A change from the server could not be applied, or a handler raised while it was.
            ReplyTimeout: The server did not answer within `reply_timeout`.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
            UsageError: The session is not connected yet; or a change could not be sent, or was overwritten by what the
                server has before it was told of. The error names the change.
        """
        self._attachment.require_channel()
        await self._attachment.answer(self._engine.ask(Ask.ROUND_TRIP))
        await self._attachment.until_settled()
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
        channel = self._attachment.require_channel()
        if self._server_info is None:
            if channel.generation is Generation.V3:
                reply = await self._attachment.answer(self._engine.ask(Ask.SERVER_INFO))
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
            self._attachment.check_state()
            return None

        check_wait(predicate, timeout)
        self._attachment.check_process()
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
            return self._attachment.is_over

        self._attachment.check_process()
        self._runner.check()
        self._engine.catch_up()
        await self._runner.wait(condition, None, callbacks=True)
        self._attachment.raise_unconfirmed()

    async def _ask_version(self) -> str:
        versions: list[str] = []

        def read(reply: Reply) -> None:
            match getattr(reply, "content", None):
                case {"doc": {"version": str(version)}}:
                    versions.append(version)
                case _:
                    raise ApplyError("the server's document does not name its version.")

        await self._attachment.answer(self._engine.ask(Ask.PULL, read))
        return versions[0]

    async def _show(
        self, obj: UIElement | None, browser: str | None, new: BrowserTarget, controller: BrowserLike | None
    ) -> None:
        if obj is not None:
            check_model(obj)
            self._attachment.check()
            document = self.document
            if document is None:
                raise UsageError("there is no document to add to yet: call pull() or push() first.")
            if obj not in document.roots:
                document.add_root(obj)
        if self.connected:
            await self.force_roundtrip()  # the page must find what was just added
        open_page(urls.page_url(self._settings.url, self._settings.session_id), browser, new, controller)
