"""Changes travel together while the server is busy, and joining them never widens a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Div, Slider

from bokehwire import PatchRejected

from ..apps import JOINED_FAILS_AT, model, seen
from ..live import DEADLINE
from ..servers import LiveServer
from .faces import AnySession, Face, contents, differences, do
from .spying import SpyTransport

ROWS = 40


def models(session: AnySession) -> tuple[Document, Slider, ColumnDataSource, Div]:
    document = session.document
    assert document is not None
    slider, source, gone = (document.get_model_by_name(name) for name in ("slider", "source", "gone"))
    assert isinstance(slider, Slider)
    assert isinstance(source, ColumnDataSource)
    assert isinstance(gone, Div)
    return document, slider, source, gone


def stream(source: ColumnDataSource, row: int) -> None:
    source.stream({"x": [row], "y": [row * row]}, rollover=ROWS // 2)


async def equal(face: Face, server: LiveServer, session: AnySession) -> None:
    await do(session.force_roundtrip())
    theirs = await face.edit(server, session, contents, "/joined")
    assert not (found := differences(theirs, contents(session.document))), found


async def told(face: Face, server: LiveServer, session: AnySession) -> list[Any]:
    return await face.edit(server, session, seen, "/joined")


def patches(spy: SpyTransport) -> int:
    return spy.sent_kinds().count("PATCH-DOC")


def test_many_changes_travel_in_few_messages_and_none_is_merged(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        spy = SpyTransport(face.transport)
        session = await face.pull(url=server.url("/joined"), transport=spy)
        _, slider, source, _ = models(session)
        for value in range(1, 1001):
            slider.value = value
            if value % 10 == 0:
                stream(source, value)
        await equal(face, server, session)
        expected = [item for value in range(1, 1001) for item in ([value, "rows"] if value % 10 == 0 else [value])]
        assert await told(face, server, session) == expected
        assert patches(spy) < 100

    face.play(scenario)


async def answered(face: Face, spy: SpyTransport) -> None:
    """Wait until an OK has arrived, letting the loop run if there is one."""

    async def look() -> None:
        async with asyncio.timeout(DEADLINE):
            while "OK" not in spy.received_kinds():
                await asyncio.sleep(0)

    if face.kind == "async":
        await look()
    elif face.loop is not None:
        face.loop.run_until_complete(look())
    else:
        with spy.changed:
            assert spy.changed.wait_for(lambda: "OK" in spy.received_kinds(), DEADLINE)


@contextmanager
def travelling_together(face: Face, spy: SpyTransport) -> Iterator[None]:
    """Keep the first change of a block from being sent before all are made. Where a loop sends, it does not run."""
    if face.kind == "blocking":
        spy.open.clear()
    yield
    spy.open.set()


def test_a_lone_change_is_sent_at_once(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        spy = SpyTransport(face.transport)
        session = await face.pull(url=server.url("/joined"), transport=spy)
        _, slider, _, _ = models(session)
        slider.value = 1
        await answered(face, spy)  # without a call of the session, which would send it as well
        assert patches(spy) == 1

    face.play(scenario)


def test_an_event_that_fails_takes_no_other_with_it(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        spy = SpyTransport(face.transport)
        session = await face.pull(url=server.url("/joined"), transport=spy)
        _, slider, source, _ = models(session)
        with travelling_together(face, spy):
            for value in (1, 2, JOINED_FAILS_AT, 3, 4):
                slider.value = value
                stream(source, value)
        with pytest.raises(PatchRejected, match="value changed") as caught:
            await do(session.force_roundtrip())
        assert caught.value.changes == (f"Slider(id={slider.id!r}).value changed",)
        await equal(face, server, session)
        assert await told(face, server, session) == [1, "rows", 2, "rows", "rows", 3, "rows", 4, "rows"]
        assert list(source.data["x"])[-5:] == [1, 2, JOINED_FAILS_AT, 3, 4]
        assert spy.most_together() >= 5

    face.play(scenario)


def test_an_event_that_cannot_be_read_takes_no_other_with_it(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        spy = SpyTransport(face.transport)
        session = await face.pull(url=server.url("/joined"), transport=spy)
        document, slider, source, _ = models(session)
        stranger = Div(text="the server has never heard of it")
        refused = Div(text="refers to the stranger", tags=[stranger])
        with travelling_together(face, spy):
            for value in (1, 2):
                slider.value = value
                stream(source, value)
            document.add_root(refused)
            for value in (3, 4):
                slider.value = value
                stream(source, value)
        with pytest.raises(PatchRejected, match="root Div") as caught:
            await do(session.force_roundtrip())
        assert caught.value.changes == (f"root Div(id={refused.id!r}) added",)
        await equal(face, server, session)
        assert await told(face, server, session) == [1, "rows", 2, "rows", 3, "rows", 4, "rows"]
        assert list(source.data["x"])[-4:] == [1, 2, 3, 4]
        assert refused not in document.roots
        assert spy.most_together() >= 5

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bokehwire.session.encoding._WireSerializer", _forgetful())
        face.play(scenario)


def _forgetful() -> type:
    """A serializer that writes a stranger as a reference, as if the server knew it."""
    from bokehwire.session import encoding

    class Forgetful(encoding._WireSerializer):
        def _encode(self, obj: Any) -> Any:
            if isinstance(obj, Div) and "never heard" in obj.text:
                return {"id": obj.id}
            return super()._encode(obj)

    return Forgetful


async def pulled_before_a_removal(
    face: Face, server: LiveServer, spy: SpyTransport
) -> tuple[AnySession, Slider, ColumnDataSource, Div]:
    """A session whose server has taken a root out, which it does not know yet, and its models."""
    if face.apps is not None and face.kind != "blocking":
        pytest.skip("without a network, the server runs on the very loop that must not run meanwhile")
    session = await face.pull(url=server.url("/joined"), transport=spy)
    _, slider, source, gone = models(session)  # a blocking session looks at what has arrived when it is asked
    place = face.apps or server
    place.edit(session.id, lambda document: document.remove_root(model(document, "gone")), "/joined")
    return session, slider, source, gone


def test_an_event_about_a_model_that_is_gone_takes_no_other_with_it(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        spy = SpyTransport(face.transport)
        session, slider, source, gone = await pulled_before_a_removal(face, server, spy)
        with travelling_together(face, spy):
            for value in (1, 2):
                slider.value = value
                stream(source, value)
            gone.text = "too late"
            for value in (3, 4):
                slider.value = value
                stream(source, value)
        await equal(face, server, session)
        assert await told(face, server, session) == [1, "rows", 2, "rows", 3, "rows", 4, "rows"]
        assert list(source.data["x"])[-4:] == [1, 2, 3, 4]
        assert spy.most_together() >= 5

    face.play(scenario)


def test_messages_of_their_own_keep_their_place_in_order(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/joined"))
        document, slider, _, _ = models(session)
        for value in (1, 2):
            slider.value = value
        document.callbacks.on_message("joined", lambda data: None)
        _send_message(document, "between")
        slider.value = 3
        await do(session.force_roundtrip())
        assert await told(face, server, session) == [1, 2, "between", 3]

    face.play(scenario)


def _send_message(document: Document, data: str) -> None:
    from bokeh.document.events import MessageSentEvent

    document.callbacks.trigger_on_change(MessageSentEvent(document, "joined", data))


def test_closing_delivers_what_a_failure_has_held_back(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/joined"))
        _, slider, source, _ = models(session)
        for value in (1, JOINED_FAILS_AT, 2):
            slider.value = value
            stream(source, value)
        with pytest.raises(PatchRejected):
            await do(session.close())
        assert not session.connected
        assert await told(face, server, session) == [1, "rows", "rows", 2, "rows"]

    face.play(scenario)


def test_many_changes_about_a_model_that_is_gone_are_found_at_once_and_a_round_trip_waits_for_the_others(
    server: LiveServer, face: Face
) -> None:
    """Each halving of the message that was dropped would take a whole document of the server's."""

    async def scenario(face: Face) -> None:
        spy = SpyTransport(face.transport)
        session, slider, _, gone = await pulled_before_a_removal(face, server, spy)
        pulls = spy.sent_kinds().count("PULL-DOC-REQ")
        with travelling_together(face, spy):
            for value in range(1, 41):
                slider.value = value
                gone.text = str(value)
        await do(session.force_roundtrip())
        assert await told(face, server, session) == [*range(1, 41)]
        assert spy.sent_kinds().count("PULL-DOC-REQ") - pulls <= 8

    face.play(scenario)
