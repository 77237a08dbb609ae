"""Conformance: peers that vanish, fall silent, or break the protocol."""

from __future__ import annotations

import asyncio

import pytest

from ...transports import ConnectionClosed, WebSocketViolation
from .kit import Kit, NetworkKit
from .peer import MessageConnection, PeerConnection, accept_and_hold, accept_and_read, echo
from .running import receive, scenario, timeless, turns
from .wire import Opcode, encode_close, encode_frame

LARGE = 16 * 1024 * 1024
SMALL_BUFFER = 64 * 1024


class FaultTests(Kit):
    """Loss, silence, and frames that RFC 6455 does not allow."""

    @scenario
    async def test_frames_before_the_end_are_received_first(self) -> None:
        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            await connection.send(*map(str, range(1000)), bytes(300_000))

        async with self.talking(script) as (peer, ws):
            await peer.finished()
            assert await receive(ws, 1001) == [*map(str, range(1000)), bytes(300_000)]
            with pytest.raises(ConnectionClosed):
                await ws.receive()

    @timeless
    async def test_without_pings_silence_is_no_fault(self) -> None:
        async with self.opened(echo) as ws:
            await ws.send(["are you there?"])
            assert await ws.receive() == ["are you there?"]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.receive(), 1000)
            await ws.send(["still"])
            assert await ws.receive() == ["still"]


class WireFaultTests(NetworkKit):
    """Loss, silence, and frames that RFC 6455 does not allow."""

    @pytest.mark.parametrize(
        "rest",
        [b"", b"\x81", b"\x81\x05abc", b"\x82\x7f\0\0", encode_frame("half", final=False)],
        ids=["between frames", "in a header", "in a payload", "in a length", "in a fragmented message"],
    )
    @pytest.mark.parametrize("how", ["end", "half", "reset"])
    @scenario
    async def test_the_connection_is_lost(self, rest: bytes, how: str) -> None:
        go_on = asyncio.Event()

        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            await connection.send_raw(encode_frame("before") + rest)
            # A reset overtakes what the client's kernel has not handed out.
            await go_on.wait()
            if how == "half":
                connection.writer.write_eof()
                await connection.read_end()
            elif how == "reset":
                connection.reset()

        async with self.talking(script) as (peer, ws):
            assert await ws.receive() == ["before"]
            go_on.set()
            for _ in range(2):
                with pytest.raises(ConnectionClosed) as caught:
                    await ws.receive()
                assert type(caught.value) is ConnectionClosed
                assert (caught.value.code, caught.value.clean) == (1006, False)
                assert "lost" in caught.value.reason
            assert ws.close_code == 1006
            with pytest.raises(ConnectionClosed):
                await ws.send(["more"])
            await ws.close()
            await peer.finished()

    @pytest.mark.parametrize("how", ["end", "reset"])
    @scenario
    async def test_the_connection_is_lost_while_sending(self, how: str) -> None:
        go_on = asyncio.Event()

        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            connection.pause_reading()
            await go_on.wait()
            if how == "reset":
                connection.reset()
            else:
                connection.writer.transport.abort()

        async with self.opened(script, receive_buffer=SMALL_BUFFER) as ws:
            sends = [asyncio.create_task(ws.send(["head", bytes(LARGE), "tail"])) for _ in range(2)]
            await turns(5)
            go_on.set()
            for outcome in await asyncio.gather(*sends, return_exceptions=True):
                assert isinstance(outcome, ConnectionClosed)
                assert (outcome.code, outcome.clean) == (1006, False)
            with pytest.raises(ConnectionClosed):
                await ws.receive()

    @pytest.mark.parametrize(
        "data",
        [
            encode_frame(b"\xff", Opcode.TEXT),
            encode_frame("€".encode()[:2], Opcode.TEXT),
            encode_frame(b"\xed\xa0\x80", Opcode.TEXT),
            encode_frame(b"a", Opcode.TEXT, final=False) + encode_frame(b"\xff", Opcode.CONTINUATION),
            b"\xc1\x01a",
            b"\xa1\x01a",
            b"\x91\x01a",
            b"\x83\x01a",
            b"\x8b\x01a",
            encode_frame(b"a", Opcode.CONTINUATION),
            encode_frame("a", final=False) + encode_frame("b"),
            encode_frame(b"", Opcode.PING, final=False),
            encode_frame(b"x" * 126, Opcode.PING),
            encode_frame(b"\x03\xe8\xff", Opcode.CLOSE),
        ],
        ids=[
            "text that is not UTF-8",
            "text that ends in a character",
            "text with a surrogate",
            "fragmented text that is not UTF-8",
            "first reserved bit",
            "second reserved bit",
            "third reserved bit",
            "unknown opcode",
            "unknown control opcode",
            "continuation of nothing",
            "message within a message",
            "fragmented ping",
            "long ping",
            "close reason that is not UTF-8",
        ],
    )
    @scenario
    async def test_an_invalid_frame_ends_the_connection(self, data: bytes) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            await connection.send_raw(encode_frame("before") + data + encode_frame("after"))
            await connection.read_end()

        async with self.talking(script) as (peer, ws):
            assert await ws.receive() == ["before"]
            for _ in range(2):
                with pytest.raises(WebSocketViolation) as caught:
                    await ws.receive()
                assert (caught.value.code, caught.value.clean) == (1002, False)
                assert caught.value.reason
            with pytest.raises(WebSocketViolation):
                await ws.send(["more"])
            await peer.finished()

    @timeless
    async def test_a_silent_peer_ends_in_a_ping_timeout(self) -> None:
        async with self.talking(accept_and_read, ping_interval=20.0) as (peer, ws):
            with pytest.raises(ConnectionClosed, match="ping timeout") as caught:
                await ws.receive()
            assert (caught.value.code, caught.value.clean) == (1006, False)
            assert "ping timeout" in ws.close_reason
            with pytest.raises(ConnectionClosed, match="ping timeout"):
                await ws.send(["more"])
            await peer.finished()

    @timeless
    async def test_a_ping_timeout_ends_a_send_that_waits(self) -> None:
        async with self.opened(accept_and_hold, receive_buffer=SMALL_BUFFER, ping_interval=20.0) as ws:
            with pytest.raises(ConnectionClosed, match="ping timeout"):
                await ws.send([bytes(LARGE)])

    @pytest.mark.parametrize(("interval", "timeout"), [(20.0, 5.0), (20.0, 20.0), (5.0, 20.0), (20.0, None)])
    @pytest.mark.parametrize("answer", ["pong", "message"])
    @timeless
    async def test_a_peer_that_gives_signs_of_life_stays_connected(
        self, answer: str, interval: float, timeout: float | None
    ) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            for _ in range(10):
                frame = await connection.read_frame()
                assert frame.opcode is Opcode.PING
                if answer == "pong":
                    await connection.send_raw(encode_frame(frame.payload, Opcode.PONG))
                else:
                    await connection.send("here")
            await connection.send("done")
            await connection.read_end()

        async with self.opened(script, ping_interval=interval, ping_timeout=timeout) as ws:
            frames = await ws.receive()
            while frames[-1] != "done":
                frames += await ws.receive()
            assert ws.close_code is None

    @timeless
    async def test_a_full_inbox_is_no_ping_timeout(self) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            await connection.send(*[bytes(100_000)] * 100)
            # From here on the pings are read, but the pongs wait behind what the client does not read.
            pings = 0
            while pings < 3:
                pings += (await connection.read_frame()).opcode is Opcode.PING
            await connection.send("done")
            await connection.read_end()

        async with self.opened(script, ping_interval=5.0, ping_timeout=2.0) as ws:
            await asyncio.sleep(100)
            frames = await receive(ws, 101)
            assert frames[-1] == "done"

    @timeless
    async def test_a_ping_that_is_far_off_does_not_hold_up_the_end(self) -> None:
        async with self.opened(echo, ping_interval=1000.0) as ws:
            await ws.close()
            assert ws.close_code == 1000

    @timeless
    async def test_pings_end_with_the_connection(self) -> None:
        seen = []

        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            await connection.send_raw(encode_close(1000, ""))
            while True:
                seen.append((await connection.read_frame()).opcode)

        async with self.talking(script, ping_interval=1.0) as (peer, ws):
            with pytest.raises(ConnectionClosed):
                await ws.receive()
            await peer.finished()
        assert seen.count(Opcode.CLOSE) == 1
        assert seen[-1] is Opcode.CLOSE
