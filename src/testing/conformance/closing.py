"""Conformance: the end of a connection, by either side."""

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


class ClosingTests(Kit):
    """close(), abort(), and close frames of the peer."""

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [((), (1000, "")), ((1000, "bye"), (1000, "bye")), ((4999, "ö" * 61 + "x"), (4999, "ö" * 61 + "x"))],
    )
    @scenario
    async def test_we_close(self, arguments: tuple[int, str], expected: tuple[int, str]) -> None:
        seen = []

        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            seen.append(await connection.read_close())
            await connection.send_close(expected[0])
            await connection.read_end()

        async with self.talking(script) as (peer, ws):
            await ws.close(*arguments)
            assert seen == [expected]
            assert (ws.close_code, ws.close_reason) == expected
            for attempt in (ws.receive(), ws.send(["more"])):
                with pytest.raises(ConnectionClosed) as caught:
                    await attempt
                assert (caught.value.code, caught.value.reason, caught.value.clean) == (*expected, True)
            await ws.close(1001, "again")
            ws.abort()
            assert (ws.close_code, ws.close_reason) == expected
            await peer.finished()

    @pytest.mark.parametrize(
        ("code", "reason"), [(999, ""), (1005, ""), (1006, ""), (1015, ""), (5000, ""), (10000, ""), (1000, "x" * 124)]
    )
    @scenario
    async def test_a_close_frame_that_may_not_be_sent_is_refused(self, code: int, reason: str) -> None:
        async with self.opened(echo) as ws:
            with pytest.raises(ValueError, match=r"close code|reason"):
                await ws.close(code, reason)
            await ws.send(["still open"])
            assert await ws.receive() == ["still open"]

    @scenario
    async def test_what_was_sent_is_sent_before_the_close_frame(self) -> None:
        received: list[object] = []

        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            received.extend([await connection.read_message() for _ in range(3)])
            received.append(await connection.read_close())
            await connection.send_close()

        async with self.opened(script, receive_buffer=SMALL_BUFFER) as ws:
            sending = asyncio.create_task(ws.send(["head", bytes(LARGE), "tail"]))
            await turns(3)
            await ws.close()
            await sending
        assert received == ["head", bytes(LARGE), "tail", (1000, "")]

    @scenario
    async def test_what_arrived_before_close_can_still_be_received(self) -> None:
        arrived = asyncio.Event()

        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            await connection.send("first", b"second")
            await connection.delivered()
            arrived.set()
            await connection.read_close()
            await connection.send("too late", b"x" * 1_000_000)
            await connection.send_close(1000)

        async with self.opened(script) as ws:
            await arrived.wait()
            await ws.close()
            assert await receive(ws, 2) == ["first", b"second"]
            with pytest.raises(ConnectionClosed):
                await ws.receive()

    @scenario
    async def test_closing_wakes_the_receiver(self) -> None:
        async with self.opened(echo) as ws:
            receiving = asyncio.create_task(ws.receive())
            await turns(2)
            await ws.close(1000, "bye")
            with pytest.raises(ConnectionClosed) as caught:
                await receiving
            assert (caught.value.code, caught.value.reason, caught.value.clean) == (1000, "bye", True)

    @scenario
    async def test_several_calls_close_once(self) -> None:
        seen = []

        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            seen.append(await connection.read_close())
            await connection.send_close()
            assert await connection.read_end() == b""

        async with self.talking(script) as (peer, ws):
            first = asyncio.create_task(ws.close(1000, "one"))
            await turns(1)
            await ws.close(1001, "two")
            # Every call waits for the end, not only the first.
            assert (ws.close_code, ws.close_reason) == (1000, "one")
            await first
            await peer.finished()
        assert seen == [(1000, "one")]

    @pytest.mark.parametrize(
        ("code", "reason"),
        [(code, "because ö") for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014)]
        + [(3000, ""), (4999, "x" * 123)],
    )
    @scenario
    async def test_the_peer_closes(self, code: int, reason: str) -> None:
        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            await connection.send("before")
            await connection.send_close(code, reason)
            await connection.read_end()

        async with self.talking(script) as (peer, ws):
            assert await ws.receive() == ["before"]
            raised: list[ConnectionClosed] = []
            for _ in range(2):
                with pytest.raises(ConnectionClosed) as caught:
                    await ws.receive()
                # One object raised again and again would collect tracebacks.
                assert caught.value not in raised
                raised.append(caught.value)
                assert (caught.value.code, caught.value.reason, caught.value.clean) == (code, reason, True)
                assert type(caught.value) is ConnectionClosed
                assert str(code) in str(caught.value)
                assert reason in str(caught.value)
            assert (ws.close_code, ws.close_reason) == (code, reason)
            with pytest.raises(ConnectionClosed) as caught:
                await ws.send(["more"])
            assert caught.value.code == code
            # The connection has ended before anybody calls close().
            await peer.finished()
            await ws.close()

    @scenario
    async def test_both_close_at_once(self) -> None:
        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            await connection.send_close(4000, "theirs")
            await connection.read_end()

        async with self.opened(script) as ws:
            # Without a turn of the loop in between, their close frame cannot have been read yet.
            await ws.close(1000, "ours")
            assert ws.close_code in (1000, 4000)
            with pytest.raises(ConnectionClosed) as caught:
                await ws.receive()
            assert caught.value.clean

    @timeless
    async def test_the_peer_does_not_read_the_close_frame(self) -> None:
        async with self.opened(accept_and_hold, receive_buffer=SMALL_BUFFER, close_timeout=3.0) as ws:
            first = asyncio.create_task(ws.send([bytes(LARGE)]))
            second = asyncio.create_task(ws.send(["waits for its turn"]))
            await turns(5)
            await ws.close()
            for outcome in await asyncio.gather(first, second, return_exceptions=True):
                assert isinstance(outcome, ConnectionClosed)

    @scenario
    async def test_cancelling_close_drops_the_connection(self) -> None:
        go_on = asyncio.Event()

        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            await go_on.wait()
            await connection.read_end()

        async with self.talking(script) as (peer, ws):
            closing = asyncio.create_task(ws.close())
            also = asyncio.create_task(ws.close())
            await turns(5)
            closing.cancel()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await closing
            await also
            await peer.finished()
            assert ws.close_code == 1006

    @scenario
    async def test_abort_sends_no_close_frame(self) -> None:
        rest = []

        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            rest.append(await connection.read_end())

        async with self.talking(script) as (peer, ws):
            receiving = asyncio.create_task(ws.receive())
            await turns(2)
            ws.abort()
            ws.abort()
            for attempt in (receiving, asyncio.create_task(ws.send(["more"]))):
                with pytest.raises(ConnectionClosed) as caught:
                    await attempt
                assert (caught.value.code, caught.value.clean) == (1006, False)
            await peer.finished()
            await ws.close()
            assert ws.close_code == 1006
        assert rest == [b""]

    @scenario
    async def test_abort_ends_a_send_that_waits(self) -> None:
        async with self.opened(accept_and_hold, receive_buffer=SMALL_BUFFER) as ws:
            sends = [asyncio.create_task(ws.send([bytes(LARGE)])) for _ in range(2)]
            await turns(5)
            ws.abort()
            for outcome in await asyncio.gather(*sends, return_exceptions=True):
                assert isinstance(outcome, ConnectionClosed)

    @scenario
    async def test_abort_ends_a_close_that_waits(self) -> None:
        async with self.talking(accept_and_read) as (peer, ws):
            closing = asyncio.create_task(ws.close())
            await turns(5)
            ws.abort()
            await closing
            await peer.finished()

    @scenario
    async def test_a_full_inbox_is_received_before_the_end(self) -> None:
        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            await connection.send(*[bytes(100_000)] * 30)
            await connection.send_close(1001, "going")

        async with self.opened(script) as ws:
            await turns(50)
            assert len(await receive(ws, 30)) == 30
            with pytest.raises(ConnectionClosed) as caught:
                await ws.receive()
            assert caught.value.code == 1001


class WireClosingTests(NetworkKit):
    """Close frames, byte by byte."""

    @timeless
    async def test_the_peer_does_not_answer_the_close_frame(self) -> None:
        async with self.talking(accept_and_read, close_timeout=3.0) as (peer, ws):
            await ws.close(1000, "bye")
            assert ws.close_code == 1006
            with pytest.raises(ConnectionClosed) as caught:
                await ws.receive()
            assert (caught.value.code, caught.value.clean) == (1006, False)
            await peer.finished()

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (1000, ""),
            (1011, "because ö"),
            (4999, "x" * 123),
            # Bokeh 3's servers close with these, though RFC 6455 does not allow them.
            (10000, "server failed to parse a message"),
            (10001, "protocol error"),
        ],
    )
    @scenario
    async def test_the_peers_close_frame_is_answered(self, code: int, reason: str) -> None:
        answers = []

        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            await connection.send_raw(encode_frame("before") + encode_close(code, reason))
            answers.append(await connection.read_close())
            await connection.read_end()

        async with self.talking(script) as (peer, ws):
            assert await ws.receive() == ["before"]
            with pytest.raises(ConnectionClosed) as caught:
                await ws.receive()
            assert (caught.value.code, caught.value.reason, caught.value.clean) == (code, reason, True)
            await peer.finished()
        assert answers == [(code, "")]

    @scenario
    async def test_the_peer_closes_without_a_code(self) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            await connection.send_close(None)
            assert await connection.read_close() == (None, "")
            await connection.read_end()

        async with self.talking(script) as (peer, ws):
            with pytest.raises(ConnectionClosed) as caught:
                await ws.receive()
            assert (caught.value.code, caught.value.reason, caught.value.clean) == (1005, "", True)
            await peer.finished()

    @pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999])
    @scenario
    async def test_the_peer_closes_with_a_code_that_is_not_allowed(self, code: int) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            await connection.send_raw(encode_frame("before") + encode_close(code, "reason"))
            await connection.read_end()

        async with self.talking(script) as (peer, ws):
            assert await ws.receive() == ["before"]
            with pytest.raises(WebSocketViolation) as caught:
                await ws.receive()
            assert (caught.value.code, caught.value.clean) == (1002, False)
            assert str(code) in caught.value.reason
            await peer.finished()

    @scenario
    async def test_the_peer_closes_the_connection_instead_of_answering(self) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            await connection.read_close()

        async with self.opened(script) as ws:
            await ws.close(1000, "bye")
            with pytest.raises(ConnectionClosed) as caught:
                await ws.receive()
            assert (caught.value.code, caught.value.clean) == (1006, False)

    @scenario
    async def test_frames_behind_a_close_frame_are_not_received(self) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            await connection.send_raw(encode_close(1000, "") + encode_frame("too late") + encode_frame("", Opcode.PING))
            await connection.read_end()

        async with self.opened(script) as ws:
            with pytest.raises(ConnectionClosed) as caught:
                await ws.receive()
            assert caught.value.code == 1000
