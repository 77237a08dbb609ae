"""One WebSocket connection to an ASGI application: what an ASGI server would do between a socket and it."""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Sequence
from http.client import responses
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from ._connection import LibraryWebSocket, Message
from ._lifespan import AsgiApp, Event, Lifespan, Scope
from ._target import Target, check_answer
from .base import ConnectionOptions
from .errors import ConnectionClosed, HandshakeRefused, MessageTooBig

SEND_AHEAD = 64 * 1024
"""How many bytes may wait for the application's ``receive`` before `WebSocket.send` waits."""

log = logging.getLogger(__name__)


class _ClientDisconnected(OSError):
    """What the application's ``send`` raises when the connection has ended (ASGI WebSocket 2.4)."""


def scope_of(target: Target, options: ConnectionOptions, root_path: str, state: dict[str, Any]) -> Scope:
    """Give the scope that an application is called with for a connection.

    Args:
        target: Where to.
        options: How.
        root_path: Where the application is mounted.
        state: What its lifespan has left for its connections, which get a copy.
    """
    parts = urlsplit(target.url)
    headers = {"host": parts.netloc, "upgrade": "websocket", "connection": "Upgrade", "user-agent": "bokehwire"}
    headers |= {name.lower(): value for given in (target.headers, options.headers) for name, value in given.items()}
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": parts.scheme,
        "path": unquote(parts.path),
        "raw_path": parts.path.encode("ascii"),
        "query_string": parts.query.encode("ascii"),
        "root_path": root_path,
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 0),
        "server": (target.host, target.port),
        "subprotocols": list(options.subprotocols),
        "state": state.copy(),
        "extensions": {"websocket.http.response": {}},
    }


class AsgiWebSocket(LibraryWebSocket):
    """A connection to an application, which is called at once.

    Args:
        options: The connection's.
        app: The application.
        scope: What to call it with.
        leave: Called when the call of the application has ended.
        run: The run of the application that the connection belongs to.
    """

    def __init__(
        self, options: ConnectionOptions, app: AsgiApp, scope: Scope, *, leave: Callable[[], None], run: Lifespan
    ) -> None:
        super().__init__(options)
        self._run = run
        self._events: asyncio.Queue[tuple[Event, int]] = asyncio.Queue()
        self._waiting = 0
        self._drained: asyncio.Future[None] | None = None
        self._farewell: Event | None = None
        self._heard_farewell = False
        self._give_up_at: float | None = None
        self._reaper: asyncio.TimerHandle | None = None
        self._failure: Exception | None = None
        self._answer: asyncio.Future[tuple[int, str, dict[str, str]]] = self._loop.create_future()
        self._events.put_nowait(({"type": "websocket.connect"}, 0))
        # As with a server, the application does not see the context of its client.
        self._task = self._loop.create_task(self._serve(app, scope), context=contextvars.Context())
        # Not in the task itself, which may be cancelled before it begins.
        self._task.add_done_callback(lambda task: self._app_ended(leave))

    async def opened(self, url: str) -> Self:
        """Wait until the application has accepted the connection.

        Raises:
            ConnectError: If it did not; nothing is left of it then.
        """
        try:
            status, reason, headers = await asyncio.shield(self._answer)
            self._subprotocol = check_answer(url, status, reason, headers, self._options.subprotocols)
        except BaseException as error:
            if not isinstance(error, HandshakeRefused):
                self._task.cancel()
            failure = self._failure
            self.abort()
            await self._released()
            if isinstance(error, HandshakeRefused) and failure is not None:
                raise error from failure
            raise
        return self

    async def _serve(self, app: AsgiApp, scope: Scope) -> None:
        try:
            await app(scope, self._app_receive, self._app_send)
        except Exception as error:
            self._failure = error
            what = f"the application raised {type(error).__name__}: {error}"
        else:
            what = "the application returned"
        failure = self._failure
        if not self._answer.done():
            self._answer.set_result((500, what, {}))
        elif self._ended is None and not self._heard_farewell:
            ended = ConnectionClosed(reason=f"the connection was lost: {what} without closing it")
            ended.__cause__ = failure
            self._finish(ended)
        elif failure is not None and not isinstance(failure, _ClientDisconnected):
            log.error("the ASGI application raised after its connection had ended", exc_info=failure)

    def _app_ended(self, leave: Callable[[], None]) -> None:
        if not self._answer.done():
            self._answer.cancel()
        if not self._heard_farewell:
            self._finish_lost(None)
        self._fail_sender()
        if self._reaper is not None:
            self._reaper.cancel()
        leave()

    async def _app_receive(self) -> Event:
        if self._heard_farewell:
            assert self._farewell is not None
            return self._farewell
        event, size = await self._events.get()
        self._heard_farewell = event is self._farewell
        self._waiting -= size
        if self._drained is not None and self._waiting <= SEND_AHEAD:
            drained, self._drained = self._drained, None
            drained.set_result(None)
        return event

    async def _app_send(self, event: Event) -> None:
        kind = event["type"]
        if self._ended is not None or self._heard_farewell:
            raise _ClientDisconnected("the client has disconnected")
        if not self._answer.done():
            self._take_answer(kind, event)
        elif kind == "websocket.send":
            await self._take_message(event)
        elif kind == "websocket.close":
            code, reason = event.get("code", 1000), event.get("reason") or ""
            self._finish_closed(code, reason)
            self._say_farewell(code, reason)
        elif not kind.startswith("websocket.http.response."):
            raise RuntimeError(f"the application sent {kind!r} after it had accepted the connection")

    def _take_answer(self, kind: str, event: Event) -> None:
        if kind == "websocket.accept":
            subprotocol = event.get("subprotocol")
            self._answer.set_result((101, "", {} if subprotocol is None else {"Sec-WebSocket-Protocol": subprotocol}))
        elif kind == "websocket.close":
            self._answer.set_result((403, event.get("reason") or responses[403], {}))
        elif kind == "websocket.http.response.start":
            headers = {name.decode("latin-1").title(): value.decode("latin-1") for name, value in event["headers"]}
            status = event["status"]
            self._answer.set_result((status, responses.get(status, ""), headers))
        else:
            raise RuntimeError(f"the application sent {kind!r} before it had accepted the connection")

    async def _take_message(self, event: Event) -> None:
        data, text = event.get("bytes"), event.get("text")
        if data is None and not isinstance(text, str):
            raise TypeError("a websocket.send event needs text, or bytes")
        frame = bytes(data) if data is not None else text
        assert frame is not None
        limit = self._options.max_message_size
        # A character has at most four bytes.
        size = len(frame.encode()) if isinstance(frame, str) and len(frame) * 4 > limit else len(frame)
        if size > limit:
            error = MessageTooBig(limit=limit, size=size)
            self._finish(error)
            self._say_farewell(1009, error.reason)
            raise _ClientDisconnected("the client does not accept a message of this size")
        room = self._arrived(frame)
        if room is not None:
            await asyncio.shield(room)

    def _write(self, messages: Sequence[Message]) -> "asyncio.Future[None] | None":
        for binary, data in messages:
            payload = bytes(data)
            event: Event = {"type": "websocket.receive"}
            event["bytes" if binary else "text"] = payload if binary else payload.decode()
            self._waiting += len(payload)
            self._events.put_nowait((event, len(payload)))
        if self._waiting <= SEND_AHEAD:
            return None
        self._drained = self._loop.create_future()
        return self._drained

    def _fail_sender(self) -> None:
        if self._drained is not None:
            drained, self._drained = self._drained, None
            drained.set_exception(self._lost_sending(ConnectionError("the application does not receive any more")))
            drained.exception()  # the sender may have been cancelled

    def _say_farewell(self, code: int, reason: str) -> None:
        """Tell the application, behind what it has not received yet, that the connection has ended."""
        if self._farewell is None:
            self._farewell = {"type": "websocket.disconnect", "code": code, "reason": reason}
            self._events.put_nowait((self._farewell, 0))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """See `WebSocket.close`."""
        if self._give_up_at is None:
            self._give_up_at = self._loop.time() + self._options.close_timeout
        await super().close(code, reason)

    async def _say_goodbye(self, code: int, reason: str) -> None:
        self._say_farewell(code, reason)
        await asyncio.wait({self._task})
        self._finish(ConnectionClosed(code=code, reason=reason, clean=True))

    def _drop(self) -> None:
        if self._loop.is_closed():
            return
        self._say_farewell(1006, "")
        self._fail_sender()
        if self._reaper is None and not self._task.done():
            self._reaper = self._loop.call_later(self._options.close_timeout, self._task.cancel)

    async def _released(self) -> None:
        if not self._task.done():
            left = self._options.close_timeout
            if self._give_up_at is not None:
                left = max(0.0, self._give_up_at - self._loop.time())
            await asyncio.wait({self._task}, timeout=left)
            self._task.cancel()
            # What it waits for it may have shielded, as Bokeh's applications do with what they send.
            _, left_over = await asyncio.wait({self._task}, timeout=self._options.close_timeout)
            if left_over:
                log.error("the ASGI application goes on, although its connection has ended and it was cancelled")
                return
        await asyncio.sleep(0)  # the task's own callbacks
        if self._run.is_stopping:
            await self._run.ended()

    def _progress(self) -> int:
        return 0

    def _send_ping(self) -> None:
        """Do nothing: `_start_pings` is never called, since nothing can be lost between the two sides."""
