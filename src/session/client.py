"""The blocking session: the documented API of `bokeh.client.session.ClientSession`, a thin face over the async one."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, Unpack

from ..transports import ConnectError
from .aio import AsyncClientSession
from .checks import close_reason
from .constants import DEFAULT_SERVER_WEBSOCKET_URL
from .driving import drive, event_loop_of, in_loop, run_from_outside
from .errors import UsageError
from .loop_runner import LoopRunner
from .options import SessionOptions
from .runner import run_to_end
from .show import BrowserTarget
from .thread_runner import ThreadRunner
from .trouble import note_failed_close
from .turns import Turn

if TYPE_CHECKING:
    from bokeh.client.states import ErrorReason
    from bokeh.core.types import ID
    from bokeh.document import Document
    from bokeh.models.ui import UIElement
    from tornado.ioloop import IOLoop

__all__ = ["ClientSession"]

T = TypeVar("T")

_NESTED = (
    "connect, pull and push of a blocking session cannot be called from a callback that runs inside another of them."
)
_OTHERS_TURN = "another thread is inside connect, pull or push; a handler cannot wait for its turn."


class ClientSession:
    """A connection to one session of a Bokeh server, keeping a Document equal to the server's.

    The documented API of `bokeh.client.session.ClientSession`. Call `pull` or `push` first, and `close` at the end, or
    use the session as a context manager.

    Without `io_loop`, the connection is served by one background thread that all blocking sessions of the process
    share, and the calling thread is never inside an event loop: it works in notebooks, inside `asyncio.run`, and in the
    threads of web frameworks. Changes from the server wait until a thread looks: `document` and every method apply
    them. Several threads may use a session: `connect`, `pull` and `push` take turns, the other calls may overlap, and
    each change is applied once, in whichever of the threads is inside a call. A Document of Bokeh has no lock: where
    one thread streams to a source while another one's call replaces its data, Bokeh may raise a RuntimeError. Both
    sides end equal all the same.

    With `io_loop`, each call drives that loop in the calling thread until it is done, and changes from the server are
    applied whenever the loop runs. A Bokeh server on the same loop works. Only one thread can drive it at a time, and
    callbacks that run on it cannot make blocking calls. In either case `close` may be called from any thread.

    Args:
        session_id: The name of the session on the server; None makes a new one.
        websocket_url: The ws or wss URL of the application, whose path ends in "/ws".
        io_loop: A Tornado IOLoop, or an asyncio loop, that is not running; None uses the background thread. Nothing is
            read while nobody drives the loop, so that a server which has much to say waits, and its other viewers too.
        arguments: HTTP request arguments for the application. They count only when the session is new.
        max_message_size: The largest WebSocket message accepted from the server, in bytes.
        **options: Further options by keyword, such as `transport="aiohttp"` or `reply_timeout=5`; `AsyncClientSession`
            lists them all.

    Raises:
        ValueError: `transport` names no transport, `session_id` is empty, or a number is not above 0.
        TypeError: `io_loop` is not a loop, `session_id` is not text, or `arguments` or `headers` is not a mapping.
        ImportError: The transport's library is not installed.
    """

    _session_class: ClassVar[type[AsyncClientSession]] = AsyncClientSession  # what a subclass is the blocking face of

    def __init__(
        self,
        session_id: str | None = None,
        websocket_url: str = DEFAULT_SERVER_WEBSOCKET_URL,
        io_loop: IOLoop | asyncio.AbstractEventLoop | None = None,
        arguments: Mapping[str, str | Sequence[str]] | None = None,
        max_message_size: int = 20 * 1024 * 1024,
        **options: Unpack[SessionOptions],
    ) -> None:
        self._loop = None if io_loop is None else event_loop_of(io_loop)
        self._turn = Turn()  # connect, pull and push one at a time
        self._driving = Turn()
        self._closing: asyncio.Task[None] | None = None
        self._runner = ThreadRunner() if self._loop is None else LoopRunner()
        self._session = self._session_class(
            session_id,
            websocket_url,
            arguments,
            max_message_size,
            _runner=self._runner,
            **options,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception as trouble:
            if error is None:
                raise
            note_failed_close(error, trouble)

    @property
    def connected(self) -> bool:
        """Whether the server has acknowledged the session and the connection stands."""
        return self._session.connected

    @property
    def document(self) -> Document | None:
        """The document kept equal to the server's; None before the first pull or push.

        Looking at it applies the changes from the server that have arrived.
        """
        return self._session.document

    @property
    def id(self) -> ID:
        """The name of the session on the server."""
        return self._session.id

    @property
    def token(self) -> str:
        """A token that authenticates the session, made anew from Bokeh's settings as they are now."""
        return self._session.token

    @property
    def url(self) -> str:
        """The WebSocket URL of the application."""
        return self._session.url

    @property
    def error_reason(self) -> ErrorReason | None:
        """Why there is no connection, as `bokeh.client.states.ErrorReason`; None while there is none to give."""
        return self._session.error_reason

    @property
    def error_code(self) -> int | None:
        """The HTTP status or close code of the failure; None when it has no code, 0 when there was no failure."""
        return self._session.error_code

    @property
    def error_detail(self) -> str:
        """What is known of the failure, in words; empty when there was none."""
        return self._session.error_detail

    def connect(self) -> None:
        """Connect to the server. Does nothing when the session is connected.

        As in `bokeh.client`, a failure to connect is not raised here: `connected` is False, `error_reason`,
        `error_code` and `error_detail` say why, and `check_connection_errors` raises it. A later call tries again.

        Raises:
            ValueError: The token, an argument or a header cannot be sent; it says which.
            ConnectionLost: The session was connected, and the connection was lost.
            SessionClosed: The session was closed.
        """
        with contextlib.suppress(ConnectError):  # the session keeps it for check_connection_errors
            self._run_in_turn(self._session.connect())

    def close(self, why: str = "closed") -> None:
        """Send what is pending, and what the document holds back; wait for the server to confirm it, and disconnect.

        Does nothing when the session is closed or was never connected. Inside a callback that runs on the session's own
        `io_loop`, the close is scheduled, and this returns at once; `run_until_closed`, or the next `close` outside the
        loop, waits for its end and raises what it raised.

        Args:
            why: The close reason the server is given; what is over 123 bytes in UTF-8 is cut off.

        Raises:
            TypeError: `why` is not text. The session stays open.
            SessionClosed: The server did not confirm all changes within `close_timeout`; it names them. The connection
                is closed all the same. Or the end of the program has closed the session, before changes that an atexit
                function has made since.
            PatchRejected: The server rejected a change since the last call.
            ApplyError: A change from the server could not be applied, or a handler raised while it was.
            ConnectionLost: The connection had been lost with changes unconfirmed, and no call has said so yet.
        """
        close_reason(why)  # here, since a close that is scheduled could only say so later
        loop = self._loop
        if loop is None or loop.is_closed():
            run_to_end(self._session.close(why))
        elif in_loop(loop):
            if self._closing is None:
                self._closing = loop.create_task(self._session.close(why))
        elif loop.is_running():
            run_from_outside(loop, self._session.close(why), self._driving)
        else:
            self._run(self._close(why))

    def check_connection_errors(self) -> None:
        """Raise what keeps the session from being connected, if anything does.

        Raises:
            ConnectError: There is no connection; the message says why. It is an OSError. A 404 names the application's
                path and the URL.
        """
        self._session.check_connection_errors()

    def pull(self) -> None:
        """Load the server's document into `document`, connecting first if needed.

        A second pull overwrites the contents of the same Document object. Nothing is changed on the server. What you
        change while it is under way is there when it is done, though in other model objects.

        Raises:
            ConnectError: No connection could be made.
            RequestRefused: The server answered with an error.
            ApplyError: The document cannot be built here.
            ReplyTimeout: The server did not answer within `reply_timeout`.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
            PatchRejected: The server rejected a change that was made before, or while this was under way.
            UsageError: Such a change could not be sent, or was overwritten by what the server has. The error names it.
        """
        self._run_in_turn(self._session.pull())

    def push(self, document: Document | None = None) -> None:
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
        self._run_in_turn(self._session.push(document))

    def force_roundtrip(self) -> None:
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
        self._run(self._session.force_roundtrip())

    def request_server_info(self) -> dict[str, Any]:
        """Ask for the versions of the server. The first answer is kept.

        Returns:
            `{"version_info": {"bokeh": ..., "server": ...}}`, both versions as strings. Bokeh 4 servers, which have no
            such request, are asked through their document, which names the version of Bokeh that wrote it.

        Raises:
            RequestRefused: The server answered with an error.
            ReplyTimeout: The server did not answer within `reply_timeout`.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
            UsageError: The session is not connected yet.
        """
        return self._run(self._session.request_server_info())

    def show(self, obj: UIElement | None = None, browser: str | None = None, new: BrowserTarget = "tab") -> None:
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
        self._run(self._session.show(obj, browser, new))

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Process changes from the server and the document's callbacks until a predicate holds.

        Args:
            predicate: Evaluated at once, and after each change from the server; a true value ends the wait.
            timeout: In seconds, None for ever. With 0 or less, the predicate is evaluated once.

        Returns:
            The predicate's true value.

        Raises:
            TypeError: The predicate is not a function, or an asynchronous one.
            ValueError: `timeout` is not a number.
            WaitTimeout: The predicate did not hold in time. It is a TimeoutError.
            PatchRejected: The server rejected a change.
            ApplyError: A change from the server could not be applied, or a handler raised while it was.
            UsageError: The session belongs to the process that this one is a fork of.
            ConnectionLost: The connection was lost.
            SessionClosed: The session was closed.
        """
        return self._run(self._session.wait_for(predicate, timeout))

    def run_until_closed(self) -> None:
        """Process changes from the server and the document's callbacks in this thread, until the session is closed.

        Either side may close it; an interruption by Ctrl-C closes it too, and returns.

        Raises:
            PatchRejected: The server rejected a change.
            ApplyError: A change from the server could not be applied, or a handler raised while it was.
            UsageError: The session belongs to the process that this one is a fork of.
            ConnectionLost: The connection was lost with changes unconfirmed.
        """
        try:
            self._run(self._run_until_closed())
        except KeyboardInterrupt:
            self.close("user interruption")

    _loop_until_closed = run_until_closed

    async def _close(self, why: str) -> None:
        await self._finish_closing()
        await self._session.close(why)

    async def _run_until_closed(self) -> None:
        await self._session.run_until_closed()
        await self._finish_closing()

    async def _finish_closing(self) -> None:
        """Wait for the close that a callback has scheduled, if one has."""
        closing, self._closing = self._closing, None
        if closing is not None:
            await closing

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            return run_to_end(coroutine)
        return drive(self._loop, coroutine, self._driving)

    def _run_in_turn(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            if self._turn.is_mine:
                raise UsageError(_NESTED)
            # A handler keeps others from handling what arrives, so it must not wait for one that waits for that.
            timeout = 0 if self._runner.is_handling else -1
            done = self._turn.run(lambda: (self._run(coroutine),), timeout)
            if done is None:
                raise UsageError(_OTHERS_TURN)
            return done[0]
        finally:
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()
