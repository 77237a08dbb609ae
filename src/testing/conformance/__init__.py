"""The conformance suite: what every transport has to do, whatever library it uses.

Derive a class from `TransportConformance`, named Test..., and give it a `make_transport` method; pytest does the rest.
A transport that speaks TCP and HTTP itself, as those of this package do, can derive from `NetworkConformance`, which
looks at every byte besides.
"""

from __future__ import annotations

from .cleanup import CleanupTests, WireCleanupTests
from .closing import ClosingTests, WireClosingTests
from .connecting import ConnectingTests, WireConnectingTests
from .faults import FaultTests, WireFaultTests
from .frames import FrameTests, WireFrameTests
from .handshake import HandshakeTests, WireHandshakeTests

__all__ = ["NetworkConformance", "TransportConformance"]


class TransportConformance(HandshakeTests, ConnectingTests, FrameTests, ClosingTests, FaultTests, CleanupTests):
    """What the layers above a transport rely on: see `bokehwire.transports.base`."""


class NetworkConformance(
    TransportConformance,
    WireHandshakeTests,
    WireConnectingTests,
    WireFrameTests,
    WireClosingTests,
    WireFaultTests,
    WireCleanupTests,
):
    """All of it, with the WebSocket protocol on the wire, and how TCP connections are made, used and lost."""
