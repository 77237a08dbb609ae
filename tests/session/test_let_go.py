"""Handlers that change something while held changes are let go (`Document.unhold`); on a real server.

Bokeh calls the handlers of a held change only then, and tells of what they change before it tells of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.document.callbacks import DocumentCallbackManager
from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets import Div, Slider

from bokehwire import ClientSession, pull_session, push_session

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


def assert_equal(server: LiveServer, session: ClientSession) -> None:
    for _ in range(3):
        session.force_roundtrip()
    there, here = server.edit(session.id, contents), contents(session.document)
    assert there == here, differences(there, here)


MADE: dict[str, tuple[Callable[[Document], Any], Callable[[Document], Any]]] = {
    "data": (
        lambda d: setattr(model(d, "source"), "data", {"x": [7, 8]}),
        lambda d: [*model(d, "source").data["x"]] == [7, 8],
    ),
    "a column": (
        lambda d: model(d, "source").data.update(x=[7, 8]),
        lambda d: [*model(d, "source").data["x"]] == [7, 8],
    ),
    "rows": (
        lambda d: model(d, "source").stream({"x": [7]}),
        lambda d: [*model(d, "source").data["x"]][-1:] == [7],
    ),
    "a patch": (
        lambda d: model(d, "source").patch({"x": [(0, 7)]}),
        lambda d: model(d, "source").data["x"][0] == 7,
    ),
    "children": (
        lambda d: setattr(model(d, "other"), "children", [Div(text="new")]),
        lambda d: [child.text for child in model(d, "other").children] == ["new"],
    ),
    "tags": (lambda d: setattr(model(d, "one"), "tags", ["new"]), lambda d: model(d, "one").tags == ["new"]),
    "the title": (lambda d: setattr(d, "title", "new"), lambda d: d.title == "new"),
    "a root": (
        lambda d: d.add_root(Div(name="new")),
        lambda d: d.select_one({"name": "new"}) is not None,
    ),
    "no root": (lambda d: d.remove_root(model(d, "one")), lambda d: d.select_one({"name": "one"}) is None),
}


@pytest.mark.filterwarnings("ignore:reference already known")  # of what has come back, and is written out once more
@pytest.mark.parametrize("policy", ["collect", "combine"])
@pytest.mark.parametrize(("change", "is_made"), MADE.values(), ids=MADE)
def test_what_is_held_stays_when_the_server_is_asked_for_everything(
    change: Callable[[Document], Any],
    is_made: Callable[[Document], Any],
    policy: Any,
    server: LiveServer,
    blocking: Face,
) -> None:
    document, child = made(), Div(text="child")
    document.add_root(Column(name="other"))
    box: Any = model(document, "box")
    box.children = [child]
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        box.children = []
        session.force_roundtrip()
        document.hold(policy)
        box.children = [child]
        document.unhold()
        session._session._engine._conflicts.doubt_everything()
        document.hold(policy)
        change(document)
        for _ in range(3):
            session.force_roundtrip()
            assert is_made(document)
        document.unhold()
        assert_equal(server, session)
        assert is_made(document)
        assert server.edit(session.id, is_made)


@pytest.mark.parametrize(
    ("name", "attr", "make"),
    [
        ("one", "text", lambda: "new"),
        ("box", "children", lambda: [Div(text="new")]),
        ("source", "data", lambda: {"x": [7, 8]}),
        ("one", "tags", lambda: ["new"]),
    ],
)
def test_what_was_just_set_stays_when_its_handler_makes_a_call(
    name: str, attr: str, make: Callable[[], Any], server: LiveServer, blocking: Face
) -> None:
    """In which the answer to a question after everything arrives, before the session has heard of the change."""
    document, value = made(), make()
    with push_session(document, url=server.url(), transport=blocking.transport) as session:

        def call(attr: str, old: object, new: object) -> None:
            for _ in range(2):
                session.force_roundtrip()

        session._session._engine._conflicts.doubt_everything()
        model(document, name).on_change(attr, call)
        setattr(model(document, name), attr, value)
        assert_equal(server, session)
        assert server.edit(session.id, lambda there: len(getattr(model(there, name), attr))) == len(value)
        assert getattr(model(document, name), attr) == value


def test_what_the_server_changes_meanwhile_is_overwritten_by_what_was_held(server: LiveServer, blocking: Face) -> None:
    """The server gets that later."""
    document = made()

    def change(there: Document) -> None:
        model(there, "slider").value = 7
        there.title = "of the server"
        model(there, "source").data = {"x": [0]}

    def values(there: Document) -> tuple[Any, ...]:
        return model(there, "slider").value, there.title, [*model(there, "source").data["x"]]

    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        document.hold("collect")
        model(document, "slider").value = 5
        document.title = "held"
        model(document, "source").data = {"x": [7, 8]}
        server.edit(session.id, change)
        session.force_roundtrip()
        assert values(document) == (5, "held", [7, 8])
        document.unhold()
        assert_equal(server, session)
        assert values(document) == (5, "held", [7, 8])


def test_a_model_keeps_its_identity_when_it_is_out_by_a_held_change(server: LiveServer, blocking: Face) -> None:
    """The server has it still, and what it says of that is not taken over before it has heard."""
    document, child = made(), Div(text="child")
    box: Any = model(document, "box")
    box.children = [child]
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        document.hold("collect")
        box.children = []
        session._session._engine._conflicts.doubt_everything()
        session.force_roundtrip()
        document.unhold()
        child.text = "changed"
        box.children = [child]
        child.text = "changed again"
        assert_equal(server, session)
        assert box.children == [child]
        assert server.edit(session.id, lambda there: model(there, "box").children[0].text) == "changed again"


LETTING_GO: dict[str, Callable[[Document, ClientSession], Any]] = {
    "unhold": lambda document, session: document.unhold(),
    "pull": lambda document, session: session.pull(),
    "push": lambda document, session: session.push(),
    "close": lambda document, session: session.close(),
}


@pytest.mark.parametrize("policy", ["collect", "combine"])
@pytest.mark.parametrize("let_go", LETTING_GO.values(), ids=LETTING_GO)
def test_held_changes_behind_one_at_which_a_handler_raises(
    let_go: Callable[[Document, ClientSession], Any], policy: Any, server: LiveServer, blocking: Face
) -> None:
    """Bokeh would tell nobody of them. That one itself is not told, as ever."""
    document = made()
    session = push_session(document, url=server.url(), transport=blocking.transport)
    viewer = pull_session(session.id, url=server.url(), transport=blocking.transport)

    def fail(attr: str, old: object, new: object) -> None:
        raise ValueError("mine")

    def values(there: Document) -> tuple[Any, ...]:
        return model(there, "one").text, there.title, len(there.roots)

    model(document, "slider").on_change("value", fail)
    model(document, "box").on_change("visible", fail)
    document.hold(policy)
    model(document, "one").text = "before"
    model(document, "slider").value = 5
    document.title = "behind"
    model(document, "box").visible = False
    document.add_root(Div(text="behind"))
    with pytest.raises(ValueError, match="mine"):
        let_go(document, session)
    if let_go is not LETTING_GO["close"]:
        assert document.callbacks.hold_value == (None if let_go is LETTING_GO["unhold"] else policy)
        document.unhold()
        session.force_roundtrip()
        session.close()
    assert not session.connected
    viewer.force_roundtrip()
    assert viewer.document is not None
    assert values(viewer.document) == values(document) == ("before", "behind", 5)
    viewer.close()


def test_ctrl_c_just_before_anything_is_let_go_of(
    server: LiveServer, blocking: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is held still, and goes out once, in order."""
    document = made()
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        document.hold("collect")
        model(document, "source").stream({"x": [4]})
        model(document, "source").stream({"x": [5]})
        unhold = DocumentCallbackManager.unhold

        def interrupted(manager: DocumentCallbackManager) -> None:
            monkeypatch.setattr(DocumentCallbackManager, "unhold", unhold)
            raise KeyboardInterrupt

        monkeypatch.setattr(DocumentCallbackManager, "unhold", interrupted)
        with pytest.raises(KeyboardInterrupt):
            document.unhold()
        held: list[Any] = document.callbacks._held_events
        assert [event.data for event in held] == [{"x": [4]}, {"x": [5]}]
        document.unhold()
        session.force_roundtrip()
        assert server.edit(session.id, lambda there: model(there, "source").data["x"]) == [1, 2, 3, 4, 5]


def warm_up(document: Document) -> None:
    """Let go of more changes than are held later."""
    document.hold("collect")
    for number in range(20):
        model(document, "one").text = str(number)
    document.unhold()


def test_a_call_of_a_handler_takes_back_nothing_of_what_is_let_go_later(server: LiveServer, blocking: Face) -> None:
    document = made()

    def change(there: Document) -> None:
        model(there, "one").text = there.title = "of the server"

    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        warm_up(document)
        session.force_roundtrip()
        model(document, "slider").on_change("value", lambda attr, old, new: session.force_roundtrip())
        document.hold("collect")
        model(document, "slider").value = 5
        model(document, "one").text = "held"
        document.title = "held"
        server.edit(session.id, change)
        document.unhold()
        assert_equal(server, session)
        assert (model(document, "one").text, document.title) == ("held", "held")


def test_roots_that_are_let_go_in_another_order_than_they_stand_in(server: LiveServer, blocking: Face) -> None:
    document = made()
    first, second = Div(text="1"), Div(text="2")
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        warm_up(document)
        document.hold("collect")
        document.add_root(first)
        document.add_root(second)
        document.remove_root(first)
        document.add_root(first)
        document.unhold()
        assert_equal(server, session)
        assert document.roots[-2:] == [second, first]


COLUMNS: dict[str, Callable[[Any, int], Any]] = {
    "rows": lambda source, value: source.stream({"x": [value]}),
    "a patch": lambda source, value: source.patch({"x": [(0, value)]}),
    "all columns": lambda source, value: setattr(source, "data", {"x": [value] * 2}),
    "one column": lambda source, value: source.data.update(x=[value] * 4),
}


@pytest.mark.parametrize("held", COLUMNS)
@pytest.mark.parametrize("first", COLUMNS)
def test_columns_that_a_handler_changes_and_makes_a_call(
    first: str, held: str, server: LiveServer, blocking: Face
) -> None:
    """Before a held change of the same columns is let go, which the program had made before."""
    document = made()
    source: Any = model(document, "source")
    with push_session(document, url=server.url(), transport=blocking.transport) as session:

        def react(attr: str, old: object, new: object) -> None:
            COLUMNS[first](source, 100)
            session.force_roundtrip()

        model(document, "one").on_change("text", react)
        document.hold("collect")
        model(document, "one").text = "go"
        COLUMNS[held](source, 7)
        document.unhold()
        here = [*source.data["x"]]
        assert_equal(server, session)
        assert [*source.data["x"]] == here


@pytest.mark.parametrize("second", [RuntimeError, KeyboardInterrupt])
def test_what_several_handlers_raise(second: type[BaseException], server: LiveServer, blocking: Face) -> None:
    """What is to end the program comes first, and the others are noted."""
    document = made()

    def fail(error: BaseException) -> Callable[[str, object, object], None]:
        def handler(attr: str, old: object, new: object) -> None:
            raise error

        return handler

    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        model(document, "one").on_change("text", fail(ValueError("first")))
        model(document, "slider").on_change("value", fail(second("second")))
        document.hold("collect")
        model(document, "one").text = "new"
        model(document, "slider").value = 5
        document.title = "behind"
        expected = (
            ("first", "Also: RuntimeError: second") if second is RuntimeError else ("second", "Also: ValueError: first")
        )
        with pytest.raises((ValueError, KeyboardInterrupt), match=expected[0]) as raised:
            document.unhold()
        assert raised.value.__notes__ == [expected[1]]
        session.force_roundtrip()
        assert server.edit(session.id, lambda there: there.title) == "behind"


def test_the_servers_value_counts_where_a_handler_raises_at_a_held_change(server: LiveServer, blocking: Face) -> None:
    """The held one is never sent then, and the server's is passed over only until it would be."""
    document = made()

    def fail(attr: str, old: object, new: object) -> None:
        raise ValueError("mine")

    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        model(document, "one").on_change("text", fail)
        document.hold("collect")
        model(document, "one").text = "held"
        server.edit(session.id, lambda there: setattr(model(there, "one"), "text", "of the server"))
        session.force_roundtrip()
        with pytest.raises(ValueError, match="mine"):
            document.unhold()
        model(document, "one").remove_on_change("text", fail)
        assert_equal(server, session)
        assert model(document, "one").text == "of the server"


@pytest.mark.parametrize("asked", [False, True])
def test_what_a_handler_sets_and_has_confirmed_while_the_servers_values_come_in(
    asked: bool, server: LiveServer, blocking: Face
) -> None:
    """In the same message, or in the answer to a question after everything: it is newer than both."""
    document = made()

    def change(there: Document) -> None:
        there.title = "of the server"
        model(there, "one").text = "of the server"
        model(there, "slider").value = 7

    with push_session(document, url=server.url(), transport=blocking.transport) as session:

        def compute(attr: str, old: object, new: object) -> None:
            model(document, "slider").value = 42
            document.title = "computed"
            session.force_roundtrip()

        model(document, "one").on_change("text", compute)
        if asked:
            session._session._engine._conflicts.doubt_everything()
            document.title = "mine"
        server.edit(session.id, change)
        assert_equal(server, session)
        assert (model(document, "slider").value, document.title) == (42, "computed")


def test_a_pull_that_lets_go_of_changes_which_are_confirmed_before_it_goes_on(
    server: LiveServer, blocking: Face
) -> None:
    """In the call of a listener that hears of them after the session. What the server has answered lacks them."""
    document = made()
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        document.on_change(lambda event: session.force_roundtrip() if document.title == "held" else None)
        document.hold("collect")
        model(document, "slider").value = 5
        document.title = "held"
        session.pull()
        document.unhold()
        assert_equal(server, session)
        assert (model(document, "slider").value, document.title) == (5, "held")


def test_a_handler_of_a_held_change_that_the_server_has_changed_before(server: LiveServer, blocking: Face) -> None:
    """What the handler makes of it is the latest of the three."""
    document = made()
    slider: Any = model(document, "slider")
    with push_session(document, url=server.url(), transport=blocking.transport) as session:
        document.hold("collect")
        server.edit(session.id, lambda there: setattr(model(there, "slider"), "value", 7))
        session.force_roundtrip()
        slider.value = 50
        slider.on_change("value", lambda attr, old, new: setattr(slider, "value", 10) if old == 7 else None)
        document.unhold()
        assert_equal(server, session)
        assert slider.value == 10


def test_what_is_held_back_of_the_servers_is_nothing_that_could_be_lost(server: LiveServer, blocking: Face) -> None:
    with pull_session(url=server.url("/slider"), transport=blocking.transport) as session:
        document: Any = session.document
        document.hold("collect")
        server.edit(session.id, lambda there: setattr(there, "title", "theirs"), "/slider")
        session.force_roundtrip()
        model(document, "slider").value = 3
        assert document.title == "theirs"
        (name,) = session._session._engine.held_changes
        assert name.endswith("value changed")
