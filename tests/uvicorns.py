"""uvicorn in the loop of a thread that a test has started."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Future

import uvicorn


class Uvicorn(uvicorn.Server):
    """Tells its port as soon as it listens, and ends at once when asked to; uvicorn itself looks ten times a second.

    Args:
        config: uvicorn's.
        stop: Ends it.
        port: Is given the port.
    """

    def __init__(self, config: uvicorn.Config, stop: asyncio.Event, port: Future[int]) -> None:
        super().__init__(config)
        self._stop_event = stop
        self._ready = port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready.set_result(self.servers[0].sockets[0].getsockname()[1])

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._stop_event.wait()
