"""`wait_for`, `run_until_closed`, and the callbacks of the document meanwhile."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest
from bokeh.document import Document

from bokehwire import (
    AsyncClientSession,
    ClientSession,
    ConnectionLost,
    PatchRejected,
    SessionClosed,
    UsageError,
    WaitTimeout,
    pull_session,
)

from ..servers import LiveServer
from .faces import Face, do
from .test_documented_api import named


def test_wait_for_sees_each_change_from_the_server(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/ticks"))
        ticks = named(session, "ticks")
        start = int(ticks.text)
        reached = await do(session.wait_for(lambda: int(ticks.text) >= start + 3 and ticks.text, timeout=20))
        assert int(reached) == start + 3

    face.play(scenario)


def test_wait_for_gives_up_in_time_and_leaves_the_session_usable(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        with pytest.raises(WaitTimeout, match=r"did not hold within 0\.01 s") as caught:
            await do(session.wait_for(lambda: False, timeout=0.01))
        assert isinstance(caught.value, TimeoutError)
        await do(session.force_roundtrip())
        assert await do(session.wait_for(lambda: "at once", timeout=0)) == "at once"

    face.play(scenario)


def test_what_a_predicate_raises_is_raised(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/ticks"))
        ticks, start = named(session, "ticks"), named(session, "ticks").text
        with pytest.raises(ZeroDivisionError):
            await do(session.wait_for(lambda: ticks.text != start and 1 / 0, timeout=20))
        await do(session.force_roundtrip())

    face.play(scenario)


def test_document_callbacks_run_while_waiting(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        document = session.document
        assert document is not None
        ran: list[str] = []
        threads: set[int] = set()

        def note(name: str) -> Any:
            def run() -> None:
                ran.append(name)
                threads.add(threading.get_ident())

            return run

        async def asynchronous() -> None:
            await asyncio.sleep(0)
            ran.append("async")

        periodic = document.add_periodic_callback(note("periodic"), 1)
        document.add_timeout_callback(note("timeout"), 1)
        document.add_next_tick_callback(note("tick"))
        removed = document.add_timeout_callback(note("removed"), 1)
        document.remove_timeout_callback(removed)
        if face.kind != "blocking":
            document.add_next_tick_callback(cast(Any, asynchronous))
        else:
            ran.append("async")
        await do(session.wait_for(lambda: ran.count("periodic") >= 3 and {"timeout", "tick", "async"} <= {*ran}, 20))
        document.remove_periodic_callback(periodic)
        count = len(ran)
        with pytest.raises(WaitTimeout):
            await do(session.wait_for(lambda: False, timeout=0.02))
        assert len(ran) == count
        assert "removed" not in ran
        assert (ran.count("tick"), ran.count("timeout")) == (1, 1)
        assert threads == {threading.get_ident()}

    face.play(scenario)


def test_a_blocking_session_runs_an_asynchronous_document_callback(server: LiveServer, blocking: Face) -> None:
    with pull_session(url=server.url("/slider"), transport=blocking.transport) as session:
        assert session.document is not None
        ran: list[int] = []

        async def callback() -> None:
            await asyncio.sleep(0)
            ran.append(threading.get_ident())

        session.document.add_next_tick_callback(cast(Any, callback))
        session.wait_for(lambda: ran, timeout=20)
        assert ran == [threading.get_ident()]

        async def inside_a_loop() -> None:
            assert session.document is not None
            session.document.add_next_tick_callback(cast(Any, callback))
            with pytest.raises(UsageError, match="AsyncClientSession"):
                session.wait_for(lambda: False, timeout=20)

        asyncio.run(inside_a_loop())


def test_callbacks_that_the_document_had_before_the_push_run_too(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        document = Document()
        ran: list[int] = []
        document.add_periodic_callback(lambda: ran.append(1), 1)
        session = await face.push(document, url=server.url())
        await do(session.wait_for(lambda: len(ran) >= 2, timeout=20))
        await do(session.close())

    face.play(scenario)


def test_an_error_in_a_document_callback_is_reported_and_the_others_go_on(
    server: LiveServer, face: Face, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(face: Face) -> None:
        told: list[Exception] = []
        session = await face.pull(url=server.url("/slider"), on_error=told.append)
        assert session.document is not None
        ran: list[int] = []

        def fail() -> None:
            ran.append(1)
            raise ZeroDivisionError

        session.document.add_periodic_callback(fail, 1)
        await do(session.wait_for(lambda: len(ran) >= 3, timeout=20))
        assert {type(error) for error in told} == {ZeroDivisionError}
        await do(session.force_roundtrip())

    face.play(scenario)
    assert "a document callback" in caplog.text


@pytest.mark.parametrize("kind", ["blocking", "io_loop"])
def test_an_interruption_leaves_callbacks_and_reader_alive(server: LiveServer, kind: str) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        document = session.document
        assert document is not None
        counts = [0, 0]

        def interrupting() -> None:
            counts[0] += 1
            if counts[0] == 2:
                raise KeyboardInterrupt

        def other() -> None:
            counts[1] += 1

        document.add_periodic_callback(interrupting, 1)
        document.add_periodic_callback(other, 1)
        with pytest.raises(KeyboardInterrupt):
            await do(session.wait_for(lambda: False, timeout=20))
        await do(session.wait_for(lambda: min(counts) >= 5, timeout=20))
        asked: list[int] = []

        def predicate() -> bool:
            asked.append(1)
            if len(asked) == 3:
                raise KeyboardInterrupt
            return False

        named(session, "slider").value = 7
        with pytest.raises(KeyboardInterrupt):
            await do(session.wait_for(predicate, timeout=20))
        await do(session.force_roundtrip())
        assert named(session, "div").text == "slider: 7"

    Face(kind, "tornado").play(scenario)


def test_a_callback_added_by_another_thread_runs_at_once(server: LiveServer, face: Face) -> None:
    """Bokeh's way to change a document from a thread."""

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        document = session.document
        assert document is not None
        ran: list[int] = []
        waiting = threading.Event()

        def add() -> None:
            waiting.wait(20)
            document.add_next_tick_callback(lambda: ran.append(threading.get_ident()))

        def predicate() -> list[int]:
            waiting.set()
            return ran

        thread = threading.Thread(target=add)
        thread.start()
        await do(session.wait_for(predicate, timeout=20))
        thread.join()
        assert ran == [threading.get_ident()]

    face.play(scenario)


def test_a_condition_that_comes_true_with_the_deadline_counts(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        document = session.document
        assert document is not None
        got: list[int] = []

        def block_until_late() -> None:
            threading.Event().wait(0.06)
            got.append(1)

        document.add_timeout_callback(block_until_late, 1)
        assert await do(session.wait_for(lambda: got, timeout=0.05)) == [1]

    face.play(scenario)


@pytest.mark.parametrize("seconds", [1e12, float("inf")])
def test_a_time_that_never_comes_may_be_waited_for(server: LiveServer, face: Face, seconds: float) -> None:
    async def scenario(face: Face) -> None:
        limits = {"connect_timeout": seconds, "reply_timeout": seconds, "close_timeout": seconds}
        session = await face.pull(url=server.url("/slider"), **limits)
        document = session.document
        assert document is not None
        document.add_timeout_callback(lambda: setattr(document, "title", "later"), 20)
        await do(session.wait_for(lambda: document.title == "later", timeout=seconds))
        await do(session.force_roundtrip())

    face.play(scenario)


def test_a_rejected_change_is_raised_and_named(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        told: list[Exception] = []
        session = await face.pull(url=server.url("/broken"), on_error=told.append)
        slider = named(session, "slider")
        slider.value = 3
        with pytest.raises(PatchRejected, match=r"Slider\(id='.*'\)\.value changed") as caught:
            await do(session.force_roundtrip())
        assert told == [caught.value]
        assert isinstance(caught.value, RuntimeError)
        assert caught.value.changes == (f"Slider(id={slider.id!r}).value changed",)
        slider.value = 4
        await do(session.force_roundtrip())
        slider.value = 5
        with pytest.raises(PatchRejected):
            await do(session.close())
        assert not session.connected

    face.play(scenario)


def test_run_until_closed_ends_when_a_callback_closes(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        assert session.document is not None
        closing: list[asyncio.Task[None]] = []

        def close() -> None:
            if isinstance(session, AsyncClientSession):
                closing.append(asyncio.get_running_loop().create_task(session.close()))
            else:
                session.close()

        session.document.add_timeout_callback(close, 1)
        await do(session.run_until_closed())
        for task in closing:
            await task
        assert not session.connected

    face.play(scenario)


def test_run_until_closed_ends_when_the_server_closes(face: Face, own_server: LiveServer) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=own_server.url("/slider"))
        assert session.document is not None
        session.document.add_timeout_callback(own_server.drop_connections, 1)
        await do(session.run_until_closed())
        assert not session.connected
        with pytest.raises(ConnectionLost, match="was lost"):
            await do(session.force_roundtrip())

    face.play(scenario)


def test_run_until_closed_of_a_session_that_never_connected_returns(face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = face.session()
        await do(session.run_until_closed())

    face.play(scenario)


def test_loop_until_closed_is_an_alias() -> None:
    assert ClientSession._loop_until_closed is ClientSession.run_until_closed


def test_ctrl_c_ends_run_until_closed_and_closes(server: LiveServer, blocking: Face) -> None:
    session = pull_session(url=server.url("/slider"), transport=blocking.transport)
    assert session.document is not None

    def interrupt() -> None:
        raise KeyboardInterrupt

    session.document.add_next_tick_callback(interrupt)
    session.run_until_closed()
    assert not session.connected
    with pytest.raises(SessionClosed):
        session.force_roundtrip()


def test_another_thread_may_close_while_a_call_waits(server: LiveServer, blocking: Face) -> None:
    session = pull_session(url=server.url("/slider"), transport=blocking.transport)
    waiting = threading.Event()

    def predicate() -> bool:
        waiting.set()
        return False

    def close() -> None:
        waiting.wait(20)
        session.close()

    thread = threading.Thread(target=close)
    thread.start()
    with pytest.raises(SessionClosed):
        session.wait_for(predicate, timeout=20)
    thread.join()
    assert not session.connected
