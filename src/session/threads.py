"""What keeps the changes apart that several threads make of one document at once (rules 18 and 19 of specs/sync.md)."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar, cast

from bokeh.core.property.vectorization import Expr, Field, Value
from bokeh.document.events import (
    ColumnDataChangedEvent,
    DocumentPatchedEvent,
    ModelChangedEvent,
    RootAddedEvent,
    RootRemovedEvent,
    TitleChangedEvent,
)

from .changes import made_by
from .holding import held_behind, is_letting_go
from .plain import PLAIN
from .turns import Turn

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.model import Model

__all__ = ["Threads", "is_overtaken", "is_undone", "present"]

T = TypeVar("T")

_NONE = object()
_PATIENCE = 1.0  # seconds to wait for what other threads are just posting, if they do not wait for a push
_PACKED = (Expr, Field, Value)  # made anew each time that one is asked for


class Threads:
    """The threads that change one document. A change is begun once the document tells of it, and then sent.

    What another thread changes while a push is written must not be sent before the push, to be overwritten by what was.
    What of it the push has already, and must not be sent behind it, `Pushed` knows.

    Attributes:
        writing: The turn of the thread that writes a push.
    """

    def __init__(self) -> None:
        self.writing = Turn()
        self._placing = Turn()  # of changes that may bring models in, or take some out
        # The changes that threads are about to send; with the thread, if they neither bring models in nor take any out.
        self._begun: dict[DocumentPatchedEvent, int] = {}

    @property
    def has_begun(self) -> bool:
        """Whether any thread is about to send a change."""
        return bool(self._begun)

    def begin(self, event: DocumentPatchedEvent, *, places: bool) -> None:
        """Take note of a change that is being sent, until `end`, and let one that is just placing something go first.

        Args:
            event: The change.
            places: Whether it may bring models in, or take some out.
        """
        try:
            while True:
                self._begun[event] = 0 if places else get_ident()
                if places or not (self._placing.holder and self._placing.is_anothers):
                    return
                del self._begun[event]  # for which the other one waits
                self._placing.run(object)
        except BaseException:
            self.end(event)
            raise

    def end(self, event: DocumentPatchedEvent) -> None:
        """Take note that a change has been sent, or will not be.

        Args:
            event: What `begin` was given.
        """
        self._begun.pop(event, None)

    def alone(self, push: Callable[[], T]) -> T:
        """Write and post a push while no other thread posts a change.

        Args:
            push: Does it.

        Returns:
            What it returned.
        """
        if self.writing.is_mine:
            return push()
        return cast(T, self.writing.run(push))  # for which it waits as long as it takes

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
            if begun.keys() >= self._begun.copy().keys():
                return written

    def place(self, post: Callable[[], None]) -> None:
        """Write and post a change that may bring models in or take some out, while no other thread posts any.

        The models count as known as soon as they are being written, and as gone as soon as that is posted. What another
        thread changes of one of them must not be posted before, or behind that.

        Args:
            post: Does it, and has nothing called that is not ours.
        """

        def alone() -> None:
            ours, deadline = (0, get_ident()), time.monotonic() + _PATIENCE
            while any(thread not in ours for thread in self._begun.copy().values()) and time.monotonic() < deadline:
                time.sleep(0)  # it takes some 50 us
            post()

        self._placing.run(alone)

    def await_push(self) -> None:
        """Let the push of another thread go first."""
        if self.writing.is_anothers:
            self.writing.run(object)


def is_overtaken(event: DocumentPatchedEvent) -> bool:
    """Say whether the same has been changed again since a change was made, and that was sent before.

    Bokeh sets a property, calls its handlers and tells of it then. Another thread may come between, or a handler. So it
    is with titles and roots, of which a document tells one listener after the other. Of changes that were held and are
    let go together, those that follow may have made what is here.

    Args:
        event: The change, which is being sent.
    """
    document = event.document
    match event:
        case ModelChangedEvent(model=model, attr=attr):
            value = present(model, attr)
            if event.new is value or _is_same(event.new, value):
                return False
            again = (
                other.new
                for other in held_behind(document)
                if isinstance(other, ModelChangedEvent) and other.model is model and other.attr == attr
            )
            if type(value) in PLAIN and type(event.new) in PLAIN:
                return next(again, _NONE) is _NONE  # the last of them tells what is here
            return not any(_is_same(new, value) for new in again)
        case ColumnDataChangedEvent():
            made = made_by(event)
            is_there = made is None or getattr(event.model, event.attr) is made
            return not is_there and not is_letting_go(document)  # columns are written as they are by then
        case TitleChangedEvent(title=title):
            return document.title != title and not any(
                isinstance(other, TitleChangedEvent) for other in held_behind(document)
            )
        case RootAddedEvent(model=model):
            roots = document.roots
            behind = roots[roots.index(model) + 1 :] if model in roots else []
            return bool(behind) and not _changed_again(RootAddedEvent, document).issuperset(behind)
        case _:
            return False


def present(model: Model, attr: str) -> Any:
    """Give the value that a property has now as a change has it; of a Value or Field, a model gives out the inside.

    Args:
        model: The model.
        attr: The property's name.
    """
    return model.lookup(attr).get_value(model)


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, _PACKED) and type(one) is type(other) and bool(one == other))


def is_undone(event: DocumentPatchedEvent) -> bool:
    """Say whether a root that was added is gone again, or one that was removed is there again, and told of before.

    Args:
        event: The change, which is being sent.
    """
    document = event.document
    match event:
        case RootAddedEvent(model=model):
            return model not in document.roots and model not in _changed_again(RootRemovedEvent, document)
        case RootRemovedEvent(model=model):
            return model in document.roots and model not in _changed_again(RootAddedEvent, document)
        case _:
            return False


def _changed_again(kind: type[RootAddedEvent | RootRemovedEvent], document: Document) -> set[Model]:
    """Give the roots that held changes add, or remove, which are still to come."""
    return {other.model for other in held_behind(document) if isinstance(other, kind)}
