"""Each limit: at it all is well, one over it is an error that names it, and None switches it off."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bokehwire.protocol import (
    Buffer,
    Connection,
    Frame,
    Generation,
    LimitError,
    LimitExceeded,
    Limits,
    LocalLimitExceeded,
    LocalProtocolError,
    MalformedFrame,
    PatchReceived,
    ReadingFailed,
    Ready,
    RemoteProtocolError,
    RequestReceived,
    Role,
    UnknownMessageType,
)
from bokehwire.protocol.text import depth
from tests.protocol import strategies
from tests.protocol.wiring import both_generations, deliver, feed, frames_of, pair, rejected

ACK = {"msgid": "s", "msgtype": "ACK"}
PATCH = {"msgid": "x", "msgtype": "PATCH-DOC"}


def open_client(generation: Generation, limits: Limits) -> Connection:
    client = Connection(generation=generation, limits=limits)
    feed(client, frames_of(generation, ACK, {}))
    return client


def exceeded(client: Connection, frames: list[Frame], parameter: str, value: int, maximum: int, code: int) -> None:
    error = rejected(client, frames)
    assert isinstance(error, LimitExceeded)
    assert (error.parameter, error.value, error.maximum, error.close_code) == (parameter, value, maximum, code)
    assert f"Limits({parameter}=" in str(error)
    assert f"{value:,}" in str(error)


def with_buffers(generation: Generation, sizes: list[int]) -> list[Frame]:
    names = [f"b{index}" for index in range(len(sizes))]
    frames = frames_of(generation, PATCH, {}, names)
    for name, size in zip(names, sizes, strict=True):
        if generation is Generation.V3:
            frames.append(json.dumps({"id": name}))
        frames.append(bytes(size))
    return frames


@both_generations
@pytest.mark.parametrize("filler", ["x", "ü", "€", "😀"])
def test_message_size_counts_bytes(generation: Generation, filler: str) -> None:
    frames = frames_of(generation, PATCH, {})
    frames[-1] = str(frames[-1]).replace("{}", f'{{"a":"{filler * 100}"}}')
    size = len(str(frames[-1]).encode())
    for limits in (Limits(max_message_size=size), Limits(max_message_size=None)):
        assert isinstance(feed(open_client(generation, limits), frames), PatchReceived)
    client = open_client(generation, Limits(max_message_size=size - 1))
    exceeded(client, frames, "max_message_size", size, size - 1, 1009)


@both_generations
def test_message_size_holds_for_buffers(generation: Generation) -> None:
    frames = with_buffers(generation, [500])
    assert isinstance(feed(open_client(generation, Limits(max_message_size=500)), frames), PatchReceived)
    exceeded(open_client(generation, Limits(max_message_size=499)), frames, "max_message_size", 500, 499, 1009)


@both_generations
@pytest.mark.parametrize("holder", [bytes, bytearray, memoryview, lambda data: memoryview(data).cast("d")])
def test_buffer_size(generation: Generation, holder: type) -> None:
    frames = with_buffers(generation, [8, 80])
    frames[-1] = holder(frames[-1])
    assert isinstance(feed(open_client(generation, Limits(max_buffer_size=80)), frames), PatchReceived)
    exceeded(open_client(generation, Limits(max_buffer_size=79)), frames, "max_buffer_size", 80, 79, 1009)


@both_generations
def test_total_size(generation: Generation) -> None:
    frames = with_buffers(generation, [100, 100])
    # Generation 3 counts from the content on: header and metadata are not kept.
    kept = frames[2:] if generation is Generation.V3 else frames
    total = sum(len(frame) for frame in kept)
    for limits in (Limits(max_total_size=total), Limits(max_total_size=None)):
        assert isinstance(feed(open_client(generation, limits), frames), PatchReceived)
    client = open_client(generation, Limits(max_total_size=total - 1))
    exceeded(client, frames, "max_total_size", total, total - 1, 1009)


@both_generations
def test_total_size_holds_without_buffers(generation: Generation) -> None:
    frames = frames_of(generation, PATCH, {"a": "x" * 500})
    size = len(frames[-1])
    assert isinstance(feed(open_client(generation, Limits(max_total_size=size)), frames), PatchReceived)
    exceeded(open_client(generation, Limits(max_total_size=size - 1)), frames, "max_total_size", size, size - 1, 1009)


def test_total_size_holds_for_headers_of_buffers() -> None:
    *frames, header, _data = with_buffers(Generation.V3, [10])
    frames.append(str(header).replace("b0", "b" * 300))
    total = len("{}") + len(frames[-1])
    client = open_client(Generation.V3, Limits(max_total_size=total - 1))
    exceeded(client, frames, "max_total_size", total, total - 1, 1009)


@both_generations
def test_number_of_buffers_is_checked_when_it_is_announced(generation: Generation) -> None:
    limits = Limits(max_buffers=2)
    assert isinstance(feed(open_client(generation, limits), with_buffers(generation, [1, 1])), PatchReceived)
    exceeded(open_client(generation, limits), with_buffers(generation, [1, 1, 1])[:1], "max_buffers", 3, 2, 1008)
    assert isinstance(
        feed(open_client(generation, Limits(max_buffers=None)), with_buffers(generation, [1] * 3)), PatchReceived
    )


@both_generations
def test_the_default_takes_ten_thousand_buffers(generation: Generation) -> None:
    frames = with_buffers(generation, [0] * 10_000)
    event = feed(open_client(generation, Limits()), frames)
    assert isinstance(event, PatchReceived)
    assert len(event.message.buffers) == 10_000
    exceeded(
        open_client(generation, Limits()),
        with_buffers(generation, [0] * 10_001)[:1],
        "max_buffers",
        10_001,
        10_000,
        1008,
    )


@both_generations
def test_frames_per_message(generation: Generation) -> None:
    frames = with_buffers(generation, [1, 1])
    count = len(frames)
    for maximum in (count, None):
        client = open_client(generation, Limits(max_frames_per_message=maximum))
        assert isinstance(feed(client, frames), PatchReceived)
    client = open_client(generation, Limits(max_frames_per_message=count - 1))
    exceeded(client, frames[:1], "max_frames_per_message", count, count - 1, 1008)


@pytest.mark.parametrize(("generation", "maximum", "found"), [(Generation.V3, 2, 3), (Generation.V4, 0, 1)])
def test_frames_per_message_holds_without_buffers(generation: Generation, maximum: int, found: int) -> None:
    frames = frames_of(generation, PATCH, {})
    client = Connection(generation=generation, limits=Limits(max_frames_per_message=found))
    assert isinstance(feed(client, frames_of(generation, ACK, {})), Ready)
    assert isinstance(feed(client, frames), PatchReceived)
    client = Connection(generation=generation, limits=Limits(max_frames_per_message=maximum))
    exceeded(client, frames[:1], "max_frames_per_message", found, maximum, 1008)


@pytest.mark.parametrize(("generation", "maximum", "found"), [(Generation.V3, 2, 3), (Generation.V4, 0, 1)])
@pytest.mark.parametrize("frame", ["", "0", "{}"])
def test_frames_per_message_holds_for_the_shortest_frame(
    generation: Generation, maximum: int, found: int, frame: str
) -> None:
    client = Connection(generation=generation, limits=Limits(max_frames_per_message=maximum))
    exceeded(client, [frame], "max_frames_per_message", found, maximum, 1008)


def test_limits_hold_for_metadata() -> None:
    header, _metadata, content = frames_of(Generation.V3, PATCH, {})
    deep = "[" * 5 + "]" * 5
    for limits in (Limits(max_depth=5), Limits(max_depth=None)):
        assert isinstance(feed(open_client(Generation.V3, limits), [header, deep, content]), PatchReceived)
    exceeded(open_client(Generation.V3, Limits(max_depth=4)), [header, deep], "max_depth", 5, 4, 1008)
    long = f'"{"x" * 198}"'
    assert isinstance(
        feed(open_client(Generation.V3, Limits(max_message_size=200)), [header, long, content]), PatchReceived
    )
    client = open_client(Generation.V3, Limits(max_message_size=199))
    exceeded(client, [header, long], "max_message_size", 200, 199, 1009)


@both_generations
@pytest.mark.parametrize("pattern", ["[]", '{"a":}', '["]",]', '{"[{\\"":}', '["\\\\",]'])
def test_depth(generation: Generation, pattern: str) -> None:
    half = pattern[:-1]
    text = half * 19 + "[]" + pattern[-1] * 19
    text = text.replace(",]", "]") if pattern.endswith(",]") else text
    found = 21 if generation is Generation.V3 else 22
    frames = frames_of(generation, PATCH, {"a": "HERE"})
    frames[-1] = str(frames[-1]).replace('"HERE"', text)
    for maximum in (found, None):
        client = open_client(generation, Limits(max_depth=maximum))
        assert isinstance(feed(client, frames), PatchReceived)
    exceeded(open_client(generation, Limits(max_depth=found - 1)), frames, "max_depth", found, found - 1, 1008)


def measured(value: object) -> int:
    match value:
        case dict():
            return 1 + max(map(measured, value.values()), default=0)
        case list():
            return 1 + max(map(measured, value), default=0)
        case _:
            return 0


@given(strategies.json_values | st.lists(st.text('[]{}"\\', max_size=6)))
def test_depth_is_found_without_decoding(value: object) -> None:
    assert depth(json.dumps(value)) == depth(json.dumps(value, ensure_ascii=False)) == measured(value)


@given(st.text('[]{}"\\:,a', max_size=60))
def test_depth_of_anything_is_a_number(text: str) -> None:
    assert 0 <= depth(text) <= len(text)


@both_generations
def test_pending_requests_of_a_client(generation: Generation) -> None:
    client, server = pair(generation, limits=Limits(max_pending=2))
    outgoing = client.pull_doc()
    client.patch_doc({})
    with pytest.raises(LocalLimitExceeded, match="max_pending") as caught:
        client.roundtrip()
    error = caught.value
    assert (error.parameter, error.value, error.maximum, error.close_code) == ("max_pending", 3, 2, 1008)
    deliver(server, outgoing)
    deliver(client, server.refuse("c1", "no"))
    client.roundtrip()
    assert Connection(limits=Limits(max_pending=None)).limits.max_pending is None


@both_generations
def test_pending_requests_of_a_server(generation: Generation) -> None:
    client, _server = pair(generation)
    _client, server = pair(generation, limits=Limits(max_pending=2))
    for _ in range(2):
        assert isinstance(deliver(server, client.pull_doc()), RequestReceived)
    exceeded(server, list(client.pull_doc().frames), "max_pending", 3, 2, 1008)


@both_generations
def test_no_limit_on_pending_requests(generation: Generation) -> None:
    client, server = pair(generation, limits=Limits(max_pending=None))
    for _ in range(3):
        deliver(server, client.pull_doc())
    assert len(server.pending) == len(client.pending) == 3


@both_generations
def test_what_we_send_is_limited_by_its_own_parameter(generation: Generation) -> None:
    limits = Limits(max_outgoing_size=300, max_buffers=1)
    client, _server = pair(generation, limits=limits)
    client.patch_doc({"a": "x" * 100}, [Buffer("b", bytes(300))])
    with pytest.raises(LocalLimitExceeded) as caught:
        client.patch_doc({"a": "€" * 100})
    error = caught.value
    assert (error.parameter, error.maximum, error.close_code) == ("max_outgoing_size", 300, 1009)
    for data in (bytes(301), memoryview(bytes(301))):
        with pytest.raises(LocalLimitExceeded, match="max_outgoing_size"):
            client.patch_doc({}, [Buffer("b", data)])
    with pytest.raises(LocalLimitExceeded, match="max_buffers"):
        client.patch_doc({}, [Buffer("b", b""), Buffer("c", b"")])
    assert list(client.pending) == ["c1"]
    unlimited, _server = pair(generation, limits=Limits(max_buffers=None))
    unlimited.patch_doc({}, [Buffer("b", b""), Buffer("c", b"")])


@pytest.mark.parametrize("reply", [True, False], ids=["reqid", "id of a buffer"])
def test_every_frame_that_we_send_counts(reply: bool) -> None:
    server = Connection(Role.SERVER, generation=Generation.V3, limits=Limits(max_outgoing_size=200))
    server.ack()
    name = "x" * 200
    feed(server, frames_of(Generation.V3, {"msgid": name, "msgtype": "PULL-DOC-REQ"}, {}))
    with pytest.raises(LocalLimitExceeded, match="max_outgoing_size"):
        server.refuse(name, "no") if reply else server.patch_doc({}, [Buffer(name, b"")])
    assert list(server.pending) == [name]


def test_the_envelope_counts_in_generation_4() -> None:
    client, _server = pair(Generation.V4, limits=Limits(max_outgoing_size=90))
    with pytest.raises(LocalLimitExceeded):
        client.patch_doc({"a": "x" * 70})


def test_limits_are_checked_before_a_client_knows_the_generation() -> None:
    client = Connection(limits=Limits(max_message_size=100))
    exceeded(client, ["[" * 101], "max_message_size", 101, 100, 1009)
    client = Connection(limits=Limits(max_depth=10))
    exceeded(client, ["[" * 101], "max_depth", 101, 10, 1008)


def test_both_faults_of_a_limit_have_one_base() -> None:
    assert issubclass(LimitExceeded, LimitError)
    assert issubclass(LocalLimitExceeded, LimitError)
    assert issubclass(LimitExceeded, RemoteProtocolError)
    assert issubclass(LocalLimitExceeded, LocalProtocolError)


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_a_limit_is_a_count_or_none(name: str) -> None:
    wrong: Any
    for wrong in ("x", 1e3, True, b"1"):
        with pytest.raises(TypeError, match=f"{name} is an int or None"):
            Limits(**{name: wrong})
    with pytest.raises(ValueError, match=f"{name} is -1"):
        Limits(**{name: -1})
    for right in (0, 10**30, None):
        assert getattr(Limits(**{name: right}), name) == right


@pytest.mark.parametrize(
    "error",
    [
        LimitExceeded("nesting depth", 1000, 512, "max_depth"),
        LocalLimitExceeded("size of a frame in bytes", 2, 1, "max_outgoing_size"),
        LimitError("nesting depth", 1000, 512, "max_depth"),
        UnknownMessageType("no such type", msgtype="NO"),
        MalformedFrame("no JSON"),
        ReadingFailed("no stack"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("again", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_errors_can_be_sent_to_another_process(error: Exception, again: Callable[[Exception], Exception]) -> None:
    error.add_note("seen there")
    other = again(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)
    assert other.__notes__[0] == "seen there"


def test_limits_are_frozen_and_have_defaults() -> None:
    assert msgspec.structs.asdict(Connection(Role.CLIENT).limits) == {
        "max_message_size": 20 * 1024 * 1024,
        "max_buffer_size": None,
        "max_total_size": 1024 * 1024 * 1024,
        "max_outgoing_size": None,
        "max_buffers": 10_000,
        "max_frames_per_message": 20_003,
        "max_depth": 512,
        "max_pending": 65_536,
    }
    with pytest.raises(AttributeError):
        Limits().max_depth = 7  # type: ignore[misc]
