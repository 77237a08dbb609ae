"""What a session's calls cost, side by side with `bokeh.client`, against one server in a process of its own.

The contestants take turns within each round, so that the noise of the machine hits all alike. Each row is the median of
the rounds, and its ratio to `bokeh.client` in the same run.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bokeh.client
from bokeh.document import Document
from bokeh.plotting import figure

import bokehwire
from tests.processes import ServerProcess

ROUNDS = 5
CHANGES = 500


@dataclass(frozen=True)
class Contestant:
    """One way to make sessions.

    Attributes:
        name: What the table calls it.
        module: `bokeh.client` or `bokehwire`.
        options: Keyword arguments for its functions.
    """

    name: str
    module: Any
    options: dict[str, Any]

    def pull(self, url: str, session_id: str | None = None) -> Any:
        return self.module.pull_session(session_id, url=url, **self.options)

    def push(self, document: Document, url: str) -> Any:
        return self.module.push_session(document, url=url, **self.options)


CONTESTANTS = [
    Contestant("bokeh.client", bokeh.client, {}),
    Contestant("bokehwire, tornado", bokehwire, {"transport": "tornado"}),
    Contestant("bokehwire, aiohttp", bokehwire, {"transport": "aiohttp"}),
]

Row = Callable[[Contestant, ServerProcess], float]


def timed(work: Callable[[], object], repeat: int = 1) -> float:
    """Milliseconds for one of `repeat` runs."""
    begin = time.perf_counter()
    for _ in range(repeat):
        work()
    return (time.perf_counter() - begin) * 1000 / repeat


def round_trip(contestant: Contestant, server: ServerProcess) -> float:
    with contestant.pull(server.url("/slider")) as session:
        return timed(session.force_roundtrip, 10)


def change_and_round_trip(contestant: Contestant, server: ServerProcess) -> float:
    with contestant.pull(server.url("/source")) as session:
        plot = session.document.get_model_by_name("figure")
        numbers = iter(range(100, 200))

        def change() -> None:
            plot.width = next(numbers)
            session.force_roundtrip()

        return timed(change, 10)


def pull_and_close(contestant: Contestant, server: ServerProcess) -> float:
    with contestant.pull(server.url("/source")) as keeper:
        return timed(lambda: contestant.pull(server.url("/source"), keeper.id).close(), 3)


def push_figure(contestant: Contestant, server: ServerProcess) -> float:
    plot = figure(width=300, height=200)
    plot.line([1, 2, 3], [4, 5, 6])
    document = Document()
    document.add_root(plot)
    sessions: list[Any] = []
    elapsed = timed(lambda: sessions.append(contestant.push(document, server.url())))
    sessions[0].close()
    return elapsed


def many_changes(contestant: Contestant, server: ServerProcess) -> float:
    """Milliseconds for one of many changes in a row, confirmed at the end."""
    with contestant.pull(server.url("/source")) as session:
        plot = session.document.get_model_by_name("figure")

        def change() -> None:
            for number in range(100, 100 + CHANGES):
                plot.width = number
                if number % 200 == 0:  # bokeh.client ends in a RecursionError when too many wait
                    session.force_roundtrip()
            session.force_roundtrip()

        return timed(change) / CHANGES


ROWS: dict[str, Row] = {
    "force_roundtrip()": round_trip,
    "one change, then force_roundtrip()": change_and_round_trip,
    "pull an existing session of one figure, open to close": pull_and_close,
    "push one figure": push_figure,
    f"one of {CHANGES} property changes, confirmed": many_changes,
}


def measure(row: Row, server: ServerProcess) -> dict[str, float]:
    times: dict[str, list[float]] = {contestant.name: [] for contestant in CONTESTANTS}
    for _ in range(ROUNDS):
        for contestant in CONTESTANTS:
            asyncio.set_event_loop(asyncio.new_event_loop())  # bokeh.client asks for a current one
            times[contestant.name].append(row(contestant, server))
    return {name: statistics.median(values) for name, values in times.items()}


def main(only: str = "") -> None:
    """Print the table, or the rows whose name holds `only`."""
    warnings.simplefilter("ignore")
    names = [contestant.name for contestant in CONTESTANTS]
    print(f"Bokeh {bokeh.__version__}, bokehwire {bokehwire.__version__}; medians of {ROUNDS} rounds, milliseconds\n")
    print(f"| work | {' | '.join(names)} |\n|---|{'---|' * len(names)}")
    with ServerProcess() as server:
        for title, row in ROWS.items():
            if only and only not in title:
                continue
            medians = measure(row, server)
            reference = medians[names[0]]
            cells = [f"{medians[name]:.2f} ({reference / medians[name]:.1f}x)" for name in names]
            print(f"| {title} | {' | '.join(cells)} |", flush=True)
