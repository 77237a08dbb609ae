"""Looking through decoded wire content, and comparing it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ..protocol import Buffer

__all__ = ["COLUMN_EVENTS", "comparable", "decoded", "objects", "placed", "readdressed"]

COLUMN_EVENTS = ("ColumnDataChanged", "ColumnsStreamed", "ColumnsPatched")
"""The kinds of changes of columns, which hold no models. No set: what a peer says is a kind may have no hash."""


def decoded(content: msgspec.Raw) -> Any:
    """Read content of ours, which like Bokeh's may have lone surrogates in its texts and integers of any size.

    Args:
        content: JSON that was encoded here.
    """
    try:
        return msgspec.json.decode(content)
    except msgspec.DecodeError:
        return json.loads(bytes(content))


def readdressed(content: msgspec.Raw, new_ids: Mapping[str, str]) -> msgspec.Raw:
    """Have content of ours refer to models by their new ids.

    Args:
        content: JSON that was encoded here.
        new_ids: The new ids by the old ones.
    """
    if not new_ids:
        return content
    value = decoded(content)
    for node in objects(value):
        if len(node) == 1 and node.get("id") in new_ids:
            node["id"] = new_ids[node["id"]]
    return msgspec.Raw(json.dumps(value, allow_nan=False).encode())


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Give every JSON object in a wire value, outer ones first; arrays of numbers and bytes are not looked into.

    Args:
        value: Decoded wire content of any depth.
    """
    stack = [value]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            yield node
            if node.get("type") not in ("ndarray", "bytes"):
                stack.extend(item for item in node.values() if isinstance(item, dict | list))
        elif isinstance(node, list):
            stack.extend(item for item in node if isinstance(item, dict | list))


def placed(event: Any) -> frozenset[str]:
    """Give the ids of the models that a change gives a place, whether it writes them out or refers to them.

    Args:
        event: One element of a PATCH-DOC's "events", which may be malformed.
    """
    if not isinstance(event, dict):
        return frozenset()
    value = event.get("model") if event.get("kind") == "RootAdded" else event.get("new")
    return frozenset(node["id"] for node in objects(value) if isinstance(node.get("id"), str))


def comparable(value: Any, buffers: Iterable[Buffer]) -> Any:
    """Bring a wire value into a form that is equal for equal values: ids of buffers differ each time.

    Args:
        value: Decoded wire content. A model in it counts as the reference to it.
        buffers: The buffers that it refers to.

    Raises:
        KeyError: A buffer is missing.
    """
    contents = {buffer.id: buffer.data for buffer in buffers}

    def convert(value: Any) -> Any:
        match value:
            case {"type": "object", "id": str(identity)}:
                return {"id": identity}
            case {"type": "bytes", "data": {"id": str(name)}}:
                return bytes(contents[name])
            case {"type": "bytes", "data": str(data)}:
                return base64.b64decode(data)
            case dict():
                return {name: convert(item) for name, item in value.items()}
            case list() | tuple():
                return [convert(item) for item in value]
            case _:
                return value

    return convert(value)
