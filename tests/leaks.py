"""Nothing may stay behind: a block that fails when threads, file descriptors or asyncio tasks outlive it."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from .live import DEADLINE, THREAD_PREFIX

# Of the servers under test, which start workers when they need them: 3.10's and newer's pool for responses.
SERVER_THREADS = (THREAD_PREFIX, "bokeh-response")
_POLL_SECONDS = 0.005
_DESCRIPTORS = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")


class no_leaks:  # read as a statement: with no_leaks():
    """Compares the process at the end of a `with` (or `async with`) block with what it was at its beginning.

    The other end of a connection may be a server in this process, which closes its socket a moment after ours; so what
    is left over at the end is given time to go, and what stays is reported by name.

    Args:
        loops: Event loops in other threads whose tasks count too. Those of the loop that runs an `async with` do.
        ignore_threads: Beginnings of names of threads that may stay.
        patience: Seconds that what is left over is given to go.

    Raises:
        AssertionError: Names each thread, descriptor and task that was left behind.
    """

    def __init__(
        self,
        *,
        loops: Iterable[asyncio.AbstractEventLoop] = (),
        ignore_threads: Iterable[str] = (),
        patience: float = DEADLINE / 4,
    ) -> None:
        self._loops = list(loops)
        self._ignored = (*SERVER_THREADS, *ignore_threads)
        self._patience = patience

    def __enter__(self) -> None:
        gc.collect()
        self._threads = set(threading.enumerate())
        self._descriptors = _descriptors()
        self._tasks = self._pending_tasks()

    def __exit__(self, exc_type: type[BaseException] | None, *exc_info: object) -> None:
        if exc_type is not None:
            return
        deadline = time.monotonic() + self._patience
        while self._left_over() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self._check()

    async def __aenter__(self) -> None:
        self._loops.append(asyncio.get_running_loop())
        self.__enter__()

    async def __aexit__(self, exc_type: type[BaseException] | None, *exc_info: object) -> None:
        if exc_type is not None:
            return
        deadline = time.monotonic() + self._patience
        while self._left_over() and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
        self._check()

    def _check(self) -> None:
        left_over = self._left_over()
        assert not left_over, "left behind: " + "; ".join(left_over)

    def _left_over(self) -> list[str]:
        gc.collect()
        threads = [
            f"thread {thread.name}"
            for thread in threading.enumerate()
            if thread not in self._threads and not thread.name.startswith(self._ignored)
        ]
        descriptors = [
            f"descriptor {number} ({target})"
            for number, target in _descriptors().items()
            if self._descriptors.get(number) != target
        ]
        tasks = [f"task {task!r}" for task in self._pending_tasks() - self._tasks]
        return threads + descriptors + tasks

    def _pending_tasks(self) -> set[asyncio.Task[object]]:
        return {task for loop in self._loops if not loop.is_closed() for task in asyncio.all_tasks(loop)}


def _descriptors() -> dict[int, str]:
    """What each open descriptor points at; a number alone may have been used again for something else."""
    found = {}
    for entry in os.listdir(_DESCRIPTORS):
        try:
            found[int(entry)] = os.readlink(_DESCRIPTORS / entry)
        except FileNotFoundError:
            # The one that the listing itself was read through.
            continue
        except OSError:
            found[int(entry)] = "open"
    return found
