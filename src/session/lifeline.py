"""What becomes of a connection whose session the program has let go of without closing it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakMethod

from .channel import Channel
from .sync import SyncEngine

__all__ = ["Lifeline", "weakly"]

R = TypeVar("R")


class Lifeline:
    """Holds a session's connection, so that it can be dropped when the session is gone.

    Args:
        engine: The session's engine, which lets go of the document then.
    """

    def __init__(self, engine: SyncEngine) -> None:
        self._engine = engine
        self._pid = os.getpid()
        self.channel: Channel | None = None

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one that made the connection, which shares its socket with us."""
        return os.getpid() != self._pid

    def cut(self) -> None:
        """Let go of the document, and drop the connection if it is open and our own."""
        if self.is_inherited:
            return
        self._engine.detach()
        if self.channel is not None and (self.channel.is_open or self.channel.is_reconnecting):
            warnings.warn(
                "a session was not closed: call close() or use it as a context manager", ResourceWarning, stacklevel=2
            )
            self.channel.drop()


def weakly(method: Callable[..., R]) -> Callable[..., R | None]:
    """Make a callback of a bound method that does not keep its object alive.

    Args:
        method: The bound method.

    Returns:
        A function that calls it as long as the object exists, and returns None after that.
    """
    reference = WeakMethod(method)

    def call(*arguments: Any) -> R | None:
        bound = reference()
        return bound(*arguments) if bound is not None else None

    return call
