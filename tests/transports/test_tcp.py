"""What the built-in transports do to TCP, which is what their latency comes from: see src/transports/_socket.py."""

from __future__ import annotations

import gc
import socket
import struct
import sys
from typing import Any

import pytest

from bokehwire.testing.conformance.peer import Peer, PeerConnection, accept_and_read
from bokehwire.testing.conformance.running import connected, scenario
from bokehwire.transports import resolve

pytestmark = pytest.mark.parametrize("name", ["tornado", "aiohttp"])

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="these socket options are Linux's")

# struct tcp_info of linux/tcp.h.
_UNACKED_AT = 24
_DATA_SEGMENTS_IN_AT = 152


def tcp_info(sock: Any, offset: int) -> int:
    """Give a field of what the kernel knows about a connection."""
    info: bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    (value,) = struct.unpack_from("I", info, offset)
    assert isinstance(value, int)
    return value


def other_end(sock: Any) -> socket.socket:
    """Find the client's socket of a connection in this process."""
    (found,) = (
        candidate
        for candidate in gc.get_objects()
        if isinstance(candidate, socket.socket)
        and candidate.fileno() != -1
        and candidate.getsockname() == sock.getpeername()
    )
    assert isinstance(found, socket.socket)
    return found


@scenario
async def test_nagle_is_off(name: str) -> None:
    async with Peer(accept_and_read) as peer, connected(resolve(name), peer.url):
        client = other_end((await peer.connection()).socket)
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@linux_only
@pytest.mark.parametrize("frames", [["header", "metadata", "content"], ["x" * 300, b"y" * 5000, "z" * 300, b""]])
@scenario
async def test_a_message_of_several_frames_is_one_segment(name: str, frames: list[str | bytes]) -> None:
    async def script(connection: PeerConnection) -> None:
        await connection.accept()
        while True:
            before = tcp_info(connection.socket, _DATA_SEGMENTS_IN_AT)
            for _ in frames:
                await connection.read_message()
            segments.append(tcp_info(connection.socket, _DATA_SEGMENTS_IN_AT) - before)
            await connection.send("next")

    segments: list[int] = []
    async with Peer(script) as peer, connected(resolve(name), peer.url) as ws:
        for _ in range(5):
            await ws.send(frames)
            assert other_end(peer.connections[0].socket).getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 0
            await ws.receive()
    assert segments == [1] * 5


@linux_only
@scenario
async def test_what_was_read_is_acknowledged_at_once(name: str) -> None:
    async def script(connection: PeerConnection) -> None:
        await connection.accept()
        while True:
            await connection.read_message()
            await connection.send("answer")

    unacknowledged = []
    async with Peer(script) as peer, connected(resolve(name), peer.url) as ws:
        for _ in range(50):
            await ws.send(["question"])
            assert await ws.receive() == ["answer"]
            # With questions and answers taking turns, the kernel waits for the next question to put its ACK on.
            unacknowledged.append(tcp_info(peer.connections[0].socket, _UNACKED_AT))
    assert unacknowledged == [0] * 50
