"""Changes that were held back are let go in one thread, while another changes the document: both sides end equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from bokeh.document import Document
from bokeh.document.events import TitleChangedEvent
from bokeh.models import Column
from bokeh.models.widgets import Slider

from bokehwire import ClientSession, PatchRejected, push_session

from ..apps import model
from ..live import LiveServer
from . import faces
from .faces import Face
from .interrupting import Meanwhile, in_another_thread
from .test_threads import contents, made


@pytest.mark.parametrize("call", ["pull", "push"])
def test_what_another_thread_lets_go_of_is_not_held_again(call: str, server: LiveServer, blocking: Face) -> None:
    document = made()
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        document.hold("collect")
        slider = model(document, "slider")
        slider.value = 1
        waiting = [1]

        def unhold(attr: str, old: object, new: object) -> None:
            if waiting:
                waiting.clear()
                in_another_thread(document.unhold)

        slider.on_change("value", unhold)
        getattr(session, call)()
        assert document.callbacks.hold_value is None
        model(document, "slider").value = 2
        session.force_roundtrip()
        assert server.edit(session.id, contents, "/slider") == ([2], [0])


def test_one_thread_lets_go_of_a_change_of_a_model_that_another_is_just_taking_out(
    server: LiveServer, blocking: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it sends of the list of models lacks that one already, before the other has told of it."""
    document = made()
    child, other = (Slider(start=0, end=9, value=0) for _ in range(2))
    document.add_root(box := Column(children=[child, other]))
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        document.hold("collect")
        box.children = [child, other, Slider(start=0, end=9, value=5)]
        models = document.models
        look_through = models.invalidate

        def other_thread_first() -> None:
            monkeypatch.setattr(models, "invalidate", look_through)
            document.unhold()
            document.hold("collect")
            child.value = 1
            model(document, "source").stream({"x": [7]})
            document.title = "held"
            look_through()

        monkeypatch.setattr(models, "invalidate", other_thread_first)
        box.children = box.children[1:]
        document.unhold()
        for _ in range(2):
            session.force_roundtrip()
        there, here = server.edit(session.id, faces.contents, "/slider"), faces.contents(document)
        assert there == here, faces.differences(there, here)
        assert [*model(document, "source").data["x"]] == [0, 7]


BEHIND: dict[str, Callable[[Document], object]] = {
    "a value": lambda document: setattr(model(document, "slider"), "value", 1),
    "rows": lambda document: model(document, "source").stream({"x": [1]}),
    "a patch": lambda document: model(document, "source").patch({"x": [(0, 1)]}),
    "a root": lambda document: document.add_root(Slider(start=0, end=9, value=1, name="new")),
    "a title": lambda document: setattr(document, "title", "1"),
}
MEANWHILE: dict[str, Callable[[Any, Callable[[Callable[[Document], object]], object]], object]] = {
    "push": lambda session, _: session.push(),
    "pull": lambda session, _: session.pull(),
    "the server's root": lambda _, edit: edit(lambda there: there.add_root(Slider(start=0, end=9, value=5))),
    "the server's title": lambda _, edit: edit(lambda there: setattr(there, "title", "5")),
    "the server's value": lambda _, edit: edit(lambda there: setattr(model(there, "slider"), "value", 5)),
    "the server's data": lambda _, edit: edit(lambda there: setattr(model(there, "source"), "data", {"x": [5]})),
    "the server's rows": lambda _, edit: edit(lambda there: model(there, "source").stream({"x": [5]})),
}


@pytest.mark.parametrize("meanwhile", MEANWHILE.values(), ids=MEANWHILE)
@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND)
def test_another_thread_comes_between_changes_that_are_let_go(
    behind: Callable[[Document], object],
    meanwhile: Callable[[Any, Callable[[Callable[[Document], object]], object]], object],
    server: LiveServer,
    blocking: Face,
) -> None:
    """What is held behind the one that is just told was made before what the other thread does."""
    document = made()

    def work() -> None:
        meanwhile(session, lambda change: server.edit(session.id, change, "/slider"))
        session.force_roundtrip()

    another = Meanwhile(work)
    document.on_change(another)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        document.hold("collect")
        model(document, "slider").title = "new"
        behind(document)
        another.is_due = True
        document.unhold()
        assert not another.is_due
        for _ in range(2):
            session.force_roundtrip()
        there = server.edit(session.id, contents, "/slider")
        assert there == contents(document)
        title = server.edit(session.id, lambda there: there.title, "/slider")
        assert title == document.title
        assert [*there[0], *there[1], *title].count("1" if title == "1" else 1) == 1  # what was held


def test_the_server_removes_what_another_thread_is_about_to_give_a_place(server: LiveServer, blocking: Face) -> None:
    """By a held change, behind the one that is just told: the server drops it with an OK, and it is named."""
    document = made()
    child = Slider(start=0, end=9, value=3)
    document.add_root(Column(name="box", children=[child]))
    document.add_root(other := Column(name="other", children=[]))

    def remove() -> None:
        server.edit(session.id, lambda there: setattr(model(there, "box"), "children", []), "/slider")
        session.force_roundtrip()
        server.edit(session.id, lambda there: setattr(model(there, "box"), "visible", False), "/slider")
        session.force_roundtrip()

    def have_it_sent(event: object) -> None:  # and not together with what is behind it
        if isinstance(event, TitleChangedEvent):
            in_another_thread(session.force_roundtrip)

    another = Meanwhile(remove)
    document.on_change(another)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        document.on_change(have_it_sent)
        document.hold("collect")
        document.title = "new"
        other.children = [child]
        model(document, "source").stream({"x": [1]})
        another.is_due = True
        document.unhold()
        assert not another.is_due
        with pytest.raises(PatchRejected, match="children changed"):
            session.force_roundtrip()
        session.force_roundtrip()
        there, here = server.edit(session.id, faces.contents, "/slider"), faces.contents(document)
        assert there == here, faces.differences(there, here)
        assert other.children == []
        assert contents(document)[1] == [0, 1]


def test_a_document_passes_to_another_session_while_a_thread_lets_go_of_changes(
    server: LiveServer, blocking: Face
) -> None:
    """The first session has sent them when it was closed, the other has them in what it pushes: once each."""
    document = made()
    source = model(document, "source")
    sessions: list[ClientSession] = []

    def work() -> None:
        sessions[0].close()
        sessions.append(push_session(document, url=server.url("/slider"), transport=blocking.transport))

    another = Meanwhile(work)
    document.on_change(another)
    sessions.append(push_session(document, url=server.url("/slider"), transport=blocking.transport))
    document.hold("collect")
    model(document, "slider").title = "new"
    source.stream({"x": [7]})
    another.is_due = True
    document.unhold()
    with sessions[1] as session:
        session.force_roundtrip()
        source.stream({"x": [8]})
        session.force_roundtrip()
        there = server.edit(session.id, contents, "/slider")
        assert there == contents(document) == ([0], [0, 7, 8])
    assert server.edit(sessions[0].id, contents, "/slider") == ([0], [0, 7])


@pytest.mark.parametrize("stays", [False, True], ids=["for good", "to another place"])
def test_another_thread_takes_out_what_is_held_behind_refers_to(
    stays: bool, server: LiveServer, blocking: Face
) -> None:
    """Before that is told, the model is gone from the server, where it has stood; here a held change took it out."""
    document = made()
    child, other = (Slider(start=0, end=9, value=0) for _ in range(2))
    document.add_root(box := Column(name="box", children=[child, other]))
    document.add_root(elsewhere := Column(name="elsewhere", children=[]))

    def take_out() -> None:
        box.children = [child, Slider(start=0, end=9, value=7)]
        session.force_roundtrip()

    another = Meanwhile(take_out)
    document.on_change(another)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        document.hold("collect")
        model(document, "slider").title = "new"
        other.value = 5
        model(document, "source").stream({"x": [1]})
        if stays:
            elsewhere.children = [other]
        else:
            box.children = [child]
        model(document, "source").stream({"x": [2]})
        another.is_due = True
        document.unhold()
        assert not another.is_due
        for _ in range(2):
            session.force_roundtrip()
        there, here = server.edit(session.id, faces.contents, "/slider"), faces.contents(document)
        assert there == here, faces.differences(there, here)
        assert contents(document)[1] == [0, 1, 2]
        assert [cast(Any, part).value for part in elsewhere.children] == ([5] if stays else [])
