"""Replacement of a data source's columns, whose event does not carry them: they are as they are when it is written out.

`source.data["y"] = ...` makes a ColumnDataChanged event that names its columns in `cols` and carries only those. The
Python receivers, the server's and ours (Bokeh 3.9.2, 3.10.2 and 4.0.0.dev8), put them in the place of all columns, and
the others are gone. So we send all columns, and complete what we receive.

An event that was held (`Document.hold`) is written out when it is let go. What was streamed and patched meanwhile is in
the columns by then, and its own events, which follow, have nothing to add. So it is with the columns of a source that a
held change brings in.
"""

from __future__ import annotations

from collections.abc import Sized
from contextlib import suppress
from operator import is_
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from bokeh.core.serialization import Buffer, Serializer
from bokeh.document.events import (
    ColumnDataChangedEvent,
    ColumnsPatchedEvent,
    ColumnsStreamedEvent,
    ModelChangedEvent,
    RootAddedEvent,
)
from bokeh.models.sources import ColumnarDataSource

from .changes import has_become
from .encoding import encode_columns
from .holding import is_letting_go
from .identity import defined_ids
from .plain import PLAIN
from .requests import Encoded
from .sparse import SparseSet
from .telling import being_told, is_held_change, letting_go
from .wire_objects import comparable, decoded

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.document.events import DocumentChangedEvent, DocumentPatchedEvent

__all__ = [
    "SentColumns",
    "are_level",
    "complete_received",
    "complete_sent",
    "may_be_converted",
    "misfits",
    "whole",
]

_COLUMN_CHANGES = ColumnDataChangedEvent | ColumnsStreamedEvent | ColumnsPatchedEvent
_LOOKED_AT = 8  # values at the end of a column, to see of what kind it is
_VALUES = (str, int, float, bool)
_DATES = "mM"
_CONVERTING = "biufU"  # the kinds of arrays that make of a value what they can hold


class SentColumns:
    """Columns that were written out whole, and which changes of them were made by then and not told of yet."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, str], Encoded] = {}  # of what is let go together
        self._had: SparseSet[DocumentChangedEvent] = SparseSet()
        self._streamed: dict[tuple[str, str], ColumnsStreamedEvent] = {}  # last, since anything arrived
        self._touched: set[tuple[str, str]] = set()  # columns that were changed while held changes were let go

    def forget(self) -> None:
        """Forget the columns: what was let go together has been taken up."""
        self._sent.clear()
        self._streamed.clear()
        self._touched.clear()

    def note(self, event: DocumentPatchedEvent, encoded: Encoded) -> None:
        """Take note of a change that is being sent.

        Args:
            event: The change.
            encoded: How it was written out.
        """
        if (
            isinstance(event, _COLUMN_CHANGES)
            and letting_go(event.document, anywhere=True)
            and not is_held_change(event.document)
        ):
            self._touched.add((str(event.model.id), event.attr))
        if isinstance(event, ColumnsStreamedEvent):
            self._streamed[str(event.model.id), event.attr] = event
        elif isinstance(event, ColumnDataChangedEvent):
            if is_letting_go(event.document):
                self._sent[str(event.model.id), event.attr] = encoded
            else:
                told = being_told(event.document)
                self._had.update(other for other in told if getattr(other, "model", 0) is event.model)
        elif _may_bring_models(event) and is_letting_go(event.document):
            for identity in defined_ids(decoded(encoded.content)):
                model = event.document.models.get_by_id(cast(Any, identity))
                if isinstance(model, ColumnarDataSource):
                    whole = ColumnDataChangedEvent(event.document, model, "data")
                    self._sent[identity, "data"] = encode_columns(whole)

    def include(self, event: DocumentPatchedEvent) -> bool:
        """Say whether a change is in what was sent already.

        Args:
            event: Any change of a document.

        Returns:
            True for streamed rows and patches that were made before the columns were written out; of those that are let
            go together, where the columns are what was sent before.
        """
        if not isinstance(event, ColumnsStreamedEvent | ColumnsPatchedEvent):
            return False
        if event in self._had:
            return True
        key = str(event.model.id), event.attr
        sent = self._sent.get(key)
        if sent is None or not is_letting_go(event.document):
            return False
        if _comparable(sent) == _comparable(encode_columns(whole(event))):
            return True
        self._sent.pop(key, None)  # another thread may have come first
        return False

    def are_overtaken(self, event: DocumentPatchedEvent) -> bool:
        """Say whether something else has been done to the columns since rows were streamed to them or values patched.

        Bokeh does it, calls the handlers of the source and tells of it then, as with any value: what a handler or
        another thread has done meanwhile may have been told before. Of held changes that are let go together, those
        that follow may be why rows are not the last any more: there, only what handlers do meanwhile counts.

        Args:
            event: Any change of a document, of which it is just told.
        """
        if not isinstance(event, ColumnsStreamedEvent | ColumnsPatchedEvent):
            return False
        if self._touched and (str(event.model.id), event.attr) in self._touched and is_held_change(event.document):
            return True
        if isinstance(event, ColumnsStreamedEvent) and has_become(event):
            latest = self._streamed.get((str(event.model.id), event.attr))
            return is_letting_go(event.document) or (latest not in (None, event) and _are_there(latest))
        return not _are_there(event) and not is_letting_go(event.document)


def _may_bring_models(event: DocumentPatchedEvent) -> bool:
    return isinstance(event, RootAddedEvent) or (isinstance(event, ModelChangedEvent) and type(event.new) not in PLAIN)


def _comparable(encoded: Encoded) -> Any:
    return comparable(decoded(encoded.content), encoded.buffers)


def complete_sent(event: DocumentPatchedEvent) -> DocumentPatchedEvent:
    """Make a change of some columns a change of all, and have rows and patches of an array be what the array has made.

    Args:
        event: Any change of a document.

    Returns:
        The event itself, or one that is sent in its place.
    """
    if isinstance(event, ColumnDataChangedEvent) and event.cols is not None and event.data is None:
        return whole(event)
    if isinstance(event, ColumnsPatchedEvent):
        return _as_stored(event)
    if isinstance(event, ColumnsStreamedEvent):
        return _as_appended(event)
    return event


def _are_there(event: ColumnsStreamedEvent | ColumnsPatchedEvent) -> bool:
    columns: Any = getattr(event.model, event.attr)
    changed = event.data if isinstance(event, ColumnsStreamedEvent) else event.patches
    if not changed.keys() <= columns.keys():
        return False
    if isinstance(event, ColumnsStreamedEvent):
        return all(_ends_with(columns[name], rows, event.rollover) for name, rows in event.data.items())
    return all(_holds(columns[name], *patch) for name, patches in event.patches.items() for patch in patches)


def _ends_with(column: Any, rows: Any, rollover: int | None) -> bool:
    """Say whether rows are the last of a column; where that is not plain to see, they are taken to be."""
    count = len(rows) if rollover is None else min(len(rows), rollover)
    return count == 0 or _are_same(column[-count:], rows[-count:])


def _holds(column: Any, where: Any, what: Any) -> bool:
    """Say whether a value is in a column; where that is not plain to see, it is taken to be."""
    if type(where) is int:
        return _are_same(column[where : where + 1], [what])
    return not isinstance(where, slice) or _are_same(column[where], what)


def _are_same(part: Any, values: Any) -> bool:
    """Say whether a part of a column is made of certain values, and of none that equal them."""
    if type(part) is list and type(values) in (list, tuple):
        return len(part) == len(values) and all(map(is_, part, values))
    if isinstance(part, np.ndarray) and part.ndim == 1 and part.dtype.kind in _CONVERTING:
        with suppress(TypeError, ValueError, OverflowError):
            return part.tobytes() == np.asarray(values).astype(part.dtype).tobytes()
    return True


def may_be_converted(event: DocumentPatchedEvent) -> bool:
    """Say whether an array may have made something else of a patch that was held back, and is sent as it was made.

    Args:
        event: Any change of a document.
    """
    if not isinstance(event, ColumnsPatchedEvent) or not is_letting_go(event.document):
        return False
    columns: Any = getattr(event.model, event.attr)
    return any(isinstance(columns.get(name), np.ndarray) for name in event.patches)


def are_level(event: ColumnsStreamedEvent | ColumnsPatchedEvent) -> bool:
    """Say whether all columns have as many rows, and no other thread is just adding to one after the other.

    Args:
        event: A change of the columns.
    """
    return len({len(column) for column in getattr(event.model, event.attr).values()}) < 2


def _as_stored(event: ColumnsPatchedEvent) -> ColumnsPatchedEvent:
    """Convert the values of a patch as the arrays have: one of integers makes 1 of 1.5; the server may have a list."""
    columns: Any = getattr(event.model, event.attr)
    arrays = {name: column for name, column in columns.items() if isinstance(column, np.ndarray)}
    converted = {
        name: [(where, _converted(what, arrays[name].dtype)) for where, what in patches]
        for name, patches in event.patches.items()
        if name in arrays and arrays[name].dtype.kind in _CONVERTING
    }
    if not converted or is_letting_go(event.document):  # then the arrays may be others by now
        return event
    return ColumnsPatchedEvent(event.document, event.model, event.attr, {**event.patches, **converted}, event.setter)


def _as_appended(event: ColumnsStreamedEvent) -> ColumnsStreamedEvent:
    """Make texts of rows that are none, as an array of texts does. The server has a list: that is how those travel."""
    columns: Any = getattr(event.model, event.attr)
    texts = {
        name: np.asarray(rows).astype(columns[name].dtype).tolist()
        for name, rows in event.data.items()
        if isinstance(columns.get(name), np.ndarray) and columns[name].dtype.kind == "U"
    }
    if not texts or is_letting_go(event.document):  # then the arrays may be others by now
        return event
    data = {**event.data, **texts}
    return ColumnsStreamedEvent(event.document, event.model, event.attr, data, event.rollover, event.setter)


def _converted(value: Any, dtype: np.dtype[Any]) -> Any:
    try:
        array = np.empty(np.shape(value), dtype)
        with np.errstate(all="ignore"):
            array[...] = value  # one by one, unlike astype
    except (TypeError, ValueError, OverflowError):
        return value  # a handler has set the column to another one
    return array if isinstance(value, np.ndarray) else array.tolist()


def whole(event: ColumnDataChangedEvent | ColumnsStreamedEvent | ColumnsPatchedEvent) -> ColumnDataChangedEvent:
    """Make of a change of columns one of all of them, as they are now.

    Args:
        event: The change.
    """
    return ColumnDataChangedEvent(event.document, event.model, event.attr, setter=event.setter)


def misfits(document: Document, event: Any) -> bool:
    """Say whether received rows or a patch are for other columns, more rows or other values than there can be here.

    A server that holds has told of neither the rows nor the columns that came after them; a pull has brought both. And
    columns that were just replaced here may be arrays, which do not hold everything.

    Args:
        document: The document the change is for.
        event: One element of a PATCH-DOC's "events". What is malformed fits: it is left for Bokeh to refuse.
    """
    match event:
        case {
            "kind": "ColumnsPatched",
            "model": {"id": str(model_id)},
            "attr": str(attr),
            "patches": {"type": "map", "entries": [*entries]},
        }:
            columns: Any = getattr(document.models.get_by_id(cast(Any, model_id)), attr, None)
            return isinstance(columns, dict) and any(_is_beyond(columns, entry) for entry in entries)
        case {
            "kind": "ColumnsStreamed",
            "model": {"id": str(model_id)},
            "attr": str(attr),
            "data": {"type": "map", "entries": [*entries]},
        }:
            columns = getattr(document.models.get_by_id(cast(Any, model_id)), attr, None)
            names = [entry[0] for entry in entries if isinstance(entry, list) and entry and type(entry[0]) is str]
            if not isinstance(columns, dict) or not columns:  # rows make some, then
                return False
            return {*names} != columns.keys() or any(
                _are_of_another_kind(columns[name], entry[1]) for name, entry in zip(names, entries, strict=False)
            )
        case _:
            return False


def _is_beyond(columns: dict[str, Any], entry: Any) -> bool:
    match entry:
        case [str(name), [*patches]] if name in columns:
            patches = [patch for patch in patches if isinstance(patch, list) and len(patch) == 2]
            places = [patch[0] for patch in patches]
            column = columns[name]
            if not isinstance(column, Sized):
                return False
            if isinstance(column, np.ndarray) and not all(_can_hold(column, patch[1]) for patch in patches):
                return True
            return any(isinstance(place, int) and place >= len(column) for place in places)
        case [str(), [*_]]:
            return True
        case _:
            return False


def _are_of_another_kind(column: Any, rows: Any) -> bool:
    """Say whether rows are texts and a column is of numbers, or the other way round, or of dates.

    An array of either makes texts of all, a list does not; and what the server has need not be what is here. Dates
    travel as numbers, which an array of dates takes none of: the server has numbers, whatever was sent.
    """
    if isinstance(column, np.ndarray) and column.dtype.kind in _DATES:
        return True
    values = rows.get("array") if isinstance(rows, dict) else rows  # an array that is no list is one of numbers
    there = {type(row) is str for row in values if type(row) in _VALUES} if isinstance(values, list) else {False}
    if isinstance(column, np.ndarray) and column.dtype.kind in _CONVERTING:
        return not there <= {column.dtype.kind == "U"}
    last = column[-_LOOKED_AT:] if isinstance(column, list | np.ndarray) else ()
    here = {type(value) is str for value in last if type(value) in _VALUES}
    return len(here) == 1 and not there <= here  # of both kinds, nothing makes something else of them


def _can_hold(column: np.ndarray[Any, Any], value: Any) -> bool:
    """Say whether a value of the wire can be put into an array; one that has a form of its own is not looked into."""
    if any(isinstance(item, dict) for item in (value if isinstance(value, list) else [value])):
        return True
    try:
        with np.errstate(all="ignore"):
            np.empty(np.shape(value), column.dtype)[...] = value
    except (TypeError, ValueError, OverflowError):
        return False
    return True


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
