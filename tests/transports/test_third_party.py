"""The conformance suite over a transport of somebody else's, which passes it."""

from __future__ import annotations

from bokehwire.testing.conformance import TransportConformance
from bokehwire.transports import Transport

from .over_websockets import WebsocketsTransport


class TestWebsockets(TransportConformance):
    def make_transport(self) -> Transport:
        return WebsocketsTransport()
