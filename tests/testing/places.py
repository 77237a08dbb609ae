"""Each way to drive an app, over each transport, behind one way to write a test."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from bokehwire.testing import AppSession, AsyncAppSession, async_open_app, open_app

T = TypeVar("T")

AnySession = AppSession | AsyncAppSession
Scenario = Callable[[Any], Coroutine[Any, Any, None]]


async def do(value: T | Awaitable[T]) -> T:
    """Await what an asynchronous session gave; pass on what a blocking one gave."""
    if inspect.isawaitable(value):
        result: T = await value
        return result
    return value


@dataclass(frozen=True)
class Place:
    """One way to use sessions, over one transport.

    Attributes:
        kind: "blocking", "io_loop" or "async".
        transport: The transport's name.
    """

    kind: str
    transport: str

    def play(self, app: Any, scenario: Scenario, **options: Any) -> None:
        """Open an app, run a scenario with its session, and close it. A blocking session's never suspends."""
        if self.kind == "async":
            asyncio.run(self._play(app, scenario, options))
            return
        loop = asyncio.new_event_loop() if self.kind == "io_loop" else None
        try:
            with open_app(app, transport=self.transport, io_loop=loop, **options) as session:
                coroutine = scenario(session)
                try:
                    coroutine.send(None)
                except StopIteration:
                    return
                finally:
                    coroutine.close()
                raise AssertionError("a blocking scenario has suspended")
        finally:
            if loop is not None:
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.close()

    async def _play(self, app: Any, scenario: Scenario, options: dict[str, Any]) -> None:
        async with async_open_app(app, transport=self.transport, **options) as session:
            await scenario(session)
