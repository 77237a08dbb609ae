"""Conformance: nothing is left behind, on whatever loop, and wherever a call is cancelled."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable

import pytest

from ...transports import (
    ConnectError,
    ConnectionClosed,
    ConnectTimeout,
    HandshakeRefused,
    InvalidHandshake,
    Transport,
)
from .connecting import client_tls, linux_only, server_tls
from .kit import Kit, NetworkKit
from .peer import MessageConnection, Peer, PeerConnection, Script, accept_and_read, echo, refuse
from .running import connected, descriptors, options, run, scenario, timeless, turns

# More turns of the loop than anything here takes.
MANY = 500


class CleanupTests(Kit):
    """Descriptors, tasks, loops, cancellation."""

    @scenario
    async def test_cancelling_connect_at_every_turn(self) -> None:
        async def attempt(url: str) -> None:
            (await transport.connect(options(url))).abort()

        async with self.serve(echo) as peer:
            transport = self.transport_to(peer)
            assert await cancelled_turns(peer, attempt) > 1

    @scenario
    async def test_cancelling_a_refused_connect_at_every_turn(self) -> None:
        async def attempt(url: str) -> None:
            with pytest.raises(HandshakeRefused):
                await transport.connect(options(url))

        async with self.serve(refuse) as peer:
            transport = self.transport_to(peer)
            assert await cancelled_turns(peer, attempt) > 1

    @scenario
    async def test_cancelling_close_at_every_turn(self) -> None:
        async def attempt(url: str) -> None:
            ws = await transport.connect(options(url))
            try:
                await ws.send(["hello"])
                await ws.receive()
            finally:
                await ws.close()

        async with self.serve(echo) as peer:
            transport = self.transport_to(peer)
            assert await cancelled_turns(peer, attempt) > 5

    @timeless
    async def test_abort_with_a_full_inbox_leaves_nothing(self) -> None:
        async def script(connection: MessageConnection) -> None:
            await connection.accept()
            await connection.send(*[bytes(100_000)] * 100)

        async with self.serve(script) as peer:
            ws = await self.transport_to(peer).connect(options(peer.url))
            await asyncio.sleep(1)
            ws.abort()
            # Nobody calls close().
            await settle(peer)

    @scenario
    async def test_many_connections_at_once(self) -> None:
        async def use(url: str, number: int) -> None:
            async with connected(transport, url) as ws:
                for _ in range(3):
                    await ws.send([str(number), b"x" * number])
                    frames = await ws.receive()
                    if len(frames) < 2:
                        frames += await ws.receive()
                    assert frames == [str(number), b"x" * number]
                await ws.close()

        async with self.serve(echo) as peer:
            transport = self.transport_to(peer)
            await asyncio.gather(*(use(peer.url, number) for number in range(150)))

    @timeless
    async def test_timeouts_leave_nothing(self) -> None:
        async def script(connection: MessageConnection) -> None:
            await connection.read_end()

        async with self.serve(script) as peer:
            before = descriptors()
            for _ in range(10):
                with pytest.raises(ConnectTimeout):
                    await self.transport_to(peer).connect(options(peer.url, connect_timeout=1.0))
            await settle(peer)
            assert descriptors() == before

    def test_loops_come_and_go(self) -> None:
        for _ in range(3):
            run(use_once(self))

    def test_the_loop_may_run_in_another_thread(self) -> None:
        failures: list[BaseException] = []

        def work() -> None:
            try:
                run(use_once(self))
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert failures == []

    @scenario
    async def test_nothing_is_wrong_in_debug_mode(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 1000
        await use_once(self)


class WireCleanupTests(NetworkKit):
    """Descriptors, tasks, loops, cancellation."""

    @pytest.mark.parametrize("secure", [False, True])
    @scenario
    async def test_cancelling_each_step_of_connecting(self, secure: bool) -> None:
        transport = self.make_transport()
        context = client_tls() if secure else None

        async def attempt(url: str) -> None:
            (await transport.connect(options(url, ssl_context=context))).abort()

        async with self.serve(echo, tls=server_tls() if secure else None) as peer:
            assert await cancelled_turns(peer, attempt) > 5

    @scenario
    async def test_cancelling_connect_to_a_name_at_every_turn(self) -> None:
        transport = self.make_transport()

        async def attempt(url: str) -> None:
            (await transport.connect(options(url.replace("127.0.0.1", "localhost")))).abort()

        async with self.serve(echo) as peer:
            # The thread that looks names up stays, with the loop; it is there from now on.
            await attempt(peer.url)
            await peer.finished()
            assert await cancelled_turns(peer, attempt) > 2

    @scenario
    async def test_cancelling_connect_while_a_refusal_is_read(self) -> None:
        transport = self.make_transport()

        async def script(connection: PeerConnection) -> None:
            await connection.read_request()
            await connection.respond("404 Not Found", {"Content-Length": "10"})
            await connection.read_end()

        async def attempt(url: str) -> None:
            with pytest.raises(HandshakeRefused):
                await transport.connect(options(url))

        async with self.serve(script) as peer:
            assert await cancelled_turns(peer, attempt) > 5

    @linux_only
    @pytest.mark.parametrize("how", ["closed", "not answered", "closed by the peer", "lost", "aborted"])
    @timeless
    async def test_everything_is_gone_when_close_returns(self, how: str) -> None:
        script: Script = echo
        if how == "not answered":
            script = accept_and_read
        elif how == "closed by the peer":
            script = accept_and_close
        elif how == "lost":
            script = accept_and_end
        async with self.talking(script, close_timeout=3.0) as (peer, ws):
            if how == "closed":
                assert peer.clients() == 1
            elif how in ("closed by the peer", "lost"):
                await peer.finished()
            elif how == "aborted":
                ws.abort()
            await ws.close()
            assert_nothing_left(peer)

    @linux_only
    @pytest.mark.parametrize("how", ["refused", "wrong answer", "no answer", "lost"])
    @timeless
    async def test_everything_is_gone_when_connect_has_failed(self, how: str) -> None:
        async def script(connection: PeerConnection) -> None:
            if how == "refused":
                await refuse(connection)
            elif how == "wrong answer":
                await connection.accept({"upgrade": "h2c"})
            elif how == "no answer":
                await connection.read_request()
            if how != "lost":
                await connection.read_end()

        async with self.serve(script) as peer:
            with pytest.raises(ConnectError):
                await self.make_transport().connect(options(peer.url, connect_timeout=3.0))
            assert_nothing_left(peer)

    @scenario
    async def test_hundreds_of_connections_leave_no_descriptors(self) -> None:
        transport = self.make_transport()
        refusals = 0

        async def script(connection: PeerConnection) -> None:
            nonlocal refusals
            number = len(peer.connections)
            if number % 5 == 0:
                await connection.read_request()
                await connection.respond("503 Busy", {"Content-Length": "0"})
                refusals += 1
            elif number % 5 == 1:
                connection.reset()
            elif number % 5 == 2:
                await connection.accept()
                await connection.send_close(1001)
            else:
                await echo(connection)

        async def attempt(url: str, number: int) -> None:
            try:
                ws = await transport.connect(options(url))
            except (HandshakeRefused, InvalidHandshake):
                return
            try:
                await ws.send(["hello"])
                await ws.receive()
            except ConnectionClosed:
                pass
            if number % 2:
                ws.abort()
            await ws.close()

        async with self.serve(script) as peer:
            await attempt(peer.url, 0)
            await settle(peer)
            before = descriptors()
            # A collection must not be what closes them.
            gc.disable()
            try:
                for number in range(300):
                    await attempt(peer.url, number)
                await settle(peer)
                assert descriptors() == before
            finally:
                gc.enable()
        assert refusals > 50

    def test_loops_in_several_threads_at_once(self) -> None:
        transport = self.make_transport()

        class OneTransport(NetworkKit):
            def make_transport(self) -> Transport:
                return transport

        failures: list[BaseException] = []

        def work() -> None:
            try:
                asyncio.run(use_once(OneTransport()))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []


async def use_once(kit: Kit) -> None:
    """Connect, exchange messages, see the peer close, be refused: something of everything."""
    async with kit.serve(echo) as peer, connected(kit.transport_to(peer), peer.url) as ws:
        await ws.send(["hello", b"there"])
        frames = await ws.receive()
        while len(frames) < 2:
            frames += await ws.receive()
        assert frames == ["hello", b"there"]
        await ws.close()
    async with (
        kit.serve(accept_and_read) as peer,
        connected(kit.transport_to(peer), peer.url, close_timeout=0.01) as ws,
    ):
        await ws.close()
    async with kit.serve(refuse) as peer:
        with pytest.raises(HandshakeRefused):
            await kit.transport_to(peer).connect(options(peer.url))


async def accept_and_close(connection: PeerConnection) -> None:
    """Accept the upgrade, and close at once."""
    await connection.accept()
    await connection.send_close(1001)
    await connection.read_end()


async def accept_and_end(connection: PeerConnection) -> None:
    """Accept the upgrade, and end the connection."""
    await connection.accept()


def assert_nothing_left(peer: Peer) -> None:
    """Fail if a task or a descriptor is there that is neither the test's nor the peer's."""
    others = {task for task in asyncio.all_tasks() if not peer.is_own(task)}
    assert others == {asyncio.current_task()}
    assert peer.clients() == 0


async def cancelled_turns(peer: Peer, attempt: Callable[[str], Awaitable[None]]) -> int:
    """Make an attempt again and again, cancelled one turn of the loop later each time, until one gets through.

    Returns:
        At how many turns it was cancelled.

    Raises:
        AssertionError: If something is left behind a while after an attempt.
    """
    await settle(peer)
    before = descriptors()
    for count in range(MANY):
        task = asyncio.ensure_future(attempt(peer.url))
        await turns(count)
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        await settle(peer)
        for _ in range(MANY):
            # A look-up that was cancelled ends in its thread, which has files open until then.
            if await asyncio.get_running_loop().run_in_executor(None, descriptors) == before:
                break
        assert descriptors() == before, f"after {count} turns"
        if outcome is None:
            return count
        assert isinstance(outcome, asyncio.CancelledError), outcome
    raise AssertionError("it never gets through")


async def settle(peer: Peer) -> None:
    """Wait until nothing runs but the test itself, and the peer has let go of its connections."""
    me = asyncio.current_task()
    for _ in range(MANY):
        await asyncio.sleep(0)
        if asyncio.all_tasks() == {me} and not peer.has_open_sockets():
            return
    assert asyncio.all_tasks() == {me}
    assert not peer.has_open_sockets()
