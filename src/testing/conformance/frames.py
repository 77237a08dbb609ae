"""Conformance: messages in both directions."""

from __future__ import annotations

import array
import asyncio
from typing import Any

import pytest

from ...transports import ConnectionClosed, Frame, MessageTooBig, OutgoingFrame
from .kit import Kit, NetworkKit
from .peer import MessageConnection, PeerConnection, echo
from .running import receive, scenario, timeless, turns
from .wire import Opcode, encode_frame

# More than the kernel keeps for a reader that does not read, with the small buffer that the peers ask for.
LARGE = 16 * 1024 * 1024
SMALL_BUFFER = 64 * 1024


class FrameTests(Kit):
    """Order, kinds, sizes, batches, backpressure, and what cancellation must not break."""

    @scenario
    async def test_text_and_binary_of_every_length_come_back_in_order(self) -> None:
        messages: list[OutgoingFrame] = []
        for size in (0, 1, 125, 126, 127, 65535, 65536, 65537, 1_000_000):
            messages += ["x" * size, b"\xff" * size]
        messages += ["äöü€😀", "\0\n", bytes(range(256))]
        async with self.opened(echo) as ws:
            for message in messages:
                await ws.send([message])
                assert await ws.receive() == [message]
            sending = asyncio.create_task(ws.send(messages))
            assert await receive(ws, len(messages)) == messages
            await sending

    @scenario
    async def test_bytes_in_other_clothes(self) -> None:
        numbers = array.array("d", [1.5, 2.5])
        part = memoryview(bytes(range(100)))[10:20]
        async with self.opened(echo) as ws:
            await ws.send(
                [bytearray(b"one"), memoryview(numbers), memoryview(numbers).cast("B").cast("d", (1, 2)), part]
            )
            assert await receive(ws, 4) == [b"one", numbers.tobytes(), numbers.tobytes(), bytes(range(10, 20))]

    @pytest.mark.parametrize("wrong", [1, None, ["nested"], memoryview(b"0123")[::2], "\ud800"])
    @scenario
    async def test_what_cannot_be_sent_is_refused_before_anything_is(self, wrong: Any) -> None:
        async with self.opened(echo) as ws:
            with pytest.raises((TypeError, ValueError)):
                await ws.send(["before", wrong, "after"])
            await ws.send(["next"])
            assert await ws.receive() == ["next"]

    @scenario
    async def test_no_frames_are_no_message(self) -> None:
        async with self.opened(echo) as ws:
            await ws.send([])
            await ws.send(("in a tuple",))
            assert await ws.receive() == ["in a tuple"]

    @scenario
    async def test_what_has_arrived_is_received_at_once(self) -> None:
        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            await connection.send(*map(str, range(50)))
            await connection.read_end()

        async with self.opened(script) as ws:
            batches: list[list[Frame]] = []
            while sum(len(batch) for batch in batches) < 50:
                batches.append(await ws.receive())
            assert [frame for batch in batches for frame in batch] == list(map(str, range(50)))
            assert len(batches) < 5

    @scenario
    async def test_only_one_call_may_receive(self) -> None:
        async with self.opened(echo) as ws:
            first = asyncio.create_task(ws.receive())
            await turns(2)
            with pytest.raises(RuntimeError):
                await ws.receive()
            await ws.send(["hello"])
            assert await first == ["hello"]

    @scenario
    async def test_cancelling_receive_loses_nothing(self) -> None:
        count = 400

        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            for number in range(count):
                await connection.send(str(number))
                await turns(number % 3)
            await connection.read_end()

        async with self.opened(script) as ws:
            frames: list[Frame] = []
            attempt = 0
            while len(frames) < count:
                attempt += 1
                task = asyncio.create_task(ws.receive())
                await turns(attempt % 6)
                task.cancel()
                outcome = (await asyncio.gather(task, return_exceptions=True))[0]
                if isinstance(outcome, list):
                    frames += outcome
            assert frames == list(map(str, range(count)))

    @scenario
    async def test_concurrent_senders_do_not_interleave(self) -> None:
        senders, count = 8, 5
        received: list[str | bytes] = []

        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            received.extend([await connection.read_message() for _ in range(senders * count * 3)])
            await connection.send("done")
            await connection.read_end()

        async with self.opened(script, receive_buffer=SMALL_BUFFER) as ws:

            async def send(name: str) -> None:
                for number in range(count):
                    await ws.send([f"{name}.{number}", bytes(100_000 * (number % 3)), f"{name}.{number} end"])

            await asyncio.gather(*(send(str(sender)) for sender in range(senders)))
            assert await ws.receive() == ["done"]
        assert [f"{head!s} end" for head in received[::3]] == received[2::3]
        for sender in range(senders):
            own = [head for head in received[::3] if str(head).startswith(f"{sender}.")]
            assert own == [f"{sender}.{number}" for number in range(count)]

    @timeless
    async def test_sending_waits_for_a_peer_that_does_not_read(self) -> None:
        go_on = asyncio.Event()
        received: list[str | bytes] = []

        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            connection.pause_reading()
            await go_on.wait()
            connection.resume_reading()
            received.extend([await connection.read_message() for _ in range(3)])
            await connection.send("done")
            await connection.read_end()

        async with self.opened(script, receive_buffer=SMALL_BUFFER) as ws:
            first = asyncio.create_task(ws.send(["first", bytes(LARGE)]))
            second = asyncio.create_task(ws.send(["second"]))
            done, _ = await asyncio.wait({first, second}, timeout=1)
            assert done == set()
            go_on.set()
            await asyncio.gather(first, second)
            assert await ws.receive() == ["done"]
        assert received == ["first", bytes(LARGE), "second"]

    @scenario
    async def test_a_cancelled_message_is_sent_whole_or_not_at_all(self) -> None:
        go_on = asyncio.Event()
        received: list[str | bytes] = []

        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            connection.pause_reading()
            await go_on.wait()
            connection.resume_reading()
            received.extend([await connection.read_message() for _ in range(4)])
            await connection.send("done")
            await connection.read_end()

        async with self.opened(script, receive_buffer=SMALL_BUFFER) as ws:
            started = asyncio.create_task(ws.send(["head", bytes(LARGE), "tail"]))
            await turns(5)
            waiting = asyncio.create_task(ws.send(["never sent"]))
            last = asyncio.create_task(ws.send(["last"]))
            await turns(5)
            started.cancel()
            waiting.cancel()
            await asyncio.gather(started, waiting, return_exceptions=True)
            assert started.cancelled()
            assert waiting.cancelled()
            go_on.set()
            await last
            assert await ws.receive() == ["done"]
        assert received == ["head", bytes(LARGE), "tail", "last"]

    @timeless
    async def test_a_peer_waits_for_a_client_that_does_not_receive(self) -> None:
        sent = 0
        count, size = 512, 64 * 1024

        async def script(connection: MessageConnection) -> None:
            nonlocal sent
            await connection.accept()
            for number in range(count):
                await connection.send(number.to_bytes(4, "big") + bytes(size - 4))
                sent += 1
            await connection.read_end()

        async with self.opened(script) as ws:
            first = await ws.receive()
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(1)
            assert sent < count
            frames = first + await receive(ws, count - len(first))
            assert [int.from_bytes(frame[:4], "big") for frame in frames if isinstance(frame, bytes)] == [*range(count)]

    @scenario
    async def test_both_sides_may_send_more_than_fits(self) -> None:
        async with self.opened(echo, receive_buffer=SMALL_BUFFER) as ws:
            sending = asyncio.create_task(ws.send([bytes([number]) * (LARGE // 4) for number in range(4)]))
            frames = await receive(ws, 4)
            await sending
        assert [frame[:1] for frame in frames] == [b"\0", b"\1", b"\2", b"\3"]

    @pytest.mark.parametrize("message", ["x" * 1000, b"x" * 1000, "€" * 333 + "x"])
    @scenario
    async def test_a_message_of_the_largest_size_is_received(self, message: str | bytes) -> None:
        async with self.opened(echo, max_message_size=1000) as ws:
            await ws.send([message, b"more"])
            assert await receive(ws, 2) == [message, b"more"]

    @pytest.mark.parametrize(
        "message", ["x" * 1001, b"x" * 70_000, "€" * 334], ids=["text", "bytes", "text that is longer in bytes"]
    )
    @scenario
    async def test_a_message_that_is_too_big_ends_the_connection(self, message: str | bytes) -> None:
        size = len(message.encode() if isinstance(message, str) else message)

        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            await connection.send("before", message)
            await connection.read_end()

        async with self.talking(script, max_message_size=1000) as (peer, ws):
            assert await ws.receive() == ["before"]
            with pytest.raises(MessageTooBig, match="max_message_size") as caught:
                await ws.receive()
            assert caught.value.limit == 1000
            assert caught.value.size in (size, None)  # not every library tells
            assert (caught.value.code, caught.value.clean) == (1009, False)
            assert ws.close_code == 1009
            with pytest.raises(MessageTooBig):
                await ws.send(["more"])
            # The peer sees it too, before anybody calls close().
            await peer.finished()


class WireFrameTests(NetworkKit):
    """Fragments, control frames, and sizes as they are announced."""

    @pytest.mark.parametrize(
        ("data", "size"),
        [
            (encode_frame("x" * 1001), 1001),
            (encode_frame(b"x" * 70_000), 70_000),
            (encode_frame("€" * 334), 1002),
            (encode_frame(b"x" * 600, final=False) + encode_frame(b"x" * 600, Opcode.CONTINUATION), 1200),
            # What it would be, if it ever came.
            (b"\x82\x7f" + (1 << 40).to_bytes(8, "big"), 1 << 40),
        ],
    )
    @scenario
    async def test_the_size_of_a_message_that_is_too_big_is_told(self, data: bytes, size: int) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            await connection.send_raw(data)
            await connection.read_end()

        async with self.opened(script, max_message_size=1000) as ws:
            with pytest.raises(MessageTooBig) as caught:
                await ws.receive()
            assert (caught.value.limit, caught.value.size) == (1000, size)

    @scenario
    async def test_fragments_are_joined(self) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            euro = "€".encode()
            await connection.send_raw(
                encode_frame(euro[:1], Opcode.TEXT, final=False)
                + encode_frame(b"in between", Opcode.PING)
                + encode_frame(euro[1:], Opcode.CONTINUATION, final=False)
                + encode_frame(b"", Opcode.CONTINUATION)
                + encode_frame(b"a", Opcode.BINARY, final=False)
                + encode_frame(b"b", Opcode.CONTINUATION)
            )
            await connection.read_end()

        async with self.opened(script) as ws:
            assert await receive(ws, 2) == ["€", b"ab"]

    @scenario
    async def test_pings_are_answered_with_their_payload(self) -> None:
        answers: list[tuple[Opcode, bytes]] = []

        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            for payload in (b"", b"x" * 125):
                await connection.send_raw(encode_frame(payload, Opcode.PING) + encode_frame(b"unasked", Opcode.PONG))
                frame = await connection.read_frame()
                answers.append((frame.opcode, frame.payload))
            await connection.send("done")
            await connection.read_end()

        async with self.opened(script) as ws:
            assert await ws.receive() == ["done"]
        assert answers == [(Opcode.PONG, b""), (Opcode.PONG, b"x" * 125)]

    @timeless
    async def test_pings_are_not_answered_at_any_price(self) -> None:
        async def script(connection: PeerConnection) -> None:
            await connection.accept()
            connection.pause_reading()
            await connection.send_raw(encode_frame(b"x" * 125, Opcode.PING) * 1000 + encode_frame("done"))
            await asyncio.get_running_loop().create_future()

        async with self.opened(script, receive_buffer=SMALL_BUFFER) as ws:
            # Behind this message no pong gets through. A transport that waited with reading would wait for ever.
            sending = asyncio.create_task(ws.send([bytes(LARGE)]))
            assert await ws.receive() == ["done"]
            ws.abort()
            with pytest.raises(ConnectionClosed):
                await sending
