"""What is held back of models that the server moves or takes out meanwhile; on a real server.

A server that moves a model writes it out anew: the document has another object under its id, and the held change is of
one that is in no document any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    policy: Any,
    server: LiveServer,
    blocking: Face,
) -> None:
    document = made()
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        document.hold(policy)
        change(document)
        server.edit(session.id, move)
        session.force_roundtrip()
        document.unhold()
        session.force_roundtrip()
        there, here = server.edit(session.id, contents), contents(document)
        assert there == here, differences(there, here)
        assert seen(document) == expected


def other_columns(document: Document) -> None:
    to_the_end(document)
    model(document, "source").data = {"z": [0]}


UNFIT: dict[str, tuple[Edit, str]] = {
    "rows": (lambda document: model(document, "source").stream({"x": [5], "y": [6]}), "streamed"),
    "a patch": (lambda document: model(document, "source").patch({"x": [(slice(0, 2), [5, 6])]}), "patched"),
}


@pytest.mark.parametrize(("change", "name"), UNFIT.values(), ids=UNFIT)
def test_held_rows_for_columns_that_are_no_more_are_named(
    change: Edit, name: str, server: LiveServer, blocking: Face
) -> None:
    document = made()
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        document.hold("collect")
        change(document)
        server.edit(session.id, other_columns)
        session.force_roundtrip()
        document.unhold()
        with pytest.raises(UsageError, match=f"data {name} was overwritten by what the server has"):
            session.force_roundtrip()
        there, here = server.edit(session.id, contents), contents(document)
        assert there == here, differences(there, here)
        assert dict(model(document, "source").data) == {"z": [0]}


def test_a_held_change_that_holds_models_of_before_deep_inside_is_named(server: LiveServer, blocking: Face) -> None:
    """What it would be of the models of today, nobody knows."""
    document = made()
    errors: list[Exception] = []

    def wrap(document: Document) -> None:
        inner = model(document, "inner")
        inner.children = [Column(name="around", children=[inner.children[0]])]

    with push_session(document, url=server.url(), transport=blocking.transport, on_error=errors.append) as session:
        document.hold("collect")
        wrap(document)
        server.edit(session.id, out_of_the_box("inner"))
        session.force_roundtrip()
        document.unhold()
        with pytest.raises(UsageError, match=r"children changed was overwritten by what the server has"):
            session.force_roundtrip()
        session.force_roundtrip()
        there, here = server.edit(session.id, contents), contents(document)
        assert there == here, differences(there, here)
        assert len(errors) == 1


TAKEN: dict[str, tuple[Edit, Edit, str]] = {
    "a root": (
        lambda document: setattr(model(document, "root"), "text", "1"),
        lambda document: document.remove_root(model(document, "root")),
        "text changed",
    ),
    "something inside": (
        lambda document: setattr(model(document, "deep"), "text", "1"),
        lambda document: document.remove_root(model(document, "box")),
        "text changed",
    ),
    "rows": (
        lambda document: model(document, "source").stream({"x": [5], "y": [6]}),
        lambda document: document.remove_root(model(document, "source")),
        "data streamed",
    ),
}


@pytest.mark.parametrize(("change", "take", "name"), TAKEN.values(), ids=TAKEN)
def test_a_held_change_of_what_the_server_takes_out_is_named(
    change: Edit, take: Edit, name: str, server: LiveServer, blocking: Face
) -> None:
    document = made()
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        document.hold("collect")
        change(document)
        server.edit(session.id, take)
        session.force_roundtrip()
        document.unhold()
        with pytest.raises(UsageError, match=f"{name} was not sent: the server has taken the model out meanwhile"):
            session.force_roundtrip()
        there, here = server.edit(session.id, contents), contents(document)
        assert there == here, differences(there, here)


OWN: dict[str, tuple[Edit, Edit]] = {
    "the server as well": (
        lambda document: document.remove_root(model(document, "root")),
        lambda document: document.remove_root(model(document, "root")),
    ),
    "inside": (
        lambda document: setattr(model(document, "box"), "children", []),
        lambda document: None,
    ),
    "inside, the server as well": (
        lambda document: setattr(model(document, "inner"), "children", []),
        lambda document: setattr(model(document, "inner"), "children", []),
    ),
}


@pytest.mark.parametrize(("take", "take_there"), OWN.values(), ids=OWN)
def test_a_held_change_of_what_the_program_takes_out_itself_is_no_loss(
    take: Edit, take_there: Edit, server: LiveServer, blocking: Face
) -> None:
    document = made()
    errors: list[Exception] = []
    with push_session(document, url=server.url(), transport=blocking.transport, on_error=errors.append) as session:
        document.hold("collect")
        for name in ("root", "deep"):
            model(document, name).text = "1"
        take(document)
        server.edit(session.id, take_there)
        session.force_roundtrip()
        document.unhold()
        session.force_roundtrip()
        there, here = server.edit(session.id, contents), contents(document)
        assert there == here, differences(there, here)
        assert not errors
