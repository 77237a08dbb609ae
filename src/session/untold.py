"""The changes that are made in a document and of which it has not told yet.

What the program has changed counts from when it has changed it, although it is sent later: where changes are held
back (`Document.hold`), and where a handler of a change makes a call before the session hears of that change.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from bokeh.document.events import DocumentPatchedEvent

from .changes import classify
from .holding import held_behind, is_held
from .telling import being_told, tells_nothing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bokeh.document import Document
    from bokeh.document.events import DocumentChangedEvent

    from .requests import Change

__all__ = ["Untold", "is_clear"]


def is_clear(document: Document) -> bool:
    """Say whether there are no such changes, which is quickly told.

    Args:
        document: The document.
    """
    return not is_held(document) and tells_nothing(document)


class Untold:
    """What such changes change. As many may be held, and each message that arrives asks, each is looked at once."""

    def __init__(self) -> None:
        self._first: weakref.ref[DocumentChangedEvent] | None = None
        self._count = 0
        self._held: set[Change] = set()

    def changes(self, document: Document, setter: object) -> tuple[set[Change], set[Change]]:
        """Give what is changed: what is about to be told, and what is held.

        Args:
            document: The document.
            setter: Who has made those changes that do not count.
        """
        told = [*being_told(document), *held_behind(document, anywhere=True)]
        return _changes(told, setter), self._look_through_held(document, setter)

    def _look_through_held(self, document: Document, setter: object) -> set[Change]:
        # Bokeh has no other way to ask for what is held.
        held: list[DocumentChangedEvent] = document.callbacks._held_events if is_held(document) else []
        first = held[0] if held else None
        if self._first is None or self._first() is not first or self._count > len(held):
            self._first, self._count, self._held = None if first is None else weakref.ref(first), 0, set()
        new = held[self._count :]  # at once, since another thread may hold more meanwhile
        self._held |= _changes(new, setter)
        self._count += len(new)
        return self._held


def _changes(events: Iterable[DocumentChangedEvent], setter: object) -> set[Change]:
    return {
        classify(event) for event in events if isinstance(event, DocumentPatchedEvent) and event.setter is not setter
    }
