"""The same frames through Bokeh's codec and through ours, both ways, with the Bokeh that is installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from bokehwire.protocol import (
    Buffer,
    Connection,
    Frame,
    Generation,
    InvalidFrame,
    Limits,
    Message,
    Outgoing,
    RemoteProtocolError,
)
from bokehwire.protocol.wire import Decoder
from bokehwire.protocol.wire3 import KINDS as KINDS_3
from bokehwire.protocol.wire3 import Decoder3
from bokehwire.protocol.wire4 import KINDS as KINDS_4
from bokehwire.protocol.wire4 import Decoder4
from tests.protocol import reference, strategies
from tests.protocol.reference import GENERATION, Decoded, Refused
from tests.protocol.wiring import deliver, make_server, same

KINDS = KINDS_4 if GENERATION is Generation.V4 else KINDS_3


def decode(frames: list[Frame]) -> list[Message]:
    """The messages that our decoder makes of frames.

    Raises:
        RemoteProtocolError: It refused.
    """
    decoder: Decoder = Decoder4(Limits(), False) if GENERATION is Generation.V4 else Decoder3(Limits(), False)
    fed = [decoder.feed(frame) for frame in frames]
    return [message for message in fed if message is not None and not isinstance(message, InvalidFrame)]


def check_same(ours: Message, theirs: Decoded) -> None:
    assert ours.type.value == theirs.header["msgtype"]
    assert ours.msgid == theirs.header["msgid"]
    if hasattr(ours, "reqid"):
        assert ours.reqid == theirs.header.get("reqid")
    if hasattr(ours, "content"):
        assert same(ours.content, theirs.content)
    if hasattr(ours, "buffers"):
        assert [(buffer.id, bytes(buffer.data)) for buffer in ours.buffers] == theirs.buffers


def names_are_strings(decoded: Decoded) -> bool:
    """Whether nothing of what specs/wire-3.md lists as taken by Bokeh and refused by us is in a message."""
    header = decoded.header
    names = [header.get("msgid"), *(name for name, _data in decoded.buffers)]
    return all(isinstance(name, str) for name in names) and isinstance(header.get("reqid"), str | None)


def as_bokeh_sees_them(frames: list[Frame]) -> list[Frame]:
    # The WebSocket libraries of Bokeh give it bytes for every binary frame.
    return [frame if isinstance(frame, str) else bytes(frame) for frame in frames]


@given(strategies.frame_sequences(GENERATION))
def test_what_bokeh_takes_we_take_with_the_same_meaning(frames: list[Frame]) -> None:
    frames = as_bokeh_sees_them(frames)
    try:
        theirs = reference.decode(frames)
    except Refused:
        with pytest.raises(RemoteProtocolError):
            decode(frames)
        note("both refuse")
        return
    try:
        ours = decode(frames)
    except RemoteProtocolError:
        # Generation 3: what is unfinished for Bokeh we refuse early, what it finished has a name that is no string.
        assert not all(map(names_are_strings, theirs)) or is_unfinished(frames, theirs)
        note("only we refuse")
        return
    note(f"both take {len(ours)}")
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        check_same(mine, other)


def is_unfinished(frames: list[Frame], complete: list[Decoded]) -> bool:
    """Whether frames are left over that Bokeh has not made a message of."""
    used = sum(3 + 2 * len(m.buffers) if GENERATION is Generation.V3 else 1 + len(m.buffers) for m in complete)
    return used < len(frames)


@given(
    st.sampled_from(sorted(KINDS)),
    st.none() | strategies.ids,
    strategies.contents,
    st.lists(st.tuples(strategies.ids, strategies.data), max_size=3, unique_by=lambda pair: pair[0]),
)
def test_what_bokeh_writes_we_read(
    kind: str, reqid: str | None, content: dict[str, Any], buffers: list[tuple[str, bytes]]
) -> None:
    msgid, frames = reference.encode(kind, reqid, content, buffers)
    [ours] = decode(frames)
    [theirs] = reference.decode(frames)
    assert ours.msgid == msgid
    check_same(ours, theirs)


Exchange = tuple[Outgoing, Any, list[Buffer]]


def exchange(kind: str, content: dict[str, Any], buffers: list[Buffer]) -> Exchange:
    """A message of ours of each kind, with the content and the buffers that it has to carry."""
    client = Connection()
    server = make_server(GENERATION)
    ack = server.ack()
    deliver(client, ack)

    def received(outgoing: Outgoing) -> str:
        deliver(server, outgoing)
        return outgoing.msgid

    makers: dict[str, Callable[[], Exchange]] = {
        "ACK": lambda: (ack, {}, []),
        "OK": lambda: (server.ok(received(client.patch_doc({}))), {}, []),
        "ERROR": lambda: (server.refuse(received(client.pull_doc()), "no"), {"text": "no", "traceback": None}, []),
        "PATCH-DOC": lambda: (client.patch_doc(content, buffers), content, buffers),
        "PUSH-DOC": lambda: (client.push_doc(content, buffers), content, buffers),
        "PULL-DOC-REQ": lambda: (client.pull_doc(), {}, []),
        "PULL-DOC-REPLY": lambda: (
            server.pull_doc_reply(received(client.pull_doc()), content, buffers),
            content,
            buffers,
        ),
        "SERVER-INFO-REQ": lambda: (client.server_info(), {}, []),
        "SERVER-INFO-REPLY": lambda: (server.server_info_reply(received(client.server_info()), content), content, []),
        "SYNC": lambda: (client.roundtrip(), {}, []),
    }
    return makers[kind]()


@given(st.sampled_from(sorted(KINDS)), strategies.contents, strategies.buffers)
def test_what_we_write_bokeh_reads(kind: str, content: dict[str, Any], buffers: list[Buffer]) -> None:
    sent, expected, carried = exchange(kind, content, buffers)
    [theirs] = reference.decode(list(sent.frames))
    assert theirs.header["msgtype"] == kind
    assert theirs.header["msgid"] == sent.msgid
    assert same(theirs.content, json.loads(json.dumps(expected)))
    names = [json.loads(json.dumps(buffer.id)) for buffer in carried]
    assert theirs.buffers == [(name, buffer.data) for name, buffer in zip(names, carried, strict=True)]
