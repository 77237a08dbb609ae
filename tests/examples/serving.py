"""An ASGI application of the examples, served by uvicorn in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self, TypeVar

import uvicorn

from ..live import DEADLINE, HOST, THREAD_PREFIX
from ..uvicorns import Uvicorn

T = TypeVar("T")


class Served:
    """Runs between `with` and the end of the block.

    Args:
        app: The application.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._ready: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, name=f"{THREAD_PREFIX}-example", daemon=True)

    @property
    def port(self) -> int:
        return self._ready.result(DEADLINE)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/"

    @property
    def websocket_url(self) -> str:
        return f"ws://{HOST}:{self.port}/ws"

    def call(self, function: Callable[[], T]) -> T:
        """Run the function on the server's loop and return its result."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(DEADLINE)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result(DEADLINE)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the server's thread has not ended"

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        config = uvicorn.Config(
            self._app, host=HOST, port=0, ws="websockets-sansio", log_config=None, access_log=False, lifespan="off"
        )
        await Uvicorn(config, self._stop, self._ready).serve()
