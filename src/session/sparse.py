"""Weak sets that take no room while nothing is in them, as mostly: a session has seven, and an empty WeakSet 0.7 KB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar
from weakref import WeakSet

__all__ = ["SparseSet"]

T = TypeVar("T")


class SparseSet(Generic[T]):
    """A set of objects that it does not keep alive, with those methods of a WeakSet that sessions need.

    Args:
        items: The objects that are in it at first.
    """

    _there: WeakSet[T] | None = None  # since something was put in

    def __init__(self, items: Iterable[T] = ()) -> None:
        self.update(items)

    def __contains__(self, item: object) -> bool:
        return self._there is not None and item in self._there

    def __iter__(self) -> Iterator[T]:
        return iter(()) if self._there is None else iter(self._there)

    def __len__(self) -> int:
        return 0 if self._there is None else len(self._there)

    def add(self, item: T) -> None:
        """Put an object in.

        Args:
            item: The object.
        """
        self.update((item,))

    def update(self, items: Iterable[T]) -> None:
        """Put objects in.

        Args:
            items: The objects.
        """
        items = [*items]
        if items:  # of two threads, neither takes away what the other has put in
            there: WeakSet[T] = vars(self).setdefault("_there", WeakSet())
            there.update(items)

    def difference_update(self, items: Iterable[T]) -> None:
        """Take objects out that may be in.

        Args:
            items: The objects.
        """
        if self._there is not None:
            self._there.difference_update(items)

    def clear(self) -> None:
        """Take all out."""
        if self._there is not None:
            self._there.clear()
