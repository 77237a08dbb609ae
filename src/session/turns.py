"""What one thread does at a time, whatever interrupts it; and no two threads wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from threading import get_ident
from typing import TypeVar

from .errors import UsageError

__all__ = ["Turn"]

T = TypeVar("T")

_guard = threading.Lock()
_waiting: dict[int, Turn] = {}  # for what each thread waits


class Turn:
    """Something that one thread does at a time, such as running the handlers of a session.

    Ctrl-C can come between any two lines, also after the lock is taken and before the next line begins. A lock that was
    left taken then would stop every other thread for good, so the end of each run gives it back if it was taken at all;
    no call comes before that, since it is at calls that Python looks for interruptions. For the same reason no thread
    takes it twice.

    Attributes:
        holder: The thread that is inside `run`, 0 if none is.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # no other thread than its holder can release it
        self.holder = 0

    @property
    def is_mine(self) -> bool:
        """Whether the calling thread is inside `run`."""
        return self.holder == get_ident()

    @property
    def is_anothers(self) -> bool:
        """Whether another thread is inside `run`."""
        return self.holder not in (0, get_ident())

    def run(self, work: Callable[[], T], timeout: float = -1) -> T | None:
        """Do something while no other thread does. The calling thread must not be inside `run` already.

        Args:
            work: What to do.
            timeout: How long to wait for another thread, in seconds; -1 for ever.

        Returns:
            What the work returned, or None when it was not done in time.

        Raises:
            UsageError: The other thread waits for the calling one, so that both would wait for ever.
        """
        me = get_ident()
        try:
            if not self._lock.acquire(blocking=False) and not self._wait(timeout):
                return None
            self.holder = me
            return work()
        finally:
            try:
                if self.holder == me:
                    self.holder = 0
                self._lock.release()
            except RuntimeError:  # it was not taken
                pass

    def _wait(self, timeout: float) -> bool:
        return timeout != 0 and self.wait(lambda: self._lock.acquire(timeout=timeout))

    def wait(self, sleep: Callable[[], T]) -> T:
        """Sleep while it is the turn of another thread.

        Args:
            sleep: What to do.

        Returns:
            What it returned.

        Raises:
            UsageError: The other thread waits for the calling one, so that both would wait for ever.
        """
        me = get_ident()
        try:
            with _guard:
                if self._waits_for(me):
                    raise UsageError(
                        "this call would wait for ever: it is made in a handler of one session and needs another "
                        "session, a handler of which waits in another thread for the first. Make such calls outside of "
                        "handlers."
                    )
                _waiting[me] = self
            return sleep()
        finally:
            _waiting.pop(me, None)

    def _waits_for(self, thread: int) -> bool:
        """Say whether the thread that is inside waits, in the end, for a certain one."""
        turn: Turn | None = self
        while turn is not None and turn.holder != thread:
            turn = _waiting.get(turn.holder)
        return turn is not None
