"""Which of several changes the server has applied, told from its document, when its answer leaves that open.

A server that applies a message of several events applies none of them, all, or those before one (`apply_json_patch` of
3.9.2, 3.10.2 and 4.0.0.dev8). So there is one number to find. What is not contested by a change of the server itself
has, in the server's document, the value that one of our changes gave it; and what the server has, with those of our
changes on top that it has not applied, is what we have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec
from bokeh.core.serialization import Deserializer, Serializer

from ..protocol import Buffer
from .changes import ROOTS, TITLE
from .departures import dangling
from .encoding import to_bokeh
from .replaying import column_counts, contains, lists, replayed, shows_columns
from .wire_objects import COLUMN_EVENTS, comparable, decoded

if TYPE_CHECKING:
    from bokeh.document import Document

    from .conflicts import Conflicts
    from .replaying import Columns
    from .requests import Before, Group, Key, Request
    from .rereading import Snapshot

__all__ = ["Evidence", "Told", "applied"]


class Told(NamedTuple):
    """What is told of the changes of one property.

    Attributes:
        numbers: How many of the first of them the server may have applied.
        narrow: Leaves out of several numbers those from which it makes no difference whether more was applied.
    """

    numbers: frozenset[int]
    narrow: Callable[[frozenset[int]], frozenset[int]] = lambda numbers: numbers


class Evidence:
    """What the server's document tells about changes of ours.

    Args:
        document: The document here.
        conflicts: Knows what is contested, and which changes are unanswered.
        snapshot: The server's document.
        buffers: The buffers that it refers to.
        overwritten: Whether a pull has overwritten changes here that were under way. Otherwise the document has all.

    Attributes:
        document: The document here.
    """

    def __init__(
        self,
        document: Document,
        conflicts: Conflicts,
        snapshot: Snapshot,
        buffers: Sequence[Buffer],
        *,
        overwritten: bool = False,
    ) -> None:
        self.document = document
        self._conflicts = conflicts
        self._snapshot = snapshot
        self._buffers = tuple(buffers)
        self._overwritten = overwritten

    def counts(self, key: Key, ours: Sequence[Request]) -> Told:
        """Say how many of the first changes of one property may have been applied.

        Args:
            key: The property.
            ours: The changes of it in question, in order.

        Returns:
            What is told; all numbers where nobody can tell.
        """
        everything = Told(frozenset(range(len(ours) + 1)))
        if self._conflicts.is_contested(key) or not self._snapshot.can_show(key):
            return everything
        try:
            told = self._counts(key, ours)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError):
            return everything  # the server's own change has made it something that these do not fit
        return told if told.numbers else everything

    def unclear(self, requests: Sequence[Request]) -> Group:
        """Give those of some changes, which may all have been dropped with an OK, that may be lost.

        What was dropped shows where it would have added something. Where it would have replaced what the server has
        changed as well, that counts in either case, unless there is reason to think that it was dropped.

        Args:
            requests: The changes.
        """
        some_are_doomed = any(request.is_doomed for request in requests)  # with which all are dropped
        return tuple(
            request
            for request in requests
            if self._snapshot.can_show(request.key)
            and not (request.replaces and not some_are_doomed and not self._is_as_before(request))
            and (request.is_doomed or not self._is_there(request))
        )

    def _is_as_before(self, request: Request) -> bool:
        """Say whether the server has what it had before a change, as far as is known, and has not changed it itself."""
        key = cast(Any, request.key)
        if self._conflicts.is_contested(key) or decoded(request.content)["kind"] in COLUMN_EVENTS:
            return False
        try:
            return bool(self._comparable_before(request) == comparable(self._server_value(key), self._buffers))
        except (KeyError, ValueError, TypeError, IndexError, AttributeError):
            return False

    def dangling(self, requests: Sequence[Request]) -> Group:
        """Give those of some changes that refer to a model which the server has not.

        Args:
            requests: The changes, which it has not applied, in order.
        """
        return dangling(requests, self._snapshot.identities)

    def worth_naming(self, requests: Sequence[Request]) -> Group:
        """Give those of some changes that the server has dropped which make a difference.

        A change of a model that is gone makes none, nor does the removal of a root that is gone.

        Args:
            requests: The changes.
        """
        return tuple(
            request
            for request in requests
            if self._snapshot.can_show(request.key) and not (request.key == ROOTS and self._is_there(request))
        )

    def hidden(self, requests: Sequence[Request]) -> set[Key | None]:
        """Give the properties of which the server's values do not tell whether it has applied changes of one message.

        Where a handler has replaced what is told of, what is there by then follows it, and may have been told before as
        well. If the server has that, it says nothing of what came between.

        Args:
            requests: The changes.
        """
        return {request.key for request in requests if request.implied and self._is_there(request)}

    def _is_there(self, request: Request) -> bool:
        """Say whether the server has what a change adds, or has not what it removes."""
        event = decoded(request.content)
        if request.key == ROOTS:
            return _shows_root(self._snapshot.root_ids, event)
        try:
            if event["kind"] not in COLUMN_EVENTS:
                return bool(_made_by(request) == comparable(self._server_value(cast(Any, request.key)), self._buffers))
            event = _decoded_event(request)
            columns = lists(_decoded(self._snapshot.attribute(cast(Any, request.key)), self._buffers))
            if event["kind"] != "ColumnsStreamed":
                return shows_columns(columns, event)
            rows = lists(event["data"])
            return all(contains(column, rows[name]) for name, column in columns.items())
        except (KeyError, ValueError, TypeError, IndexError, AttributeError):
            return False  # the server's own change has made it something that this does not fit

    def _counts(self, key: Key, ours: Sequence[Request]) -> Told:
        events = [decoded(request.content) for request in ours]
        if key == ROOTS:
            here = None if self._overwritten else [str(root.id) for root in self.document.roots]
            later = [decoded(request.content) for request in self._after(key, ours)]
            return Told(replayed(self._snapshot.root_ids, events, later, here, list, _with_root, _shows_root), _latest)
        if any(event["kind"] in COLUMN_EVENTS for event in events):
            return self._column_counts(key, ours)
        theirs = comparable(self._server_value(key), self._buffers)
        values = [_made_by(request) for request in ours]
        matching = {count for count, value in enumerate(values, 1) if value == theirs}
        if self._comparable_before(ours[0]) == theirs:
            matching.add(0)
        elif not matching and any(self._comparable_before(request) == theirs for request in ours[1:]):
            matching.add(0)  # a handler has replaced the first again, and that was told before it
        # Where the server has neither, it has made something else of it, and has not told, as where a callback raises.
        return Told(frozenset(matching))

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

    def _column_counts(self, key: Key, ours: Sequence[Request]) -> Told:
        model = self.document.models[cast(Any, key[0])]
        here = None if self._overwritten else self._columns(getattr(model, key[1]))
        theirs = lists(_decoded(self._snapshot.attribute(key), self._buffers))
        events = [self._column_event(request) for request in ours]
        later = [self._column_event(request) for request in self._after(key, ours)]
        before = ours[0].before
        was_before = before is not None and self._columns_before(before) == theirs
        # What comes after leads to the same from each number, and the last one shows, whoever has made it.
        return Told(column_counts(theirs, events, later, here), _latest if was_before else _last)

    def _column_event(self, request: Request) -> dict[str, Any]:
        event = _decoded_event(request)
        if request.before is not None:
            event["before"] = self._columns_before(request.before)
        return event

    def _columns_before(self, before: Before) -> Columns:
        if before.buffers is None:
            return self._columns(before.value)
        return lists(_decoded(before.value, before.buffers))

    def _columns(self, value: Any) -> Columns:
        """Give columns of this document as the server has them, and as they are sent: dates are numbers there."""
        return lists(_decoded(self._encoded(dict(value)), ()))


def applied(group: Group, evidence: Evidence, *, whole: bool, repeating: bool = False) -> tuple[int, int]:
    """Say how many of the changes of one message the server has applied.

    Args:
        group: The changes.
        evidence: What the server's document tells.
        whole: Whether it has applied either all or none.
        repeating: Whether changes that make no difference are to be told from their absence.

    Returns:
        How many it has applied for certain, and how many at the most.
    """
    by_key: dict[Key, list[int]] = {}
    hidden = evidence.hidden(group) if whole else ()
    for index, request in enumerate(group):
        if request.key is not None and not request.implied and request.key not in hidden:
            by_key.setdefault(request.key, []).append(index)
    told = {key: evidence.counts(key, [group[index] for index in indices]) for key, indices in by_key.items()}
    possible = {0, len(group)} if whole else set(range(len(group) + 1))
    for key, indices in by_key.items():
        fitting = _among(possible, indices, told[key].numbers)
        if not fitting and whole:
            # Somebody else has made the same of one property, or has taken back what we have made of another.
            return 0, 0 if any(request.is_doomed for request in group) else len(group)
        possible = fitting or possible
    if not repeating:
        # Only of what fits everything: alone, a property whose changes make no difference would outvote the others.
        for key, indices in by_key.items():
            numbers, narrow = told[key]
            reached = numbers.intersection(_count(indices, number) for number in possible)
            kept = narrow(numbers) & reached or narrow(reached)
            possible = _among(possible, indices, kept) or possible
    certain, most = min(possible), max(possible)
    while not whole and most > certain and group[most - 1].implied and group[most - 1].replaces:
        most -= 1  # it makes no difference, and its own answer will tell
    return certain, most


def _among(possible: set[int], indices: Sequence[int], counts: frozenset[int]) -> set[int]:
    """Give those numbers of changes that have one of some counts of them at certain places."""
    return {number for number in possible if _count(indices, number) in counts}


def _count(indices: Sequence[int], number: int) -> int:
    return sum(index < number for index in indices)


def _last(found: frozenset[int]) -> frozenset[int]:
    return frozenset({max(found)}) if found else found


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


def _made_by(request: Request) -> Any:
    """Give the value that a change makes of the title or a property, in a form that compares."""
    event = decoded(request.content)
    return event["title"] if request.key == TITLE else comparable(event["new"], request.buffers)


def _decoded(value: Any, buffers: Sequence[Buffer]) -> Any:
    return Deserializer().deserialize(to_bokeh(value, buffers))


def _decoded_event(request: Request) -> dict[str, Any]:
    event: dict[str, Any] = decoded(request.content)
    for name in ("data", "patches", "new"):
        if name in event:
            event[name] = _decoded(event[name], request.buffers)
    return event
