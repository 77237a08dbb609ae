"""A close ends what other tasks and threads wait for, connected or not; and the program may end itself."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bokehwire import ConnectionLost, Reconnect, SessionClosed
from bokehwire.session.driving import drive
from bokehwire.session.portal import Portal
from bokehwire.session.turns import Turn

from ..apps import model
from ..leaks import no_leaks
from ..live import DEADLINE, LiveServer
from ..proxy import FaultProxy
from .faces import AnySession, Face, do

SOON = Reconnect(first_delay=0.01, max_delay=0.05)


class Elsewhere:
    """A call of a session in a task of its own, or in a thread where calls block."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.begun = threading.Event()
        self.error: BaseException | None = None
        self._call = call
        self._work: asyncio.Task[None] | threading.Thread
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._work = threading.Thread(target=self._run)
            self._work.start()
        else:
            self._work = asyncio.create_task(self._await())

    def _run(self) -> None:
        self.begun.set()
        try:
            self._call()
        except BaseException as error:
            self.error = error

    async def _await(self) -> None:
        self.begun.set()
        try:
            await self._call()
        except BaseException as error:
            self.error = error

    async def end(self) -> BaseException | None:
        """Wait for the end, and give what was raised."""
        if isinstance(self._work, threading.Thread):
            self._work.join(DEADLINE)
            assert not self._work.is_alive()
        else:
            async with asyncio.timeout(DEADLINE):
                await self._work
        return self.error


async def accepted(listener: socket.socket) -> socket.socket:
    """A connection on which something has arrived, while the loop runs on if there is one."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _accept(listener)
    return await asyncio.to_thread(_accept, listener)


def _accept(listener: socket.socket) -> socket.socket:
    connection = listener.accept()[0]
    connection.settimeout(DEADLINE)
    assert connection.recv(1)
    return connection


def test_a_close_ends_an_attempt_to_connect(face: Face) -> None:
    async def scenario(face: Face) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(DEADLINE)
            url = f"ws://127.0.0.1:{listener.getsockname()[1]}/ws"
            session: AnySession = face.session(websocket_url=url, connect_timeout=None)
            pull = Elsewhere(session.pull)
            with await accepted(listener):
                await do(session.close())
                error = await pull.end()
            assert isinstance(error, SessionClosed)
            assert "while it was connecting" in str(error)
            assert not session.connected

    Portal.current()
    with no_leaks():
        face.play(scenario)


def test_a_close_ends_a_wait_of_a_session_that_was_never_connected(face: Face) -> None:
    async def scenario(face: Face) -> None:
        session: AnySession = face.session(websocket_url="ws://127.0.0.1:1/ws")
        seen = threading.Event()
        wait = Elsewhere(lambda: session.wait_for(lambda: seen.set()))
        if face.kind == "async":
            while not seen.is_set():
                await asyncio.sleep(0)
        else:
            assert seen.wait(DEADLINE)
        await do(session.close())
        assert isinstance(await wait.end(), SessionClosed)

    face.play(scenario)


def test_a_program_that_ends_itself_when_the_connection_is_lost_is_told_once_and_can_close(
    own_server: LiveServer, blocking: Face
) -> None:
    told: list[object] = []

    def end(loss: object) -> None:
        told.append(loss)
        raise SystemExit(3)

    async def scenario(face: Face) -> None:
        with FaultProxy(own_server.port) as proxy:
            session: AnySession = face.session(
                websocket_url=proxy.websocket_url("/slider"), reconnect=SOON, on_disconnect=end
            )
            await do(session.pull())
            slider: Any = model(session.document, "slider")
            proxy.drop()
            with pytest.raises(SystemExit):
                await do(session.wait_for(lambda: False, DEADLINE))
            slider.value = 7
            await do(session.close())
            assert len(told) == 1
            again = await face.pull(session_id=session.id, url=own_server.url("/slider"))
            assert model(again.document, "slider").value == 7
            await do(again.close())

    blocking.play(scenario)


def test_a_program_that_ends_itself_when_the_session_is_lost_is_told_once(
    own_server: LiveServer, blocking: Face
) -> None:
    """What ends a handler has everything that arrived handled once more, the loss too."""
    told: list[object] = []

    def end(error: object) -> None:
        told.append(error)
        raise SystemExit(3)

    async def scenario(face: Face) -> None:
        with FaultProxy(own_server.port) as proxy:
            session: AnySession = face.session(websocket_url=proxy.websocket_url("/slider"), on_error=end)
            await do(session.pull())
            proxy.drop()
            with pytest.raises(SystemExit):
                await do(session.wait_for(lambda: False, DEADLINE))
            with pytest.raises(ConnectionLost):
                await do(session.force_roundtrip())
            await do(session.close())
            assert len(told) == 1

    blocking.play(scenario)


def test_ctrl_c_when_a_call_is_just_over_does_not_disturb_the_next_one() -> None:
    async def work() -> int:
        task = asyncio.current_task()
        assert task is not None
        # Behind the callback that stops the loop when the task is done, and before the loop has stopped.
        task.add_done_callback(lambda _: os.kill(os.getpid(), signal.SIGINT))
        return 1

    async def next_work() -> int:
        await asyncio.sleep(0)
        return 2

    # A shell that runs the tests in the background has them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with asyncio.Runner() as runner:
            with pytest.raises(KeyboardInterrupt):
                drive(runner.get_loop(), work(), Turn())
            assert drive(runner.get_loop(), next_work(), Turn()) == 2
    finally:
        signal.signal(signal.SIGINT, before)
