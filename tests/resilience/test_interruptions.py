"""Ctrl-C in every blocking call, at every point where it waits for the server."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import bokeh
import pytest
from bokeh.document import Document

from bokehwire import ClientSession, SessionClosed

from ..apps import model
from ..leaks import no_leaks
from ..live import DEADLINE, LiveServer
from ..proxy import Action, Direction, Fault, FaultProxy, Position
from ..session.faces import AnySession, Face, Scenario, do
from ..tally import TRIED
from .conftest import EVERYTHING
from .exchange import APP, surviving_tasks

_COUNTING = itertools.count(1)
_WAITED_FOR = 2  # frames of each direction in every opening: the upgrade and what comes next


def wait_for_mirror(session: ClientSession) -> None:
    """Changes the slider inside the call, and waits for what the server makes of it."""
    asked: list[int] = []

    def predicate() -> bool:
        if not asked:
            asked.append(1)
            model(session.document, "slider").value = 3
        return bool(model(session.document, "mirror").text == "slider: 3")

    session.wait_for(predicate)


def run_until_closed(session: ClientSession) -> None:
    """Changes the slider inside the call; what comes of it closes the session."""
    document = session.document
    assert document is not None
    mirror, slider = model(document, "mirror"), model(document, "slider")
    mirror.on_change("text", lambda attr, old, new: document.add_next_tick_callback(session.close))
    document.add_next_tick_callback(lambda: slider.update(value=3))
    session.run_until_closed()


CALLS: dict[str, Callable[[ClientSession], object]] = {
    "connect": ClientSession.connect,
    "pull": ClientSession.pull,
    "push": ClientSession.push,
    "force_roundtrip": ClientSession.force_roundtrip,
    "wait_for": wait_for_mirror,
    "run_until_closed": run_until_closed,
    "close": ClientSession.close,
}
if not bokeh.__version__.startswith("4"):  # there the pulled document has answered it already
    CALLS["request_server_info"] = ClientSession.request_server_info


@contextmanager
def interrupted_at(proxy: FaultProxy) -> Iterator[None]:
    """Sends this thread, the main one, a SIGINT as soon as the proxy's fault has happened."""
    main = threading.main_thread()
    assert threading.current_thread() is main
    over = threading.Event()

    def interrupt() -> None:
        while not over.is_set():
            if proxy.happened.wait(0.05):
                signal.pthread_kill(main.ident or 0, signal.SIGINT)
                return

    # A shell that runs the tests in the background has them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    try:
        thread.start()
        yield
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGINT, before)


def prepared(call: str, proxy: FaultProxy, face: Face) -> ClientSession:
    """A session just before the call."""
    session: Any = face.session(
        session_id=f"interrupted-{next(_COUNTING)}",
        websocket_url=proxy.websocket_url(APP),
        connect_timeout=DEADLINE,
        reply_timeout=DEADLINE,
        close_timeout=0.3 if call == "run_until_closed" else DEADLINE,
    )
    proxy.enter("before")
    if call != "connect":
        session.pull()
    proxy.enter("call")
    return cast(ClientSession, session)


def frames_of(call: str, proxy: FaultProxy, face: Face) -> list[tuple[Direction, int]]:
    """The frames that pass during the call when nothing interrupts it."""

    async def scenario(face: Face) -> None:
        session = prepared(call, proxy, face)
        CALLS[call](session)
        proxy.enter("after")

    proxy.arm(None)
    face.play(scenario)
    frames = [(frame.direction, frame.number) for frame in proxy.frames if frame.phase == "call"]
    if call == "wait_for":  # which is over with the server's first message, and the confirmation may come in time
        last = 0 if bokeh.__version__.startswith("4") else 2
        frames = [frame for frame in frames if frame[0] is Direction.TO_SERVER or frame[1] <= last]
    return frames


def stall_at(frames: list[tuple[Direction, int]], proxy: FaultProxy, face: Face, scenario: Scenario) -> None:
    """Plays a scenario once for each frame, with the call stalled before it."""
    for direction, number in frames:
        proxy.arm(Fault("call", direction, number, Position.BEFORE, Action.STALL))
        with no_leaks():
            Face(face.kind, face.transport).play(scenario)
            proxy.release()
            proxy.drop()
        TRIED["interruptions"] += 1


@pytest.mark.parametrize("transport", ["tornado", "aiohttp"])
@pytest.mark.parametrize("kind", ["blocking", "io_loop"])
@pytest.mark.parametrize("call", CALLS)
def test_an_interruption_while_the_server_is_waited_for(
    call: str, kind: str, transport: str, exchange_server: LiveServer, proxy: FaultProxy
) -> None:
    """The call is stalled before each of its frames in turn, and interrupted there; then all goes on."""

    async def scenario(face: Face) -> None:
        session = prepared(call, proxy, face)
        with interrupted_at(proxy):
            if call == "run_until_closed":
                # It closes instead of raising, and names what it then could not deliver.
                with pytest.raises(SessionClosed, match=r"\.value changed"):
                    run_until_closed(session)
            else:
                with pytest.raises(KeyboardInterrupt):
                    CALLS[call](session)
        proxy.release()
        proxy.enter("after")
        if call in ("close", "run_until_closed"):
            assert not session.connected
        else:
            session.pull()
            model(session.document, "slider").value = 9
            session.force_roundtrip()
            there = exchange_server.session(session.id, APP).document
            assert exchange_server.call(lambda: model(there, "slider").value) == 9
            session.close()
        assert not await surviving_tasks(face)

    frames = frames_of(call, proxy, Face(kind, transport))
    assert {direction for direction, _ in frames} == set(Direction)
    if not EVERYTHING:
        frames = [frames[0], frames[len(frames) // 2]]
    if call == "run_until_closed":
        frames = frames[:1]  # later on the change may be confirmed or not
    stall_at(frames, proxy, Face(kind, transport), scenario)


async def opened(how: str, face: Face, proxy: FaultProxy, document: Document) -> AnySession:
    """Calls `pull_session` or `push_session`."""
    options: Any = {"session_id": f"interrupted-{next(_COUNTING)}", "url": proxy.url(APP), "reply_timeout": DEADLINE}
    options["close_timeout"] = 0.3  # for the proxy is stalled then
    proxy.enter("call")
    session = await (face.pull(**options) if how == "pull" else face.push(document, **options))
    proxy.enter("after")
    return session


@pytest.mark.parametrize("transport", ["tornado", "aiohttp"])
@pytest.mark.parametrize("kind", ["blocking", "io_loop"])
@pytest.mark.parametrize("how", ["pull", "push"])
def test_an_interruption_while_a_session_is_opened(
    how: str, kind: str, transport: str, exchange_server: LiveServer, proxy: FaultProxy
) -> None:
    """Nobody has the session then, so that nothing of it is left, and the document that was to be pushed is free."""

    async def undisturbed(face: Face) -> None:
        await do((await opened(how, face, proxy, Document())).close())

    async def scenario(face: Face) -> None:
        document = Document()
        with interrupted_at(proxy), pytest.raises(KeyboardInterrupt):
            await opened(how, face, proxy, document)
        proxy.release()
        proxy.enter("after")
        session = await face.push(document, url=exchange_server.url(APP))
        await do(session.force_roundtrip())
        await do(session.close())
        assert not await surviving_tasks(face)

    proxy.arm(None)
    Face(kind, transport).play(undisturbed)
    # The last frames need not be what the call waits for: the server may tell of what was pushed, and be asked.
    frames = [
        (frame.direction, frame.number)
        for frame in proxy.frames
        if frame.phase == "call" and frame.number < _WAITED_FOR
    ]
    assert {direction for direction, _ in frames} == set(Direction)
    stall_at(frames, proxy, Face(kind, transport), scenario)
