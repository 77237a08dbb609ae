"""What is held back of models that the server moves or takes out meanwhile; on a real server.

A server that moves a model writes it out anew: the document has another object under its id, and the held change is of
one that is in no document any more.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

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
    inner = Column(
        name="inner", children=[Div(name="deep", text="0"), Column(name="deeper", children=[Div(name="deepest")])]
    )
    document.add_root(Column(name="box", children=[Slider(name="slider", start=0, end=9, value=0), inner]))
    document.add_root(ColumnDataSource(name="source", data={"x": [1, 2], "y": [3, 4]}))
    document.add_root(Div(name="root", text="0", tags=["0"], styles={"color": "red"}))
    return document


def out_of_the_box(name: str) -> Edit:
    def move(document: Document) -> None:
        moved = model(document, name)
        model(document, "box").children.remove(moved)
        document.add_root(moved)

    return move


def into_the_box(document: Document) -> None:
    moved = model(document, "root")
    document.remove_root(moved)
    model(document, "box").children.append(moved)


def to_the_end(document: Document) -> None:
    moved = model(document, "source")
    document.remove_root(moved)
    document.add_root(moved)


def a_column_and_then_others(document: Document) -> None:
    source: Any = model(document, "source")
    source.data.update(x=[8, 9])
    source.data = {"z": [1]}


def stream_and_patch(document: Document) -> None:
    source: Any = model(document, "source")
    source.stream({"x": [5], "y": [6]}, rollover=2)
    source.stream({"x": [7], "y": [8]})
    source.patch({"x": [(2, 9)]})


def played(
    server: LiveServer, blocking: Face, change: Edit, there: Edit, policy: Literal["collect", "combine"] = "collect"
) -> tuple[Document, list[str]]:
    """Change the document while it holds, and the server's meanwhile; give the document and what is named at last."""
    document = made()
    errors: list[Exception] = []
    with push_session(document, url=server.url(), transport=blocking.transport, on_error=errors.append) as session:
        document.hold(policy)
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


def names(document: Document) -> list[str]:
    return [child.name for child in model(document, "inner").children]


MOVED: dict[str, tuple[Edit, Edit, Callable[[Document], Any], Any]] = {
    "a value": (
        lambda document: setattr(model(document, "slider"), "value", 5),
        out_of_the_box("slider"),
        lambda document: model(document, "slider").value,
        5,
    ),
    "a list": (
        lambda document: model(document, "root").tags.append("1"),
        into_the_box,
        lambda document: [*model(document, "root").tags],
        ["0", "1"],
    ),
    "a dict": (
        lambda document: model(document, "root").styles.update(width="1px"),
        into_the_box,
        lambda document: dict(model(document, "root").styles),
        {"color": "red", "width": "1px"},
    ),
    "a child": (
        lambda document: model(document, "inner").children.append(Div(name="new")),
        out_of_the_box("inner"),
        names,
        ["deep", "deeper", "new"],
    ),
    "a child less": (
        lambda document: model(document, "inner").children.pop(0),
        out_of_the_box("inner"),
        names,
        ["deeper"],
    ),
    "data": (
        lambda document: setattr(model(document, "source"), "data", {"z": [0]}),
        to_the_end,
        lambda document: dict(model(document, "source").data),
        {"z": [0]},
    ),
    "a column": (
        lambda document: model(document, "source").data.update(x=[8, 9]),
        to_the_end,
        lambda document: dict(model(document, "source").data),
        {"x": [8, 9], "y": [3, 4]},
    ),
    "a column, and then other ones": (
        a_column_and_then_others,
        to_the_end,
        lambda document: dict(model(document, "source").data),
        {"z": [1]},
    ),
    "rows and a patch": (
        stream_and_patch,
        to_the_end,
        lambda document: dict(model(document, "source").data),
        {"x": [2, 5, 9], "y": [4, 6, 8]},
    ),
    "a root less": (
        lambda document: document.remove_root(model(document, "source")),
        to_the_end,
        lambda document: [root.name for root in document.roots],
        ["box", "root"],
    ),
    "what is a root no more": (
        lambda document: document.remove_root(model(document, "root")),
        into_the_box,
        lambda document: [root.name for root in document.roots],
        ["box", "source"],
    ),
}


@pytest.mark.parametrize("policy", ["collect", "combine"])
@pytest.mark.parametrize(("change", "move", "seen", "expected"), MOVED.values(), ids=MOVED)
def test_a_held_change_counts_although_the_server_moves_its_model(
    change: Edit,
    move: Edit,
    seen: Callable[[Document], Any],
    expected: Any,
    policy: Literal["collect", "combine"],
    server: LiveServer,
    blocking: Face,
) -> None:
    document, named = played(server, blocking, change, move, policy)
    assert seen(document) == expected
    assert not named


def other_columns(document: Document) -> None:
    to_the_end(document)
    model(document, "source").data = {"z": [0]}


def wrap(document: Document) -> None:
    inner = model(document, "inner")
    inner.children = [Column(name="around", children=[inner.children[0]])]


OVERWRITTEN = "was overwritten by what the server has"
TAKEN = "was not sent: the server has taken the model out meanwhile"
LOST: dict[str, tuple[Edit, Edit, str]] = {
    "rows for other columns": (
        lambda document: model(document, "source").stream({"x": [5], "y": [6]}),
        other_columns,
        f"data streamed {OVERWRITTEN}",
    ),
    "a patch of other columns": (
        lambda document: model(document, "source").patch({"x": [(slice(0, 2), [5, 6])]}),
        other_columns,
        f"data patched {OVERWRITTEN}",
    ),
    "models of before deep inside": (wrap, out_of_the_box("inner"), f"children changed {OVERWRITTEN}"),
    "a root that is taken out": (
        lambda document: setattr(model(document, "root"), "text", "1"),
        lambda document: document.remove_root(model(document, "root")),
        f"text changed {TAKEN}",
    ),
    "something inside of one": (
        lambda document: setattr(model(document, "deep"), "text", "1"),
        lambda document: document.remove_root(model(document, "box")),
        f"text changed {TAKEN}",
    ),
    "rows of one": (
        lambda document: model(document, "source").stream({"x": [5], "y": [6]}),
        lambda document: document.remove_root(model(document, "source")),
        f"data streamed {TAKEN}",
    ),
}


@pytest.mark.parametrize(("change", "there", "text"), LOST.values(), ids=LOST)
def test_a_held_change_that_cannot_be_made_any_more_is_named(
    change: Edit, there: Edit, text: str, server: LiveServer, blocking: Face
) -> None:
    _document, named = played(server, blocking, change, there)
    assert [text in error for error in named] == [True], named


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
def test_a_held_change_of_what_the_program_takes_out_itself_is_no_loss(
    take: Edit, there: Edit, server: LiveServer, blocking: Face
) -> None:
    _document, named = played(server, blocking, change_and_take_out(take), there)
    assert not named
