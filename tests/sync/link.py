"""An in-memory WebSocket whose frames wait, in each direction, until the test delivers them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from bokehwire.transports import ConnectionClosed, ConnectionOptions, Frame, OutgoingFrame

__all__ = ["Link", "MemoryTransport"]


class Link:
    """Both directions of one connection, each in the order of sending, as TCP keeps it."""

    def __init__(self) -> None:
        self.to_server: deque[Frame] = deque()
        self.to_client: deque[Frame] = deque()
        self.subprotocol = "bokeh"
        self.close_code: int | None = None
        self.close_reason = ""
        self._arrived: list[Frame] = []
        self._news = asyncio.Event()

    def deliver(self, count: int) -> None:
        """Hand the next frames to the client, which reads them when its loop runs."""
        for _ in range(min(count, len(self.to_client))):
            self._arrived.append(self.to_client.popleft())
            self._news.set()

    async def send(self, frames: Sequence[OutgoingFrame]) -> None:
        if self.close_code is not None:
            raise ConnectionClosed(code=self.close_code)
        self.to_server.extend(frame if isinstance(frame, str) else bytes(frame) for frame in frames)

    async def receive(self) -> list[Frame]:
        await self._news.wait()
        if not self._arrived:
            raise ConnectionClosed(code=self.close_code, reason=self.close_reason)
        arrived, self._arrived = self._arrived, []
        if self.close_code is None:
            self._news.clear()
        return arrived

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._end(code, reason)

    def abort(self) -> None:
        self._end(1006, "aborted")

    def _end(self, code: int, reason: str) -> None:
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
            self._news.set()


class MemoryTransport:
    """A Transport to a server in the same process.

    Args:
        accept: Told of each connection, before the client has it.
    """

    def __init__(self, accept: Callable[[Link], None]) -> None:
        self._accept = accept

    async def connect(self, options: ConnectionOptions) -> Link:
        link = Link()
        self._accept(link)
        return link
