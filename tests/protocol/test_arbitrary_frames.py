"""Frames in any order, kind, count and truncation end in the documented outcome, and in nothing else."""

from __future__ import annotations

from collections import Counter
from typing import get_args

from hypothesis import Phase, given, settings
from hypothesis import event as note
from hypothesis import strategies as st

from bokehwire.protocol import (
    Connection,
    Event,
    Frame,
    Generation,
    LimitExceeded,
    Limits,
    MalformedFrame,
    RemoteProtocolError,
    Role,
    State,
    UnexpectedMessage,
    UnknownMessageType,
)
from tests.protocol import strategies
from tests.protocol.wiring import feed, make_server

# Small enough to be met by what is drawn.
TIGHT = Limits(
    max_message_size=3000,
    max_buffer_size=150,
    max_total_size=3500,
    max_buffers=2,
    max_frames_per_message=6,
    max_pending=3,
)
FAULTS = (MalformedFrame, UnknownMessageType, UnexpectedMessage, LimitExceeded)


@st.composite
def peers(draw: st.DrawFn) -> tuple[Connection, list[Frame]]:
    """A connection that may receive, and frames for it."""
    generation = draw(strategies.generations)
    limits = draw(st.sampled_from([Limits(), TIGHT]))
    raw = draw(st.booleans())
    likely = strategies.kinds_to_client
    if draw(st.booleans()):
        likely = strategies.kinds_to_server
        connection = Connection(Role.SERVER, generation=generation, limits=limits, raw_content=raw)
        connection.ack()
    else:
        connection = Connection(limits=limits, raw_content=raw)
        if draw(st.integers(0, 3)):
            feed(connection, make_server(generation).ack().frames)
            connection.pull_doc()
            connection.patch_doc({})
            assert tuple(connection.pending) == strategies.PENDING
            if draw(st.booleans()):
                connection.send_close()
    return connection, draw(strategies.frame_sequences(generation, likely))


def receive(connection: Connection, frame: Frame) -> tuple[Event | None, RemoteProtocolError | None]:
    """What a frame means, or what is wrong with it; anything else that is raised fails the test."""
    try:
        return connection.receive_frame(frame), None
    except RemoteProtocolError as error:
        return None, error


@given(peers())
def test_only_documented_outcomes(drawn: tuple[Connection, list[Frame]]) -> None:
    connection, frames = drawn
    broken: RemoteProtocolError | None = None
    for frame in frames:
        before = dict(connection.pending)
        event, error = receive(connection, frame)
        if error is not None:
            assert type(error) in FAULTS
            assert broken is None or error is broken
            broken = error
            assert connection.state is State.FAILED
            assert connection.error is error
            assert 0 < len(str(error)) < 1000
            continue
        assert broken is None
        assert connection.state in (State.HANDSHAKE, State.OPEN, State.CLOSING)
        if event is None:
            assert connection.pending == before
        else:
            assert isinstance(event, get_args(Event))
            assert not connection.mid_message
    note(type(broken).__name__)
    unanswered = tuple(connection.pending)
    closed = connection.receive_close(1006)
    assert closed.unanswered == unanswered
    assert connection.state is State.CLOSED


def test_what_is_drawn_is_about_what_is_in_flight() -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=500, derandomize=True, database=None, deadline=None, phases=[Phase.generate])
    @given(peers())
    def draw(drawn: tuple[Connection, list[Frame]]) -> None:
        connection, frames = drawn
        for frame in frames:
            event, error = receive(connection, frame)
            seen[type(event).__name__] += event is not None
            if error is not None:
                seen.update(word for word in ("duplicate", "wrong reply") if word in str(error))
                break

    draw()
    # About half of what was seen when this was written.
    floors = {"ReplyReceived": 10, "UnknownReply": 30, "RequestReceived": 30, "duplicate": 2, "wrong reply": 4}
    assert {name: seen[name] for name, floor in floors.items() if seen[name] < floor} == {}, seen


@given(strategies.generations, st.lists(st.text(max_size=30) | st.binary(max_size=30), max_size=5))
def test_noise(generation: Generation, frames: list[Frame]) -> None:
    connection = Connection(Role.SERVER, generation=generation)
    connection.ack()
    for frame in frames:
        event, error = receive(connection, frame)
        assert event is None
        assert error is None or isinstance(error, MalformedFrame)
