"""What the conformance tests have in common."""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bokehwire.transports import ConnectError, Transport, WebSocket

from .peer import Peer, Script
from .running import connected, options


class Kit(ABC):
    """The tests of a transport are made by a class that derives from the parts of the suite and gives a transport."""

    @abstractmethod
    def make_transport(self) -> Transport:
        """Give the transport under test."""

    @asynccontextmanager
    async def talking(
        self, script: Script, *, tls: ssl.SSLContext | None = None, receive_buffer: int | None = None, **changes: Any
    ) -> AsyncIterator[tuple[Peer, WebSocket]]:
        """Give a peer that follows the script, and a connection to it; `changes` are options of the connection."""
        async with (
            Peer(script, tls=tls, receive_buffer=receive_buffer) as peer,
            connected(self.make_transport(), peer.url, **changes) as ws,
        ):
            yield peer, ws

    @asynccontextmanager
    async def opened(self, script: Script, **changes: Any) -> AsyncIterator[WebSocket]:
        """Give the connection only."""
        async with self.talking(script, **changes) as (_, ws):
            yield ws

    async def failure(self, script: Script, **changes: Any) -> ConnectError:
        """Give the error that connecting to such a peer ends in."""
        async with Peer(script) as peer:
            with pytest.raises(ConnectError) as caught:
                await self.make_transport().connect(options(peer.url, **changes))
            assert caught.value.url == peer.url
            assert peer.url in str(caught.value)
            # Each script goes on until it sees the end of the connection, which must not wait for a collection.
            await peer.finished()
        return caught.value
