"""Whose the time of a row's work is: profiles of its threads, turns of their event loops, and garbage collections."""

from __future__ import annotations

import asyncio
import gc
import json
import selectors
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from cProfile import Profile
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any, Self
from unittest.mock import patch

import bokehwire
from bokehwire.session.portal import Portal

from .measuring import Meter
from .row import Place

WAITING = "waiting for the socket, or for the other thread"
WAKING = "waking the other thread"
SOCKETS = "system calls of sockets, which also wake the loop"
ASYNCIO = "asyncio and selectors"
CODECS = "msgspec and json"
REST = "the rest"
TRANSPORTS = {"tornado": ("tornado",), "aiohttp": ("aiohttp", "aiohappyeyeballs", "aiosignal", "multidict", "yarl")}
SUBPACKAGES = ("protocol", "transports", "session")
OWNERS = (
    "bokeh",
    *TRANSPORTS,
    ASYNCIO,
    WAITING,
    WAKING,
    SOCKETS,
    CODECS,
    *(f"bokehwire.{name}" for name in SUBPACKAGES),
    REST,
)
"""All to whom time can belong, in the order of the tables."""

# Parts of the names that cProfile gives to functions in C. All others count for the one who calls them.
_BUILT_IN = {
    "'poll' of 'select.": WAITING,
    "'control' of 'select.": WAITING,
    "'get' of '_queue.SimpleQueue'": WAITING,
    "'acquire' of '_thread.": WAITING,
    "'put' of '_queue.SimpleQueue'": WAKING,
    "_socket.": SOCKETS,
    "msgspec": CODECS,
    "_json.": CODECS,
}


class Watch(ABC):
    """Looks at the metered part of turns.

    Attributes:
        operations: How many things were done in it.
    """

    operations = 0

    @abstractmethod
    def begin(self) -> None:
        """Look from here on."""

    @abstractmethod
    def end(self) -> None:
        """Look away."""


class WatchedPlace(Place):
    """A place whose meters have a watch look on.

    Attributes:
        watch: The watch.
    """

    watch: Watch

    def meter(self, repeat: int = 1) -> Meter:
        """Measure so many things, and have them watched."""
        return _WatchedMeter(self.watch, self.pid, repeat)


class _WatchedMeter(Meter):
    def __init__(self, watch: Watch, pid: int | None, repeat: int) -> None:
        super().__init__(pid, repeat)
        self._watch = watch

    def __enter__(self) -> Self:
        self._watch.begin()
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        self._watch.end()
        self._watch.operations += self._repeat


class Counting(Watch):
    """Counts the turns of all event loops that are asyncio's own, and the time of collecting garbage.

    Attributes:
        turns: How many there were.
        collecting: Seconds of collections.
    """

    def __init__(self) -> None:
        self.turns = 0
        self.collecting = 0.0
        self._collection_began = 0.0
        turn = vars(asyncio.BaseEventLoop)["_run_once"]

        def counted(loop: Any) -> None:
            self.turns += 1
            turn(loop)

        self._counted = patch.object(asyncio.BaseEventLoop, "_run_once", counted)

    def begin(self) -> None:
        self._counted.start()
        gc.callbacks.append(self._collect)

    def end(self) -> None:
        gc.callbacks.remove(self._collect)
        self._counted.stop()

    def _collect(self, phase: str, _info: object) -> None:
        if phase == "start":
            self._collection_began = time.perf_counter()
        else:
            self.collecting += time.perf_counter() - self._collection_began


class Profiling(Watch):
    """Profiles this thread, and the background thread of blocking sessions if they have one.

    Nothing is collected meanwhile: the time of that would count for whatever function it falls into.

    Attributes:
        threads: The profiles: this thread's first.

    Args:
        with_background: Whether there is a background thread to look at.
    """

    def __init__(self, with_background: bool) -> None:
        self.threads = [Profile() for _ in range(1 + with_background)]

    def begin(self) -> None:
        # Inside out: what it takes to reach the background thread is in no profile of this one.
        for profile in self.threads[1:]:
            Portal.current().run(_there(profile.enable))
        gc.disable()
        self.threads[0].enable()

    def end(self) -> None:
        self.threads[0].disable()
        gc.enable()
        for profile in self.threads[1:]:
            Portal.current().run(_there(profile.disable))

    @property
    def calls(self) -> int:
        """How many calls of functions there were, those in C included."""
        return sum(entry.callcount for profile in self.threads for entry in profile.getstats())


async def _there(switch: Callable[[], None]) -> None:
    """Have the thread whose loop runs this switch its profile, since a profile is of the thread that enables it."""
    switch()


def seconds_by_owner(profile: Profile) -> dict[str, float]:
    """The seconds of a profile by the owner of the code that they were spent in."""
    taken = dict.fromkeys(OWNERS, 0.0)
    for entry in profile.getstats():
        owner = _owner_of(entry.code, REST)
        if not isinstance(entry.code, str):
            taken[owner] += entry.inlinetime
        for called in entry.calls or ():
            if isinstance(called.code, str):
                taken[_owner_of(called.code, owner)] += called.inlinetime
    return taken


def shares(threads: Sequence[Profile]) -> Iterator[tuple[str, list[float], float | None]]:
    """Each owner's share of each thread's time, and of what the threads do together; waiting is no part of that."""
    taken = [seconds_by_owner(profile) for profile in threads]
    together = {owner: sum(thread[owner] for thread in taken) for owner in OWNERS}
    work = sum(together.values()) - together[WAITING]
    for owner in OWNERS:
        if together[owner]:
            share = None if owner == WAITING else together[owner] / work
            yield owner, [thread[owner] / sum(thread.values()) for thread in taken], share


def _owner_of(code: CodeType | str, caller: str) -> str:
    if isinstance(code, str):
        return next((owner for part, owner in _BUILT_IN.items() if part in code), caller)
    return next((owner for place, owner in _PLACES if code.co_filename.startswith(place)), REST)


def _places() -> Iterator[tuple[str, str]]:
    """Where the files of each owner are."""
    own = Path(bokehwire.__file__).parent
    for name in SUBPACKAGES:
        yield str(own / name), f"bokehwire.{name}"
    for name, modules in {"bokeh": ("bokeh",), **TRANSPORTS}.items():
        for module in modules:
            spec = find_spec(module)
            if spec is not None and spec.origin is not None:
                yield str(Path(spec.origin).parent), name
    yield str(Path(asyncio.__file__).parent), ASYNCIO
    yield selectors.__file__, ASYNCIO
    yield str(Path(json.__file__).parent), CODECS


_PLACES = tuple(_places())
