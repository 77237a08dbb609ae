"""Sessions that connect again: what was under way arrives once, what happened meanwhile too, both sides end equal."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import bokeh
import pytest
from bokeh.document import Document
from bokeh.document.events import MessageSentEvent
from bokeh.models.widgets import Div

from bokehwire import (
    ChangesInDoubt,
    ConnectError,
    ConnectionLost,
    PatchRejected,
    PendingLimitExceeded,
    Reconnect,
    Reconnection,
    SessionClosed,
    SessionLost,
    WaitTimeout,
    pull_session,
)
from bokehwire.session.channel import Channel
from bokehwire.session.judging import Judge
from bokehwire.session.rereading import Snapshot

from ..apps import JOINED_FAILS_AT, model, seen
from ..leaks import no_leaks
from ..live import DEADLINE, LiveServer
from ..processes import ServerProcess
from ..proxy import Action, Direction, Fault, FaultProxy, Position
from ..servers import SERVER_KINDS, make_server
from ..session.faces import AnySession, Face, Scenario, contents, do

SOON = Reconnect(first_delay=0.01, max_delay=0.05, deadline=DEADLINE)
APP = "/joined"


@pytest.fixture(scope="module", params=SERVER_KINDS)
def long_server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """A server on which no session expires while it runs."""
    with make_server(request.param, unused_session_lifetime_milliseconds=3_600_000) as running:
        yield running


@pytest.fixture
def cutter(long_server: LiveServer) -> Iterator[FaultProxy]:
    """A proxy in front of it."""
    with FaultProxy(long_server.port) as proxy:
        proxy.arm(None)
        yield proxy


class Log:
    """What a session's callbacks were told."""

    def __init__(self) -> None:
        self.losses: list[ConnectionLost] = []
        self.returns: list[Reconnection] = []
        self.errors: list[Exception] = []

    @property
    def options(self) -> dict[str, Any]:
        return {
            "reconnect": SOON,
            "on_disconnect": self.losses.append,
            "on_reconnect": self.returns.append,
            "on_error": self.errors.append,
        }


def play(face: Face, scenario: Scenario) -> None:
    with no_leaks():
        face.play(scenario)


async def assert_equal(server: LiveServer, session: AnySession, path: str = APP) -> None:
    await do(session.force_roundtrip())
    there = server.call(lambda: contents(server._session(session.id, path).document))
    assert there == contents(session.document)


def is_connected(session: AnySession) -> bool:
    """A type checker believes that a property stays what it was."""
    return session.connected


def rows(document: Document | None) -> list[Any]:
    return list(model(document, "source").data["x"])


def test_a_session_goes_on_after_its_connection_was_cut(
    face: Face, long_server: LiveServer, cutter: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        log = Log()
        session = await face.pull(url=cutter.url(APP), **log.options)
        document, slider = session.document, model(session.document, "slider")
        assert document is not None
        slider.value = 1
        await do(session.force_roundtrip())
        cutter.block()
        cutter.drop()
        await do(session.wait_for(lambda: log.losses, DEADLINE))
        assert not is_connected(session)
        with pytest.raises(ConnectError):
            session.check_connection_errors()
        assert session.error_code == 1006
        slider.value = 2
        model(document, "source").stream({"x": [1], "y": [1]})

        def change(there: Document) -> None:
            there.title = "meanwhile"
            model(there, "gone").text = "changed there"

        await face.edit(long_server, session, change, APP)
        cutter.unblock()
        await do(session.wait_for(lambda: log.returns, DEADLINE))
        await assert_equal(long_server, session)
        assert is_connected(session)
        assert (session.document is document, model(document, "slider") is slider) == (True, True)
        assert (document.title, model(document, "gone").text) == ("meanwhile", "changed there")
        assert rows(document) == [0, 1]
        assert await face.edit(long_server, session, seen, APP) == [1, 2, "rows"]
        assert [loss.code for loss in log.losses] == [1006]
        assert [(back.pushed, back.attempts >= 1, back.seconds > 0) for back in log.returns] == [(False, True, True)]
        assert not log.errors

    play(face, scenario)


@pytest.mark.parametrize("pending", [True, False])
def test_on_reconnect_finds_what_was_changed_meanwhile(
    pending: bool, some_face: Face, long_server: LiveServer, cutter: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        log, found = Log(), []

        def look(back: Reconnection) -> None:
            found.append((document.title, model(document, "slider").value))

        session = await face.pull(url=cutter.url(APP), **{**log.options, "on_reconnect": look})
        document: Any = session.document
        cutter.block()
        cutter.drop()
        await do(session.wait_for(lambda: log.losses, DEADLINE))
        if pending:
            model(document, "slider").value = 2
        await face.edit(long_server, session, lambda there: setattr(there, "title", "meanwhile"), APP)
        cutter.unblock()
        await do(session.wait_for(lambda: found, DEADLINE))
        assert found == [("meanwhile", 2 if pending else 0)]
        await assert_equal(long_server, session)
        assert not log.errors

    play(some_face, scenario)


@pytest.mark.parametrize("call", ["force_roundtrip", "pull", "request_server_info", "close"])
def test_on_reconnect_can_make_calls(call: str, long_server: LiveServer, cutter: FaultProxy) -> None:
    async def scenario(face: Face) -> None:
        log, made = Log(), []

        def make(back: Reconnection) -> None:
            getattr(session, call)()
            made.append(call)

        session: Any = await face.pull(url=cutter.url(APP), **{**log.options, "on_reconnect": make})
        cutter.drop()
        with suppress(SessionClosed):
            await do(session.wait_for(lambda: made, DEADLINE))
        assert made == [call]
        assert not log.errors

    play(Face("blocking", "tornado"), scenario)


@pytest.mark.parametrize("call", ["connect", "force_roundtrip", "pull", "push"])
def test_a_handler_can_make_calls_while_what_was_changed_meanwhile_is_taken_over(
    call: str, long_server: LiveServer, cutter: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        log, made = Log(), []

        def make(attr: str, old: object, new: object) -> None:
            getattr(session, call)()
            made.append(new)

        session: Any = await face.pull(url=cutter.url(APP), **log.options)
        model(session.document, "slider").on_change("value", make)
        cutter.block()
        cutter.drop()
        await do(session.wait_for(lambda: log.losses, DEADLINE))
        await face.edit(long_server, session, lambda there: setattr(model(there, "slider"), "value", 4), APP)
        cutter.unblock()
        await do(session.wait_for(lambda: made and log.returns, DEADLINE))
        await assert_equal(long_server, session)
        assert made == [4]
        assert not log.errors

    play(Face("blocking", "tornado"), scenario)


@pytest.mark.parametrize("arrives", [True, False], ids=["arrived", "not-arrived"])
def test_changes_in_doubt_are_applied_once(
    arrives: bool, some_face: Face, long_server: LiveServer, cutter: FaultProxy
) -> None:
    """The connection is cut before the server has a message of changes, or after, before its answer is here."""

    async def scenario(face: Face) -> None:
        log = Log()
        session = await face.pull(url=cutter.url(APP), **log.options)
        source, slider = model(session.document, "source"), model(session.document, "slider")
        direction = Direction.TO_CLIENT if arrives else Direction.TO_SERVER
        cutter.arm(Fault("changes", direction, 0, Position.BEFORE, Action.RESET))
        cutter.enter("changes")
        source.stream({"x": [1, 2], "y": [1, 2]})
        slider.value = 5
        source.stream({"x": [3], "y": [3]})
        await do(session.wait_for(lambda: log.returns, DEADLINE))
        assert cutter.happened.is_set()
        await assert_equal(long_server, session)
        assert rows(session.document) == [0, 1, 2, 3]
        assert sorted(await face.edit(long_server, session, seen, APP), key=str) == [5, "rows", "rows"]
        assert not log.errors

    play(some_face, scenario)


def test_what_nobody_can_tell_is_named_and_not_sent_again(
    some_face: Face, long_server: LiveServer, cutter: FaultProxy
) -> None:
    """A message leaves no trace in a document; and rows that another has replaced meanwhile leave none either."""

    async def scenario(face: Face) -> None:
        log = Log()
        session = await face.pull(url=cutter.url(APP), **log.options)
        source = model(session.document, "source")
        cutter.arm(Fault("changes", Direction.TO_CLIENT, 0, Position.BEFORE, Action.RESET))
        cutter.enter("changes")
        cutter.block()
        source.stream({"x": [1], "y": [1]})
        await face.edit(
            long_server, session, lambda there: model(there, "source").update(data={"x": [9], "y": [9]}), APP
        )
        cutter.unblock()
        await do(session.wait_for(lambda: log.returns, DEADLINE))
        with pytest.raises(ChangesInDoubt, match="streamed") as caught:
            await do(session.force_roundtrip())
        assert len(caught.value.changes) == 1
        await assert_equal(long_server, session)

    play(some_face, scenario)


@pytest.mark.parametrize("phase", ["pull", "round trip", "push", "info"])
def test_calls_wait_for_the_next_connection(
    phase: str, some_face: Face, long_server: LiveServer, cutter: FaultProxy
) -> None:
    if phase == "info" and bokeh.__version__.startswith("4"):
        pytest.skip("Bokeh 4 is not asked")

    async def scenario(face: Face) -> None:
        log = Log()
        session = await face.pull(url=cutter.url(APP), **log.options)
        model(session.document, "slider").value = 3
        cutter.arm(Fault(phase, Direction.TO_CLIENT, 0, Position.FIRST_BYTE, Action.RESET))
        cutter.enter(phase)
        match phase:
            case "pull":
                await do(session.pull())
            case "push":
                await do(session.push())
            case "info":
                assert (await do(session.request_server_info()))["version_info"]
            case _:
                await do(session.force_roundtrip())
        cutter.wait()
        await do(session.wait_for(lambda: log.returns, DEADLINE))
        model(session.document, "slider").value = 4
        await assert_equal(long_server, session)
        assert model(session.document, "slider").value == 4
        assert not log.errors

    play(some_face, scenario)


@pytest.mark.parametrize("new_session", ["raise", "push"])
def test_a_server_that_was_restarted_has_lost_the_session(new_session: Any, some_face: Face) -> None:
    async def scenario(face: Face) -> None:
        log = Log()
        policy = Reconnect(first_delay=0.01, max_delay=0.05, deadline=DEADLINE, new_session=new_session)
        with ServerProcess() as first, FaultProxy(first.port) as proxy:
            session = await face.pull(url=proxy.url("/slider"), **{**log.options, "reconnect": policy})
            document, slider = session.document, model(session.document, "slider")
            assert document is not None
            slider.value = 5
            await do(session.force_roundtrip())
            first.kill()
            slider.value = 6
            await do(session.wait_for(lambda: log.losses, DEADLINE))  # what may have been sent before is in doubt
            document.callbacks.trigger_on_change(MessageSentEvent(document, "title", "told after the restart"))
            with ServerProcess() as second:
                proxy.retarget(second.port)
                if new_session == "raise":
                    with pytest.raises(SessionLost, match=r"new one under its id.*\.value changed") as caught:
                        await do(session.wait_for(lambda: False, DEADLINE))
                    assert len(caught.value.unconfirmed) == 2
                    assert not log.returns
                    with pytest.raises(SessionLost):
                        await do(session.force_roundtrip())
                    return
                await do(session.wait_for(lambda: log.returns, DEADLINE))
                assert log.returns[0].pushed
                slider.value = 7
                await do(session.force_roundtrip())
                assert session.document is document
                assert document.title == "told after the restart"
                other = await face.pull(session_id=session.id, url=second.url("/slider"))
                assert contents(other.document) == contents(document)
                assert not log.errors

    play(some_face, scenario)


def test_a_session_that_has_expired_is_lost(some_face: Face) -> None:
    async def scenario(face: Face) -> None:
        log = Log()
        with (
            make_server(unused_session_lifetime_milliseconds=1, check_unused_sessions_milliseconds=10) as server,
            FaultProxy(server.port) as proxy,
        ):
            session = await face.pull(url=proxy.url(APP), **log.options)
            proxy.block()
            proxy.drop()
            while server.session_ids(APP):
                pass  # it is looked for in the server's own thread
            proxy.unblock()
            with pytest.raises(SessionLost):
                await do(session.wait_for(lambda: False, DEADLINE))

    play(some_face, scenario)


def test_after_the_last_attempt_the_session_is_lost(some_face: Face, long_server: LiveServer) -> None:
    async def scenario(face: Face) -> None:
        log = Log()
        policy = Reconnect(first_delay=0.001, attempts=3)
        with FaultProxy(long_server.port) as proxy:
            session = await face.pull(url=proxy.url(APP), **{**log.options, "reconnect": policy})
            proxy.retarget(1)  # where nobody listens
            proxy.drop()
            model(session.document, "slider").value = 9
            with pytest.raises(ConnectionLost, match=r"3 attempts.*\.value changed") as caught:
                await do(session.wait_for(lambda: False, DEADLINE))
            assert isinstance(caught.value.__cause__, ConnectError)
            assert len(caught.value.unconfirmed) == 1
            assert not isinstance(caught.value, SessionLost)
            assert [type(error) for error in log.errors] == [ConnectionLost]

    play(some_face, scenario)


def test_after_the_deadline_the_session_is_lost_though_an_attempt_is_under_way(
    some_face: Face, long_server: LiveServer, cutter: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        log = Log()
        options = {**log.options, "reconnect": Reconnect(first_delay=0.001, deadline=0.2)}
        session = await face.pull(url=cutter.url(APP), connect_timeout=10 * DEADLINE, **options)
        cutter.block()  # the next handshake is never answered
        cutter.drop()
        with pytest.raises(ConnectionLost, match=r"0\.\d s and 1 attempts"):
            await do(session.wait_for(lambda: False, DEADLINE))
        cutter.unblock()

    play(some_face, scenario)


def test_there_is_a_limit_to_what_is_kept(some_face: Face, long_server: LiveServer, cutter: FaultProxy) -> None:
    async def scenario(face: Face) -> None:
        log = Log()
        policy = Reconnect(first_delay=0.01, max_delay=0.05, max_pending=2000)
        session = await face.pull(url=cutter.url(APP), **{**log.options, "reconnect": policy})
        div, slider = model(session.document, "gone"), model(session.document, "slider")
        cutter.block()
        cutter.drop()
        await do(session.wait_for(lambda: log.losses, DEADLINE))
        slider.value = 8
        div.text = "x" * 5000
        slider.title = "kept"
        with pytest.raises(PendingLimitExceeded, match=r"max_pending.*2000") as caught:
            await do(session.wait_for(lambda: False, DEADLINE))
        assert [".text" in change for change in caught.value.changes] == [True]
        cutter.unblock()
        await do(session.wait_for(lambda: log.returns, DEADLINE))
        await assert_equal(long_server, session)
        assert (div.text, slider.value, slider.title) == ("", 8, "kept")

    play(some_face, scenario)


def test_closing_without_a_connection_names_what_was_not_confirmed(
    some_face: Face, long_server: LiveServer, cutter: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        log = Log()
        session = await face.pull(url=cutter.url(APP), close_timeout=0.1, **log.options)
        idle = await face.pull(url=cutter.url(APP), **Log().options)
        cutter.block()
        cutter.drop()
        await do(session.wait_for(lambda: log.losses, DEADLINE))
        model(session.document, "slider").value = 8
        with pytest.raises(SessionClosed, match=r"\.value changed"):
            await do(session.close())
        await do(idle.close())  # nothing to wait for
        cutter.unblock()

    play(some_face, scenario)


def test_a_new_token_is_made_for_each_connection(some_face: Face, long_server: LiveServer, cutter: FaultProxy) -> None:
    async def scenario(face: Face) -> None:
        log = Log()
        made: list[str] = []
        namesake = face.session(session_id="renewed")

        def token() -> str:
            made.append(namesake.token)
            return made[-1]

        url = cutter.websocket_url(APP)
        session = face.session(session_id="renewed", websocket_url=url, token=token, **log.options)
        await do(session.pull())
        cutter.drop()
        await do(session.wait_for(lambda: log.returns, DEADLINE))
        assert len(made) == 2

    play(some_face, scenario)


def test_what_callbacks_of_the_program_raise_is_logged(
    some_face: Face, long_server: LiveServer, cutter: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(news: object) -> None:
        raise ValueError("of the program")

    async def scenario(face: Face) -> None:
        session = await face.pull(url=cutter.url(APP), reconnect=SOON, on_disconnect=fail, on_reconnect=fail)
        cutter.drop()
        await do(session.wait_for(lambda: not session.connected, DEADLINE))
        await do(session.connect())
        await assert_equal(long_server, session)

    with caplog.at_level(logging.ERROR):
        play(some_face, scenario)
    assert [name for name in ("on_disconnect", "on_reconnect") if name in caplog.text] == [
        "on_disconnect",
        "on_reconnect",
    ]


def test_pings_find_a_frozen_server_and_the_session_outlives_it(some_face: Face, server_process: ServerProcess) -> None:
    async def scenario(face: Face) -> None:
        log = Log()
        session = await face.pull(
            url=server_process.url("/slider"), ping_interval=0.2, ping_timeout=1.0, connect_timeout=1.0, **log.options
        )
        server_process.freeze()
        try:
            await do(session.wait_for(lambda: log.losses, DEADLINE))
        finally:
            server_process.resume()
        model(session.document, "slider").value = 7
        await do(session.wait_for(lambda: model(session.document, "div").text == "slider: 7", DEADLINE))
        assert log.returns

    play(some_face, scenario)


@pytest.mark.filterwarnings("ignore:a session was not closed")
def test_what_waits_for_a_connection_is_logged_when_nobody_has_the_session(
    long_server: LiveServer, cutter: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log()
    session = pull_session(url=cutter.url(APP), **log.options)
    slider = model(session.document, "slider")
    cutter.block()
    cutter.drop()
    session.wait_for(lambda: log.losses, DEADLINE)
    slider.value = 7
    del session, slider
    gc.collect()
    assert "the server has not confirmed 1 changes" in caplog.text


def test_models_added_and_removed_without_a_connection_arrive(
    some_face: Face, long_server: LiveServer, cutter: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        log = Log()
        session = await face.pull(url=cutter.url(APP), **log.options)
        document = session.document
        assert document is not None
        cutter.block()
        cutter.drop()
        await do(session.wait_for(lambda: log.losses, DEADLINE))
        document.remove_root(model(document, "gone"))
        document.add_root(Div(name="new", text="made here"))
        await face.edit(long_server, session, lambda there: there.add_root(Div(name="theirs")), APP)
        cutter.unblock()
        await do(session.wait_for(lambda: log.returns, DEADLINE))
        await assert_equal(long_server, session)
        assert {root.name for root in document.roots} == {"slider", "figure", "new", "theirs"}
        assert not log.errors

    play(some_face, scenario)


def test_a_loss_between_a_refusal_and_its_handling(long_server: LiveServer, cutter: FaultProxy) -> None:
    """The program looks only when the connection is back: what it then decides was asked of the one before."""

    async def scenario(face: Face) -> None:
        log = Log()
        policy = Reconnect(first_delay=0.5, jitter=0)  # time enough to see that it is lost
        session = await face.pull(url=cutter.url(APP), **{**log.options, "reconnect": policy})
        source, slider = model(session.document, "source"), model(session.document, "slider")
        cutter.arm(Fault("changes", Direction.TO_SERVER, 0, Position.BEFORE, Action.STALL))
        cutter.enter("changes")
        slider.value = 1
        source.stream({"x": [1], "y": [1]})  # these three wait, and travel together
        slider.value = JOINED_FAILS_AT
        source.stream({"x": [2], "y": [2]})
        cutter.wait()
        cutter.release()
        there = long_server.session(session.id, APP).document
        while long_server.call(lambda: model(there, "slider").value) != JOINED_FAILS_AT:
            pass  # it is looked for in the server's own thread
        cutter.drop()
        while is_connected(session):
            pass
        while not is_connected(session):
            pass
        with suppress(PatchRejected):  # the reset may have overtaken the refusal
            await do(session.force_roundtrip())
        await assert_equal(long_server, session)
        assert rows(session.document) == [0, 1, 2]

    play(Face("blocking", "tornado"), scenario)


def test_a_call_inside_a_handler_takes_nothing_away_from_the_call_around_it(
    long_server: LiveServer, cutter: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=cutter.url(APP))
        document, slider = session.document, model(session.document, "slider")
        assert document is not None
        seen_titles: list[str] = []

        def call(attr: str, old: object, new: object) -> None:
            session.force_roundtrip()
            seen_titles.append(document.title)

        slider.on_change("value", call)
        await face.edit(long_server, session, lambda there: setattr(model(there, "slider"), "value", 4), APP)
        await face.edit(long_server, session, lambda there: setattr(there, "title", "after"), APP)
        await do(session.force_roundtrip())
        await assert_equal(long_server, session)
        assert (seen_titles, document.title) == (["after"], "after")

    play(Face("blocking", "tornado"), scenario)


def test_ctrl_c_in_the_comparison_does_not_leave_the_session_waiting(
    long_server: LiveServer, cutter: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = Snapshot.continues
    presses = iter([True])

    def press(snapshot: Snapshot, *arguments: Any) -> bool:
        if next(presses, False):
            raise KeyboardInterrupt
        return compare(snapshot, *arguments)

    monkeypatch.setattr(Snapshot, "continues", press)

    async def scenario(face: Face) -> None:
        log = Log()
        session = await face.pull(url=cutter.url(APP), **log.options)
        cutter.drop()
        with pytest.raises(KeyboardInterrupt):
            await do(session.wait_for(lambda: log.returns, DEADLINE))
        model(session.document, "slider").value = 7
        await do(session.wait_for(lambda: log.returns, DEADLINE))
        await assert_equal(long_server, session)
        assert await face.edit(long_server, session, seen, APP) == [7]

    play(Face("blocking", "tornado"), scenario)


def test_ctrl_c_after_a_verdict_sends_nothing_twice(
    long_server: LiveServer, cutter: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    conclude = Judge.conclude
    presses = iter([True])

    def press(judge: Judge, *arguments: Any) -> None:
        conclude(judge, *arguments)
        if next(presses, False):
            raise KeyboardInterrupt

    monkeypatch.setattr(Judge, "conclude", press)

    async def scenario(face: Face) -> None:
        session = await face.pull(url=cutter.url(APP))
        source, slider = model(session.document, "source"), model(session.document, "slider")
        for number in range(1, 60):
            source.stream({"x": [number], "y": [number]})
            if number == 30:
                slider.value = JOINED_FAILS_AT
        with pytest.raises(KeyboardInterrupt):
            await do(session.force_roundtrip())
        with pytest.raises(PatchRejected):
            await do(session.force_roundtrip())
        await assert_equal(long_server, session)
        assert rows(session.document) == list(range(60))

    play(Face("blocking", "tornado"), scenario)


def test_there_is_a_limit_while_a_server_accepts_and_does_not_answer(
    some_face: Face, long_server: LiveServer, cutter: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        log = Log()
        policy = Reconnect(first_delay=0.01, max_delay=0.05, max_pending=2000)
        session = await face.pull(url=cutter.url(APP), **{**log.options, "reconnect": policy})
        div, slider = model(session.document, "gone"), model(session.document, "slider")
        acknowledged = 2 if bokeh.__version__.startswith("4") else 4  # the head of the handshake, and the ACK's frames
        cutter.block()
        cutter.drop()
        await do(session.wait_for(lambda: log.losses, DEADLINE))
        cutter.enter("again")
        cutter.arm(Fault("again", Direction.TO_CLIENT, acknowledged, Position.BEFORE, Action.STALL))
        while not cutter.happened.is_set():  # the program has to look, for the documents to be compared
            with suppress(WaitTimeout):
                await do(session.wait_for(cutter.happened.is_set, 0.05))
        slider.value = 8
        div.text = "x" * 5000
        slider.title = "kept"
        with pytest.raises(PendingLimitExceeded, match=r"max_pending.*2000"):
            await do(session.wait_for(lambda: False, DEADLINE))
        cutter.release()
        await do(session.wait_for(lambda: log.returns, DEADLINE))
        await assert_equal(long_server, session)
        assert (div.text, slider.value, slider.title) == ("", 8, "kept")

    play(some_face, scenario)


def test_a_close_is_not_misled_by_what_is_just_moved(
    long_server: LiveServer, cutter: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread than the portal's may see a change nowhere that is moved from one place to another."""
    misled = [True] * 3
    truth: Any = vars(Channel)["is_delivered"].fget

    def is_delivered(channel: Channel) -> bool:
        if misled and threading.current_thread() is threading.main_thread():
            return misled.pop()
        return bool(truth(channel))

    async def scenario(face: Face) -> None:
        session = await face.pull(url=cutter.url(APP), reconnect=SOON, close_timeout=DEADLINE)
        slider = model(session.document, "slider")
        cutter.drop()
        slider.value = 6
        monkeypatch.setattr(Channel, "is_delivered", property(is_delivered))
        await do(session.close())
        assert misled == []
        again = await face.pull(session_id=session.id, url=long_server.url(APP))
        assert model(again.document, "slider").value == 6
        await do(again.close())

    play(Face("blocking", "tornado"), scenario)
