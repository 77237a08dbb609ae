"""After how many changes of columns the others give what is here: told as trying each number would tell it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bokehwire import ChangesInDoubt
from bokehwire.protocol import Ok
from bokehwire.session import replaying
from bokehwire.session.replaying import Columns, column_counts, replayed, shows_columns
from bokehwire.session.requests import Answered, Doubted

from .scripted import Scripted

NAMES = ("x", "y")
values = st.integers(0, 1)


@st.composite
def streams(draw: st.DrawFn, rollovers: st.SearchStrategy[int | None]) -> dict[str, Any]:
    count = draw(st.integers(0, 2))
    rows = st.lists(values, min_size=count, max_size=count)
    return {
        "kind": "ColumnsStreamed",
        "data": {name: draw(rows) for name in NAMES},
        "rollover": draw(rollovers),
    }


@st.composite
def patches(draw: st.DrawFn, length: int) -> dict[str, Any]:
    def some() -> tuple[Any, Any]:
        start = draw(st.integers(0, length - 1))
        if draw(st.booleans()):
            return start, draw(values)
        stop = draw(st.integers(start, length))
        return slice(start, stop), draw(st.lists(values, min_size=stop - start, max_size=stop - start))

    names = draw(st.sets(st.sampled_from(NAMES)))
    return {
        "kind": "ColumnsPatched",
        "patches": {name: [some() for _ in range(draw(st.integers(1, 2)))] for name in names},
    }


@st.composite
def situations(draw: st.DrawFn) -> tuple[Columns, list[dict[str, Any]], list[dict[str, Any]], Columns]:
    """What the server has, changes in question and after them, and what is here, mostly what all of them lead to."""
    length = draw(st.integers(1, 3))
    rows = st.lists(values, min_size=length, max_size=length)
    before: Columns = {name: draw(rows) for name in NAMES}
    rollover = draw(st.sampled_from([None, 0, 1, 2, 4]))
    kind = draw(st.sampled_from(["streams", "other rollovers", "patches", "both"]))
    if kind == "streams":
        change: st.SearchStrategy[dict[str, Any]] = streams(st.just(rollover))
    elif kind == "other rollovers":
        change = streams(st.sampled_from([None, 0, 2, 3]))
    elif kind == "patches":
        change = patches(length)
    else:
        change = patches(length) | streams(st.none())
    changes = draw(st.lists(change, min_size=1, max_size=5))
    asked = draw(st.integers(1, len(changes)))
    there, here = copied(before), copied(before)
    for number, event in enumerate(changes):
        here = replaying._with_columns(here, event)
        if number < draw(st.integers(0, asked)):
            there = replaying._with_columns(there, event)
    if draw(st.booleans()):
        there = {name: draw(rows) for name in NAMES}  # as when somebody else has changed it
    return there, changes[:asked], changes[asked:], here


def copied(columns: Columns) -> Columns:
    return {name: [*column] for name, column in columns.items()}


@given(situations())
def test_it_is_told_as_by_trying(
    situation: tuple[Columns, list[dict[str, Any]], list[dict[str, Any]], Columns],
) -> None:
    there, events, later, here = situation
    expected = replayed(there, events, later, here, copied, replaying._with_columns, shows_columns)
    assert column_counts(there, events, later, here) == expected
    assert column_counts(there, events, later, {**here, "z": [1]}) == frozenset()
    shown = {count for count, event in enumerate(events, 1) if shows_columns(there, event)}
    assert column_counts(there, events, later, None) == shown | ({0} if shown else set())


MANY = 40


@pytest.mark.parametrize(
    "change",
    [
        lambda source, number: source.stream({"x": [number], "y": [0]}, 200),
        lambda source, number: source.stream({"x": [0], "y": [0]}, 200),
        lambda source, number: source.patch({"x": [(number, 1)]}),
        lambda source, number: source.patch({"x": [(slice(number, number + 2), [1, 1])]}),
    ],
    ids=["rows", "equal rows", "places", "slices"],
)
def test_many_changes_are_not_tried_one_after_the_other(
    change: Callable[[Any, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = with_columns({"x": [0] * 100, "y": [0] * 100})
    apply = Mock(wraps=replaying._with_columns)
    monkeypatch.setattr(replaying, "_with_columns", apply)
    for number in range(MANY):
        change(script.source, number)
    there = script.contents()
    for number in range(MANY, 2 * MANY):
        change(script.source, number)
    assert missing(script, there) == MANY
    assert not apply.called


DATES = [datetime.datetime(2024, 2, day) for day in range(1, 7)]
ROWS: dict[str, list[Any]] = {
    "datetimes": DATES,
    "dates": [moment.date() for moment in DATES],
    "timestamps": [pd.Timestamp(moment) for moment in DATES],
    "datetime64": [np.datetime64(moment) for moment in DATES],
    "durations": [datetime.timedelta(days) for days in range(1, 7)],
    "floats": [0.5, float("nan"), 1.0, float("inf"), 2.5, 3.5],
    "texts": ["a", "b", "c", "d", "e", "f"],
    "images": [np.full((2, 2), number) for number in range(6)],
}


@pytest.mark.parametrize("kind", ["stream", "patch", "data"])
@pytest.mark.parametrize("arrived", [0, 1, 2, 3])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_what_has_arrived_is_told_of_values_of_every_kind(rows: list[Any], arrived: int, kind: str) -> None:
    script = with_columns({"x": rows[:3]})
    there = script.contents()
    for number, row in enumerate(rows[3:]):
        if kind == "stream":
            script.source.stream({"x": [row]})
        elif kind == "patch":
            script.source.patch({"x": [(number, row)]})
        else:
            script.source.data = {"x": [*rows[: number + 1], row]}
        if number + 1 == arrived:
            there = script.contents()
    assert missing(script, there) == 3 - arrived


def test_patches_inside_of_images_are_told_too() -> None:
    script = with_columns({"x": [np.zeros((3, 3)), np.zeros((3, 3))]})
    script.source.patch({"x": [((0, 1, 1), 5)]})
    script.source.patch({"x": [((1, slice(None), 0), np.ones(3))]})
    there = script.contents()
    script.source.patch({"x": [((0, slice(0, 2), slice(0, 2)), np.full(4, 7))]})
    assert missing(script, there) == 1


@pytest.mark.parametrize("arrived", [0, 1, 2])
def test_rows_that_push_others_of_the_same_stream_out(arrived: int) -> None:
    script = with_columns({"x": [0, 0]})
    there = script.contents()
    for number in range(2):
        script.source.stream({"x": [f"{number}{row}" for row in "abc"]}, 2)
        if number + 1 == arrived:
            there = script.contents()
    assert missing(script, there) == 2 - arrived


def replace_column(source: Any, number: int) -> None:
    source.data["x"] = [number] * len(source.data["x"])


def replace(source: Any, number: int) -> None:
    source.data = {"x": [number, number], "y": [number, number]}


def stream(source: Any, number: int) -> None:
    source.stream({"x": [number], "y": [number]})


def patch(source: Any, number: int) -> None:
    source.patch({"x": [(0, number)]})


@pytest.mark.parametrize("second", [replace_column, replace, stream, patch])
@pytest.mark.parametrize("first", [replace_column, replace, stream, patch])
@pytest.mark.parametrize("arrived", [0, 1, 2])
def test_changes_of_different_kinds(
    first: Callable[[Any, int], None], second: Callable[[Any, int], None], arrived: int
) -> None:
    script = with_columns({"x": [0, 0], "y": [0, 0]})
    states = [script.contents()]
    for number, change in enumerate((first, second), 1):
        change(script.source, number)
        states.append(script.contents())
    assert missing(script, states[arrived]) == 2 - arrived


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("second", [replace_column, replace])
@pytest.mark.parametrize("first", [stream, patch])
def test_rows_that_a_change_behind_them_has_replaced_are_not_missed(
    first: Callable[[Any, int], None], second: Callable[[Any, int], None], dropped: bool
) -> None:
    """Made without a connection, in which the server may have taken anything out: its OK is no proof."""
    script = with_columns({"x": [0, 0], "y": [0, 0]})
    script.lose()
    before = script.contents()
    first(script.source, 1)
    second(script.source, 2)
    changes = tuple(script.posted)
    script.reconnect()
    script.answer(Ok("s", "r"))
    script.answer(before)
    script.engine.handle(Doubted(changes, Ok("s", "r")))
    script.answer(before if dropped else script.contents())
    assert script.troubles == []
    again = script.resumed[-1][0]
    assert [request for group in again for request in group] == [*(changes if dropped else ())]


@pytest.mark.parametrize(
    ("value", "arrived", "expected"), [(1, False, 2), (1, True, 0), (2, False, 3), (2, True, 1)], ids=str
)
def test_changes_that_lead_back_do_not_speak_for_one_between_them(value: int, arrived: bool, expected: int) -> None:
    script = with_columns({"x": [1, 1]})
    before = script.contents()
    script.source.patch({"x": [(0, value)]})
    script.document.title = "changed"
    after = script.contents()
    script.source.patch({"x": [(0, 1)]})
    assert missing(script, after if arrived else before) == expected


REPLACEMENTS: dict[str, Callable[[Any], object]] = {
    "all": lambda source: setattr(source, "data", {"x": ["r"]}),
    "a column": lambda source: source.data.__setitem__("x", ["r"]),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("replace", REPLACEMENTS.values(), ids=REPLACEMENTS)
def test_a_replacement_is_sent_again_where_the_server_has_what_was_before(
    replace: Callable[[Any], object], streamed: bool
) -> None:
    script = with_columns({"x": ["a"]})
    before = script.contents()
    if streamed:
        script.source.stream({"x": ["A"]})
    replace(script.source)
    script.source.stream({"x": ["later"]})
    assert missing(script, before) == 2 + streamed


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("replace", REPLACEMENTS.values(), ids=REPLACEMENTS)
def test_a_replacement_is_not_sent_again_over_what_another_viewer_has_added(
    replace: Callable[[Any], object], streamed: bool
) -> None:
    """On top of anything, it would give what is here."""
    script = with_columns({"x": ["a"]})
    if streamed:
        script.source.stream({"x": ["A"]})
    replace(script.source)
    script.doubted = tuple(script.posted)
    there = script.contents()
    (columns,) = (
        root["attributes"]["data"] for root in there.content["doc"]["roots"] if root["name"] == "ColumnDataSource"
    )
    columns["entries"][0][1].append("of another viewer")
    script.come_back(there)
    assert [type(trouble) for trouble in script.troubles] == [ChangesInDoubt]
    assert script.resumed[-1][0] == ()
    assert list(script.source.data["x"]) == ["r", "of another viewer"]


def with_columns(data: dict[str, Any]) -> Scripted:
    """A session whose source has these columns, all that was before being answered."""
    script = Scripted()
    script.source.data = data
    script.engine.handle(Answered(tuple(script.posted), Ok("s", "r")))
    script.posted.clear()
    return script


def missing(script: Scripted, there: Any) -> int:
    """How many of the last changes the engine sends again when the server turns out to have this; it names none."""
    script.doubted = tuple(script.posted)
    script.come_back(there)
    again, doubted, _ = script.resumed[-1]
    assert script.troubles == []
    assert doubted == script.doubted
    sent = [request for group in again for request in group]
    assert sent == list(script.doubted[len(script.doubted) - len(sent) :])
    return len(sent)
