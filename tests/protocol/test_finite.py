"""No NaN and no infinity gets past the encoder, whatever stands next to it and however its bytes look."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bokehwire.protocol import InvalidContent, finite
from bokehwire.protocol.finite import may_hold_non_finite
from bokehwire.protocol.text import dumps
from tests.protocol import strategies
from tests.protocol.wiring import same


def double(data: bytes) -> float:
    number: float = struct.unpack(">d", data)[0]
    return number


def holds_non_finite(value: Any) -> bool:
    match value:
        case dict():
            return any(map(holds_non_finite, value.values()))
        case list():
            return any(map(holds_non_finite, value))
        case float():
            return not math.isfinite(value)
        case _:
            return False


# NaNs of every sign and payload, infinities, and finite doubles whose bytes look like the start of one.
non_finite = st.tuples(
    st.sampled_from([b"\x7f", b"\xff"]), st.integers(0xF0, 0xFF), st.binary(min_size=6, max_size=6)
).map(lambda parts: double(parts[0] + bytes([parts[1]]) + parts[2]))
alike = st.tuples(
    st.sampled_from([b"\x40", b"\x00", b"\x3f"]),
    st.lists(st.sampled_from([b"\xcb", b"\x7f", b"\xff", b"\xf8", b"\xd9", b"\xdc", b"\x00"]), min_size=7, max_size=7),
).map(lambda parts: double(parts[0] + b"".join(parts[1])))
huge = st.sampled_from([1.7976931348623157e308, -1.7e308, 1e304, 8.98846567431158e307])
doubles = alike | huge | st.floats() | non_finite
# In MessagePack the lengths of these have 0xcb as a byte, and what follows looks like the rest of a NaN.
lookalikes = st.sampled_from(
    [
        "\x7f\U0001f600" + "x" * 198,
        "\x7f\U0001f600" + "x" * (0x1CB - 5),
        [127, -1, *[0] * 201],
        [-1, -1, *[0] * (0x1CB - 2)],
    ]
)
values = st.recursive(
    doubles | lookalikes | strategies.scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=10,
)


@given(values)
def test_what_is_not_finite_is_refused_and_what_is_finite_is_not(value: Any) -> None:
    # A null next to it sends a short text the long way.
    if holds_non_finite(value):
        with pytest.raises(InvalidContent, match="JSON"):
            dumps([value, None])
    else:
        assert same(json.loads(dumps([value, None])), json.loads(json.dumps([value, None])))


def looks_so(value: Any) -> bool:
    return may_hold_non_finite(value, msgspec.json.encode(value).decode())


@given(st.lists(alike | huge, min_size=1, max_size=50), st.none() | non_finite, st.integers(0, 49))
def test_one_among_many_that_look_alike(numbers: list[float], bad: float | None, place: int) -> None:
    if bad is not None:
        numbers.insert(place, bad)
    assert looks_so(numbers) == (bad is not None)


@pytest.mark.parametrize("bad", [None, float("nan")])
@pytest.mark.parametrize(
    "value",
    [
        [0.5, 1e300, -1e300, 0.0, -0.0],
        [double(b"\x40\xcb\x7f\xf8\x00\x00\x00\x00")] * 3,
        [double(b"\x40\x00\x00\x00\x00\x00\x00\xcb"), 127, -1],
        [127, -1] * 50,
        "\x7f" * 300,
        {"\x7f": -1},
        # Lengths of two bytes of text, of an array, and of one that has four, and the first of two.
        "\x7f\U0001f600" + "x" * 198,
        [127, -1, *[0] * 201],
        [127, -1, *[0] * (0x100CB - 2)],
        [-1] * 0xCB7F,
        {127: {-1: 0}, **dict.fromkeys(range(202), 0)},
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_only_looks_alike_is_told_apart(value: Any, bad: float | None) -> None:
    assert looks_so([value, bad, value]) == (bad is not None)


def raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(text, ensure_ascii=False).encode())


# In MessagePack, where Raw puts its JSON text, a character beyond ASCII is the head of something longer, which ends
# with the NaN, or in it.
@pytest.mark.parametrize("text", ["\u0100" + "x" * size for size in range(100, 140)])
def test_raw_hides_nothing(text: str) -> None:
    nan = float("nan")
    value: Any
    for value in ([raw(text), nan], [raw(text), nan, 1.5], {"a": raw(text), "b": nan}, [[raw(text)], [nan]]):
        with pytest.raises(InvalidContent, match="JSON"):
            dumps(value)
    for value in ([raw(text), None], {"a": raw(text), "b": None, "c": double(b"\x40\xcb\x7f\xf8\x00\x00\x00\x00")}):
        assert json.loads(dumps(value)) == json.loads(msgspec.json.encode(value))


@given(st.recursive(doubles | st.none() | st.text().map(raw), lambda inner: st.lists(inner, max_size=5), max_leaves=6))
def test_raw_hides_nothing_wherever_it_is(value: Any) -> None:
    if holds_non_finite(value):
        with pytest.raises(InvalidContent, match="JSON"):
            dumps([value, None])
    else:
        assert same(json.loads(dumps([value, None])), json.loads(json.dumps([value, None], default=json_of)))


def json_of(value: msgspec.Raw) -> Any:
    return json.loads(bytes(value))


@pytest.mark.parametrize("head", [b"\xc4\xcb\x7f\xf0", b"\xc5\x01\xcb\x7f\xf0", b"\xc6\x00\x01\x00\xcb\x7f\xf0"])
def test_bytes_hide_nothing(head: bytes) -> None:
    # Their length looks like the start of a NaN. Were it made less, what is left over would be the head of bytes that
    # end in the middle of the NaN behind.
    length = int.from_bytes(head[1:-2])
    rest = 10
    nan = float("nan")
    for filler in range(1, 30):
        swallowed = (rest - 2) + (1 + filler) + 8
        data = head[-2:] + bytes(length - rest - 2) + bytes([0xC4, swallowed]) + bytes(rest - 2)
        value = [data, "y" * filler, nan]
        assert head in msgspec.msgpack.encode(value)
        assert looks_so(value)
        # JSON has no bytes; msgspec writes them as base64, and so does what is slower.
        assert dumps([data, None]) == msgspec.json.encode([data, None]).decode()


class Holder(msgspec.Struct, gc=False):
    """A type that JSON does not have and msgspec writes as an object; the garbage collector does not look into it."""

    value: Any


def test_types_beyond_json_hide_nothing() -> None:
    nan = float("nan")
    for hidden in (Holder(nan), Holder([nan]), {nan}, type("Number", (float,), {})(nan)):
        with pytest.raises(InvalidContent, match="JSON"):
            dumps([hidden, None])
    assert (
        dumps([Holder(1.5), None, {2}, double(b"\x40\xcb\x7f\xf8\x00\x00\x00\x00")])[:24] == '[{"value":1.5},null,[2],'
    )


def test_the_time_is_linear_in_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    # A finite double of 0xd9 and what looks like a NaN: each of them is one more suspect.
    passes: list[int] = []
    read = finite._skip

    def counted(packed: bytearray) -> msgspec.Raw:
        passes.append(len(packed))
        return read(packed)

    monkeypatch.setattr(finite, "_skip", counted)
    numbers = [double(b"\x40\xd9\xcb\x7f\xf8\x00\x00\x00")] * 1000
    assert not looks_so([*numbers, None])
    assert len(passes) == 1


def test_a_large_text_is_looked_through_without_a_null() -> None:
    words = ["word" * 10] * 30_000
    assert json.loads(dumps(words)) == words
    for bad in (float("nan"), float("inf")):
        with pytest.raises(InvalidContent):
            dumps([*words, bad])
