"""What is held back of models that the server moves or takes out meanwhile; on a real server.

A server that moves a model writes it out anew: the document has another object under its id, and the held change is of
one that is in no document any more.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from bokeh.document import Document
from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets import Div, Slider

from bokehwire import UsageError, push_session

from ..apps import model
from ..live import LiveServer
from .faces import Face, contents, differences

Edit = Callable[[Document], object]


def made() -> Document:
    document = Document()
    inner = Column(name="inner", children=[Div(name="deep", text="0"), Div(name="other")])
    document.add_root(Column(name="box", children=[Slider(name="slider", start=0, end=9, value=0), inner]))
    document.add_root(ColumnDataSource(name="source", data={"x": [1, 2]}))
    document.add_root(Div(name="root", text="0"))
    return document


def played(server: LiveServer, blocking: Face, change: Edit, there: Edit) -> tuple[Document, list[str]]:
    """Change the document while it holds, and the server's meanwhile; give the document and what is named at last."""
    document = made()
    errors: list[Exception] = []
    with push_session(document, url=server.url(), transport=blocking.transport, on_error=errors.append) as session:
        document.hold("collect")
        change(document)
        server.edit(session.id, there)
        session.force_roundtrip()
        document.unhold()
        with suppress(UsageError):  # on_error has it as well
            session.force_roundtrip()
        session.force_roundtrip()
        theirs, ours = server.edit(session.id, contents), contents(document)
        assert theirs == ours, differences(theirs, ours)
    return document, list(map(str, errors))


def out_of_the_box(name: str) -> Edit:
    def move(document: Document) -> None:
        moved = model(document, name)
        model(document, "box").children.remove(moved)
        document.add_root(moved)

    return move


def to_the_end(document: Document) -> None:
    moved = model(document, "source")
    document.remove_root(moved)
    document.add_root(moved)


MOVED: dict[str, tuple[Edit, Edit, str]] = {
    "a value": (
        lambda document: setattr(model(document, "slider"), "value", 5),
        out_of_the_box("slider"),
        "value changed",
    ),
    "a child": (
        lambda document: model(document, "inner").children.append(Div(name="new")),
        out_of_the_box("inner"),
        "children changed",
    ),
    "rows": (
        lambda document: model(document, "source").stream({"x": [5]}),
        to_the_end,
        "data streamed",
    ),
}


@pytest.mark.parametrize(("change", "move", "name"), MOVED.values(), ids=MOVED)
def test_a_held_change_is_named_where_the_server_moves_its_model(
    change: Edit, move: Edit, name: str, server: LiveServer, blocking: Face
) -> None:
    _document, named = played(server, blocking, change, move)
    assert [f"{name} was overwritten by what the server has" in error for error in named] == [True], named


def change_and_take_out(take: Edit) -> Edit:
    def change(document: Document) -> None:
        for name in ("root", "deep"):
            model(document, name).text = "1"
        take(document)

    return change


def empty(name: str) -> Edit:
    return lambda document: setattr(model(document, name), "children", [])


OWN: dict[str, tuple[Edit, Edit]] = {
    "the server as well": (
        lambda document: document.remove_root(model(document, "root")),
        lambda document: document.remove_root(model(document, "root")),
    ),
    "inside": (empty("box"), lambda document: None),
    "inside, the server as well": (empty("inner"), empty("inner")),
}


@pytest.mark.parametrize(("take", "there"), OWN.values(), ids=OWN)
def test_a_held_change_of_what_the_program_takes_out_itself_takes_no_other_with_it(
    take: Edit, there: Edit, server: LiveServer, blocking: Face
) -> None:
    """A server that has taken it out as well drops the message, with all that is in it, and answers OK."""
    _document, named = played(server, blocking, change_and_take_out(take), there)
    assert not named
