"""Servers that are killed, that freeze, and that are cut off without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bokehwire import ConnectionLost, ConnectTimeout, ReplyTimeout, SessionClosed

from ..apps import model
from ..leaks import no_leaks
from ..live import DEADLINE, LiveServer
from ..processes import ServerProcess
from ..proxy import FaultProxy
from ..session.faces import Face, Scenario, do
from .exchange import APP

PINGS = {"ping_interval": 0.2, "ping_timeout": 1.5}


def play_leak_free(face: Face, scenario: Scenario) -> None:
    with no_leaks():
        face.play(scenario)


@contextmanager
def frozen(server: ServerProcess) -> Iterator[None]:
    server.freeze()
    try:
        yield
    finally:
        server.resume()


def test_a_killed_server_is_a_lost_connection_and_its_successor_can_be_used(some_face: Face) -> None:
    async def scenario(face: Face) -> None:
        with ServerProcess() as first, FaultProxy(first.port) as proxy:
            session = await face.pull(url=proxy.url("/slider"))
            document = session.document
            assert document is not None
            slider = model(document, "slider")
            first.freeze()  # so that it cannot confirm
            slider.value = 5
            first.kill()
            with pytest.raises(ConnectionLost, match=r"\.value changed") as caught:
                await do(session.force_roundtrip())
            assert (caught.value.code, len(caught.value.unconfirmed)) == (1006, 1)
            assert not session.connected
            with pytest.raises(ConnectionLost):
                await do(session.force_roundtrip())
            await do(session.close())
            with ServerProcess() as second:
                proxy.retarget(second.port)
                again = await face.push(document, session_id=session.id, url=proxy.url())
                slider.value = 6
                await do(again.force_roundtrip())
                seen = await face.pull(session_id=session.id, url=proxy.url())
                assert model(seen.document, "slider").value == 6
                for each in (again, seen):
                    await do(each.close())

    play_leak_free(some_face, scenario)


def test_a_frozen_server_is_a_timeout_and_the_session_goes_on(some_face: Face, server_process: ServerProcess) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server_process.url("/slider"), reply_timeout=0.2)
        slider, div = model(session.document, "slider"), model(session.document, "div")
        calls: list[Callable[[], Any]] = [session.force_roundtrip, session.pull, session.force_roundtrip]
        with frozen(server_process):
            slider.value = 7
            for call in calls:
                with pytest.raises(ReplyTimeout):
                    await do(call())
                assert session.connected
        await do(session.wait_for(lambda: div.text == "slider: 7", DEADLINE))

    play_leak_free(some_face, scenario)


def test_connecting_to_a_frozen_server_is_a_timeout(some_face: Face, server_process: ServerProcess) -> None:
    async def scenario(face: Face) -> None:
        session = face.session(websocket_url=server_process.websocket_url("/slider"), connect_timeout=0.2)

        async def connect() -> None:
            await do(session.connect())
            session.check_connection_errors()

        with frozen(server_process), pytest.raises(ConnectTimeout, match="connect_timeout"):
            await connect()

    play_leak_free(some_face, scenario)


def test_closing_with_a_frozen_server_names_what_it_has_not_confirmed(
    some_face: Face, server_process: ServerProcess
) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server_process.url("/slider"), close_timeout=0.2)
        with frozen(server_process):
            model(session.document, "slider").value = 7
            with pytest.raises(SessionClosed, match=r"\.value changed") as caught:
                await do(session.close())
        assert len(caught.value.unconfirmed) == 1
        assert not session.connected

    play_leak_free(some_face, scenario)


def test_the_end_of_a_with_block_names_what_the_server_has_not_confirmed(
    some_face: Face, server_process: ServerProcess
) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server_process.url("/slider"), close_timeout=0.2)
        with frozen(server_process), pytest.raises(SessionClosed, match=r"\.value changed") as caught:
            async with face.inside(session):
                model(session.document, "slider").value = 7
        assert len(caught.value.unconfirmed) == 1

    play_leak_free(some_face, scenario)


def test_pings_find_a_frozen_server(some_face: Face, server_process: ServerProcess) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server_process.url("/slider"), **PINGS)
        with frozen(server_process):
            model(session.document, "slider").value = 7
            with pytest.raises(ConnectionLost, match="ping timeout") as caught:
                await do(session.wait_for(lambda: False))
        assert len(caught.value.unconfirmed) == 1

    play_leak_free(some_face, scenario)


def test_pings_find_a_half_open_connection(some_face: Face, exchange_server: LiveServer, proxy: FaultProxy) -> None:
    """Nothing arrives any more, and nobody says that it will not."""

    async def scenario(face: Face) -> None:
        proxy.arm(None)
        session = await face.pull(url=proxy.url(APP), **PINGS)
        proxy.block()
        try:
            await do(session.run_until_closed())  # nothing was unconfirmed: nothing to raise
            assert not session.connected
            with pytest.raises(ConnectionLost, match="ping timeout"):
                await do(session.force_roundtrip())
        finally:
            proxy.drop()

    play_leak_free(some_face, scenario)
