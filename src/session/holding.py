"""Changes that the program holds back (`Document.hold`) while changes of the server come in.

Bokeh keeps the events back, not the changes: the document has them at once, and this session hears of them when they
are let go. What the server has changed until then was applied over them, while the server will apply them over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from .telling import being_told, letting_go, times_unheld

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bokeh.document import Document
    from bokeh.document.events import DocumentChangedEvent

    from .requests import Key

__all__ = [
    "Holding",
    "as_if_told",
    "held_behind",
    "is_held",
    "is_letting_go",
    "let_go",
]


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
    before = times_unheld(document)
    try:
        document.unhold()
        yield
    finally:
        # Not if the program has let go of all or holds otherwise meanwhile, in a handler or another thread.
        is_ours = before is None or times_unheld(document) == before + 1
        if policy is not None and is_ours and not is_held(document):
            document.hold(policy)


def is_letting_go(document: Document) -> bool:
    """Say whether a change that comes up now is one of those that were held back, with others behind it.

    Bokeh lets go of them in one loop, which an exception ends: those that follow would be lost.

    Args:
        document: The document.
    """
    return bool(letting_go(document))


def held_behind(document: Document, *, anywhere: bool = False) -> Iterator[DocumentChangedEvent]:
    """Give the changes that were held back and are still to come, where those of a document are just let go.

    Args:
        document: The document. This thread is the one that lets go.
        anywhere: Whether those are meant as well that other threads let go of.

    Yields:
        The changes, in order.
    """
    for call in letting_go(document, anywhere=anywhere):
        yield from call.behind


@contextmanager
def as_if_told(document: Document, event: DocumentChangedEvent) -> Iterator[None]:
    """Have a change that was held back count as the one of which a document is just telling.

    Args:
        document: The document.
        event: The change, which is still to come.
    """
    with ExitStack() as stack:
        for call in letting_go(document, anywhere=True):
            stack.enter_context(call.as_if_reached(event))
        yield


class Holding:
    """What the server has changed since changes of ours were made that are held back, or not told of yet."""

    def __init__(self) -> None:
        self._before: int | None = None
        self._keys: set[Key] = set()
        self._told: WeakKeyDictionary[DocumentChangedEvent, int] | None = None  # of those of which was not told yet

    def received(self, document: Document, keys: Iterable[Key | None], number: int) -> None:
        """Take note of a change from the server before it is applied.

        Args:
            document: The document that it is about.
            keys: What it changes.
            number: How many changes from the server had been handled before it.
        """
        if not is_held(document) and not (self._before is not None and letting_go(document, anywhere=True)):
            self._before = None
            self._keys.clear()
            self._told = self._told or None
            return
        if self._before is None:
            self._before = number
        self._keys.update(key for key in keys if key is not None)

    def interrupted(self, document: Document, number: int) -> None:
        """Take note that a change from the server comes up while changes of ours are being told.

        In a call that a handler makes of one, or in another thread.

        Args:
            document: The document.
            number: How many changes from the server had been handled before it.
        """
        self._told = WeakKeyDictionary() if self._told is None else self._told
        for event in being_told(document):
            self._told.setdefault(event, number)
        if self._before is None and letting_go(document, anywhere=True):
            self._before = number

    def made_after(self, handled: int, event: DocumentChangedEvent) -> int:
        """Say how many changes from the server had been handled at the latest when a change of ours was made.

        Args:
            handled: How many have been handled now, when it is sent.
            event: The change.
        """
        made_after = handled if self._before is None else self._before
        told = self._told  # once, since another thread may forget it
        return made_after if told is None else min(made_after, told.get(event, made_after))

    def concerns(self, key: Key | None) -> bool:
        """Say whether the server may have changed a property after a change of ours to it that was held until now."""
        return key in self._keys
