"""Which changes a document is just telling of, and which it lets go of.

Bokeh makes a change, and calls the handlers of the model and the listeners of the document while it tells of it; the
session is one of these. Until it hears of the change, a handler may do something else, or another thread. And Bokeh
lets go of held changes in one loop, which ends when a handler raises: of those that follow nobody would ever be told.
It has no hook for either, so `Telling` stands in for two methods of the one document that is followed, and takes note.
"""

from __future__ import annotations

import sys
import weakref
from contextlib import contextmanager
from itertools import islice
from threading import get_ident
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bokeh.document import Document
    from bokeh.document.callbacks import DocumentCallbackManager
    from bokeh.document.events import DocumentChangedEvent

__all__ = [
    "LettingGo",
    "Telling",
    "being_told",
    "is_held_change",
    "letting_go",
    "tells_nothing",
    "times_unheld",
    "under_way",
]


class LettingGo:
    """One call of `unhold`.

    Attributes:
        events: The changes that it lets go of.
        place: Of the one of which the document is just telling, -1 before the first.
    """

    __slots__ = ("_early", "_is_early", "events", "place")

    def __init__(self, events: list[DocumentChangedEvent]) -> None:
        self.events = events
        self.place = -1
        self._early = 0  # from where to look for the next that is told early
        self._is_early = False

    def reach(self, event: DocumentChangedEvent) -> None:
        """Take note of the change that is told next.

        Args:
            event: The change.
        """
        self.place = self._find(event, self.place + 1)

    @property
    def behind(self) -> Iterator[DocumentChangedEvent]:
        """The changes that are still to come, in order."""
        return islice(self.events, (self._early if self._is_early else self.place) + 1, None)

    @contextmanager
    def as_if_reached(self, event: DocumentChangedEvent) -> Iterator[None]:
        """Have a change count as the one that is just told. Where it is not among these, nothing is done.

        Args:
            event: The change, which is still to come.
        """
        place = self._find(event, max(self._early, self.place + 1))
        if place == len(self.events):
            place = self._find(event, self.place + 1)
        if place == len(self.events):
            yield
            return
        self._early, self._is_early = place, True
        try:
            yield
        finally:
            self._is_early = False

    def _find(self, event: DocumentChangedEvent, start: int) -> int:
        place = start  # and not from the beginning each time, since there may be thousands
        while place < len(self.events) and self.events[place] is not event:
            place += 1
        return place


class Telling:
    """The calls in which one document tells of its changes, of each thread.

    Args:
        document: The document. Changes of which it has begun to tell before this was made do not count.

    Attributes:
        unheld: How many times the changes that were held back have been let go of.
    """

    def __init__(self, document: Document) -> None:
        self._manager = weakref.ref(document.callbacks)
        self.unheld = 0
        self._stacks: dict[int, list[DocumentChangedEvent | LettingGo]] = {}
        held = [event for call in letting_go(document, anywhere=True) for event in call.events]  # of an earlier session
        self._before = WeakSet([*held, *_being_let_go(document.callbacks)]) or None
        _tellings[document] = self

    @property
    def is_under_way(self) -> bool:
        """Whether any thread is about anything."""
        return any(self._stacks.copy().values())

    @property
    def here(self) -> list[DocumentChangedEvent | LettingGo]:
        """What this thread is about, the innermost call last."""
        return self._stacks.get(get_ident(), [])

    @property
    def everywhere(self) -> list[list[DocumentChangedEvent | LettingGo]]:
        """What the threads are about, this one first."""
        others = self._stacks.copy()  # which no other thread comes between
        return [others.pop(get_ident(), []), *others.values()]

    def tells_of(self, event: DocumentChangedEvent) -> bool:
        """Say whether a change that a listener of the document hears of was made since this was.

        Args:
            event: The change.
        """
        here = self._stacks.get(get_ident())
        if not here or here[-1] is not event:
            return False
        return self._before is None or event not in self._before

    def trigger_on_change(self, event: DocumentChangedEvent) -> None:
        """Have Bokeh tell of a change, or hold it back.

        Args:
            event: The change.

        Raises:
            BaseException: What a handler of the change raises.
        """
        manager = self._manager()
        if manager is None:
            return
        trigger = type(manager).trigger_on_change
        if manager.hold_value is not None:
            trigger(manager, event)
            return
        stack = self._stacks.setdefault(get_ident(), [])
        depth = len(stack)
        try:
            if depth and isinstance(stack[-1], LettingGo):
                stack[-1].reach(event)
            stack.append(event)
            trigger(manager, event)
        finally:
            del stack[depth:]  # not in a function, which Ctrl-C could keep from being entered
            if not depth:
                self._stacks.pop(get_ident(), None)

    def unhold(self) -> None:
        """Let go of all that is held.

        Raises:
            BaseException: What handlers have raised, with the others as notes; first one that is to end the program.
        """
        manager = self._manager()
        if manager is None:
            return
        self.unheld += 1
        failures: list[BaseException] = []
        while True:
            stack = self._stacks.setdefault(get_ident(), [])
            depth = len(stack)
            # Bokeh has no other way to ask for what is held.
            call = LettingGo([] if manager.hold_value is None else manager._held_events.copy())
            try:
                stack.append(call)
                _letting_go.add(call)
                type(manager).unhold(manager)
                break
            except BaseException as error:
                failures.append(error)
                policy = manager.hold_value  # which a handler may have set
                manager.hold(policy or "collect")
                held = set(manager._held_events)  # still, or by a handler
                for event in call.behind:
                    if event not in held:
                        manager.trigger_on_change(event)  # and so it is held again
                if policy is not None:
                    break
            finally:
                del stack[depth:]
                _letting_go.discard(call)
                if not depth:
                    self._stacks.pop(get_ident(), None)
        if failures:
            failure = next((raised for raised in failures if not isinstance(raised, Exception)), failures[0])
            failures.remove(failure)
            for other in failures:
                failure.add_note(f"Also: {type(other).__name__}: {other}")
            try:
                raise failure
            finally:
                del failure, failures  # which would be in a cycle with the stack that it holds


_tellings: WeakKeyDictionary[Document, Telling] = WeakKeyDictionary()
_letting_go: set[LettingGo] = set()
"""All that is under way. Where there is none, as mostly, no document need be looked up."""


def _being_let_go(manager: DocumentCallbackManager) -> Iterator[DocumentChangedEvent]:
    """Give what this thread just lets go of: a handler of a held change may have opened the session."""
    unhold = type(manager).unhold.__code__
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is unhold and frame.f_locals.get("self") is manager:
            yield from frame.f_locals.get("events", ())


def tells_nothing(document: Document) -> bool:
    """Say whether no thread has made a change of which not all have heard yet, or lets go of any.

    Args:
        document: The document.
    """
    telling = _tellings.get(document)
    return telling is None or not telling.is_under_way


def being_told(document: Document) -> list[DocumentChangedEvent]:
    """Find the changes that are made and of which not all have heard yet, in any thread.

    Args:
        document: The document.

    Returns:
        The changes; those of each thread as they were made, first those of this one.
    """
    telling = _tellings.get(document)
    return [] if telling is None else [event for stack in telling.everywhere for event in _changes(stack)]


def times_unheld(document: Document) -> int | None:
    """Say how many times the changes that were held back have been let go of; None if nobody has counted.

    Args:
        document: The document.
    """
    telling = _tellings.get(document)
    return None if telling is None else telling.unheld


def is_held_change(document: Document) -> bool:
    """Say whether the change of which this thread is just telling is one that was held back. One of a handler's is not.

    Args:
        document: The document.
    """
    telling = _tellings.get(document)
    here = [] if telling is None else telling.here
    return len(here) > 1 and isinstance(here[-2], LettingGo) and not isinstance(here[-1], LettingGo)


def under_way(
    document: Document, *, anywhere: bool = False
) -> list[tuple[list[DocumentChangedEvent], list[DocumentChangedEvent]]]:
    """Find the changes that threads have made and of which not all have heard yet, as they were made.

    Args:
        document: The document.
        anywhere: Whether those of all threads are meant, or those of this one alone.

    Returns:
        For each thread, those of which the document is telling, and those that were held back and follow.
    """
    telling = _tellings.get(document)
    if telling is None:
        return []
    stacks = [stack.copy() for stack in (telling.everywhere if anywhere else [telling.here])]
    return [
        (_changes(stack), [event for call in reversed(stack) if isinstance(call, LettingGo) for event in call.behind])
        for stack in stacks
    ]


def letting_go(document: Document, *, anywhere: bool = False) -> list[LettingGo]:
    """Find the calls in which this thread lets go of held changes, the innermost first.

    Args:
        document: The document.
        anywhere: Whether those of all threads are meant.
    """
    telling = _tellings.get(document) if _letting_go else None
    if telling is None:
        return []
    stacks = telling.everywhere if anywhere else [telling.here]
    return [call for stack in stacks for call in reversed(stack.copy()) if isinstance(call, LettingGo)]


def _changes(stack: list[DocumentChangedEvent | LettingGo]) -> list[DocumentChangedEvent]:
    return [call for call in stack.copy() if not isinstance(call, LettingGo)]
