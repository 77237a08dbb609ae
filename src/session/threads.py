"""What keeps the changes apart that several threads make of one document at once (rule 18 of specs/sync.md)."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import TypeVar, cast

from bokeh.document.events import ColumnsStreamedEvent, DocumentPatchedEvent, ModelChangedEvent

from .turns import Turn

__all__ = ["Threads"]

T = TypeVar("T")


class Threads:
    """The threads that change one document. A change is begun once the document tells of it, and then sent.

    What another thread changes while a push is written must not be sent before the push, to be overwritten by what was;
    and rows that the push has already must not be sent behind it, to be there twice.
    """

    def __init__(self) -> None:
        self._writing = Turn()  # of a push
        self._begun: set[object] = set()  # the changes that threads are about to send
        self._written: set[object] = set()  # those of them that the last push has
        self._last = 0  # the thread that has sent something last

    @property
    def has_begun(self) -> bool:
        """Whether any thread is about to send a change."""
        return bool(self._begun)

    def begin(self) -> object:
        """Take note of a change that is being sent.

        Returns:
            A token for it, to be given back with `end`.
        """
        token = object()
        self._begun.add(token)
        return token

    def end(self, token: object) -> None:
        """Take note that a change has been sent, or will not be.

        Args:
            token: What `begin` gave for it.
        """
        self._begun.discard(token)

    def alone(self, push: Callable[[], T]) -> T:
        """Write and post a push while no other thread posts a change.

        Args:
            push: Does it.

        Returns:
            What it returned.
        """
        if self._writing.is_mine:
            return push()
        return cast(T, self._writing.run(push))  # for which it waits as long as it takes

    def written(self, write: Callable[[], T]) -> T:
        """Write a document out, once more if another thread has changed something meanwhile.

        Args:
            write: Writes it.

        Returns:
            What it wrote, which has every change that was begun.
        """
        while True:
            begun = self._begun.copy()
            written = write()
            if begun >= self._begun.copy():
                self._written = begun
                return written

    def are_pushed(self, event: DocumentPatchedEvent, token: object) -> bool:
        """Let the push of another thread go first, and say whether it has rows that must not be sent once more.

        Args:
            event: The change.
            token: What `begin` gave for it.
        """
        if self._writing.is_anothers:
            self._writing.run(object)
        return token in self._written and isinstance(event, ColumnsStreamedEvent)

    def have_overtaken(self, event: DocumentPatchedEvent) -> bool:
        """Say whether another thread has changed the same since a change was made, and sent it before.

        Args:
            event: The change, which is being sent.
        """
        last, self._last = self._last, get_ident()
        if last == self._last or not isinstance(event, ModelChangedEvent):
            return False
        return getattr(event.model, event.attr) is not event.new
