"""A thousand sessions opened and closed, however they end: descriptors, threads, tasks and memory stay flat."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable

import pytest

from bokehwire import ConnectError, ConnectionLost

from ..apps import model
from ..leaks import no_leaks
from ..processes import ServerProcess
from ..proxy import Action, Direction, Fault, FaultProxy, Position
from ..session.faces import Face, do
from .conftest import EVERYTHING, FACES
from .exchange import surviving_tasks

_ROUNDS = 340 if EVERYTHING else 12  # of three sessions each, four if asynchronous
_WARM_UP = 8
_SESSION = "the same each time"  # so that the server keeps one, too


class Sessions:
    """The ways for a session to begin and end, over and over."""

    def __init__(self, face: Face, proxy: FaultProxy) -> None:
        self._face = face
        self._proxy = proxy

    async def round(self) -> None:
        for end in (self._normal, self._refused, self._cut, self._cancelled):
            self._proxy.arm(None)
            self._proxy.enter("open")
            await end()
            self._proxy.drop()
            self._face.sessions.clear()

    async def _normal(self) -> None:
        session = await self._face.pull(session_id=_SESSION, url=self._proxy.url("/slider"))
        model(session.document, "slider").value = 5
        await do(session.force_roundtrip())
        await do(session.close())

    async def _refused(self) -> None:
        with pytest.raises(ConnectError, match="404"):
            await self._face.pull(url=self._proxy.url("/nowhere"))

    async def _cut(self) -> None:
        session = await self._face.pull(session_id=_SESSION, url=self._proxy.url("/slider"))
        self._proxy.arm(Fault("cut", Direction.TO_SERVER, 0, Position.PAYLOAD, Action.RESET))
        self._proxy.enter("cut")
        with pytest.raises(ConnectionLost):
            await do(session.force_roundtrip())
        await do(session.close())

    async def _cancelled(self) -> None:
        if self._face.kind != "async":
            return
        self._proxy.arm(Fault("open", Direction.TO_SERVER, 1, Position.BEFORE, Action.STALL))
        opening = asyncio.ensure_future(
            self._face.pull(session_id=_SESSION, url=self._proxy.url("/slider"), close_timeout=0.05)
        )
        await asyncio.to_thread(self._proxy.wait)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening


async def memory(rounds: int, run: Callable[[], Awaitable[None]]) -> int:
    """By how many blocks of Python's allocator the heap has grown in so many rounds."""

    def blocks() -> int:
        for _ in range(3):
            gc.collect()
        return sys.getallocatedblocks()

    before = blocks()
    for _ in range(rounds):
        await run()
    return blocks() - before


@pytest.mark.timeout(1800 if EVERYTHING else 300)
@pytest.mark.parametrize(("kind", "transport"), FACES)
def test_many_sessions_leave_nothing(kind: str, transport: str, server_process: ServerProcess) -> None:
    async def scenario(face: Face) -> None:
        sessions = Sessions(face, proxy)
        for _ in range(_WARM_UP):
            await sessions.round()
        with no_leaks():
            grown = await memory(_ROUNDS, sessions.round)
            assert not await surviving_tasks(face)
        # A session that is kept, or one dictionary for each, would be a hundred times this.
        assert grown < 4 * _ROUNDS + 400, f"{grown} blocks more after {_ROUNDS} rounds"

    with FaultProxy(server_process.port) as proxy:
        Face(kind, transport).play(scenario)
