"""Every kind of message, with any content and buffers, arrives as what was sent."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bokehwire.protocol import (
    Buffer,
    Connection,
    Error,
    Event,
    Generation,
    Ok,
    PatchDoc,
    PatchReceived,
    PullDocReply,
    PullDocReq,
    PushDoc,
    Ready,
    ReplyReceived,
    Request,
    RequestReceived,
    Role,
    ServerInfoReply,
    ServerInfoReq,
    Sync,
)
from tests.protocol import strategies
from tests.protocol.wiring import deliver, same


def connected(generation: Generation, theirs: str, ours: list[str]) -> tuple[Connection, Connection]:
    client = Connection(id_factory=iter(ours).__next__)
    server = Connection(Role.SERVER, generation=generation, id_factory=iter([theirs] * 9).__next__)
    assert deliver(client, server.ack()) == Ready(generation, theirs)
    return client, server


def over_the_wire(text: str) -> str:
    """What becomes of a str: two surrogates that make a pair arrive as the character that they stand for."""
    return str(json.loads(json.dumps(text)))


def check_content(event: Event, content: Any, buffers: list[Buffer]) -> None:
    message = event.message  # type: ignore[union-attr]
    assert same(message.content, json.loads(json.dumps(content)))  # type: ignore[union-attr]
    expected = [(over_the_wire(buffer.id), bytes(buffer.data)) for buffer in buffers]
    assert [(buffer.id, bytes(buffer.data)) for buffer in message.buffers] == expected  # type: ignore[union-attr]


@given(strategies.generations, strategies.ids.map(over_the_wire), strategies.ids.map(over_the_wire))
def test_messages_without_content(generation: Generation, theirs: str, ours: str) -> None:
    client, server = connected(generation, theirs, [ours, ours, ours])
    assert deliver(server, client.pull_doc()) == RequestReceived(Request.PULL_DOC, PullDocReq(ours))
    refused = deliver(client, server.refuse(ours, theirs, ours))
    assert refused == ReplyReceived(Request.PULL_DOC, ours, Error(theirs, ours, theirs, ours))
    event = deliver(server, client.roundtrip())
    if generation is Generation.V4:
        assert event == RequestReceived(Request.SYNC, Sync(ours))
        assert deliver(client, server.ok(ours)) == ReplyReceived(Request.SYNC, ours, Ok(theirs, ours))
    else:
        assert event == RequestReceived(Request.SERVER_INFO, ServerInfoReq(ours))


@given(strategies.generations, strategies.contents, strategies.buffers)
def test_messages_with_content(generation: Generation, content: dict[str, Any], buffers: list[Buffer]) -> None:
    client, server = connected(generation, "s", ["a", "b", "c"])
    event = deliver(server, client.patch_doc(content, buffers))
    assert isinstance(event, RequestReceived)
    assert isinstance(event.message, PatchDoc)
    check_content(event, content, buffers)
    event = deliver(server, client.push_doc(content, buffers))
    assert isinstance(event, RequestReceived)
    assert isinstance(event.message, PushDoc)
    check_content(event, content, buffers)
    event = deliver(client, server.patch_doc(content, buffers))
    assert isinstance(event, PatchReceived)
    check_content(event, content, buffers)
    deliver(server, client.pull_doc())
    event = deliver(client, server.pull_doc_reply("c", content, buffers))
    assert isinstance(event, ReplyReceived)
    assert isinstance(event.message, PullDocReply)
    check_content(event, content, buffers)


@given(strategies.contents)
def test_server_info(content: dict[str, Any]) -> None:
    client, server = connected(Generation.V3, "s", ["a"])
    deliver(server, client.server_info())
    event = deliver(client, server.server_info_reply("a", content))
    assert isinstance(event, ReplyReceived)
    assert isinstance(event.message, ServerInfoReply)
    assert same(event.message.content, json.loads(json.dumps(content)))


@given(strategies.generations, strategies.contents, strategies.buffers)
def test_raw_content_means_the_same(generation: Generation, content: dict[str, Any], buffers: list[Buffer]) -> None:
    server = Connection(Role.SERVER, generation=generation)
    client = Connection(raw_content=True)
    deliver(client, server.ack())
    event = deliver(client, server.patch_doc(content, buffers))
    assert isinstance(event, PatchReceived)
    assert same(json.loads(bytes(event.message.content)), json.loads(json.dumps(content)))


@given(strategies.generations, st.lists(strategies.json_values, min_size=1, max_size=3))
def test_encoding_in_parts_gives_the_same(generation: Generation, events: list[Any]) -> None:
    import msgspec

    _client, whole = connected(generation, "s", [])
    parts = [msgspec.Raw(json.dumps(event).encode()) for event in events]
    _client, joined = connected(generation, "s", [])
    left = whole.patch_doc({"events": events}).frames
    right = joined.patch_doc({"events": parts}).frames
    assert [json.loads(str(frame)) for frame in left] == [json.loads(str(frame)) for frame in right]
