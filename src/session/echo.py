"""The server's echo of a push."""

from __future__ import annotations

from collections import deque
from typing import Any

__all__ = ["PushEcho"]


class PushEcho:
    """What the server sends back of a push of ours, before its OK: RootRemoved and RootAdded patches.

    Until the first of our roots comes back, patches are passed over. They concern the document that is overwritten, or
    what a callback of the server has made of a root of ours at once, of which it tells first: then all is unclear. From
    then on, our roots come back in order, between changes that the server's callbacks make in reaction, which count.
    (Measured on Bokeh 3.9.2, 3.10.2 and 4.0.0.dev8 servers.) Of a document without roots nothing comes back.

    Args:
        root_ids: The ids of the pushed roots, in order.
    """

    def __init__(self, root_ids: list[str]) -> None:
        self._root_ids = root_ids
        self._expected = deque(root_ids)
        self._begun = False
        self._swallowed = False
        self._reacted = False  # perhaps
        self._restarted = False

    @property
    def is_unclear(self) -> bool:
        """Whether something was swallowed that may have come after the push."""
        return self._restarted or self._reacted or (self._swallowed and not self._root_ids)

    def swallows(self, content: Any) -> bool:
        """Say whether a patch is part of the echo, or overwritten by the push anyway.

        Args:
            content: The decoded content of a PATCH-DOC that arrives between the push and its OK.

        Returns:
            True if the patch is not to be applied.
        """
        if _kind_of(content) == "MessageSent":
            return False  # which is no part of the document
        if self._expected and _root_of(content, "RootAdded") == self._expected[0]:
            self._expected.popleft()
            self._begun = True
            return True
        if self._begun and _root_of(content, "RootRemoved") in self._root_ids:
            # What has come back was another client's push of the same roots, unless a callback takes it out.
            self._expected = deque(self._root_ids)
            self._begun, self._restarted = False, True
        self._swallowed = True
        self._reacted |= not self._begun and _kind_of(content) != "RootRemoved"
        return not self._begun


def _kind_of(content: Any) -> Any:
    """Give what the one event of a patch is."""
    match content:
        case {"events": [{"kind": kind}]}:
            return kind
        case _:
            return None


def _root_of(content: Any, kind: str) -> str | None:
    """Give the id of the root that a patch of one event adds or removes."""
    match content:
        case {"events": [{"kind": found, "model": {"id": str(identity)}}]} if found == kind:
            return identity
        case _:
            return None
