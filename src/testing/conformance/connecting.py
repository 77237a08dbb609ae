"""Conformance: getting as far as the handshake, or not."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ...transports import ConnectError, ConnectTimeout, InvalidHandshake, InvalidURL
from .kit import Kit, NetworkKit
from .peer import HOST, MessageConnection, PeerConnection, accept_and_read, echo
from .running import DEADLINE, connected, options, receive, scenario, timeless

# A time limit that is meant to run out.
SHORT = 0.05

_CERTIFICATE = Path(__file__).with_name("localhost.pem")

# Elsewhere, a full queue refuses connections.
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs a port that does not answer")


class ConnectingTests(Kit):
    """URLs, look-ups, TCP, and time limits."""

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "localhost:5006/ws",
            "http://127.0.0.1/ws",
            "https://127.0.0.1/ws",
            "ws:///ws",
            "ws://:5006/ws",
            "ws://127.0.0.1:0/ws",
            "ws://127.0.0.1:65536/ws",
            "ws://127.0.0.1:port/ws",
            "ws://127.0.0.1:5006/a b",
            "ws://127.0.0.1:5006/ws\r\nX-Evil: 1",
            "ws://127.0.0.1:5006/ws#part",
            "ws://[::1/ws",
            "ws://[nonsense]/ws",
            "ws://127.1/ws",
            "ws://2130706433/ws",
            f"ws://{'x' * 64}.example/ws",
        ],
    )
    @scenario
    async def test_a_url_that_cannot_be_used_is_refused(self, url: str) -> None:
        with pytest.raises(InvalidURL) as caught:
            await self.make_transport().connect(options(url))
        assert caught.value.url == url

    @timeless
    async def test_a_peer_that_does_not_answer(self) -> None:
        async def script(connection: MessageConnection) -> None:
            await connection.read_end()

        assert isinstance(await self.failure(script, connect_timeout=SHORT), ConnectTimeout)

    @scenario
    async def test_no_timeout(self) -> None:
        async with (
            self.serve(accept_and_read) as peer,
            connected(self.transport_to(peer), peer.url, connect_timeout=None) as ws,
        ):
            assert ws.subprotocol == "bokeh"


class WireConnectingTests(NetworkKit):
    """Look-ups, TCP, TLS, and time limits."""

    @timeless
    async def test_timeout_in_the_middle_of_the_answer(self) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.read_request()
            await connection.send_raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n")
            await connection.read_end()

        assert isinstance(await self.failure(script, connect_timeout=SHORT), ConnectTimeout)

    @scenario
    async def test_nothing_listening(self) -> None:
        with closed_port(HOST) as port:
            url = f"ws://{HOST}:{port}/ws"
            with pytest.raises(ConnectError) as caught:
                await self.make_transport().connect(options(url))
        assert type(caught.value) is ConnectError
        assert caught.value.url == url
        assert isinstance(caught.value.__cause__, OSError)

    @scenario
    async def test_a_host_that_does_not_exist(self) -> None:
        def fail(*args: object, **kwargs: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", fail)
            with pytest.raises(ConnectError) as caught:
                await self.make_transport().connect(options("ws://no.such.host.invalid:5006/ws"))
        assert type(caught.value) is ConnectError
        assert "Name or service not known" in str(caught.value)

    @pytest.mark.parametrize("others", [["127.0.0.2"], ["127.0.0.2", "127.0.0.3"], ["::1"]])
    @scenario
    async def test_the_next_address_is_tried_when_one_refuses(self, others: list[str]) -> None:
        async with self.serve(echo) as peer:
            with resolving(*others, HOST):
                async with connected(self.make_transport(), f"ws://several.example:{peer.port}/ws") as ws:
                    await ws.send(["hello"])
                    assert await ws.receive() == ["hello"]
                    request = await (await peer.connection()).requested
        assert request.headers["host"] == f"several.example:{peer.port}"

    @linux_only
    @scenario
    async def test_the_next_address_is_tried_when_one_does_not_answer(self) -> None:
        with (
            silent_port("127.0.0.2") as port,
            socket.create_server((HOST, port)) as listener,
            resolving("127.0.0.2", HOST),
        ):
            task = asyncio.create_task(self.make_transport().connect(options(f"ws://two.example:{port}/ws")))
            listener.setblocking(False)
            accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
            accepted.close()
            with pytest.raises(InvalidHandshake):
                await task

    @scenario
    async def test_no_address_answers(self) -> None:
        with (
            closed_port("0.0.0.0") as port,
            resolving("127.0.0.2", "127.0.0.3"),
            pytest.raises(ConnectError) as caught,
        ):
            await self.make_transport().connect(options(f"ws://two.example:{port}/ws"))
        assert type(caught.value) is ConnectError

    @linux_only
    @timeless
    async def test_timeout_while_connecting(self) -> None:
        with silent_port(HOST) as port:
            url = f"ws://{HOST}:{port}/ws"
            with pytest.raises(ConnectTimeout, match="connect_timeout") as caught:
                await self.make_transport().connect(options(url, connect_timeout=SHORT))
        assert caught.value.url == url

    @scenario
    async def test_timeout_during_the_look_up(self) -> None:
        with resolving(HOST) as release:
            release.clear()
            try:
                with pytest.raises(ConnectTimeout):
                    await self.make_transport().connect(options("ws://slow.example:5006/ws", connect_timeout=SHORT))
            finally:
                release.set()

    @scenario
    async def test_tls(self) -> None:
        async with self.opened(echo, tls=server_tls(), ssl_context=client_tls()) as ws:
            await ws.send(["text", b"\0" * 300_000])
            assert await receive(ws, 2) == ["text", b"\0" * 300_000]
            await ws.close(1000, "bye")
            assert (ws.close_code, ws.close_reason) == (1000, "bye")

    @scenario
    async def test_tls_with_a_certificate_that_nobody_vouches_for(self) -> None:
        async with self.serve(echo, tls=server_tls()) as peer:
            with pytest.raises(ConnectError, match=r"(?i)certificate verify failed") as caught:
                await self.make_transport().connect(options(peer.url, ssl_context=ssl.create_default_context()))
        assert type(caught.value) is ConnectError

    @scenario
    async def test_tls_to_a_peer_without(self) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.reader.read(1)
            await connection.send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await connection.read_end()

        async with self.serve(script) as peer:
            with pytest.raises(ConnectError) as caught:
                await self.make_transport().connect(
                    options(peer.url.replace("ws://", "wss://"), ssl_context=client_tls())
                )
            await peer.finished()
        assert type(caught.value) is ConnectError

    @timeless
    async def test_timeout_during_the_tls_handshake(self) -> None:
        async with self.serve(read_only) as peer:
            with pytest.raises(ConnectTimeout):
                await self.make_transport().connect(
                    options(peer.url.replace("ws://", "wss://"), ssl_context=client_tls(), connect_timeout=SHORT)
                )
            await peer.finished()


async def read_only(connection: PeerConnection) -> None:
    """Say nothing at all."""
    await connection.read_end()


def server_tls() -> ssl.SSLContext:
    """Give a server's TLS settings, with a certificate for localhost that was made for these tests."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_CERTIFICATE)
    return context


def client_tls() -> ssl.SSLContext:
    """Give TLS settings that trust that server."""
    return ssl.create_default_context(cafile=str(_CERTIFICATE))


@contextmanager
def resolving(*addresses: str) -> Iterator[threading.Event]:
    """Make the system's look-up give these addresses for each name under .example, once the event is set, as it is."""
    original = socket.getaddrinfo
    go = threading.Event()
    go.set()

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if not str(host).endswith(".example"):
            return original(host, port, *args, **kwargs)
        assert go.wait(DEADLINE)
        found: list[Any] = []
        for address in addresses:
            found += original(address, port, type=socket.SOCK_STREAM)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        yield go


@contextmanager
def closed_port(host: str) -> Iterator[int]:
    """Give a port that refuses connections: nobody listens, and nobody else can take it meanwhile."""
    with socket.socket() as sock:
        sock.bind((host, 0))
        yield sock.getsockname()[1]


@contextmanager
def silent_port(host: str) -> Iterator[int]:
    """Give a port that does not answer attempts to connect to it: its queue is full, and nobody empties it."""
    with socket.socket() as listener, socket.socket() as filler:
        listener.bind((host, 0))
        listener.listen(0)
        filler.connect(listener.getsockname())
        yield listener.getsockname()[1]
