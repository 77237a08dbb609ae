"""After how many of some changes the others, on top of what the server has, give what is here.

To try each number takes as long as the square of the changes, and hundreds may travel together. Where they are all
streams, or all patches, what the last ones leave can be told without that.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

__all__ = ["Columns", "column_counts", "contains", "lists", "replayed", "shows_columns"]

T = TypeVar("T")
Event = dict[str, Any]

Columns = dict[str, list[Any]]
"""Columns as lists of plain values."""

_REPLACED = ("ColumnDataChanged", "ModelChanged")
_STREAMED, _PATCHED = "ColumnsStreamed", "ColumnsPatched"


def replayed(
    theirs: T,
    events: Sequence[Event],
    later: Sequence[Event],
    here: T | None,
    copy: Callable[[T], T],
    apply: Callable[[T, Event], T],
    shows: Callable[[T, Event], bool],
    numbers: Iterable[int] | None = None,
) -> frozenset[int]:
    """Find after how many changes the others on top of the server's value give ours, by trying.

    Args:
        theirs: The server's value.
        events: The changes in question; what one has replaced, as far as it is known, is its "before".
        later: Those made after them, likewise.
        here: The value here, which has all changes; None if it has not. Then what shows may have been applied.
        copy: Copies a value.
        apply: Applies a change to a value, which it may alter: of many changes, each a copy would take too long.
        shows: Says whether a value is as it is right after a change.
        numbers: The numbers to try; None tries all.
    """
    found = set()
    for count in range(len(events) + 1) if numbers is None else numbers:
        try:
            if count and not shows(theirs, events[count - 1]):
                continue
        except (KeyError, ValueError, TypeError, IndexError):
            continue  # it does not fit: the server has refused it
        rest, goal = [*events[count:], *later], here
        # On top of anything, a replacement gives what is here. That it is still to come, what it has replaced tells.
        replacement = next((number for number, event in enumerate(rest) if "before" in event), None)
        if replacement is not None:
            rest, goal = rest[:replacement], rest[replacement]["before"]
        if goal is None:
            if count:
                found |= {0, count}  # somebody else may have made the same, which other changes tell
            continue
        value = copy(theirs)
        for event in rest[_last_replacement(rest) :]:
            value = apply(value, event)
        # What is before a replacement may have been made behind it, and told of first.
        if value == goal or (replacement is not None and theirs == goal):
            found.add(count)
    return frozenset(found)


def _last_replacement(events: Sequence[Event]) -> int:
    """Give the place of the last change that replaces columns: what comes before it need not even fit."""
    return next((n for n in range(len(events) - 1, 0, -1) if events[n]["kind"] in _REPLACED), 0)


def column_counts(
    theirs: Columns, events: Sequence[Event], later: Sequence[Event], here: Columns | None
) -> frozenset[int]:
    """Do the same as `replayed` for changes of columns, in less time.

    Args:
        theirs: The server's columns.
        events: The changes in question, with decoded values.
        later: Those made after them.
        here: The columns here; None if they have not all changes.

    Raises:
        KeyError, ValueError, TypeError, IndexError: The changes do not fit the server's columns.
    """
    if here is None:
        return replayed(theirs, events, later, here, _copied, _with_columns, shows_columns)
    changes = [*events, *later]
    kinds = {event["kind"] for event in changes}
    rollovers = {event["rollover"] for event in changes if event["kind"] == _STREAMED}
    if kinds == {_STREAMED} and len(rollovers) == 1:
        return _streamed_counts(theirs, changes, here, len(events), rollovers.pop())
    if kinds == {_PATCHED} and not any(_is_nested(event) for event in changes):
        return _patched_counts(theirs, changes, here, len(events))
    fits = kinds <= {_STREAMED, _PATCHED} and rollovers <= {None}
    numbers = _fitting(theirs, changes, here, len(events)) if here and fits else None
    return replayed(theirs, events, later, here, _copied, _with_columns, shows_columns, numbers)


def _streamed_counts(
    theirs: Columns, changes: Sequence[Event], here: Columns, asked: int, rollover: int | None
) -> frozenset[int]:
    """Of streams with one rollover only what the last of them leave counts, whenever the first rows were cut off."""
    if theirs.keys() != here.keys():
        return frozenset()
    possible = set(range(asked + 1))
    for name, column in here.items():
        there = theirs[name]
        streamed = [_plain_list(event["data"][name]) for event in changes]
        rows = [*itertools.chain.from_iterable(streamed)]
        gone = 0
        for count in range(asked + 1):
            if count:
                gone += len(streamed[count - 1])
            if count not in possible:
                continue
            total = len(there) + len(rows) - gone
            length = min(total, rollover) if rollover is not None and count < len(changes) else total
            new = min(len(rows) - gone, length)
            if (
                length != len(column)
                or (count and not _ends_with(there, streamed[count - 1]))
                or column[length - new :] != rows[len(rows) - new :]
                or column[: length - new] != there[len(there) - (length - new) :]
            ):
                possible.discard(count)
    return frozenset(possible)


def _patched_counts(theirs: Columns, changes: Sequence[Event], here: Columns, asked: int) -> frozenset[int]:
    """A place that changes have patched is as the last of them has left it, any other as the server has it."""
    if theirs.keys() != here.keys():
        return frozenset()
    least, most = 0, asked
    shown = set(range(asked + 1))
    for name, column in here.items():
        there = theirs[name]
        if len(there) != len(column):
            return frozenset()
        last: dict[int, tuple[int, Any]] = {}  # by place: which change has patched it, and to what
        for number, event in enumerate(changes):
            patched = dict(_places(event, name, len(column)))
            last.update((place, (number, value)) for place, value in patched.items())
            if any(there[place] != value for place, value in patched.items()):
                shown.discard(number + 1)
        for place, (ours, server) in enumerate(zip(column, there, strict=True)):
            if place in last:
                number, value = last[place]
                if ours != value:  # so this change is not one of those that are still to be applied
                    least = max(least, number + 1)
                if ours != server:  # and this one is
                    most = min(most, number)
            elif ours != server:
                return frozenset()
    return frozenset(shown.intersection(range(least, most + 1)))


def _places(event: Event, name: str, length: int) -> Iterator[tuple[int, Any]]:
    for where, what in event["patches"].get(name, ()):
        if isinstance(where, slice):
            yield from zip(range(*where.indices(length)), _plain_list(what), strict=True)
        elif where < length:
            yield where, _plain(what)
        else:
            raise IndexError(where)


def _is_nested(event: Event) -> bool:
    return any(not isinstance(where, int | slice) for patch in event["patches"].values() for where, _ in patch)


def _fitting(theirs: Columns, changes: Sequence[Event], here: Columns, asked: int) -> list[int]:
    """Give the numbers of changes after which the others make columns as long as ours."""
    name = next(iter(here))
    rows = [len(event["data"][name]) if event["kind"] == _STREAMED else 0 for event in changes]
    surplus = len(theirs[name]) + sum(rows) - len(here[name])
    before = itertools.accumulate(rows, initial=0)
    return [count for count, gone in zip(range(asked + 1), before, strict=False) if gone == surplus]


def lists(columns: Any) -> Columns:
    """Give columns as lists of plain values, which compare; a NaN equals itself there, as it does for this purpose.

    Args:
        columns: Columns of Bokeh's.
    """
    return {str(name): _plain_list(column) for name, column in columns.items()}


def _plain_list(column: Any) -> list[Any]:
    return [_plain(value) for value in column]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        # An array of floats makes 1.0 of a 1 that is added to it.
        return int(value) if value.is_integer() else repr(value)
    return _plain_list(value) if isinstance(value, list | tuple) else value


def _copied(columns: Columns) -> Columns:
    return {name: [*column] for name, column in columns.items()}


def _with_columns(columns: Columns, event: Event) -> Columns:
    match event["kind"]:
        case "ColumnsStreamed":
            rows, rollover = lists(event["data"]), event["rollover"]
            for name, column in columns.items():
                column += rows[name]
                if rollover is not None:
                    del column[: max(0, len(column) - rollover)]
            return columns
        case "ColumnsPatched":
            for name, column in columns.items():
                _patch(column, event["patches"].get(name, ()))
            return columns
        case _:
            return lists(event["data"] if "data" in event else event["new"])


def _patch(column: list[Any], patches: Sequence[Any]) -> None:
    for where, what in patches:
        if isinstance(where, slice):
            column[where] = _plain_list(what)
        elif isinstance(where, int):
            column[where] = _plain(what)
        else:
            first, *inner = where
            cell = np.array(column[first], dtype=object)
            place = tuple(inner)
            cell[place] = np.array(_plain(what), dtype=object).reshape(np.shape(cell[place]))
            column[first] = cell.tolist()


def shows_columns(columns: Columns, event: Event) -> bool:
    """Say whether columns are as they are right after a change.

    Args:
        columns: The columns.
        event: The change, with decoded values.
    """
    match event["kind"]:
        case "ColumnsStreamed":
            rows = lists(event["data"])
            return all(_ends_with(column, rows[name]) for name, column in columns.items())
        case "ColumnsPatched":
            patched = {name: [*columns[name]] for name in event["patches"] if name in columns}
            return _with_columns(patched, event) == {name: columns[name] for name in patched}
        case _:
            return _with_columns({}, event) == columns


def contains(column: list[Any], rows: list[Any]) -> bool:
    """Say whether rows are anywhere in a column, one behind the other.

    Args:
        column: The column.
        rows: The rows.
    """
    return any(column[start : start + len(rows)] == rows for start in range(len(column) - len(rows) + 1))


def _ends_with(column: list[Any], rows: list[Any]) -> bool:
    kept = rows[-len(column) :] if column else []  # a rollover may have cut off the first of them
    return column[len(column) - len(kept) :] == kept
