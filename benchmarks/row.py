"""What a row of the benchmark is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass

import msgspec

from .faces import FACES, ON_UVLOOP, RAW, Face
from .measuring import Meter, Sample


class Place(msgspec.Struct):
    """Where the servers of a row are.

    Attributes:
        port: The Bokeh server's.
        pid: The Bokeh server's process.
        canned_port: That of the server that has its answers ready.
        canned_pid: Its process.
    """

    port: int
    pid: int
    canned_port: int
    canned_pid: int

    def url(self, path: str) -> str:
        """The address of an application."""
        return f"http://127.0.0.1:{self.port}{path}"

    def meter(self, repeat: int = 1) -> Meter:
        """Measure so many things done with the Bokeh server."""
        return Meter(self.pid, repeat)


Turns = AsyncGenerator[Sample]
Work = Callable[[Place], Turns]


@dataclass(frozen=True)
class Row:
    """One kind of work and all that do it.

    Attributes:
        key: What `ONLY` selects it by.
        title: What is done, for the table.
        contestants: What each of them does: a generator that prepares itself and gives one sample a turn.
        rounds: How many turns each has.
        limit: The contestant that shows what can be reached.
        adds_bokeh: Whether what Bokeh alone needs comes on top of the limit.
        warm_up: How many further ones come first and do not count: they bring caches and connections into being.
        goals: How many times faster than `bokeh.client` bokehwire is to be, and within what multiple of the limit.
        note: What has to be known to read the row.
        patience: Seconds that a turn may take.
    """

    key: str
    title: str
    contestants: Mapping[str, Work]
    rounds: int = 11
    limit: str = RAW
    adds_bokeh: bool = False
    warm_up: int = 1
    goals: tuple[float | None, float | None] = (None, None)
    note: str = ""
    patience: float = 60.0


def sessions(work: Callable[..., Turns], *names: str, with_: tuple[object, ...] = ()) -> dict[str, Work]:
    """The contestants that are sessions, all or those named, at one work.

    Args:
        work: Takes the face, the place, and what `with_` gives.
        names: Contestants; none for all of `FACES`.
        with_: Further arguments for the work.
    """

    def bound(face: Face) -> Work:
        return lambda place: work(face, place, *with_)

    return {name: bound(face) for name, face in (FACES | ON_UVLOOP).items() if name in (names or FACES)}
