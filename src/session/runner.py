"""The runner contract: where a session's I/O happens, and how its calls wait.

The session's operations are written once, as coroutines over a runner. `LoopRunner` awaits on the asyncio loop that
carries the connection. `ThreadRunner` blocks the calling thread instead, so that the same coroutines run to their end
without ever suspending, while the portal's thread carries the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from .callbacks import CallbackSchedule
from .channel import Channel
from .requests import Inbound

__all__ = ["Handler", "Runner", "Trouble", "is_over", "run_to_end"]

T = TypeVar("T")

Handler = Callable[[Inbound], None]
Trouble = Callable[[Exception], None]


class Runner(Protocol):
    """What a session needs of the world: I/O somewhere, and a way to wait for what arrives."""

    schedule: CallbackSchedule

    @property
    def is_handling(self) -> bool:
        """Whether the calling thread is inside a handler or a document callback, and must not block on another."""

    def connect_to(self, handle: Handler, trouble: Trouble) -> None:
        """Say who handles what arrives, in the document's thread, and who is told of a callback that raises."""

    def make_turn(self) -> AbstractAsyncContextManager[object]:
        """Make what lets one of several tasks at a time connect, pull or push."""

    @property
    def is_dead(self) -> bool:
        """Whether the loop that carried the connection is closed, so that nothing can be awaited there any more."""

    @property
    def backlog(self) -> int:
        """The bytes of changes that have arrived and wait to be handled. Any thread may ask."""

    def check(self) -> None:
        """Raise UsageError when the calling code is not where this runner can serve it."""

    async def perform(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop that carries the connection."""

    def adopt(self, channel: Channel, finish: Callable[[float], object]) -> bool:
        """Take note of a channel that lives on the loop.

        Args:
            channel: The channel.
            finish: What to call when the interpreter ends, where the loop still runs then, with the moment (on the
                monotonic clock) at which the end began.

        Returns:
            Whether it will be called.
        """

    def deliver(self, inbound: Inbound) -> None:
        """Hand on what arrived. Called on the loop that carries the connection."""

    def pump(self) -> None:
        """Handle what has arrived and waits, if the calling thread is the one to do it."""

    @property
    def is_crowded(self) -> bool:
        """Whether so much waits that it is worth looking whether it can be handled at once."""

    def tidy(self) -> None:
        """Handle the oldest of what waits while it changes nothing here: the program may make changes and no call."""

    def release(self) -> None:
        """Let go of everything that is still under way for the session, which has ended."""

    async def wait(self, condition: Callable[[], T], timeout: float | None, *, callbacks: bool = False) -> T | None:
        """Handle what arrives until a condition gives a true value.

        Args:
            condition: Evaluated at once and after each thing handled. What it raises is raised here.
            timeout: In seconds, None for ever.
            callbacks: Whether to run the document's own callbacks meanwhile, where waiting runs them at all.

        Returns:
            The true value, or None when the time is up.
        """


def is_over(runner: Runner, limit: int) -> Callable[[], bool]:
    """Make a function that says whether more waits for a session to handle than may.

    Args:
        runner: The session's runner.
        limit: Bytes.
    """
    return lambda: runner.backlog > limit


def run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, because everything it awaits blocks instead.

    Args:
        coroutine: A session operation over a `ThreadRunner`.

    Returns:
        What it returned.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        coroutine.close()  # by Ctrl-C, before it has begun
    raise AssertionError("a blocking call has suspended")
