"""Handlers that change something while held changes are let go (`Document.unhold`); on a real server.

Bokeh calls the handlers of a held change only then, and tells of what they change before it tells of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets import Div, Slider

from bokehwire import push_session

from ..apps import model
from ..live import LiveServer
from .faces import Face, contents, differences


def made() -> Document:
    document = Document()
    for root in (Div(name="one", text="1"), Slider(name="slider", start=0, end=99, value=1), Column(name="box")):
        document.add_root(root)
    document.add_root(ColumnDataSource(name="source", data={"x": [1, 2, 3]}))
    return document


def texts(document: Document) -> list[str]:
    return [child.text for child in model(document, "box").children]


def clamp(document: Document) -> Callable[[], Any]:
    slider: Any = model(document, "slider")
    slider.on_change("value", lambda attr, old, new: setattr(slider, "value", min(new, 10)))
    slider.value = 50
    return lambda: slider.value


def another_value(document: Document) -> Callable[[], Any]:
    """Between two held changes of the same."""
    slider: Any = model(document, "slider")
    slider.value = 20
    model(document, "one").on_change("text", lambda attr, old, new: setattr(slider, "value", 10))
    model(document, "one").text = "new"
    slider.value = 30
    return lambda: slider.value


def another_title(document: Document) -> Callable[[], Any]:
    document.title = "1"
    model(document, "one").on_change("text", lambda attr, old, new: setattr(document, "title", "10"))
    model(document, "one").text = "new"
    document.title = "2"
    return lambda: int(document.title)


def another_child(document: Document) -> Callable[[], Any]:
    """What the held change made lacks it, and what is changed of it later would be dropped."""
    box: Any = model(document, "box")

    def add(attr: str, old: object, new: object) -> None:
        if "added" not in texts(document):
            box.children = [*box.children, Div(name="added", text="added")]

    box.on_change("children", add)
    box.children = [Div(text="a")]
    box.children = [Div(text="b"), Div(text="c")]
    return lambda: len(box.children) + 7 * ("added" in texts(document))


def a_root_removed(document: Document) -> Callable[[], Any]:
    root = Div(text="root")
    model(document, "one").on_change("text", lambda attr, old, new: document.remove_root(root))
    model(document, "one").text = "new"
    document.add_root(root)
    return lambda: 10 * (root not in document.roots)


def a_root_added(document: Document) -> Callable[[], Any]:
    """The document has it behind the held one, the server hears of it first."""
    model(document, "one").on_change("text", lambda attr, old, new: document.add_root(Div(text="another")))
    model(document, "one").text = "new"
    document.add_root(Div(text="root"))
    return lambda: len(document.roots) + 4


def a_root_put_back(document: Document) -> Callable[[], Any]:
    """The server has it still, where it was."""
    one: Any = model(document, "one")
    model(document, "slider").on_change("value", lambda attr, old, new: document.add_root(one))
    model(document, "slider").value = 5
    document.remove_root(one)
    return lambda: 10 * (one in document.roots)


def a_patch(document: Document) -> Callable[[], Any]:
    source: Any = model(document, "source")

    def clip(attr: str, old: object, new: Any) -> None:
        if source.data["x"][0] > 10:
            source.patch({"x": [(0, 10)]})

    source.on_change("data", clip)
    source.patch({"x": [(0, 50)]})
    return lambda: source.data["x"][0]


def more_rows(document: Document) -> Callable[[], Any]:
    source: Any = model(document, "source")

    def stream(attr: str, old: object, new: object) -> None:
        if len(source.data["x"]) < 10:
            source.stream({"x": [7, 8]})

    source.on_change("data", stream)
    source.stream({"x": [4]})
    source.stream({"x": [5, 6]})
    return lambda: len(source.data["x"])


CHANGES = [
    clamp,
    another_value,
    another_title,
    another_child,
    a_root_removed,
    a_root_added,
    a_root_put_back,
    a_patch,
    more_rows,
]


@pytest.mark.filterwarnings("ignore:reference already known")  # of what has come back, and is written out once more
@pytest.mark.parametrize("policy", ["collect", "combine"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_handler_does_when_its_change_is_let_go(
    change: Callable[[Document], Callable[[], Any]], policy: Any, server: LiveServer, blocking: Face
) -> None:
    document = made()
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        document.hold(policy)
        outcome = change(document)
        document.unhold()
        here = contents(document)
        later = document.select_one({"name": "added"})
        if later is not None:
            later.tags = ["later"]
        model(document, "box").tags = ["a neighbour"]
        for _ in range(3):
            session.force_roundtrip()
        there, now = server.edit(session.id, contents), contents(document)
        assert there == now, differences(there, now)
        assert outcome() == 10, differences(here, now)


@pytest.mark.parametrize("policy", ["collect", "combine"])
@pytest.mark.parametrize("size", [2, 40])
def test_a_layout_that_is_built_while_changes_are_held(
    size: int, policy: Any, server: LiveServer, blocking: Face
) -> None:
    """The first change writes it out as it is by then; what it was in between would take models out again."""
    document = made()
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        box: Any = model(document, "box")
        for _ in range(2):
            inner = Column()
            document.hold(policy)
            box.children = [inner]
            for number in range(size):
                inner.children = [*inner.children, Div(text=str(number))]
                inner.children[0].visible = bool(number % 2)
                document.title = f"{number}"
            document.unhold()
            session.force_roundtrip()
            there, here = server.edit(session.id, contents), contents(document)
            assert there == here, differences(there, here)
            assert len(inner.children) == size


def test_a_held_change_of_a_model_that_leaves_and_comes_back(server: LiveServer, blocking: Face) -> None:
    """It is sent by itself, before the removal: callbacks at the server hear of it."""
    document = made()
    heard: list[int] = []
    child = Slider(name="child", start=0, end=9, value=1)
    model(document, "box").children = [child]
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        server.edit(
            session.id, lambda d: model(d, "child").on_change("value", lambda attr, old, new: heard.append(new))
        )
        document.hold("collect")
        child.value = 5
        model(document, "box").children = []
        model(document, "box").children = [child]
        document.unhold()
        session.force_roundtrip()
        there, here = server.edit(session.id, contents), contents(document)
        assert there == here, differences(there, here)
        assert heard == [5]


def test_what_the_server_changes_meanwhile_is_overwritten_by_what_was_held(server: LiveServer, blocking: Face) -> None:
    """The server gets that later; and a root that it has put back is removed."""
    document = made()
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        document.hold("collect")
        model(document, "slider").value = 5
        document.title = "held"
        server.edit(session.id, lambda there: setattr(model(there, "slider"), "value", 7))
        server.edit(session.id, lambda there: setattr(there, "title", "of the server"))
        session.force_roundtrip()
        assert (model(document, "slider").value, document.title) == (7, "of the server")
        document.unhold()
        for _ in range(2):
            session.force_roundtrip()
        there, here = server.edit(session.id, contents), contents(document)
        assert there == here, differences(there, here)
        assert (model(document, "slider").value, document.title) == (5, "held")
