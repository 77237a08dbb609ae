"""What the frames of each generation may look like, and what they may not."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import msgspec
import numpy as np
import pytest

from bokehwire.protocol import (
    Buffer,
    Error,
    Frame,
    Generation,
    InvalidContent,
    MalformedFrame,
    PatchDoc,
    PatchReceived,
    PushDoc,
    Ready,
    RequestReceived,
    UnknownMessageType,
    UnknownReply,
)
from tests.protocol.wiring import both_generations, deliver, feed, make_client, pair, rejected

CONTENT = {"events": [1]}
BUFFERS = (Buffer("b1", b"one"), Buffer('b"2', b""))


def view(array: Any) -> memoryview:
    return memoryview(array)


def test_frames_of_generation_3() -> None:
    client, server = pair(Generation.V3)
    assert client.patch_doc(CONTENT).frames == ('{"msgid":"c1","msgtype":"PATCH-DOC"}', "{}", '{"events":[1]}')
    assert client.patch_doc(CONTENT, BUFFERS).frames == (
        '{"msgid":"c2","msgtype":"PATCH-DOC","num_buffers":2}',
        "{}",
        '{"events":[1]}',
        '{"id":"b1"}',
        b"one",
        '{"id":"b\\"2"}',
        b"",
    )
    deliver(server, client.pull_doc())
    assert server.refuse("c3", "no").frames == (
        '{"msgid":"s2","msgtype":"ERROR","reqid":"c3"}',
        "{}",
        '{"text":"no","traceback":null}',
    )


def test_frames_of_generation_4() -> None:
    client, server = pair(Generation.V4)
    assert client.patch_doc(CONTENT).frames == (
        '{"header":{"msgid":"c1","msgtype":"PATCH-DOC"},"content":{"events":[1]},"buffers":[]}',
    )
    assert client.patch_doc(CONTENT, BUFFERS).frames == (
        '{"header":{"msgid":"c2","msgtype":"PATCH-DOC"},"content":{"events":[1]},"buffers":["b1","b\\"2"]}',
        b"one",
        b"",
    )
    deliver(server, client.pull_doc())
    assert server.refuse("c3", "no").frames == (
        '{"header":{"msgid":"s2","msgtype":"ERROR","reqid":"c3"},"content":{"text":"no","traceback":null},"buffers":[]}',
    )


def patch3(
    header: str = '{"msgid":"x","msgtype":"PATCH-DOC"}', metadata: str = "{}", content: str = "{}"
) -> list[Frame]:
    return [header, metadata, content]


def patch4(
    header: str = '{"msgid":"x","msgtype":"PATCH-DOC"}', content: str = "{}", buffers: str = "[]"
) -> list[Frame]:
    return [f'{{"header":{header},"content":{content},"buffers":{buffers}}}']


LONG = "y" * 5000

GOOD_3: dict[str, list[Frame]] = {
    "plain": patch3(),
    "reqid null": patch3('{"msgid":"x","msgtype":"PATCH-DOC","reqid":null}'),
    "reqid of a message that is no reply": patch3('{"msgid":"x","msgtype":"PATCH-DOC","reqid":"z"}'),
    "other keys": patch3('{"msgid":"x","msgtype":"PATCH-DOC","other":[1],"header":{}}'),
    "other keys that msgspec would refuse": patch3('{"msgid":"x","msgtype":"PATCH-DOC","other":["\\ud800",NaN,1e999]}'),
    "key twice": patch3('{"msgid":7,"msgid":"x","msgtype":"PATCH-DOC"}'),
    "long": patch3(f'{{"msgid":"x","msgtype":"PATCH-DOC","other":"{LONG}"}}'),
    "num_buffers 0": patch3('{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":0}'),
    "num_buffers 0.0": patch3('{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":0.0}'),
    "num_buffers false": patch3('{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":false}'),
    "metadata": patch3(metadata='{"a":[1]}'),
    "metadata of any other type": patch3(metadata="0"),
    "metadata that msgspec would refuse": patch3(metadata="NaN"),
    "white space": patch3(' {"msgid" : "x", "msgtype" : "PATCH-DOC"} ', " {} ", "\n{}"),
}


@pytest.mark.parametrize("frames", GOOD_3.values(), ids=GOOD_3)
def test_generation_3_takes(frames: list[Frame]) -> None:
    client, _server = pair(Generation.V3)
    assert feed(client, frames) == PatchReceived(PatchDoc("x", {}))


@pytest.mark.parametrize("content", ["[]", "false", "0", '"x"', "[1,{}]"])
def test_generation_3_takes_content_of_any_type(content: str) -> None:
    client, _server = pair(Generation.V3)
    assert feed(client, patch3(content=content)) == PatchReceived(PatchDoc("x", json.loads(content)))


@pytest.mark.parametrize("count", ["1", "1.0", "true", "1e0"])
def test_generation_3_takes_any_number_that_is_a_count(count: str) -> None:
    client, _server = pair(Generation.V3)
    header = f'{{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":{count}}}'
    frames = [*patch3(header), '{"id":"b"}', b"data"]
    assert feed(client, frames) == PatchReceived(PatchDoc("x", {}, (Buffer("b", b"data"),)))


def test_generation_3_takes_empty_and_repeated_ids() -> None:
    client, _server = pair(Generation.V3)
    frames = [
        *patch3('{"msgid":"","msgtype":"PATCH-DOC","num_buffers":2}'),
        '{"id":""}',
        b"1",
        '{"id":7,"id":""}',
        b"2",
    ]
    assert feed(client, frames) == PatchReceived(PatchDoc("", {}, (Buffer("", b"1"), Buffer("", b"2"))))


def test_generation_3_ignores_buffers_of_a_kind_that_has_none() -> None:
    client, _server = pair(Generation.V3)
    frames = [*patch3('{"msgid":"x","msgtype":"OK","num_buffers":1}'), '{"id":"b"}', b"1"]
    assert isinstance(feed(client, frames), UnknownReply)


BAD_3: dict[str, list[Frame]] = {
    "header no JSON": ["{"],
    "header no object": ["[]"],
    "header a list of the keys": ['["msgid","msgtype"]'],
    "header a string": ['"msgtype"'],
    "no msgtype": ['{"msgid":"x"}'],
    "no msgid": ['{"msgtype":"PATCH-DOC"}'],
    "msgid no string": ['{"msgid":7,"msgtype":"PATCH-DOC"}'],
    "msgtype no string": ['{"msgid":"x","msgtype":["PATCH-DOC"]}'],
    "reqid no string": ['{"msgid":"x","msgtype":"OK","reqid":7}'],
    "num_buffers a string": ['{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":"1"}'],
    "num_buffers null": ['{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":null}'],
    "num_buffers negative": ['{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":-1}'],
    "num_buffers a fraction": ['{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":1.5}'],
    "num_buffers NaN": ['{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":NaN}'],
    "num_buffers infinite": ['{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":Infinity}'],
    "num_buffers endless": [f'{{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":{10**4000}}}'],
    "an int of too many digits": [f'{{"msgid":"x","msgtype":"PATCH-DOC","other":{"9" * 4301}}}'],
    "header binary": [b'{"msgid":"x","msgtype":"PATCH-DOC"}'],
    "metadata binary": [*patch3()[:1], b"{}"],
    "metadata no JSON": [*patch3()[:1], ""],
    "metadata null": [*patch3()[:1], "null"],
    "content binary": [*patch3()[:2], b"{}"],
    "content null": [*patch3()[:2], " null "],
    "content no JSON": [*patch3()[:2], "{"],
    "buffer header binary": [*patch3('{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":1}'), b"1"],
    "buffer header no JSON": [*patch3('{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":1}'), "x"],
    "buffer header a list": [*patch3('{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":1}'), '["id"]'],
    "buffer header with more": [*patch3('{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":1}'), '{"id":"b","c":1}'],
    "buffer header without id": [*patch3('{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":1}'), "{}"],
    "buffer id no string": [*patch3('{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":1}'), '{"id":7}'],
    "buffer text": [*patch3('{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":1}'), '{"id":"b"}', "text"],
}


@pytest.mark.parametrize("raw", [False, True], ids=["decoded", "raw"])
@pytest.mark.parametrize("frames", BAD_3.values(), ids=BAD_3)
def test_generation_3_refuses(frames: list[Frame], raw: bool) -> None:
    client, _server = pair(Generation.V3, raw_content=raw)
    error = rejected(client, frames)
    assert type(error) is MalformedFrame
    assert error.close_code == 1002


GOOD_4: dict[str, list[Frame]] = {
    "plain": patch4(),
    "reqid null": patch4('{"msgid":"x","msgtype":"PATCH-DOC","reqid":null}'),
    "reqid of a message that is no reply": patch4('{"msgid":"x","msgtype":"PATCH-DOC","reqid":"z"}'),
    "reqid empty": patch4('{"msgid":"x","msgtype":"PATCH-DOC","reqid":""}'),
    "key twice": patch4('{"msgid":7,"msgid":"x","msgtype":"PATCH-DOC"}'),
    "white space": patch4(' {"msgid" : "x", "msgtype" : "PATCH-DOC"} ', " {} ", "\n[ ]"),
}


@pytest.mark.parametrize("frames", GOOD_4.values(), ids=GOOD_4)
def test_generation_4_takes(frames: list[Frame]) -> None:
    client, _server = pair(Generation.V4)
    assert feed(client, frames) == PatchReceived(PatchDoc("x", {}))


BAD_4: dict[str, list[Frame]] = {
    "no JSON": ["{"],
    "no object": ["[]"],
    "a key is missing": ['{"header":{"msgid":"x","msgtype":"PATCH-DOC"},"content":{}}'],
    "a key too many": ['{"header":{"msgid":"x","msgtype":"PATCH-DOC"},"content":{},"buffers":[],"metadata":{}}'],
    "header no object": patch4("[]"),
    "header with another key": patch4('{"msgid":"x","msgtype":"PATCH-DOC","num_buffers":0}'),
    "no msgtype": patch4('{"msgid":"x"}'),
    "no msgid": patch4('{"msgtype":"PATCH-DOC"}'),
    "msgid empty": patch4('{"msgid":"","msgtype":"PATCH-DOC"}'),
    "msgid no string": patch4('{"msgid":7,"msgtype":"PATCH-DOC"}'),
    "msgtype no string": patch4('{"msgid":"x","msgtype":null}'),
    "reqid no string": patch4('{"msgid":"x","msgtype":"OK","reqid":7}'),
    "content no object": patch4(content="[]"),
    "content null": patch4(content="null"),
    "buffers no list": patch4(buffers="{}"),
    "buffers a number": patch4(buffers="1"),
    "buffer id no string": patch4(buffers='["b",7]'),
    "buffer id empty": patch4(buffers='["b",""]'),
    "buffer ids repeated": patch4(buffers='["b","b"]'),
    "envelope binary": [b"{}"],
    "buffer text": [*patch4(buffers='["b"]'), "text"],
}


@pytest.mark.parametrize("raw", [False, True], ids=["decoded", "raw"])
@pytest.mark.parametrize("frames", BAD_4.values(), ids=BAD_4)
def test_generation_4_refuses(frames: list[Frame], raw: bool) -> None:
    client, _server = pair(Generation.V4, raw_content=raw)
    assert type(rejected(client, frames)) is MalformedFrame


@pytest.mark.parametrize(
    ("generation", "msgtype"),
    [
        (Generation.V3, "SYNC"),
        (Generation.V4, "SERVER-INFO-REQ"),
        (Generation.V4, "SERVER-INFO-REPLY"),
        *((generation, name) for generation in Generation for name in ("", "ack", "PULL-DOC", "X" * 500)),
    ],
)
def test_an_unknown_message_type(generation: Generation, msgtype: str) -> None:
    client, _server = pair(generation)
    header = json.dumps({"msgid": "x", "msgtype": msgtype})
    error = rejected(client, patch3(header)[:1] if generation is Generation.V3 else patch4(header))
    assert isinstance(error, UnknownMessageType)
    assert error.msgtype == msgtype
    assert len(str(error)) < 200


@pytest.mark.parametrize(
    "frame",
    ["", "[]", "{}", "<html>", '{"a":1}', "null", '"msgtype"', b"\x00", '{"header":{}}', '{"msgtype":"ACK"}', "NaN"],
)
def test_a_first_frame_that_is_none_of_bokeh(frame: Frame) -> None:
    assert isinstance(rejected(make_client(), [frame]), MalformedFrame)


@pytest.mark.parametrize("frame", ["[]", "{}", '{"a":1}', "null", '"msgtype"', '["msgtype","header"]', "NaN"])
def test_a_first_frame_without_the_keys_of_bokeh_is_said_to_be_of_something_else(frame: Frame) -> None:
    assert "Is it a Bokeh server?" in str(rejected(make_client(), [frame]))


def test_a_first_frame_with_the_keys_of_both_generations_is_of_generation_3() -> None:
    # Generation 3 ignores keys that it does not know, generation 4 has no others than its own.
    client = make_client()
    assert client.receive_frame('{"header":{},"msgtype":"ACK","msgid":"x"}') is None
    assert client.generation is Generation.V3
    assert feed(client, ["{}", "{}"]) == Ready(Generation.V3, "x")


ERRORS: dict[str, tuple[Any, str, str | None]] = {
    "as documented": ({"text": "no", "traceback": "where"}, "no", "where"),
    "no traceback": ({"text": "no"}, "no", None),
    "empty": ({}, "", None),
    "other types": ({"text": 7, "traceback": [1]}, "", None),
}


@both_generations
@pytest.mark.parametrize("raw", [False, True], ids=["decoded", "raw"])
@pytest.mark.parametrize(("content", "text", "traceback"), ERRORS.values(), ids=ERRORS)
def test_an_error_is_an_error_whatever_its_content(
    generation: Generation, raw: bool, content: Any, text: str, traceback: str | None
) -> None:
    client, _server = pair(generation, raw_content=raw)
    header = '{"msgid":"x","msgtype":"ERROR","reqid":"y"}'
    encoded = json.dumps(content)
    frames = patch3(header, content=encoded) if generation is Generation.V3 else patch4(header, encoded)
    assert feed(client, frames) == UnknownReply(Error("x", "y", text, traceback))


def test_an_error_without_an_object_as_content() -> None:
    client, _server = pair(Generation.V3)
    frames = patch3('{"msgid":"x","msgtype":"ERROR","reqid":"y"}', content='"no"')
    assert feed(client, frames) == UnknownReply(Error("x", "y", "", None))


NO_OBJECTS: tuple[Any, ...] = ([], "x", 0, False, [{}], msgspec.Raw(b" [1]"))
NULLS: tuple[Any, ...] = (None, float("nan"), msgspec.Raw(b"null"), msgspec.Raw(b"\n null "), msgspec.Raw(b""))


@pytest.mark.parametrize(
    ("generation", "content"),
    [*product(Generation, NULLS), *product([Generation.V4], NO_OBJECTS)],
)
def test_content_that_no_receiver_would_take_is_not_sent(generation: Generation, content: Any) -> None:
    client, server = pair(generation)
    with pytest.raises(InvalidContent):
        client.patch_doc(content)
    assert client.pending == {}
    assert isinstance(deliver(server, client.push_doc(CONTENT)), RequestReceived)


@pytest.mark.parametrize(
    ("generation", "content"),
    [*product(Generation, [{}, msgspec.Raw(b' {"a":null}')]), *product([Generation.V3], NO_OBJECTS)],
)
def test_content_that_a_receiver_takes_is_sent(generation: Generation, content: Any) -> None:
    client, server = pair(generation)
    event = deliver(server, client.patch_doc(content))
    assert isinstance(event, RequestReceived)
    assert isinstance(event.message, PatchDoc)
    assert event.message.content == json.loads(msgspec.json.encode(content))


@both_generations
@pytest.mark.parametrize(
    ("buffers", "words"),
    [
        ([("b", b"")], "tuple"),
        ([b"data"], "bytes"),
        ([Buffer("", b"")], "non-empty"),
        ([Buffer(7, b"")], "7"),  # type: ignore[arg-type]
        ([Buffer("b", b""), Buffer("b", b"")], "Two buffers"),
        ([Buffer("b", "text")], "str, not bytes"),  # type: ignore[arg-type]
        ([Buffer("b", memoryview(b"12345678")[::2])], "C-contiguous"),
        ([Buffer("b", view(np.zeros((2, 3), order="F")))], "C-contiguous"),
    ],
)
def test_buffers_that_cannot_be_sent(generation: Generation, buffers: list[Any], words: str) -> None:
    client, _server = pair(generation)
    with pytest.raises(InvalidContent, match=words):
        client.patch_doc(CONTENT, buffers)
    assert client.pending == {}


@both_generations
def test_a_released_view_cannot_be_sent(generation: Generation) -> None:
    client, _server = pair(generation)
    view = memoryview(b"1")
    view.release()
    with pytest.raises(InvalidContent, match="released"):
        client.patch_doc(CONTENT, [Buffer("b", view)])
    assert client.pending == {}


@both_generations
def test_buffers_of_any_shape_are_sent_as_bytes(generation: Generation) -> None:
    client, server = pair(generation)
    views: list[Any] = [
        memoryview(b"12345678").cast("B", (2, 4)),
        memoryview(b"").cast("d"),
        memoryview(b"1234"),
        bytearray(b"12"),
        view(np.zeros((0, 3))),
        view(np.zeros((), "u1")),
        view(np.ones((2, 3), "u1")),
    ]
    event = deliver(server, client.push_doc(CONTENT, (Buffer(str(i), view) for i, view in enumerate(views))))
    assert isinstance(event, RequestReceived)
    assert isinstance(event.message, PushDoc)
    sent = [buffer.data for buffer in event.message.buffers]
    assert [bytes(data) for data in sent] == [b"12345678", b"", b"1234", b"12", b"", b"\0", b"\1" * 6]
    # One dimension of bytes is what a WebSocket library takes, and what len() counts.
    assert [len(data) for data in sent] == [8, 0, 4, 2, 0, 1, 6]
