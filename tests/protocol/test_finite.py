"""No NaN and no infinity gets past the encoder, whatever stands next to it and however its bytes look."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bokehwire.protocol import InvalidContent
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


@given(st.lists(alike | huge, min_size=1, max_size=50), st.none() | non_finite, st.integers(0, 49))
def test_one_among_many_that_look_alike(numbers: list[float], bad: float | None, place: int) -> None:
    if bad is not None:
        numbers.insert(place, bad)
    assert may_hold_non_finite(numbers) or bad is None


@pytest.mark.parametrize(
    "value",
    [
        [0.5, 1e300, -1e300, 0.0, -0.0],
        [double(b"\x40\xcb\x7f\xf8\x00\x00\x00\x00")] * 3,
        [double(b"\x40\x00\x00\x00\x00\x00\x00\xcb"), 127, -1],
        [127, -1] * 50,
        "\x7f" * 300,
        {"\x7f": -1},
    ],
)
def test_what_only_looks_alike_costs_no_second_look(value: Any) -> None:
    assert not may_hold_non_finite(value)


@pytest.mark.parametrize("value", ["\x7f\U0001f600" + "x" * 198, [127, -1, *[0] * 201]])
def test_what_cannot_be_told_apart_gets_a_second_look(value: Any) -> None:
    assert may_hold_non_finite(value)
    assert same(json.loads(dumps([value, None])), [value, None])


def test_a_large_text_is_looked_through_without_a_null() -> None:
    words = ["word" * 10] * 30_000
    assert json.loads(dumps(words)) == words
    for bad in (float("nan"), float("inf")):
        with pytest.raises(InvalidContent):
            dumps([*words, bad])
