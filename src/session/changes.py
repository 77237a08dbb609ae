"""What a change made here is: its name in errors, what it may conflict with, and whether it may travel with others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from functools import lru_cache
from operator import is_
from types import FunctionType
from typing import Any, NamedTuple, cast

from bokeh.document.events import (
    ColumnDataChangedEvent,
    ColumnsPatchedEvent,
    ColumnsStreamedEvent,
    DocumentPatchedEvent,
    MessageSentEvent,
    ModelChangedEvent,
    RootAddedEvent,
    RootRemovedEvent,
    TitleChangedEvent,
)

from ..protocol import Buffer
from .identity import reachable
from .plain import may_hold_models
from .requests import Before, Change, Key

__all__ = [
    "ROOTS",
    "TITLE",
    "classify",
    "has_become",
    "is_about_roots",
    "key_of_wire_event",
    "made_by",
    "may_place",
    "removed_roots",
    "replaced",
    "replaced_on_the_wire",
    "take_back",
]

TITLE: Key = ("", "title")
ROOTS: Key = ("", "roots")
_ROOT_KINDS = ("RootAdded", "RootRemoved")


class _Kind(NamedTuple):
    name: Callable[[Any], tuple[str, ...]]
    key: Callable[[Any], Key | None]
    replaces: bool = False
    alone: bool = False


def _model_key(event: Any) -> Key:
    return str(event.model.id), event.attr


def _property(verb: str) -> Callable[[Any], tuple[str, ...]]:
    text = "{}(id={!r}).{} " + verb
    return lambda event: (text, type(event.model).__name__, str(event.model.id), event.attr)


def _root(verb: str) -> Callable[[Any], tuple[str, ...]]:
    text = "root {}(id={!r}) " + verb
    return lambda event: (text, type(event.model).__name__, str(event.model.id))


# A message leaves no trace in the document, so that nobody could tell later whether the server has taken it: it travels
# alone, and its own answer says.
_KINDS: Mapping[type[DocumentPatchedEvent], _Kind] = {
    ColumnDataChangedEvent: _Kind(_property("replaced"), _model_key, replaces=True),
    ColumnsStreamedEvent: _Kind(_property("streamed"), _model_key),
    ColumnsPatchedEvent: _Kind(_property("patched"), _model_key),
    TitleChangedEvent: _Kind(lambda event: ("title changed to {!r}", event.title), lambda event: TITLE, replaces=True),
    RootAddedEvent: _Kind(_root("added"), lambda event: ROOTS),
    RootRemovedEvent: _Kind(_root("removed"), lambda event: ROOTS),
    MessageSentEvent: _Kind(lambda event: ("message {!r} sent", event.msg_type), lambda event: None, alone=True),
}


def classify(event: DocumentPatchedEvent) -> Change:
    """Say what a change made here is.

    Args:
        event: The change.

    Returns:
        Its name, put into words only when somebody asks; its key, None for what cannot conflict; whether it replaces
        what was there or adds to it; and whether it has to travel in a message of its own.
    """
    if type(event) is ModelChangedEvent:  # most are, and many of the same property: one object stands for all
        return _property_change(type(event.model).__name__, str(event.model.id), event.attr)
    kind = _KINDS.get(type(event))
    if kind is None:  # of a later Bokeh
        return Change((type(event).__name__,), None, False, True)
    becomes = type(event) is ColumnsStreamedEvent and has_become(event)
    return Change(kind.name(event), kind.key(event), kind.replaces, kind.alone, becomes)


@lru_cache(1024)
def _property_change(kind: str, identity: str, attr: str) -> Change:
    return Change(("{}(id={!r}).{} changed", kind, identity, attr), (identity, attr), replaces=True, alone=False)


def has_become(event: ColumnsStreamedEvent) -> bool:
    """Say whether streamed rows have become a column, as Bokeh 3.10 and newer let them where it was an empty array.

    They have what was streamed since, too, as long as it is a list.

    Args:
        event: The change.
    """
    columns = getattr(event.model, event.attr)
    return any(map(is_, map(columns.get, event.data), event.data.values()))  # a generator would take as long again


def replaced(event: DocumentPatchedEvent) -> Before | None:
    """Give the value that a change made here has replaced.

    Bokeh keeps it for the callbacks of the property alone, in the function that calls them.

    Args:
        event: The change.

    Returns:
        The value; None where the change adds to something, and for a title.
    """
    if isinstance(event, ModelChangedEvent | ColumnDataChangedEvent):
        known, old = _given_to_callbacks(event, "old")
        if isinstance(event, ColumnDataChangedEvent) and isinstance(old, dict):
            old = {name: copy(column) for name, column in old.items()}  # Bokeh streams into the same lists
        return Before(old) if known else None
    return None


def made_by(event: ColumnDataChangedEvent) -> Any:
    """Give the columns that were set, which the event itself does not have; None where nobody knows.

    Args:
        event: The change.
    """
    return _given_to_callbacks(event, "new")[1]


def _given_to_callbacks(event: DocumentPatchedEvent, name: str) -> tuple[bool, Any]:
    """Say whether a value is known that the callbacks of a property are called with, and give it."""
    calling = event.callback_invoker
    if isinstance(calling, FunctionType) and calling.__closure__ is not None:
        names = calling.__code__.co_freevars
        if name in names:
            return True, calling.__closure__[names.index(name)].cell_contents
    return False, None


def take_back(event: DocumentPatchedEvent, setter: object) -> None:
    """Undo a change made here that brings models in, by object: two that have the same id cannot be told apart by it.

    Args:
        event: The change.
        setter: What the events of the undoing have as their setter.
    """
    told: Any = setter
    document = event.document
    if isinstance(event, RootAddedEvent):
        document.remove_root(event.model, told)
    elif isinstance(event, ModelChangedEvent):
        before = replaced(event)
        if before is not None and getattr(event.model, event.attr) is event.new:  # unless it has been held back
            event.model.set_from_json(event.attr, before.value, setter=told)
    present = set(document.models)
    for model in reachable(event.model if isinstance(event, RootAddedEvent) else getattr(event, "new", None)):
        if model not in present and model.document is document:  # which Bokeh has lost sight of
            cast(Any, model)._detach_document()


def replaced_on_the_wire(event: dict[str, Any], buffers: tuple[Buffer, ...]) -> Before | None:
    """Give the value that a change of ours will replace, because the server has changed the same before.

    Args:
        event: The server's change, well formed.
        buffers: The buffers that it refers to.

    Returns:
        The value; None where the change adds to something.
    """
    match event:
        case {"kind": "ModelChanged", "new": value} | {"kind": "TitleChanged", "title": value}:
            return Before(value, buffers)
        case _:
            return None


def may_place(event: DocumentPatchedEvent) -> bool:
    """Say whether a change made here may give a model a place in the document.

    Args:
        event: The change.
    """
    if isinstance(event, ModelChangedEvent):
        return may_hold_models(type(event.model), event.attr)
    return isinstance(event, RootAddedEvent)


def is_about_roots(content: Any) -> bool:
    """Say whether a message of changes from the server adds or removes roots.

    Args:
        content: The content of a PATCH-DOC, which may be malformed.
    """
    events = content.get("events") if isinstance(content, dict) else None
    return isinstance(events, list) and any(
        isinstance(event, dict) and event.get("kind") in _ROOT_KINDS for event in events
    )


def removed_roots(content: Any) -> list[str]:
    """Give the ids of the roots that changes from the server take out, each of which comes in a message of its own.

    Args:
        content: The content of a PATCH-DOC, which may be malformed.
    """
    match content:
        case {"events": [{"kind": "RootRemoved", "model": {"id": str(identity)}}]}:
            return [identity]
        case _:
            return []


def key_of_wire_event(event: Any) -> Key | None:
    """Say what a change from the server changes.

    Args:
        event: One element of a PATCH-DOC's "events", which may be malformed.

    Returns:
        The key, None for what cannot conflict.
    """
    # A pattern of mappings says the same and takes nine times as long, and every change from the server comes here.
    if not isinstance(event, dict):
        return None
    kind = event.get("kind")
    if kind == "TitleChanged":
        return TITLE
    if kind in _ROOT_KINDS:
        return ROOTS
    model, attr = event.get("model"), event.get("attr")
    identity = model.get("id") if isinstance(model, dict) else None
    return (identity, attr) if isinstance(identity, str) and isinstance(attr, str) else None
