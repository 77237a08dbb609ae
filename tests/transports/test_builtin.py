"""The conformance suite over the transports that come with the package."""

from __future__ import annotations

import asyncio

import pytest
from tornado.ioloop import IOLoop

from bokehwire.testing.conformance import NetworkConformance, TransportConformance
from bokehwire.testing.conformance.cleanup import use_once
from bokehwire.testing.conformance.kit import Kit
from bokehwire.testing.conformance.peer import Peer, PeerConnection, Script, echo
from bokehwire.testing.conformance.running import connected, descriptors, no_complaints, timeless
from bokehwire.transports import Transport, resolve

from .asgi_peer import AsgiPeer


class TestTornado(NetworkConformance):
    def make_transport(self) -> Transport:
        return resolve("tornado")


class TestAiohttp(NetworkConformance):
    def make_transport(self) -> Transport:
        return resolve("aiohttp")


class TestAsgi(TransportConformance):
    def make_transport(self) -> Transport:
        return AsgiPeer(echo).transport

    def serve(self, script: Script, *, receive_buffer: int | None = None) -> Peer:
        return AsgiPeer(script)

    def transport_to(self, peer: Peer) -> Transport:
        assert isinstance(peer, AsgiPeer)
        return peer.transport


class ByName(Kit):
    def __init__(self, name: str) -> None:
        self._name = name

    def make_transport(self) -> Transport:
        return resolve(self._name)


@pytest.mark.parametrize("name", ["tornado", "aiohttp"])
def test_a_tornado_loop_in_the_calling_thread(name: str) -> None:
    before = descriptors()
    with no_complaints():
        io_loop = IOLoop(make_current=False)
        try:
            for _ in range(2):
                io_loop.run_sync(lambda: use_once(ByName(name)))
        finally:
            io_loop.close()
    assert descriptors() == before


@pytest.mark.parametrize("name", ["tornado", "aiohttp"])
@timeless
async def test_the_setting_says_how_long_to_wait_for_a_close_frame(name: str) -> None:
    async def script(connection: PeerConnection) -> None:
        await connection.accept()
        await connection.read_close()
        # tornado on its own gives a peer 5 seconds.
        await asyncio.sleep(10)
        await connection.send_close(1000)

    async with Peer(script) as peer, connected(resolve(name), peer.url, close_timeout=15.0) as ws:
        await ws.close(1000, "bye")
        assert (ws.close_code, ws.close_reason) == (1000, "bye")
