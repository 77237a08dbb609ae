"""The connection is lost when all is confirmed, and a conflict is not settled yet; on a real server."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from bokeh.document import Document

from bokehwire import AsyncClientSession, ConnectionLost, async_pull_session
from bokehwire.transports import ConnectionOptions, Frame, WebSocket, resolve

from ..apps import model
from ..live import LiveServer
from .spying import SpySocket, SpyTransport


@dataclass
class LosingTransport(SpyTransport):
    """A transport that loses the connection instead of handing out a certain message.

    Attributes:
        kind: Which kind of message.
        after: How many of that kind are handed out before; None for all of them.
    """

    kind: str = "PULL-DOC-REPLY"
    after: int | None = None

    async def connect(self, options: ConnectionOptions) -> WebSocket:
        """Connect through the transport that does the work."""
        return LosingSocket(await resolve(self.name).connect(options), self)

    def is_due(self, frame: Frame) -> bool:
        """Say whether the connection is to be lost now."""
        if self.after is None or not isinstance(frame, str):
            return False
        text = json.loads(frame)
        if text.get("header", text).get("msgtype") != self.kind:
            return False
        self.after -= 1
        return self.after < 0


class LosingSocket(SpySocket):
    """An open connection of it."""

    def __init__(self, inner: WebSocket, transport: LosingTransport) -> None:
        super().__init__(inner, transport)
        self._transport = transport

    async def receive(self) -> list[Frame]:
        """Receive, or drop the connection."""
        frames = await super().receive()
        if any(map(self._transport.is_due, frames)):
            self.abort()
            return await super().receive()
        return frames


async def pulled(server: LiveServer, transport: LosingTransport) -> AsyncClientSession:
    session = await async_pull_session(url=server.url("/slider"), transport=transport)
    await session.force_roundtrip()
    return session


@pytest.mark.parametrize("name", ["tornado", "aiohttp"])
def test_a_pull_that_cannot_give_back_what_was_changed_meanwhile_says_so(name: str, server: LiveServer) -> None:
    async def scenario() -> None:
        transport = LosingTransport(name)
        session = await pulled(server, transport)
        transport.after = 1  # the pull's own
        pull = asyncio.ensure_future(session.pull())
        await asyncio.sleep(0)
        model(session.document, "slider").value = 7
        with pytest.raises(ConnectionLost):
            await pull
        assert await server.aedit(session.id, lambda there: model(there, "slider").value, "/slider") == 7
        await session.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["tornado", "aiohttp"])
def test_a_round_trip_that_cannot_tell_what_both_have_changed_says_so(name: str, server: LiveServer) -> None:
    async def scenario() -> None:
        transport = LosingTransport(name)
        session = await pulled(server, transport)

        def react(there: Document) -> None:
            slider: Any = model(there, "slider")
            slider.on_change("value", lambda attr, old, new: setattr(slider, "value", 9) if new == 7 else None)

        await server.aedit(session.id, react, "/slider")
        transport.after = 0
        model(session.document, "slider").value = 7
        with pytest.raises(ConnectionLost):
            await session.force_roundtrip()
        await session.close()

    asyncio.run(scenario())
