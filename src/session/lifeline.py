"""What becomes of a connection whose session the program has let go of without closing it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import ref

from .channel import Channel
from .endings import some_of
from .sync import SyncEngine

__all__ = ["Lifeline", "weakly"]

R = TypeVar("R")

_log = logging.getLogger(__name__)

_forks = 0
"""How many forks this process is away from the first. Each change asks, and os.getpid is a system call."""


def _forked() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Lifeline:
    """Holds a session's connection, so that it can be dropped when the session is gone.

    Args:
        session_id: Names the session in the log.
        engine: The session's engine, which lets go of the document then.

    Attributes:
        channel: The session's connection, None when there is none to drop.
        lost: The changes that were lost with the connection, until the program has been told.
    """

    def __init__(self, session_id: str, engine: SyncEngine) -> None:
        self._session_id = session_id
        self._engine = engine
        self._forks = _forks
        self.channel: Channel | None = None
        self.lost: tuple[str, ...] = ()

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one that made the connection, which shares its socket with us."""
        return self._forks != _forks

    def cut(self) -> None:
        """Let go of the document, and drop the connection if it is open and our own.

        No call can say any more what that costs, so the log does.
        """
        if self.is_inherited:
            return
        lost = (*self.lost, *self._engine.late_changes, *self._engine.held_changes)
        self._engine.close()
        if self.channel is not None and (self.channel.is_open or self.channel.is_reconnecting):
            warnings.warn(
                "a session was not closed: call close() or use it as a context manager", ResourceWarning, stacklevel=2
            )
            lost += self.channel.unconfirmed
            self.channel.drop()
        if lost:
            _log.error(
                "session %s was not closed, and the server has not confirmed %d changes: %s",
                self._session_id,
                len(lost),
                some_of(lost),
            )


def weakly(method: Callable[..., R]) -> Callable[..., R | None]:
    """Make a callback of a bound method that does not keep its object alive.

    Args:
        method: The bound method.

    Returns:
        A function that calls it as long as the object exists, and returns None after that.
    """
    bound: Any = method
    owner, function = ref(bound.__self__), bound.__func__  # a WeakMethod makes three calls of each

    def call(*arguments: Any) -> R | None:
        there = owner()
        return function(there, *arguments) if there is not None else None

    return call
