"""What Hypothesis draws from: JSON values, content, buffers, and frames that are nearly right."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from bokehwire.protocol import Buffer, Frame, Generation, MessageType
from tests.protocol.wiring import frames_of

# All characters, lone surrogates too: json.loads makes them of escapes.
_any_text = st.text(st.characters(exclude_categories=()), max_size=12)
texts = st.text(max_size=12) | _any_text
ids = st.text(min_size=1, max_size=12) | st.sampled_from(
    ["1", "p1001", 'quo"te', "back\\slash", "nul\x00", "ü", "\ud800"]
)

numbers = (
    st.integers()
    | st.integers(min_value=2**53 - 2, max_value=2**66)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -0.0, 1e16, 1e22, 5e-324, 1.7976931348623157e308, 2**64, -(2**63) - 1, 10**40])
)
scalars = st.none() | st.booleans() | numbers | texts
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
contents: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["events", "doc", "version_info"]) | texts, json_values, max_size=3
)

data = st.binary(max_size=40) | st.sampled_from([b"", b"\x00" * 200])
buffers = st.lists(st.builds(Buffer, ids, data), max_size=4, unique_by=lambda buffer: buffer.id)

generations = st.sampled_from(tuple(Generation))

kinds = st.sampled_from([kind.value for kind in MessageType])
kinds_to_client = st.sampled_from(["PATCH-DOC", "OK", "ERROR", "PULL-DOC-REPLY"])
kinds_to_server = st.sampled_from(["PATCH-DOC", "PUSH-DOC", "PULL-DOC-REQ"])

# Values in places where others belong.
_odd = st.sampled_from([None, True, 0, -1, 2.0, 1.5, 10**400, [], {}, [""], "", "x", {"id": "x"}, "ACK"])
_literals = st.sampled_from(["NaN", "-Infinity", "1e999", '"\\ud800"', "1" * 5000, "[" * 3000, "01", "{", ""])


# What the id of a request in flight may be, in the tests that have some.
PENDING = ("1", "2")


@st.composite
def headers(draw: st.DrawFn, likely: st.SearchStrategy[str]) -> dict[str, Any]:
    """A header, most often a good one, and half of the time about a request in flight."""

    def some_id() -> str:
        return draw(st.sampled_from(PENDING) if draw(st.booleans()) else ids)

    header: dict[str, Any] = {"msgid": some_id(), "msgtype": draw(likely if draw(st.integers(0, 3)) else kinds)}
    if draw(st.integers(0, 3)):
        header["reqid"] = some_id()
    if not draw(st.integers(0, 4)):
        header[draw(st.sampled_from(["msgid", "msgtype", "reqid", "num_buffers", "other"]))] = draw(_odd)
    return header


@st.composite
def messages(draw: st.DrawFn, generation: Generation, likely: st.SearchStrategy[str]) -> list[Frame]:
    """The frames of one message, most often well-formed."""
    names = draw(st.lists(ids, max_size=2))
    content = draw(contents) if draw(st.integers(0, 3)) else draw(_odd)
    frames = frames_of(generation, draw(headers(likely)), content, names)
    for name in names:
        if generation is Generation.V3:
            frames.append(json.dumps({"id": name}))
        frames.append(draw(data))
    return frames


def _cut(draw: st.DrawFn, frame: Frame) -> Frame:
    return frame[: draw(st.integers(0, len(frame)))]


def _replace_value(draw: st.DrawFn, frame: Frame) -> Frame:
    # A literal that JSON implementations disagree about, in the place of some string of the text.
    if not isinstance(frame, str):
        return frame
    parts = frame.split('"')
    index = draw(st.integers(0, len(parts) - 1))
    return '"'.join(parts[:index]) + draw(_literals) + '"'.join(parts[index + 1 :])


def _other_kind(draw: st.DrawFn, frame: Frame) -> Frame:
    if isinstance(frame, str):
        return frame.encode("utf-8", "surrogatepass")
    return bytes(frame).decode("latin-1")


def _noise(draw: st.DrawFn, frame: Frame) -> Frame:
    return draw(_any_text | st.binary(max_size=8) | json_values.map(json.dumps) | _literals)


def _other_holder(draw: st.DrawFn, frame: Frame) -> Frame:
    if isinstance(frame, str):
        return frame
    return bytearray(frame) if draw(st.booleans()) else memoryview(frame)


_CHANGES = (_cut, _replace_value, _other_kind, _noise, _other_holder)


@st.composite
def frame_sequences(draw: st.DrawFn, generation: Generation, likely: st.SearchStrategy[str] = kinds) -> list[Frame]:
    """Frames in any order, kind, count and truncation, near enough to messages to get past the first check.

    Args:
        draw: Given by Hypothesis.
        generation: Which wire generation they are nearly messages of.
        likely: The kinds that most of them have.
    """
    frames = [frame for _ in range(draw(st.integers(1, 4))) for frame in draw(messages(generation, likely))]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2, 3]))):
        index = draw(st.integers(0, len(frames) - 1))
        match draw(st.sampled_from(["change", "drop", "repeat", "swap", "insert"])):
            case "change":
                frames[index] = draw(st.sampled_from(_CHANGES))(draw, frames[index])
            case "drop" if len(frames) > 1:
                del frames[index]
            case "repeat":
                frames.insert(index, frames[index])
            case "swap":
                frames[index], frames[0] = frames[0], frames[index]
            case _:
                frames.insert(index, _noise(draw, ""))
    return frames
