"""The portal: one background thread with one asyncio loop, for the I/O of every blocking session of a process.

The loop is uvloop's where that is installed; benchmarks/ has what it makes of a round trip.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import os
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from .channel import Channel
from .errors import UsageError

__all__ = ["Portal"]

T = TypeVar("T")

_JOIN_TIMEOUT = 5.0


class _Call(Generic[T]):
    """A coroutine that one thread waits for while the portal's thread runs it: `start` and `cancel` are for that one.

    No Future and no Event: Ctrl-C inside of their wait can leave their lock taken, for which the portal's thread, and
    with it every session, would wait for ever.

    Attributes:
        is_over: Whether nothing of it runs any more.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[T] | None = None
        self._ended: SimpleQueue[None] = SimpleQueue()
        self.is_over = False

    def start(self) -> None:
        """Start the coroutine."""
        self._task = asyncio.get_running_loop().create_task(self._coroutine)
        self._task.add_done_callback(self._finish)

    def cancel(self) -> None:
        """End the coroutine, whether it has been started or not."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._coroutine.close()
            self._finish(None)

    def wait(self, timeout: float | None = None) -> None:
        """Block until the coroutine has ended.

        Raises:
            Empty: It has not, within this many seconds.
        """
        self._ended.get(timeout=timeout)

    def result(self) -> T:
        """What the coroutine returned; what it raised is raised. To be asked for once it has ended."""
        assert self._task is not None
        return self._task.result()

    def _finish(self, task: asyncio.Task[T] | None) -> None:
        if task is not None and not task.cancelled():
            task.exception()  # so that asyncio does not complain when the waiting thread was interrupted
        self.is_over = True
        self._ended.put(None)


class Portal:
    """A thread that runs coroutines for others. Use `Portal.current()`, which starts it at the first need."""

    _current: Portal | None = None
    _guard = threading.Lock()
    _is_over = False

    def __init__(self) -> None:
        self._loop = _new_event_loop()
        self._pid = os.getpid()
        self._channels: weakref.WeakKeyDictionary[Channel, Callable[[float], object]] = weakref.WeakKeyDictionary()
        self._thread = threading.Thread(target=self._run, name="bokehwire", daemon=True)
        self._thread.start()

    @classmethod
    def current(cls) -> Portal:
        """Give the process's portal, starting it if there is none, or if a fork has left its thread behind.

        Raises:
            UsageError: The program has ended, and the portal with it.
        """
        with cls._guard:
            portal = cls._current
            if portal is None or portal._pid != os.getpid():
                if cls._is_over:  # nothing would be called any more that could end another one
                    raise UsageError(
                        "the program has ended, and no blocking session can be opened any more. Open it before, or "
                        "register the atexit function that opens it after bokehwire is imported."
                    )
                cls._current = portal = Portal()
            return portal

    def watch(self, channel: Channel, finish: Callable[[float], object]) -> None:
        """Make sure that a channel which its session never closes does not outlive the interpreter's exit.

        Args:
            channel: A channel that lives on this portal's loop. It is not kept alive.
            finish: Called at the exit, in the thread that exits, before the channel is dropped; with the moment, on the
                monotonic clock, at which the exit began.
        """
        self._channels[channel] = finish

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the portal's loop and wait for it in the calling thread.

        An interruption of the wait, such as KeyboardInterrupt, cancels the coroutine before it propagates.

        Args:
            coroutine: What to run.

        Returns:
            What the coroutine returned. What it raises is raised here.
        """
        call = _Call(coroutine)
        try:
            self._loop.call_soon_threadsafe(call.start)
            call.wait()
            return call.result()
        except BaseException:
            # An interruption can come before the call has begun, and even before it was scheduled.
            if self._loop.is_closed():
                coroutine.close()
            elif not call.is_over:
                self._loop.call_soon_threadsafe(call.cancel)
                with suppress(Empty):
                    call.wait(_JOIN_TIMEOUT)
            raise

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    @classmethod
    def _stop_current(cls) -> None:
        portal, cls._is_over = cls._current, True
        if portal is None or portal._pid != os.getpid() or portal._loop.is_closed():
            return
        begun = time.monotonic()
        interruption: BaseException | None = None
        for finish in list(portal._channels.values()):
            try:
                finish(begun)
            except BaseException as error:  # Ctrl-C, or sys.exit in a handler: the others have their turn all the same
                interruption = interruption or error
        cls._current = None
        asyncio.run_coroutine_threadsafe(portal._abort_all(), portal._loop).result(_JOIN_TIMEOUT)
        portal._loop.call_soon_threadsafe(portal._loop.stop)
        portal._thread.join(_JOIN_TIMEOUT)
        if interruption is not None:
            raise interruption

    async def _abort_all(self) -> None:
        for channel in list(self._channels):
            await channel.abandon()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# Now, and not with the first session: what the program registers from here on is called before, and finds its sessions.
atexit.register(Portal._stop_current)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = importlib.import_module("uvloop").new_event_loop()
    return loop
