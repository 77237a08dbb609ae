"""The ASGI transport: WebSocket connections to an application in this process, without socket, port or thread.

It is written from the ASGI specification (asgi.readthedocs.io: WebSocket 2.4, Lifespan 2.0) and needs no library.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

from ._asgi_socket import AsgiWebSocket, scope_of
from ._lifespan import AsgiApp, Lifespan, Runs, StartupFailed
from ._target import parse_target
from .base import ConnectionOptions, WebSocket
from .errors import ConnectError, ConnectTimeout

__all__ = ["AsgiApp", "AsgiTransport"]


class AsgiTransport:
    """Connects to an ASGI application by calling it.

    The host and port of a URL are only told to the application, as its path and query are. The application runs on the
    event loop of its connections: of an asynchronous session its own, of a blocking session the background thread's, or
    the given `io_loop`. Within the application, blocking calls to a session of its own would wait for themselves.

    The application's lifespan starts with the first connection and, without a ``with`` block, is shut down when the
    last one has ended. Within ``with`` or ``async with``, it goes on until the block ends. All transports to one
    application share its run, which stays on one loop, so connections from two loops at once are refused.

    Three of the connection's options have no meaning without a network: ``ssl_context``, ``ping_interval`` and
    ``ping_timeout``. An application that does not end within ``close_timeout`` of being told that the connection has
    ended is cancelled; one that does not end within another ``close_timeout`` after that is left alone, and logged.

    Args:
        app: An ASGI 3 application, such as a `bokeh.server.asgi.BokehASGI` (Bokeh 3.10 and newer).
        root_path: The path that the application is mounted at, for its scope.
    """

    def __init__(self, app: AsgiApp, *, root_path: str = "") -> None:
        self._app = app
        self._root_path = root_path
        self._runs = Runs.of(app)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the application runs on; None while it does not run."""
        run = self._runs.current
        return None if run is None or run.is_over else run.loop

    def __enter__(self) -> Self:
        with self._runs.guard:
            self._runs.kept += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Shut the application down and wait for it, unless this is the very thread that its loop is running in."""
        run = self._let_go()
        if run is None:
            return
        if not run.loop.is_running():
            run.loop.run_until_complete(self._end(run))
        elif _running_loop() is run.loop:
            run.stop()
        else:
            asyncio.run_coroutine_threadsafe(self._end(run), run.loop).result()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        run = self._let_go()
        if run is None:
            return
        if run.loop is asyncio.get_running_loop():
            await self._end(run)
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._end(run), run.loop))

    def _let_go(self) -> Lifespan | None:
        """Leave a ``with`` block; return what nobody needs any more."""
        with self._runs.guard:
            self._runs.kept -= 1
            run = self._runs.current
            if self._runs.kept or run is None or run.holders or run.is_over:
                return None
            return run

    @staticmethod
    async def _end(run: Lifespan) -> None:
        run.stop()
        await run.ended()

    async def connect(self, options: ConnectionOptions) -> WebSocket:
        """See `Transport.connect`.

        Raises:
            ConnectError: Also if the application failed to start, or runs on another event loop already.
            HandshakeRefused: Status 403 if the application closed the connection instead of accepting it, as ASGI
                servers answer then, 500 if it raised (its exception is the ``__cause__``) or returned, or the status of
                the response that it sent.
        """
        target = parse_target(options.url)
        try:
            async with asyncio.timeout(options.connect_timeout):
                run = await self._join(target.url)
                try:
                    await run.started()
                except BaseException as error:
                    await self._leave_and_wait(run)
                    if isinstance(error, StartupFailed):
                        raise ConnectError(f"the application failed to start: {error}", url=target.url) from error
                    raise
                scope = scope_of(target, options, self._root_path, run.state)
                socket = AsgiWebSocket(options, self._app, scope, leave=lambda: self._leave(run), run=run)
                return await socket.opened(target.url)
        except ConnectError:
            raise
        except TimeoutError as error:
            raise ConnectTimeout.after(target.url, options.connect_timeout) from error

    async def _join(self, url: str) -> Lifespan:
        """Give the run of the application on this loop, with one holder more."""
        loop = asyncio.get_running_loop()
        while True:
            with self._runs.guard:
                run = self._runs.current
                if run is None or run.is_over:
                    run = self._runs.current = Lifespan(self._runs)
                if run.loop is not loop:
                    raise ConnectError(
                        "the application runs on another event loop already, and cannot run on two. Close the sessions "
                        "that use it there, or give this one an AsgiTransport with an application of its own.",
                        url=url,
                    )
                if not run.is_stopping:
                    run.holders += 1
                    return run
            await run.ended()

    def _leave(self, run: Lifespan) -> None:
        with self._runs.guard:
            run.holders -= 1
            if run.holders or self._runs.kept:
                return
        run.stop()

    async def _leave_and_wait(self, run: Lifespan) -> None:
        self._leave(run)
        if run.is_stopping:
            await run.ended()


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
