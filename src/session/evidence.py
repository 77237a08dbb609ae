"""Which of several changes the server has applied, told from its document, when its answer leaves that open.

A server that applies a message of several events applies none of them, all, or those before one (`apply_json_patch` of
3.9.2, 3.10.2 and 4.0.0.dev8). So there is one number to find. What is not contested by a change of the server itself
has, in the server's document, the value that one of our changes gave it; and what the server has, with those of our
changes on top that it has not applied, is what we have.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
import numpy as np
from bokeh.core.serialization import Deserializer, Serializer

from ..protocol import Buffer
from .changes import ROOTS, TITLE
from .encoding import to_bokeh
from .wire_objects import comparable, decoded

if TYPE_CHECKING:
    from bokeh.document import Document

    from .conflicts import Conflicts
    from .requests import Group, Key, Request
    from .rereading import Snapshot

__all__ = ["Evidence", "applied"]

_DATA_KINDS = ("ColumnDataChanged", "ColumnsStreamed", "ColumnsPatched")
Columns = dict[str, list[Any]]
T = TypeVar("T")


class Evidence:
    """What the server's document tells about changes of ours.

    Args:
        document: The document here, which has all of our changes.
        conflicts: Knows what is contested, and which changes are unanswered.
        snapshot: The server's document.
        buffers: The buffers that it refers to.

    Attributes:
        document: The document here.
    """

    def __init__(self, document: Document, conflicts: Conflicts, snapshot: Snapshot, buffers: Sequence[Buffer]) -> None:
        self.document = document
        self._conflicts = conflicts
        self._snapshot = snapshot
        self._buffers = tuple(buffers)

    def counts(self, key: Key, ours: Sequence[Request], *, repeating: bool) -> frozenset[int]:
        """Say how many of the first changes of one property may have been applied.

        Args:
            key: The property.
            ours: The changes of it in question, in order.
            repeating: Whether new columns may be the same as those before, which Bokeh takes for a change as well.

        Returns:
            The possible numbers; all of them where nobody can tell.
        """
        everything = frozenset(range(len(ours) + 1))
        if self._conflicts.is_contested(key) or not self._snapshot.can_show(key):
            return everything
        try:
            return self._counts(key, ours, repeating) or everything
        except (KeyError, ValueError, TypeError, IndexError, AttributeError):
            return everything  # the server's own change has made it something that these do not fit

    def unclear(self, requests: Sequence[Request]) -> Group:
        """Give those of some changes, which may all have been dropped with an OK, that may be lost.

        What was dropped shows where it would have added something. Where it would have replaced what the server has
        changed as well, that counts in either case.

        Args:
            requests: The changes.
        """
        return tuple(
            request
            for request in requests
            if self._snapshot.can_show(request.key) and not request.replaces and not self._is_there(request)
        )

    def _is_there(self, request: Request) -> bool:
        """Say whether the server has what a change adds, or has not what it removes."""
        event = _decoded_event(request)
        if request.key == ROOTS:
            return _shows_root(self._snapshot.root_ids, event)
        try:
            columns = _lists(_decoded(self._snapshot.attribute(cast(Any, request.key)), self._buffers))
            if event["kind"] != "ColumnsStreamed":
                return _shows_columns(columns, event)
            rows = _lists(event["data"])
            return all(_contains(column, rows[name]) for name, column in columns.items())
        except (KeyError, ValueError, TypeError, IndexError, AttributeError):
            return False  # the server's own change has made it something that this does not fit

    def _counts(self, key: Key, ours: Sequence[Request], repeating: bool) -> frozenset[int]:
        events = [decoded(request.content) for request in ours]
        if key == ROOTS:
            here = [str(root.id) for root in self.document.roots]
            later = [decoded(request.content) for request in self._after(key, ours)]
            found = _replayed(self._snapshot.root_ids, events, later, here, list, _with_root, _shows_root)
            return found if repeating else _latest(found)
        if any(event["kind"] in _DATA_KINDS for event in events):
            return self._column_counts(key, ours, repeating)
        theirs = comparable(self._server_value(key), self._buffers)
        values = [
            event["title"] if key == TITLE else comparable(event["new"], request.buffers)
            for event, request in zip(events, ours, strict=True)
        ]
        matching = {count for count, value in enumerate(values, 1) if value == theirs}
        if self._comparable_before(ours[0]) == theirs:
            matching.add(0)
        # Where the server has neither, it has made something else of it, and has not told, as where a callback raises.
        return frozenset(matching)

    def _comparable_before(self, request: Request) -> Any:
        """Give what the server had before a change, in a form that compares; UNSET where nobody knows."""
        before = request.before
        if before is None:
            return msgspec.UNSET
        if before.buffers is not None:
            return comparable(before.value, before.buffers)
        return comparable(self._encoded(before.value), ())

    def _encoded(self, value: Any) -> Any:
        return Serializer(references=set(self.document.models), deferred=False).encode(value)

    def _server_value(self, key: Key) -> Any:
        if key == TITLE:
            return self._snapshot.title
        value = self._snapshot.attribute(key)
        if value is msgspec.UNSET:
            model = self.document.models[cast(Any, key[0])]
            default = model.lookup(key[1]).instance_default(model)
            return self._encoded(default)
        return value

    def _after(self, key: Key, ours: Sequence[Request]) -> Group:
        """Give the unanswered changes of a property that come after those in question."""
        return tuple(request for request in self._conflicts.unanswered(key) if request not in ours)

    def _column_counts(self, key: Key, ours: Sequence[Request], repeating: bool) -> frozenset[int]:
        model = self.document.models[cast(Any, key[0])]
        here = _lists(getattr(model, key[1]))
        theirs = _lists(_decoded(self._snapshot.attribute(key), self._buffers))
        events = [_decoded_event(request) for request in ours]
        later = [_decoded_event(request) for request in self._after(key, ours)]
        numbers = _fitting(theirs, events, later, here)
        found = _replayed(theirs, events, later, here, _copied, _with_columns, _shows_columns, numbers)
        return found if repeating else _latest(found)


def applied(group: Group, evidence: Evidence, *, whole: bool, repeating: bool = False) -> tuple[int, int]:
    """Say how many of the changes of one message the server has applied.

    Args:
        group: The changes.
        evidence: What the server's document tells.
        whole: Whether it has applied either all or none.
        repeating: Whether a replacement of columns by the same ones is to be told from its absence.

    Returns:
        How many it has applied for certain, and how many at the most.
    """
    by_key: dict[Key, list[int]] = {}
    for index, request in enumerate(group):
        if request.key is not None and not request.implied:
            by_key.setdefault(request.key, []).append(index)
    possible = {0, len(group)} if whole else set(range(len(group) + 1))
    for key, indices in by_key.items():
        counts = evidence.counts(key, [group[index] for index in indices], repeating=repeating)
        fitting = {number for number in possible if sum(index < number for index in indices) in counts}
        possible = fitting or possible
    certain, most = min(possible), max(possible)
    while not whole and most > certain and group[most - 1].implied and group[most - 1].replaces:
        most -= 1  # it makes no difference, and its own answer will tell
    return certain, most


def _replayed(
    theirs: T,
    events: Sequence[dict[str, Any]],
    later: Sequence[dict[str, Any]],
    here: T,
    copy: Callable[[T], T],
    apply: Callable[[T, dict[str, Any]], T],
    shows: Callable[[T, dict[str, Any]], bool],
    numbers: Iterable[int] | None = None,
) -> frozenset[int]:
    """Find after how many changes, or which of some numbers, the others on top of the server's value give ours.

    To apply a change may alter the value that it is applied to: of many changes, each a copy would take too long.
    """
    found = set()
    for count in range(len(events) + 1) if numbers is None else numbers:
        if count and not shows(theirs, events[count - 1]):
            continue
        value = copy(theirs)
        for event in itertools.chain(events[count:], later):
            value = apply(value, event)
        if value == here:
            found.add(count)
    return frozenset(found)


def _fitting(
    theirs: Columns, events: Sequence[dict[str, Any]], later: Sequence[dict[str, Any]], here: Columns
) -> Iterable[int]:
    """Give the numbers of streams after which the others make columns as long as ours: to try each takes too long."""
    numbers = range(len(events) + 1)
    streams = [*events, *later]
    if not here or any(event["kind"] != "ColumnsStreamed" or event["rollover"] for event in streams):
        return numbers
    name = next(iter(here))
    rows = [len(event["data"][name]) for event in streams]
    surplus = len(theirs[name]) + sum(rows) - len(here[name])
    before = itertools.accumulate(rows, initial=0)
    return [count for count, gone in zip(numbers, before, strict=False) if gone == surplus]


def _latest(found: frozenset[int]) -> frozenset[int]:
    """Leave out those numbers after which the next change makes no difference: it is there, whoever has made it."""
    return frozenset(count for count in found if count + 1 not in found)


def _with_root(roots: list[str], event: dict[str, Any]) -> list[str]:
    identity = event["model"]["id"]
    if event["kind"] == "RootAdded":
        return roots if identity in roots else [*roots, identity]
    return [root for root in roots if root != identity]


def _shows_root(roots: list[str], event: dict[str, Any]) -> bool:
    present = event["model"]["id"] in roots
    return present if event["kind"] == "RootAdded" else not present


def _decoded(value: Any, buffers: Sequence[Buffer]) -> Any:
    return Deserializer().deserialize(to_bokeh(value, buffers))


def _decoded_event(request: Request) -> dict[str, Any]:
    event: dict[str, Any] = decoded(request.content)
    for name in ("data", "patches", "new"):
        if name in event:
            event[name] = _decoded(event[name], request.buffers)
    return event


def _lists(columns: Any) -> Columns:
    """Columns as lists of plain values, which compare; a NaN equals itself there, as it does for this purpose."""
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


def _with_columns(columns: Columns, event: dict[str, Any]) -> Columns:
    match event["kind"]:
        case "ColumnsStreamed":
            rows, rollover = _lists(event["data"]), event["rollover"]
            for name, column in columns.items():
                column += rows[name]
                if rollover:
                    del column[:-rollover]
            return columns
        case "ColumnsPatched":
            for name, column in columns.items():
                _patch(column, event["patches"].get(name, ()))
            return columns
        case _:
            return _lists(event["data"] if "data" in event else event["new"])


def _patch(column: list[Any], patches: Sequence[Any]) -> None:
    for where, what in patches:
        if isinstance(where, slice):
            column[where] = _plain_list(what)
        elif isinstance(where, int):
            (column[where],) = _plain_list([what])
        else:
            raise ValueError("a patch inside of nested arrays")


def _shows_columns(columns: Columns, event: dict[str, Any]) -> bool:
    """Say whether columns are as they are right after a change."""
    match event["kind"]:
        case "ColumnsStreamed":
            rows = _lists(event["data"])
            return all(_ends_with(column, rows[name]) for name, column in columns.items())
        case "ColumnsPatched":
            patched = {name: [*columns[name]] for name in event["patches"] if name in columns}
            return _with_columns(patched, event) == {name: columns[name] for name in patched}
        case _:
            return _with_columns({}, event) == columns


def _contains(column: list[Any], rows: list[Any]) -> bool:
    return any(column[start : start + len(rows)] == rows for start in range(len(column) - len(rows) + 1))


def _ends_with(column: list[Any], rows: list[Any]) -> bool:
    kept = rows[-len(column) :] if column else []  # a rollover may have cut off the first of them
    return column[len(column) - len(kept) :] == kept
