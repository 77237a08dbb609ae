"""What a channel delivers when connections are lost and made again, by itself: the test is the server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from bokehwire import ChangesInDoubt, ConnectError, ConnectionLost, PendingLimitExceeded, Reconnect
from bokehwire.session.channel import Channel
from bokehwire.session.link import Link
from bokehwire.session.outbox import Outbox
from bokehwire.session.requests import Answered, Ask, Change, Inbound, Lost, Reconnected, Request
from bokehwire.transports import ConnectionClosed, ConnectionOptions

from ..live import DEADLINE


class Socket:
    """A connection whose server says what it is told to say, and has acknowledged the session at once.

    Args:
        ended: Why the connection is over as soon as the acknowledgement has been read; None if it stands.
        refuses: Whether it is lost when something is sent.
        msgid: The id of the acknowledgement; those that are counted tell one process from another.
    """

    subprotocol = "bokeh"

    def __init__(self, ended: ConnectionClosed | None = None, *, refuses: bool = False, msgid: str = "a") -> None:
        self._unread = [[f'{{"msgid": "{msgid}", "msgtype": "ACK"}}', "{}", "{}"]]
        self._fault = ended
        self._refuses = refuses
        self._over = asyncio.Event()
        self.aborted = False
        self.written_to = asyncio.Event()
        self.msgid = ""  # of the last message that was sent

    async def receive(self) -> list[Any]:
        while not self._unread and self._fault is None:
            self._over.clear()
            await self._over.wait()
        if self._unread:
            return self._unread.pop()
        assert self._fault is not None
        raise self._fault

    def answer(self, kind: str) -> None:
        """Answer what was sent last."""
        content = '{"text": "refused", "traceback": null}' if kind == "ERROR" else "{}"
        self._unread.append([f'{{"msgid": "a", "msgtype": "{kind}", "reqid": "{self.msgid}"}}', "{}", content])
        self._over.set()

    def say(self, header: str) -> None:
        """Have a message without content arrive."""
        self._unread.append([header, "{}", "{}"])
        self._over.set()

    async def send(self, frames: Sequence[Any]) -> None:
        self.msgid = json.loads(frames[0])["msgid"]
        self.written_to.set()
        if self._refuses:
            self.lose()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self.lose()

    def abort(self) -> None:
        self.aborted = True
        self.lose()

    def lose(self) -> None:
        self._fault = self._fault or ConnectionClosed(code=1006)
        self._over.set()


class Network:
    """Makes one connection after the other, then none; and the channel that uses them, with all that it delivers."""

    def __init__(self, *sockets: Socket, **policy: Any) -> None:
        self.left = list(sockets)
        self.delivered: list[Inbound] = []
        self._news = asyncio.Event()
        options = ConnectionOptions(url="ws://nowhere/ws", subprotocols=("bokeh", "token"))
        self.channel = Channel(
            self,
            options,
            timeout=DEADLINE,
            deliver=self._deliver,
            may_remove=lambda patch: False,
            reconnect=Reconnect(first_delay=0.001, max_delay=0.001, **policy),
            renew=lambda: options,
        )

    async def connect(self, options: ConnectionOptions) -> Any:
        if not self.left:
            raise ConnectError("there is no other connection")
        return self.left.pop(0)

    def _deliver(self, inbound: Inbound) -> None:
        self.delivered.append(inbound)
        self._news.set()

    @property
    def kinds(self) -> list[str]:
        return [type(inbound).__name__ for inbound in self.delivered]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def until_quiet(self) -> None:
        """Wait until nothing is left to run but this."""
        async with asyncio.timeout(DEADLINE):
            while others := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(others)


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def pushing() -> Request:
    return Request(Ask.PUSH, content=msgspec.Raw(b'{"doc": {}}'))


@pytest.mark.parametrize("ask", [Ask.ROUND_TRIP, Ask.PUSH], ids=["compared", "pushed"])
def test_nothing_follows_the_end_of_a_session_whose_next_connection_ends_at_once_for_good(ask: Ask) -> None:
    async def scenario() -> None:
        first = Socket()
        network = Network(first, Socket(ConnectionClosed(code=1011, reason="no")))
        await network.channel.open()
        network.channel.post(pushing() if ask is Ask.PUSH else Request(ask))
        await first.written_to.wait()
        first.lose()
        await network.until_quiet()
        assert network.kinds == ["Disconnected", "Lost"]
        await network.channel.abandon()

    play(scenario)


def test_a_connection_that_is_lost_as_soon_as_it_is_made_is_followed_by_another() -> None:
    async def scenario() -> None:
        first, third = Socket(), Socket()
        network = Network(first, Socket(ConnectionClosed(code=1006)), third)
        await network.channel.open()
        first.lose()
        await network.until(lambda: "Reconnected" in network.kinds)
        assert network.kinds == ["Disconnected", "Disconnected", "Reconnected"]
        assert (network.channel.is_open, network.channel.is_reconnecting) == (True, False)
        await network.channel.abandon()

    play(scenario)


def test_a_session_that_is_dropped_after_two_losses_in_a_row_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        first = Socket()
        network = Network(first, Socket(ConnectionClosed(code=1006)), deadline=None)
        await network.channel.open()
        first.lose()
        await network.until(lambda: network.kinds == ["Disconnected", "Disconnected"])
        assert network.channel.is_reconnecting
        await network.channel.abandon()
        await network.until_quiet()

    play(scenario)


def test_a_session_that_is_given_up_while_another_connection_is_made_leaves_nothing_behind() -> None:
    """A blocking session compares when its program looks, and the connection may be lost again by then."""

    async def scenario() -> None:
        first, second, third = Socket(), Socket(), Socket()
        network = Network(first, second, third)
        await network.channel.open()
        first.lose()
        await network.until(lambda: "Reconnected" in network.kinds)
        second.lose()
        network.channel.give_up(None)
        await network.until(lambda: isinstance(network.delivered[-1], Lost))
        await network.until_quiet()
        assert network.kinds == ["Disconnected", "Reconnected", "Disconnected", "Lost"]
        assert (network.channel.is_open, network.left) == (False, [third])

    play(scenario)


@pytest.mark.parametrize("carried", [True, False], ids=["change", "message"])
def test_what_was_under_way_before_a_push_is_settled_by_a_loss(carried: bool) -> None:
    async def scenario() -> None:
        first = Socket()
        network = Network(first, Socket())
        await network.channel.open()
        key = ("p1", "value") if carried else None
        change = Request(Ask.PATCH, Change(("what it is",), key), content=msgspec.Raw(b"{}"))
        for request in (change, pushing()):
            first.written_to.clear()
            network.channel.post(request)
            await first.written_to.wait()
        first.lose()
        await network.until(lambda: "Disconnected" in network.kinds)
        answered = network.delivered[0]
        assert isinstance(answered, Answered)
        assert (answered.requests, answered.reply) == ((change,), None)
        assert isinstance(answered.error, ChangesInDoubt) is not carried
        await network.channel.abandon()

    play(scenario)


@pytest.mark.parametrize("ended", ["by the server", "by this side"])
def test_a_push_is_sent_again_though_the_next_connection_is_lost_before_it(
    ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_link, opened = Link.open, count()

    async def open_and_fail(link: Link, timeout: float | None) -> None:
        await open_link(link, timeout)
        if next(opened) == 1 and ended == "by this side":
            link.fail(ConnectionClosed(reason="no use"))  # before its writer has begun

    monkeypatch.setattr(Link, "open", open_and_fail)

    async def scenario() -> None:
        third = Socket()
        second = Socket(ConnectionClosed(code=1006) if ended == "by the server" else None)
        network = Network(Socket(refuses=True), second, third)
        await network.channel.open()
        network.channel.post(pushing())
        await network.until(lambda: "Reconnected" in network.kinds)
        async with asyncio.timeout(DEADLINE):
            await third.written_to.wait()
        (reconnected,) = (inbound for inbound in network.delivered if isinstance(inbound, Reconnected))
        assert reconnected.pushing
        await network.channel.abandon()

    play(scenario)


@pytest.mark.parametrize(("msgid", "goes_out"), [("p2000", True), ("p1000", False)])
def test_a_push_that_is_sent_again_waits_where_the_server_is_another_process(msgid: str, goes_out: bool) -> None:
    async def scenario() -> None:
        second = Socket(msgid=msgid)
        network = Network(Socket(refuses=True, msgid="p1500"), second)
        await network.channel.open()
        network.channel.post(pushing())
        await network.until(lambda: "Reconnected" in network.kinds)
        (reconnected,) = (inbound for inbound in network.delivered if isinstance(inbound, Reconnected))
        assert (reconnected.pushing, reconnected.same_process) == (goes_out, goes_out)
        if goes_out:
            await second.written_to.wait()
        else:
            assert [request.ask for request in network.channel.drop_changes()] == [Ask.PUSH]
        await network.channel.abandon()

    play(scenario)


def test_a_lone_change_is_written_without_a_timer() -> None:
    async def scenario() -> None:
        socket = Socket()
        network = Network(socket)
        await network.channel.open()
        network.channel.post(Request(Ask.PATCH, content=msgspec.Raw(b"{}")))
        for _ in range(3):  # turns of the loop
            await asyncio.sleep(0)
        assert socket.written_to.is_set()
        await network.channel.abandon()

    play(scenario)


@pytest.mark.parametrize("attempts", [1, 3])
def test_attempts_at_which_a_push_is_lost_each_time_are_counted(attempts: int) -> None:
    async def scenario() -> None:
        sockets = [Socket(refuses=True) for _ in range(6)]
        network = Network(*sockets, attempts=attempts)
        await network.channel.open()
        network.channel.post(pushing())
        await network.until(lambda: "Lost" in network.kinds)
        await network.until_quiet()
        assert network.left == sockets[1 + attempts :]

    play(scenario)


def test_an_outage_is_over_once_a_push_has_been_answered() -> None:
    async def scenario() -> None:
        first, second, third = Socket(refuses=True), Socket(), Socket()
        network = Network(first, second, third, attempts=1)
        await network.channel.open()
        network.channel.post(pushing())
        await second.written_to.wait()
        second.say('{"msgid": "b", "msgtype": "OK", "reqid": "1"}')
        await network.until(lambda: "Answered" in network.kinds)
        second.lose()
        await network.until(lambda: network.kinds.count("Reconnected") == 2)
        assert network.left == []
        await network.channel.abandon()

    play(scenario)


def test_a_server_that_is_silent_when_the_documents_are_compared_does_not_outlast_the_deadline() -> None:
    async def scenario() -> None:
        first, second = Socket(), Socket()
        network = Network(first, second, deadline=0.01)
        await network.channel.open()
        first.lose()
        await network.until(lambda: "Reconnected" in network.kinds)
        network.channel.post(Request(Ask.ROUND_TRIP, urgent=True))
        await network.until(lambda: "Lost" in network.kinds)
        await network.until_quiet()
        assert second.aborted
        lost = network.delivered[-1]
        assert isinstance(lost, Lost)
        assert "while the documents were compared" in str(lost.error)

    play(scenario)


def patch(name: str) -> Request:
    change = Change((name,), (name, "value"), True, False)
    return Request(Ask.PATCH, change, msgspec.Raw(f'"{name}"'.encode()), made_after=9)


async def sent(socket: Socket) -> None:
    async with asyncio.timeout(DEADLINE):
        await socket.written_to.wait()
    socket.written_to.clear()


def test_what_was_kept_in_one_outage_takes_no_room_in_the_next() -> None:
    async def scenario() -> None:
        first, second = Socket(), Socket()
        network = Network(first, second, Socket(), max_pending=10)
        await network.channel.open()
        first.lose()
        await network.until(lambda: "Disconnected" in network.kinds)
        assert network.channel.post(patch("offline")) is None
        await network.until(lambda: "Reconnected" in network.kinds)
        network.channel.resume((), (), 1)
        await sent(second)
        second.answer("OK")
        await network.until(lambda: "Answered" in network.kinds)
        second.lose()
        await network.until(lambda: network.kinds.count("Disconnected") == 2)
        assert network.channel.post(patch("offline")) is None
        assert isinstance(network.channel.post(patch("offline")), PendingLimitExceeded)
        await network.channel.abandon()

    play(scenario)


def test_nothing_is_kept_for_want_of_a_connection_where_there_is_one() -> None:
    async def scenario() -> None:
        first, second = Socket(), Socket()
        network = Network(first, second, max_pending=10)
        await network.channel.open()
        first.lose()
        await network.until(lambda: "Disconnected" in network.kinds)
        assert network.channel.post(patch("offline")) is None
        await network.until(lambda: "Reconnected" in network.kinds)
        assert isinstance(network.channel.post(patch("compared")), PendingLimitExceeded)
        network.channel.drop_changes()
        assert network.channel.post(patch("compared")) is None
        network.channel.resume((), (), 1)
        for _ in range(3):
            assert network.channel.post(patch("again")) is None
        network.channel._outbox.hold()  # by a doubt, before the outage is over
        assert network.channel.post(patch("doubted")) is None
        await network.channel.abandon()

    play(scenario)


def test_what_is_made_during_a_doubt_is_not_kept_for_want_of_a_connection() -> None:
    async def scenario() -> None:
        network = Network(Socket(), max_pending=10)
        await network.channel.open()
        network.channel._outbox.hold()
        for _ in range(3):
            assert network.channel.post(patch("made in a doubt")) is None
        assert network.channel._kept == 0
        await network.channel.abandon()

    play(scenario)


def test_attempts_are_counted_anew_once_the_documents_are_compared_and_nothing_waits() -> None:
    async def scenario() -> None:
        first, second = Socket(), Socket()
        network = Network(first, second, Socket())
        await network.channel.open()
        for number, socket in enumerate((first, second), 1):
            socket.lose()
            await network.until(lambda number=number: network.kinds.count("Reconnected") == number)  # type: ignore[misc]
            network.channel.resume((), (), number)
        found = [inbound.attempts for inbound in network.delivered if isinstance(inbound, Reconnected)]
        assert found == [1, 1]
        await network.channel.abandon()

    play(scenario)


def test_a_refusal_that_leaves_changes_in_doubt_does_not_end_an_outage() -> None:
    async def scenario() -> None:
        first, second = Socket(), Socket()
        network = Network(first, second, Socket())
        await network.channel.open()
        network.channel.post(patch("before"))
        await sent(first)
        changes = patch("one"), patch("two")
        for change in changes:
            network.channel.post(change)
        first.lose()
        await network.until(lambda: "Reconnected" in network.kinds)
        network.channel.resume((), network.channel.doubted, 1)
        await sent(second)
        second.answer("ERROR")
        await network.until(lambda: "Doubted" in network.kinds)
        second.lose()
        await network.until(lambda: network.kinds.count("Reconnected") == 2)
        found = [inbound.attempts for inbound in network.delivered if isinstance(inbound, Reconnected)]
        assert found == [1, 2]
        await network.channel.abandon()

    play(scenario)


def test_what_is_posted_while_the_channel_ends_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread has just found it open, and the loop ends it before the request is in the outbox."""

    async def scenario() -> None:
        first = Socket()
        network = Network(first)
        await network.channel.open()
        post = Outbox.post

        def late(outbox: Outbox, request: Request) -> None:
            network.channel._end(None)
            post(outbox, request)

        monkeypatch.setattr(Outbox, "post", late)
        request = Request(Ask.ROUND_TRIP)
        assert network.channel.post(request) is None
        answers = [inbound for inbound in network.delivered if isinstance(inbound, Answered)]
        assert [answer.requests for answer in answers] == [(request,)]
        assert isinstance(answers[0].error, ConnectionLost)
        await network.channel.abandon()

    play(scenario)


def test_an_interruption_of_a_wake_up_does_not_keep_the_next_from_being_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        first = Socket()
        network = Network(first)
        await network.channel.open()
        network.channel.post(Request(Ask.ROUND_TRIP))
        await sent(first)  # after which the writer sleeps
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def post_twice() -> None:
            with monkeypatch.context() as patched:
                patched.setattr(loop, "call_soon_threadsafe", Mock(side_effect=KeyboardInterrupt))
                with pytest.raises(KeyboardInterrupt):
                    network.channel.post(patch("first"))
            assert loop.call_soon_threadsafe == wake
            network.channel.post(patch("second"))

        thread = threading.Thread(target=post_twice)
        thread.start()
        thread.join()
        await sent(first)
        await network.channel.abandon()

    play(scenario)
