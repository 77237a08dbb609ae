"""The scripted peer does what its script says and remembers what it was sent, seen through aiohttp's client."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

import aiohttp
import pytest

from bokehwire.testing.conformance.wire import encode_close

from .faults import Close, Ending, PeerConnection, ScriptedPeer, never_answer, refuse, upgrade
from .leaks import no_leaks
from .live import HOST

T = TypeVar("T")
Client = Callable[[aiohttp.ClientWebSocketResponse], Awaitable[T]]


def visit(peer: ScriptedPeer, client: Client[T]) -> T:
    """Opens a WebSocket to the peer and runs `client` with it."""

    async def scenario() -> T:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(peer.websocket_url("/app"), protocols=["bokeh", "token"], max_msg_size=0) as websocket,
        ):
            return await client(websocket)

    return asyncio.run(scenario())


async def everything(websocket: aiohttp.ClientWebSocketResponse) -> list[object]:
    """All messages up to the end of the connection, then the close code."""
    messages: list[object] = [message.data async for message in websocket]
    return [*messages, websocket.close_code]


def test_refuse() -> None:
    with ScriptedPeer(refuse(418, {"X-Reason": "teapot"}, b"short and stout")) as peer:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            visit(peer, everything)
        assert refused.value.status == 418
        assert refused.value.headers is not None
        assert refused.value.headers["X-Reason"] == "teapot"
        request = peer.last.request
    assert request is not None
    assert (request.method, request.target, request.subprotocols) == ("GET", "/app/ws", ["bokeh", "token"])


def test_never_answer() -> None:
    with ScriptedPeer(never_answer) as peer:

        async def scenario() -> None:
            attempt = asyncio.ensure_future(asyncio.to_thread(visit, peer, everything))
            await asyncio.to_thread(peer.wait_for, lambda: peer.connections and peer.last.request)
            assert not attempt.done()
            await asyncio.to_thread(peer.stop)
            with pytest.raises(aiohttp.ClientError):
                await attempt

        asyncio.run(scenario())


@pytest.mark.parametrize(("subprotocol", "selected"), [("bokeh", "bokeh"), ("token", "token"), (None, None)])
def test_subprotocols(subprotocol: str | None, selected: str | None) -> None:
    async def client(websocket: aiohttp.ClientWebSocketResponse) -> str | None:
        return websocket.protocol

    with ScriptedPeer(upgrade(subprotocol=subprotocol)) as peer:
        assert visit(peer, client) == selected


def test_a_wrong_key() -> None:
    async def script(connection: PeerConnection) -> None:
        await connection.accept(key="another key")

    with (
        ScriptedPeer(script) as peer,
        pytest.raises(aiohttp.WSServerHandshakeError, match="Invalid challenge response"),
    ):
        visit(peer, everything)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 200_000])
def test_frames_of_every_length_go_both_ways(size: int) -> None:
    async def client(websocket: aiohttp.ClientWebSocketResponse) -> tuple[object, object]:
        received = (await websocket.receive()).data, (await websocket.receive()).data
        await websocket.send_str("t" * size)
        await websocket.send_bytes(b"b" * size)
        await websocket.ping()
        return received

    with ScriptedPeer(upgrade("x" * size, b"y" * size)) as peer:
        assert visit(peer, client) == ("x" * size, b"y" * size)
        peer.wait_for(lambda: peer.last.close)
    assert peer.last.received == ["t" * size, b"b" * size]
    assert peer.last.close == Close(1000, "")


def test_the_peer_answers_pings() -> None:
    async def client(websocket: aiohttp.ClientWebSocketResponse) -> object:
        await websocket.ping(b"still there?")
        # The peer echoes text only after the ping, and frames stay in order.
        await websocket.send_str("done")
        return (await websocket.receive()).data

    async def script(connection: PeerConnection) -> None:
        await connection.accept()
        message = await connection.receive()
        assert isinstance(message, str)
        await connection.send(message)
        await connection.drain_client()

    with ScriptedPeer(script) as peer:
        assert visit(peer, client) == "done"


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (Close(1000, "bye"), 1000),
        (Close(1011, "internal"), 1011),
        (Close(10000, "as Bokeh 3, outside of the standard"), 10000),
        (Ending.EOF, 1006),
        (Ending.RESET, 1006),
    ],
)
def test_endings(ending: Close | Ending, expected: int) -> None:
    with ScriptedPeer(upgrade("first", then=ending)) as peer:
        seen = visit(peer, everything)
    assert seen[-1] == expected


def test_a_deaf_peer_fills_the_senders_buffers() -> None:
    head = "GET / HTTP/1.1\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    # More than any kernel puts up with for a reader that does not come.
    enough = 100_000_000
    sent = 0
    with ScriptedPeer(upgrade(then=Ending.DEAF)) as peer, socket.create_connection((HOST, peer.port)) as sock:
        sock.sendall(head.encode())
        assert sock.recv(1000).startswith(b"HTTP/1.1 101 ")
        sock.setblocking(False)
        while sent < enough and select.select([], [sock], [], 0.2)[1]:
            sent += sock.send(bytes(1 << 20))
    assert sent < enough
    assert peer.last.received == []


def test_a_close_frame_may_be_empty() -> None:
    assert encode_close(None, "") == b"\x88\x00"
    assert encode_close(1000, "bye") == b"\x88\x05\x03\xe8bye"


def test_one_script_for_each_connection() -> None:
    with ScriptedPeer([refuse(503), upgrade("hello", then=Close())]) as peer:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            visit(peer, everything)
        for _ in range(2):
            assert visit(peer, everything)[0] == "hello"
        assert len(peer.connections) == 3


def test_an_error_in_a_script_fails_the_test() -> None:
    async def script(connection: PeerConnection) -> None:
        await connection.accept()
        raise LookupError("in the script")

    with pytest.raises(LookupError, match="in the script"), ScriptedPeer(script) as peer:
        visit(peer, everything)


def test_nothing_stays_behind() -> None:
    with no_leaks(), ScriptedPeer(upgrade("hello", then=Ending.EOF)) as peer:
        assert visit(peer, everything)[0] == "hello"
