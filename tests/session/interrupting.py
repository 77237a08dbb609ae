"""Ctrl-C at every place where Python looks for it, one after the other; and other threads that have to go on."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType, ModuleType
from typing import Any, TypeVar

from ..live import DEADLINE

T = TypeVar("T")


def in_another_thread(work: Callable[[], object]) -> None:
    """Do something in a thread of its own, to its end; what it raises fails the test."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    assert failed == []


@dataclass(eq=False)
class Meanwhile:
    """A listener of a document, at whose next change it has another thread do something to its end, when that is due.

    Registered before a session follows the document, it is called before the session hears of the change.
    """

    work: Callable[[], object]
    is_due: bool = False

    def __call__(self, event: object) -> None:
        if self.is_due:
            self.is_due = False
            in_another_thread(self.work)


def interrupted_at_every_check(
    modules: list[ModuleType], make: Callable[[], T], act: Callable[[T], object], *, step: int = 1
) -> Iterator[T]:
    """Do something again and again, each time with a KeyboardInterrupt at another place in some modules.

    CPython lets a signal's handler run at the start of a function of Python's and at the end of a call of one of C's,
    whose result is lost then. (And where a loop begins anew, which this leaves out.)

    Args:
        modules: Where to interrupt.
        make: Makes what is acted on, uninterrupted.
        act: What is interrupted.
        step: How many places to go on each time.

    Yields:
        What was acted on, after each interruption; at last after a run that had come to its end.
    """
    files = {module.__file__ for module in modules}
    for number in itertools.count(step=step):
        subject = make()
        places = itertools.count()

        def profile(
            frame: FrameType, event: str, argument: Any, number: int = number, places: Iterator[int] = places
        ) -> None:
            if event in ("call", "c_return") and frame.f_code.co_filename in files and next(places) == number:
                sys.setprofile(None)
                raise KeyboardInterrupt

        profiled = sys.getprofile()
        sys.setprofile(profile)
        try:
            act(subject)
        except KeyboardInterrupt:
            sys.setprofile(profiled)
            yield subject
        else:
            sys.setprofile(profiled)
            yield subject
            return
        finally:
            sys.setprofile(profiled)
