"""The clock of one document of an app: its periodic, timeout and next-tick callbacks, run when a test says so."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from bokeh.document.events import SessionCallbackAdded
from bokeh.server.callbacks import PeriodicCallback, SessionCallback, TimeoutCallback

from ..session import ReplyTimeout

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.document.events import DocumentChangedEvent

__all__ = ["AppClock", "CallbackKind"]

CallbackKind: TypeAlias = Literal["periodic", "timeout", "next_tick"]

# Microseconds: whole numbers, since three times 0.1 s is more than 0.3 s in floating point.
_SECOND = 1_000_000
_MILLISECOND = 1_000
_SHORTEST = _MILLISECOND  # time must go on, or a callback that sets itself again would run for ever


@dataclass(eq=False)
class _Entry:
    """A callback of the document.

    Attributes:
        source: Bokeh's object for it.
        call: What it was to call.
        kind: Which of the three kinds it is.
        due: When it is to run next, in microseconds on the clock.
        is_over: Whether it has run and runs no more. Bokeh's own timer may have fired before it could be taken away.
    """

    source: SessionCallback
    call: Callable[[], Awaitable[None] | None]
    kind: CallbackKind
    due: int
    is_over: bool = False

    def run(self) -> Awaitable[None] | None:
        if self.is_over:
            return None
        self.is_over = self.kind != "periodic"
        return self.call()


class AppClock:
    """Follows the callbacks of one document on its server, and runs them.

    Args:
        document: The app's document, before the app fills it.
        frozen: Whether periodic and timeout callbacks run only when `advance` or `run` say so. Next-tick callbacks are
            no matter of time, and run as soon as the server can.
    """

    def __init__(self, document: Document, *, frozen: bool) -> None:
        self._document = document
        self._frozen = frozen
        self._now = 0
        self._entries: list[_Entry] = []
        document.on_change(self._changed)

    async def advance(self, seconds: float, limit: float | None) -> int:
        """Let time go by: run what falls due in it, in order, each as often as it does.

        Args:
            seconds: How long.
            limit: How long each callback may take, in seconds of the real clock; None for ever.

        Returns:
            How many times a callback was run.

        Raises:
            ReplyTimeout: A callback took longer.
        """
        until = self._now + round(seconds * _SECOND)
        ran = 0
        while (entry := self._next_due(until)) is not None:
            self._now = max(self._now, entry.due)
            if isinstance(entry.source, PeriodicCallback):
                entry.due += _period_of(entry.source)
            await self._run(entry, limit)
            ran += 1
        self._now = until
        return ran

    async def run(self, kind: CallbackKind | None, limit: float | None) -> int:
        """Run each callback that the document has now, once.

        Args:
            kind: Which; None for all.
            limit: As for `advance`.

        Returns:
            How many there were.

        Raises:
            ReplyTimeout: A callback took longer.
        """
        entries = [entry for entry in self._current() if kind in (None, entry.kind)]
        ran = 0
        for entry in entries:
            if entry in self._current():  # none before it has removed it
                await self._run(entry, limit)
                ran += 1
        return ran

    def _changed(self, event: DocumentChangedEvent) -> None:
        if isinstance(event, SessionCallbackAdded):
            self._take_up(event.callback)

    def _take_up(self, callback: SessionCallback) -> None:
        """Follow a callback, before the server's session learns of it."""
        call = callback.callback
        entry = _Entry(callback, call, _kind_of(callback), self._now + _delay_of(callback))
        self._entries.append(entry)

        @functools.wraps(call)  # also the mark of a callback that runs without the document's lock
        def gate() -> Awaitable[None] | None:
            return None if self._frozen and entry.kind != "next_tick" else entry.run()

        # The object stays the one that the app removes the callback by; Bokeh itself replaces what it calls this way.
        callback._callback = cast("Any", gate)

    def _current(self) -> list[_Entry]:
        alive = self._document.session_callbacks
        self._entries = [entry for entry in self._entries if not entry.is_over and entry.source in alive]
        return list(self._entries)

    def _next_due(self, until: int) -> _Entry | None:
        timed = (entry for entry in self._current() if entry.kind != "next_tick" and entry.due <= until)
        return min(timed, key=lambda entry: entry.due, default=None)

    async def _run(self, entry: _Entry, limit: float | None) -> None:
        session: Any = getattr(self._document.session_context, "session", None)
        what = f"a {entry.kind.replace('_', '-')} callback of the app"
        clock = asyncio.timeout(limit)
        try:
            async with clock:
                if session is None or getattr(entry.call, "nolock", False):
                    result = entry.run()
                    if inspect.isawaitable(result):
                        await result
                else:
                    await session.with_document_locked(entry.run)
        except Exception as error:
            if clock.expired():
                told = (
                    f"{what} has not ended within {limit} s and was cancelled. Raise reply_timeout if it needs longer."
                )
                raise ReplyTimeout(told, request=entry.kind, timeout=limit or 0.0) from None
            error.add_note(f"It was raised by {what}.")
            raise


def _kind_of(callback: SessionCallback) -> CallbackKind:
    if isinstance(callback, PeriodicCallback):
        return "periodic"
    return "timeout" if isinstance(callback, TimeoutCallback) else "next_tick"


def _delay_of(callback: SessionCallback) -> int:
    if isinstance(callback, PeriodicCallback):
        return _period_of(callback)
    return max(round(callback.timeout * _MILLISECOND), _SHORTEST) if isinstance(callback, TimeoutCallback) else 0


def _period_of(callback: PeriodicCallback) -> int:
    return max(round(callback.period * _MILLISECOND), _SHORTEST)
