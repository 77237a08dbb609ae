"""What a real Bokeh server for the tests is, whatever serves it: tests/servers.py has the kinds."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self, TypeVar

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.session import ServerSession

from .apps import APPS, App

T = TypeVar("T")

HOST = "127.0.0.1"
# Seconds until a helper gives up. Nothing is measured by it; it turns a hang into a failed test.
DEADLINE = 20.0
# Begins the name of every thread that belongs to a test server.
THREAD_PREFIX = "test-server"


class LiveServer(ABC):
    """A server that runs between `with` and the end of the block.

    Args:
        apps: The applications by path; the standard ones by default.
        prefix: Stands before every path of the server, such as "/some/where".
        options: Passed on to BokehTornado or BokehASGI.
    """

    def __init__(self, apps: Mapping[str, App] = APPS, *, prefix: str = "", **options: Any) -> None:
        # One Application is created for each server: Bokeh adds handlers to those that it is given.
        self._apps = {path: Application(FunctionHandler(app)) for path, app in apps.items()}
        self._prefix = prefix.rstrip("/")
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._port: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name=f"{THREAD_PREFIX}-{self.kind}", daemon=True)

    kind: str

    @property
    def port(self) -> int:
        return self._port.result(DEADLINE)

    def url(self, path: str = "/") -> str:
        """The address of an app, as `pull_session` takes it."""
        return f"http://{HOST}:{self.port}{self._prefix}{path}"

    def websocket_url(self, path: str = "/") -> str:
        """The address of an app's WebSocket, as `ClientSession` takes it."""
        return f"ws://{HOST}:{self.port}{self._prefix}{path.rstrip('/')}/ws"

    def start(self) -> Self:
        self._thread.start()
        self._port.result(DEADLINE)
        return self

    def stop(self) -> None:
        """Closes the connections and ends the loop and its thread; a second stop does nothing."""
        if not self._thread.is_alive():
            return
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the server's thread has not ended"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def session(self, session_id: str, path: str = "/") -> ServerSession:
        """The server's object for a session; raises Bokeh's ProtocolError when there is none."""
        return self.call(lambda: self._session(session_id, path))

    def session_ids(self, path: str = "/") -> set[str]:
        return self.call(lambda: {str(session.id) for session in self._sessions(path)})

    def call(self, function: Callable[[], T]) -> T:
        """Runs the function on the server's loop, without any lock, and returns its result."""

        async def run() -> T:
            return function()

        return self.submit(run()).result(DEADLINE)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Starts a coroutine on the server's loop."""
        if self._loop is None or not self._thread.is_alive():
            coroutine.close()
            raise RuntimeError("the server is not running")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def edit(self, session_id: str, change: Callable[[Document], T], path: str = "/") -> T:
        """Runs `change` with the session's document, locked; returns its result when the patches have been written.

        A server's write waits for a client that does not read, so this must not be called on the loop that the client
        runs on: use `aedit` there.
        """
        return self.submit(self._edit(session_id, change, path)).result(DEADLINE)

    async def aedit(self, session_id: str, change: Callable[[Document], T], path: str = "/") -> T:
        """The same for a test that is itself a coroutine."""
        return await asyncio.wrap_future(self.submit(self._edit(session_id, change, path)))

    def wait_for(self, session_id: str, predicate: Callable[[Document], object], path: str = "/") -> None:
        """Waits until the session's document on the server fulfils the predicate; it is asked after every change."""
        self.submit(self._wait_for(session_id, predicate, path)).result(DEADLINE)

    async def await_for(self, session_id: str, predicate: Callable[[Document], object], path: str = "/") -> None:
        """The same for a test that is itself a coroutine."""
        await asyncio.wrap_future(self.submit(self._wait_for(session_id, predicate, path)))

    def connection_count(self) -> int:
        """The number of TCP connections that are open."""
        return self.call(self._count)

    def drop_connections(self) -> None:
        """Resets every TCP connection, as a link that is cut does; the server goes on listening."""
        self.call(self._reset)

    async def _edit(self, session_id: str, change: Callable[[Document], T], path: str) -> T:
        session = self._session(session_id, path)
        # with_document_locked is a coroutine function, though Bokeh's annotations do not say so.
        edited: Any = session.with_document_locked(change, session.document)
        result: T = await edited
        return result

    async def _wait_for(self, session_id: str, predicate: Callable[[Document], object], path: str) -> None:
        loop = asyncio.get_running_loop()
        fulfilled = asyncio.Event()
        document = self._session(session_id, path).document

        def check(event: object) -> None:
            # Newer servers change documents in worker threads.
            if predicate(document):
                loop.call_soon_threadsafe(fulfilled.set)

        def attach(_: Document) -> None:
            document.on_change(check)
            check(None)

        await self._edit(session_id, attach, path)
        try:
            async with asyncio.timeout(DEADLINE):
                await fulfilled.wait()
        finally:
            document.remove_on_change(check)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            if self._port.done():
                raise
            self._port.set_exception(error)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        # Tells the threads that Bokeh 3.10 and newer run callbacks in from those of the code under test.
        self._loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix=THREAD_PREFIX))
        # What the server does not retrieve when a test cuts its connections is not the fault of the code under test.
        self._loop.set_exception_handler(lambda loop, context: None)
        await self._serve(self._stop)

    @abstractmethod
    async def _serve(self, stop: asyncio.Event) -> None:
        """Listens, gives the port to self._port, and ends in good order when `stop` is set."""

    @abstractmethod
    def _session(self, session_id: str, path: str) -> ServerSession: ...

    @abstractmethod
    def _sessions(self, path: str) -> list[ServerSession]: ...

    @abstractmethod
    def _count(self) -> int: ...

    @abstractmethod
    def _reset(self) -> None: ...
