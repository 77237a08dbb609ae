"""The corners in which JSON implementations differ: what Bokeh's receiver takes is taken, with the same meaning.

specs/json.md says why; each of its lines is one of these cases.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bokehwire.protocol import (
    Connection,
    Generation,
    InvalidContent,
    LimitExceeded,
    Limits,
    MalformedFrame,
    PatchReceived,
    Role,
)
from tests.protocol import strategies
from tests.protocol.wiring import both_generations, feed, pair, rejected, same

ACCEPTED = {
    "lone high surrogate": r'"\ud800"',
    "lone low surrogate": r'"a\udc00b"',
    "high surrogate before a character": r'"\ud800A"',
    "two high surrogates and a low one": r'"\ud800\ud800\udc00"',
    "surrogate pair": r'"\ud83d\ude00"',
    "lone surrogate as a key": r'{"\ud800": 1}',
    "NUL": r'"\u0000"',
    "DEL": '"\x7f"',
    "escaped slash": r'"\/"',
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "over a double": "1e400",
    "under minus a double": "-1e999",
    "huge exponent": "1e1000000000000000000000",
    "under the smallest double": "1e-400",
    "zero with a huge exponent": "0e999999999999",
    "minus zero": "-0",
    "minus zero as a double": "-0.0",
    "over 64 bits, unsigned": "18446744073709551616",
    "over 64 bits, signed": "-9223372036854775809",
    "4300 digits": "9" * 4300,
    "more digits than an int may have, as a double": "1" * 5000 + ".0",
    "half way between two doubles": "9007199254740993.0",
    "smallest double": "5e-324",
    "half of the smallest double": "2.4703282292062327208e-324",
    "many digits": "0." + "123456789" * 100,
    "capital exponent": "1E+5",
    "duplicate keys": '{"a": 1, "a": 2}',
    "duplicate keys of different types": '{"a": {}, "a": []}',
    "white space": " \t\n\r[ 1 , 2 ] ",
    "deep, within the limit": "[" * 300 + "]" * 300,
}
REFUSED = {
    "nothing": "",
    "white space only": "  ",
    "byte order mark": "\ufeff1",
    "leading zero": "01",
    "plus sign": "+1",
    "no digit before the point": ".5",
    "no digit after the point": "1.",
    "minus alone": "-",
    "lower case nan": "nan",
    "control character in a string": '"\x01"',
    "tab in a string": '"\t"',
    "unknown escape": r'"\x41"',
    "short escape": r'"\u12"',
    "escape that is no number": r'"\u12G4"',
    "single quotes": "'a'",
    "number as a key": "{1: 2}",
    "trailing comma in an array": "[1,]",
    "trailing comma in an object": '{"a": 1,}',
    "trailing text": "{}x",
    "comment": "/* */1",
    "form feed": "\x0c1",
    "no-break space": "\xa01",
    "digits of another script": "\u0661",
    "underscore": "1_0",
    "not closed": "[1",
    "4301 digits": "9" * 4301,
}


def by_reference(text: str) -> Any:
    return json.loads(text)


def accept(generation: Generation, text: str, *, raw: bool = False) -> Any:
    """What the value becomes as a part of a patch."""
    client, _server = pair(generation, raw_content=raw)
    event = feed(client, patch_frames(generation, text))
    assert isinstance(event, PatchReceived)
    content = event.message.content
    return (json.loads(bytes(content).decode("utf-8", "surrogatepass")) if raw else content)["events"]


def patch_frames(generation: Generation, text: str) -> list[str]:
    content = f'{{"events": {text}}}'
    if generation is Generation.V3:
        return ['{"msgid": "x", "msgtype": "PATCH-DOC"}', "{}", content]
    return [f'{{"header": {{"msgid": "x", "msgtype": "PATCH-DOC"}}, "content": {content}, "buffers": []}}']


@both_generations
@pytest.mark.parametrize("text", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted_with_the_same_meaning(generation: Generation, text: str) -> None:
    expected = by_reference(text)
    assert same(accept(generation, text), expected)
    assert same(accept(generation, text, raw=True), expected)


@both_generations
@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_refused(generation: Generation, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (the reference has many messages)
        by_reference(text)
    client, _server = pair(generation)
    assert isinstance(rejected(client, patch_frames(generation, text)), MalformedFrame)


@both_generations
def test_a_text_that_no_web_socket_can_carry_means_what_it_means_to_json(generation: Generation) -> None:
    assert accept(generation, '"\ud800"') == "\ud800"
    assert accept(generation, '"\ud800"', raw=True) == "\ud800"


@both_generations
def test_raw_content_does_not_look_at_the_size_of_numbers(generation: Generation) -> None:
    client, _server = pair(generation, raw_content=True)
    event = feed(client, patch_frames(generation, "9" * 4301))
    assert isinstance(event, PatchReceived)
    assert b"9" * 4301 in bytes(event.message.content)


@pytest.mark.parametrize("value", ['{"a":1}', '{"a":"\\ud800"}', '{"a":NaN}'])
def test_raw_content_has_no_white_space_around_it_whoever_reads_it(value: str) -> None:
    client, _server = pair(Generation.V3, raw_content=True)
    event = feed(client, ['{"msgid":"x","msgtype":"PATCH-DOC"}', "{}", f" \t\r\n{value}\n "])
    assert isinstance(event, PatchReceived)
    assert bytes(event.message.content).decode() == value


# Tokens that are numbers, or nearly.
number_like = st.text("0123456789-+.eE", min_size=1, max_size=30) | st.from_regex(
    r"\A-?(0|[1-9]\d{0,25})(\.\d{1,25})?([eE][-+]?\d{1,4})?\Z"
)
string_like = st.lists(
    st.sampled_from(
        [r"\ud83d", r"\ude00", r"\u0041", r"\n", r"\\", r"\"", "a", "é", "\U0001f600", r"\u", "\\", "\x1f", '"']
    )
).map(lambda parts: '"' + "".join(parts) + '"')


@given(
    strategies.generations, number_like | string_like | strategies.json_values.map(json.dumps) | st.text(max_size=20)
)
def test_any_value_is_taken_or_refused_as_by_json(generation: Generation, text: str) -> None:
    frames = patch_frames(generation, text)
    client, _server = pair(generation)
    try:
        message = by_reference(frames[-1])
        content = message if generation is Generation.V3 else message["content"]
        expected = content["events"]
    except ValueError:
        rejected(client, frames)
        return
    event = feed(client, frames)
    assert isinstance(event, PatchReceived)
    assert same(event.message.content["events"], expected)


@both_generations
@pytest.mark.parametrize("depth", [600, 5_000, 200_000])
@pytest.mark.parametrize("limits", [Limits(), Limits(max_depth=None)], ids=["limited", "unlimited"])
def test_deep_nesting_ends_in_a_documented_error(generation: Generation, depth: int, limits: Limits) -> None:
    client, _server = pair(generation, limits=limits)
    frames = patch_frames(generation, "[" * depth + "]" * depth)
    try:
        by_reference(frames[-1])
        reference_follows = True
    except RecursionError:
        reference_follows = False
    if limits.max_depth is not None:
        error = rejected(client, frames)
        assert isinstance(error, LimitExceeded)
        assert (error.limit, error.maximum, error.parameter) == ("nesting depth", 512, "max_depth")
        assert error.value == depth + (1 if generation is Generation.V3 else 2)
        assert error.close_code == 1008
    elif reference_follows:
        assert isinstance(feed(client, frames), PatchReceived)
    else:
        assert "recursion" in str(rejected(client, frames))


def test_a_deep_stack_ends_in_a_documented_error() -> None:
    client, _server = pair(Generation.V3)
    *first, content = patch_frames(Generation.V3, "[" * 500 + "]" * 500)
    for frame in first:
        client.receive_frame(frame)

    def descend(levels: int) -> None:
        if levels:
            descend(levels - 1)
        else:
            client.receive_frame(content)

    limit = sys.getrecursionlimit()
    if sys.version_info >= (3, 12):
        descend(limit // 2)  # C code has a limit of its own there, which no Python frame uses up
    else:
        with pytest.raises(MalformedFrame, match="recursion"):
            descend(limit // 2)


ENCODED = {
    "lone surrogate": ("\ud800", r'"\ud800"'),
    "over 64 bits": (2**64, "18446744073709551616"),
    "over 64 bits, next to null": ([2**70, None], "[1180591620717411303424,null]"),
    "null in a string": ("null", '"null"'),
    "None": (None, "null"),
    "a large double next to null": ([1.7e308, None], "[1.7e308,null]"),
    "bool as a key": ({True: 1}, '{"true":1}'),
    "tuple": ((1, 2), "[1,2]"),
    "Raw": (msgspec.Raw(b'{"a":null}'), '{"a":null}'),
    "Raw next to a lone surrogate": ([msgspec.Raw(b'{"a":null}'), "\udc00"], '[{"a":null},"\\udc00"]'),
    "str of a subclass": (type("Name", (str,), {})("x"), '"x"'),
}


@pytest.mark.parametrize(("value", "text"), ENCODED.values(), ids=ENCODED)
def test_encoded(value: Any, text: str) -> None:
    client, _server = pair(Generation.V3)
    assert client.patch_doc({"events": value}).frames[-1] == f'{{"events":{text}}}'


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]
    return value


NOT_ENCODED: dict[str, Callable[[], Any]] = {
    "NaN": lambda: float("nan"),
    "minus NaN": lambda: -float("nan"),
    "Infinity": lambda: float("inf"),
    "-Infinity": lambda: -float("inf"),
    "NaN in a list": lambda: [1.0, float("nan")],
    "NaN between nulls": lambda: [None, {"a": [None, float("nan"), None]}, None],
    "NaN next to Raw": lambda: [msgspec.Raw(b"1"), float("nan")],
    "NaN next to a lone surrogate": lambda: ["\ud800", float("nan")],
    "NaN of a subclass": lambda: type("Number", (float,), {})("nan"),
    "object": object,
    "complex": lambda: 1j,
    "Raw that is no JSON, next to a lone surrogate": lambda: ["\ud800", msgspec.Raw(b"{")],
    "cycle": cyclic,
    "too deep": deep,
    "a key that is no str": lambda: {(1,): 2},
}


@both_generations
@pytest.mark.parametrize("make", NOT_ENCODED.values(), ids=NOT_ENCODED)
def test_not_encoded(generation: Generation, make: Callable[[], Any]) -> None:
    client, server = pair(generation)
    with pytest.raises(InvalidContent, match="JSON"):
        client.patch_doc({"events": make()})
    with pytest.raises(InvalidContent):
        server.patch_doc({"events": make()})
    assert client.pending == {}
    assert isinstance(feed(client, server.patch_doc({"events": []}).frames), PatchReceived)


@given(strategies.generations, strategies.json_values)
def test_what_is_written_reads_as_what_bokeh_would_write(generation: Generation, value: Any) -> None:
    server = Connection(Role.SERVER, generation=generation)
    server.ack()
    text = server.patch_doc({"events": value}).frames[-1 if generation is Generation.V3 else 0]
    written = json.loads(str(text))
    content = written if generation is Generation.V3 else written["content"]
    assert same(content["events"], json.loads(json.dumps(value, allow_nan=False)))
