"""Handlers of the program that raise what is no Exception: the session goes on, and somebody is told."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from bokeh.document.events import RootRemovedEvent
from bokeh.models import Column
from bokeh.models.widgets import Div

from bokehwire import ApplyError, UsageError

from ..apps import model
from ..live import DEADLINE, LiveServer
from .faces import Face, contents, differences, do


class Stopped(BaseException):
    """As test frameworks raise it to end a test."""


def test_what_ends_a_test_in_a_handler_leaves_the_call_that_waits_and_not_the_session(
    server: LiveServer, face: Face
) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"), reply_timeout=DEADLINE)
        slider, div = model(session.document, "slider"), model(session.document, "div")

        def stop(attr: str, old: object, new: object) -> None:
            if new == "slider: 5":
                raise Stopped

        div.on_change("text", stop)
        slider.value = 5
        with pytest.raises(Stopped):
            await do(session.wait_for(lambda: False, DEADLINE))
        slider.value = 6
        await do(session.wait_for(lambda: div.text == "slider: 6", DEADLINE))

    face.play(scenario)


def test_a_handler_that_looks_at_a_cancelled_future_has_failed(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"), reply_timeout=DEADLINE)
        slider, div = model(session.document, "slider"), model(session.document, "div")

        def look(attr: str, old: object, new: object) -> None:
            if new == "slider: 5":
                raise asyncio.CancelledError

        div.on_change("text", look)
        slider.value = 5
        with pytest.raises(ApplyError, match="CancelledError"):
            await do(session.wait_for(lambda: False, DEADLINE))
        slider.value = 6
        await do(session.wait_for(lambda: div.text == "slider: 6", DEADLINE))

    face.play(scenario)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_ends_a_test_in_a_document_callback_leaves_the_call_that_waits(
    asynchronous: bool, server: LiveServer, face: Face
) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"), reply_timeout=DEADLINE)
        slider, div = model(session.document, "slider"), model(session.document, "div")

        def stop() -> None:
            raise Stopped

        async def stop_later() -> None:
            await asyncio.sleep(0)
            raise Stopped

        cast(Any, session.document).add_next_tick_callback(stop_later if asynchronous else stop)
        with pytest.raises(Stopped):
            await do(session.wait_for(lambda: False, DEADLINE))
        slider.value = 6
        await do(session.wait_for(lambda: div.text == "slider: 6", DEADLINE))

    face.play(scenario)


def test_a_handler_that_sets_the_property_it_is_told_about(server: LiveServer, face: Face) -> None:
    """Bokeh tells of the handler's value before that which it has replaced, so the server has that one last."""

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"), reply_timeout=DEADLINE)
        slider = model(session.document, "slider")

        def clamp(attr: str, old: object, new: Any) -> None:
            if new > 5:
                slider.value = 5

        slider.on_change("value", clamp)
        slider.value = 7
        await do(session.force_roundtrip())
        assert slider.value == 5
        assert await face.edit(server, session, lambda there: model(there, "slider").value, "/slider") == 5

    face.play(scenario)


def test_calls_in_handlers_do_not_nest_without_end(server: LiveServer, blocking: Face) -> None:
    """In each, the next change arrives, whose handler makes a call. All changes arrive, and the errors are short."""

    def change_often(there: Any) -> None:
        for value in range(200):
            model(there, "div").text = str(value)

    async def scenario(face: Face) -> None:
        troubles: list[Exception] = []
        session = await face.pull(url=server.url("/slider"), reply_timeout=DEADLINE, on_error=troubles.append)
        div = model(session.document, "div")
        seen: list[object] = []

        def handler(attr: str, old: object, new: object) -> None:
            seen.append(new)
            session.force_roundtrip()

        div.on_change("text", handler)
        await face.edit(server, session, change_often, "/slider")
        await do(session.wait_for(lambda: div.text == "199", DEADLINE))
        with pytest.raises(ApplyError):
            await do(session.force_roundtrip())
        assert (seen, div.text) == ([str(value) for value in range(200)], "199")
        assert any(isinstance(trouble.__cause__, UsageError) for trouble in troubles)
        assert not any(isinstance(trouble.__cause__, RecursionError) for trouble in troubles)
        assert all(len(str(trouble)) < 500 for trouble in troubles)

    blocking.play(scenario)


def test_a_listener_raises_while_a_pull_takes_out_the_roots(server: LiveServer, face: Face) -> None:
    """Bokeh's own document would not take up another model from then on."""

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        document: Any = session.document
        document.add_root(Column(name="box"))
        waiting = [1]

        def listen(event: object) -> None:
            if waiting and isinstance(event, RootRemovedEvent):
                waiting.clear()
                raise ValueError("the listener's own")

        document.on_change(listen)
        with pytest.raises(ApplyError, match="the listener's own"):
            await do(session.pull())
        await do(session.pull())
        model(document, "box").children.append(Div(name="in it"))
        await do(session.force_roundtrip())
        model(document, "in it").text = "changed"
        await do(session.force_roundtrip())
        there = await face.edit(server, session, contents, "/slider")
        assert there == contents(document), differences(there, contents(document))

    face.play(scenario)


@pytest.mark.parametrize("result", [1, "text", [None]], ids=str)
def test_a_document_callback_may_return_anything(result: object, server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        errors: list[Exception] = []
        session = await face.pull(url=server.url("/slider"), on_error=errors.append)
        ran: list[str] = []

        def callback(name: str) -> Any:
            ran.append(name)
            return result

        document: Any = session.document
        document.add_next_tick_callback(lambda: callback("tick"))
        document.add_timeout_callback(lambda: callback("timeout"), 1)
        document.add_periodic_callback(lambda: callback("period"), 1)
        await do(
            session.wait_for(lambda: {*ran} == {"tick", "timeout", "period"} and ran.count("period") > 1, DEADLINE)
        )
        assert not errors

    face.play(scenario)
