"""Every role, state and input: what the table says is what a connection does."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from bokehwire.protocol import (
    TABLE,
    Closed,
    Connection,
    Effect,
    Event,
    Generation,
    Input,
    LocalProtocolError,
    Outcome,
    Outgoing,
    PatchReceived,
    Ready,
    RemoteProtocolError,
    ReplyReceived,
    RequestReceived,
    Role,
    State,
    UnknownReply,
    outcome,
)
from tests.protocol.wiring import feed, frames_of, make_client, make_server

PENDING_PULL = "c1"
PENDING_PATCH = "c2"


def in_state(role: Role, state: State, generation: Generation) -> Connection:
    """A connection in a state, with a pull and a patch in flight wherever the way there allows it."""
    server = make_server(generation)
    client = make_client() if role is Role.CLIENT else Connection(id_factory=iter(["c1", "c2"]).__next__)
    connection = client if role is Role.CLIENT else server
    if state in (State.OPEN, State.CLOSING):
        feed(client, server.ack().frames)
        feed(server, client.pull_doc().frames)
        feed(server, client.patch_doc({"events": []}).frames)
    if state in (State.CLOSING, State.ABANDONED):
        connection.send_close()
    if state is State.CLOSED:
        connection.receive_close(1000)
    if state is State.FAILED:
        with pytest.raises(RemoteProtocolError):
            connection.receive_frame("garbage")
    assert connection.state is state
    return connection


def receive(kind: str, *, msgid: str = "x", reqid: str | None = None) -> Callable[[Connection], Event | None]:
    def act(connection: Connection) -> Event | None:
        generation = connection.generation or Generation.V3
        header = {"msgid": msgid, "msgtype": kind} | ({} if reqid is None else {"reqid": reqid})
        return feed(connection, frames_of(generation, header, {}))

    return act


def receive_part(connection: Connection) -> None:
    generation = connection.generation or Generation.V3
    frame = frames_of(generation, {"msgid": "x", "msgtype": "PATCH-DOC"}, {}, ["b"])[0]
    assert connection.receive_frame(frame) is None


Act = Callable[[Connection], Event | Closed | Outgoing | tuple[int, str] | None]

ACTS: dict[Input, Act] = {
    Input.RECEIVE_FRAME: receive_part,
    Input.RECEIVE_ACK: receive("ACK"),
    Input.RECEIVE_PATCH: receive("PATCH-DOC"),
    Input.RECEIVE_PUSH: receive("PUSH-DOC"),
    Input.RECEIVE_PULL: receive("PULL-DOC-REQ"),
    Input.RECEIVE_INFO: receive("SERVER-INFO-REQ"),
    Input.RECEIVE_SYNC: receive("SYNC"),
    Input.RECEIVE_REPLY: receive("OK", reqid=PENDING_PATCH),
    Input.RECEIVE_STRAY_REPLY: receive("OK", reqid="nobody"),
    Input.RECEIVE_WRONG_REPLY: receive("OK", reqid=PENDING_PULL),
    Input.RECEIVE_DUPLICATE: receive("PATCH-DOC", msgid=PENDING_PULL),
    Input.RECEIVE_FAULT: lambda connection: connection.receive_frame("garbage"),
    Input.RECEIVE_CLOSE: lambda connection: connection.receive_close(1001, "away"),
    Input.SEND_ACK: Connection.ack,
    Input.SEND_PATCH: lambda connection: connection.patch_doc({"events": []}),
    Input.SEND_PUSH: lambda connection: connection.push_doc({"doc": {}}),
    Input.SEND_PULL: Connection.pull_doc,
    Input.SEND_INFO: Connection.server_info,
    Input.SEND_SYNC: Connection.roundtrip,
    Input.SEND_REPLY: lambda connection: connection.ok(PENDING_PATCH),
    Input.SEND_STRAY_REPLY: lambda connection: connection.ok("nobody"),
    Input.SEND_WRONG_REPLY: lambda connection: connection.ok(PENDING_PULL),
    Input.SEND_CLOSE: Connection.send_close,
}
RESULTS: dict[Effect, type | None] = {
    Effect.READ: None,
    Effect.READY: Ready,
    Effect.REPLY: ReplyReceived,
    Effect.STRAY: UnknownReply,
    Effect.PATCH: PatchReceived,
    Effect.REQUEST: RequestReceived,
    Effect.CLOSED: Closed,
    Effect.SEND: Outgoing,
    Effect.SEND_REQUEST: Outgoing,
    Effect.SEND_REPLY: Outgoing,
    Effect.CLOSE: tuple,
}
# The client's duplicate is the server's patch: ids of the two ends have nothing to do with each other.
_DUPLICATE_IS_PATCH = {(Role.CLIENT, State.OPEN), (Role.CLIENT, State.CLOSING)}


def generation_for(given: Input) -> Generation:
    return Generation.V4 if given in (Input.RECEIVE_SYNC, Input.SEND_SYNC) else Generation.V3


@pytest.mark.parametrize(
    ("role", "state", "given"),
    list(product(Role, State, Input)),
    ids=lambda part: part.value.replace(" ", "-"),
)
def test_every_pair(role: Role, state: State, given: Input) -> None:
    connection = in_state(role, state, generation_for(given))
    pending = dict(connection.pending)
    expected = outcome(role, state, given)
    if given is Input.RECEIVE_DUPLICATE and (role, state) in _DUPLICATE_IS_PATCH:
        expected = Outcome(state, Effect.PATCH, None)
    if expected.effect is None:
        fault = RemoteProtocolError if expected.fault == "peer" else LocalProtocolError
        with pytest.raises(fault):
            ACTS[given](connection)
        assert connection.pending == pending
    else:
        result = ACTS[given](connection)
        assert isinstance(result, RESULTS[expected.effect] or type(None))
        grows = {Effect.REQUEST: 1, Effect.SEND_REQUEST: 1, Effect.REPLY: -1, Effect.SEND_REPLY: -1}
        shrinks = len(pending) if expected.effect is Effect.CLOSED else 0
        assert len(connection.pending) == len(pending) + grows.get(expected.effect, 0) - shrinks
    assert connection.state is expected.state
    assert (connection.error is not None) == (expected.state is State.FAILED or state is State.FAILED)


def test_a_missing_pair_is_the_fault_of_who_acted() -> None:
    assert all(given.received == given.name.startswith("RECEIVE") for given in Input)
    for role, state, given in product(Role, State, Input):
        found = outcome(role, state, given)
        if (role, state, given) in TABLE:
            assert found == (*TABLE[role, state, given], None)
        elif given.received and state is not State.CLOSED:
            assert found == (State.FAILED, None, "peer")
        else:
            assert found == (state, None, "caller")


def test_closed_and_failed_are_final() -> None:
    for role, given in product(Role, Input):
        assert outcome(role, State.CLOSED, given).state is State.CLOSED
        assert outcome(role, State.FAILED, given).state in (State.FAILED, State.CLOSED)


def test_every_state_is_reached_by_each_role() -> None:
    for role in Role:
        reached = {outcome(role, state, given).state for state, given in product(State, Input)}
        assert reached == set(State)
