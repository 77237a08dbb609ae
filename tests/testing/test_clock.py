"""Time under control: the app's callbacks run when the test says so."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bokeh.document import Document, without_document_lock
from bokeh.models.widgets import Button, Div

from bokehwire import ReplyTimeout, UsageError, pull_session
from bokehwire.testing import AppServer, AppSession

from .places import Place, do

HOUR = 3_600_000  # milliseconds: what does not run within a test


def scheduled(document: Document) -> None:
    """Callbacks of each kind that write their names; some come with a click, and some go."""
    log = Div(name="log", text="")
    document.add_root(log)

    def note(what: str) -> Any:
        def call() -> None:
            log.text += f"{what} "

        return call

    document.add_periodic_callback(note("minute"), 60_000)
    document.add_timeout_callback(note("later"), 90_000)

    def chain() -> None:
        note("first")()
        document.add_timeout_callback(note("second"), 1_000)

    document.add_timeout_callback(chain, 30_000)
    gone = document.add_timeout_callback(note("gone"), 1_000)
    document.remove_timeout_callback(gone)
    ends = document.add_periodic_callback(lambda: end(), 45_000)

    def end() -> None:
        note("ends")()
        document.remove_periodic_callback(ends)

    async def wait_and_note() -> None:
        note("pressed")()

    pressed: Any = wait_and_note

    def press() -> None:
        document.add_next_tick_callback(pressed)

    button = Button(name="button")
    button.on_click(press)
    document.add_root(button)


def test_time_goes_by_when_the_test_says_so(place: Place) -> None:
    async def scenario(session: Any) -> None:
        log = session.find("log")
        assert await do(session.advance(29.999)) == 0
        assert log.text == ""
        assert await do(session.advance(0.001)) == 1
        assert log.text == "first "
        assert await do(session.advance(60)) == 4
        assert log.text == "first second ends minute later "
        assert await do(session.advance(90)) == 2
        assert log.text == "first second ends minute later minute minute "

    place.play(scheduled, scenario, frozen=True)


def test_the_next_tick_comes_though_the_clock_stands_still(place: Place) -> None:
    async def scenario(session: Any) -> None:
        await do(session.click("button"))
        await do(session.expect("log").to_have(text="pressed "))

    place.play(scheduled, scenario, frozen=True)


def test_callbacks_run_now(place: Place) -> None:
    async def scenario(session: Any) -> None:
        log = session.find("log")
        assert await do(session.run_callbacks("periodic")) == 2
        assert log.text == "minute ends "
        assert await do(session.run_callbacks("timeout")) == 2
        assert log.text == "minute ends later first "
        assert await do(session.run_callbacks()) == 2
        assert log.text == "minute ends later first minute second "
        assert await do(session.run_callbacks("next_tick")) == 0
        assert await do(session.run_callbacks("timeout")) == 0

    place.play(scheduled, scenario)


def restless(document: Document) -> None:
    def again() -> None:
        document.add_timeout_callback(again, 0)

    again()


def test_a_callback_that_sets_itself_again_at_once_does_not_stop_the_clock(place: Place) -> None:
    async def scenario(session: Any) -> None:
        assert await do(session.advance(0.0105)) == 10

    place.play(restless, scenario, frozen=True)


def raising(document: Document) -> None:
    async def wait_and_fail() -> None:
        raise LookupError("no such data")

    fail: Any = wait_and_fail  # the annotations of Bokeh 3.9 leave out that it may be asynchronous
    document.add_timeout_callback(fail, HOUR)
    unlocked = Div(name="unlocked", text="")
    document.add_root(unlocked)

    @without_document_lock
    async def without_lock() -> None:
        document.add_next_tick_callback(lambda: unlocked.update(text="done"))

    callback: Any = without_lock
    document.add_periodic_callback(callback, HOUR)


def test_what_a_callback_raises_is_raised_as_it_is(place: Place) -> None:
    async def scenario(session: Any) -> None:
        with pytest.raises(LookupError, match="no such data") as caught:
            await do(session.run_callbacks("timeout"))
        assert caught.value.__notes__ == ["It was raised by a timeout callback of the app."]

    place.play(raising, scenario)


def test_a_callback_that_needs_no_lock_runs_without_it(place: Place) -> None:
    async def scenario(session: Any) -> None:
        assert await do(session.run_callbacks("periodic")) == 1
        await do(session.expect("unlocked").to_have(text="done"))

    place.play(raising, scenario)


def test_what_cannot_be_controlled_is_refused(face: Place) -> None:
    async def scenario(session: Any) -> None:
        with pytest.raises(UsageError, match="open the session with frozen=True"):
            await do(session.advance(1))
        with pytest.raises(ValueError, match='"periodic", "timeout" and "next_tick"'):
            await do(session.run_callbacks("hourly"))
        with pytest.raises(ValueError, match="time cannot go by -1 seconds"):
            await do(session.advance(-1))
        with pytest.raises(ValueError, match="time cannot go by inf seconds"):
            await do(session.advance(float("inf")))

    face.play(scheduled, scenario)


def test_an_app_that_runs_anywhere_has_no_clock_to_control() -> None:
    with AppServer(scheduled) as server, AppSession(websocket_url=f"ws://localhost:{server.port}/ws") as session:
        session.pull()
        with pytest.raises(UsageError, match="only an app that the test serves itself"):
            session.run_callbacks()


def test_a_session_of_somebody_else_runs_by_the_real_clock() -> None:
    def ticking(document: Document) -> None:
        ticks = Div(name="ticks", text="0")
        document.add_root(ticks)
        document.add_periodic_callback(lambda: ticks.update(text="ticked"), 10)

    with AppServer(ticking) as server, pull_session(url=server.url()) as session:
        document = session.document
        assert document is not None
        ticks: Any = document.get_model_by_name("ticks")
        session.wait_for(lambda: ticks.text == "ticked", 20)


def test_time_adds_up_in_small_steps(place: Place) -> None:
    def app(document: Document) -> None:
        document.add_periodic_callback(lambda: None, 100)
        document.add_root(Div())

    async def scenario(session: Any) -> None:
        assert await do(session.advance(0.3)) == 3
        assert [await do(session.advance(0.1)) for _ in range(7)] == [1] * 7

    place.play(app, scenario, frozen=True)


def test_a_clock_that_runs_is_not_stopped_by_a_second_viewer() -> None:
    with AppServer(scheduled) as server:
        url, stage = f"ws://localhost:{server.port}/ws", server.stage()
        with AppSession(websocket_url=url, stage=stage, frozen=True) as still:
            still.pull()
            AppSession(still.id, url, stage=stage, frozen=True)
        with AppSession(websocket_url=url, stage=stage) as running:
            running.pull()
            with pytest.raises(UsageError, match="runs already: open its first viewer with frozen=True"):
                AppSession(running.id, url, stage=stage, frozen=True)


@pytest.mark.parametrize("has_lock", [True, False])
def test_a_callback_that_does_not_end_is_not_waited_for(face: Place, has_lock: bool) -> None:
    def app(document: Document) -> None:
        async def never_ends() -> None:
            await asyncio.Event().wait()

        callback: Any = never_ends if has_lock else without_document_lock(never_ends)
        document.add_timeout_callback(callback, 1_000)
        document.add_root(Div(name="log"))

    async def scenario(session: Any) -> None:
        with pytest.raises(ReplyTimeout, match=r"a timeout callback of the app has not ended within 2 s and was canc"):
            await do(session.advance(1))
        session.find("log").text = "goes on"
        await do(session.force_roundtrip())
        assert await do(session.advance(1)) == 0

    face.play(app, scenario, frozen=True, reply_timeout=2)
