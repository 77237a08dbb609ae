"""A handler makes a call before the session is told of the change, while the server has changed the same; really."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from bokeh.core.serialization import SerializationError
from bokeh.document import Document
from bokeh.document.events import ColumnsStreamedEvent, MessageSentEvent, RootRemovedEvent
from bokeh.events import ButtonClick
from bokeh.models import Column, ColumnDataSource, Model
from bokeh.models.widgets import Button, Div

from bokehwire import ClientSession, PatchRejected, SessionClosed, UsageError, pull_session, push_session

from ..apps import model
from ..live import DEADLINE, LiveServer
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
    document.add_root(Button(name="btn"))
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
        pulled: list[Any] = []

        def pull() -> None:
            session.pull()
            pulled.append([[*model(document, "source").data["x"]], model(document, "one").text])

        (source if change else one).on_change("data" if change else "text", once(pull))
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
        assert pulled == [[rows, model(document, "one").text]]  # at once
        assert len(document.roots) == 5 + held


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


@pytest.mark.parametrize("removal", ["child", "root"])
def test_the_servers_removal_has_a_handler_make_a_call(removal: str, server: LiveServer, blocking: Face) -> None:
    """What is under way then is dropped with it where it is about the model; and all else is sent again."""
    errors: list[Exception] = []
    transport = blocking.transport
    with push_session(made(), url=server.url(), transport=transport, on_error=errors.append) as session:
        document: Any = session.document
        box, gone = model(document, "box"), model(document, "in" if removal == "child" else "two")
        handler = once(session.force_roundtrip)
        if removal == "child":
            box.on_change("children", handler)
            server.edit(session.id, lambda there: setattr(model(there, "box"), "children", []))
        else:
            document.on_change(lambda event: handler("", None, None) if isinstance(event, RootRemovedEvent) else None)
            server.edit(session.id, lambda there: there.remove_root(model(there, "two")))
        model(document, "one").text = "new"  # alone
        gone.text, document.title = "gone", "T"
        model(document, "source").stream({"x": [3]})
        for _ in range(2):
            with suppress(PatchRejected):
                session.force_roundtrip()
        assert_equal(server, session)
        assert (document.title, [*model(document, "source").data["x"]]) == ("T", [1, 2, 3])
        assert model(document, "one").text == "new"


def test_a_listener_behind_the_session_pulls(server: LiveServer, blocking: Face) -> None:
    """The session has heard of the change by then, and sent it."""
    clicks: list[int] = []
    with push_session(made(), url=server.url(), transport=blocking.transport) as session:
        document: Any = session.document

        def listen(event: object) -> None:
            if isinstance(event, ColumnsStreamedEvent | MessageSentEvent):
                session.pull()

        document.on_change(listen)
        model(document, "source").stream({"x": [3]})
        server.edit(session.id, lambda there: model(there, "btn").on_click(lambda: clicks.append(1)))
        document.callbacks.send_event(ButtonClick(model(document, "btn")))
        assert_equal(server, session)
        assert [*model(document, "source").data["x"]] == [1, 2, 3]
        assert len(clicks) <= 1  # Bokeh 3.9 subscribes a model to events when it comes in


@pytest.mark.parametrize("attr", ["text", "title"])
def test_a_handler_of_a_held_change_sets_what_is_held_behind_it_and_pulls(
    attr: str, server: LiveServer, blocking: Face
) -> None:
    """What the handler has set is the last that was made."""
    with push_session(made(), url=server.url(), transport=blocking.transport) as session:
        document: Any = session.document
        one, two = model(document, "one"), model(document, "two")
        owner = one if attr == "text" else document

        def handler() -> None:
            setattr(owner, attr, "handler")
            session.pull()

        two.on_change("text", once(handler))
        document.hold("collect")
        two.text = "x"
        setattr(owner, attr, "held")
        document.unhold()
        assert_equal(server, session)
        assert (document.title if attr == "title" else model(document, "one").text) == "handler"


@pytest.mark.parametrize("call", ["push", "pull"])
def test_changes_are_let_go_while_others_are_let_go(call: str, server: LiveServer, blocking: Face) -> None:
    with push_session(made(), url=server.url(), transport=blocking.transport) as session:
        document: Any = session.document
        one, two = model(document, "one"), model(document, "two")

        def batch() -> None:
            document.hold("collect")
            two.text = "x"
            document.unhold()

        two.on_change("text", once(session.pull if call == "pull" else lambda: session.push(document)))
        one.on_change("text", once(batch))
        document.hold("collect")
        one.text = "new"
        model(document, "source").stream({"x": [3]})
        document.unhold()
        assert_equal(server, session)
        assert [*model(document, "source").data["x"]] == [1, 2, 3]


@pytest.mark.parametrize(("change", "result"), [ROWS["stream"], ROWS["patch"]], ids=["stream", "patch"])
def test_a_handler_holds_while_it_makes_a_call(
    change: Callable[[Any], None], result: list[int], server: LiveServer, blocking: Face
) -> None:
    with push_session(made(), url=server.url(), transport=blocking.transport) as session:
        document: Any = session.document
        source = model(document, "source")

        def handler() -> None:
            server.edit(session.id, lambda there: setattr(model(there, "source"), "data", {"x": [7, 3]}))
            document.hold("collect")
            session.force_roundtrip()
            document.unhold()

        source.on_change("data", once(handler))
        change(source)
        assert_equal(server, session)
        assert [*source.data["x"]] == result


def test_a_question_in_the_call_tells_of_a_removal(server: LiveServer, blocking: Face) -> None:
    """A server that holds, or fails, does not tell of it by itself."""
    errors: list[Exception] = []
    transport = blocking.transport
    with push_session(made(), url=server.url(), transport=transport, on_error=errors.append) as session:
        document: Any = session.document
        one, two, box = (model(document, name) for name in ("one", "two", "box"))

        def refuse(there: Document) -> None:
            def remove(attr: str, old: object, new: object) -> None:
                there.hold("collect")
                there.remove_root(model(there, "one"))
                raise ValueError("not this text")

            model(there, "two").on_change("text", remove)

        def handler() -> None:
            two.text = "go"
            for _ in range(2):
                with suppress(PatchRejected):
                    session.force_roundtrip()

        server.edit(session.id, refuse)
        box.on_change("children", once(handler))
        box.children = [one, *box.children]
        for _ in range(2):
            with suppress(PatchRejected):
                session.force_roundtrip()
        assert_equal(server, session)
        names = [name.rpartition(".")[2] for error in errors for name in getattr(error, "changes", ())]
        assert {"text changed", "children changed"} <= {*names}


@pytest.mark.parametrize("attr", ["text", "data"])
def test_what_a_call_has_passed_over_is_asked_for_by_the_next_one(
    attr: str, server: LiveServer, blocking: Face
) -> None:
    with push_session(made(), url=server.url(), transport=blocking.transport) as session:
        document: Any = session.document
        owner: Any = model(document, "one" if attr == "text" else "source")
        value = "server" if attr == "text" else {"x": [7]}
        waiting = [1]

        def listen(event: object) -> None:
            if waiting:
                waiting.clear()
                session.force_roundtrip()  # it is confirmed
                server.edit(session.id, lambda there: setattr(model(there, owner.name), attr, value))
                session.force_roundtrip()

        document.on_change(listen)
        if attr == "text":
            owner.text = "new"
        else:
            owner.stream({"x": [3]})
        session.wait_for(lambda: getattr(owner, attr) == value, DEADLINE)


HELD = pytest.mark.parametrize("held", [None, "collect", "combine"], ids=str)


def with_rows_around(document: Any, change: Callable[[], object], held: Any) -> None:
    """Stream rows, do something else, and stream again."""
    if held:
        document.hold(held)
    model(document, "source").stream({"x": [3]})
    change()
    model(document, "source").stream({"x": [4]})
    if held:
        document.unhold()


@HELD
def test_a_handler_opens_the_session(held: Any, server: LiveServer, blocking: Face) -> None:
    """What was made before is in the push, and is told of after it."""
    document: Any = made()
    opened: list[ClientSession] = []

    def open_session() -> None:
        opened.append(push_session(document, url=server.url(), transport=blocking.transport))

    model(document, "source").on_change("data", once(open_session))
    with_rows_around(document, lambda: setattr(model(document, "two"), "text", "new"), held)
    (session,) = opened
    with session:
        assert_equal(server, session)
        assert [*model(document, "source").data["x"]] == [1, 2, 3, 4]
        document.title = "behind"
        assert_equal(server, session)


@HELD
def test_a_handler_closes_the_session(held: Any, server: LiveServer, blocking: Face) -> None:
    """What is just being told, and what is held behind it, was made before the close."""
    document: Any = made()
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        model(document, "one").on_change("text", once(session.close))
        with_rows_around(document, lambda: setattr(model(document, "one"), "text", "new"), held)
    assert server.edit(session.id, lambda there: model(there, "one").text) == "new"
    rows = server.edit(session.id, lambda there: [*model(there, "source").data["x"]])
    assert rows == ([1, 2, 3, 4] if held else [1, 2, 3])  # what is made after the close is nobody's


def test_a_handler_closes_the_session_and_the_change_cannot_be_written(server: LiveServer, blocking: Face) -> None:
    document: Any = made()
    session = push_session(document, url=server.url(), transport=blocking.transport)
    model(document, "one").on_change("tags", once(session.close))
    with pytest.raises(SerializationError, match="tags"):
        model(document, "one").tags = [object()]
    assert not session.connected
    assert session.document is document


@HELD
@pytest.mark.parametrize("call", ["pull", "push"])
@pytest.mark.parametrize("reopens", [False, True], ids=["", "reopens"])
def test_a_handler_closes_the_session_during_its_own_call(
    reopens: bool, call: str, held: Any, server: LiveServer, blocking: Face
) -> None:
    """The call must not take the document up again: it belongs to nobody, or to the next session."""
    document: Any = made()
    session = push_session(document, url=server.url(), transport=blocking.transport)
    others: list[ClientSession] = []
    waiting: list[Callable[[], object]] = []

    def close() -> None:
        session.close()
        if reopens:
            others.append(push_session(document, url=server.url(), transport=blocking.transport))

    if held:
        document.hold(held)
        model(document, "one").on_change("text", once(close))
        model(document, "one").text = "held"
    else:
        document.on_change(lambda event: waiting.pop()() if waiting and isinstance(event, RootRemovedEvent) else None)
        waiting.append(close)
    if not held and call == "push":
        close()  # nothing is called while a document is pushed, unless it is held
    with pytest.raises(SessionClosed):
        getattr(session, call)()
    if not reopens:
        others.append(push_session(document, url=server.url(), transport=blocking.transport))
    with others[0] as other:
        assert_equal(server, other)
        document.title = "after"
        document.add_root(Div(text="after"))
        assert_equal(server, other)


def test_another_viewer_pushes_before_a_change_is_told(server: LiveServer, blocking: Face) -> None:
    """It has models of its own by the same ids: the change is of one that is there no more, and is named."""
    with push_session(made(), url=server.url(), transport=blocking.transport) as session:
        document: Any = session.document
        with pull_session(session.id, url=server.url(), transport=blocking.transport) as viewer:

            def push() -> None:
                viewer.push()
                session.force_roundtrip()

            one = model(document, "one")
            one.on_change("text", once(push))
            one.text = "new"
            with pytest.raises(UsageError, match="text changed was overwritten by what the server has"):
                session.force_roundtrip()
            assert_equal(server, session)
            assert model(document, "one").text == "1"
