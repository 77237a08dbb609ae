"""An attempt to connect, which another task or thread may end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from .errors import SessionClosed

__all__ = ["Attempt"]


class Attempt:
    """One attempt. Its methods are for one loop."""

    def __init__(self) -> None:
        self._limit: asyncio.Timeout | None = None
        self._stopped = False
        self._over = asyncio.Event()

    async def run(self, connecting: Coroutine[Any, Any, object]) -> None:
        """Connect.

        Args:
            connecting: What connects. It leaves nothing behind when it is cancelled.

        Raises:
            SessionClosed: The attempt was stopped.
        """
        if self._stopped:
            connecting.close()
            raise _closed()
        limit = self._limit = asyncio.timeout(None)
        try:
            async with limit:
                await connecting
        except TimeoutError:
            if not limit.expired():
                raise
            raise _closed() from None
        finally:
            self._over.set()

    async def stop(self, timeout: float) -> None:
        """End the attempt, and wait until nothing is left of it. One that has ended is left as it is.

        Args:
            timeout: How long to wait, in seconds.
        """
        self._stopped = True
        if self._limit is None or self._over.is_set():
            return
        with suppress(RuntimeError):  # it is just ending
            self._limit.reschedule(0)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._over.wait()


def _closed() -> SessionClosed:
    return SessionClosed("the session was closed while it was connecting.")
