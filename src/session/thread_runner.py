"""A runner for blocking sessions: the connection lives on the portal's loop, everything else in the calling thread."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ..protocol import Ok
from .callbacks import CallbackSchedule, DueCallback
from .channel import Channel
from .errors import UsageError
from .portal import Portal
from .requests import Answered, Ask, Inbound, Patched
from .runner import Handler, Trouble
from .turns import Turn

__all__ = ["ThreadRunner"]

T = TypeVar("T")

_MANY = 1000  # things that may wait before a change looks whether they are answers
_LOOK_AGAIN = 1.0  # seconds; Ctrl-C may keep a thread from waking the others
_DEEP = 0.6  # of the recursion limit: what a handler does, and what arrives in its calls, has the rest
_FOR_EVER = threading.TIMEOUT_MAX / 2  # seconds; the callbacks of a document may be due as late


class ThreadRunner:
    """The connection lives on the portal's loop; the document, its callbacks and the waiting in the calling thread."""

    def __init__(self) -> None:
        self._inbox: deque[tuple[Inbound, int]] = deque()  # with the bytes that are kept with each
        self._begun: list[Inbound] = []  # what is being handled, or was when an interruption came
        self._level = 0  # how many of these are: a handler may make a call, in which the next thing is handled
        self._arrived = 0  # bytes of changes, theirs and ours, ever; counted by the portal's thread alone
        self._handled = 0  # of these; counted by whichever thread handles
        self._handling = Turn()  # what arrives is handled by one thread at a time, in order
        self._news: object = None  # another one after each change
        self._sleepers: set[SimpleQueue[None]] = set()  # one of each thread that waits for news
        self.schedule = CallbackSchedule(time.monotonic, self._wake)

    @property
    def is_handling(self) -> bool:
        """Whether the calling thread is inside a handler or a document callback of the session."""
        return self._handling.is_mine

    def connect_to(self, handle: Handler, trouble: Trouble) -> None:
        """Say who handles what arrives, and who is told of a callback that raises."""
        self._handle = handle
        self._trouble = trouble

    def make_turn(self) -> AbstractAsyncContextManager[object]:
        """Give nothing to wait for: the blocking session lets one thread at a time connect, pull or push."""
        return nullcontext()

    @property
    def is_dead(self) -> bool:
        """Whether the portal is gone; it stays as long as the interpreter."""
        return False

    @property
    def backlog(self) -> int:
        """The bytes of changes that have arrived and that no thread has looked at."""
        return self._arrived - self._handled

    def check(self) -> None:
        """Allow any thread, and calls in handlers; but not so many within each other that Python would end them."""
        if self.is_handling and _depth() > _DEEP * sys.getrecursionlimit():
            raise UsageError(
                "too many calls of this session are under way within each other: a handler has made one, in which the "
                "next change arrived, whose handler made one, and so on. Make the call when the handler has returned."
            )

    async def perform(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the portal's loop, and block until it is done."""
        try:
            portal = Portal.current()
        except BaseException:
            coroutine.close()  # or Python would complain that nobody has awaited it
            raise
        return portal.run(coroutine)

    def adopt(self, channel: Channel, finish: Callable[[float], object]) -> bool:
        """Have the portal finish the session and drop the channel at the interpreter's exit."""
        Portal.current().watch(channel, finish)
        return True

    def deliver(self, inbound: Inbound) -> None:
        """Keep what arrived until the document's thread looks."""
        size = _size(inbound)
        self._arrived += size
        self._inbox.append((inbound, size))
        self._wake()

    def pump(self) -> None:
        """Handle what has arrived, unless another thread does, or this one is inside a handler already."""
        if not self.is_handling:
            self._in_turn(self._handle_all)

    @property
    def is_crowded(self) -> bool:
        """Whether so much waits that it is worth looking whether it can be handled at once."""
        return len(self._inbox) >= _MANY

    def tidy(self) -> None:
        """Handle the oldest of what waits as long as those are the server's confirmations of changes."""
        if not self.is_handling:
            self._in_turn(self._handle_confirmations)

    def release(self) -> None:
        """Do nothing: everything ran to its end, and those that wait are woken by what was taken from the schedule."""

    async def wait(self, condition: Callable[[], T], timeout: float | None, *, callbacks: bool = False) -> T | None:
        """Block until a condition holds, handling what arrives."""
        # Locks refuse to wait longer than TIMEOUT_MAX, some centuries.
        deadline = None if timeout is None or timeout >= _FOR_EVER else time.monotonic() + timeout
        while True:
            seen = self._news
            value = condition()
            if value:
                return value
            if deadline is not None and time.monotonic() >= deadline:
                return None
            done = self._handle_next()
            if done is False and callbacks:
                done = self._run_due()
            if done is False:
                self._sleep(seen, deadline, callbacks)
            elif done is None:  # the other thread may handle what is waited for here, long before its turn ends
                self._handling.wait(partial(self._sleep, seen, deadline, False))

    @property
    def _has_more(self) -> bool:
        return bool(self._inbox) or len(self._begun) > self._level

    def _in_turn(self, work: Callable[[], T]) -> T | None:
        """Do something if no other thread handles something just now, and wake those that wait for that."""
        had_it = True
        try:
            done = self._handling.run(work, 0)
            had_it = done is not None
            return done
        finally:
            if had_it:
                self._wake()

    def _handle_next(self) -> bool | None:
        """Handle one thing that arrived, and say whether there was one; None if another thread handles something."""
        if not self._has_more:
            return False
        return self._handle_one() if self.is_handling else self._in_turn(self._handle_one)

    def _handle_all(self) -> bool:
        while self._handle_one():
            pass
        return True

    def _handle_confirmations(self) -> bool:
        while not self._begun and self._inbox and _is_confirmation(self._inbox[0][0]):
            self._handle_one()
        return True

    def _handle_one(self) -> bool:
        """Handle what an interruption has left, or else the next thing. What is handled twice, the engine knows."""
        level = self._level
        if not self._has_more:
            return False
        if len(self._begun) == level:
            self._begun.append(self._inbox[0][0])  # rather in both places for a moment than in none
            self._handled += self._inbox.popleft()[1]
        self._level = level + 1
        try:
            self._handle(self._begun[level])
        except Exception:
            del self._begun[level]
            raise
        finally:
            self._level = level
            self._wake()  # another thread may wait for what this has changed, or handle what an interruption has left
        del self._begun[level]
        return True

    def _wake(self) -> None:
        self._news = object()
        for sleeper in tuple(self._sleepers):
            sleeper.put(None)

    def _sleep(self, seen: object, deadline: float | None, callbacks: bool) -> None:
        """Wait for news after those that were seen, for a callback to fall due, or for the deadline; not for long."""
        due = self.schedule.next_due() if callbacks else None
        moments = [moment for moment in (deadline, due) if moment is not None]
        # Not a Condition: Ctrl-C inside of one can leave its lock taken, and the portal's thread would wait for it.
        sleeper: SimpleQueue[None] = SimpleQueue()
        try:
            self._sleepers.add(sleeper)
            if seen is self._news:
                sleeper.get(timeout=min([_LOOK_AGAIN, *map(_seconds_until, moments)]))
        except Empty:
            pass
        finally:
            self._sleepers.discard(sleeper)

    def _run_due(self) -> bool | None:
        """Run the callbacks that are due, and say whether there were any; None if another thread handles something."""
        due: deque[DueCallback] = deque()
        try:
            self.schedule.take_due(due)
            ran = bool(due)
            while due:
                had_its_turn = self._run_callback(due[0])
                due.popleft()
                if not had_its_turn:
                    return None
        finally:
            for entry in due:  # an interruption has come between, or another thread's turn
                self.schedule.finished(entry)
        return ran

    def _run_callback(self, entry: DueCallback) -> bool | None:
        try:
            return self._start(entry) if self.is_handling else self._in_turn(partial(self._start, entry))
        except UsageError:
            raise  # the program is told where it waits, not in its log
        except Exception as error:
            self._trouble(error)
            return True
        finally:
            self.schedule.finished(entry)

    def _start(self, entry: DueCallback) -> bool:
        rest = entry.start() if self.schedule.is_current(entry) else None
        if rest is not None:
            _run_here(rest)
        return True


def _depth() -> int:
    """Count the calls of Python functions that this one is inside of."""
    depth = 0
    frame = sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


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
