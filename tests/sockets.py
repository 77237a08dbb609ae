"""Small facts about sockets that several helpers need."""

from __future__ import annotations

import socket
import struct


def set_reset_on_close(sock: socket.socket) -> None:
    """Makes the next close of the socket a reset (RST), as a peer sees it that dies or is cut off."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def unused_port() -> int:
    """A port of the loopback interface that nothing listened on a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
