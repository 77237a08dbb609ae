"""What a session asks of the server, and what comes back, in the words that engine and channel share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from ..protocol import Buffer, Error, Ok, PatchDoc, PullDocReply, ServerInfoReply
from .errors import ConnectionLost

__all__ = [
    "Answered",
    "Ask",
    "Before",
    "Change",
    "Disconnected",
    "Doubted",
    "Encoded",
    "Group",
    "Inbound",
    "Key",
    "Lost",
    "Patched",
    "Reconnected",
    "Reply",
    "Request",
]

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


class Change(NamedTuple):
    """What a change made here is.

    Attributes:
        name: A format string and its arguments, for error messages; `str` puts them together.
        key: What it changes, None for what cannot conflict with a change from the server.
        replaces: Whether it replaces what was there, rather than adding to it.
        alone: Whether it has to travel in a message of its own.
        becomes: Whether what it carries has become the value here, and what is added later is added to it.
    """

    name: tuple[str, ...]
    key: Key | None = None
    replaces: bool = False
    alone: bool = True
    becomes: bool = False

    def __str__(self) -> str:
        text, *arguments = self.name
        return text.format(*arguments)


class Before(NamedTuple):
    """What a property was on the server before a change of ours, as far as is known.

    Attributes:
        value: The value: of Python, or of the wire.
        buffers: Those that a value of the wire refers to; None for a value of Python.
    """

    value: Any
    buffers: tuple[Buffer, ...] | None = None


class Encoded(NamedTuple):
    """Wire content that no longer refers to any live object.

    Attributes:
        content: The JSON value, already encoded.
        buffers: The binary buffers it refers to by id.
        returns: The ids of the models it writes out that were in the document before.
    """

    content: msgspec.Raw
    buffers: tuple[Buffer, ...]
    returns: frozenset[str] = frozenset()


@dataclass(eq=False, slots=True)
class Request:
    """One thing asked of the server, from the moment it is decided until it is answered.

    Attributes:
        ask: What is wanted.
        change: The change that a patch carries.
        content: The encoded content: of a push, or the one event of a patch.
        buffers: The binary buffers the content refers to.
        made_after: How many changes from the server had been handled when it was made.
        before: What it replaces, None where it adds to something.
        sent_after: How many changes had arrived from the server when it was sent; None before.
        returns: The ids of the models that it brings back and writes out, which a change before it may have taken out.
        missing: The models that it refers to and that the server may have taken out before, by their ids, each with the
            number of the server's change that may have done it.
        is_doomed: Whether one of these is gone by now, so that the server has probably dropped it, or will, with an OK.
        implied: Whether the server may have the value already, with the model that a change just before has brought in.
        carries: The changes that were not sent because a push has them.
        urgent: Whether it is sent while everything else waits for the outcome of a doubt.
        on_answer: Called once with the reply, in order with the patches around it; what it raises becomes `error`.
        done: Whether it is settled; then `reply` or `error` is set.
        abandoned: Whether nobody waits for the reply any more.
    """

    ask: Ask
    change: Change | None = None
    content: msgspec.Raw = field(default_factory=msgspec.Raw)
    buffers: tuple[Buffer, ...] = ()
    made_after: int = 0
    before: Before | None = None
    sent_after: int | None = None
    returns: frozenset[str] = frozenset()
    missing: Mapping[str, int] | None = None
    is_doomed: bool = False
    implied: bool = False
    carries: tuple[Request, ...] = ()
    urgent: bool = False
    on_answer: Callable[[Reply], None] | None = None
    done: bool = False
    abandoned: bool = False
    reply: Reply | None = None
    error: Exception | None = None

    @classmethod
    def carrying(
        cls,
        ask: Ask,
        encoded: Encoded,
        change: Change | None = None,
        made_after: int = 0,
        before: Before | None = None,
        *,
        implied: bool = False,
    ) -> Request:
        """Make a request that carries content.

        Args:
            ask: PUSH or PATCH.
            encoded: The content and its buffers.
            change: The change that a patch carries.
            made_after: How many changes from the server have been handled.
            before: What the change replaces.
            implied: Whether the server may have the value already.

        Returns:
            The request, not yet posted.
        """
        return cls(
            ask,
            change,
            encoded.content,
            encoded.buffers,
            made_after,
            before,
            returns=encoded.returns,
            implied=implied,
        )

    @property
    def changes(self) -> tuple[str, ...]:
        """The changes it carries, each as a short text for error messages."""
        if self.change is not None:
            return (str(self.change),)
        return tuple(change for request in self.carries for change in request.changes)

    @property
    def key(self) -> Key | None:
        """What a patch changes, None for what cannot conflict with a change from the server."""
        return None if self.change is None else self.change.key

    @property
    def is_message(self) -> bool:
        """Whether it carries what is no part of a document: neither does a push carry it, nor does it leave a trace."""
        return self.ask is Ask.PATCH and self.key is None

    @property
    def replaces(self) -> bool:
        """Whether it carries a change that replaces what was there, rather than adding to it."""
        return self.change is not None and self.change.replaces

    @property
    def buffers_size(self) -> int:
        """The number of bytes its buffers have."""
        return sum(memoryview(buffer.data).nbytes for buffer in self.buffers) if self.buffers else 0

    @property
    def size(self) -> int:
        """The number of bytes the request carries in its content and buffers."""
        size = len(memoryview(self.content))
        return size + self.buffers_size if self.buffers else size

    def settle(self, *, reply: Reply | None = None, error: Exception | None = None) -> None:
        """Record the outcome. Only the first one counts.

        Args:
            reply: The server's reply.
            error: Why there is none, or why it could not be used.
        """
        if not self.done:
            self.reply, self.error, self.done = reply, error, True
            self.on_answer = None  # which may know the request: the reply would wait for the garbage collector


Group = tuple[Request, ...]
"""Requests that travel in one message: one of any kind, or several patches, in the order in which they were made."""


@dataclass(slots=True)  # not frozen, which takes three times as long to make: one comes with each patch
class Patched:
    """The server changed the document.

    Attributes:
        message: The changes.
        number: Which of the server's PATCH-DOC messages of this session it is, counted from 1.
        size: Its bytes, about, as they came over the wire.
    """

    message: PatchDoc
    number: int
    size: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """The server answered the requests of one message, or it could not even be sent."""

    requests: Group
    reply: Reply | None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Doubted:
    """The server answered a message of patches, and the answer does not tell which of them it has applied.

    It refuses a message whole or from one event on, or drops it and says OK. Until the engine has found out and has
    said what to send again, nothing but urgent requests is sent.
    """

    requests: Group
    reply: Ok | Error


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection was lost, and another one is being sought.

    Attributes:
        error: Why.
        number: Which loss of this session it is, counted from 1.
        arrived: The number, as of a change from the server, of what the server changes until there is a connection.
    """

    error: ConnectionLost
    number: int
    arrived: int


@dataclass(frozen=True, slots=True)
class Reconnected:
    """There is a connection to the session again.

    Nothing but urgent requests is sent until the engine has compared the documents and has said what to send again;
    unless a push was under way, which is sent again.

    Attributes:
        attempts: How many attempts it took.
        seconds: How long there was no connection.
        pushing: Whether a push is sent again.
        same_process: Whether the server can be the process that it was.
    """

    attempts: int
    seconds: float
    pushing: bool
    same_process: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection has ended; nothing follows.

    Attributes:
        error: Why, None when this side closed it.
        unanswered: The requests that will never be answered, oldest first.
    """

    error: Exception | None
    unanswered: Group = ()


Inbound = Patched | Answered | Doubted | Disconnected | Reconnected | Lost
