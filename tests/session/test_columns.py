"""Rows and patches are sent as they are, unless something else has been done to the columns before they are told."""

from __future__ import annotations

import json
from copy import copy
from typing import Any

import numpy as np
import pytest

from bokehwire.protocol import Ok

from .scripted import Scripted

WHEN = np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[ms]")
COLUMNS: dict[str, tuple[Any, Any]] = {
    "values": ([1, 2], [3, 4]),
    "texts": (["a", "b"], ["c", "d"]),
    "equal rows": ([0, 0], [0, 0]),
    "cells of arrays": ([np.zeros(2), np.zeros(2)], [np.zeros(2), np.ones(2)]),
    "an array": (np.array([1, 2]), np.array([3, 4])),
    "a list to an array": (np.array([1, 2]), [3, 4]),
    "fractions to an array of integers": (np.array([1, 2]), [1.5, 2.5]),
    "what is no number": (np.array([1.0, np.nan]), [np.nan, np.inf]),
    "longer texts to an array": (np.array(["a", "b"]), ["longer", "text"]),
    "an array to a list": ([1, 2], np.array([3, 4])),
    "dates": (WHEN, WHEN),
    "objects": (np.array([None, "x"], dtype=object), ["y", None]),
    "an empty array": (np.array([]), [3, 4]),
}


def kinds(script: Scripted) -> list[str]:
    return [json.loads(bytes(request.content))["kind"] for request in script.posted[1:]]


@pytest.mark.parametrize("rollover", [None, 3, 1])
@pytest.mark.parametrize(("column", "rows"), COLUMNS.values(), ids=COLUMNS)
def test_rows_are_sent_as_rows(column: Any, rows: Any, rollover: int | None) -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.source.data = {"x": column}
    for _ in range(3):
        script.source.stream({"x": copy(rows)}, rollover)
    assert kinds(script) == ["ColumnDataChanged", *["ColumnsStreamed"] * 3]
    assert not script.engine._conflicts.has_doubts


def test_what_leaves_columns_as_they_are_is_sent_all_the_same() -> None:
    """Another viewer may have changed them meanwhile, of which nobody has heard here; or the app counts."""
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.source.data = {"x": [0, 0]}
    script.source.stream({"x": [0]}, 2)
    script.source.patch({"x": [(1, 0)]})
    script.source.stream({"x": [0]}, 2)
    assert kinds(script) == ["ColumnDataChanged", "ColumnsStreamed", "ColumnsPatched", "ColumnsStreamed"]


def test_rows_that_push_others_out_behind_a_push() -> None:
    script = Scripted()
    script.source.stream({"x": [1], "y": [1]}, 1)
    assert kinds(script) == ["ColumnsStreamed"]


def test_a_held_patch_of_an_array_is_in_doubt() -> None:
    """What the array has made of it, and what other changes that are held, nobody can tell any more."""
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.source.data = {"x": np.array([1, 2])}
    script.document.hold()
    script.source.patch({"x": [(0, 1.5)]})
    assert not script.engine._conflicts.has_doubts
    script.document.unhold()
    assert kinds(script) == ["ColumnDataChanged", "ColumnsPatched"]
    assert script.engine._conflicts.has_doubts


PATCHES: dict[str, tuple[Any, list[Any]]] = {
    "a value": ([1, 2, 3], [(1, 5)]),
    "a slice": ([1, 2, 3], [(slice(0, 2), [5, 6])]),
    "several": ([1, 2, 3], [(0, 5), (slice(1, 3), [6, 7])]),
    "an array": (np.array([1, 2, 3]), [(1, 5)]),
    "a slice of an array": (np.array([1, 2, 3]), [(slice(0, 2), [5, 6])]),
    "a fraction in an array of integers": (np.array([1, 2, 3]), [(1, 1.5)]),
    "what is no number": (np.array([1.0, 2.0]), [(1, float("nan"))]),
    "a part of a cell": ([np.zeros(3), np.zeros(3)], [((1, slice(0, 2)), [5, 6])]),
}


@pytest.mark.parametrize(("column", "patches"), PATCHES.values(), ids=PATCHES)
def test_patches_are_sent_as_patches(column: Any, patches: list[Any]) -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.source.data = {"x": column}
    script.source.patch({"x": patches})
    assert kinds(script) == ["ColumnDataChanged", "ColumnsPatched"]
    assert not script.engine._conflicts.has_doubts


def test_columns_of_different_lengths_are_not_sent_whole() -> None:
    """Another thread may just be adding to one after the other, and tells of its rows later."""
    script = Scripted()
    script.answer(Ok("s", "r"))
    columns: Any = script.source.data

    def add(attr: str, old: object, new: object) -> None:
        columns["x"].append(9)

    script.source.on_change("data", add)
    script.source.stream({"x": [1], "y": [1]})
    assert kinds(script) == ["ColumnsStreamed"]
    assert script.engine._conflicts.has_doubts


def test_rows_of_a_column_that_is_gone_by_the_time_they_are_told_of() -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    columns: Any = script.source.data
    script.source.on_change("data", lambda attr, old, new: columns.pop("y", None))
    script.source.stream({"x": [1], "y": [1]})
    assert kinds(script) == ["ModelChanged", "ColumnDataChanged"]
    assert json.loads(bytes(script.posted[-1].content))["data"] == {"type": "map", "entries": [["x", [0, 1]]]}


def test_rows_that_are_the_column_and_have_what_a_handler_has_streamed() -> None:
    """Of an empty array Bokeh makes the list of rows itself, which grows. All columns are sent, so none comes twice."""
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.source.data = {"x": np.array([])}

    def follow_up(attr: str, old: object, new: Any) -> None:
        if len(new["x"]) == 1:
            script.source.stream({"x": [2]})

    script.source.on_change("data", follow_up)
    script.source.stream({"x": [1]})
    assert kinds(script) == ["ColumnDataChanged", "ColumnsStreamed", "ColumnDataChanged"]
    assert json.loads(bytes(script.posted[-1].content))["data"]["entries"] == [["x", [1, 2]]]


def test_one_list_of_rows_that_is_streamed_to_an_empty_array_and_then_again() -> None:
    """It is the column by then, which Bokeh extends by itself: four rows, of which the server has two."""
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.source.data = {"x": np.array([])}
    rows = [1, 2]
    script.source.stream({"x": rows})
    script.source.stream({"x": rows})
    assert kinds(script) == ["ColumnDataChanged", "ColumnsStreamed", "ColumnDataChanged"]
    assert json.loads(bytes(script.posted[-1].content))["data"]["entries"] == [["x", [1, 2, 1, 2]]]
