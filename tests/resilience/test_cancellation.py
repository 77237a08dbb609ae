"""Every asynchronous call, cancelled at every await and some turns of the loop later: nothing lost, nothing left."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any

import pytest
from bokeh.document import Document

from bokehwire import AsyncClientSession, Reconnect, async_pull_session, async_push_session

from ..apps import model
from ..leaks import no_leaks
from ..live import DEADLINE, LiveServer
from ..proxy import FaultProxy
from ..session.faces import Face, contents
from ..tally import TRIED
from .conftest import EVERYTHING
from .exchange import APP, surviving_tasks

_TURNS = (0, 1, 2, 3, 5) if EVERYTHING else (0, 2)
_MANY = 1000  # more awaits than any call here has
_COUNTING = itertools.count(1)


class Stepped:
    """Awaits a coroutine, and cancels the task that does so when it has suspended so many times.

    Args:
        coroutine: What to await.
        stop_at: At which suspension, counted from 1.
        turns: How many turns of the loop later.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], stop_at: int, turns: int) -> None:
        self._coroutine = coroutine
        self._stop_at = stop_at
        self._turns = turns
        self.suspended = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        resume: Callable[[Any], Any] = self._coroutine.send
        value: Any = None
        while True:
            try:
                waiting = resume(value)
            except StopIteration as end:
                return end.value
            self.suspended += 1
            if self.suspended == self._stop_at:
                _cancel_after(task, self._turns)
            try:
                value = yield waiting
                resume = self._coroutine.send
            except BaseException as error:
                value, resume = error, self._coroutine.throw


def _cancel_after(task: asyncio.Task[Any], turns: int) -> None:
    if not turns:
        task.cancel()
    else:
        asyncio.get_running_loop().call_soon(_cancel_after, task, turns - 1)


async def cancelled(coroutine: Coroutine[Any, Any, Any], stop_at: int, turns: int) -> bool:
    """Runs a coroutine and cancels it; returns False if it had so few awaits that it came to its end."""
    stepped = Stepped(coroutine, stop_at, turns)

    async def run() -> Any:
        return await stepped

    async with asyncio.timeout(DEADLINE):
        await asyncio.wait([task := asyncio.create_task(run())])
    if not task.cancelled():
        task.result()
    TRIED["cancellations"] += 1
    return stepped.suspended >= stop_at


async def at_every_await(attempt: Callable[[int, int], Awaitable[bool]]) -> int:
    """Calls for every await, with each number of turns, until there are no more; returns how many there were."""
    for stop_at in range(1, _MANY):
        reached = [await attempt(stop_at, turns) for turns in _TURNS]
        if not any(reached):
            return stop_at - 1
    raise AssertionError("the call has no end")


def play(scenario: Callable[[Face], Coroutine[Any, Any, None]], transport: str) -> None:
    async def checked(face: Face) -> None:
        await scenario(face)
        assert not await surviving_tasks(face)

    Face("async", transport).play(checked)  # what is imported late is imported now
    with no_leaks():
        Face("async", transport).play(checked)
        gc.collect()


CALLS: dict[str, Callable[[AsyncClientSession], Coroutine[Any, Any, Any]]] = {
    "connect": AsyncClientSession.connect,
    "pull": AsyncClientSession.pull,
    "push": AsyncClientSession.push,
    "force_roundtrip": AsyncClientSession.force_roundtrip,
    "request_server_info": AsyncClientSession.request_server_info,
    "wait_for": lambda session: session.wait_for(lambda: model(session.document, "mirror").text, DEADLINE),
}


def new_session(server: LiveServer, transport: str) -> AsyncClientSession:
    return AsyncClientSession(f"cancelled-{next(_COUNTING)}", server.websocket_url(APP), transport=transport)


@pytest.fixture(params=["tornado", "aiohttp"])
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


async def all_is_there(face: Face, server: LiveServer, session: AsyncClientSession, number: int) -> None:
    """Checks that a value that was set is, and that both sides are equal."""
    await session.force_roundtrip()
    there = await face.edit(server, session, contents, APP)
    assert there == contents(session.document)
    assert model(session.document, "slider").value == number


@pytest.mark.timeout(600)
@pytest.mark.parametrize("call", ["force_roundtrip", "pull", "push", "wait_for"])
def test_a_session_is_usable_and_complete_after_each_cancellation(
    call: str, transport: str, exchange_server: LiveServer
) -> None:
    async def scenario(face: Face) -> None:
        session = new_session(exchange_server, transport)
        async with session:
            await session.pull()
            numbers = itertools.count(2)

            async def attempt(stop_at: int, turns: int) -> bool:
                slider, number = model(session.document, "slider"), next(numbers) % 100
                slider.value = number  # under way while the call is cancelled
                reached = await cancelled(CALLS[call](session), stop_at, turns)
                await all_is_there(face, exchange_server, session, number)
                return reached

            if call == "wait_for":
                model(session.document, "slider").value = 1

                async def attempt_waiting(stop_at: int, turns: int) -> bool:
                    mirror = model(session.document, "mirror")
                    mirror.text = ""
                    await session.force_roundtrip()
                    return await attempt(stop_at, turns)

                assert await at_every_await(attempt_waiting) >= 1
            else:
                assert await at_every_await(attempt) >= 1

    play(scenario, transport)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("call", ["force_roundtrip", "pull", "push"])
def test_a_call_is_cancelled_while_the_session_connects_again(
    call: str, transport: str, exchange_server: LiveServer, proxy: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        again = Reconnect(first_delay=0.001, max_delay=0.01, deadline=DEADLINE)
        url, name = proxy.websocket_url(APP), f"cancelled-{next(_COUNTING)}"
        async with AsyncClientSession(name, url, transport=transport, reconnect=again) as session:
            await session.pull()
            numbers = itertools.count(2)

            async def attempt(stop_at: int, turns: int) -> bool:
                slider, number = model(session.document, "slider"), next(numbers) % 100
                proxy.drop()
                await session.wait_for(lambda: not session.connected, DEADLINE)
                slider.value = number
                reached = await cancelled(CALLS[call](session), stop_at, turns)
                await all_is_there(face, exchange_server, session, number)
                return reached

            assert await at_every_await(attempt) > 1

    proxy.arm(None)
    play(scenario, transport)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("call", ["connect", "pull", "push", "request_server_info"])
def test_a_new_session_can_be_used_after_its_first_call_was_cancelled(
    call: str, transport: str, exchange_server: LiveServer
) -> None:
    async def attempt(stop_at: int, turns: int) -> bool:
        session = new_session(exchange_server, transport)
        async with session:
            if call == "request_server_info":
                await session.connect()
            reached = await cancelled(CALLS[call](session), stop_at, turns)
            await session.pull()
            await session.request_server_info()
        return reached

    async def scenario(face: Face) -> None:
        assert await at_every_await(attempt) >= 1

    play(scenario, transport)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["pull", "push"])
def test_an_opening_that_is_cancelled_leaves_nothing(how: str, transport: str, exchange_server: LiveServer) -> None:
    async def attempt(stop_at: int, turns: int) -> bool:
        document = Document()

        async def opening() -> None:
            options: Any = {"session_id": f"cancelled-{next(_COUNTING)}", "transport": transport}
            url = exchange_server.url(APP)
            opened = async_pull_session if how == "pull" else partial(async_push_session, document)
            async with opened(url=url, **options):
                pass

        reached = await cancelled(opening(), stop_at, turns)
        if how == "push":  # the document is free again
            await (await async_push_session(document, url=exchange_server.url(APP), transport=transport)).close()
        return reached

    async def scenario(face: Face) -> None:
        assert await at_every_await(attempt) > 3

    play(scenario, transport)


@pytest.mark.timeout(600)
def test_a_close_that_is_cancelled_has_closed(transport: str, exchange_server: LiveServer) -> None:
    async def attempt(stop_at: int, turns: int) -> bool:
        session = await async_pull_session(
            f"cancelled-{next(_COUNTING)}", exchange_server.url(APP), transport=transport
        )
        model(session.document, "note").text = "changed"
        reached = await cancelled(session.close(), stop_at, turns)
        assert not session.connected
        await session.close()
        return reached

    async def scenario(face: Face) -> None:
        assert await at_every_await(attempt) >= 2

    play(scenario, transport)


@pytest.mark.timeout(600)
def test_waiting_for_the_end_can_be_cancelled(transport: str, exchange_server: LiveServer) -> None:
    async def scenario(face: Face) -> None:
        async with async_pull_session(url=exchange_server.url(APP), transport=transport) as session:
            for turns in range(5):
                assert await cancelled(session.run_until_closed(), 1, turns)
                await session.force_roundtrip()

    play(scenario, transport)
