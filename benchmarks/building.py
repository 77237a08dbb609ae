"""What the parts of building a Document take, and what a pull does around it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

from bokeh.core.property.descriptors import PropertyDescriptor
from bokeh.core.serialization import Deserializer
from bokeh.document import Document

import bokehwire
from bokehwire.session.sync import SyncEngine

from .measuring import median, spread
from .raw import RawClient, Requests, packed
from .row import Place
from .tables import percent, table

_ROUNDS = 5
_BUILT = 5  # Documents in a round

Function = tuple[type, str]
_BUILDING: dict[str, list[Function]] = {
    "deserialising": [(Deserializer, "deserialize")],
    "default values, in whatever part": [
        (PropertyDescriptor, "_get_default"),
        (PropertyDescriptor, "has_unstable_default"),
    ],
    "of these, making them": [(PropertyDescriptor, "_get_default")],
    "`add_root`, with looking for its models": [(Document, "add_root")],
}


class Stopwatch:
    """Adds up the time that functions take; that of those inside of each other once.

    Attributes:
        seconds: The sum.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            begin = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._depth -= 1
                if self._depth == 0:
                    self.seconds += time.perf_counter() - begin

        return timed


@contextmanager
def timed(functions: list[Function]) -> Iterator[Stopwatch]:
    """Time functions, which are those of classes, within the block."""
    watch = Stopwatch()
    with ExitStack() as stack:
        for owner, name in functions:
            stack.enter_context(patch.object(owner, name, watch.around(getattr(owner, name))))
        yield watch


@contextmanager
def _without_collections() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def building(place: Place) -> Iterator[str]:
    """The parts of `Document.from_json`, and what a pull does around it."""
    columns = {"page of widgets": _parts_of_building(place, "/widgets"), "figure": _parts_of_building(place, "/figure")}
    parts = next(iter(columns.values()))
    yield from table(["", *columns], ([part, *(column[part] for column in columns.values())] for part in parts))


def _parts_of_building(place: Place, path: str) -> dict[str, str]:
    """The table's column for one page."""
    client = RawClient(place.port, path)
    client.send(Requests(client.generation).pull())
    message = client.read()
    client.close()

    def build() -> float:
        """Build some Documents, and give the time that they take."""
        gc.collect()
        documents = [packed(message, client.generation) for _ in range(_BUILT)]
        begin = time.perf_counter()
        for document in documents:
            Document.from_json(document)
        return time.perf_counter() - begin

    whole: list[float] = []
    collecting: list[float] = []
    parts: dict[str, list[float]] = {part: [] for part in _BUILDING}
    around: list[float] = []
    for _ in range(_ROUNDS):
        whole.append(build())
        with _without_collections():
            rest = build()
            collecting.append(1 - rest / whole[-1])
            for part, functions in _BUILDING.items():
                with timed(functions) as watch:
                    # By the time of the same run, as looking at functions takes some.
                    total = build()
                parts[part].append(watch.seconds / total * rest / whole[-1])
            around.append(_around_building(place, path) / rest)

    milliseconds = [seconds / _BUILT * 1e3 for seconds in whole]
    return {
        "`Document.from_json`": f"{median(milliseconds):.2f} ± {spread(milliseconds):.2f} ms",
        **{part: percent(median(taken)) for part, taken in parts.items()},
        "collecting garbage": percent(median(collecting)),
        "on top, in a pull: bokehwire's own work": percent(median(around)),
        "models": str(len(Document.from_json(packed(message, client.generation)).models)),
    }


def _around_building(place: Place, path: str) -> float:
    """The time that pulls take from the decoded answer to a Document that is kept in sync, without building it."""
    with timed([(SyncEngine, "_replace")]) as all_of_it, timed([(Document, "from_json")]) as inside:
        for _ in range(_BUILT):
            bokehwire.pull_session(url=place.url(path)).close()
    return all_of_it.seconds - inside.seconds
