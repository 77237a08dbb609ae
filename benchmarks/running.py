"""Running a row: the servers, a process for each contestant, and turns that interleave."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random

import msgspec

from .measuring import Sample
from .processes import Failed, Process
from .row import Place, Row

_START = 30.0


class Outcome(msgspec.Struct):
    """What came out of a row.

    Attributes:
        samples: Of each contestant, one for each round.
        failures: Why a contestant has none, or stopped.
    """

    samples: dict[str, list[Sample]]
    failures: dict[str, str]


@contextmanager
def servers() -> Iterator[Place]:
    """A Bokeh server and a canned one, for as long as the block lasts."""
    with Process("server") as real, Process("canned") as canned:
        port, canned_port = int(real.read_line(_START)), int(canned.read_line(_START))
        yield Place(port, real.pid, canned_port, canned.pid)


def run(row: Row, rounds: int | None = None) -> Outcome:
    """Run a row: in each round every contestant has its turn, in an order that is drawn anew.

    Args:
        row: The row.
        rounds: How many to run instead of the row's own number.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in row.contestants}
    failures: dict[str, str] = {}
    with servers() as place, ExitStack() as stack:
        described = msgspec.json.encode(place).decode()
        workers = {name: stack.enter_context(Process("worker", row.key, name, described)) for name in row.contestants}
        for number in range(row.warm_up + (rounds or row.rounds)):
            # The same neighbours each time would make one of them pay for what the other leaves the server to do.
            for name in Random(number).sample(list(workers), len(workers)):
                if name in failures:
                    continue
                try:
                    sample = _turn(workers[name], row.patience)
                except Failed as failure:
                    failures[name] = str(failure)
                    print(f"{row.key}: {name} {failure}", file=sys.stderr)
                    continue
                if number >= row.warm_up:
                    samples[name].append(sample)
    return Outcome({name: taken for name, taken in samples.items() if taken}, failures)


def _turn(worker: Process, patience: float) -> Sample:
    worker.write_line("turn")
    return msgspec.json.decode(worker.read_line(patience + _START), type=Sample)
