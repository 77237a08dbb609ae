"""What goes wrong between two calls of a session, and is raised at the next."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from .errors import ConnectionLost
from .reconnecting import Reconnection

__all__ = ["Trouble", "note_failed_close"]

T = TypeVar("T")

_KEPT = 100  # errors; a program that never looks may cause any number

_log = logging.getLogger(__name__)


class Trouble:
    """The errors of one session that no call has raised yet.

    Args:
        session_id: Names the session in the log.
        on_error: The program's own callback, told of each error at once; None for none.
        on_disconnect: Told of a loss after which another connection is sought; None for nobody.
        on_reconnect: Told when there is a connection again; None for nobody.
    """

    def __init__(
        self,
        session_id: str,
        on_error: Callable[[Exception], object] | None,
        on_disconnect: Callable[[ConnectionLost], object] | None = None,
        on_reconnect: Callable[[Reconnection], object] | None = None,
    ) -> None:
        self._session_id = session_id
        self._on_error = on_error
        self._on_disconnect = on_disconnect
        self._on_reconnect = on_reconnect
        self._errors: list[Exception] = []
        self._more = 0

    def note(self, error: Exception) -> None:
        """Keep an error for the next call: the first hundred, and how many more there were.

        Args:
            error: The error.
        """
        self.keep(error)
        self.tell(error)

    def keep(self, error: Exception) -> None:
        """Keep an error for the next call of which the program has been told.

        Args:
            error: The error.
        """
        if len(self._errors) < _KEPT:
            self._errors.append(error)
        else:
            self._more += 1

    def note_callback(self, error: Exception) -> None:
        """Log an exception of the program's own periodic, timeout or next-tick callback, as Bokeh's servers do.

        Args:
            error: What the callback raised. No call raises it again.
        """
        _log.error("a document callback of session %s raised", self._session_id, exc_info=error)
        self.tell(error)

    def raise_first(self) -> None:
        """Raise the first of the errors kept, if there are any, with the others as notes; none is raised again."""
        if self._errors:
            first, *others = self._errors
            self._errors.clear()
            for error in others:
                first.add_note(f"Also: {type(error).__name__}: {error}")
            if self._more:
                first.add_note(f"Also: {self._more} more errors.")
                self._more = 0
            raise first

    def tell_disconnection(self, loss: ConnectionLost) -> None:
        """Tell the program that the connection was lost and another one is being sought.

        Args:
            loss: How it was lost.
        """
        self._call("on_disconnect", self._on_disconnect, loss)

    def tell_reconnection(self, reconnection: Reconnection) -> None:
        """Tell the program that there is a connection again.

        Args:
            reconnection: How it came about.
        """
        self._call("on_reconnect", self._on_reconnect, reconnection)

    def tell(self, error: Exception) -> None:
        """Tell the program of an error at once.

        Args:
            error: The error. Whether a call raises it is seen to elsewhere.
        """
        self._call("on_error", self._on_error, error)

    def _call(self, name: str, callback: Callable[[T], object] | None, news: T) -> None:
        if callback is None:
            return
        try:
            callback(news)
        except Exception:
            _log.exception("the %s callback of session %s raised", name, self._session_id)


def note_failed_close(error: BaseException, trouble: Exception) -> None:
    """Add to what has ended the block of a session that closing it failed as well.

    Args:
        error: What the block has raised.
        trouble: What `close` has raised.
    """
    text = f"Closing the session also failed: {trouble}"
    error.add_note(text)
    if not isinstance(error, Exception | KeyboardInterrupt):  # as sys.exit and a cancellation, whose notes nobody sees
        _log.error(text)
