"""The end of the interpreter with sessions open, and forks of it: no complaint, no hang, the right exit code."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Callable
from unittest.mock import Mock

import pytest

from bokehwire import UsageError, pull_session
from bokehwire.session.thread_runner import ThreadRunner

from ..apps import JOINED_FAILS_AT, model
from ..live import DEADLINE, LiveServer
from ..processes import ROOT, ServerProcess
from .exchange import APP

# Each ends without closing; {url} and {transport} are filled in.
PROGRAMS = {
    "a blocking session": """
        session = bokehwire.pull_session(url={url!r}, transport={transport!r})
    """,
    "changes under way": """
        session = bokehwire.pull_session(url={url!r}, transport={transport!r})
        for number in range(50):
            session.document.title = str(number)
    """,
    "several sessions": """
        sessions = [bokehwire.pull_session(url={url!r}, transport={transport!r}) for _ in range(5)]
        sessions[0].close()
    """,
    "a session on a loop": """
        loop = asyncio.new_event_loop()
        session = bokehwire.pull_session(url={url!r}, transport={transport!r}, io_loop=loop)
    """,
    "an asynchronous session": """
        async def main():
            global session
            session = await bokehwire.async_pull_session(url={url!r}, transport={transport!r})
        asyncio.run(main())
    """,
    "a thread that waits": """
        session = bokehwire.pull_session(url={url!r}, transport={transport!r})
        waiting = threading.Event()
        def predicate():
            waiting.set()
        threading.Thread(target=session.wait_for, args=[predicate], daemon=True).start()
        waiting.wait()
    """,
    "sys.exit": """
        session = bokehwire.pull_session(url={url!r}, transport={transport!r})
        sys.exit(0)
    """,
    "a session closed by atexit": """
        session = bokehwire.pull_session(url={url!r}, transport={transport!r})
        session.document.title = "changed"
        atexit.register(session.close)
    """,
}


@pytest.mark.parametrize("transport", ["tornado", "aiohttp"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_interpreter_ends_quietly(program: str, transport: str, exchange_server: LiveServer) -> None:
    assert run(PROGRAMS[program].format(url=exchange_server.url(APP), transport=transport)) == (0, "", "")


def run(program: str) -> tuple[int, str, str]:
    """Runs a program to its end; gives its exit code and what it has printed."""
    source = "import asyncio, atexit, sys, threading, textwrap, bokehwire\n" + f"exec(textwrap.dedent({program!r}))"
    ended = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, timeout=3 * DEADLINE, check=False
    )
    return ended.returncode, ended.stdout, ended.stderr


# What a program registers comes first or last, as it was registered after its first session or before.
EXITS = {
    "no close": "",
    "a close by atexit": """
        atexit.register(lambda: session.close())
    """,
    "a wait by atexit": """
        def wait():
            try:
                session.wait_for(lambda: False)
            except bokehwire.SessionClosed:
                print("closed")
        atexit.register(wait)
    """,
}


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("at_exit", EXITS)
def test_what_is_under_way_is_delivered_when_the_interpreter_ends(
    at_exit: str, held: bool, exchange_server: LiveServer
) -> None:
    opening = f"""
        session = bokehwire.pull_session("exit{held}{at_exit}", url={exchange_server.url(APP)!r})
        source = session.document.get_model_by_name("source")
        {'session.document.hold("collect")' if held else ""}
        for number in range(4, 3000):
            source.stream(dict(x=[number], y=[number]))
    """
    ended = run(textwrap.dedent(EXITS[at_exit]) + textwrap.dedent(opening))
    assert ended == (0, "closed\n" if "wait" in at_exit else "", "")
    document = exchange_server.session(f"exit{held}{at_exit}", APP).document
    there = exchange_server.call(lambda: list(model(document, "source").data["x"]))
    assert there == list(range(3000))


@pytest.mark.parametrize("at_exit", ["a close by atexit", "a wait by atexit"])
def test_a_session_is_closed_for_whoever_comes_after_it(at_exit: str, exchange_server: LiveServer) -> None:
    opening = f"\nsession = bokehwire.pull_session(url={exchange_server.url(APP)!r})"
    assert run(textwrap.dedent(EXITS[at_exit]) + opening) == (0, "closed\n" if "wait" in at_exit else "", "")


LATE = """
    def change():
        session.document.title = "changed at the end"
        try:
            session.{call}()
        except bokehwire.SessionClosed as error:
            print(error.unconfirmed)
        session.close()
    atexit.register(change)
"""


@pytest.mark.parametrize("call", ["close", "force_roundtrip"])
def test_a_change_by_atexit_is_delivered(call: str, exchange_server: LiveServer) -> None:
    """Although it was registered before there was a session: importing what makes one comes before that."""
    url, name = exchange_server.url(APP), f"late {call}"
    opening = f"session = bokehwire.pull_session({name!r}, url={url!r})"
    program = "bokehwire.pull_session\n" + textwrap.dedent(LATE.format(call=call)) + opening
    assert run(program) == (0, "", "")
    document = exchange_server.session(name, APP).document
    assert exchange_server.call(lambda: document.title) == "changed at the end"


@pytest.mark.parametrize("call", ["close", "force_roundtrip"])
def test_a_change_by_atexit_that_comes_too_late_is_named(call: str, exchange_server: LiveServer) -> None:
    opening = f"session = bokehwire.pull_session(url={exchange_server.url(APP)!r})"
    program = textwrap.dedent(LATE.format(call=call)) + opening
    assert run(program) == (0, "(\"title changed to 'changed at the end'\",)\n", "")


def test_no_session_can_be_opened_when_those_before_have_been_closed_by_the_end(exchange_server: LiveServer) -> None:
    """Nothing would close it."""
    opening = f"session = bokehwire.pull_session(url={exchange_server.url(APP)!r})"
    program = f"""
        def open_another():
            try:
                {opening}
            except bokehwire.UsageError as error:
                print(str(error)[:21])
        atexit.register(open_another)
        {opening}
    """
    assert run(program) == (0, "the program has ended\n", "")


LOST = {
    "a frozen server": """
        session = bokehwire.pull_session(url={url!r}, close_timeout=0.2)
        os.kill({pid}, signal.SIGSTOP)
        session.document.title = "changed"
    """,
    "a loop that has ended": """
        async def main():
            global session
            session = await bokehwire.async_pull_session(url={url!r})
            session.document.title = "changed"
        asyncio.run(main())
    """,
    "a loop that is closed": """
        loop = asyncio.new_event_loop()
        session = bokehwire.pull_session(url={url!r}, io_loop=loop)
        session.document.title = "changed"
    """,
    "sys.exit": """
        with bokehwire.pull_session(url={url!r}, close_timeout=0.2) as session:
            os.kill({pid}, signal.SIGSTOP)
            session.document.title = "changed"
            sys.exit(0)
    """,
    "a session that nobody has": """
        session = bokehwire.pull_session(url={url!r})
        os.kill({pid}, signal.SIGSTOP)
        session.document.title = "changed"
        del session
    """,
    "a session that nobody has, with held changes": """
        session = bokehwire.pull_session(url={url!r})
        document = session.document
        document.hold()
        document.title = "changed"
        del session
    """,
}


@pytest.mark.parametrize("program", LOST)
def test_what_is_lost_with_a_session_that_was_not_closed_is_logged(program: str, server_process: ServerProcess) -> None:
    source = "import os, signal\n" + textwrap.dedent(LOST[program])
    try:
        code, printed, logged = run(source.format(url=server_process.url("/slider"), pid=server_process.process.pid))
    finally:
        server_process.resume()
    assert (code, printed, logged.count("title changed to 'changed'")) == (0, "", 1), logged


def test_all_sessions_together_end_as_soon_as_the_one_that_may_wait_longest(
    server_process: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    session = pull_session(url=server_process.url("/slider"), close_timeout=10 * DEADLINE)
    assert session.document is not None
    server_process.freeze()
    try:
        session.document.title = "changed"
        session._session._attachment.finish(time.monotonic() - 10 * DEADLINE)  # as others have taken so long already
    finally:
        server_process.resume()
    assert "title changed to 'changed'" in caplog.text
    assert not session.connected


def test_what_an_interruption_while_it_ends_leaves_unconfirmed_is_logged(
    server_process: ServerProcess, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = pull_session(url=server_process.url("/slider"))
    assert session.document is not None
    monkeypatch.setattr(ThreadRunner, "wait", Mock(side_effect=KeyboardInterrupt))
    server_process.freeze()
    try:
        session.document.title = "changed"
        with pytest.raises(KeyboardInterrupt):
            session._session._attachment.finish(time.monotonic())
    finally:
        server_process.resume()
    assert "title changed to 'changed'" in caplog.text
    assert not session.connected


@pytest.mark.parametrize("how", ["KeyboardInterrupt", "SystemExit(3)"])
def test_an_interruption_of_one_session_at_the_end_takes_nothing_from_the_others(
    how: str, exchange_server: LiveServer
) -> None:
    source = f"""
        def refuse(attr, old, new):
            raise {how}
        one, two = (bokehwire.pull_session(f"{how} {{name}}", url={exchange_server.url(APP)!r}) for name in "ab")
        one.document.get_model_by_name("mirror").on_change("text", refuse)
        two.document.hold("collect")  # so that nothing is sent before its turn
        for slider in [session.document.get_model_by_name("slider") for session in (one, two)]:
            for number in range(2, 50):
                slider.value = number
    """
    _, printed, logged = run(source)
    assert printed == ""
    arrived = [
        exchange_server.edit(f"{how} {name}", lambda there: int(model(there, "slider").value), APP) for name in "ab"
    ]
    assert arrived[1] == 49
    assert arrived[0] == 49 or f"session {how} a was not closed, and changes are lost: Slider" in logged


def test_a_rejection_that_no_call_has_raised_is_logged_when_the_interpreter_ends(server_process: ServerProcess) -> None:
    source = f"""
        session = bokehwire.pull_session(url={server_process.url("/joined")!r})
        session.document.get_model_by_name("slider").value = {JOINED_FAILS_AT}
    """
    code, printed, logged = run(source)
    assert (code, printed) == (0, "")
    assert "rejected" in logged


def in_a_fork(function: Callable[[], None]) -> int:
    """Runs a function in a forked process; returns its exit code, 0 if the function returned."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of Python 3.12, about forking with threads
@pytest.mark.parametrize("transport", ["tornado", "aiohttp"])
def test_a_forked_process_can_open_sessions_of_its_own(transport: str, exchange_server: LiveServer) -> None:
    """After the background thread has started, which the child does not have."""

    def child() -> None:
        with pull_session(url=exchange_server.url(APP), transport=transport) as own:
            model(own.document, "slider").value = 4
            own.force_roundtrip()
            assert model(own.document, "mirror").text == "slider: 4"

    with pull_session(url=exchange_server.url(APP), transport=transport) as session:
        assert in_a_fork(child) == 0
        model(session.document, "slider").value = 5
        session.force_roundtrip()
        assert model(session.document, "mirror").text == "slider: 5"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of Python 3.12, about forking with threads
@pytest.mark.parametrize("use", ["change", "wait", "run", "round trip"])
def test_a_forked_process_cannot_use_the_sessions_of_the_other(use: str, exchange_server: LiveServer) -> None:
    def child() -> None:
        assert not session.connected
        slider = model(session.document, "slider")
        uses: dict[str, Callable[[], object]] = {
            "change": lambda: setattr(slider, "value", 9),
            "wait": lambda: session.wait_for(lambda: False, timeout=None),
            "run": session.run_until_closed,
            "round trip": session.force_roundtrip,
        }
        with pytest.raises(UsageError, match="after a fork"):
            uses[use]()
        session.close()

    with pull_session(url=exchange_server.url(APP)) as session:
        assert in_a_fork(child) == 0
        model(session.document, "slider").value = 5
        session.force_roundtrip()
        assert model(session.document, "mirror").text == "slider: 5"
