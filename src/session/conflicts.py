"""Both sides changing the same thing at once: which change from the server counts, and which nobody can tell.

The server applies what it receives in the order in which it receives it. So a change from the server that reached us
before we sent a replacement of the same property is overwritten there by ours, and stale here. One that arrives between
our change and the server's answer to it may have been made before or after ours was applied; then the server is asked.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from bokeh.document.events import (
    ColumnDataChangedEvent,
    ColumnsPatchedEvent,
    ColumnsStreamedEvent,
    ModelChangedEvent,
    RootAddedEvent,
    RootRemovedEvent,
    TitleChangedEvent,
)

from .requests import Key

if TYPE_CHECKING:
    from bokeh.document.events import DocumentPatchedEvent

    from .requests import Request

__all__ = ["ROOTS", "TITLE", "Conflicts", "Verdict", "key_of_change", "key_of_wire_event"]

TITLE: Key = ("", "title")
ROOTS: Key = ("", "roots")


class Verdict(Enum):
    """What is to be done with a change from the server."""

    APPLY = "apply it"
    STALE = "pass it over: a change of ours overwrites it on the server"
    DOUBT = "pass it over, and ask the server for its value once it has answered our changes"


class Conflicts:
    """The changes made here that the server has not answered, and what is in doubt because of them."""

    def __init__(self) -> None:
        self._unanswered: dict[Key, list[Request]] = {}
        self._doubts: set[Key] = set()
        self._asked: set[Key] = set()

    def changed(self, request: Request) -> None:
        """Take up a change made here.

        Args:
            request: The request that carries it.
        """
        if request.key is not None:
            self._unanswered.setdefault(request.key, []).append(request)

    def answered(self, request: Request) -> None:
        """Let go of a change that the server has applied, or rejected, or will never see.

        Args:
            request: The request that carried it.
        """
        requests = self._unanswered.get(request.key, []) if request.key is not None else []
        if request in requests:
            requests.remove(request)
            if not requests and request.key is not None:
                del self._unanswered[request.key]

    def judge(self, key: Key | None, number: int) -> Verdict:
        """Say what is to be done with a change from the server.

        Args:
            key: What it changes; None for what cannot conflict.
            number: How many changes had arrived from the server with it.

        Returns:
            The verdict. A doubt is remembered.
        """
        if key is None:
            return Verdict.APPLY
        ours = self._unanswered.get(key)
        if not ours:
            return Verdict.DOUBT if key in self._doubts or key in self._asked else Verdict.APPLY
        latest = ours[-1]
        if latest.replaces and (latest.sent_after is None or latest.sent_after >= number):
            return Verdict.STALE
        self._doubts.add(key)
        return Verdict.DOUBT

    def doubt(self, key: Key | None) -> None:
        """Put a property in doubt, because a change of it from the server could not be applied.

        Args:
            key: What the change concerned, None for what cannot be asked for.
        """
        if key is not None:
            self._doubts.add(key)

    def take_doubts(self) -> frozenset[Key]:
        """Give out what is in doubt and can be asked for now, because none of our changes to it is under way."""
        ready = frozenset(key for key in self._doubts if key not in self._unanswered)
        self._doubts -= ready
        self._asked |= ready
        return ready

    def resolve(self, keys: frozenset[Key]) -> frozenset[Key]:
        """Say for which keys the server's values count, now that they have arrived.

        Args:
            keys: What `take_doubts` gave out.

        Returns:
            The keys to set. A key that was replaced here since is not among them: our value is on its way.
        """
        self._asked -= keys
        contested = {key for key in keys if key in self._unanswered}
        self._doubts |= {key for key in contested if not self._unanswered[key][-1].replaces}
        return keys - contested

    def overwritten(self) -> None:
        """Put every unanswered change in doubt: a pull has overwritten it here, and the server applies it yet."""
        self._doubts |= self._unanswered.keys()

    def clear(self) -> None:
        """Forget everything: the connection has ended."""
        self._unanswered.clear()
        self._doubts.clear()
        self._asked.clear()


def key_of_change(event: DocumentPatchedEvent) -> tuple[Key | None, bool]:
    """Say what a change made here changes.

    Args:
        event: The change.

    Returns:
        The key, None for what cannot conflict; and whether the change replaces what was there, or adds to it.
    """
    match event:
        case ModelChangedEvent() | ColumnDataChangedEvent():
            return (str(event.model.id), event.attr), True
        case ColumnsStreamedEvent() | ColumnsPatchedEvent():
            return (str(event.model.id), event.attr), False
        case TitleChangedEvent():
            return TITLE, True
        case RootAddedEvent() | RootRemovedEvent():
            return ROOTS, False
        case _:
            return None, False


def key_of_wire_event(event: Any) -> Key | None:
    """Say what a change from the server changes.

    Args:
        event: One element of a PATCH-DOC's "events", which may be malformed.

    Returns:
        The key, None for what cannot conflict.
    """
    match event:
        case {"kind": "TitleChanged"}:
            return TITLE
        case {"kind": "RootAdded" | "RootRemoved"}:
            return ROOTS
        case {"model": {"id": str(identity)}, "attr": str(attr)}:
            return identity, attr
        case _:
            return None
