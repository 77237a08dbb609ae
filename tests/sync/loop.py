"""An asyncio loop that a test steps by hand: no time passes on it, no thread runs for it, no socket wakes it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["SteppedLoop"]


class _IdleSelector(selectors.BaseSelector):
    """Watches nothing, and stops the loop instead of blocking it."""

    def __init__(self) -> None:
        self.stop: Callable[[], None] = lambda: None
        self._map: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        self._map[fileobj] = key = selectors.SelectorKey(fileobj, 0, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._map.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self.stop()
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._map


class SteppedLoop(asyncio.SelectorEventLoop):
    """Runs what is ready when it is told to, and only that.

    Its clock stands still, so that no timeout ever fires; what is given to an executor runs at once, in its turn.
    """

    def __init__(self) -> None:
        selector = _IdleSelector()
        super().__init__(selector)
        selector.stop = self.stop

    def time(self) -> float:
        return 0.0

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def turn(self) -> None:
        """Run what is ready now, and nothing that becomes ready by it."""
        self.call_soon(self.stop)
        self.run_forever()

    def settle(self) -> None:
        """Run until nothing is ready any more."""
        self.run_forever()
