"""What a connection reports to its caller: frozen, complete when built, together a closed union.

As with messages, the garbage collector has no business with those that hold no content.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from .messages import PatchDoc, Reply, Request, RequestMessage
from .table import Generation


class Ready(msgspec.Struct, frozen=True, gc=False):
    """The server's ACK arrived: the client may speak, in the generation that the ACK came in."""

    generation: Generation
    msgid: str


class ReplyReceived(msgspec.Struct, frozen=True):
    """A request of ours is answered and no longer pending.

    Attributes:
        request: The kind of the request.
        reqid: Its id, as our intent returned it in `Outgoing.msgid`.
        message: The reply; its kind fits the request.
    """

    request: Request
    reqid: str
    message: Reply


class UnknownReply(msgspec.Struct, frozen=True):
    """A reply that names no request in flight, or none at all. Not an error: Bokeh's own clients ignore it."""

    message: Reply


class PatchReceived(msgspec.Struct, frozen=True):
    """Client role: the server's document has changed."""

    message: PatchDoc


class RequestReceived(msgspec.Struct, frozen=True):
    """Server role: a client's request, pending until it is answered.

    Attributes:
        request: Its kind.
        message: The request; `message.msgid` is what the reply's reqid has to be.
    """

    request: Request
    message: RequestMessage


class Closed(msgspec.Struct, frozen=True, gc=False):
    """The WebSocket is closed.

    Attributes:
        code: The close code as received, None if the connection was lost without one.
        reason: The reason as received.
        expected: Whether we had asked for the close, or had finished the connection because of an error of the peer.
        unanswered: Ids of the requests in flight, in the order they were made. They will not be answered.
        mid_message: Whether a message had arrived in part.
    """

    code: int | None
    reason: str
    expected: bool
    unanswered: tuple[str, ...]
    mid_message: bool


Event: TypeAlias = Ready | ReplyReceived | UnknownReply | PatchReceived | RequestReceived
"""What receiving a frame can report."""

AnyEvent: TypeAlias = Event | Closed
