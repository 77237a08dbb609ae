"""A handler, or another thread, does something before the session is told of a change; on a real server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from bokeh.core.properties import field
from bokeh.document import Document
from bokeh.document.events import DocumentChangedEvent, TitleChangedEvent
from bokeh.events import ButtonClick
from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets import Button, Div
from bokeh.plotting import figure

from bokehwire import ClientSession, UsageError, push_session
from bokehwire.session import encoding, turns
from bokehwire.session.requests import Request

from ..apps import model
from ..live import DEADLINE, LiveServer
from ..servers import SERVER_KINDS, make_server
from .faces import Face, contents, differences


def made() -> Document:
    document = Document()
    for root in (Div(name="one", text="1"), Div(name="two", text="2"), Column(name="box")):
        document.add_root(root)
    document.add_root(ColumnDataSource(name="source", data={"x": [1, 2, 3]}))
    return document


def assert_equal(server: LiveServer, session: ClientSession) -> None:
    for _ in range(3):
        session.force_roundtrip()
    there, here = server.edit(session.id, contents), contents(session.document)
    assert there == here, differences(there, here)


HANDLERS: dict[str, tuple[Callable[[Document], Any], Callable[[Document, Any], Any]]] = {
    "another title": (lambda d: setattr(d, "title", "A"), lambda d, event: setattr(d, "title", "B")),
    "the root is removed": (lambda d: d.add_root(Div(text="n")), lambda d, event: d.remove_root(event.model)),
    "another root": (lambda d: d.add_root(Div(text="n")), lambda d, event: d.add_root(Div(text="m"))),
    "the root is added": (lambda d: d.remove_root(d.roots[0]), lambda d, event: d.add_root(event.model)),
    "another is removed": (lambda d: d.remove_root(d.roots[0]), lambda d, event: d.remove_root(d.roots[0])),
}


@pytest.mark.filterwarnings("ignore:reference already known")  # of the root that the server has yet, and gets once more
@pytest.mark.parametrize(("change", "react"), HANDLERS.values(), ids=HANDLERS)
def test_what_a_listener_of_the_document_does_first(
    change: Callable[[Document], Any], react: Callable[[Document, Any], Any], server: LiveServer, blocking: Face
) -> None:
    document = made()
    waiting = [react]
    armed = threading.Event()

    def listen(event: DocumentChangedEvent) -> None:
        if armed.is_set() and waiting:
            waiting.pop()(document, event)

    document.on_change(listen)
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        armed.set()
        change(document)
        assert not waiting
        made_here = {str(root.id) for root in document.roots}
        assert_equal(server, session)
        assert {str(root.id) for root in document.roots} == made_here


def test_a_title_that_another_thread_sets_meanwhile(server: LiveServer, blocking: Face) -> None:
    document = made()
    inside, go_on = threading.Event(), threading.Event()

    def wait(event: DocumentChangedEvent) -> None:
        if isinstance(event, TitleChangedEvent) and event.title == "A":
            inside.set()
            assert go_on.wait(DEADLINE)

    document.on_change(wait)
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        thread = threading.Thread(target=setattr, args=[document, "title", "A"])
        thread.start()
        assert inside.wait(DEADLINE)
        document.title = "B"
        go_on.set()
        thread.join(DEADLINE)
        assert_equal(server, session)


def test_a_handler_that_cuts_rows_off_and_makes_a_call(server: LiveServer, blocking: Face) -> None:
    """What it has sent whole has the row already, of which is told later."""
    document = made()
    columns: Any = model(document, "source").data
    with push_session(document, url=server.url(), transport=blocking.transport) as session:

        def cut(attr: str, old: object, new: object) -> None:
            if len(columns["x"]) > 3:
                columns["x"] = columns["x"][-3:]
                session.force_roundtrip()

        model(document, "source").on_change("data", cut)
        model(document, "source").stream({"x": [10]})
        assert_equal(server, session)
        assert list(columns["x"]) == [2, 3, 10]


@pytest.mark.parametrize(
    ("name", "first", "then"),
    [("size", 5, 10), ("size", "x", 10), ("fill_color", "red", "x"), ("fill_alpha", 0.5, {"field": "x"})],
)
def test_a_handler_that_replaces_what_was_set(
    name: str, first: Any, then: Any, server: LiveServer, blocking: Face
) -> None:
    """That is told first, and stays."""
    document = made()
    plot = figure(name="plot")
    glyph: Any = plot.scatter("x", "x", source=model(document, "source"), size=1).glyph
    document.add_root(plot)
    told: list[object] = []
    with push_session(document, url=server.url(), transport=blocking.transport) as session:

        def replace(attr: str, old: object, new: object) -> None:
            if not told:
                told.append(new)
                setattr(glyph, name, then)

        glyph.on_change(name, replace)
        setattr(glyph, name, first)
        assert_equal(server, session)
        assert [len(told), getattr(glyph, name)] == [1, then if type(then) is not dict else field("x")]


BETWEEN: dict[str, Callable[[Document], Any]] = {
    "tags": lambda document: setattr(model(document, "one"), "tags", ["a", ["b"]]),
    "styles": lambda document: setattr(model(document, "one"), "styles", {"color": "red"}),
    "a root": lambda document: document.add_root(Div(text="new")),
    "children": lambda document: setattr(model(document, "box"), "children", [Div(text="new")]),
}


@pytest.mark.parametrize("between", BETWEEN.values(), ids=BETWEEN)
def test_a_handler_that_pushes_and_changes_something_else(
    between: Callable[[Document], Any], server: LiveServer, blocking: Face
) -> None:
    """The push has the row already, of which is told later."""
    document = made()
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        waiting = [between]

        def push(attr: str, old: object, new: object) -> None:
            if waiting:
                session.push()
                waiting.pop()(document)

        model(document, "source").on_change("data", push)
        model(document, "source").stream({"x": [10]})
        assert_equal(server, session)
        assert list(model(document, "source").data["x"]) == [1, 2, 3, 10]


def test_a_handler_that_clicks_a_button_which_has_just_come_in(server: LiveServer, blocking: Face) -> None:
    """The server gets the button first; and what is gone nobody can click, which is said."""
    told: list[Exception] = []
    document = made()
    box, button = model(document, "box"), Button(label="new")
    clicked: list[str] = []

    def click(attr: str, old: object, new: object) -> None:
        document.callbacks.send_event(ButtonClick(button))

    def watch(there: Document) -> None:
        there.callbacks._message_callbacks["bokeh_event"] = [lambda event: clicked.append(event.model.label)]

    with push_session(document, url=server.url(), transport=blocking.transport, on_error=told.append) as session:
        server.edit(session.id, watch)
        box.on_change("children", click)
        box.children = [button]
        assert_equal(server, session)
        assert (clicked, told) == (["new"], [])
        box.children = []
        with pytest.raises(UsageError, match=r"'bokeh_event' to Button.* was not sent"):
            session.force_roundtrip()
        assert_equal(server, session)
        assert clicked == ["new"]


def test_a_click_on_a_button_that_never_comes_in_is_named(server: LiveServer, blocking: Face) -> None:
    document = made()
    box, button = model(document, "box"), Button(label="new")

    def fail(attr: str, old: object, new: object) -> None:
        document.callbacks.send_event(ButtonClick(button))
        raise ValueError("and so the change that brings it in is not sent")

    session = push_session(document, url=server.url(), transport=blocking.transport)
    box.on_change("children", fail)
    with pytest.raises(ValueError, match="is not sent"):
        box.children = [button]
    with pytest.raises(UsageError, match=r"'bokeh_event' to Button.* was not sent"):
        session.close()


def test_a_removal_that_waits_for_a_push_without_the_root(
    server: LiveServer, blocking: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has it no more, and would drop what travels with the removal."""
    document = made()
    gone = model(document, "two")
    posted: list[str] = []
    encode_document = encoding.encode_document
    thread = threading.Thread(target=document.remove_root, args=[gone])

    def encode(document: Document) -> Any:
        if thread.ident is None:
            thread.start()
            while thread.is_alive() and thread.ident not in turns._waiting:
                thread.join(0.001)
        return encode_document(document)

    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        outgoing = session._session._engine._outgoing
        post = outgoing._post

        def note(request: Request) -> None:
            posted.extend(request.changes)
            post(request)

        monkeypatch.setattr(outgoing, "_post", note)
        monkeypatch.setattr(encoding, "encode_document", encode)
        session.push()
        thread.join(DEADLINE)
        assert posted == []
        assert_equal(server, session)
        assert gone not in document.roots


def reacting(document: Document) -> None:
    def react(event: Any) -> None:
        if type(event).__name__ == "RootAddedEvent" and getattr(event.model, "text", "") == "1":
            event.model.text = "seen"

    document.on_change(react)


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_what_the_app_makes_of_a_root_as_soon_as_it_is_pushed(kind: str, blocking: Face) -> None:
    """Of that it tells before the root, among what concerns the document that is overwritten."""
    with (
        make_server(kind, {"/": reacting}) as server,
        push_session(made(), url=server.url(), transport=blocking.transport) as session,
    ):
        assert_equal(server, session)
        assert model(session.document, "one").text == "seen"


def take_away_root(document: Document) -> None:
    document.remove_root(model(document, "old"))


def empty_the_list(document: Document) -> None:
    model(document, "old").children = []


def take_away_the_layout(document: Document) -> None:
    model(document, "box").children = []


@pytest.mark.parametrize("take_away", [take_away_root, empty_the_list, take_away_the_layout])
@pytest.mark.parametrize("asking", [False, True])
def test_a_handler_takes_a_model_from_where_it_was(
    take_away: Callable[[Document], None], asking: bool, server: LiveServer, blocking: Face
) -> None:
    """That it has gone somewhere else is told after that, when the server has let go of it."""
    document, moving = made(), Div(name="moving", text="moving")
    old, new = Column(name="old", children=[Column(children=[moving])]), Column(name="new")
    document.add_root(new)
    if take_away is take_away_the_layout:
        model(document, "box").children = [old]
    else:
        document.add_root(old)
    with push_session(document, url=server.url("/"), transport=blocking.transport) as session:

        def changed(attr: str, was: object, now: object) -> None:
            take_away(document)
            if asking:
                session.force_roundtrip()

        new.on_change("children", changed)
        new.children = [moving]
        assert_equal(server, session)
        moving.text = "moved"
        assert_equal(server, session)
        assert server.edit(session.id, lambda there: model(there, "moving").text) == "moved"


@pytest.mark.filterwarnings("ignore:reference already known")  # as above
@pytest.mark.parametrize("policy", ["collect", "combine"])
def test_a_model_that_is_gone_by_the_time_that_held_changes_are_let_go(
    policy: Any, server: LiveServer, blocking: Face
) -> None:
    """Each of the changes before writes it out, and no message may do so twice."""
    document = made()
    one, two, three, four = (Div(text=text) for text in ("1", "2", "3", "4"))
    model(document, "box").children = [one, two]
    with push_session(document, url=server.url("/"), transport=blocking.transport) as session:
        box = model(document, "box")
        document.hold(policy)
        for _ in range(5):
            box.children = [one, two, three]
            box.children = [one, two, three, four]
        box.children = [two, three]
        document.unhold()
        assert_equal(server, session)
        assert [child.text for child in box.children] == ["2", "3"]


@pytest.mark.filterwarnings("ignore:reference already known")  # of what has come back, and is written out once more
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("comes", ["for the first time", "once more"])
def test_a_handler_changes_what_the_change_brings_in(
    comes: str, held: bool, server: LiveServer, blocking: Face
) -> None:
    """The server hears of the handler's change first, and has no such model yet, or has it no more."""
    document = made()
    box, inner, button = model(document, "box"), Column(name="inner"), Button(name="button")
    inner.children = [button]
    events: list[Any] = []
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        if comes == "once more":
            box.children = [inner]
            box.children = []
            session.force_roundtrip()

        def react(attr: str, old: Any, new: Any) -> None:
            if not events:
                button.label = "changed"
                inner.children = [Div(text="another"), button]
                document.callbacks.send_event(ButtonClick(button))
                events.append(new)

        box.on_change("children", react)
        if held:
            document.hold("collect")
        box.children = [inner]
        document.title = "a neighbour"
        if held:
            assert not events
            server.edit(session.id, lambda there: setattr(model(there, "one"), "text", "of the server"))
            session.force_roundtrip()  # the change that comes in has everything here looked through
            document.unhold()
        assert events
        assert_equal(server, session)
        assert [document.title, button.label, len(inner.children)] == ["a neighbour", "changed", 2]


def a_child(document: Document) -> None:
    box: Any = model(document, "box")
    box.children = [*box.children, Div(text="from the server")]


def move(document: Document, new: Any) -> None:
    box, other = model(document, "box"), model(document, "other")
    for child in [child for child in new if child.text == "from the server"]:
        box.children.remove(child)
        other.children.append(child)


def turn_round(document: Document, new: Any) -> None:
    box, children = model(document, "box"), list(new)
    if not box.tags:
        box.tags = ["turned"]
        box.children = []
        box.children = children[::-1]


def wrap(document: Document, new: Any) -> None:
    box: Any = model(document, "box")
    if any(isinstance(child, Div) for child in new):
        box.children = [child for child in new if not isinstance(child, Div)]
        box.children = [*box.children, Column(children=[child for child in new if isinstance(child, Div)])]


@pytest.mark.filterwarnings("ignore:reference already known")  # of what has come back, and is written out once more
@pytest.mark.parametrize("react", [move, turn_round, wrap])
def test_a_handler_moves_what_the_server_has_just_added(
    react: Callable[[Document, Any], None], server: LiveServer, blocking: Face
) -> None:
    """When it is put somewhere else, the server has been told to let go of it."""
    document = made()
    document.add_root(Column(name="other"))
    box: Any = model(document, "box")
    box.children = [Div(text="there before")]
    with push_session(document, url=server.url(), transport=blocking.transport) as session:

        def changed(attr: str, old: object, new: Any) -> None:
            react(document, new)

        box.on_change("children", changed)
        for _ in range(3):
            server.edit(session.id, a_child)
            assert_equal(server, session)
        moved: list[Any] = [div for div in document.select({"type": Div}) if "from" in str(cast(Any, div).text)]
        assert len(moved) == 3
        moved[-1].text = "changed here"
        assert_equal(server, session)


@pytest.mark.filterwarnings("ignore:reference already known")  # of what has come back, and is written out once more
@pytest.mark.parametrize("put", ["afterwards", "by a handler of the removal"])
def test_a_handler_changes_a_model_that_has_been_put_somewhere_else(
    put: str, server: LiveServer, blocking: Face
) -> None:
    """Whether the server has let go of it by then depends on whether it has been told of the removal."""
    document, moving = made(), Div(text="moving")
    box, other = Column(name="box", children=[moving]), Column(name="other")
    document.add_root(box)
    document.add_root(other)
    with push_session(document, url=server.url(), transport=blocking.transport) as session:

        def place(attr: str, old: object, new: object) -> None:
            other.children = [moving]

        def arrived(attr: str, old: object, new: object) -> None:
            moving.text = "moved"
            document.title = "moved"
            box.tags = ["moved"]

        other.on_change("children", arrived)
        if put == "afterwards":
            box.children.remove(moving)
            place("", None, None)
        else:
            box.on_change("children", place)
            box.children.remove(moving)
        assert_equal(server, session)
        assert [moving.text, document.title, box.tags, other.children] == ["moved", "moved", ["moved"], [moving]]
