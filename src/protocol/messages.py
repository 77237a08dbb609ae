"""The messages of the Bokeh server protocol: one frozen struct per kind, together a closed union.

A message is the same object in both wire generations; only its frames differ. The garbage collector has no business
with those that hold nothing but text (`gc=False`); content can be changed, and so become part of a cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, StrEnum
from typing import Any, ClassVar, TypeAlias

import msgspec

BytesLike: TypeAlias = bytes | bytearray | memoryview


class MessageType(StrEnum):
    """The kinds of message, by their names on the wire.

    `SERVER_INFO_REQ` and `SERVER_INFO_REPLY` exist in generation 3 only, `SYNC` in generation 4 only.
    """

    ACK = "ACK"
    OK = "OK"
    ERROR = "ERROR"
    PATCH_DOC = "PATCH-DOC"
    PUSH_DOC = "PUSH-DOC"
    PULL_DOC_REQ = "PULL-DOC-REQ"
    PULL_DOC_REPLY = "PULL-DOC-REPLY"
    SERVER_INFO_REQ = "SERVER-INFO-REQ"
    SERVER_INFO_REPLY = "SERVER-INFO-REPLY"
    SYNC = "SYNC"


class Request(Enum):
    """The kinds of message that a client sends and that the server answers with exactly one reply."""

    PATCH_DOC = "PATCH-DOC"
    PUSH_DOC = "PUSH-DOC"
    PULL_DOC = "PULL-DOC-REQ"
    SERVER_INFO = "SERVER-INFO-REQ"
    SYNC = "SYNC"


class Buffer(msgspec.Struct, frozen=True, gc=False):
    """One binary buffer of a message.

    Attributes:
        id: The name by which the content refers to it, as `{"id": ...}`.
        data: The bytes. On sending, a C-contiguous memoryview will do; what was received is handed on in the type it
            came in, without a copy.
    """

    id: str
    data: BytesLike


class Ack(msgspec.Struct, frozen=True, gc=False):
    """The server's first message: the session exists, the client may speak."""

    type: ClassVar[MessageType] = MessageType.ACK

    msgid: str


class Ok(msgspec.Struct, frozen=True, gc=False):
    """The server has done what the request `reqid` asked for. `reqid` is None if the peer named none."""

    type: ClassVar[MessageType] = MessageType.OK

    msgid: str
    reqid: str | None


class Error(msgspec.Struct, frozen=True, gc=False):
    """The server could not do what the request `reqid` asked for.

    Attributes:
        msgid: Id of this message.
        reqid: Id of the request, None if the peer named none.
        text: What went wrong, for people.
        traceback: The server's traceback, if it gave one.
    """

    type: ClassVar[MessageType] = MessageType.ERROR

    msgid: str
    reqid: str | None
    text: str
    traceback: str | None = None


class PatchDoc(msgspec.Struct, frozen=True):
    """Changes of the document, `{"events": [...]}`. A client's patch is answered by Ok or Error, a server's is not.

    Attributes:
        msgid: Id of this message.
        content: The decoded JSON, or `msgspec.Raw` if the connection was made with `raw_content=True`. Generation 3
            lets any JSON value pass here, generation 4 only objects.
        buffers: The buffers that the content refers to.
    """

    type: ClassVar[MessageType] = MessageType.PATCH_DOC

    msgid: str
    content: Any
    buffers: tuple[Buffer, ...] = ()


class PushDoc(msgspec.Struct, frozen=True):
    """A client's whole document, `{"doc": {...}}`, to replace the session's."""

    type: ClassVar[MessageType] = MessageType.PUSH_DOC

    msgid: str
    content: Any
    buffers: tuple[Buffer, ...] = ()


class PullDocReq(msgspec.Struct, frozen=True, gc=False):
    """A client asks for the session's whole document."""

    type: ClassVar[MessageType] = MessageType.PULL_DOC_REQ

    msgid: str


class PullDocReply(msgspec.Struct, frozen=True):
    """The session's whole document, `{"doc": {...}}`."""

    type: ClassVar[MessageType] = MessageType.PULL_DOC_REPLY

    msgid: str
    reqid: str | None
    content: Any
    buffers: tuple[Buffer, ...] = ()


class ServerInfoReq(msgspec.Struct, frozen=True, gc=False):
    """A client asks for the server's versions (generation 3 only)."""

    type: ClassVar[MessageType] = MessageType.SERVER_INFO_REQ

    msgid: str


class ServerInfoReply(msgspec.Struct, frozen=True):
    """The server's versions, `{"version_info": {"bokeh": ..., "server": ...}}` (generation 3 only)."""

    type: ClassVar[MessageType] = MessageType.SERVER_INFO_REPLY

    msgid: str
    reqid: str | None
    content: Any


class Sync(msgspec.Struct, frozen=True, gc=False):
    """A client asks for an Ok once everything before it has been processed (generation 4 only)."""

    type: ClassVar[MessageType] = MessageType.SYNC

    msgid: str


Message: TypeAlias = (
    Ack | Ok | Error | PatchDoc | PushDoc | PullDocReq | PullDocReply | ServerInfoReq | ServerInfoReply | Sync
)
Reply: TypeAlias = Ok | Error | PullDocReply | ServerInfoReply
RequestMessage: TypeAlias = PatchDoc | PushDoc | PullDocReq | ServerInfoReq | Sync

REPLIES: Mapping[Request, frozenset[MessageType]] = {
    Request.PATCH_DOC: frozenset({MessageType.OK, MessageType.ERROR}),
    Request.PUSH_DOC: frozenset({MessageType.OK, MessageType.ERROR}),
    Request.PULL_DOC: frozenset({MessageType.PULL_DOC_REPLY, MessageType.ERROR}),
    Request.SERVER_INFO: frozenset({MessageType.SERVER_INFO_REPLY, MessageType.ERROR}),
    Request.SYNC: frozenset({MessageType.OK, MessageType.ERROR}),
}
"""Which kinds of reply each request may have."""
