"""What a session asks of the server, and what comes back, in the words that engine and channel share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import msgspec

from ..protocol import Buffer, Error, Ok, PatchDoc, PullDocReply, ServerInfoReply
from .encoding import Encoded

__all__ = ["Answered", "Ask", "Inbound", "Key", "Lost", "Patched", "Reply", "Request"]

Key = tuple[str, str]
"""What a change concerns: a model's id and the name of a property; or no id, and "title" or "roots"."""

Reply = Ok | Error | PullDocReply | ServerInfoReply


class Ask(Enum):
    """What a request wants. The connection picks the message that says it in the server's wire generation."""

    PULL = "PULL-DOC-REQ"
    PUSH = "PUSH-DOC"
    PATCH = "PATCH-DOC"
    ROUND_TRIP = "round trip"
    SERVER_INFO = "SERVER-INFO-REQ"


@dataclass(eq=False, slots=True)
class Request:
    """One thing asked of the server, from the moment it is decided until it is answered.

    Attributes:
        ask: What is wanted.
        changes: The changes it carries, each as a short text for error messages.
        content: The encoded content, for a push or a patch.
        buffers: The binary buffers the content refers to.
        key: What a patch changes, None for what cannot conflict with a change from the server.
        replaces: Whether a patch replaces what was there, rather than adding to it.
        sent_after: How many changes had arrived from the server when it was sent; None before.
        on_answer: Called once with the reply, in order with the patches around it; what it raises becomes `error`.
        done: Whether it is settled; then `reply` or `error` is set.
        abandoned: Whether nobody waits for the reply any more.
    """

    ask: Ask
    changes: tuple[str, ...] = ()
    content: msgspec.Raw = field(default_factory=msgspec.Raw)
    buffers: tuple[Buffer, ...] = ()
    key: Key | None = None
    replaces: bool = False
    sent_after: int | None = None
    on_answer: Callable[[Reply], None] | None = None
    done: bool = False
    abandoned: bool = False
    reply: Reply | None = None
    error: Exception | None = None

    @classmethod
    def carrying(cls, ask: Ask, encoded: Encoded, changes: tuple[str, ...] = ()) -> Request:
        """Make a request that carries content.

        Args:
            ask: PUSH or PATCH.
            encoded: The content and its buffers.
            changes: The changes it carries, each as a short text.

        Returns:
            The request, not yet posted.
        """
        return cls(ask, changes=changes, content=encoded.content, buffers=encoded.buffers)

    @property
    def size(self) -> int:
        """The number of bytes the request carries in its content and buffers."""
        return len(memoryview(self.content)) + sum(memoryview(buffer.data).nbytes for buffer in self.buffers)

    def settle(self, *, reply: Reply | None = None, error: Exception | None = None) -> None:
        """Record the outcome. Only the first one counts.

        Args:
            reply: The server's reply.
            error: Why there is none, or why it could not be used.
        """
        if not self.done:
            self.reply, self.error, self.done = reply, error, True


@dataclass(frozen=True, slots=True)
class Patched:
    """The server changed the document.

    Attributes:
        message: The changes.
        number: Which of the server's PATCH-DOC messages on this connection it is, counted from 1.
    """

    message: PatchDoc
    number: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The server answered a request, or the request could not even be sent."""

    request: Request
    reply: Reply | None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection has ended; nothing follows.

    Attributes:
        error: Why, None when this side closed it.
        unanswered: The requests that will never be answered, oldest first.
    """

    error: Exception | None
    unanswered: tuple[Request, ...] = field(default=())


Inbound = Patched | Answered | Lost
