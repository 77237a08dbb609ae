"""Driving an event loop of the caller's, in the caller's thread, for the length of one call."""

from __future__ import annotations

import asyncio
import concurrent.futures
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .errors import UsageError
from .turns import Turn

if TYPE_CHECKING:
    from tornado.ioloop import IOLoop

__all__ = ["drive", "event_loop_of", "in_loop", "run_from_outside"]

T = TypeVar("T")

_PATIENCE = 1.0  # seconds to wait for the loop
_RUNNING = (
    "a blocking call cannot drive the session's io_loop, which is running already. Leave io_loop out, or use "
    "AsyncClientSession on it."
)
_LOOK_EVERY = 0.05  # seconds between two looks at whether the loop is still driven


def event_loop_of(io_loop: IOLoop | asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    """Find the asyncio loop behind what a caller gave as `io_loop`.

    Args:
        io_loop: A Tornado IOLoop, or an asyncio loop.

    Returns:
        The asyncio loop.

    Raises:
        TypeError: It is neither.
    """
    loop = getattr(io_loop, "asyncio_loop", io_loop)
    if not isinstance(loop, asyncio.AbstractEventLoop):
        raise TypeError(f"io_loop must be a Tornado IOLoop or an asyncio loop, not {type(io_loop).__name__}.")
    return loop


def drive(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], turn: Turn) -> T:
    """Run a loop in the calling thread until a coroutine is done.

    Args:
        loop: A loop that is not running.
        coroutine: What to run on it. An interruption cancels it, and propagates when it has ended.
        turn: The turn of those who drive the loop. A thread that only finishes closing a session has it for a moment.

    Returns:
        What the coroutine returned.

    Raises:
        UsageError: The loop is running or closed, or the thread is inside another event loop.
    """
    done = None if turn.is_mine else turn.run(lambda: (_drive(loop, coroutine),), _PATIENCE)
    if done is None:
        coroutine.close()
        raise UsageError(_RUNNING)
    return done[0]


def _drive(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> T:
    problem = _why_not(loop)
    if problem:
        coroutine.close()
        raise UsageError(problem)
    task = loop.create_task(coroutine)
    with _Interruption(loop, task) as interruption:
        try:
            result = loop.run_until_complete(task)
        except asyncio.CancelledError as cancelled:
            if not interruption.has_come:
                raise
            interrupted = KeyboardInterrupt()
            for note in getattr(cancelled, "__notes__", ()):  # of what the interruption has cost
                interrupted.add_note(note)
            raise interrupted from None
        except BaseException as error:
            if not task.done():
                task.cancel()
                loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
            elif isinstance(error, KeyboardInterrupt | SystemExit):
                # Raised just before the loop would have stopped: it must not stop in the next call instead.
                loop.call_soon(loop.stop)
                loop.run_forever()
            raise
        if interruption.has_come:  # too late to cancel anything
            raise KeyboardInterrupt
        return result


def in_loop(loop: asyncio.AbstractEventLoop) -> bool:
    """Say whether the calling code runs inside a certain loop.

    Args:
        loop: The loop.
    """
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


def run_from_outside(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], turn: Turn) -> T:
    """Run a coroutine on a loop that another thread drives, and drive it here if that thread stops before it is done.

    Args:
        loop: The loop.
        coroutine: What to run on it.
        turn: The turn of those who drive the loop.

    Returns:
        What the coroutine returned.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)

    async def finish() -> None:
        await asyncio.wait([asyncio.wrap_future(future)])

    def finish_here() -> None:
        if not loop.is_running() and not loop.is_closed():
            _drive(loop, finish())

    while True:
        concurrent.futures.wait([future], timeout=_LOOK_EVERY)
        if future.done():
            return future.result()
        turn.run(finish_here, 0)


class _Interruption:
    """Makes Ctrl-C cancel a task, as `asyncio.Runner` does.

    Raised wherever the loop happens to be, KeyboardInterrupt would end the tasks that serve the connection, and the
    session would wait for ever. A second one is raised at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        self._loop = loop
        self._task = task
        self._installed = False
        self.has_come = False

    def __enter__(self) -> Self:
        # Only the main thread is interrupted, and a handler of the program's own is left alone.
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            signal.signal(signal.SIGINT, self._handle)
            self._installed = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._task.done():
            # The loop is about to stop. Raised here, it would stop in the next call instead.
            self.has_come = True
            return
        if self.has_come:
            raise KeyboardInterrupt
        self.has_come = True
        self._task.cancel()
        self._loop.call_soon_threadsafe(lambda: None)  # the loop may be asleep


def _why_not(loop: asyncio.AbstractEventLoop) -> str:
    """Say why a loop cannot be driven here and now; empty when it can."""
    if loop.is_closed():
        return "the io_loop of this session is closed."
    if loop.is_running():
        return _RUNNING
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return ""
    return (
        "a blocking call with io_loop cannot be made inside another event loop. Leave io_loop out: the connection is "
        "then served by a background thread."
    )
