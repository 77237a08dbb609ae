"""By what the server's session is known again after an outage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .changes import is_about_roots, removed_roots

if TYPE_CHECKING:
    from bokeh.document import Document

    from .rereading import Snapshot

__all__ = ["Recognition"]

_REMEMBERED = 100  # roots


class Recognition:
    """What is remembered of the document of the session.

    Attributes:
        config_id: The id of the server's document's configuration, None where it has none or nobody knows.
    """

    def __init__(self) -> None:
        self.config_id: str | None = None
        self._removed: list[str] = []  # the ids of roots that the server is just replacing
        self._was_emptied = False  # by the server, which may be doing that

    def received(self, document: Document, content: Any) -> None:
        """Take note of a patch that was applied.

        Args:
            document: The document.
            content: The patch's content.
        """
        if is_about_roots(content):
            self._removed += removed_roots(content)
            del self._removed[:-_REMEMBERED]
            self._was_emptied = not document.roots
        else:
            self.replaced()

    def replaced(self) -> None:
        """Take it that the server is not just replacing its roots."""
        self._removed.clear()

    def recognises(self, snapshot: Snapshot, document: Document) -> bool:
        """Say whether the server still has the session.

        Args:
            snapshot: The server's document.
            document: The document here.
        """
        return snapshot.continues(document, self.config_id, self._removed, self._was_emptied)
