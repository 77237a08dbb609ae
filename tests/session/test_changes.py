"""Changes go both ways, whole and once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bokeh.core.serialization import SerializationError
from bokeh.document import Document
from bokeh.document.events import MessageSentEvent
from bokeh.events import ButtonClick
from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets import Button, Div, Slider
from bokeh.plotting import figure

from ..apps import model
from ..servers import SERVER_KINDS, LiveServer
from .faces import AnySession, Face, contents, differences, do
from .spying import SpyTransport
from .test_documented_api import named

pytestmark = pytest.mark.parametrize("server", SERVER_KINDS, indirect=True)


async def both_equal(face: Face, server: LiveServer, session: AnySession, path: str) -> None:
    """Assert that the two documents are equal once all is quiet."""
    await do(session.force_roundtrip())
    theirs, ours = await face.edit(server, session, contents, path), contents(session.document)
    assert theirs == ours, differences(theirs, ours)


def test_a_server_change_is_applied_and_not_sent_back(server: LiveServer, face: Face) -> None:
    spy = SpyTransport(face.transport)

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"), transport=spy)
        slider = named(session, "slider")
        seen: list[Any] = []
        slider.on_change("value", lambda attr, old, new: seen.append((attr, old, new)))
        await face.edit(server, session, lambda d: setattr(d.get_model_by_name("slider"), "value", 5), "/slider")
        await do(session.force_roundtrip())
        assert seen == [("value", 1, 5)]
        assert named(session, "slider") is slider
        assert spy.sent_events() == []
        await both_equal(face, server, session, "/slider")

    face.play(scenario)


def test_a_client_change_is_sent_once_and_does_not_come_back(server: LiveServer, face: Face) -> None:
    spy = SpyTransport(face.transport)

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/source"), transport=spy)
        assert session.document is not None
        session.document.title = "new"
        await do(session.force_roundtrip())
        assert spy.sent_events() == ["TitleChanged"]
        assert "PATCH-DOC" not in spy.received_kinds()
        await both_equal(face, server, session, "/source")

    face.play(scenario)


def test_a_change_made_by_a_handler_while_a_patch_is_applied_goes_out(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        div = named(session, "div")
        assert session.document is not None
        document = session.document
        div.on_change("text", lambda attr, old, new: document.set_title(f"seen {new}"))
        await face.edit(server, session, lambda d: setattr(d.get_model_by_name("div"), "text", "hello"), "/slider")
        await do(session.force_roundtrip())
        await both_equal(face, server, session, "/slider")
        assert document.title == "seen hello"

    face.play(scenario)


def test_a_change_made_by_a_handler_while_a_pull_is_applied_goes_out(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        assert session.document is not None
        document = session.document
        extra = Div(text="added while the pull was applied")

        def add(event: object) -> None:
            if len(document.roots) == 3 and extra not in document.roots:
                document.add_root(extra)

        document.on_change(add)
        await do(session.pull())
        assert extra in document.roots
        await both_equal(face, server, session, "/slider")

    face.play(scenario)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of Bokeh, about pandas
def test_stream_patch_and_replace_from_the_client(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/source"))
        source = named(session, "source")
        source.stream({"x": [4, 5], "y": [40.0, 50.0]}, rollover=4)
        await both_equal(face, server, session, "/source")
        source.patch({"y": [(0, -1.0), (slice(1, 3), [-2.0, -3.0])]})
        await both_equal(face, server, session, "/source")
        source.data = {"x": np.arange(5), "y": np.linspace(0, 1, 5)}
        await both_equal(face, server, session, "/source")
        source.data = pd.DataFrame({"x": [1, 2], "y": [0.5, 0.25]})
        await both_equal(face, server, session, "/source")
        source.data["y"] = np.array([7.0, 8.0])
        await both_equal(face, server, session, "/source")
        assert list(source.data["y"]) == [7.0, 8.0]

    face.play(scenario)


def test_stream_patch_and_replace_from_the_server(server: LiveServer, face: Face) -> None:
    def replace(document: Document) -> None:
        of(document).data = {"x": np.arange(3.0), "y": np.arange(3.0)}

    def stream(document: Document) -> None:
        of(document).stream({"x": np.array([3.0]), "y": np.array([9.0])})

    def patch(document: Document) -> None:
        of(document).patch({"y": [(0, 100.0)]})

    def of(document: Document) -> ColumnDataSource:
        source = document.get_model_by_name("source")
        assert isinstance(source, ColumnDataSource)
        return source

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/source"))
        source = named(session, "source")
        # One at a time: Bokeh 3.10 and newer write a replacement as the data is after the stream that followed it.
        for change in (replace, stream, patch):
            await face.edit(server, session, change, "/source")
        await do(session.force_roundtrip())
        assert named(session, "source") is source
        assert list(source.data["x"]) == [0, 1, 2, 3]
        assert list(source.data["y"]) == [100, 1, 2, 9]
        assert isinstance(source.data["y"], np.ndarray)

    face.play(scenario)


def test_a_change_of_one_column_leaves_the_others(server: LiveServer, face: Face) -> None:
    """Bokeh's own receivers drop the columns that such a change does not carry."""

    def replace(document: Document) -> None:
        source = document.get_model_by_name("source")
        assert isinstance(source, ColumnDataSource)
        source.data["y"] = np.array([7.0, 8.0, 9.0])

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/source"))
        source = named(session, "source")
        source.data["x"] = np.array([0.5, 1.5, 2.5])
        await both_equal(face, server, session, "/source")
        assert list(source.data["y"]) == [10, 20, 30]
        await face.edit(server, session, replace, "/source")
        await do(session.force_roundtrip())
        assert list(source.data["x"]) == [0.5, 1.5, 2.5]
        assert list(source.data["y"]) == [7, 8, 9]
        await both_equal(face, server, session, "/source")

    face.play(scenario)


def test_what_is_changed_after_it_was_sent_does_not_change_what_is_sent(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/source"))
        values = np.arange(3.0)
        named(session, "source").data = {"x": values, "y": values.copy()}
        values[:] = -1
        await do(session.close())
        twin = await face.pull(url=server.url("/source"), session_id=session.id)
        assert list(named(twin, "source").data["x"]) == [0, 1, 2]

    face.play(scenario)


def test_arrays_of_many_types_arrive_as_they_were(server: LiveServer, face: Face) -> None:
    arrays = {
        str(np.dtype(kind)): np.array([0, 1, 2], dtype=kind)
        for kind in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64", "bool")
    }
    arrays["nan"] = np.array([np.nan, np.inf, -np.inf])
    arrays["text"] = np.array(["a", "bc", ""], dtype=object)

    async def scenario(face: Face) -> None:
        document = Document()
        document.add_root(ColumnDataSource(name="source", data=arrays))
        session = await face.push(document, url=server.url())
        twin = await face.pull(url=server.url(), session_id=session.id)
        for name, array in arrays.items():
            got = named(twin, "source").data[name]
            assert got.dtype == array.dtype, name
            np.testing.assert_array_equal(got, array)

    face.play(scenario)


def test_arrays_and_series_travel_as_binary_buffers(server: LiveServer, face: Face) -> None:
    columns = {"x": np.array([1.5, 2.5]), "y": pd.Series([3.5, 4.5])}
    batch = {"x": np.array([5.5]), "y": pd.Series([6.5])}
    spy, viewer = SpyTransport(face.transport), SpyTransport(face.transport)

    def raw(data: dict[str, Any]) -> set[bytes]:
        return {np.asarray(column).tobytes() for column in data.values()}

    async def scenario(face: Face) -> None:
        document = Document()
        source = ColumnDataSource(data=columns)
        document.add_root(source)
        session = await face.push(document, url=server.url(), transport=spy)
        assert raw(columns) == set(spy.sent_buffers)
        twin = await face.pull(url=server.url(), session_id=session.id, transport=viewer)
        assert raw(columns) == set(viewer.received_buffers)
        spy.sent_buffers.clear()
        source.stream(batch)
        await do(session.force_roundtrip())
        assert raw(batch) == set(spy.sent_buffers)
        await do(twin.force_roundtrip())
        assert raw(batch) <= set(viewer.received_buffers)

    face.play(scenario)


def test_roots_come_and_go_both_ways(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        document = session.document
        assert document is not None
        mine = Div(text="mine")
        document.add_root(mine)
        await both_equal(face, server, session, "/slider")
        await face.edit(server, session, lambda d: d.add_root(Div(name="theirs")), "/slider")
        await do(session.force_roundtrip())
        assert named(session, "theirs") in document.roots
        await face.edit(server, session, lambda d: d.remove_root(d.roots[0]), "/slider")
        document.remove_root(mine)
        await both_equal(face, server, session, "/slider")
        assert [root.name for root in document.roots] == ["button", "div", "theirs"]
        document.clear()
        await both_equal(face, server, session, "/slider")

    face.play(scenario)


def test_new_models_arrive_whole_and_known_ones_as_references(server: LiveServer, face: Face) -> None:
    spy = SpyTransport(face.transport)

    async def scenario(face: Face) -> None:
        document = Document()
        column = Column(name="column", children=[])
        document.add_root(column)
        session = await face.push(document, url=server.url(), transport=spy)
        button, plot = Button(label="new"), figure(width=100)
        plot.line([1, 2], [3, 4])
        column.children = [button, plot]
        await both_equal(face, server, session, "/")
        column.children = [plot, button]
        await both_equal(face, server, session, "/")
        event = next(text for text in reversed(spy.sent) if _events(text))
        assert _events(event)[0]["new"] == [{"id": plot.id}, {"id": button.id}]
        button.label = "renamed"
        await both_equal(face, server, session, "/")

    face.play(scenario)


def test_a_pulled_documents_models_are_known_on_both_sides(server: LiveServer, face: Face) -> None:
    spy = SpyTransport(face.transport)

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"), transport=spy)
        document = session.document
        assert document is not None
        document.add_root(Column(children=[named(session, "slider"), named(session, "div")]))
        await both_equal(face, server, session, "/slider")
        (event,) = [event for text in spy.sent for event in _events(text)]
        children = event["model"]["attributes"]["children"]
        assert children == [{"id": named(session, "slider").id}, {"id": named(session, "div").id}]

    face.play(scenario)


def test_new_models_from_the_server_keep_their_identity(server: LiveServer, face: Face) -> None:
    def wrap(document: Document) -> None:
        slider = document.get_model_by_name("slider")
        assert isinstance(slider, Slider)
        document.add_root(Column(name="column", children=[slider, Slider(name="second", start=0, end=1, value=0)]))

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        slider = named(session, "slider")
        await face.edit(server, session, wrap, "/slider")
        await do(session.force_roundtrip())
        column = named(session, "column")
        assert column.children[0] is slider
        column.children[1].value = 0.5
        await both_equal(face, server, session, "/slider")
        assert named(session, "column") is column

    face.play(scenario)


def test_model_events_reach_the_servers_callbacks(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        document = session.document
        assert document is not None
        for _ in range(3):
            document.callbacks.send_event(ButtonClick(named(session, "button")))
        await do(session.force_roundtrip())
        assert named(session, "div").text == " click click click"
        await both_equal(face, server, session, "/slider")

    face.play(scenario)


def test_messages_go_both_ways(server: LiveServer, face: Face) -> None:
    def listen(document: Document) -> None:
        def answer(data: Any) -> None:
            text = f"{data['n']} {len(data['blob'])}"
            document.callbacks.trigger_on_change(
                MessageSentEvent(document, "answer", {"text": text, "blob": b"\x00\xff"})
            )

        document.on_message("question", answer)

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        document = session.document
        assert document is not None
        await face.edit(server, session, listen, "/slider")
        answers: list[Any] = []
        document.on_message("answer", answers.append)
        document.callbacks.trigger_on_change(MessageSentEvent(document, "question", {"n": 42, "blob": b"123"}))
        await do(session.force_roundtrip())
        assert answers == [{"text": "42 3", "blob": b"\x00\xff"}]

    face.play(scenario)


def test_held_changes_go_out_when_they_are_let_go(server: LiveServer, face: Face) -> None:
    spy = SpyTransport(face.transport)

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"), transport=spy)
        document = session.document
        assert document is not None
        document.hold("combine")
        for value in (2, 3, 4):
            named(session, "slider").value = value
        await do(session.force_roundtrip())
        assert spy.sent_events() == []
        document.unhold()
        await do(session.force_roundtrip())
        assert spy.sent_events() == ["ModelChanged"]
        await both_equal(face, server, session, "/slider")

    face.play(scenario)


def test_changes_made_just_before_the_close_are_confirmed(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        keeper = await face.pull(url=server.url("/slider"), session_id=f"keeper-{face.kind}-{face.transport}")
        session = await face.pull(url=server.url("/slider"), session_id=keeper.id)
        for value in range(2, 52):
            named(session, "slider").value = value
        await do(session.close())
        await do(keeper.force_roundtrip())
        assert named(keeper, "slider").value == 51
        assert named(keeper, "div").text == "slider: 51"

    face.play(scenario)


@pytest.mark.parametrize("policy", ["collect", "combine"])
def test_changes_that_are_held_when_the_session_is_closed_are_confirmed(
    server: LiveServer, face: Face, policy: Any
) -> None:
    async def scenario(face: Face) -> None:
        name = f"held-{policy}-{face.kind}-{face.transport}"
        keeper = await face.pull(url=server.url("/slider"), session_id=name)
        session = await face.pull(url=server.url("/slider"), session_id=name)
        document = session.document
        assert document is not None
        document.hold(policy)
        named(session, "slider").value = 51
        await do(session.close())
        assert document.callbacks.hold_value == policy
        await do(keeper.force_roundtrip())
        assert named(keeper, "slider").value == 51

    face.play(scenario)


def test_patches_that_arrive_while_a_call_waits_are_applied_in_order(server: LiveServer, face: Face) -> None:
    def many(document: Document) -> None:
        div = document.get_model_by_name("div")
        assert isinstance(div, Div)
        for number in range(300):
            div.text = str(number)

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        seen: list[str] = []
        named(session, "div").on_change("text", lambda attr, old, new: seen.append(new))
        await face.edit(server, session, many, "/slider")
        await do(session.request_server_info())
        await do(session.force_roundtrip())
        assert seen == [str(number) for number in range(300)]

    face.play(scenario)


def test_a_value_that_cannot_be_serialized_is_refused_where_it_is_set(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        div = named(session, "div")
        with pytest.raises(SerializationError):
            div.tags = [object()]
        div.text = "goes on"
        await do(session.force_roundtrip())

    face.play(scenario)


def _events(text: Any) -> list[dict[str, Any]]:
    content = text.get("content", text)
    events: list[dict[str, Any]] = content.get("events", [])
    return events


def test_a_value_that_cannot_be_sent_is_raised_and_taken_back(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/slider"))
        assert session.document is not None
        roots = list(session.document.roots)
        with pytest.raises(SerializationError):
            session.document.add_root(ColumnDataSource(data={"x": [object()]}))
        await do(session.force_roundtrip())
        assert session.document.roots == roots
        await both_equal(face, server, session, "/slider")

    face.play(scenario)


@pytest.mark.parametrize("column", [["2026-01-01"], []])
@pytest.mark.parametrize("kind", ["datetime64[ms]", "datetime64[ns]", "timedelta64[ms]"])
def test_rows_of_the_server_for_dates_that_are_an_array_here(
    server: LiveServer, blocking: Face, kind: str, column: list[str]
) -> None:
    """They travel as numbers, which such an array takes none of: the server's columns are taken over."""

    def stream(row: dict[str, Any], there: Document) -> None:
        model(there, "columns").stream(row, 2)

    async def scenario(face: Face) -> None:
        days = np.array(column, dtype="datetime64[ms]")
        dates = (days - days[:1]).astype(kind) if kind.startswith("time") else days.astype(kind)
        source = ColumnDataSource(name="columns", data={"x": dates, "y": [1.0] * len(dates)})
        session = await face.pull(url=server.url("/"))
        document = session.document
        assert document is not None
        document.add_root(source)
        await do(session.force_roundtrip())
        for day in (2, 3):
            row = {"x": [day * 86_400_000.0], "y": [float(day)]}
            await face.edit(server, session, partial(stream, row), "/")
            await do(session.force_roundtrip())
        source.patch({"y": [(0, 100.0)]})
        await do(session.force_roundtrip())
        await both_equal(face, server, session, "/")
        assert list(source.data["y"]) == [100.0, 3.0]

    blocking.play(scenario)


async def a_column_is_the_same(
    face: Face, server: LiveServer, column: Any, change: Callable[[ColumnDataSource], None]
) -> None:
    """Assert that a change makes the same of a column on both sides, also where the server keeps it in another way."""
    session = await face.pull(url=server.url("/"))
    source = ColumnDataSource(name="columns", data={"x": column.copy()})
    document = session.document
    assert document is not None
    document.add_root(source)
    await do(session.force_roundtrip())
    change(source)
    await do(session.force_roundtrip())
    there = await face.edit(server, session, lambda there: model(there, "columns").data["x"], "/")
    assert np.asarray(there).tolist() == np.asarray(source.data["x"]).tolist()
    await both_equal(face, server, session, "/")


@pytest.mark.parametrize(
    ("column", "patches"),
    [
        (np.array([1, 2, 3]), [(0, 1.5)]),
        (np.array([1, 2, 3], dtype=np.int8), [(slice(0, 2), [1.5, 2.5])]),
        (np.array([1, 2, 3], dtype=np.float32), [(0, 0.1), (slice(1, 3), np.array([0.1, 0.2]))]),
        (np.array([True, False]), [(1, 5)]),
        (np.array(["a", "b"]), [(0, "long")]),
        (np.array(["long", "longer"]), [(slice(0, 2), [1, 2.5])]),
        (np.array([1, 2]), [(slice(0, 2), [2**20, 0.5])]),
        (np.zeros((2, 2)), [((0, 1), 3)]),
        ([1, 2, 3], [(0, 1.5)]),
    ],
    ids=["int", "int8", "float32", "bool", "text", "numbers in text", "int and float", "image", "list"],
)
def test_a_patch_of_an_array_is_sent_as_the_array_holds_it(
    server: LiveServer, face: Face, column: Any, patches: Any
) -> None:
    async def scenario(face: Face) -> None:
        await a_column_is_the_same(face, server, column, lambda source: source.patch({"x": patches}))

    face.play(scenario)


@pytest.mark.parametrize("rollover", [None, 1, 3])
@pytest.mark.parametrize(
    ("column", "rows"),
    [
        (np.array([1, 2]), [1.5, 2.5]),
        (np.array([1, 2], dtype=np.int8), [300, 2]),
        (np.array([1.0, 2.0], dtype=np.float32), [0.1, 0.2]),
        (np.array([1, 2]), ["a", "b"]),
        (np.array(["a", "b"]), [1, 2.5]),
        (np.array(["a", "b"]), ["longer", 3]),
        (np.array(["a", "b"]), pd.Series([1, 2])),
        (np.array(["a", "b"]), np.array([1.5, 2.5])),
        (np.array([None, "b"], dtype=object), [1, 2.5]),
        (["a", "b"], [1, 2.5]),
    ],
    ids=["int", "int8", "float32", "text to int", "text", "both", "series", "array", "object", "list"],
)
def test_rows_for_an_array_are_sent_as_the_array_holds_them(
    server: LiveServer, blocking: Face, column: Any, rows: Any, rollover: int | None
) -> None:
    async def scenario(face: Face) -> None:
        await a_column_is_the_same(face, server, column, lambda source: source.stream({"x": rows}, rollover))

    blocking.play(scenario)


@pytest.mark.parametrize(
    ("column", "rows"),
    [
        (np.array(["a", "b"]), [3]),
        (np.array(["a", "b"]), np.array([3.5])),
        (np.array(["a", "b"]), [True]),
        (np.array(["a", "b"]), ["c"]),
        (np.array([1, 2]), ["c"]),
        (np.array([1, 2]), [3.5]),
        ([1, 2], np.array(["c"])),
        ([1, 2], ["c"]),
        (["a", "b"], [3]),
        (["a", "b"], np.array([3])),
        (["a", 2], ["c"]),
        (["a", None], [None]),
    ],
    ids=str,
)
def test_rows_of_the_servers_that_make_something_else_of_a_column(
    server: LiveServer, blocking: Face, column: Any, rows: Any
) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/"))
        document = session.document
        assert document is not None
        document.add_root(ColumnDataSource(name="columns", data={"x": column}))
        await do(session.force_roundtrip())
        for _ in range(2):
            await face.edit(server, session, lambda there: model(there, "columns").stream({"x": rows}), "/")
        await both_equal(face, server, session, "/")
        there = await face.edit(server, session, lambda there: list(model(there, "columns").data["x"]), "/")
        here = list(model(document, "columns").data["x"])
        assert np.asarray(there, dtype=object).tolist() == np.asarray(here, dtype=object).tolist()

    blocking.play(scenario)


@pytest.mark.parametrize("kind", ["stream", "patch"])
@pytest.mark.parametrize("pulling", [False, True])
def test_rows_of_columns_that_a_server_has_replaced_since_and_that_a_pull_has_brought(
    server: LiveServer, blocking: Face, kind: str, pulling: bool
) -> None:
    """A server that holds tells of the rows after that."""

    def change(there: Document) -> None:
        source = model(there, "source")
        there.hold()
        if kind == "stream":
            source.stream({"x": [9], "y": [9.0]})
        else:
            source.patch({"x": [(0, 9)]})
        source.data = {"a": [1]}

    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/source"))
        await face.edit(server, session, change, "/source")
        if pulling:
            await do(session.pull())
        await face.edit(server, session, lambda there: there.unhold(), "/source")
        await both_equal(face, server, session, "/source")
        assert model(session.document, "source").data == {"a": [1]}

    blocking.play(scenario)


def test_a_patch_that_was_held_is_sent_though_its_column_is_another_one(server: LiveServer, face: Face) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server.url("/source"))
        document, source = session.document, named(session, "source")
        assert document is not None
        source.data = {"x": np.array(["a", "b"]), "y": np.array([1, 2])}
        document.hold("collect")
        source.patch({"x": [(0, "z")]})
        source.data = {"x": np.array([1.0, 2.0]), "y": np.array([1, 2])}
        document.unhold()
        await both_equal(face, server, session, "/source")
        assert list(source.data["x"]) == [1.0, 2.0]

    face.play(scenario)
