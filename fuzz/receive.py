"""The promise of the receive path, checked for one scenario: documented errors, and a state that fits what came.

`check` raises AssertionError, or whatever undocumented error came out, where the promise is broken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from bokehwire.protocol import (
    REPLIES,
    TABLE,
    AnyEvent,
    Closed,
    Connection,
    Generation,
    Input,
    InvalidClose,
    InvalidFrame,
    LimitExceeded,
    LocalProtocolError,
    MalformedFrame,
    PatchReceived,
    ProtocolError,
    Ready,
    RemoteProtocolError,
    ReplyReceived,
    RequestReceived,
    Role,
    State,
    UnexpectedMessage,
    UnknownReply,
    WrongState,
)

from .acting import act
from .contents import check_limits
from .scenario import Settings, Step, fed_by, parse, text_of

Result = AnyEvent | ProtocolError | None
"""What came of a step."""

_INPUTS: dict[type[AnyEvent], Input] = {
    Ready: Input.RECEIVE_ACK,
    ReplyReceived: Input.RECEIVE_REPLY,
    UnknownReply: Input.RECEIVE_STRAY_REPLY,
    PatchReceived: Input.RECEIVE_PATCH,
}
_DOCUMENTED = (MalformedFrame, UnexpectedMessage, LimitExceeded)
_INTENTS = frozenset("KPULRIOEDJ")
_ENDS = (State.FAILED, State.CLOSED)
# Enough for every order of events; more make an input slow.
_STEPS = 60


class Snapshot(NamedTuple):
    """The public face of a connection, except the decoder's progress."""

    state: State
    generation: Generation | None
    pending: dict[str, Any]
    error: Exception | None

    @classmethod
    def of(cls, connection: Connection) -> Snapshot:
        return cls(connection.state, connection.generation, dict(connection.pending), connection.error)


def check(scenario: bytes) -> list[Result]:
    """Run a scenario and check the promise after each step; return what came of each."""
    settings, steps = parse(scenario)
    return run(settings, steps)


def run(settings: Settings, steps: Sequence[Step]) -> list[Result]:
    """Run steps on a new connection."""
    role, generation, raw_content, limits = settings
    connection = Connection(
        role, generation=generation if role is Role.SERVER else None, limits=limits, raw_content=raw_content
    )
    fed: list[Any] = []
    results: list[Result] = []
    left = _STEPS
    for step in steps:
        # What comes after the end is always the same: two steps of it are enough.
        left = min(left - 1, 2) if connection.state in _ENDS else left - 1
        if left < 0:
            break
        if step.letter == "c":
            results.append(_close(connection, step.data))
        elif step.letter == "s":
            results.append(_ask_for_close(connection, step.data))
        elif step.letter in _INTENTS:
            results.append(_intend(connection, step))
        else:
            results.append(_feed(connection, fed_by(step), fed))
    return results


def _feed(connection: Connection, frame: Any, fed: list[Any]) -> Result:
    before, partial = Snapshot.of(connection), connection.mid_message
    try:
        event = connection.receive_frame(frame)
    except RemoteProtocolError as error:
        _check_failure(connection, before, error)
        return error
    except LocalProtocolError as error:
        # No frame at all, or one after the close; the connection must not have noticed.
        assert isinstance(error, WrongState if before.state is State.CLOSED else InvalidFrame), error
        assert isinstance(error, WrongState) or not isinstance(frame, str | bytes | bytearray | memoryview)
        assert Snapshot.of(connection) == before
        assert connection.mid_message == partial
        return error
    assert before.state not in (State.CLOSED, State.FAILED)
    fed.append(frame)
    assert connection.mid_message is (event is None)
    if event is None:
        after = Snapshot.of(connection)
        assert after._replace(generation=before.generation) == before
        assert before.generation in (None, after.generation)
        assert after.generation is not None
        return None
    _check_event(connection, before, event)
    check_limits(event, fed, connection)
    fed.clear()
    return event


def _check_failure(connection: Connection, before: Snapshot, error: RemoteProtocolError) -> None:
    assert isinstance(error, _DOCUMENTED), type(error)
    assert error.close_code in (1002, 1008, 1009)
    assert str(error)
    assert connection.state is State.FAILED
    assert connection.error is error
    assert connection.close_expected
    assert not connection.closed
    assert dict(connection.pending) == before.pending
    if before.state is State.FAILED:
        assert before.error is error
    for frame in ("{}", b""):
        try:
            connection.receive_frame(frame)
        except RemoteProtocolError as again:
            assert again is error
        else:
            raise AssertionError("a failed connection took a frame")


def _check_event(connection: Connection, before: Snapshot, event: AnyEvent) -> None:
    after, role = Snapshot.of(connection), connection.role
    assert after.error is None
    pending = dict(before.pending)
    match event:
        case Ready():
            assert event.generation is after.generation
        case ReplyReceived():
            assert event.message.reqid == event.reqid
            assert pending.pop(event.reqid) is event.request
            assert event.message.type in REPLIES[event.request]
        case UnknownReply():
            assert event.message.reqid not in pending
        case RequestReceived():
            assert event.message.msgid not in pending
            assert event.request.value == event.message.type.value
            pending[event.message.msgid] = event.request
    assert after.pending == pending
    given = _INPUTS.get(type(event))
    moves = TABLE[role, before.state, given or Input.RECEIVE_PATCH]
    assert after.state is moves.state


def _close(connection: Connection, data: bytes) -> Result:
    before, partial, expected = Snapshot.of(connection), connection.mid_message, connection.close_expected
    code, reason = _code(data)
    try:
        closed = connection.receive_close(code, reason)
    except WrongState as error:
        assert before.state is State.CLOSED
        assert Snapshot.of(connection) == before
        return error
    assert closed == Closed(code, reason, expected, tuple(before.pending), partial)
    assert connection.closed
    assert not connection.pending
    assert not connection.close_expected
    assert connection.error is before.error
    return closed


def _ask_for_close(connection: Connection, data: bytes) -> Result:
    before = Snapshot.of(connection)
    code, reason = _code(data)
    try:
        sent, text = connection.send_close(1000 if code is None else code, reason)
    except (InvalidClose, WrongState) as error:
        assert isinstance(error, InvalidClose) or before.state is State.CLOSED
        assert Snapshot.of(connection) == before
        return error
    assert sent == (1000 if code is None else code)
    assert len(text.encode()) <= 123
    assert connection.close_expected
    assert connection.state is TABLE[connection.role, before.state, Input.SEND_CLOSE].state
    return None


def _intend(connection: Connection, step: Step) -> Result:
    before, partial = Snapshot.of(connection), connection.mid_message
    try:
        act(connection, step)
    except LocalProtocolError as error:
        assert Snapshot.of(connection) == before
        return error
    finally:
        # Sending has nothing to do with what is being received.
        assert connection.mid_message == partial
    return None


def _code(data: bytes) -> tuple[int | None, str]:
    # A close code in decimal, then the reason.
    found = re.match(rb"[0-9]{1,5}", data)
    return (int(found[0]), text_of(data[found.end() :])) if found else (None, text_of(data))
