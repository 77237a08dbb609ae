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
    from bokeh.document import Document
    from bokeh.document.events import DocumentPatchedEvent

__all__ = ["made_again"]


def made_again(event: DocumentPatchedEvent) -> bool:
    """Make a change of a model once more, of the one that a document has under its id by now.

    A server that moves a model writes it out anew, and the one that was here before is nobody's.

    Args:
        event: The change, of which is just told.

    Returns:
        False where there is no such model, or where it is not known what the change would be of it.

    Raises:
        Exception: What a handler raises at it.
    """
    before: Any = getattr(event, "model", None)
    model = _of_today(event.document, before)
    if model is before or type(model) is not type(before):
        return False
    match event:
        case ColumnsStreamedEvent(data=rows, rollover=rollover):
            model.stream(rows, rollover)
        case ColumnsPatchedEvent(patches=patches):
            model.patch(patches)
        case ColumnDataChangedEvent(attr=attr, cols=cols):
            now = dict(getattr(before, attr))
            setattr(
                model, attr, now if cols is None else {**getattr(model, attr), **{name: now[name] for name in cols}}
            )
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
