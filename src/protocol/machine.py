"""The state behind a connection: the table applied, the requests in flight kept, the faults raised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from types import MappingProxyType
from typing import Any, NoReturn, TypeAlias

from .errors import LimitExceeded, ReadingFailed, RemoteProtocolError, UnexpectedMessage, WrongState
from .events import Event, PatchReceived, Ready, ReplyReceived, RequestReceived, UnknownReply
from .limits import Limits
from .messages import REPLIES, Ack, Message, PatchDoc, PullDocReq, PushDoc, Reply, Request, ServerInfoReq, Sync
from .table import TABLE, Effect, Generation, Input, Role, State, Transition

RECEIVE: Mapping[type[Message], Input] = {
    Ack: Input.RECEIVE_ACK,
    PatchDoc: Input.RECEIVE_PATCH,
    PushDoc: Input.RECEIVE_PUSH,
    PullDocReq: Input.RECEIVE_PULL,
    ServerInfoReq: Input.RECEIVE_INFO,
    Sync: Input.RECEIVE_SYNC,
}
"""The input that each kind of message is, except replies, which depend on what is pending."""

_REQUESTS: Mapping[type[Message], Request] = {
    PatchDoc: Request.PATCH_DOC,
    PushDoc: Request.PUSH_DOC,
    PullDocReq: Request.PULL_DOC,
    ServerInfoReq: Request.SERVER_INFO,
    Sync: Request.SYNC,
}
_HINTS: Mapping[State, str] = {
    State.HANDSHAKE: "the server's ACK comes first",
    State.OPEN: "that is for the other role, or for the handshake",
    State.ABANDONED: "a close was asked for",
    State.CLOSING: "a close was asked for",
    State.CLOSED: "the WebSocket is closed; make a new connection",
    State.FAILED: "the peer broke the protocol or reading failed (Connection.error); make a new connection",
}


class Machine:
    """Role, state, generation, requests in flight and the peer's fault of one connection.

    Args:
        role: Our end.
        limits: Of these, `max_pending`.
    """

    def __init__(self, role: Role, limits: Limits) -> None:
        self._role = role
        self._limits = limits
        self._generation: Generation | None = None
        self._error: RemoteProtocolError | ReadingFailed | None = None
        self._pending: dict[str, Request] = {}
        self._pending_view: Mapping[str, Request] = MappingProxyType(self._pending)
        self._enter(State.HANDSHAKE)

    @property
    def role(self) -> Role:
        """Our end."""
        return self._role

    @property
    def state(self) -> State:
        """Where the connection is in its life."""
        return self._state

    @property
    def generation(self) -> Generation | None:
        """The wire generation, None as long as a client has not seen the server's first frame."""
        return self._generation

    @property
    def limits(self) -> Limits:
        """The limits given at the start."""
        return self._limits

    @property
    def pending(self) -> Mapping[str, Request]:
        """The requests in flight by id, oldest first: ours (client) or the peer's (server). A live, read-only view."""
        return self._pending_view

    @property
    def error(self) -> RemoteProtocolError | ReadingFailed | None:
        """What has finished the connection before its close, None as long as nothing has."""
        return self._error

    @property
    def closed(self) -> bool:
        """Whether the WebSocket is closed."""
        return self._state is State.CLOSED

    @property
    def close_expected(self) -> bool:
        """Whether the end of the connection is what comes next: we asked for it, or reading is over."""
        return self._state in (State.ABANDONED, State.CLOSING, State.FAILED)

    def _enter(self, state: State) -> None:
        self._state = state
        self._moves = _MOVES[self._role, state]
        self._steps = _STEPS[self._role, state]
        self._reports = _PLAIN_REPORTS[self._role, state]
        self._reading = Input.RECEIVE_FRAME in self._moves

    def _look_up(self, given: Input) -> State:
        """Return the state that follows from what our caller wants to do, without doing it.

        Raises:
            WrongState: It is not allowed.
        """
        state = self._moves.get(given)
        if state is None:
            call = f"{self._role.value} cannot {given.value} in state {self._state.value}"
            raise WrongState(f"A {call}: {_HINTS[self._state]}.")
        return state

    def _refuse_frame(self) -> NoReturn:
        """Complain about a frame where none may come.

        Raises:
            ReadingFailed: What finished the connection before.
            RemoteProtocolError: What finished the connection before; or the peer spoke out of turn, which finishes it.
            WrongState: The WebSocket is closed already.
        """
        if self._state is State.CLOSED:
            raise WrongState(f"A frame cannot come after the close: {_HINTS[State.CLOSED]}.")
        if self._error is not None:
            raise self._error.with_traceback(None)
        self._fail(UnexpectedMessage("The client spoke before the server's ACK."))

    def _fail(self, error: RemoteProtocolError) -> NoReturn:
        """Finish the connection because of what the peer did.

        Raises:
            RemoteProtocolError: The error given.
        """
        self._error = error
        self._enter(State.FAILED)
        raise error

    def _give_up(self, cause: BaseException) -> NoReturn:
        """Finish the connection because of what is no fault of the peer: a part of what it sent may be lost.

        Raises:
            ReadingFailed: If the cause is an ordinary exception.
            BaseException: The cause itself, if it is none.
        """
        self._error = ReadingFailed(
            f"{type(cause).__name__} has ended the reading of a frame: close the WebSocket and make a new connection."
        )
        self._enter(State.FAILED)
        if isinstance(cause, Exception):
            raise self._error from cause
        raise cause

    def _receive(self, message: Message) -> Event:
        """Take a complete message from the peer.

        Returns:
            What it means.

        Raises:
            UnexpectedMessage: It may not come now.
            LimitExceeded: Too many requests are unanswered.
        """
        step = self._steps.get(type(message))
        if step is None:
            given = RECEIVE.get(type(message)) or self._classify_reply(message)
            step = self._steps.get(given)
            if step is None:
                self._refuse(message, given)
        state, report = step
        if state is not self._state:
            self._enter(state)
        return report(self, message)

    def _refuse(self, message: Message, given: Input) -> NoReturn:
        got = f"A {self._role.value} in state {self._state.value} got {message.type.value} {message.msgid[:80]!r}"
        raise UnexpectedMessage(f"{got}, which may not come now ({given.value}).")

    def _classify_reply(self, message: Any) -> Input:
        request = self._pending.get(message.reqid)
        if request is None:
            return Input.RECEIVE_STRAY_REPLY
        return Input.RECEIVE_REPLY if message.type in REPLIES[request] else Input.RECEIVE_WRONG_REPLY

    def _report_ready(self, message: Ack) -> Event:
        generation = self._generation
        assert generation is not None  # A message was decoded, so the generation is known.
        return Ready(generation, message.msgid)

    def _report_reply(self, message: Reply) -> Event:
        reqid = message.reqid
        assert reqid is not None  # It was found among the pending.
        return ReplyReceived(self._pending.pop(reqid), reqid, message)

    def _report_stray(self, message: Reply) -> Event:
        return UnknownReply(message)

    def _report_request(self, message: Any) -> Event:
        if message.msgid in self._pending:
            self._refuse(message, Input.RECEIVE_DUPLICATE)
        maximum = self._limits.max_pending
        if maximum is not None and len(self._pending) >= maximum:
            raise LimitExceeded("number of unanswered requests", len(self._pending) + 1, maximum, "max_pending")
        request = self._pending[message.msgid] = _REQUESTS[type(message)]
        return RequestReceived(request, message)


Report: TypeAlias = Callable[[Machine, Any], Event]

_REPORTS: Mapping[Effect, Report] = {
    Effect.READY: Machine._report_ready,
    Effect.PATCH: lambda machine, message: PatchReceived(message),
    Effect.REPLY: Machine._report_reply,
    Effect.STRAY: Machine._report_stray,
    Effect.REQUEST: Machine._report_request,
}
# The table by role and state: what follows from each input, and what is reported of each message.
_MOVES: Mapping[tuple[Role, State], Mapping[Input, State]] = {
    (role, state): {given: then.state for (r, s, given), then in TABLE.items() if (r, s) == (role, state)}
    for role, state in product(Role, State)
}
# Of a message that is always the same input, the kind is a key too.
_STEPS: Mapping[tuple[Role, State], Mapping[Input | type[Message], tuple[State, Report]]] = {
    (role, state): {
        key: (then.state, _REPORTS[then.effect])
        for key, given in [*zip(Input, Input, strict=True), *RECEIVE.items()]
        if (then := TABLE.get((role, state, given))) is not None and then.effect in _REPORTS
    }
    for role, state in product(Role, State)
}
# Of a message that changes neither the state nor what is pending, the event is all there is to it.
_PLAIN_REPORTS: Mapping[tuple[Role, State], Mapping[type[Any], Callable[[Any], Event]]] = {
    (role, state): {
        kind: PatchReceived
        for kind, given in RECEIVE.items()
        if TABLE.get((role, state, given)) == Transition(state, Effect.PATCH)
    }
    for role, state in product(Role, State)
}
