"""Where sessions may be used: inside event loops, on a loop of one's own, in many threads."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from unittest.mock import Mock

import pytest
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.models.widgets import Slider
from bokeh.server.server import Server
from tornado.ioloop import IOLoop

from bokehwire import (
    AsyncClientSession,
    ClientSession,
    ConnectionLost,
    SessionClosed,
    UsageError,
    WaitTimeout,
    async_pull_session,
    pull_session,
    push_session,
)
from bokehwire.session.driving import drive
from bokehwire.session.thread_runner import ThreadRunner
from bokehwire.session.turns import Turn

from ..apps import slider as slider_app
from ..leaks import SERVER_THREADS, no_leaks
from ..live import DEADLINE
from ..processes import ServerProcess
from ..servers import LiveServer
from .faces import Face, do
from .test_documented_api import is_connected, named


def test_a_blocking_session_works_inside_a_running_loop(server: LiveServer, blocking: Face) -> None:
    """As in a notebook, whose cells run inside the kernel's loop."""

    async def cell() -> None:
        with pull_session(url=server.url("/slider"), transport=blocking.transport) as session:
            named(session, "slider").value = 9
            session.force_roundtrip()
            assert named(session, "div").text == "slider: 9"

    asyncio.run(cell())


def test_the_calling_thread_is_never_inside_a_loop(server: LiveServer, blocking: Face) -> None:
    with pull_session(url=server.url("/slider"), transport=blocking.transport) as session:
        assert session.document is not None
        found: list[bool] = []

        def look(attr: str, old: object, new: object) -> None:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                found.append(False)
            else:
                found.append(True)

        named(session, "div").on_change("text", look)
        named(session, "slider").value = 2
        session.force_roundtrip()
        assert found == [False]


def test_one_thread_serves_all_blocking_sessions(server: LiveServer, blocking: Face) -> None:
    def ours() -> list[str]:
        names = [thread.name for thread in threading.enumerate()]
        return [name for name in names if not name.startswith((*SERVER_THREADS, "asyncio_"))]

    pull_session(url=server.url("/slider"), transport=blocking.transport).close()
    before = ours()

    def use(number: int) -> str:
        with pull_session(url=server.url("/slider"), transport=blocking.transport) as session:
            named(session, "slider").value = number
            session.force_roundtrip()
            return str(named(session, "div").text)

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(use, range(2, 26))) == sorted(f"slider: {number}" for number in range(2, 26))
    assert ours() == before
    assert before.count("bokehwire") == 1


def test_a_bokeh_server_on_the_same_loop_in_the_same_thread(blocking: Face) -> None:
    loop = IOLoop(make_current=False)
    asyncio.set_event_loop(loop.asyncio_loop)
    try:
        app = Application(FunctionHandler(slider_app))
        server = Server({"/": app}, port=0, address="127.0.0.1", io_loop=loop)
        server.start()
        url = f"http://127.0.0.1:{server.port}"
        with pull_session(url=url, io_loop=loop, transport=blocking.transport) as session:
            named(session, "slider").value = 33
            session.force_roundtrip()
            assert named(session, "div").text == "slider: 33"
            session.wait_for(lambda: True)
        server.stop()
        loop.asyncio_loop.run_until_complete(asyncio.sleep(0))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_closing_inside_a_callback_on_the_sessions_own_loop_is_scheduled(server: LiveServer, blocking: Face) -> None:
    loop = asyncio.new_event_loop()
    session = pull_session(url=server.url("/slider"), io_loop=loop, transport=blocking.transport)
    slider = named(session, "slider")
    returned: list[bool] = []

    def callback() -> None:
        slider.value = 9
        session.close()
        returned.append(session.connected)  # the change has yet to be confirmed

    loop.call_soon(callback)
    session.run_until_closed()
    assert returned == [True]
    assert not session.connected
    assert not asyncio.all_tasks(loop)
    session.close()
    loop.close()
    with pull_session(session.id, server.url("/slider"), transport=blocking.transport) as again:
        assert named(again, "slider").value == 9


def test_a_close_that_a_callback_scheduled_is_finished_by_the_next_call(server: LiveServer, blocking: Face) -> None:
    loop = asyncio.new_event_loop()
    session = pull_session(url=server.url("/slider"), io_loop=loop, transport=blocking.transport)

    async def callback() -> None:
        session.close()

    loop.run_until_complete(callback())
    session.close()
    assert not session.connected
    assert not asyncio.all_tasks(loop)
    loop.close()


def test_blocking_calls_that_cannot_drive_the_loop_say_so(server: LiveServer, blocking: Face) -> None:
    loop = asyncio.new_event_loop()
    session = ClientSession(websocket_url=server.websocket_url("/slider"), io_loop=loop, transport=blocking.transport)

    async def inside_the_same() -> None:
        with pytest.raises(UsageError, match="running already"):
            session.pull()

    async def inside_another() -> None:
        with pytest.raises(UsageError, match="inside another event loop"):
            session.pull()

    loop.run_until_complete(inside_the_same())
    asyncio.run(inside_another())
    session.pull()
    session.close()
    loop.close()
    with pytest.raises(UsageError, match="is closed"):
        session.pull()
    session.close()


LOOP_FIRST = """
import asyncio, sys
from bokehwire import pull_session
loop = asyncio.new_event_loop()
session = pull_session(url=sys.argv[1], io_loop=loop, transport=sys.argv[2])
loop.close()
session.close()
print("closed", flush=True)
sys.stdin.readline()
"""


def test_closing_a_session_after_its_loop_lets_go_of_the_server(own_server: LiveServer, blocking: Face) -> None:
    command = [sys.executable, "-c", LOOP_FIRST, own_server.url("/slider"), str(blocking.transport)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "closed\n"
        deadline = time.monotonic() + DEADLINE
        while own_server.connection_count() and time.monotonic() < deadline:
            pass  # it is looked for in the server's own thread
        left = own_server.connection_count()
        process.communicate("\n", timeout=DEADLINE)
    assert left == 0


def test_an_io_loop_must_be_a_loop() -> None:
    with pytest.raises(TypeError, match="IOLoop or an asyncio loop"):
        ClientSession(io_loop=object())  # type: ignore[arg-type]


def test_an_asynchronous_session_belongs_to_its_loop(server: LiveServer, on_loop: Face) -> None:
    async def opened() -> AsyncClientSession:
        return await async_pull_session(url=server.url("/slider"), transport=on_loop.transport)

    with asyncio.Runner() as runner:
        session = runner.run(opened())

        async def elsewhere() -> None:
            with pytest.raises(UsageError, match="belongs to the event loop"):
                await session.force_roundtrip()

        asyncio.run(elsewhere())
        runner.run(session.force_roundtrip())
        runner.run(session.close())


def test_a_loop_that_ends_takes_its_sessions_with_it(server: LiveServer, on_loop: Face) -> None:
    async def opened() -> AsyncClientSession:
        return await async_pull_session(url=server.url("/slider"), transport=on_loop.transport)

    asyncio.run(opened()).token  # noqa: B018  # what is imported late is imported now
    with no_leaks():
        session = asyncio.run(opened())
        assert not session.connected
        document = session.document
        assert document is not None
        document.title = "too late"

        async def close() -> None:
            with pytest.raises(ConnectionLost, match="title changed to 'too late'"):
                await session.close()

        asyncio.run(close())
        assert not session.connected


CHANGED_LOOP_FIRST = """
import asyncio, sys
from bokehwire import pull_session
loop = asyncio.new_event_loop()
session = pull_session(url=sys.argv[1], io_loop=loop, transport=sys.argv[2])
if sys.argv[3] == "held":
    session.document.hold("combine")
session.document.title = "too late"
loop.close()
for _ in range(2):
    try:
        session.close()
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize(("held", "error"), [("", "SessionClosed"), ("held", "ConnectionLost")])
def test_closing_without_a_loop_names_what_was_not_sent(
    held: str, error: str, server: LiveServer, on_loop: Face
) -> None:
    arguments = [server.url("/slider"), str(on_loop.transport), held]
    done = subprocess.run([sys.executable, "-c", CHANGED_LOOP_FIRST, *arguments], capture_output=True, text=True)
    (said,) = done.stdout.splitlines()
    assert said.startswith(error)
    assert "title changed to 'too late'" in said


def test_a_lost_session_that_is_never_closed_leaves_nothing(own_server: LiveServer, on_loop: Face) -> None:
    async def scenario() -> None:
        session = await async_pull_session(url=own_server.url("/slider"), transport=on_loop.transport)
        await asyncio.to_thread(own_server.drop_connections)
        await session.run_until_closed()
        while len(asyncio.all_tasks()) > 1:
            await asyncio.sleep(0)
        assert not session.connected

    asyncio.run(scenario())


def test_awaiting_or_entering_opens_and_leaving_closes(server: LiveServer, on_loop: Face) -> None:
    async def scenario() -> None:
        async with async_pull_session(url=server.url("/slider"), transport=on_loop.transport) as session:
            assert session.connected
            named(session, "slider").value = 5
        assert not is_connected(session)
        awaited = await async_pull_session(session.id, server.url("/slider"), transport=on_loop.transport)
        assert named(awaited, "slider").value == 5
        await awaited.close()

    asyncio.run(scenario())


def test_several_calls_at_once_on_one_asynchronous_session(server: LiveServer, on_loop: Face) -> None:
    async def scenario() -> None:
        session = AsyncClientSession(websocket_url=server.websocket_url("/slider"), transport=on_loop.transport)
        await asyncio.gather(session.connect(), session.connect(), session.pull(), session.pull())
        await asyncio.gather(*(session.force_roundtrip() for _ in range(20)), session.request_server_info())
        await asyncio.gather(session.close(), session.close())
        with pytest.raises(SessionClosed):
            await session.force_roundtrip()

    asyncio.run(scenario())


def test_a_cancelled_call_leaves_the_session_usable(server: LiveServer, on_loop: Face) -> None:
    async def scenario() -> None:
        async with async_pull_session(url=server.url("/slider"), transport=on_loop.transport) as session:
            for _ in range(3):
                call = asyncio.ensure_future(session.pull())
                await asyncio.sleep(0)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            await session.force_roundtrip()
            named(session, "slider").value = 77
            await session.force_roundtrip()
            assert named(session, "div").text == "slider: 77"

    asyncio.run(scenario())


def test_a_cancelled_connect_leaves_nothing_and_can_be_repeated(server: LiveServer, on_loop: Face) -> None:
    async def scenario() -> None:
        session = AsyncClientSession(websocket_url=server.websocket_url("/slider"), transport=on_loop.transport)
        for turns in range(12):
            call = asyncio.ensure_future(session.connect())
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        if not session.connected:
            await session.pull()
        await session.pull()
        await session.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(scenario())
        gc.collect()


def test_another_thread_may_look_while_a_call_waits(server: LiveServer, blocking: Face) -> None:
    with pull_session(url=server.url("/slider"), transport=blocking.transport) as session:
        done: list[str] = []

        def look() -> None:
            assert session.document is not None
            session.document.title = "from a thread"
            session.force_roundtrip()
            done.append(session.document.title)
            session.document.title = "looked"

        thread = threading.Thread(target=look)
        thread.start()
        session.wait_for(lambda: done, timeout=DEADLINE)
        thread.join()
        assert done == ["from a thread"]


def test_a_change_reaches_the_server_while_another_thread_drives_the_loop(server: LiveServer, blocking: Face) -> None:
    """The thread that has opened the session is not the one that runs its loop by then."""
    loop = asyncio.new_event_loop()
    session = pull_session(url=server.url("/slider"), io_loop=loop, transport=blocking.transport)
    slider, div = named(session, "slider"), named(session, "div")
    seen, driven = threading.Event(), threading.Event()
    div.on_change("text", lambda attr, old, new: seen.set())
    loop.call_soon(driven.set)
    thread = threading.Thread(target=session.run_until_closed)
    thread.start()
    assert driven.wait(DEADLINE)
    slider.value = 9
    assert seen.wait(DEADLINE)
    session.close()
    thread.join(DEADLINE)
    assert not thread.is_alive()
    loop.close()


def test_another_thread_may_close_a_session_whose_loop_is_driven(server: LiveServer, blocking: Face) -> None:
    loop = asyncio.new_event_loop()
    with pull_session(url=server.url("/slider"), io_loop=loop, transport=blocking.transport) as session:
        thread = threading.Thread(target=session.close)
        thread.start()

        def use_until_closed() -> None:
            while True:
                session.force_roundtrip()

        with pytest.raises(SessionClosed):
            use_until_closed()
        thread.join(20)
        assert not thread.is_alive()
        assert not session.connected
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_an_interruption_in_a_handler_leaves_the_session_usable(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        div = named(session, "div")

        def interrupt(attr: str, old: object, new: object) -> None:
            div.remove_on_change("text", interrupt)
            raise KeyboardInterrupt

        div.on_change("text", interrupt)
        named(session, "slider").value = 8
        with pytest.raises(KeyboardInterrupt):
            await do(session.force_roundtrip())
        await do(session.force_roundtrip())
        assert div.text == "slider: 8"

    if face.kind != "async":  # asyncio.run ends its loop upon an interruption, and the session with it
        face.play(scenario)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, "cancel"])
def test_an_interrupted_close_leaves_nothing(interruption: object, blocking: Face) -> None:
    def stop(session: ClientSession) -> None:
        closing = threading.main_thread().ident
        assert closing is not None
        deadline = time.monotonic() + DEADLINE
        while not session._session._attachment.is_closed and time.monotonic() < deadline:
            pass  # before the close has begun, nobody is ready for the signal
        signal.pthread_kill(closing, signal.SIGINT)

    async def cancelled() -> None:
        session = await async_pull_session(url=process.url("/slider"), transport=blocking.transport)
        process.freeze()
        named(session, "slider").value = 5
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await session.close()
        assert not session.connected
        await session.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def interrupted() -> None:
        session = pull_session(url=process.url("/slider"), transport=blocking.transport)
        process.freeze()
        named(session, "slider").value = 5
        stopping = threading.Thread(target=stop, args=[session])
        # A shell that runs the tests in the background has them ignore the signal.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            stopping.start()
            with pytest.raises(KeyboardInterrupt):
                session.close()
            stopping.join()
        finally:
            signal.signal(signal.SIGINT, before)
        assert not session.connected
        session.close()

    pull_session(url=(warm := ServerProcess()).__enter__().url("/slider"), transport=blocking.transport).close()
    warm.__exit__()
    with ServerProcess() as process, no_leaks():
        if interruption is KeyboardInterrupt:
            interrupted()
        else:
            asyncio.run(cancelled())
        process.resume()


def test_a_session_that_is_let_go_of_is_dropped(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        document = Document()
        session = await face.push(document, url=server.url())
        face.sessions.clear()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del session
            gc.collect()
        assert "was not closed" in str([warning.message for warning in caught])
        again = await face.push(document, url=server.url())
        assert again.document is document

    face.play(scenario)


def test_a_lost_session_that_is_let_go_of_frees_its_document(own_server: LiveServer, blocking: Face) -> None:
    document = Document()
    session = push_session(document, url=own_server.url(), transport=blocking.transport)
    own_server.drop_connections()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # whether the loss was noticed before is a matter of time
        del session
        gc.collect()
    push_session(document, url=own_server.url(), transport=blocking.transport).close()


def test_a_session_whose_callbacks_lead_back_to_it_is_dropped_when_it_is_let_go_of(
    own_server: LiveServer, blocking: Face
) -> None:
    class Owner:
        def __init__(self) -> None:
            self.session = pull_session(
                url=own_server.url(),
                transport=blocking.transport,
                on_error=self.note,
                on_disconnect=self.note,
                on_reconnect=self.note,
                reconnect=True,
            )

        def note(self, news: object) -> None: ...

    owner = Owner()
    gone = weakref.ref(owner)
    del owner
    with pytest.warns(ResourceWarning, match="was not closed"):
        gc.collect()
    assert gone() is None


def test_a_handler_does_not_wait_for_another_threads_turn(server: LiveServer, blocking: Face) -> None:
    """A thread that pulls waits for what the handler keeps from being handled."""
    refused: list[UsageError] = []
    with pull_session(url=server.url("/slider"), transport=blocking.transport) as session:
        assert session.document is not None

        def pull() -> None:
            try:
                session.pull()
            except UsageError as error:
                refused.append(error)

        session.document.add_periodic_callback(pull, 1)
        stop = threading.Event()

        def pull_on() -> None:
            while not stop.is_set():
                session.pull()

        thread = threading.Thread(target=pull_on)
        thread.start()
        try:
            session.wait_for(lambda: refused, timeout=20)
        finally:
            stop.set()
            thread.join(20)
        assert not thread.is_alive()
        assert "another thread" in str(refused[0])


def test_a_thread_need_not_wait_for_the_end_of_a_handler_that_handles_what_it_waits_for(
    server: LiveServer, blocking: Face
) -> None:
    with pull_session(url=server.url("/slider"), transport=blocking.transport, reply_timeout=DEADLINE) as session:
        done = threading.Event()
        errors: list[BaseException] = []

        def work() -> None:
            try:
                for _ in range(5):
                    session.force_roundtrip()
            except BaseException as error:
                errors.append(error)
            done.set()

        thread = threading.Thread(target=work)

        def handle(attr: str, old: object, new: object) -> None:
            thread.start()
            deadline = time.monotonic() + DEADLINE / 2
            while not done.is_set() and time.monotonic() < deadline:
                session.force_roundtrip()
            assert done.is_set()

        named(session, "div").on_change("text", handle)
        named(session, "slider").value = 7
        session.force_roundtrip()
        session.wait_for(done.is_set, DEADLINE)
        thread.join(DEADLINE)
        assert errors == []


def test_threads_that_wait_for_a_handler_are_at_rest(server: LiveServer, blocking: Face) -> None:
    with pull_session(url=server.url("/slider"), transport=blocking.transport, reply_timeout=DEADLINE) as session:
        go = threading.Event()
        named(session, "div").on_change("text", lambda attr, old, new: go.wait(DEADLINE))
        runner = session._runner
        assert isinstance(runner, ThreadRunner)
        sleeps = Mock(wraps=runner._sleep)
        named(session, "slider").value = 7
        with ThreadPoolExecutor(4) as pool, pytest.MonkeyPatch.context() as patch:
            handling = pool.submit(session.force_roundtrip)
            while not runner._handling.holder:
                assert not handling.done()
            patch.setattr(runner, "_sleep", sleeps)
            others = [pool.submit(session.force_roundtrip) for _ in range(3)]
            with pytest.raises(WaitTimeout):
                session.wait_for(lambda: False, 0.5)
            assert sleeps.call_count < 50
            go.set()
            for call in (handling, *others):
                call.result(DEADLINE)


def test_a_callback_that_is_due_waits_for_the_end_of_a_handler_in_another_thread(
    server: LiveServer, blocking: Face
) -> None:
    with pull_session(url=server.url("/slider"), transport=blocking.transport, reply_timeout=DEADLINE) as session:
        document = session.document
        assert document is not None
        order: list[str] = []
        entered, added = threading.Event(), threading.Event()

        def handle(attr: str, old: object, new: object) -> None:
            entered.set()
            assert added.wait(DEADLINE)
            order.append("handler")

        def wait() -> None:
            assert entered.wait(DEADLINE)
            document.add_next_tick_callback(lambda: order.append("callback"))
            added.set()
            session.wait_for(lambda: "callback" in order, DEADLINE)

        named(session, "div").on_change("text", handle)
        thread = threading.Thread(target=wait)
        thread.start()
        named(session, "slider").value = 7
        session.force_roundtrip()
        thread.join(DEADLINE)
        assert order == ["handler", "callback"]


def test_ctrl_c_says_what_the_cancellation_has_cost() -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.sleep(DEADLINE)
        except asyncio.CancelledError as cancelled:
            cancelled.add_note("a change is lost")
            raise

    # A shell that runs the tests in the background has them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with asyncio.Runner() as runner, pytest.raises(KeyboardInterrupt) as caught:
            drive(runner.get_loop(), work(), Turn())
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught.value.__notes__ == ["a change is lost"]


@pytest.mark.parametrize("call", ["force_roundtrip", "pull", "wait_for"])
def test_handlers_that_call_each_others_sessions_in_two_threads_do_not_wait_for_ever(
    call: str, server: LiveServer
) -> None:
    refused: list[UsageError] = []
    inside = threading.Barrier(2)

    def calling(other: ClientSession) -> Callable[[str, object, object], None]:
        def handle(attr: str, old: object, new: object) -> None:
            inside.wait(DEADLINE)
            try:
                if call == "wait_for":
                    other.wait_for(lambda: named(other, "slider").value == 5, DEADLINE)
                else:
                    getattr(other, call)()
            except UsageError as error:
                refused.append(error)

        return handle

    def set_slider(there: Document) -> None:
        cast(Any, there.select_one({"type": Slider})).value = 5

    with pull_session(url=server.url("/slider")) as one, pull_session(url=server.url("/slider")) as two:
        for session, other in ((one, two), (two, one)):
            named(session, "div").on_change("text", calling(other))
            server.edit(session.id, set_slider, "/slider")
        threads = [threading.Thread(target=session.force_roundtrip, daemon=True) for session in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * DEADLINE)
        assert not any(thread.is_alive() for thread in threads)
        assert len(refused) == 1
        assert "wait for ever" in str(refused[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of Python 3.12, about forking with threads
def test_a_forked_process_leaves_the_session_to_its_parent(server: LiveServer, blocking: Face) -> None:
    with pull_session(url=server.url("/slider"), transport=blocking.transport) as session:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                session.force_roundtrip()
            except UsageError:
                session.close()
                status = 0
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        named(session, "slider").value = 3
        session.force_roundtrip()
        assert named(session, "div").text == "slider: 3"


def test_threads_take_turns_on_one_session(server: LiveServer, blocking: Face) -> None:
    with pull_session(url=server.url("/slider"), transport=blocking.transport) as session:
        barrier = threading.Barrier(4)

        def work(_: int) -> None:
            barrier.wait(20)
            for _ in range(10):
                session.force_roundtrip()
                session.request_server_info()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        slider = named(session, "slider")
        assert isinstance(slider, Slider)


def test_an_asynchronous_callback_that_closes_its_session_runs_on(server: LiveServer, on_loop: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        assert isinstance(session, AsyncClientSession)
        assert session.document is not None
        ended = asyncio.Event()

        async def callback() -> None:
            await session.close()
            await asyncio.sleep(0)
            ended.set()

        session.document.add_next_tick_callback(cast(Any, callback))
        await session.run_until_closed()
        async with asyncio.timeout(20):
            await ended.wait()

    on_loop.play(scenario)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_just_as_a_call_ends_does_not_end_the_next_one(interruption: type[BaseException]) -> None:
    """The loop has been told to stop by then, and would do so at the beginning of the next call."""

    def interrupt() -> None:
        raise interruption

    async def end() -> None:
        loop.call_soon(interrupt)

    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(interruption):
            drive(loop, end(), Turn())
        assert drive(loop, asyncio.sleep(0, "fine"), Turn()) == "fine"
    finally:
        loop.close()
