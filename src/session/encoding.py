"""Bokeh's documents and events to wire content, and back.

Everything is encoded at once, buffers included, so that what the program changes afterwards cannot change what is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any, cast

import msgspec
from bokeh.core.serialization import Buffer as BokehBuffer
from bokeh.core.serialization import Serialized, Serializer
from bokeh.document.events import ColumnDataChangedEvent, ColumnsPatchedEvent, ColumnsStreamedEvent, ModelChangedEvent

from ..protocol import Buffer
from .holding import is_letting_go
from .identity import reachable
from .plain import PLAIN
from .requests import Encoded

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.document.events import DocumentPatchedEvent

    from .identity import Acquaintance

__all__ = ["describe_wire_event", "encode_columns", "encode_document", "encode_event", "to_bokeh"]

_MAX_SAFE_INT = 2**53 - 1
_TEXT = frozenset({str, bool, type(None)})
_COLUMN_EVENTS = frozenset({ColumnDataChangedEvent, ColumnsStreamedEvent, ColumnsPatchedEvent})


def _base_value(value: object) -> object:
    """Give the plain value of an object of a derived type, such as NumPy's float64, which Bokeh leaves as it is."""
    match value:
        case float():
            return float.__float__(value)
        case int():
            return int.__int__(value)
        case str():
            return str.__str__(value)
        case _:
            raise NotImplementedError(f"{type(value).__name__} is no type of JSON")


_encoder = msgspec.json.Encoder(enc_hook=_base_value)


def _encode(content: Any) -> msgspec.Raw:
    """Write JSON as Bokeh does, which unlike msgspec escapes lone surrogates and takes integers of any size."""
    try:
        return msgspec.Raw(_encoder.encode(content))
    except (UnicodeEncodeError, OverflowError):
        return msgspec.Raw(json.dumps(content, allow_nan=False).encode())


class _WireSerializer(Serializer):
    """Bokeh's serializer, leaving references instead of Buffer objects in its output.

    Bokeh's JSON encoder makes that exchange while it writes; msgspec would take the dataclass for plain content.
    """

    def _encode_bytes(self, obj: bytes | memoryview) -> Any:
        representation = super()._encode_bytes(obj)
        data = representation["data"]
        if isinstance(data, BokehBuffer):
            representation["data"] = data.ref
        return representation

    def _encode_list(self, obj: list[Any]) -> Any:
        # Bokeh calls itself for each item: of streamed rows, that takes as long as everything else together.
        return list(obj) if _all_plain(obj) else super()._encode_list(obj)

    def finish(self, content: Any) -> Encoded:
        buffers = tuple(Buffer(buffer.id, buffer.to_bytes()) for buffer in self.buffers)
        return Encoded(_encode(content), buffers)


def _is_plain(value: object) -> bool:
    """Say whether Bokeh's serializer writes a value as it is, whatever models the other side knows."""
    kind = type(value)
    if kind is int:
        return -_MAX_SAFE_INT < cast(int, value) <= _MAX_SAFE_INT
    if kind is float:
        return isfinite(cast(float, value))
    return kind in _TEXT


def _all_plain(values: list[Any]) -> bool:
    """Say whether Bokeh's serializer writes each of some values as it is, looking at one kind of them as a whole."""
    kinds = set(map(type, values))
    if kinds <= _TEXT:
        return True
    if kinds == {float}:
        return all(map(isfinite, values))
    if kinds == {int}:
        return bool(min(values) > -_MAX_SAFE_INT and max(values) <= _MAX_SAFE_INT)
    return kinds <= PLAIN and all(map(_is_plain, values))


def encode_event(document: Document, event: DocumentPatchedEvent, acquaintance: Acquaintance) -> Encoded:
    """Encode one change of a document as it stands now.

    Models that the other side does not know yet are written out whole, all others as references.

    Args:
        document: The document the event belongs to.
        event: The change.
        acquaintance: Knows which models the other side has.

    Returns:
        One element of a PATCH-DOC's "events", with its buffers.

    Raises:
        bokeh.core.serialization.SerializationError: The new value has a type that Bokeh cannot serialize.
    """
    kind = type(event)
    if isinstance(event, ModelChangedEvent) and kind is ModelChangedEvent and _is_plain(event.new):
        content = {"kind": "ModelChanged", "model": event.model.ref, "attr": event.attr, "new": event.new}
        return Encoded(_encode(content), ())
    if kind in _COLUMN_EVENTS:
        return encode_columns(event)
    shared = acquaintance.shared(document)
    serializer = _WireSerializer(references=shared)
    content = serializer.encode(event)
    concerned = set(document.models)
    if is_letting_go(document):  # by when some models of the value may have left again
        concerned |= reachable(getattr(event, "new", None))
    written = {model for model in concerned if model not in shared and serializer.has_ref(model)}
    document.models.flush_synced(lambda model: not serializer.has_ref(model))
    returns = acquaintance.told(document, written, content)
    return serializer.finish(content)._replace(returns=returns)


def encode_columns(event: DocumentPatchedEvent) -> Encoded:
    """Encode a change of a data source's columns, which hold no models, as they stand now.

    Args:
        event: A ColumnDataChangedEvent, ColumnsStreamedEvent or ColumnsPatchedEvent.

    Returns:
        One element of a PATCH-DOC's "events", with its buffers.
    """
    rows = _plain_rows(event)
    if rows is not None:
        return Encoded(_encode(rows), ())
    serializer = _WireSerializer()
    return serializer.finish(serializer.encode(event))


def _plain_rows(event: DocumentPatchedEvent) -> dict[str, Any] | None:
    """Give the wire form of streamed rows that Bokeh's serializer writes as they are, None of anything else."""
    if type(event) is not ColumnsStreamedEvent or type(event.data) is not dict:
        return None
    for name, column in event.data.items():
        if type(name) is not str or type(column) is not list or not _all_plain(column):
            return None
    data = {"type": "map", "entries": [*event.data.items()]}
    return {"kind": event.kind, "model": event.model.ref, "attr": event.attr, "data": data, "rollover": event.rollover}


def encode_document(document: Document) -> Encoded:
    """Encode a whole document as the content of a PUSH-DOC.

    Args:
        document: The document. All its models count as known to the other side afterwards.

    Returns:
        The content `{"doc": ...}`, with its buffers.

    Raises:
        bokeh.core.serialization.SerializationError: A value has a type that Bokeh cannot serialize.
    """
    serialized = document.to_json(deferred=True)
    content = (
        _without_buffer_objects({"doc": serialized.content}) if serialized.buffers else {"doc": serialized.content}
    )
    buffers = tuple(Buffer(buffer.id, buffer.to_bytes()) for buffer in serialized.buffers)
    return Encoded(_encode(content), buffers)


def to_bokeh(content: Any, buffers: Sequence[Buffer]) -> Serialized[Any]:
    """Pack decoded wire content for Bokeh's deserializer.

    Args:
        content: The decoded JSON value.
        buffers: The buffers it refers to.

    Returns:
        Bokeh's pair of content and buffers. Bokeh may change the content in place.
    """
    return Serialized(content, [BokehBuffer(cast(Any, buffer.id), bytes(buffer.data)) for buffer in buffers])


def describe_wire_event(event: object) -> str:
    """Name a change that is still in its wire form, which may be malformed, for error messages.

    Args:
        event: One element of a PATCH-DOC's "events".

    Returns:
        A text such as "ModelChanged of model p1002, attribute value".
    """
    if not isinstance(event, dict):
        return f"a {type(event).__name__} where an event was expected"
    model = event.get("model")
    text = f"{event.get('kind', 'an event without a kind')}"
    if isinstance(model, dict) and "id" in model:
        text += f" of model {model['id']}"
    for key in ("attr", "msg_type", "title"):
        if key in event:
            text += f", {key} {event[key]!r}"
    return text


def _without_buffer_objects(value: Any) -> Any:
    """Replace Bokeh's Buffer objects by their references, in a tree that `Document.to_json` made and handed over."""
    stack: list[Any] = [value]
    while stack:
        node = stack.pop()
        items: Iterable[tuple[Any, Any]] = node.items() if isinstance(node, dict) else enumerate(node)
        for key, item in items:
            if isinstance(item, BokehBuffer):
                node[key] = item.ref
            elif isinstance(item, (dict, list)):
                stack.append(item)
            elif isinstance(item, tuple):
                node[key] = replacement = list(item)
                stack.append(replacement)
    return value
