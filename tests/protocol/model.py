"""A model of what one end of a connection has to know and to report, to compare a connection with."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from bokehwire.protocol import (
    REPLIES,
    Ack,
    AnyEvent,
    Connection,
    Error,
    Event,
    Frame,
    Input,
    LimitExceeded,
    Message,
    Ok,
    PatchDoc,
    PatchReceived,
    PullDocReply,
    PullDocReq,
    PushDoc,
    Ready,
    RemoteProtocolError,
    Reply,
    ReplyReceived,
    Request,
    RequestReceived,
    Role,
    ServerInfoReply,
    ServerInfoReq,
    Sync,
    UnexpectedMessage,
    UnknownReply,
)
from tests.protocol.wiring import same

MAX_PENDING = 6
REQUESTS: dict[type[Message], tuple[Request, Input]] = {
    PatchDoc: (Request.PATCH_DOC, Input.RECEIVE_PATCH),
    PushDoc: (Request.PUSH_DOC, Input.RECEIVE_PUSH),
    PullDocReq: (Request.PULL_DOC, Input.RECEIVE_PULL),
    ServerInfoReq: (Request.SERVER_INFO, Input.RECEIVE_INFO),
    Sync: (Request.SYNC, Input.RECEIVE_SYNC),
}


class End:
    """One connection, the frames on their way to it, and a model of what it has to know."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # With the last frame of a message goes the message, None if it is garbage.
        self.coming: deque[tuple[Frame, bool, Message | None]] = deque()
        self.pending: dict[str, Request] = {}
        self.answered: list[str] = []

    def send(self, frames: Iterable[Frame], message: Message | None) -> None:
        *first, last = frames
        self.coming += [(frame, False, None) for frame in first]
        self.coming.append((last, True, message))

    def expect(self, message: Message) -> tuple[Input, Event | type[RemoteProtocolError]]:
        """Take note of a message, and say what it is to this end and what has to come of it."""
        match message:
            case Ack():
                assert self.connection.generation is not None
                return Input.RECEIVE_ACK, Ready(self.connection.generation, message.msgid)
            case PatchDoc() if self.connection.role is Role.CLIENT:
                return Input.RECEIVE_PATCH, PatchReceived(message)
            case Ok() | Error() | PullDocReply() | ServerInfoReply():
                return self._expect_reply(message)
            case _:
                return self._expect_request(message)

    def _expect_reply(self, message: Reply) -> tuple[Input, Event | type[RemoteProtocolError]]:
        request = self.pending.get(message.reqid or "")
        if request is None or message.reqid is None:
            return Input.RECEIVE_STRAY_REPLY, UnknownReply(message)
        if message.type not in REPLIES[request]:
            return Input.RECEIVE_WRONG_REPLY, UnexpectedMessage
        del self.pending[message.reqid]
        self.answered.append(message.reqid)
        return Input.RECEIVE_REPLY, ReplyReceived(request, message.reqid, message)

    def _expect_request(self, message: Any) -> tuple[Input, Event | type[RemoteProtocolError]]:
        if message.msgid in self.pending:
            return Input.RECEIVE_DUPLICATE, UnexpectedMessage
        if len(self.pending) == MAX_PENDING:
            return Input.RECEIVE_FAULT, LimitExceeded
        request, given = REQUESTS[type(message)]
        self.pending[message.msgid] = request
        return given, RequestReceived(request, message)


def alike(left: AnyEvent | None, right: AnyEvent | None) -> bool:
    """Whether two events are the same, down to the types in the content and the bytes of the buffers."""
    if left != right:
        return False
    contents_of = [getattr(getattr(event, "message", None), "content", None) for event in (left, right)]
    return same(*contents_of)
