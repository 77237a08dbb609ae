"""Connections wired back to back, and what the tests say about them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bokehwire.protocol import (
    Connection,
    Event,
    Frame,
    Generation,
    Limits,
    Outgoing,
    Ready,
    RemoteProtocolError,
    Role,
    State,
)

GENERATIONS = tuple(Generation)
both_generations = pytest.mark.parametrize("generation", GENERATIONS, ids=lambda generation: generation.name)


def ids(prefix: str) -> Iterator[str]:
    """Ids that tell who made them."""
    number = 0
    while True:
        number += 1
        yield f"{prefix}{number}"


def make_server(generation: Generation, *, limits: Limits | None = None, raw_content: bool = False) -> Connection:
    """A server before its ACK, whose ids start with s."""
    limits = Limits() if limits is None else limits
    names = ids("s").__next__
    return Connection(Role.SERVER, generation=generation, id_factory=names, limits=limits, raw_content=raw_content)


def make_client(*, limits: Limits | None = None, raw_content: bool = False) -> Connection:
    """A client before the ACK, whose ids start with c."""
    limits = Limits() if limits is None else limits
    return Connection(id_factory=ids("c").__next__, limits=limits, raw_content=raw_content)


def state_of(connection: Connection) -> State:
    """The state; a type checker believes that a property stays what it was."""
    return connection.state


def feed(connection: Connection, frames: Sequence[Frame]) -> Event | None:
    """Feed the frames of one message; only the last may complete it."""
    for frame in frames[:-1]:
        assert connection.receive_frame(frame) is None
        assert connection.mid_message
    event = connection.receive_frame(frames[-1])
    assert not connection.mid_message
    return event


def deliver(connection: Connection, outgoing: Outgoing) -> Event:
    """Feed one message, which has to mean something."""
    event = feed(connection, outgoing.frames)
    assert event is not None
    return event


def pair(
    generation: Generation, *, limits: Limits | None = None, raw_content: bool = False
) -> tuple[Connection, Connection]:
    """A client and a server after the handshake."""
    client = make_client(limits=limits, raw_content=raw_content)
    server = make_server(generation, limits=limits, raw_content=raw_content)
    assert deliver(client, server.ack()) == Ready(generation, "s1")
    assert client.state is server.state is State.OPEN
    return client, server


def frames_of(generation: Generation, header: dict[str, Any], content: Any, buffers: Sequence[str] = ()) -> list[Frame]:
    """The text frames of a message as another implementation would write them, with the standard library."""
    if generation is Generation.V4:
        return [json.dumps({"header": header, "content": content, "buffers": list(buffers)})]
    extra = {"num_buffers": len(buffers)} if buffers else {}
    return [json.dumps({**header, **extra}), "{}", json.dumps(content)]


def rejected(connection: Connection, frames: Sequence[Frame]) -> RemoteProtocolError:
    """Feed frames of which the last breaks the protocol; check what holds after every such error, and return it."""
    for frame in frames[:-1]:
        assert connection.receive_frame(frame) is None
    with pytest.raises(RemoteProtocolError) as caught:
        connection.receive_frame(frames[-1])
    error = caught.value
    assert connection.state is State.FAILED
    assert connection.error is error
    assert connection.close_expected
    assert error.close_code in (1002, 1008, 1009)
    with pytest.raises(type(error)) as again:
        connection.receive_frame("{}")
    assert again.value is error
    return error


def same(left: Any, right: Any) -> bool:
    """Whether two decoded JSON values are the same down to int and float, minus zero and NaN."""
    if type(left) is not type(right):
        return False
    match left:
        case dict():
            return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
        case list():
            return len(left) == len(right) and all(map(same, left, right))
        case float():
            return (math.isnan(left) and math.isnan(right)) or repr(left) == repr(right)
        case _:
            return bool(left == right)
