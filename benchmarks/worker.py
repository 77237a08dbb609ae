"""A contestant in a process of its own: does one turn for each line of its standard input, and answers with the sample.

What one contestant leaks, or breaks, does so to nobody else.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import msgspec

from .faces import FACES, OLD, ON_UVLOOP
from .row import Place, Turns
from .rows import ROWS

# bokeh.client goes a level deeper for each message that it receives while it waits.
_DEPTH = 1_000_000
_STACK = 1024 * 1024 * 1024


def step(turns: Turns) -> Any:
    """Run a generator that never suspends up to its next sample."""
    try:
        turns.__anext__().send(None)
    except StopIteration as end:
        return end.value
    raise RuntimeError("a blocking contestant has suspended")


def main(key: str, contestant: str, place: str) -> None:
    """Do turns until standard input ends.

    Args:
        key: The row's.
        contestant: Its name.
        place: The place, as JSON.
    """
    row = next(row for row in ROWS if row.key == key)
    if contestant not in ON_UVLOOP:
        sys.modules["uvloop"] = None  # type: ignore[assignment]  # as if it were not installed
    turns = row.contestants[contestant](msgspec.json.decode(place, type=Place))
    if contestant in FACES and FACES[contestant].in_loop:
        with asyncio.Runner() as runner:
            _serve(lambda: runner.run(_next(turns)))
    else:
        _serve(lambda: step(turns))


async def _next(turns: Turns) -> Any:
    return await anext(turns)


def _serve(turn: Any) -> None:
    for _ in sys.stdin:
        print(msgspec.json.encode(turn()).decode(), flush=True)


def _with_deep_stack(arguments: list[str]) -> None:
    sys.setrecursionlimit(_DEPTH)
    threading.stack_size(_STACK - 4096)
    thread = threading.Thread(target=main, args=arguments)
    thread.start()
    thread.join()


if __name__ == "__main__":
    if sys.argv[2] == OLD:
        _with_deep_stack(sys.argv[1:])
    else:
        main(*sys.argv[1:])
