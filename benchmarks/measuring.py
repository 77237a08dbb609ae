"""Time and CPU time of a piece of work, ours and the server's, and what many turns of it say."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec


class Sample(msgspec.Struct):
    """One turn of one contestant, for one of the things that it did.

    Attributes:
        seconds: How long it took.
        client: CPU seconds of the contestant's process.
        server: CPU seconds of the server's process, None where they cannot be had.
        extra: What else the row measures, by name.
    """

    seconds: float
    client: float = 0.0
    server: float | None = None
    extra: dict[str, float] = {}


class Meter:
    """Measures the `with` block that it stands for.

    Args:
        pid: The server's process.
        repeat: How many things are done in the block.
    """

    sample: Sample

    def __init__(self, pid: int | None, repeat: int) -> None:
        self._pid = pid
        self._repeat = repeat

    def __enter__(self) -> Self:
        self._server = cpu_of(self._pid)
        self._client = time.process_time()
        self._begin = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._begin
        client = time.process_time() - self._client
        server = cpu_of(self._pid)
        spent = None if server is None or self._server is None else (server - self._server) / self._repeat
        self.sample = Sample(seconds / self._repeat, client / self._repeat, spent)


def cpu_of(pid: int | None) -> float | None:
    """The CPU seconds that a process has used so far, None where the system does not tell."""
    if pid is None or not sys.platform.startswith("linux"):
        return None
    # clock_getcpuclockid(3), which Python lacks: the kernel makes the clock's number of the process's.
    return time.clock_gettime((~pid << 3) | 2)


def spread(values: Sequence[float]) -> float:
    """Half the distance between the quartiles."""
    if len(values) < 2:
        return 0.0
    lower, _middle, upper = statistics.quantiles(values, n=4, method="inclusive")
    return (upper - lower) / 2


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """The median over the rounds of one contestant's time by another's: what slows a whole round cancels out."""
    return statistics.median(a / b for a, b in zip(above, below, strict=False))


def added(samples: Sequence[Sample], what: Callable[[Sample], float | None]) -> float | None:
    """The median of one part of the samples, None if one lacks it."""
    values: list[Any] = [what(sample) for sample in samples]
    return None if None in values or not values else statistics.median(values)
