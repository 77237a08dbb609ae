"""What the last push had of changes of which its document tells only after it.

Bokeh makes a change, calls the handlers of the model and of the document, and tells the session of it then. A push that
another thread writes meanwhile has the change already: sent behind the push, rows would be there twice, and the server
would drop the removal of a root that it has no more, with all that travels with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

from bokeh.document.events import ColumnsStreamedEvent, RootAddedEvent, RootRemovedEvent
from bokeh.models.sources import ColumnDataSource

from .holding import held_behind
from .sparse import SparseSet
from .telling import being_told

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.document.events import DocumentChangedEvent, DocumentPatchedEvent
    from bokeh.model import Model

__all__ = ["Pushed"]

Lengths = dict[str, dict[str, int]]


class Pushed:
    """The roots of the last push, and the changes that it had and of which was not told yet."""

    def __init__(self) -> None:
        self._roots: WeakSet[Model] | None = None  # not their ids: a root gets its own only after this has heard of it
        self._lengths: Lengths = {}  # of the columns, when a push was written
        self._had: SparseSet[DocumentChangedEvent] = SparseSet()

    def note(self, document: Document) -> bool:
        """Take note of a document before it is written out, and once more behind that.

        Args:
            document: The document.

        Returns:
            Whether it is as it was before, so that it need not be written out once more.
        """
        roots = WeakSet(document.roots)
        lengths = {
            str(model.id): _lengths(model) for model in tuple(document.models) if isinstance(model, ColumnDataSource)
        }
        same = (roots, lengths) == (self._roots, self._lengths)
        self._roots, self._lengths = roots, lengths
        self._had = SparseSet([*being_told(document), *held_behind(document, anywhere=True)])
        return same

    def has(self, event: DocumentPatchedEvent) -> bool:
        """Say whether the last push had a change of which the document tells now, and which must not be made twice.

        Args:
            event: Any change of the document, whoever has made it.
        """
        if self._roots is not None:
            if isinstance(event, RootAddedEvent):
                self._roots.add(event.model)
            elif isinstance(event, RootRemovedEvent):
                return event.model not in self._roots
        return isinstance(event, ColumnsStreamedEvent) and event in self._had


def _lengths(source: ColumnDataSource) -> dict[str, int]:
    return {name: len(column) for name, column in cast(Any, source).data.items()}
