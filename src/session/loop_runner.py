"""A runner for sessions that live on one asyncio loop: the asynchronous ones, and the blocking ones with an io_loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from .callbacks import CallbackSchedule, DueCallback
from .channel import Channel
from .errors import UsageError
from .requests import Inbound
from .runner import Handler, Trouble

__all__ = ["LoopRunner"]

T = TypeVar("T")


class LoopRunner:
    """Everything happens on one asyncio loop: the connection, the document, its callbacks and the waiting."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self.schedule = CallbackSchedule(time.monotonic, self._schedule_changed)
        self._waiters: dict[asyncio.Future[Any], Callable[[], Any]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._running: set[asyncio.Future[object]] = set()

    @property
    def is_handling(self) -> bool:
        """Whether the calling thread is inside a handler: no matter, since nothing blocks on this loop."""
        return False

    def connect_to(self, handle: Handler, trouble: Trouble) -> None:
        """Say who handles what arrives, and who is told of a callback that raises."""
        self._handle = handle
        self._trouble = trouble

    def make_turn(self) -> contextlib.AbstractAsyncContextManager[object]:
        """Give a lock of asyncio's."""
        return asyncio.Lock()

    @property
    def is_dead(self) -> bool:
        """Whether the session's loop is closed."""
        return self._loop is not None and self._loop.is_closed()

    @property
    def backlog(self) -> int:
        """Nothing: what arrives is handled at once."""
        return 0

    def check(self) -> None:
        """Raise UsageError when another loop than the session's is running."""
        if self._loop is not None and asyncio.get_running_loop() is not self._loop:
            raise UsageError(
                "this session belongs to the event loop on which it connected. Use it there, or make one session per "
                "loop."
            )

    async def perform(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine here, on the running loop."""
        self._loop = asyncio.get_running_loop()
        return await coroutine

    def adopt(self, channel: Channel, finish: Callable[[float], object]) -> bool:
        """Do nothing: the loop's owner ends the loop."""
        return False

    def deliver(self, inbound: Inbound) -> None:
        """Handle what arrived at once."""
        interruption = self._interrupted_by(inbound)
        if interruption is not None:
            # By Ctrl-C, or a handler of the program. It must not end the reader on its way.
            self._pass_on(interruption)
            # Once more, which the engine knows: nobody can tell how far it had come.
            self._interrupted_by(inbound)
        self._notify()

    def _interrupted_by(self, inbound: Inbound) -> BaseException | None:
        try:
            self._handle(inbound)
        except Exception:
            raise
        except BaseException as interruption:  # none of this task: nothing is awaited here
            return interruption
        return None

    def _pass_on(self, interruption: BaseException) -> None:
        """Have it leave the loop, or else the call that waits, as where a test framework ends a test in a handler."""
        leaves_the_loop = isinstance(interruption, KeyboardInterrupt | SystemExit | asyncio.CancelledError)
        waiting = next((future for future in self._waiters if not future.done()), None)
        if leaves_the_loop or waiting is None:
            asyncio.get_running_loop().call_soon(_raise, interruption)
        else:
            waiting.set_exception(interruption)

    def pump(self) -> None:
        """Do nothing: what arrives is handled at once."""

    @property
    def is_crowded(self) -> bool:
        """Never: what arrives is handled at once."""
        return False

    def tidy(self) -> None:
        """Do nothing: what arrives is handled at once."""

    def release(self) -> None:
        """Cancel the asynchronous document callbacks that are still running, except one that closes the session.

        Those that wait for the session are told: when it has never been connected, nothing else tells them.
        """
        for task in self._running - {asyncio.current_task()}:
            task.cancel()
        self._notify()

    async def wait(self, condition: Callable[[], T], timeout: float | None, *, callbacks: bool = False) -> T | None:
        """Await a condition; document callbacks run whenever the loop does."""
        value = condition()
        if value:
            return value
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T | None] = loop.create_future()
        self._waiters[future] = condition
        # asyncio.wait, wait_for and timeout would each take a further turn of the loop, or a task of their own.
        timer = None if timeout is None else loop.call_later(timeout, _give_up, future)
        try:
            return await future
        finally:
            del self._waiters[future]
            if timer is not None:
                timer.cancel()

    def _notify(self) -> None:
        for future, condition in list(self._waiters.items()):
            if future.done():
                continue
            try:
                value = condition()
            except StopIteration as error:  # which a future does not take
                future.set_exception(RuntimeError(f"the condition raised {error!r}"))
            except BaseException as error:  # also an interruption: it is for the one who waits, not for the reader
                future.set_exception(error)
            else:
                if value:
                    future.set_result(value)

    def _schedule_changed(self) -> None:
        """Follow a change of the schedule, which any thread may have made."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._arm)

    def _arm(self) -> None:
        """Set the timer to the next document callback."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.schedule.next_due()
        if due is not None and self._loop is not None and not self._loop.is_closed():
            self._timer = self._loop.call_later(max(0.0, due - time.monotonic()), self._run_due)

    def _run_due(self) -> None:
        self._timer = None
        due: deque[DueCallback] = deque()
        try:
            self.schedule.take_due(due)
            while due:
                if self.schedule.is_current(due[0]):
                    self._start(due[0])
                due.popleft()
        finally:
            for entry in due:  # an interruption has come between
                self.schedule.finished(entry)
            self._arm()
            self._notify()

    def _start(self, entry: DueCallback) -> None:
        rest: Awaitable[object] | None = None
        try:
            rest = entry.start()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self._report(error)
        finally:
            if rest is None:
                self.schedule.finished(entry)
        if rest is None:
            return
        task = asyncio.ensure_future(rest)
        self._running.add(task)
        task.add_done_callback(lambda done: self._finish(entry, done))

    def _finish(self, entry: DueCallback, task: asyncio.Future[object]) -> None:
        self._running.discard(task)
        self.schedule.finished(entry)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):  # which have left the loop
            self._report(error)
        self._arm()
        self._notify()

    def _report(self, error: BaseException) -> None:
        """Tell of what a document callback has raised."""
        if isinstance(error, Exception):
            self._trouble(error)
        else:
            self._pass_on(error)


def _give_up(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_result(None)


def _raise(error: BaseException) -> None:
    raise error
