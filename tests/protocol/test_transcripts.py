"""The transcripts of real servers and clients, replayed to a connection in the place of either side.

Needs neither Bokeh nor a network: `pytest --noconftest tests/protocol/test_transcripts.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import pytest

from bokehwire.protocol import (
    AnyEvent,
    Closed,
    Connection,
    InvalidClose,
    MalformedFrame,
    RemoteProtocolError,
    Request,
    State,
    UnexpectedMessage,
    UnknownMessageType,
)
from tests.protocol.replaying import (
    TRANSCRIPTS,
    Step,
    event_text,
    expected_close,
    expected_event,
    is_fault,
    make_connection,
    meaning,
    pending_after,
    send,
    steps,
)
from tools.capture.transcript import FAULT, Ended, Expected, Sent, SentClose, Side, Transcript

BOTH_SIDES: tuple[Side, ...] = ("client", "server")
FAULTY = [transcript for transcript in TRANSCRIPTS if any(map(is_fault, steps(transcript)))]
# Where a side is left open and between two messages.
SOUND = [
    (transcript, side)
    for transcript in TRANSCRIPTS
    for side in BOTH_SIDES
    if transcript.exchange not in ("bad-token", "cut") and not (transcript in FAULTY and side == "server")
]

each_transcript = pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=str)
each_side = pytest.mark.parametrize("side", BOTH_SIDES)


def outcome(connection: Connection, step: Step) -> AnyEvent | None:
    """What the connection makes of a frame; an error counts as nothing, and stays in `connection.error`."""
    try:
        return connection.receive_frame(step.frame)
    except RemoteProtocolError:
        return None


def take(connection: Connection, step: Step, transcript: Transcript) -> None:
    """Feeds a frame and compares what is reported with the transcript."""
    found = outcome(connection, step)
    assert event_text(found) == event_text(expected_event(step, transcript))
    if step.expected is None:
        # Bokeh looks at a message of generation 3 when its content has arrived; the connection may be faster.
        assert connection.mid_message or connection.error is not None
    else:
        assert (connection.error is not None) == (step.expected.name == FAULT)


def close(connection: Connection, closing: SentClose) -> None:
    """Closes as the transcript says, or as nearly as the connection allows."""
    if closing.code in (10000, 10001):
        # Bokeh 3 on Tornado does that; RFC 6455 has no such codes.
        with pytest.raises(InvalidClose):
            connection.send_close(closing.code, closing.reason)
        connection.send_close(1002, closing.reason)
    elif closing.code is None:
        connection.send_close()
    else:
        assert connection.send_close(closing.code, closing.reason) == (closing.code, closing.reason)


def take_close(connection: Connection, expected: Expected) -> None:
    faulty = connection.error is not None
    found = connection.receive_close(expected.code, expected.reason)
    wanted = expected_close(expected)
    if expected.mid_message is None:
        assert faulty
        wanted = Closed(wanted.code, wanted.reason, wanted.expected, wanted.unanswered, found.mid_message)
    assert found == wanted
    assert connection.state is State.CLOSED
    assert not connection.pending


@each_transcript
@each_side
@pytest.mark.parametrize("raw_content", [False, True], ids=["decoded", "raw"])
def test_frame_by_frame(transcript: Transcript, side: Side, raw_content: bool) -> None:
    connection = make_connection(transcript, side, raw_content=raw_content)
    remaining = steps(transcript)
    done: list[Step] = []
    for entry in transcript.entries:
        match entry:
            case Sent():
                step = remaining.pop(0)
                done.append(step)
                if step.sender != side:
                    take(connection, step, transcript)
                elif step.message is not None:
                    send(connection, step)
                if connection.error is None:
                    assert connection.pending == pending_after(done)
            case SentClose() if entry.sender == side and not connection.closed:
                close(connection, entry)
            case Expected(name="Closed") if entry.at == side:
                take_close(connection, entry)
    gone = any(isinstance(entry, Ended) and entry.sender == side for entry in transcript.entries)
    assert connection.closed != gone


@each_transcript
@each_side
def test_whole(transcript: Transcript, side: Side) -> None:
    """All that the peer sends at once; before that what answers need, the client's requests or the server's ACK."""
    connection = make_connection(transcript, side)
    theirs = [step for step in steps(transcript) if step.sender != side]
    ours = [step for step in steps(transcript) if step.sender == side and step.message is not None]
    if side == "client":
        after_ack = next((index for index, step in enumerate(theirs, 1) if step.expected is not None), 0)
        early, theirs = theirs[:after_ack], theirs[after_ack:]
        for step in early:
            take(connection, step, transcript)
        for step in ours:
            send(connection, step)
        ours = []
    elif ours:
        send(connection, ours.pop(0))
    found = [event_text(outcome(connection, step)) for step in theirs if connection.error is None]
    wanted = [event_text(expected_event(step, transcript)) for step in theirs]
    assert found == wanted[: len(found)]
    assert set(wanted[len(found) :]) <= {event_text(None)}
    assert (connection.error is not None) == any(is_fault(step) for step in theirs)
    if connection.error is None:
        for step in ours:
            send(connection, step)
        assert connection.pending == pending_after(steps(transcript))


@each_transcript
@each_side
def test_what_we_send_means_the_same(transcript: Transcript, side: Side) -> None:
    connection = make_connection(transcript, side)
    for step in steps(transcript):
        if step.sender != side:
            outcome(connection, step)
        elif step.message is not None and connection.error is None:
            outgoing = send(connection, step)
            assert outgoing.msgid == step.message.msgid
            ours = list(meaning(outgoing.frames, transcript.generation))
            assert ours == list(meaning(step.captured, transcript.generation))


def replayed(transcript: Transcript, side: Side, count: int | None = None) -> tuple[Connection, list[Step]]:
    """A connection after so many of the peer's frames, and the steps until then."""
    connection = make_connection(transcript, side)
    done: list[Step] = []
    for step in steps(transcript):
        if step.sender != side:
            if count == 0:
                break
            outcome(connection, step)
            count = None if count is None else count - 1
        elif step.message is not None and connection.error is None:
            send(connection, step)
        done.append(step)
    return connection, done


def garbage(generation: int) -> Iterable[tuple[tuple[str | bytes, ...], type[RemoteProtocolError]]]:
    """Frames that may follow no message, and how the last of them ends."""
    kinds: dict[str, dict[str, Any]] = {
        kind: {"msgid": "x", "msgtype": kind} for kind in ("ACK", "NOPE", "SYNC", "SERVER-INFO-REQ")
    }
    old = {kind: (json.dumps(header), "{}", "{}") for kind, header in kinds.items()}
    new = {kind: (json.dumps({"header": header, "content": {}, "buffers": []}),) for kind, header in kinds.items()}
    spoken, foreign, absent = (old, new, "SYNC") if generation == 3 else (new, old, "SERVER-INFO-REQ")
    yield ("",), MalformedFrame
    yield ("{",), MalformedFrame
    yield ("[]",), MalformedFrame
    yield (b"",), MalformedFrame
    yield (b"{}",), MalformedFrame
    yield foreign["ACK"][:1], MalformedFrame
    yield spoken["NOPE"][:1], UnknownMessageType
    yield spoken[absent][:1], UnknownMessageType
    yield spoken["ACK"], UnexpectedMessage


@pytest.mark.parametrize(("transcript", "side"), SOUND, ids=str)
def test_trailing_frames(transcript: Transcript, side: Side) -> None:
    """After the last frame of the peer, what may not follow ends in its error, for good."""
    for frames, kind in garbage(transcript.generation):
        connection, done = replayed(transcript, side)
        for frame in frames[:-1]:
            assert connection.receive_frame(frame) is None
        with pytest.raises(kind) as caught:
            connection.receive_frame(frames[-1])
        assert caught.value.close_code == 1002
        assert_finished(connection, caught.value, pending_after(done))


@pytest.mark.parametrize("transcript", FAULTY, ids=str)
def test_after_a_fault(transcript: Transcript) -> None:
    """The frames of the script that the servers refused."""
    connection, done = replayed(transcript, "server")
    assert isinstance(connection.error, RemoteProtocolError)
    assert connection.error.close_code == 1002
    assert_finished(connection, connection.error, pending_after(done))


def assert_finished(connection: Connection, error: RemoteProtocolError, pending: Mapping[str, Request]) -> None:
    """Whatever comes now ends in the same error; the close reports what has been left unanswered."""
    assert connection.error is error
    assert connection.state is State.FAILED
    for frame in ("{}", b"{}", ""):
        with pytest.raises(type(error)) as caught:
            connection.receive_frame(frame)
        assert caught.value is error
    closed = connection.receive_close(1002)
    assert (closed.expected, closed.unanswered) == (True, tuple(pending))


@each_transcript
@each_side
def test_cut_after_every_frame(transcript: Transcript, side: Side) -> None:
    """The connection ends after any of the peer's frames, or goes on with a frame of the wrong kind."""
    theirs = [step for step in steps(transcript) if step.sender != side]
    for count, (step, after) in enumerate(pairwise(theirs), 1):
        connection, done = replayed(transcript, side, count)
        if connection.error is not None:
            break
        closed = connection.receive_close()
        assert closed == Closed(None, "", False, tuple(pending_after(done)), step.expected is None)
        connection, _ = replayed(transcript, side, count)
        with pytest.raises(MalformedFrame):
            connection.receive_frame(b"" if isinstance(after.frame, str) else "")
