"""The changes that are made in a document and of which it has not told yet.

What the program has changed counts from when it has changed it, although it is sent later: where changes are held
back (`Document.hold`), and where a handler of a change makes a call before the session hears of that change.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bokeh.document.events import DocumentPatchedEvent

from .changes import classify
from .holding import held_behind, is_held
from .telling import being_told

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bokeh.document import Document
    from bokeh.document.events import DocumentChangedEvent

    from .requests import Change

__all__ = ["is_clear", "untold"]


def is_clear(document: Document) -> bool:
    """Say whether there are no such changes of this thread's, which is quickly told.

    Args:
        document: The document.
    """
    if is_held(document):
        return False
    manager = document.callbacks
    telling = type(manager).trigger_on_change.__code__
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is telling and frame.f_locals.get("self") is manager:
            return False
    return True


def untold(document: Document, setter: object) -> list[Change]:
    """Find such changes.

    Args:
        document: The document.
        setter: Who has made those that do not count.

    Returns:
        What they change, in any order.
    """
    # Bokeh has no other way to ask for what is held.
    held: Iterable[DocumentChangedEvent] = document.callbacks._held_events if is_held(document) else ()
    return [
        classify(event)
        for event in (*being_told(document), *held_behind(document), *held)
        if isinstance(event, DocumentPatchedEvent) and event.setter is not setter
    ]
