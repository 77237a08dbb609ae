"""A handler makes a call before the session is told of the change, while the server has changed the same; really."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.models import Column, ColumnDataSource, Model
from bokeh.models.widgets import Div

from bokehwire import ClientSession, PatchRejected, push_session

from ..apps import model
from ..live import LiveServer
from .faces import Face, contents, differences

# What a program does to rows, and what the server makes of it over its own [7, 3].
ROWS: dict[str, tuple[Callable[[Any], None], list[int]]] = {
    "stream": (lambda source: source.stream({"x": [3]}), [7, 3, 3]),
    "rollover": (lambda source: source.stream({"x": [3]}, 2), [3, 3]),
    "patch": (lambda source: source.patch({"x": [(0, 3)]}), [3, 3]),
    "data": (lambda source: setattr(source, "data", {"x": [4]}), [4]),
}


def made() -> Document:
    document = Document()
    for root in (Div(name="one", text="1"), Div(name="two", text="2"), Column(name="box", children=[Div(name="in")])):
        document.add_root(root)
    document.add_root(ColumnDataSource(name="source", data={"x": [1, 2]}))
    return document


def once(call: Callable[[], object]) -> Callable[[str, object, object], None]:
    """Make a handler that makes a call when it is called first."""
    waiting = [call]

    def handler(attr: str, old: object, new: object) -> None:
        if waiting:
            waiting.pop()()

    return handler


def assert_equal(server: LiveServer, session: ClientSession) -> None:
    for _ in range(3):
        session.force_roundtrip()
    document: Any = session.document
    there, here = server.edit(session.id, contents), contents(document)
    assert there == here, differences(there, here)


@pytest.mark.parametrize("held", [False, True], ids=["", "held"])
@pytest.mark.parametrize(("change", "result"), ROWS.values(), ids=ROWS)
def test_the_servers_data_arrives_in_the_call(
    change: Callable[[Any], None], result: list[int], held: bool, server: LiveServer, blocking: Face
) -> None:
    """Rows and patches count as made as well: the server puts them into its new data."""
    with push_session(made(), url=server.url(), transport=blocking.transport) as session:
        document: Any = session.document
        source: Any = model(document, "source")
        source.on_change("data", once(session.force_roundtrip))
        if held:
            document.hold("collect")
            change(source)
        server.edit(session.id, lambda there: setattr(model(there, "source"), "data", {"x": [7, 3]}))
        document.unhold() if held else change(source)
        assert_equal(server, session)
        assert [*source.data["x"]] == result


@pytest.mark.parametrize("held", [False, True], ids=["", "held"])
@pytest.mark.parametrize(
    ("change", "rows"),
    [(ROWS["stream"][0], [1, 2, 3]), (ROWS["data"][0], [4]), (None, [1, 2])],
    ids=["rows", "data", ""],
)
def test_a_pull_does_not_lose_what_is_being_told(
    change: Callable[[Any], None] | None, rows: list[int], held: bool, server: LiveServer, blocking: Face
) -> None:
    with push_session(made(), url=server.url(), transport=blocking.transport) as session:
        document: Any = session.document
        one, source = model(document, "one"), model(document, "source")
        (source if change else one).on_change("data" if change else "text", once(session.pull))
        if held:
            document.hold("collect")
        if change:
            change(source)
        else:
            one.text = "new"
        if held:
            document.add_root(Div(name="later"))
            document.unhold()
        assert_equal(server, session)
        assert [*model(document, "source").data["x"]] == rows
        assert model(document, "one").text == ("1" if change else "new")
        assert len(document.roots) == 4 + held


@pytest.mark.parametrize("rollover", [None, 2])
def test_held_rows_that_a_push_has_are_not_sent_behind_it(
    rollover: int | None, server: LiveServer, blocking: Face
) -> None:
    with push_session(made(), url=server.url(), transport=blocking.transport) as session:
        document: Any = session.document
        one, source = model(document, "one"), model(document, "source")
        one.on_change("text", once(lambda: session.push(document)))
        document.hold("collect")
        one.text = "new"
        source.stream({"x": [3]}, rollover)
        document.unhold()
        assert_equal(server, session)
        assert [*source.data["x"]] == ([1, 2, 3] if rollover is None else [2, 3])


@pytest.mark.parametrize("held", [None, "box", "two"])
def test_the_server_removes_what_the_change_places(held: str | None, server: LiveServer, blocking: Face) -> None:
    """The change was made before the session knew of that, though it is told of it later: it is dropped with an OK."""
    errors: list[Exception] = []
    transport = blocking.transport
    with push_session(made(), url=server.url(), transport=transport, on_error=errors.append) as session:
        document: Any = session.document
        one, two, box = (model(document, name) for name in ("one", "two", "box"))
        observed: Model = two if held == "two" else box
        observed.on_change("text" if held == "two" else "children", once(session.force_roundtrip))
        if held:
            document.hold("collect")
            two.text = "new"
            box.children = [one, *box.children]
        server.edit(session.id, lambda there: there.remove_root(model(there, "one")))
        if held:
            document.unhold()
        else:
            box.children = [one, *box.children]
        with pytest.raises(PatchRejected, match="children changed"):
            session.force_roundtrip()
        assert_equal(server, session)
        assert [child.name for child in box.children] == ["in"]
        assert [type(error) for error in errors] == [PatchRejected]
