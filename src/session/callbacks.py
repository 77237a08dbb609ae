"""When a document's own callbacks are due: next tick, after a time, or periodically.

Bokeh's Document only records such callbacks; whoever holds it must run them. This schedule says what is due and never
waits itself: times are given to it, and the session's runner acts.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bokeh.server.callbacks import PeriodicCallback, SessionCallback, TimeoutCallback

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CallbackSchedule", "DueCallback"]


@dataclass(eq=False, slots=True)
class DueCallback:
    """A callback and the time at which it runs next.

    Attributes:
        source: Bokeh's own object for it.
        due: When it runs next, in seconds on the clock the schedule is used with.
        period: Seconds between two runs, None for one that runs once.
        running: Whether it is given out to be run; a periodic callback never overlaps itself.
        begun: Whether it has been called since, as Bokeh wraps it.
    """

    source: SessionCallback
    due: float
    period: float | None
    running: bool = False
    begun: bool = False

    def start(self) -> Awaitable[object] | None:
        """Run the callback, up to its first await if it is asynchronous.

        Returns:
            What is left to await, or None when the callback is done.
        """
        call: Callable[[], object] = self.source.callback
        self.begun = True
        result = call()
        return result if isinstance(result, Awaitable) else None  # what else it may return Bokeh ignores as well


class CallbackSchedule:
    """The callbacks of one document. Any thread may add and remove, as Bokeh's documents allow.

    Args:
        clock: Gives the time in seconds, never going back.
        changed: Called after callbacks were added or removed, in the thread that did it.
    """

    def __init__(self, clock: Callable[[], float], changed: Callable[[], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._lock = threading.Lock()
        self._entries: dict[str, DueCallback] = {}

    def add(self, callback: SessionCallback) -> None:
        """Take up a callback that was added to the document.

        Args:
            callback: Bokeh's object for it.
        """
        entry = self._entry(callback)
        with self._lock:
            self._entries[callback.id] = entry
        self._changed()

    def remove(self, callback: SessionCallback) -> None:
        """Forget a callback that was removed from the document, or that a run of it has removed.

        Args:
            callback: Bokeh's object for it.
        """
        with self._lock:
            self._entries.pop(callback.id, None)
        self._changed()

    def replace(self, callbacks: Iterable[SessionCallback]) -> None:
        """Start anew with the given callbacks.

        Args:
            callbacks: All callbacks the document has now.
        """
        entries = {str(callback.id): self._entry(callback) for callback in callbacks}
        with self._lock:
            self._entries = entries
        self._changed()

    def next_due(self) -> float | None:
        """Say when the next callback is due, None when there is none that waits for its time."""
        with self._lock:
            return min((entry.due for entry in self._entries.values() if not entry.running), default=None)

    def take_due(self, into: deque[DueCallback]) -> None:
        """Give out the callbacks whose time has come; each must be handed back with `finished`.

        Args:
            into: Where to put them, the longest due first. They are there before they count as given out, so that an
                interruption loses none.
        """
        now = self._clock()
        with self._lock:
            waiting = (entry for entry in self._entries.values() if not entry.running and entry.due <= now)
            due = sorted(waiting, key=lambda entry: entry.due)
            into.extend(due)
            for entry in due:
                entry.running, entry.begun = True, False
                if entry.period is not None:
                    following = entry.due + entry.period
                    entry.due = following if following > now else now + entry.period

    def is_current(self, entry: DueCallback) -> bool:
        """Say whether a callback given out is still wanted: another one may have removed it since."""
        with self._lock:
            return self._entries.get(entry.source.id) is entry

    def finished(self, entry: DueCallback) -> None:
        """Take back a callback that was given out. If it has not been run, it stays due.

        Args:
            entry: What `take_due` gave.
        """
        with self._lock:
            if entry.period is not None and entry.running and not entry.begun:
                entry.due -= entry.period
            entry.running = False
            if entry.period is None and entry.begun and self._entries.get(entry.source.id) is entry:
                del self._entries[entry.source.id]

    def _entry(self, callback: SessionCallback) -> DueCallback:
        now = self._clock()
        if isinstance(callback, PeriodicCallback):
            period = callback.period / 1000
            return DueCallback(callback, now + period, period)
        delay = callback.timeout / 1000 if isinstance(callback, TimeoutCallback) else 0.0
        return DueCallback(callback, now + delay, None)
