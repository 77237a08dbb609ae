"""The conformance suite: what every transport has to do, whatever library it uses.

Derive a class from `TransportConformance`, named Test..., and give it a `make_transport` method.
"""

from __future__ import annotations

from .cleanup import CleanupTests
from .closing import ClosingTests
from .connecting import ConnectingTests
from .faults import FaultTests
from .frames import FrameTests
from .handshake import HandshakeTests


class TransportConformance(HandshakeTests, ConnectingTests, FrameTests, ClosingTests, FaultTests, CleanupTests):
    """All of it."""
