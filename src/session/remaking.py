"""Held changes of models in whose place the server has brought others meanwhile, made again of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from bokeh.core.property.wrappers import PropertyValueDict, PropertyValueList, PropertyValueSet
from bokeh.document.events import (
    ColumnDataChangedEvent,
    ColumnsPatchedEvent,
    ColumnsStreamedEvent,
    ModelChangedEvent,
    RootRemovedEvent,
)
from bokeh.model import Model

from .identity import reachable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bokeh.document import Document
    from bokeh.document.events import DocumentPatchedEvent

__all__ = ["made_again"]


def made_again(event: DocumentPatchedEvent) -> bool:
    """Make a change of a model once more, of the one that a document has under its id by now.

    A server that moves a model writes it out anew, and the one that was here before is nobody's.

    Args:
        event: The change, of which is just told.

    Returns:
        False where there is no such model, or where the change cannot be made of it, or it is not known what it would
        be: as with rows for other columns, or with models of before deep inside a value.

    Raises:
        Exception: What a handler raises at it.
    """
    before: Any = getattr(event, "model", None)
    model = _of_today(event.document, before)
    if model is before or type(model) is not type(before):
        return False
    match event:
        case ColumnsStreamedEvent(data=rows, rollover=rollover):
            if rows.keys() != model.data.keys():
                return False
            model.stream(rows, rollover)
        case ColumnsPatchedEvent(patches=patches):
            if not all(_has_places(model.data.get(name, ()), patches[name]) for name in patches):
                return False
            model.patch(patches)
        case ColumnDataChangedEvent(attr=attr, cols=cols):
            columns = getattr(before, attr)  # as they are by now: what has replaced them follows
            changed = {name: column for name, column in columns.items() if cols is None or name in cols}
            setattr(model, attr, changed if cols is None else {**getattr(model, attr), **changed})
        case ModelChangedEvent(attr=attr, new=value):
            value = _bare(event.document, value)
            if any(
                other.document is None and _of_today(event.document, other) is not other for other in reachable(value)
            ):
                return False  # deep inside
            setattr(model, attr, value)
        case RootRemovedEvent():
            if model in event.document.roots:
                event.document.remove_root(model)
        case _:
            return False
    return True


def _of_today(document: Document, model: Any) -> Any:
    """Give the model that a document has under the id of one that is in none; if there is no other, the same."""
    if not isinstance(model, Model) or model.document is not None:
        return model
    return document.models.get_by_id(cast(Any, model).id) or model


def _has_places(column: Any, patches: Iterable[tuple[Any, Any]]) -> bool:
    """Say whether a column has the places that patches are for."""
    for where, _ in patches:
        first = where[0] if isinstance(where, tuple) else where
        last = (first.stop or 0) - 1 if isinstance(first, slice) else first
        if last >= len(column):
            return False
    return True


def _bare(document: Document, value: Any) -> Any:
    """Take a value out of the container that tells the model it belongs to, and have it hold the models of today."""
    match value:
        case PropertyValueList():
            return [_of_today(document, item) for item in value]
        case PropertyValueSet():
            return {_of_today(document, item) for item in value}
        case PropertyValueDict():
            return {key: _of_today(document, item) for key, item in value.items()}
        case _:
            return _of_today(document, value)
