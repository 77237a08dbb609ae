"""What a session pays to the system and to CPython: page faults for large arrays, and changes of threads."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any
from unittest.mock import patch

import msgspec

from bokehwire.session.portal import Portal

from .faces import OLD
from .measuring import Sample, median, spread
from .openings import REPEAT, ROWS
from .processes import Process
from .row import Place
from .tables import line, percent, table

_TURNS = 3  # of each contestant with arrays
_PATIENCE = 60.0
_ROUNDS = 12
_EXCHANGES = 2_000  # in a round
# glibc takes large blocks from the heap instead of mapping pages for each, and keeps them when they are free.
_KEEPING_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**26),
    "MALLOC_TRIM_THRESHOLD_": str(2**28),
    "MALLOC_TOP_PAD_": str(2**26),
}


def arrays(place: Place) -> Iterator[str]:
    """CPU time and page faults of opening, pulling and closing with large arrays."""
    row = next(row for row in ROWS if row.key == "open-arrays")
    yield from table(["", "ms of CPU", "page faults", "where memory is kept", "page faults", "less CPU"], [])
    described = msgspec.json.encode(place).decode()
    for name in [name for name in row.contestants if name != OLD]:
        with ExitStack() as stack:
            as_it_is = stack.enter_context(Process("worker", row.key, name, described))
            with patch.dict(os.environ, _KEEPING_MEMORY):
                keeping = stack.enter_context(Process("worker", row.key, name, described))
            turns = [(_turn(as_it_is), _turn(keeping)) for _ in range(1 + _TURNS)][1:]
        (cpu, faults), (kept_cpu, kept_faults) = map(_medians, zip(*turns, strict=True))
        figures = [f"{cpu * 1e3:.1f}", f"{faults:,.0f}", f"{kept_cpu * 1e3:.1f}", f"{kept_faults:,.0f}"]
        yield line([name, *figures, percent(1 - kept_cpu / cpu)])


def _medians(turns: Sequence[tuple[float, float]]) -> tuple[float, float]:
    cpu, faults = zip(*turns, strict=True)
    return median(cpu), median(faults)


def _turn(worker: Process) -> tuple[float, float]:
    """One turn of a contestant: CPU seconds and minor page faults of each opening."""
    before = _minor_faults(worker.pid)
    worker.write_line("turn")
    sample = msgspec.json.decode(worker.read_line(_PATIENCE), type=Sample)
    return sample.client, (_minor_faults(worker.pid) - before) / REPEAT


def _minor_faults(pid: int) -> int:
    """How many page faults a process has had that needed no reading from a disk."""
    # The fields behind the name, which ends with the last bracket: state, five numbers, flags, and the faults.
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def threads() -> Iterator[str]:
    """What handing over between threads takes, and a turn of an event loop."""
    yield from table(["", "us"], [])
    for name, exchange in {
        "two threads, a SimpleQueue each way": _queues,
        "a thread and an event loop: woken by its selector, answers by a SimpleQueue": _loop_and_queue,
        "the same with a task, as a blocking session has it (`Portal.run`)": _portal,
        "one turn of an event loop that does nothing": _turns_of_loop,
    }.items():
        taken = list(exchange())
        yield line([name, f"{median(taken) * 1e6:.1f} ± {spread(taken) * 1e6:.1f}"])


def _each(work: Callable[[], Any]) -> Iterator[float]:
    """The seconds that one of many calls takes, once a round."""
    for _ in range(_ROUNDS):
        begin = time.perf_counter()
        for _ in range(_EXCHANGES):
            work()
        yield (time.perf_counter() - begin) / _EXCHANGES


def _queues() -> Iterator[float]:
    there: SimpleQueue[bool] = SimpleQueue()
    back: SimpleQueue[None] = SimpleQueue()

    def answer() -> None:
        while there.get():
            back.put(None)

    def exchange() -> None:
        there.put(True)
        back.get()

    thread = Thread(target=answer)
    thread.start()
    yield from _each(exchange)
    there.put(False)
    thread.join()


def _loop_and_queue() -> Iterator[float]:
    loop = asyncio.new_event_loop()
    back: SimpleQueue[None] = SimpleQueue()

    def exchange() -> None:
        loop.call_soon_threadsafe(back.put, None)
        back.get()

    thread = Thread(target=loop.run_forever)
    thread.start()
    yield from _each(exchange)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def _portal() -> Iterator[float]:
    portal = Portal.current()
    yield from _each(lambda: portal.run(_nothing()))


async def _nothing() -> None:
    """Be a coroutine."""


def _turns_of_loop() -> Iterator[float]:
    async def turn() -> None:
        for _ in range(_EXCHANGES):
            await asyncio.sleep(0)

    with asyncio.Runner() as runner:
        for _ in range(_ROUNDS):
            begin = time.perf_counter()
            runner.run(turn())
            yield (time.perf_counter() - begin) / _EXCHANGES
