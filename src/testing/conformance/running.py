"""Running a scenario on an event loop of its own, with nothing left behind and nothing logged."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ParamSpec

from ...transports import ConnectionOptions, Frame, Transport, WebSocket

# A time limit that is not meant to run out. What is stuck is found by the time limit for each test.
DEADLINE = 20.0

# How many turns of the loop a callback may take that ends something; without one they would be left behind.
_TURNS = 20

P = ParamSpec("P")

_DESCRIPTORS = Path("/proc/self/fd")
_LIBRARIES = ("tornado", "aiohttp", "asyncio")


def scenario(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of a coroutine function, which is run on a loop of its own."""

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return wrapper


def timeless(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of a coroutine function, for which time passes only while nothing else happens.

    It must not wait for another thread or process.
    """

    @functools.wraps(test)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs), TimelessLoop)

    return wrapper


class _IdleClock(selectors.DefaultSelector):
    """Does not wait for time to pass, but says that it has passed, if there is nothing else to do."""

    # What is on its way within the kernel may need a moment.
    _GRACE = 0.005

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        events = super().select(self._GRACE)
        if not events:
            self.now += timeout
        return events


class TimelessLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock that goes only while nothing happens, and then at once to when something will."""

    def __init__(self) -> None:
        self._clock = _IdleClock()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(
    scenario: Coroutine[Any, Any, None], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> None:
    """Run a scenario to its end.

    Raises:
        AssertionError: If it leaves tasks or descriptors behind, or makes a library log a warning.
    """
    before = descriptors()
    with no_complaints():
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(_checked(scenario))
        # What was not closed properly complains when it is collected, and a warning is an error.
        gc.collect()
    assert descriptors() == before


async def _checked(scenario: Coroutine[Any, Any, None]) -> None:
    await scenario
    await no_tasks()


async def no_tasks() -> None:
    """Fail if other tasks than the current one do not end by themselves at once."""
    me = asyncio.current_task()
    for _ in range(_TURNS):
        if asyncio.all_tasks() <= {me}:
            return
        await asyncio.sleep(0)
    assert asyncio.all_tasks() <= {me}


def descriptors() -> int:
    """How many file descriptors are open; 0 where that cannot be told."""
    return len(os.listdir(_DESCRIPTORS)) if _DESCRIPTORS.exists() else 0


@contextmanager
def no_complaints() -> Iterator[None]:
    """Fail if a WebSocket library or asyncio logs a warning or worse."""
    collector = _Collector()
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
        logger.addHandler(collector)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
            logger.removeHandler(collector)
    assert not collector.messages, collector.messages


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


def options(url: str, **changes: Any) -> ConnectionOptions:
    """Options as a session would give them."""
    given: dict[str, Any] = {"subprotocols": ("bokeh", "token"), "connect_timeout": DEADLINE} | changes
    return ConnectionOptions(url=url, **given)


@asynccontextmanager
async def connected(transport: Transport, url: str, **changes: Any) -> AsyncIterator[WebSocket]:
    """A connection, dropped when the block ends, and gone when it has ended."""
    socket = await transport.connect(options(url, **changes))
    try:
        yield socket
    finally:
        socket.abort()
        await socket.close()


async def receive(socket: WebSocket, count: int) -> list[Frame]:
    """Receive exactly so many messages."""
    frames: list[Frame] = []
    while len(frames) < count:
        frames += await socket.receive()
    assert len(frames) == count
    return frames


async def turns(count: int) -> None:
    """Let the loop turn so many times."""
    for _ in range(count):
        await asyncio.sleep(0)
