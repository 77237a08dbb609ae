"""What the conformance tests have in common."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ...transports import ConnectError, Transport, WebSocket
from .peer import Peer, Script
from .running import connected, options


class Kit:
    """The tests of a transport are made by a class that derives from the parts of the suite and gives a transport.

    Only a transport that needs another kind of server than a WebSocket server overrides `serve` and `transport_to`.
    """

    def make_transport(self) -> Transport:
        """Give the transport under test. To be overridden.

        Raises:
            NotImplementedError: It is not. An abstract method will not do: pytest passes over classes that have one
                without a word.
        """
        raise NotImplementedError(f"{type(self).__name__} has to give its transport: define make_transport(self).")

    def serve(self, script: Script, *, receive_buffer: int | None = None) -> Peer:
        """Give a server, not started, that follows a script with each connection.

        Args:
            script: What it does.
            receive_buffer: How much a peer that does not read may have taken from the connection all the same, in
                bytes, roughly; None for as much as is usual.
        """
        return Peer(script, receive_buffer=receive_buffer)

    def transport_to(self, peer: Peer) -> Transport:
        """Give a transport that reaches the peer, which runs."""
        return self.make_transport()

    @asynccontextmanager
    async def talking(
        self, script: Script, *, receive_buffer: int | None = None, **changes: Any
    ) -> AsyncIterator[tuple[Peer, WebSocket]]:
        """Give a peer that follows the script, and a connection to it; `changes` are options of the connection."""
        async with (
            self.serve(script, receive_buffer=receive_buffer) as peer,
            connected(self.transport_to(peer), peer.url, **changes) as ws,
        ):
            yield peer, ws

    @asynccontextmanager
    async def opened(self, script: Script, **changes: Any) -> AsyncIterator[WebSocket]:
        """Give the connection only."""
        async with self.talking(script, **changes) as (_, ws):
            yield ws

    async def failure(self, script: Script, **changes: Any) -> ConnectError:
        """Give the error that connecting to such a peer ends in."""
        async with self.serve(script) as peer:
            with pytest.raises(ConnectError) as caught:
                await self.transport_to(peer).connect(options(peer.url, **changes))
            assert caught.value.url == peer.url
            assert peer.url in str(caught.value)
            # Each script goes on until it sees the end of the connection, which must not wait for a collection.
            await peer.finished()
        return caught.value


class NetworkKit(Kit):
    """For the tests that look at bytes, sockets and addresses."""

    def serve(self, script: Script, *, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None) -> Peer:
        """Give a WebSocket server, with TLS if there are settings for it."""
        return Peer(script, tls=tls, receive_buffer=receive_buffer)

    @asynccontextmanager
    async def talking(
        self, script: Script, *, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None, **changes: Any
    ) -> AsyncIterator[tuple[Peer, WebSocket]]:
        """Give a peer that follows the script, and a connection to it."""
        async with (
            self.serve(script, tls=tls, receive_buffer=receive_buffer) as peer,
            connected(self.make_transport(), peer.url, **changes) as ws,
        ):
            yield peer, ws
