"""Partial replacement of a data source's columns, which Bokeh's Python receivers take for a replacement of them all.

`source.data["y"] = ...` makes a ColumnDataChanged event that names its columns in `cols` and carries only those. The
Python receivers, the server's and ours (Bokeh 3.9.2, 3.10.2 and 4.0.0.dev8), put them in the place of all columns, and
the others are gone. So we send all columns, and complete what we receive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bokeh.core.serialization import Buffer, Serializer
from bokeh.document.events import ColumnDataChangedEvent

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.document.events import DocumentPatchedEvent

__all__ = ["complete_received", "complete_sent"]


def complete_sent(event: DocumentPatchedEvent) -> DocumentPatchedEvent:
    """Make a change of some columns a change of all.

    Args:
        event: Any change of a document.

    Returns:
        The event itself, or one that carries all columns in its place.
    """
    if isinstance(event, ColumnDataChangedEvent) and event.cols is not None and event.data is None:
        return ColumnDataChangedEvent(event.document, event.model, event.attr, setter=event.setter)
    return event


def complete_received(document: Document, content: Any) -> list[Buffer]:
    """Add to each received change of some columns the others, as they are here.

    Args:
        document: The document the changes are for.
        content: The decoded content of a PATCH-DOC, changed in place. What is malformed is left for Bokeh to refuse.

    Returns:
        The buffers that the added columns refer to.
    """
    events = content.get("events") if isinstance(content, dict) else None
    buffers: list[Buffer] = []
    for event in events if isinstance(events, list) else ():
        match event:
            case {
                "kind": "ColumnDataChanged",
                "model": {"id": str(model_id)},
                "attr": str(attr),
                "cols": [*_],
                "data": {"type": "map", **rest} as data,
            }:
                buffers += _complete(document, model_id, attr, data, rest.get("entries", []))
    return buffers


def _complete(document: Document, model_id: Any, attr: str, data: dict[str, Any], entries: Any) -> list[Buffer]:
    model = document.models.get_by_id(model_id)
    present = getattr(model, attr, None)
    if not isinstance(present, dict) or not isinstance(entries, list):
        return []
    sent = [entry[0] for entry in entries if isinstance(entry, list) and entry]
    serializer = Serializer(references=document.models.synced_references)
    missing = [[name, serializer.encode(column)] for name, column in present.items() if name not in sent]
    data["entries"] = [*missing, *entries]
    return serializer.buffers
