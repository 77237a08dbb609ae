"""Who runs the handlers of a session, and which threads wait for that: no two may wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident

from .errors import UsageError

__all__ = ["Turns"]

_guard = threading.Lock()
_waiting: dict[int, Turns] = {}  # for the handlers of which session each thread waits


class Turns:
    """The handlers of one session, which one thread runs at a time and which may make calls of other sessions."""

    def __init__(self) -> None:
        self._here = threading.local()  # how deep this thread is inside handlers
        self._thread = 0  # that is inside

    @property
    def is_inside(self) -> bool:
        """Whether the calling thread is inside a handler or a document callback of the session."""
        return getattr(self._here, "depth", 0) > 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Run a handler. The calling thread holds the lock of all who do."""
        self._here.depth = getattr(self._here, "depth", 0) + 1
        self._thread = get_ident()
        try:
            yield
        finally:
            self._here.depth -= 1
            if not self._here.depth:
                self._thread = 0

    def acquire(self, lock: threading.RLock, timeout: float = -1) -> bool:
        """Take a lock that another thread may hold while it is inside a handler of the session.

        Args:
            lock: The lock.
            timeout: How long to wait for it, in seconds; -1 for ever.

        Returns:
            Whether the calling thread has it.

        Raises:
            UsageError: That thread waits for the calling one, which is inside a handler of another session.
        """
        if lock.acquire(blocking=False):
            return True
        me = get_ident()
        with _guard:
            if self._waits_for(me):
                raise UsageError(
                    "this call would wait for ever: it is made in a handler of one session and needs another session, "
                    "a handler of which waits in another thread for the first. Make such calls outside of handlers."
                )
            _waiting[me] = self
        try:
            return lock.acquire(timeout=timeout)
        finally:
            with _guard:
                del _waiting[me]

    def _waits_for(self, thread: int) -> bool:
        """Say whether the thread that is inside waits, in the end, for a certain one."""
        turns: Turns | None = self
        while turns is not None and turns._thread != thread:
            turns = _waiting.get(turns._thread)
        return turns is not None
