"""What the README says of where time goes, measured again: each command prints a table.

    python -m benchmarks.profile roundtrip|change|open-widgets|open-figure|push|changes|stream
                                 [--transport tornado|aiohttp] [--asynchronous]
    python -m benchmarks.profile building
    python -m benchmarks.profile arrays
    python -m benchmarks.profile threads

A row's name has its work profiled with one kind of session, in its own thread and in that of its event loop. A profile
makes what consists of many small functions look longer than it is, so times come from a run without one. The loop is
asyncio's, even if uvloop is installed, of which a profile sees nothing. Blocking sessions need Python 3.11 for that: a
profile of later ones takes all threads for one.

`building` has the parts of `Document.from_json`, and what a pull adds to it. `arrays` has the page faults of the row
with large arrays, and what it takes where glibc gives no memory back to the system (Linux only). `threads` has what two
threads need to hand something over and back.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from unittest.mock import patch

import msgspec

from .building import building
from .costs import arrays, threads
from .faces import BOKEH, FACES
from .measuring import Sample, median
from .row import Place, Row, Turns, Work
from .rows import ROWS
from .running import servers
from .shares import TRANSPORTS, Counting, Profiling, Watch, WatchedPlace, shares
from .tables import percent, table
from .worker import step

PROFILED = ("roundtrip", "change", "open-widgets", "open-figure", "push", "changes", "stream")
SECONDS = 2.0
"""How long a contestant is run, once without a profile and once with one."""
MEASURES = ("us", "us of CPU", "us of collecting garbage", "turns of event loops", "calls of functions")


class Figures(msgspec.Struct):
    """What one operation of a contestant takes.

    Attributes:
        seconds: How long it takes without a profile.
        client: CPU seconds of this process, without a profile.
        collecting: Seconds of collecting garbage, without a profile.
        turns: Of its event loops, without a profile.
        calls: Of functions.
    """

    seconds: float
    client: float
    collecting: float
    turns: float
    calls: float

    @property
    def cells(self) -> list[str]:
        """Its part of the table's rows."""
        turns = f"{self.turns:.2f}" if self.turns else ""  # which Bokeh alone does without
        times = [f"{seconds * 1e6:,.1f}" for seconds in (self.seconds, self.client, self.collecting)]
        return [*times, turns, f"{self.calls:,.0f}"]


def profiled(work: Work, place: Place, *, in_loop: bool, with_background: bool) -> tuple[Figures, Profiling]:
    """Run a contestant in this process, first without a profile.

    Args:
        work: What it does.
        place: Where the servers are.
        in_loop: Whether it needs an event loop in this thread.
        with_background: Whether the library's background thread works for it.
    """
    counting, profiling = Counting(), Profiling(with_background)
    run(work, place, in_loop, 0)  # imports, and fills caches
    samples = run(work, watched(place, counting), in_loop, SECONDS)
    run(work, watched(place, profiling), in_loop, SECONDS)
    figures = Figures(
        median([sample.seconds for sample in samples]),
        median([sample.client for sample in samples]),
        counting.collecting / counting.operations,
        counting.turns / counting.operations,
        profiling.calls / profiling.operations,
    )
    return figures, profiling


def watched(place: Place, watch: Watch) -> Place:
    """The same place with a watch."""
    return WatchedPlace(**msgspec.structs.asdict(place), watch=watch)


def run(work: Work, place: Place, in_loop: bool, seconds: float) -> list[Sample]:
    """Have a contestant do turns for a while, at least one."""
    turns = work(place)
    samples: list[Sample] = []
    deadline = time.monotonic() + seconds
    with asyncio.Runner() as runner:
        while not samples or time.monotonic() < deadline:
            samples.append(runner.run(following(turns)) if in_loop else step(turns))
    return samples


async def following(turns: Turns) -> Sample:
    """The next turn's sample."""
    return await anext(turns)


def profile_of(row: Row, place: Place, contestant: str) -> Iterator[str]:
    """The tables of one row and one kind of session."""
    in_loop = FACES[contestant].in_loop
    session, profiling = profiled(row.contestants[contestant], place, in_loop=in_loop, with_background=not in_loop)
    figures = {contestant: session}
    if BOKEH in row.contestants:
        figures[BOKEH], _ = profiled(row.contestants[BOKEH], place, in_loop=False, with_background=False)
    yield f"{row.title}\n"
    yield from table(["each", *figures], zip(MEASURES, *(taken.cells for taken in figures.values()), strict=True))
    yield ""
    heads = ["its thread"] if in_loop else ["calling thread", "background thread"]
    lines = ([owner, *map(percent, threads), percent(share)] for owner, threads, share in shares(profiling.threads))
    yield from table(["share of the time of", *heads, "all work"], lines)


def main(arguments: list[str]) -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile")
    parser.add_argument("what", choices=[*PROFILED, "building", "arrays", "threads"])
    parser.add_argument("--transport", choices=list(TRANSPORTS), default="tornado")
    parser.add_argument("--asynchronous", action="store_true", help="profile an asynchronous session")
    chosen = parser.parse_args(arguments)
    if chosen.what in PROFILED and not chosen.asynchronous and sys.version_info >= (3, 12):
        parser.error("this Python cannot profile two threads apart: use 3.11, or --asynchronous")
    # For a module that is None, Python says that there is none.
    with patch.dict(sys.modules, {"uvloop": None}), servers() as place:
        match chosen.what:
            case "building":
                lines = building(place)
            case "arrays":
                lines = arrays(place)
            case "threads":
                lines = threads()
            case key:
                contestant = chosen.transport + (", async" if chosen.asynchronous else "")
                lines = profile_of(next(row for row in ROWS if row.key == key), place, contestant)
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
