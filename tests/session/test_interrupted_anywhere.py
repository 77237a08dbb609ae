"""Ctrl-C at every place where Python looks for it: nothing is lost, and other threads can go on with the session."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from bokeh.document import Document

from bokehwire import ClientSession, pull_session
from bokehwire.protocol import PatchDoc
from bokehwire.session import client, portal, runner, thread_runner, turns
from bokehwire.session.portal import Portal
from bokehwire.session.requests import Inbound, Patched
from bokehwire.session.runner import run_to_end
from bokehwire.session.thread_runner import ThreadRunner

from ..apps import model
from ..live import DEADLINE, LiveServer
from .faces import Face
from .interrupting import in_another_thread, interrupted_at_every_check

# Of a coroutine that an interruption keeps from being begun.
pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited:RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

ARRIVED = 3


class Running:
    """A runner, what it has to handle, and what it has handled; the second thing makes a call while it is handled."""

    def __init__(self) -> None:
        self.handled: list[Inbound] = []
        self.runner = ThreadRunner()
        self.runner.connect_to(self.handle, lambda error: None)
        self.arrived = [Patched(PatchDoc("p", {"events": []}), number, size=5) for number in range(ARRIVED)]
        self.ran = 0
        self.document = Document()
        self.runner.schedule.add(self.document.add_next_tick_callback(self.run))
        for inbound in self.arrived:
            self.runner.deliver(inbound)

    def handle(self, inbound: Inbound) -> None:
        self.handled.append(inbound)
        if inbound is self.arrived[1]:
            run_to_end(self.runner.wait(lambda: any(done is self.arrived[-1] for done in self.handled), DEADLINE))

    def run(self) -> None:
        self.ran += 1

    def look(self) -> None:
        self.runner.pump()

    def wait(self) -> None:
        run_to_end(self.runner.wait(lambda: self.ran and len(self.handled) >= ARRIVED, DEADLINE, callbacks=True))

    def sleep(self) -> None:
        run_to_end(self.runner.wait(lambda: False, 0.001))


@pytest.mark.parametrize("act", [Running.look, Running.wait, Running.sleep])
def test_what_has_arrived_is_handled_by_another_thread_in_order(act: Callable[[Running], None]) -> None:
    tried = 0
    for running in interrupted_at_every_check([thread_runner, turns], Running, act):
        tried += 1
        assert not running.runner.is_handling
        assert running.runner._sleepers == set()
        in_another_thread(running.wait)
        in_another_thread(running.look)
        assert list({id(inbound): inbound for inbound in running.handled}.values()) == running.arrived
        assert running.ran >= 1
        assert not running.runner._begun
    assert tried > 20


def test_the_portal_goes_on() -> None:
    async def work() -> bool:
        return True

    def act(current: Portal) -> None:
        assert current.run(asyncio.sleep(0, True))

    tried = 0
    for current in interrupted_at_every_check([portal], Portal.current, act):
        tried += 1
        in_another_thread(partial(current.run, work()))
    assert tried > 3


CALLS: dict[str, Callable[[ClientSession], object]] = {
    "pull": ClientSession.pull,
    "force_roundtrip": ClientSession.force_roundtrip,
    "document": lambda session: session.document,
}


@pytest.mark.parametrize("call", CALLS)
def test_a_session_goes_on_in_another_thread(call: str, server: LiveServer, blocking: Face) -> None:
    with pull_session(url=server.url("/slider"), transport=blocking.transport, reply_timeout=DEADLINE) as session:
        numbers = itertools.cycle(range(1, 100))

        def change() -> int:
            number = next(numbers)
            slider: Any = model(session.document, "slider")
            slider.value = number
            return number

        def go_on(number: int) -> None:
            session.pull()
            slider: Any = model(session.document, "slider")
            assert slider.value == number
            session.force_roundtrip()

        tried = 0
        modules = [client, portal, runner, thread_runner, turns]
        for number in interrupted_at_every_check(modules, change, lambda _: CALLS[call](session)):
            tried += 1
            in_another_thread(partial(go_on, number))
        assert tried > 10
