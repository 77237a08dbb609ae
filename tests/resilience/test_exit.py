"""The end of the interpreter with sessions open, and forks of it: no complaint, no hang, the right exit code."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable

import pytest

from bokehwire import UsageError, pull_session

from ..apps import model
from ..live import DEADLINE, LiveServer
from ..processes import ROOT
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
            session.document.title = "changed"
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
    source = "import asyncio, atexit, sys, threading, textwrap, bokehwire\n"
    body = PROGRAMS[program].format(url=exchange_server.url(APP), transport=transport)
    source += f"exec(textwrap.dedent({body!r}))"
    ended = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, timeout=3 * DEADLINE, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


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
