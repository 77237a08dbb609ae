"""Both sides change the same thing at once, and end equal."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.document.events import MessageSentEvent
from bokeh.model import Model
from bokeh.models import Column, ColumnDataSource, Row
from bokeh.models.widgets import Div, Slider
from hypothesis import given, settings
from hypothesis import strategies as st

from bokehwire import (
    ApplyError,
    AsyncClientSession,
    PatchRejected,
    RequestRefused,
    async_pull_session,
    async_push_session,
)

from ..live import DEADLINE
from ..servers import SERVER_KINDS, LiveServer
from .faces import AnySession, Face, contents, differences, do
from .spying import SpyTransport
from .test_changes import both_equal
from .test_documented_api import named

M = TypeVar("M", bound=Model)

pytestmark = pytest.mark.parametrize("server", SERVER_KINDS, indirect=True)


@pytest.fixture(params=[("blocking", "tornado"), ("async", "aiohttp")], ids="-".join)
def face(request: pytest.FixtureRequest) -> Face:
    """A face whose connection is served while the program does something else."""
    return Face(*request.param)


def slider_of(document: Document) -> Slider:
    model = document.get_model_by_name("slider")
    assert isinstance(model, Slider)
    return model


async def aside(face: Face, work: Callable[[], object]) -> None:
    """Block without keeping the session's loop from running."""
    if face.kind == "async":
        await asyncio.to_thread(work)
    else:
        work()


class Meanwhile:
    """A change on the server that is made, but not let go of, while the client does something."""

    def __init__(
        self, server: LiveServer, session: AnySession, path: str, change: Callable[[Document], object]
    ) -> None:
        self._made, self._go_on = threading.Event(), threading.Event()

        def edit(document: Document) -> None:
            change(document)
            self._made.set()
            self._go_on.wait(20)

        self._thread = threading.Thread(target=lambda: server.edit(session.id, edit, path))
        self._thread.start()
        assert self._made.wait(20)

    def go_on(self) -> None:
        self._go_on.set()
        self._thread.join()


def test_a_change_that_reached_us_before_we_replaced_the_value_is_stale(server: LiveServer) -> None:
    spy = SpyTransport("tornado")

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"), transport=spy)
        slider = named(session, "slider")
        seen: list[Any] = []
        slider.on_change("value", lambda attr, old, new: seen.append(new))
        await face.edit(server, session, lambda d: setattr(slider_of(d), "value", 5), "/slider")
        spy.wait_for_event("ModelChanged", 2)
        slider.value = 7
        await both_equal(face, server, session, "/slider")
        assert slider.value == 7
        assert seen == [7]
        assert named(session, "div").text == "slider: 7"

    Face("blocking", "tornado").play(scenario)


def test_a_change_that_the_server_made_before_it_had_ours(server: LiveServer, face: Face) -> None:
    spy = SpyTransport(face.transport)

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"), transport=spy)
        slider = named(session, "slider")
        meanwhile = Meanwhile(server, session, "/slider", lambda d: setattr(slider_of(d), "value", 5))
        slider.value = 7
        await aside(face, lambda: spy.wait_for_event("ModelChanged", sent=True))
        await aside(face, meanwhile.go_on)
        await both_equal(face, server, session, "/slider")
        assert slider.value == 7
        assert named(session, "slider") is slider
        assert named(session, "div").text == "slider: 7"

    face.play(scenario)


def test_a_change_that_the_server_makes_in_reaction_to_ours(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/clamp"))
        slider = named(session, "slider")
        for value in (50, 7, 60):
            slider.value = value
            await do(session.force_roundtrip())
            assert slider.value == min(value, 10)
        for value in (70, 80):
            slider.value = value
        await both_equal(face, server, session, "/clamp")
        assert slider.value == 10

    face.play(scenario)


def test_streams_from_both_sides(server: LiveServer, face: Face) -> None:
    spy = SpyTransport(face.transport)

    def stream(document: Document) -> None:
        source = document.get_model_by_name("source")
        assert isinstance(source, ColumnDataSource)
        source.stream({"x": [100], "y": [100.0]})

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/source"), transport=spy)
        source = named(session, "source")
        meanwhile = Meanwhile(server, session, "/source", stream)
        source.stream({"x": [200], "y": [200.0]})
        await aside(face, lambda: spy.wait_for_event("ColumnsStreamed", sent=True))
        await aside(face, meanwhile.go_on)
        await both_equal(face, server, session, "/source")
        assert list(source.data["x"]) == [1, 2, 3, 100, 200]
        assert named(session, "source") is source

    face.play(scenario)


def test_roots_from_both_sides(server: LiveServer, face: Face) -> None:
    spy = SpyTransport(face.transport)

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"), transport=spy)
        document = session.document
        assert document is not None
        slider = named(session, "slider")
        meanwhile = Meanwhile(server, session, "/slider", lambda d: d.add_root(Div(name="theirs")))
        document.add_root(Div(name="ours"))
        document.title = "ours"
        await aside(face, lambda: spy.wait_for_event("RootAdded", sent=True))
        await aside(face, meanwhile.go_on)
        await both_equal(face, server, session, "/slider")
        assert [root.name for root in document.roots] == ["slider", "button", "div", "theirs", "ours"]
        assert named(session, "slider") is slider

    face.play(scenario)


def test_children_from_both_sides_keep_their_identity(server: LiveServer, face: Face) -> None:
    spy = SpyTransport(face.transport)

    def extend(document: Document) -> None:
        column = document.get_model_by_name("column")
        assert isinstance(column, Column)
        column.children = [*column.children, Div(name="theirs")]
        child = column.children[-1]
        assert isinstance(child, Div)
        child.text = "changed since"

    async def scenario(face: Face) -> None:
        first = Div(name="first")
        column = Column(name="column", children=[first])
        document = Document()
        document.add_root(column)
        session = await face.push(document, url=server.url(), transport=spy)
        meanwhile = Meanwhile(server, session, "/", extend)
        column.children = [*column.children, Div(name="ours")]
        column.css_classes = ["ours"]
        await aside(face, lambda: spy.wait_for_event("ModelChanged", sent=True))
        await aside(face, meanwhile.go_on)
        await both_equal(face, server, session, "/")
        assert column.children[0] is first
        assert [child.name for child in column.children] == ["first", "ours"]

    face.play(scenario)


def test_a_model_that_a_passed_over_change_has_brought(server: LiveServer, face: Face) -> None:
    """The server puts one new model in two places; its change of the first place conflicts with ours."""
    spy = SpyTransport(face.transport)

    def share(document: Document) -> None:
        first, second = document.get_model_by_name("first"), document.get_model_by_name("second")
        assert isinstance(first, Column)
        assert isinstance(second, Column)
        first.children = second.children = [Div(text="shared")]

    async def scenario(face: Face) -> None:
        document = Document()
        first, second = Column(name="first"), Column(name="second")
        document.add_root(first)
        document.add_root(second)
        session = await face.push(document, url=server.url(), transport=spy)
        meanwhile = Meanwhile(server, session, "/", share)
        first.children = [Div(text="mine")]
        await aside(face, lambda: spy.wait_for_event("ModelChanged", sent=True))
        await aside(face, meanwhile.go_on)
        await both_equal(face, server, session, "/")
        assert [type(child).__name__ for child in second.children] == ["Div"]

    face.play(scenario)


def test_a_pull_that_overwrites_a_change_on_its_way(server: LiveServer) -> None:
    async def scenario() -> None:
        async with async_pull_session(url=server.url("/slider")) as session:
            document = session.document
            assert document is not None
            for turns in range(6):
                pull = asyncio.ensure_future(session.pull())
                for _ in range(turns):
                    await asyncio.sleep(0)
                document.title = f"mine {turns}"
                await pull
                await session.force_roundtrip()
                assert document.title == f"mine {turns}"
                theirs, ours = await server.aedit(session.id, contents, "/slider"), contents(document)
                assert theirs == ours, differences(theirs, ours)

    asyncio.run(scenario())


def find(document: Document, kind: type[M]) -> M | None:
    return next((model for model in document.models if isinstance(model, kind)), None)


def move(document: Document, value: int) -> None:
    if slider := find(document, Slider):
        slider.value = value


def add_child(document: Document, text: str) -> None:
    if column := find(document, Column):
        column.children = [*column.children, Div(text=text)]


def drop_child(document: Document) -> None:
    if column := find(document, Column):
        column.children = column.children[1:]


def write_child(document: Document, text: str) -> None:
    column = find(document, Column)
    if column and column.children and isinstance(column.children[-1], Div):
        column.children[-1].text = text


def replace(document: Document, number: int) -> None:
    if source := find(document, ColumnDataSource):
        # Never empty: a row that the other side patches meanwhile would be gone, and the server refuse the patch.
        source.data = {"x": np.arange(number + 1), "y": np.arange(number + 1) * 1.5}


def stream(document: Document, number: int) -> None:
    if source := find(document, ColumnDataSource):
        source.stream({"x": [number], "y": [number * 1.5]}, rollover=5)


def patch(document: Document, number: int) -> None:
    source = find(document, ColumnDataSource)
    if source and len(source.data["x"]):
        source.patch({"x": [(0, number)]})


def drop_root(document: Document) -> None:
    if extra := [root for root in document.roots if isinstance(root, Div)]:
        document.remove_root(extra[0])


TEXTS = st.sampled_from(["a", "b", "c"])
NUMBERS = st.integers(0, 5)
EDITS: st.SearchStrategy[Callable[[Document], object]] = st.one_of(
    NUMBERS.map(lambda n: lambda d: move(d, n)),
    TEXTS.map(lambda t: lambda d: setattr(d, "title", t)),
    TEXTS.map(lambda t: lambda d: add_child(d, t)),
    st.just(drop_child),
    TEXTS.map(lambda t: lambda d: write_child(d, t)),
    NUMBERS.map(lambda n: lambda d: replace(d, n)),
    NUMBERS.map(lambda n: lambda d: stream(d, n)),
    NUMBERS.map(lambda n: lambda d: patch(d, n)),
    TEXTS.map(lambda t: lambda d: d.add_root(Div(text=t))),
    st.just(drop_root),
)
STEPS = st.lists(st.tuples(st.sampled_from(["here", "there", "turn", "round trip"]), EDITS), max_size=14)


async def settled(session: AsyncClientSession) -> None:
    """Wait for quiet. A change may be named that a model may have cost which the other side took away; no other."""
    named_errors: list[str] = []
    while len(named_errors) < 20:
        try:
            await session.force_roundtrip()
        except PatchRejected as rejected:
            named_errors.append(str(rejected))
        else:
            break
    assert all("a model that is gone" in text for text in named_errors), named_errors


@settings(max_examples=60, derandomize=settings.get_current_profile_name() == "quick")
@given(steps=STEPS)
def test_whatever_both_sides_do_they_end_equal(server: LiveServer, steps: list[tuple[str, Any]]) -> None:
    async def scenario() -> None:
        document = Document()
        document.add_root(Column(children=[Div(), Slider(start=0, end=100, value=50)]))
        document.add_root(ColumnDataSource(data={"x": [1, 2], "y": [1.5, 3.0]}))
        async with async_push_session(document, url=server.url()) as session:
            edits: list[asyncio.Future[None]] = []
            for where, edit in steps:
                if where == "here":
                    edit(document)
                elif where == "there":
                    edits.append(asyncio.ensure_future(server.aedit(session.id, edit)))
                elif where == "turn":
                    await asyncio.sleep(0)
                else:
                    await settled(session)
            await asyncio.gather(*edits)
            await settled(session)
            theirs, ours = await server.aedit(session.id, contents), contents(document)
            assert theirs == ours, differences(theirs, ours)

    asyncio.run(scenario())


def test_a_model_that_another_viewer_has_added_arrives_whole(server: LiveServer, face: Face) -> None:
    """A server with several viewers tells only one of them what a new model is."""

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        others = [await face.pull(session_id=session.id, url=server.url("/slider")) for _ in range(2)]
        for number, author in enumerate((session, *others)):
            assert author.document is not None
            author.document.add_root(Div(name=f"by {number}", tags=[Div(text="inside")]))
            await do(author.force_roundtrip())
        await face.edit(server, session, lambda document: document.add_root(Div(name="by the server")), "/slider")
        for viewer in (session, *others):
            await do(viewer.force_roundtrip())
            for number in range(3):
                assert named(viewer, f"by {number}").tags[0].text == "inside"
            assert named(viewer, "by the server")
            theirs = await face.edit(server, session, contents, "/slider")
            assert not (found := differences(theirs, contents(viewer.document))), found

    face.play(scenario)


def test_a_patch_of_a_row_that_the_server_has_taken_away(server: LiveServer, face: Face) -> None:
    def empty(document: Document) -> None:
        source = document.get_model_by_name("source")
        assert isinstance(source, ColumnDataSource)
        source.data = {"x": [], "y": []}

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/source"))
        source = named(session, "source")
        (face.apps or server).edit(session.id, empty, "/source")
        source.patch({"x": [(0, 9)]})
        with pytest.raises(PatchRejected, match="data patched"):
            await do(session.force_roundtrip())
        await both_equal(face, server, session, "/source")

    if face.kind == "blocking" or face.apps is None:  # else the server runs on the loop that must not run meanwhile
        face.play(scenario)


def test_a_server_that_cannot_say_what_it_has_is_listened_to_all_the_same(server: LiveServer, face: Face) -> None:
    """What was in doubt stays so, is named, and does not make the session deaf."""

    def unwilling(*arguments: object, **options: object) -> None:
        raise ValueError("this document cannot be written out now")

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/broken"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Document, "to_json", unwilling)
            named(session, "slider").value = 1  # refused, so that the server is asked what it has
            with pytest.raises(PatchRejected) as caught:
                await do(session.force_roundtrip())
            told = getattr(caught.value, "__notes__", [])
            if not told:  # the call has met the refusal on its way in, and the next one meets this
                with pytest.raises(RequestRefused) as late:
                    await do(session.force_roundtrip())
                told = [str(late.value)]
        assert "the server refused the PULL-DOC-REQ" in told[0]
        await face.edit(server, session, lambda document: setattr(document, "title", "still heard"), "/broken")
        await both_equal(face, server, session, "/broken")
        assert session.document is not None
        assert session.document.title == "still heard"

    face.play(scenario)


def test_a_message_about_a_model_that_is_not_here_is_named(server: LiveServer, face: Face) -> None:
    def tell(document: Document) -> None:
        document.callbacks.trigger_on_change(MessageSentEvent(document, "news", [document.get_model_by_name("div")]))

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        assert session.document is not None
        session.document.models._models.pop(named(session, "div").id)
        await face.edit(server, session, tell, "/slider")
        with pytest.raises(ApplyError, match="MessageSent, msg_type 'news'"):
            await do(session.force_roundtrip())
        await do(session.force_roundtrip())

    face.play(scenario)


def test_a_model_that_a_dropped_change_has_brought_back_is_written_out_again(server: LiveServer) -> None:
    """The server has let go of it, and would drop with an OK what refers to it, too."""
    told: list[Exception] = []

    async def scenario() -> None:
        kept, moved = Div(text="kept"), Div(text="moved")
        row, column = Row(children=[moved]), Column(children=[kept])
        column.children = [kept, row]
        document = Document()
        document.add_root(column)
        one = await async_push_session(document, url=server.url(), on_error=told.append)
        two = await async_pull_session(one.id, server.url())

        def take_out(there: Any) -> None:
            there.roots[0].children = there.roots[0].children[1:]

        # This loop stands still meanwhile, so that neither session hears of it; it is too little to wait for a reader.
        server.edit(one.id, take_out)
        row.children = []
        column.children = [kept, row, moved]
        await one.wait_for(lambda: told, DEADLINE) if not told else None
        column.children = [row, moved]
        with pytest.raises(PatchRejected, match="children changed"):
            await one.force_roundtrip()
        for session in (one, two):
            await session.force_roundtrip()
        there = await server.aedit(one.id, contents)
        for session in (one, two):
            assert not (found := differences(there, contents(session.document))), found
        assert column.children == [row, moved]
        await one.close()
        await two.close()

    asyncio.run(scenario())
