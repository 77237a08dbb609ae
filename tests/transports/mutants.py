"""Transports that break the contract in one thing each, and the conformance tests that have to find it.

`test_third_party.py` runs them one by one, which pytest does not collect by itself, and demands that each fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from websockets.http11 import Response

from bokehwire.testing.conformance import TransportConformance
from bokehwire.transports import (
    ConnectError,
    ConnectionClosed,
    ConnectionOptions,
    Frame,
    HandshakeRefused,
    InvalidHandshake,
    OutgoingFrame,
    Transport,
    WrongSubprotocol,
)

from .over_websockets import Socket, WebsocketsTransport


class Reorders(Socket):
    def taken(self) -> list[Frame]:
        return super().taken()[::-1]


class OneAtATime(Socket):
    def taken(self) -> list[Frame]:
        frame = self._inbox.popleft()
        self._size -= len(frame) + 100
        return [frame]


class LosesWhenCancelled(Socket):
    async def receive(self) -> list[Frame]:
        frames = await super().receive()
        await asyncio.sleep(0)
        return frames


class AllBinary(Socket):
    @staticmethod
    def encoded(frame: OutgoingFrame) -> tuple[bool, bytes]:
        return False, Socket.encoded(frame)[1]


class SendsAnything(Socket):
    @staticmethod
    def encoded(frame: OutgoingFrame) -> tuple[bool, bytes]:
        try:
            return Socket.encoded(frame)
        except (TypeError, ValueError):
            return True, ascii(frame).encode()


class Interleaves(Socket):
    async def send(self, frames: Sequence[OutgoingFrame]) -> None:
        for frame in frames:
            await super().send([frame])
            await asyncio.sleep(0)


class NeverWaits(Socket):
    async def drained(self, written: asyncio.Future[None]) -> None:
        pass


class ReadsOn(Socket):
    def is_ahead(self) -> bool:
        return False


class ManyReceivers(Socket):
    def check_receiver(self) -> None:
        pass


class OneErrorForAll(Socket):
    def again(self, ended: ConnectionClosed) -> ConnectionClosed:
        return ended


class AnySubprotocol(Socket):
    def refusal(self, response: Response) -> ConnectError | None:
        error = super().refusal(response)
        return None if isinstance(error, WrongSubprotocol) else error


class HidesTheStatus(Socket):
    def refusal(self, response: Response) -> ConnectError | None:
        error = super().refusal(response)
        return InvalidHandshake(str(error), url=error.url) if isinstance(error, HandshakeRefused) else error


class AnyCloseCode(Socket):
    def check_close(self, code: int, reason: str) -> None:
        pass


class LeavesWithoutAWord(Socket):
    async def say_goodbye(self, code: int, reason: str) -> None:
        self.abort()


class ForgetsWhenClosing(Socket):
    async def close(self, code: int = 1000, reason: str = "") -> None:
        await super().close(code, reason)
        self._inbox.clear()


class AbortsPolitely(Socket):
    def abort(self) -> None:
        if self._transport is not None and self._ended is None:
            self._library.send_close(1001)
            self._flush()
            self._transport.close()
        else:
            super().abort()


class NoLimit(Socket):
    def __init__(self, options: ConnectionOptions) -> None:
        super().__init__(replace(options, max_message_size=1 << 30))


class LeavesATask(Socket):
    tasks: ClassVar[set[Any]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.tasks.add(asyncio.get_running_loop().create_task(asyncio.Event().wait()))


class HoldsOnWhenCancelled(WebsocketsTransport):
    kept: ClassVar[list[Socket]] = []

    def interrupted(self, socket: Socket) -> None:
        self.kept.append(socket)


class HoldsOnAfterTimeouts(WebsocketsTransport):
    kept: ClassVar[list[Socket]] = []

    async def failed(self, socket: Socket) -> None:
        self.kept.append(socket)


class WaitsForEver(WebsocketsTransport):
    async def connect(self, options: ConnectionOptions) -> Any:
        return await super().connect(replace(options, connect_timeout=None))


MUTANTS: dict[type[Socket] | type[WebsocketsTransport], str] = {
    Reorders: "test_what_has_arrived_is_received_at_once",
    OneAtATime: "test_what_has_arrived_is_received_at_once",
    LosesWhenCancelled: "test_cancelling_receive_loses_nothing",
    AllBinary: "test_text_and_binary_of_every_length_come_back_in_order",
    SendsAnything: "test_what_cannot_be_sent_is_refused_before_anything_is[1]",
    Interleaves: "test_concurrent_senders_do_not_interleave",
    NeverWaits: "test_sending_waits_for_a_peer_that_does_not_read",
    ReadsOn: "test_a_peer_waits_for_a_client_that_does_not_receive",
    ManyReceivers: "test_only_one_call_may_receive",
    OneErrorForAll: "test_the_peer_closes",
    AnySubprotocol: "test_a_subprotocol_that_was_not_offered_is_refused[soap]",
    HidesTheStatus: "test_a_connection_that_is_not_wanted",
    AnyCloseCode: "test_a_close_frame_that_may_not_be_sent_is_refused[5000-]",
    LeavesWithoutAWord: "test_we_close",
    ForgetsWhenClosing: "test_what_arrived_before_close_can_still_be_received",
    AbortsPolitely: "test_abort_sends_no_close_frame",
    NoLimit: "test_a_message_that_is_too_big_ends_the_connection[text]",
    LeavesATask: "test_the_selected_subprotocol_is_known",
    HoldsOnWhenCancelled: "test_cancelling_connect_at_every_turn",
    HoldsOnAfterTimeouts: "test_timeouts_leave_nothing",
    WaitsForEver: "test_a_peer_that_does_not_answer",
}


class Mutated(TransportConformance):
    mutant: ClassVar[type[Socket] | type[WebsocketsTransport]]

    def make_transport(self) -> Transport:
        transport = WebsocketsTransport()
        if issubclass(self.mutant, Socket):
            transport.socket = self.mutant
        else:
            transport = self.mutant()
        return transport


def suite_of(mutant: type[Any]) -> type[Mutated]:
    return type(f"Test{mutant.__name__}", (Mutated,), {"mutant": mutant})


for _mutant in MUTANTS:
    _suite = suite_of(_mutant)
    globals()[_suite.__name__] = _suite
