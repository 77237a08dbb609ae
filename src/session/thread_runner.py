"""A runner for blocking sessions: the connection lives on the portal's loop, everything else in the calling thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from ..protocol import Ok
from .callbacks import CallbackSchedule, DueCallback
from .channel import Channel
from .errors import UsageError
from .portal import Portal
from .requests import Answered, Ask, Inbound, Patched
from .runner import Handler, Trouble
from .turns import Turns

__all__ = ["ThreadRunner"]

T = TypeVar("T")

_MANY = 1000  # things that may wait before a change looks whether they are answers
_FOR_EVER = threading.TIMEOUT_MAX / 2  # seconds; the callbacks of a document may be due as late


class ThreadRunner:
    """The connection lives on the portal's loop; the document, its callbacks and the waiting in the calling thread."""

    def __init__(self) -> None:
        self._inbox: deque[Inbound] = deque()
        self._begun: list[Inbound] = []  # what is being handled, or was when an interruption came
        self._arrived = 0  # bytes of changes, theirs and ours, ever; counted by the portal's thread alone
        self._handled = 0  # of these; counted by whichever thread handles
        self._news = threading.Condition()
        self._handling = threading.RLock()  # what arrives is handled by one thread at a time, in order
        self._turns = Turns()
        self._changes = 0
        self.schedule = CallbackSchedule(time.monotonic, self._wake)

    @property
    def is_handling(self) -> bool:
        """Whether the calling thread is inside a handler or a document callback of the session."""
        return self._turns.is_inside

    def take(self, lock: threading.RLock) -> bool:
        """Wait for a lock, unless its holder waits for the calling thread in a handler of another session."""
        return self._turns.acquire(lock)

    def connect_to(self, handle: Handler, trouble: Trouble) -> None:
        """Say who handles what arrives, and who is told of a callback that raises."""
        self._handle = handle
        self._trouble = trouble

    @property
    def is_dead(self) -> bool:
        """Whether the portal is gone; it stays as long as the interpreter."""
        return False

    @property
    def backlog(self) -> int:
        """The bytes of changes that have arrived and that no thread has looked at."""
        return self._arrived - self._handled

    def check(self) -> None:
        """Allow any thread."""

    async def perform(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the portal's loop, and block until it is done."""
        return Portal.current().run(coroutine)

    def adopt(self, channel: Channel, finish: Callable[[float], object]) -> None:
        """Have the portal finish the session and drop the channel at the interpreter's exit."""
        Portal.current().watch(channel, finish)

    def deliver(self, inbound: Inbound) -> None:
        """Keep what arrived until the document's thread looks."""
        self._arrived += _size(inbound)
        self._inbox.append(inbound)
        self._wake()

    def pump(self) -> None:
        """Handle what has arrived, unless another thread does, or this one is inside a handler already."""
        if not self._handling.acquire(blocking=False):
            return
        try:
            while not self.is_handling and self._handle_next(None):
                pass
        finally:
            self._handling.release()

    @property
    def is_crowded(self) -> bool:
        """Whether so much waits that it is worth looking whether it can be handled at once."""
        return len(self._inbox) >= _MANY

    def tidy(self) -> None:
        """Handle the oldest of what waits as long as those are the server's confirmations of changes."""
        if self.is_handling or not self._handling.acquire(blocking=False):
            return
        try:
            while not self._begun and self._inbox and _is_confirmation(self._inbox[0]):
                self._handle_begun()
        finally:
            self._handling.release()

    def release(self) -> None:
        """Do nothing: everything ran to its end."""

    async def wait(self, condition: Callable[[], T], timeout: float | None, *, callbacks: bool = False) -> T | None:
        """Block until a condition holds, handling what arrives."""
        # Locks refuse to wait longer than TIMEOUT_MAX, some centuries.
        deadline = None if timeout is None or timeout >= _FOR_EVER else time.monotonic() + timeout
        while True:
            seen = self._changes
            value = condition()
            if value:
                return value
            if deadline is not None and time.monotonic() >= deadline:
                return None
            if not self._handle_next(deadline) and not (callbacks and self._run_due()):
                self._sleep(seen, deadline, callbacks)

    def _handle_next(self, deadline: float | None) -> bool:
        """Handle one thing that arrived, unless another thread handles something until the deadline."""
        if not self._inbox and not self._begun:
            return False
        if not self._turns.acquire(self._handling, -1 if deadline is None else _seconds_until(deadline)):
            return False
        try:
            if self.is_handling:  # a handler makes a call, while what it handles is not done
                if not self._inbox:
                    return False
                self._handle_inside(self._take())
            else:
                if not self._begun and not self._inbox:
                    return False
                self._handle_begun()
        finally:
            self._handling.release()
        self._wake()  # another thread may wait for what this has changed
        return True

    def _handle_begun(self) -> None:
        """Handle what an interruption has left, or else the next thing. What is handled twice, the engine knows."""
        if not self._begun:
            self._begun.append(self._inbox[0])  # rather in both places for a moment than in none
            self._take()
        try:
            self._handle_inside(self._begun[0])
        except Exception:
            self._begun.clear()
            raise
        self._begun.clear()

    def _handle_inside(self, inbound: Inbound) -> None:
        with self._turns.inside():
            self._handle(inbound)

    def _take(self) -> Inbound:
        inbound = self._inbox.popleft()
        self._handled += _size(inbound)
        return inbound

    def _wake(self) -> None:
        with self._news:
            self._changes += 1
            self._news.notify_all()

    def _sleep(self, seen: int, deadline: float | None, callbacks: bool) -> None:
        """Wait for news after those that were seen, for a callback to fall due, or for the deadline."""
        due = self.schedule.next_due() if callbacks else None
        until = min((moment for moment in (deadline, due) if moment is not None), default=None)
        with self._news:
            if seen == self._changes:
                self._news.wait(None if until is None else _seconds_until(until))

    def _run_due(self) -> bool:
        due = deque(self.schedule.take_due())
        ran = bool(due)
        try:
            while due:
                self._run_callback(due.popleft())
        finally:
            for entry in due:  # an interruption has come between
                self.schedule.put_back(entry)
        return ran

    def _run_callback(self, entry: DueCallback) -> None:
        try:
            self._turns.acquire(self._handling)
            try:
                with self._turns.inside():
                    rest = entry.start() if self.schedule.is_current(entry) else None
                    if rest is not None:
                        _run_here(rest)
            finally:
                self._handling.release()
        except UsageError:
            raise  # the program is told where it waits, not in its log
        except Exception as error:
            self._trouble(error)
        finally:
            self.schedule.finished(entry)


def _size(inbound: Inbound) -> int:
    """Give the bytes that are kept with what arrived."""
    match inbound:
        case Patched():
            return inbound.size
        case Answered():
            return sum(request.size for request in inbound.requests)
        case _:
            return 0


def _is_confirmation(inbound: Inbound) -> bool:
    if not isinstance(inbound, Answered) or not isinstance(inbound.reply, Ok):
        return False
    return all(request.ask is Ask.PATCH for request in inbound.requests)


def _seconds_until(moment: float) -> float:
    """Give a time to wait that threads can: they refuse to wait for some centuries, which is longer than needed."""
    return min(max(0.0, moment - time.monotonic()), threading.TIMEOUT_MAX)


def _run_here(awaitable: Awaitable[object]) -> None:
    """Run what is left of an asynchronous document callback to its end, in this thread."""

    async def complete() -> None:
        await awaitable

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(complete())
        return
    if asyncio.iscoroutine(awaitable):
        awaitable.close()
    raise UsageError(
        "an asynchronous document callback cannot run in a blocking session whose thread is inside an event loop. "
        "Use AsyncClientSession there."
    )
