"""What the last push had of changes of which its document tells only after it.

Bokeh makes a change, calls the handlers of the model and of the document, and tells the session of it then. A push that
another thread writes meanwhile has the change already: sent behind the push, rows would be there twice, and the server
would drop the removal of a root that it has no more, with all that travels with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

from bokeh.document.events import (
    ColumnDataChangedEvent,
    ColumnsStreamedEvent,
    ModelChangedEvent,
    RootAddedEvent,
    RootRemovedEvent,
)
from bokeh.models.sources import ColumnDataSource

from .columns import has_added
from .identity import reachable
from .plain import PLAIN, may_hold_models

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.document.events import DocumentPatchedEvent
    from bokeh.model import Model

__all__ = ["Pushed"]

Lengths = dict[str, dict[str, int]]


class Pushed:
    """The roots of the last push, and how many rows its data sources had."""

    def __init__(self) -> None:
        self._roots: WeakSet[Model] | None = None  # not their ids: a root gets its own only after this has heard of it
        self._lengths: Lengths = {}

    def note(self, document: Document) -> bool:
        """Take note of a document before it is written out, and once more behind that.

        Args:
            document: The document.

        Returns:
            Whether it is as it was the last time.
        """
        roots = WeakSet(document.roots)
        lengths = {
            str(model.id): _lengths(model) for model in tuple(document.models) if isinstance(model, ColumnDataSource)
        }
        same = (roots, lengths) == (self._roots, self._lengths)
        self._roots, self._lengths = roots, lengths
        return same

    def has(self, event: DocumentPatchedEvent) -> bool | None:
        """Say whether the last push had a change of which the document tells now.

        Args:
            event: Any change of the document, whoever has made it.

        Returns:
            None where it cannot be said: of rows that push others out, and so leave as many as there were.
        """
        if type(event) is ModelChangedEvent:  # most are
            if self._lengths and type(event.new) not in PLAIN:
                self._lengths.pop(str(event.model.id), None)  # it may be the data of a source
                if may_hold_models(type(event.model), event.attr):
                    self._forget(event.new)
            return False
        match event:
            case RootAddedEvent():
                self._forget(event.model)
                if self._roots is not None:
                    self._roots.add(event.model)
            case RootRemovedEvent():
                return self.lacks(event)
            case ColumnsStreamedEvent() | ColumnDataChangedEvent():
                lengths = self._lengths.pop(str(event.model.id), None)
                source = cast(ColumnDataSource, event.model)
                if not isinstance(event, ColumnsStreamedEvent) or lengths is None or lengths != _lengths(source):
                    return False
                return True if has_added(event) else None
        return False

    def _forget(self, value: Any) -> None:
        """Forget the sources that come in, which may have been changed outside."""
        if self._lengths:
            for model in reachable(value):
                self._lengths.pop(str(model.id), None)

    def lacks(self, event: DocumentPatchedEvent) -> bool:
        """Say whether a change removes a root that the last push had not, so that the server does not have it.

        Args:
            event: Any change of the document.
        """
        return isinstance(event, RootRemovedEvent) and self._roots is not None and event.model not in self._roots


def _lengths(source: ColumnDataSource) -> dict[str, int]:
    return {name: len(column) for name, column in cast(Any, source).data.items()}
