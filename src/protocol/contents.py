"""What each kind of message carries as content, as structs: the same in both wire generations.

The connection hands content on as it is, because Bokeh's receivers do not look into it either. These structs are for
whoever has to: `msgspec.convert(message.content, PatchContent)` gives the events of a patch, typed, or raises. The JSON
Schemas in specs/schema/ are generated from them. Where a field is `Any`, it is a value in the representation of
specs/values.md.

They are for reading, and take what any version of Bokeh takes: other keys, which have no meaning, and a known model
written in any way that has its id. What is to be sent has exactly the keys that are here, all of them except those that
may be `UNSET`.

Sources: bokeh/document/json.py, bokeh/document/events.py and bokeh/protocol/messages of 3.9.2, 3.10.2 and 4.0.0.dev8.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from .messages import MessageType


class NoContent(msgspec.Struct):
    """An object that is empty; what is in it has no meaning."""


class ErrorContent(msgspec.Struct):
    """Why a request was refused.

    Attributes:
        text: What went wrong, for people. Bokeh 3 gives the exception, Bokeh 4 only the kind of the message.
        traceback: The server's traceback. Bokeh 3 gives it, Bokeh 4 gives null.
    """

    text: str
    traceback: str | None = None


class Versions(msgspec.Struct):
    """The server's versions; both are the version of Bokeh."""

    bokeh: str
    server: str


class ServerInfoContent(msgspec.Struct):
    """The content of a SERVER-INFO-REPLY."""

    version_info: Versions


class Ref(msgspec.Struct):
    """A model that both ends know, by its id; of a whole object with that id the rest is ignored. Send the id alone."""

    id: str


class _Event(msgspec.Struct, tag_field="kind"):
    # Bokeh 3.9 refuses an event with a key too many, 3.10 and 4.0 ignore it.
    pass


class ModelChanged(_Event, tag="ModelChanged"):
    """A property of a model has a new value."""

    model: Ref
    attr: str
    new: Any


class ColumnDataChanged(_Event, tag="ColumnDataChanged"):
    """The columns of a data source are replaced: those in `cols`, or all if that is null.

    `data` is a map of column names to columns; `attr` is `"data"`. Always send `cols`: only Bokeh 3.9 does without.
    """

    model: Ref
    attr: str
    data: Any
    cols: list[str] | None = None


class ColumnsStreamed(_Event, tag="ColumnsStreamed"):
    """Rows are added to a data source, and all but the last `rollover` rows dropped unless that is null.

    `data` is a map of all column names to equally long columns; `attr` is `"data"`. Always send `rollover`: only Bokeh
    3.9 does without.
    """

    model: Ref
    attr: str
    data: Any
    rollover: int | None = None


class ColumnsPatched(_Event, tag="ColumnsPatched"):
    """Some values in the columns of a data source are replaced.

    `patches` is a map of column names to lists of pairs: an index, a slice, or a list of indices into nested arrays;
    and the new value or values. `attr` is `"data"`.
    """

    model: Ref
    attr: str
    patches: Any


class TitleChanged(_Event, tag="TitleChanged"):
    """The document has a new title."""

    title: str


class RootAdded(_Event, tag="RootAdded"):
    """A model becomes a root of the document: a whole object if the other end does not know it, else a reference."""

    model: Any


class RootRemoved(_Event, tag="RootRemoved"):
    """A model is a root of the document no more."""

    model: Ref


class MessageSent(_Event, tag="MessageSent"):
    """A message to whoever listens at the other end; no change of the document.

    With `msg_type` `"bokeh_event"`, `msg_data` is an event, such as the click on a button.
    """

    msg_type: str
    msg_data: Any


PatchEvent: TypeAlias = (
    ModelChanged
    | ColumnDataChanged
    | ColumnsStreamed
    | ColumnsPatched
    | TitleChanged
    | RootAdded
    | RootRemoved
    | MessageSent
)


class PatchContent(msgspec.Struct):
    """The content of a PATCH-DOC: what has changed, in the order in which to apply it. Never empty from Bokeh."""

    events: list[PatchEvent]


class DocumentContent(msgspec.Struct, omit_defaults=True):
    """A whole document.

    Attributes:
        title: Of the page.
        config: The document's DocumentConfig, an object.
        roots: Its roots, objects in order.
        version: The version of the Bokeh that wrote it.
        defs: Definitions of models that extensions have made; a Python reader ignores them.
        callbacks: By the name of an event, the JavaScript callbacks of the document itself; Python readers ignore them.
    """

    title: str
    config: Any
    roots: list[Any]
    version: str | UnsetType = UNSET
    defs: list[Any] | UnsetType = UNSET
    callbacks: Any | UnsetType = UNSET


class WholeContent(msgspec.Struct):
    """The content of a PUSH-DOC and of a PULL-DOC-REPLY."""

    doc: DocumentContent


CONTENTS: Mapping[MessageType, type[msgspec.Struct]] = {
    MessageType.ACK: NoContent,
    MessageType.OK: NoContent,
    MessageType.ERROR: ErrorContent,
    MessageType.PATCH_DOC: PatchContent,
    MessageType.PUSH_DOC: WholeContent,
    MessageType.PULL_DOC_REQ: NoContent,
    MessageType.PULL_DOC_REPLY: WholeContent,
    MessageType.SERVER_INFO_REQ: NoContent,
    MessageType.SERVER_INFO_REPLY: ServerInfoContent,
    MessageType.SYNC: NoContent,
}
"""The content of each kind of message."""
