"""Changes of a document whose connection is lost for good, kept to be named until the program has been told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .changes import classify

if TYPE_CHECKING:
    from bokeh.document.events import DocumentPatchedEvent

__all__ = ["LateChanges"]

_NAMED = 1000  # changes; a program that never looks may make any number


class LateChanges:
    """The names of changes that can no longer be sent: the first thousand, and how many more there were."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._more = 0

    def add(self, event: DocumentPatchedEvent) -> None:
        """Take note of a change.

        Args:
            event: The change.
        """
        if len(self._names) < _NAMED:
            self._names.append(str(classify(event)))
        else:
            self._more += 1

    @property
    def names(self) -> tuple[str, ...]:
        """The changes, oldest first, each as a short text; the last says how many are not named."""
        return (*self._names, f"{self._more} more changes") if self._more else tuple(self._names)
