"""The server's echo of a push."""

from __future__ import annotations

from collections import deque
from typing import Any

__all__ = ["PushEcho"]


class PushEcho:
    """What the server sends back of a push of ours, before its OK: RootRemoved and RootAdded patches.

    Until the first of our roots comes back, everything concerns the document that the push overwrites. After it, our
    roots come back in order, between changes that the server's callbacks make in reaction, which count.
    (Measured on Bokeh 3.9.2, 3.10.2 and 4.0.0.dev8 servers.) Of a document without roots nothing comes back.

    Args:
        root_ids: The ids of the pushed roots, in order.
    """

    def __init__(self, root_ids: list[str]) -> None:
        self._expected = deque(root_ids)
        self._begun = False
        self._rootless = not root_ids
        self._swallowed = False

    @property
    def is_unclear(self) -> bool:
        """Whether something was swallowed that may have come after the push."""
        return self._rootless and self._swallowed

    def swallows(self, content: Any) -> bool:
        """Say whether a patch is part of the echo, or overwritten by the push anyway.

        Args:
            content: The decoded content of a PATCH-DOC that arrives between the push and its OK.

        Returns:
            True if the patch is not to be applied.
        """
        if self._expected and _is_root_added(content, self._expected[0]):
            self._expected.popleft()
            self._begun = True
            return True
        self._swallowed = True
        return not self._begun


def _is_root_added(content: Any, root_id: str) -> bool:
    match content:
        case {"events": [{"kind": "RootAdded", "model": {"id": model_id}}]}:
            return bool(model_id == root_id)
        case _:
            return False
