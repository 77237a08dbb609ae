"""Changes that the program holds back (`Document.hold`) while changes of the server come in.

Bokeh keeps the events back, not the changes: the document has them at once, and this session hears of them when they
are let go. What the server has changed until then was applied over them, while the server will apply them over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, finalize

from .telling import calls, told_here

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from bokeh.document import Document
    from bokeh.document.events import DocumentChangedEvent

    from .requests import Key

__all__ = [
    "Holding",
    "as_if_told",
    "begin",
    "held_behind",
    "is_held",
    "is_held_change",
    "is_letting_go",
    "let_go",
    "letting_go",
]


_calls: set[object] = set()
"""One thing for each call of `unhold` that is under way. Where there is none, no stack need be looked at."""
_early: WeakKeyDictionary[Document, DocumentChangedEvent] = WeakKeyDictionary()  # is sent before its turn
_places: WeakKeyDictionary[Document, int] = WeakKeyDictionary()  # of the changes that were let go last


def is_held(document: Document) -> bool:
    """Say whether a document's changes are held back."""
    return document.callbacks.hold_value is not None


@contextmanager
def let_go(document: Document) -> Iterator[None]:
    """Let go of what is held, and hold on again afterwards. What replaces a whole document comes after its changes.

    Args:
        document: The document.

    Raises:
        BaseException: What a handler has raised at whose change the program has held back. All are let go of before.
    """
    policy = document.callbacks.hold_value
    try:
        document.unhold()
        yield
    finally:
        if policy is not None:
            document.hold(policy)


@contextmanager
def letting_go() -> Iterator[None]:
    """Take note of a call of `unhold` while it goes on, whichever document's it is."""
    call = object()
    _calls.add(call)
    try:
        yield
    finally:
        _calls.discard(call)


def begin(document: Document) -> None:
    """Take up a document which may just let go of its changes: a handler of one may have opened the session.

    Args:
        document: The document, whose calls of `unhold` will be noted from now on.
    """
    call = object()
    _calls.add(call)
    if next(_letting_go(document), None) is None:
        _calls.discard(call)
    else:
        finalize(document, _calls.discard, call)


def is_letting_go(document: Document) -> bool:
    """Say whether a change that comes up now is one of those that were held back, with others behind it.

    Bokeh lets go of them in one loop, which an exception ends: those that follow would be lost.

    Args:
        document: The document.
    """
    return next(_letting_go(document), None) is not None


def is_held_change(document: Document) -> bool:
    """Say whether the change of which a document is just telling was held back itself. One of a handler's was not.

    Args:
        document: The document. This thread is the one that tells.
    """
    manager = type(document.callbacks)
    innermost = [call.f_code for call in islice(calls(document), 2)]
    return innermost == [manager.trigger_on_change.__code__, manager.unhold.__code__]


def held_behind(document: Document) -> Iterator[DocumentChangedEvent]:
    """Give the changes that were held back and are still to come, where those of a document are just let go.

    Args:
        document: The document. This thread is the one that lets go.

    Yields:
        The changes, in order.
    """
    early = _early.get(document)
    for number, call in enumerate(_letting_go(document)):  # the innermost first
        events, told = call.f_locals.get("events", []), call.f_locals.get("event")
        if early is not None and any(event is early for event in events):
            told = early
        # Where there are thousands, to look for the place of each from the beginning would take long.
        start = _places.get(document, 0) if number == 0 else 0
        while start < len(events) and events[start] is not told:
            start += 1
        if start >= len(events):
            start = next((place for place, event in enumerate(events) if event is told), -1)
        if number == 0:
            _places[document] = max(start, 0)
        for place in range(start + 1, len(events)):
            yield events[place]


@contextmanager
def as_if_told(document: Document, event: DocumentChangedEvent) -> Iterator[None]:
    """Have a change that was held back count as the one of which a document is just telling.

    Args:
        document: The document. This thread is the one that lets go.
        event: The change, which is still to come.
    """
    _early[document] = event
    try:
        yield
    finally:
        del _early[document]


def _letting_go(document: Document) -> Iterator[FrameType]:
    if _calls:
        letting_go = type(document.callbacks).unhold.__code__
        yield from (call for call in calls(document) if call.f_code is letting_go)


class Holding:
    """What the server has changed since changes of ours were made that are held back, or not told of yet."""

    def __init__(self) -> None:
        self._before: int | None = None
        self._keys: set[Key] = set()
        self._interrupted = False  # whether any of these has been, of which was not told yet
        self._told: WeakKeyDictionary[DocumentChangedEvent, int] = WeakKeyDictionary()

    def received(self, document: Document, keys: Iterable[Key | None], number: int) -> None:
        """Take note of a change from the server before it is applied.

        Args:
            document: The document that it is about.
            keys: What it changes.
            number: How many changes from the server had been handled before it.
        """
        if not is_held(document) and not (self._before is not None and is_letting_go(document)):
            self._before = None
            self._keys.clear()
            self._interrupted = self._interrupted and bool(self._told)
            return
        if self._before is None:
            self._before = number
        self._keys.update(key for key in keys if key is not None)

    def interrupted(self, document: Document, number: int) -> None:
        """Take note that a change from the server comes up in a call that a handler makes of a change of ours.

        Args:
            document: The document.
            number: How many changes from the server had been handled before it.
        """
        self._interrupted = True
        for event in told_here(document):
            self._told.setdefault(event, number)
        if self._before is None and is_letting_go(document):
            self._before = number

    def made_after(self, handled: int, event: DocumentChangedEvent) -> int:
        """Say how many changes from the server had been handled at the latest when a change of ours was made.

        Args:
            handled: How many have been handled now, when it is sent.
            event: The change.
        """
        made_after = handled if self._before is None else self._before
        return min(made_after, self._told.get(event, made_after)) if self._interrupted else made_after

    def concerns(self, key: Key | None) -> bool:
        """Say whether the server may have changed a property after a change of ours to it that was held until now."""
        return key in self._keys
