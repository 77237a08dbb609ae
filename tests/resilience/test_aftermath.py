"""Changes and calls after something has gone wrong: nothing is lost without a word then, either."""

from __future__ import annotations

import time
from functools import partial

import pytest
from bokeh.document import Document

from bokehwire import ConnectionLost, InboxFull, ReplyTimeout

from ..apps import model
from ..leaks import no_leaks
from ..live import DEADLINE, LiveServer
from ..proxy import Action, Direction, Fault, FaultProxy, Position
from ..session.faces import Face, contents, do
from .exchange import APP


def test_changes_after_the_loss_are_named(face: Face, exchange_server: LiveServer, proxy: FaultProxy) -> None:
    """Also when the program has not noticed that the connection is gone."""

    async def scenario(face: Face) -> None:
        proxy.arm(None)
        session = await face.pull(url=proxy.url(APP))
        proxy.drop()
        await do(session.run_until_closed())
        model(session.document, "note").text = "changed"
        with pytest.raises(ConnectionLost, match=r"\.text changed"):
            await do(session.close())

    face.play(scenario)


def test_pushing_another_document_after_a_push_that_timed_out(
    face: Face, exchange_server: LiveServer, proxy: FaultProxy
) -> None:
    """It is the second that is followed from then on, or an error says that it cannot be."""

    async def scenario(face: Face) -> None:
        proxy.arm(Fault("push", Direction.TO_SERVER, 0, Position.BEFORE, Action.STALL))
        proxy.enter("connect")
        session = face.session(websocket_url=proxy.websocket_url(APP), reply_timeout=0.5)
        await do(session.connect())
        proxy.enter("push")
        first, second = Document(), Document()
        with pytest.raises(ReplyTimeout):
            await do(session.push(first))
        proxy.release()
        proxy.enter("after")
        try:
            await do(session.push(second))
        except ValueError:
            return
        assert session.document is second
        second.title = "changed"
        await do(session.force_roundtrip())
        there = exchange_server.session(session.id, APP).document
        assert exchange_server.call(lambda: there.title) == "changed"

    face.play(scenario)


@pytest.mark.parametrize("transport", ["tornado", "aiohttp"])
def test_a_program_that_does_not_look_has_a_limit(
    transport: str, exchange_server: LiveServer, proxy: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        proxy.arm(None)

        def write(number: int, there: Document) -> None:
            model(there, "note").text = f"{number:1000}"

        session = await face.pull(url=proxy.url(APP), max_inbox_size=20_000)
        note = model(session.document, "note")
        for number in range(100):
            exchange_server.edit(session.id, partial(write, number), APP)
        deadline = time.monotonic() + DEADLINE
        while exchange_server.connection_count():  # it is looked for in the server's own thread
            assert time.monotonic() < deadline
        with pytest.raises(InboxFull, match="max_inbox_size") as caught:
            await do(session.force_roundtrip())
        assert caught.value.code == 1011
        assert 10 < int(note.text) < 40  # what had room was applied

    with no_leaks():
        Face("blocking", transport).play(scenario)


@pytest.mark.parametrize("kind", ["blocking", "io_loop"])
def test_a_change_that_ctrl_c_comes_into_is_neither_lost_nor_applied_twice(
    kind: str, exchange_server: LiveServer, proxy: FaultProxy
) -> None:
    async def scenario(face: Face) -> None:
        proxy.arm(None)
        session = await face.pull(url=proxy.url(APP))
        source = model(session.document, "source")
        presses = iter([True])

        def press(attr: str, old: object, new: object) -> None:
            if next(presses, False):
                raise KeyboardInterrupt

        source.on_change("data", press)
        rows = {"x": [7], "y": [7.0]}
        await face.edit(exchange_server, session, lambda there: model(there, "source").stream(rows), APP)
        with pytest.raises(KeyboardInterrupt):
            await do(session.wait_for(lambda: False))
        await do(session.force_roundtrip())
        there = exchange_server.session(session.id, APP).document
        assert exchange_server.call(lambda: contents(there)) == contents(session.document)
        assert list(source.data["x"]) == [0, 1, 2, 3, 7]

    Face(kind, "tornado").play(scenario)
