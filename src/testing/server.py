"""A real Bokeh server on a free loopback port, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self

from bokeh.server.server import Server

from .applications import App
from .stage import Stage

if TYPE_CHECKING:
    from bokeh.application import Application

__all__ = ["AppServer"]

_HOST = "localhost"  # the one origin from which Bokeh accepts connections of pages unless told otherwise
_PATIENCE = 60.0  # seconds to start or to stop; only what hangs takes as long


class AppServer:
    """Bokeh's own server with one or more apps, until `stop` or the end of a `with` block.

    It runs in this process, so that a test may look into what the app does. Its port is free, and on the loopback
    interface.

    Args:
        apps: One app, which is served at "/", or apps by their paths. An app is a function that modifies a Document, a
            function without arguments that returns a Panel object, an Application, the path of a script, a notebook or
            a directory, or a Panel object.
        **options: Passed on to `bokeh.server.server.Server`, such as `prefix`.

    Raises:
        TypeError: An app is nothing that makes a document.
        FileNotFoundError: There is no file at an app's path.
        RuntimeError: The file cannot be an app.
        ValueError: There are no apps, or one is at no path.
    """

    def __init__(self, apps: App | Mapping[str, App], **options: Any) -> None:
        by_path = apps if isinstance(apps, Mapping) else {"/": apps}
        _check_paths(by_path)
        self._stages = {path: Stage(app) for path, app in by_path.items()}
        self._options = options
        self._prefix = "/".join(("", *filter(None, str(options.get("prefix", "")).split("/"))))
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name="bokehwire-app-server", daemon=True)

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._started.result(_PATIENCE)

    @property
    def paths(self) -> tuple[str, ...]:
        """Where the apps are."""
        return tuple(self._stages)

    def url(self, path: str = "/") -> str:
        """Give the address of an app, as a browser and `pull_session` take it.

        Args:
            path: The app's path.

        Raises:
            ValueError: There is no app at the path.
        """
        self.stage(path)
        return f"http://{_HOST}:{self.port}{self._prefix}{path}"

    def stage(self, path: str = "/") -> Stage:
        """Give the app at a path.

        Args:
            path: The path.

        Raises:
            ValueError: There is none.
        """
        if path not in self._stages:
            raise ValueError(f"there is no app at {path!r}; there are apps at {', '.join(map(repr, self._stages))}.")
        return self._stages[path]

    def start(self) -> Self:
        """Start the server.

        Returns:
            The server, listening.
        """
        self._thread.start()
        self._started.result(_PATIENCE)
        return self

    def stop(self) -> None:
        """Stop the server, and drop the connections that are left. Does nothing when it has stopped or never ran."""
        if self._loop is None or self._stop is None or not self._thread.is_alive():
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            raise RuntimeError(f"the server has not stopped within {_PATIENCE} s: a callback of an app still runs.")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def _run(self) -> None:
        server: Server | None = None
        try:
            with asyncio.Runner() as runner:
                server = runner.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)
        if server is not None:
            # Connections outlive Bokeh's stop(); this closes the sockets that were registered on the loop.
            server.io_loop.close(all_fds=True)

    async def _serve(self) -> Server:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        apps: dict[str, Application] = {path: stage.application for path, stage in self._stages.items()}
        server = Server(apps, address=_HOST, port=0, **self._options)
        server.start()
        assert server.port is not None
        self._started.set_result(server.port)
        await self._stop.wait()
        server.stop()
        if hasattr(server, "wait_until_stopped"):  # Bokeh 3.10 and newer end their sessions asynchronously
            await server.wait_until_stopped()
        return server


def _check_paths(apps: Mapping[Any, App]) -> None:
    if not apps:
        raise ValueError("a server needs an app, or several by their paths.")
    for path in apps:
        if path != "/" and not (isinstance(path, str) and path.startswith("/") and not path.endswith("/")):
            raise ValueError(f"an app is served at '/' or at a path such as '/a', not at {path!r}.")
