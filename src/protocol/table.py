"""The one transition table of the connection: every state, every input, both roles.

A pair of state and input that is not in the table is a protocol error: the peer's if the input was received, our
caller's if it was to be sent. The drawing and the table in specs/ are generated from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import NamedTuple


class Role(Enum):
    """Which end of the connection this is."""

    CLIENT = "client"
    SERVER = "server"


class Generation(IntEnum):
    """The wire format: 3 for Bokeh 3.x, 4 for Bokeh 4."""

    V3 = 3
    V4 = 4


class State(Enum):
    """What is awaited or allowed. Waiting for a reply is not a state: any number of requests may be in flight."""

    HANDSHAKE = "handshake"
    """The server owes the ACK; nothing else may be sent."""
    OPEN = "open"
    """Messages flow."""
    ABANDONED = "abandoned"
    """We asked for the close before the ACK; what still arrives is read."""
    CLOSING = "closing"
    """We asked for the close; what still arrives is read."""
    CLOSED = "closed"
    """The WebSocket is closed. Final."""
    FAILED = "failed"
    """The peer broke the protocol, or reading failed. Only the close is left."""


class Input(Enum):
    """Everything that can happen to a connection. `RECEIVE_*` comes from the peer, `SEND_*` from our caller."""

    # Each message is looked up by its input. Enum's own hash is Python code, and members are singletons.
    __hash__ = object.__hash__

    RECEIVE_FRAME = "receive frame"
    """Any frame, before it is looked at. Where it is allowed, one of the messages below follows once it is complete."""
    RECEIVE_ACK = "receive ACK"
    RECEIVE_PATCH = "receive PATCH-DOC"
    RECEIVE_PUSH = "receive PUSH-DOC"
    RECEIVE_PULL = "receive PULL-DOC-REQ"
    RECEIVE_INFO = "receive SERVER-INFO-REQ"
    RECEIVE_SYNC = "receive SYNC"
    RECEIVE_REPLY = "receive reply"
    """OK, ERROR, PULL-DOC-REPLY or SERVER-INFO-REPLY to a request in flight that may have this kind of reply."""
    RECEIVE_STRAY_REPLY = "receive stray reply"
    """A reply that names no request in flight."""
    RECEIVE_WRONG_REPLY = "receive wrong reply"
    """A reply to a request in flight that cannot have this kind of reply."""
    RECEIVE_DUPLICATE = "receive duplicate request"
    """A request with the id of one that is still unanswered."""
    RECEIVE_FAULT = "receive fault"
    """A malformed frame, or more than a limit allows."""
    RECEIVE_CLOSE = "receive close"
    """The WebSocket is closed, in whatever way."""
    SEND_ACK = "send ACK"
    SEND_PATCH = "send PATCH-DOC"
    SEND_PUSH = "send PUSH-DOC"
    SEND_PULL = "send PULL-DOC-REQ"
    SEND_INFO = "send SERVER-INFO-REQ"
    SEND_SYNC = "send SYNC"
    SEND_REPLY = "send reply"
    """OK, ERROR, PULL-DOC-REPLY or SERVER-INFO-REPLY to an unanswered request that may have this kind of reply."""
    SEND_STRAY_REPLY = "send stray reply"
    """A reply to something that is not an unanswered request."""
    SEND_WRONG_REPLY = "send wrong reply"
    """A reply to an unanswered request that cannot have this kind of reply."""
    SEND_CLOSE = "send close"

    @property
    def received(self) -> bool:
        """Whether the peer caused it, so that the peer is at fault where it is not allowed."""
        return self.name.startswith("RECEIVE")


class Effect(Enum):
    """What an allowed input does besides changing the state."""

    READ = "the frame is read"
    READY = "event Ready"
    REPLY = "event ReplyReceived; no longer pending"
    STRAY = "event UnknownReply"
    PATCH = "event PatchReceived"
    REQUEST = "event RequestReceived; pending"
    CLOSED = "event Closed; nothing is pending"
    SEND = "frames to send"
    SEND_REQUEST = "frames to send; pending"
    SEND_REPLY = "frames to send; no longer pending"
    CLOSE = "close code and reason to send"


class Transition(NamedTuple):
    """What an allowed input leads to."""

    state: State
    effect: Effect


_CLIENT_READS: Mapping[Input, Effect] = {
    Input.RECEIVE_FRAME: Effect.READ,
    Input.RECEIVE_PATCH: Effect.PATCH,
    Input.RECEIVE_REPLY: Effect.REPLY,
    Input.RECEIVE_STRAY_REPLY: Effect.STRAY,
}
_SERVER_READS: Mapping[Input, Effect] = {
    Input.RECEIVE_FRAME: Effect.READ,
    Input.RECEIVE_PATCH: Effect.REQUEST,
    Input.RECEIVE_PUSH: Effect.REQUEST,
    Input.RECEIVE_PULL: Effect.REQUEST,
    Input.RECEIVE_INFO: Effect.REQUEST,
    Input.RECEIVE_SYNC: Effect.REQUEST,
}
_CLIENT_SENDS: Mapping[Input, Effect] = {
    Input.SEND_PATCH: Effect.SEND_REQUEST,
    Input.SEND_PUSH: Effect.SEND_REQUEST,
    Input.SEND_PULL: Effect.SEND_REQUEST,
    Input.SEND_INFO: Effect.SEND_REQUEST,
    Input.SEND_SYNC: Effect.SEND_REQUEST,
}
_SERVER_SENDS: Mapping[Input, Effect] = {
    Input.SEND_PATCH: Effect.SEND,
    Input.SEND_REPLY: Effect.SEND_REPLY,
}


def _stay(role: Role, state: State, effects: Mapping[Input, Effect]) -> dict[tuple[Role, State, Input], Transition]:
    return {(role, state, given): Transition(state, effect) for given, effect in effects.items()}


def _both(state: State, given: Input, then: State, effect: Effect) -> dict[tuple[Role, State, Input], Transition]:
    return {(role, state, given): Transition(then, effect) for role in Role}


TABLE: Mapping[tuple[Role, State, Input], Transition] = MappingProxyType(
    {
        (Role.CLIENT, State.HANDSHAKE, Input.RECEIVE_FRAME): Transition(State.HANDSHAKE, Effect.READ),
        (Role.CLIENT, State.HANDSHAKE, Input.RECEIVE_ACK): Transition(State.OPEN, Effect.READY),
        (Role.CLIENT, State.ABANDONED, Input.RECEIVE_FRAME): Transition(State.ABANDONED, Effect.READ),
        (Role.CLIENT, State.ABANDONED, Input.RECEIVE_ACK): Transition(State.CLOSING, Effect.READY),
        (Role.SERVER, State.HANDSHAKE, Input.SEND_ACK): Transition(State.OPEN, Effect.SEND),
        **_stay(Role.CLIENT, State.OPEN, {**_CLIENT_READS, **_CLIENT_SENDS}),
        **_stay(Role.SERVER, State.OPEN, {**_SERVER_READS, **_SERVER_SENDS}),
        **_stay(Role.CLIENT, State.CLOSING, _CLIENT_READS),
        **_stay(Role.SERVER, State.CLOSING, _SERVER_READS),
        **_both(State.HANDSHAKE, Input.SEND_CLOSE, State.ABANDONED, Effect.CLOSE),
        **_both(State.OPEN, Input.SEND_CLOSE, State.CLOSING, Effect.CLOSE),
        **_both(State.ABANDONED, Input.SEND_CLOSE, State.ABANDONED, Effect.CLOSE),
        **_both(State.CLOSING, Input.SEND_CLOSE, State.CLOSING, Effect.CLOSE),
        **_both(State.FAILED, Input.SEND_CLOSE, State.FAILED, Effect.CLOSE),
        **_both(State.HANDSHAKE, Input.RECEIVE_CLOSE, State.CLOSED, Effect.CLOSED),
        **_both(State.OPEN, Input.RECEIVE_CLOSE, State.CLOSED, Effect.CLOSED),
        **_both(State.ABANDONED, Input.RECEIVE_CLOSE, State.CLOSED, Effect.CLOSED),
        **_both(State.CLOSING, Input.RECEIVE_CLOSE, State.CLOSED, Effect.CLOSED),
        **_both(State.FAILED, Input.RECEIVE_CLOSE, State.CLOSED, Effect.CLOSED),
    }
)
"""Every allowed (role, state, input), with the state that follows and the effect."""


class Outcome(NamedTuple):
    """What any input leads to, allowed or not.

    Attributes:
        state: The state that follows.
        effect: What it does, None if it is a protocol error.
        fault: Who broke the protocol: `"peer"`, `"caller"`, or None if nobody did.
    """

    state: State
    effect: Effect | None
    fault: str | None


def outcome(role: Role, state: State, given: Input) -> Outcome:
    """Complete the table: what follows from this input in this state, for every combination.

    Args:
        role: Our end.
        state: The state before.
        given: What happens.

    Returns:
        The table's transition where there is one. Otherwise a protocol error: of the peer for what is received, which
        finishes the connection, and of our caller for what is to be sent, which changes nothing. In CLOSED nothing can
        come from the peer, so feeding it is our caller's error too.
    """
    transition = TABLE.get((role, state, given))
    if transition is not None:
        return Outcome(transition.state, transition.effect, None)
    if not given.received or state is State.CLOSED:
        return Outcome(state, None, "caller")
    return Outcome(State.FAILED, None, "peer")
