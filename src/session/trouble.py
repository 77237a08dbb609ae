"""What goes wrong between two calls of a session, and is raised at the next."""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["Trouble"]

_log = logging.getLogger(__name__)


class Trouble:
    """The errors of one session that no call has raised yet.

    Args:
        session_id: Names the session in the log.
        on_error: The program's own callback, told of each error at once; None for none.
    """

    def __init__(self, session_id: str, on_error: Callable[[Exception], object] | None) -> None:
        self._session_id = session_id
        self._on_error = on_error
        self._errors: list[Exception] = []

    def note(self, error: Exception) -> None:
        """Keep an error for the next call.

        Args:
            error: The error.
        """
        self._errors.append(error)
        self._tell(error)

    def note_callback(self, error: Exception) -> None:
        """Log an exception of the program's own periodic, timeout or next-tick callback, as Bokeh's servers do.

        Args:
            error: What the callback raised. No call raises it again.
        """
        _log.error("a document callback of session %s raised", self._session_id, exc_info=error)
        self._tell(error)

    def raise_first(self) -> None:
        """Raise the first of the errors kept, if there are any, with the others as notes; none is raised again."""
        if self._errors:
            first, *others = self._errors
            self._errors.clear()
            for error in others:
                first.add_note(f"Also: {type(error).__name__}: {error}")
            raise first

    def _tell(self, error: Exception) -> None:
        if self._on_error is None:
            return
        try:
            self._on_error(error)
        except Exception:
            _log.exception("the on_error callback of session %s raised", self._session_id)
