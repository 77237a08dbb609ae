"""The lifespan of an ASGI application: startup and shutdown, once for each run (Lifespan 2.0)."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
AsgiApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI 3 application. Frameworks annotate theirs in ways that only `Any` has in common."""

SHUTDOWN_TIMEOUT = 60.0
"""Seconds that an application's shutdown may take before it is cancelled."""

_GRACE = 5.0  # seconds, for what it does when it is cancelled

log = logging.getLogger(__name__)


class StartupFailed(Exception):
    """The application said that it could not start."""


class Runs:
    """The runs of one application, of which there is one at a time, whichever transports connect to it.

    Attributes:
        app: The application.
        guard: To be held while the others are looked at or changed.
        kept: How many blocks of transports keep the run going.
        current: The last run, None before the first.
    """

    def __init__(self, app: AsgiApp) -> None:
        self.app = app
        self.guard = threading.Lock()
        self.kept = 0
        self.current: Lifespan | None = None

    @staticmethod
    def of(app: AsgiApp) -> "Runs":
        """Give those of an application."""
        with _all_guard:
            runs = _all.get(id(app))
            if runs is None:
                runs = _all[id(app)] = Runs(app)
            return runs


# By the application's id: it may be anything that can be called, and is held for as long as its runs are.
_all: WeakValueDictionary[int, Runs] = WeakValueDictionary()
_all_guard = threading.Lock()


class Lifespan:
    """One run of an application on the running event loop, from its startup to its shutdown.

    Attributes:
        loop: The loop that it runs on.
        state: What the application keeps for its connections.
        holders: How many connections need it to run.
    """

    def __init__(self, runs: "Runs") -> None:
        self.loop = asyncio.get_running_loop()
        self.state: dict[str, Any] = {}
        self.holders = 0
        self._app = runs.app
        self._runs = runs  # which have to be known while this one goes on, though no transport may be left
        self._startup: asyncio.Future[None] = self.loop.create_future()
        self._stopping = asyncio.Event()
        self._asked = False
        # What the caller has in its context, such as another application's document, is none of this one's business.
        self._task = self.loop.create_task(self._run(), context=contextvars.Context())

    @property
    def is_stopping(self) -> bool:
        """Whether it has been told to end."""
        return self._stopping.is_set()

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left: it has ended, or its loop has."""
        return self.loop.is_closed() or (self.is_stopping and self._task.done())

    async def started(self) -> None:
        """Wait until the application has started.

        Raises:
            StartupFailed: If it could not.
        """
        await asyncio.shield(self._startup)

    def stop(self) -> None:
        """Shut the application down. To be called on its loop."""
        if self.is_stopping:
            return
        self._stopping.set()
        if not self._startup.done():
            self._task.cancel()
        if not self._task.done():
            reaper = self.loop.call_later(SHUTDOWN_TIMEOUT, self._task.cancel)
            self._task.add_done_callback(lambda task: reaper.cancel())

    async def ended(self) -> None:
        """Wait until the application has shut down, or does not although it was cancelled."""
        _, left_over = await asyncio.wait({self._task}, timeout=SHUTDOWN_TIMEOUT + _GRACE)
        if left_over:
            log.error("the ASGI application goes on, although it was told to shut down and cancelled")

    async def _run(self) -> None:
        scope: Scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            # An application that raises before it has started does without lifespan events; the specification says so.
            if self._startup.done():
                log.error("the ASGI application raised in its lifespan", exc_info=error)
        finally:
            if not self._startup.done():
                self._startup.set_result(None)

    async def _receive(self) -> Event:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, event: Event) -> None:
        kind = event["type"]
        if kind == "lifespan.startup.complete" and not self._startup.done():
            self._startup.set_result(None)
        elif kind == "lifespan.startup.failed" and not self._startup.done():
            self._startup.set_exception(StartupFailed(event.get("message") or "it does not say why"))
            self._startup.exception()  # whoever waited may be gone
        elif kind == "lifespan.shutdown.failed":
            log.error("the ASGI application could not shut down in good order: %s", event.get("message"))
