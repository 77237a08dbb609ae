"""Two threads that change one document at once: both sides end equal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest
from bokeh.document import Document
from bokeh.document.events import ModelChangedEvent, RootRemovedEvent, TitleChangedEvent
from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets import Div, Slider
from bokeh.util.serialization import make_globally_unique_id

from bokehwire import PatchRejected, UsageError, push_session
from bokehwire.session import encoding, identity, turns
from bokehwire.session.conflicts import Conflicts
from bokehwire.session.threads import Threads

from ..apps import model
from ..live import DEADLINE, LiveServer
from . import faces
from .faces import Face
from .interrupting import in_another_thread


def made() -> Document:
    document = Document()
    document.add_root(Slider(start=0, end=9, value=0, name="slider"))
    document.add_root(ColumnDataSource(data={"x": [0]}, name="source"))
    return document


CHANGES: dict[str, Callable[[Document], object]] = {
    "a value": lambda document: setattr(model(document, "slider"), "value", 7),
    "rows": lambda document: model(document, "source").stream({"x": [7]}),
    "a root": lambda document: document.add_root(Slider(start=0, end=9, value=7, name="new")),
}


def contents(document: Document) -> Any:
    values = [root.value for root in document.roots if isinstance(root, Slider)]
    return values, list(model(document, "source").data["x"])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_push_has_what_another_thread_changes_while_it_is_written(
    change: Callable[[Document], object], server: LiveServer, blocking: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent before the push, it would be overwritten by what was; sent behind it, rows would be there twice."""
    document = made()
    thread = threading.Thread(target=change, args=[document])
    encode_document = encoding.encode_document

    def encode(document: Document) -> Any:
        encoded = encode_document(document)
        if thread.ident is None:
            thread.start()
            while not session._session._engine._outgoing._threads.has_begun:
                assert thread.is_alive()
        return encoded

    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        monkeypatch.setattr(encoding, "encode_document", encode)
        session.push()
        thread.join(DEADLINE)
        session.force_roundtrip()
        there = server.edit(session.id, contents, "/slider")
        assert there == contents(document)
        assert 7 in there[0] + there[1]
        assert there[1].count(7) <= 1


def test_rows_of_one_thread_are_not_sent_behind_a_push_of_another_that_has_them(
    server: LiveServer, blocking: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = made()
    encode_event = encoding.encode_event

    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        thread = threading.Thread(target=session.push)

        def encode(*args: Any) -> Any:
            if thread.ident is None:
                thread.start()
                thread.join(DEADLINE)
            return encode_event(*args)

        monkeypatch.setattr(encoding, "encode_event", encode)
        model(document, "source").stream({"x": [7]})
        session.force_roundtrip()
        assert server.edit(session.id, contents, "/slider") == contents(document) == ([0], [0, 7])


def test_a_change_of_a_model_that_another_thread_is_just_bringing_in(
    server: LiveServer, blocking: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as known as soon as it is written out; the server refuses what it hears of it before."""
    document = made()
    document.add_root(column := Column())
    child = Slider(start=0, end=9, value=0)
    thread = threading.Thread(target=setattr, args=[child, "value", 7])
    encode_event = encoding.encode_event

    def encode(*args: Any) -> Any:
        encoded = encode_event(*args)
        if thread.ident is None:
            thread.start()
            while thread.is_alive() and thread.ident not in turns._waiting:
                thread.join(0.001)
        return encoded

    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        monkeypatch.setattr(encoding, "encode_event", encode)
        column.children = [child]
        thread.join(DEADLINE)
        session.force_roundtrip()
        there = server.edit(session.id, lambda there: [slider.value for slider in column_of(there).children], "/slider")
        assert there == [7]


def column_of(document: Document) -> Any:
    return next(root for root in document.roots if isinstance(root, Column))


def test_a_model_that_one_thread_brings_in_while_another_applies_changes(server: LiveServer, blocking: Face) -> None:
    """Bokeh takes all models for written then, also those of which the change is still to be told."""
    document = made()
    for name in ("here", "there"):
        document.add_root(Column(name=name))
    attached, go_on = threading.Event(), threading.Event()

    def wait(event: Any) -> None:
        if isinstance(event, ModelChangedEvent) and event.model.name == "here":
            attached.set()
            assert go_on.wait(DEADLINE)

    def append(document: Document) -> None:
        model(document, "there").children = [Div(text="of the server")]

    document.on_change(wait)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        thread = threading.Thread(target=setattr, args=[model(document, "here"), "children", [Div(text="new")]])
        thread.start()
        assert attached.wait(DEADLINE)
        server.edit(session.id, append, "/slider")
        session.force_roundtrip()
        go_on.set()
        thread.join(DEADLINE)
        session.force_roundtrip()
        texts = server.edit(
            session.id, lambda there: [div.text for div in there.models if isinstance(div, Div)], "/slider"
        )
        assert sorted(texts) == ["new", "of the server"]


def test_a_change_that_another_thread_has_overtaken(server: LiveServer, blocking: Face) -> None:
    """Bokeh sets the value first and tells of it then: the one that was made last may be told of first."""
    document = made()
    slider = model(document, "slider")
    overtaken, go_on = threading.Event(), threading.Event()

    def wait(event: Any) -> None:
        if isinstance(event, ModelChangedEvent) and event.new == 1:
            overtaken.set()
            assert go_on.wait(DEADLINE)

    document.on_change(wait)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        thread = threading.Thread(target=setattr, args=[slider, "value", 1])
        thread.start()
        assert overtaken.wait(DEADLINE)
        slider.value = 2
        session.force_roundtrip()
        go_on.set()
        thread.join(DEADLINE)
        session.force_roundtrip()
        assert server.edit(session.id, lambda there: model(there, "slider").value, "/slider") == slider.value


def test_a_change_that_another_thread_overtakes_on_its_way(
    server: LiveServer, blocking: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was made last was not made yet when the other one was looked at, and is sent first."""
    document = made()
    slider = model(document, "slider")
    on_its_way, go_on = threading.Event(), threading.Event()
    thread = threading.Thread(target=setattr, args=[slider, "value", 1])
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        outgoing = session._session._engine._outgoing
        post = outgoing._post

        def post_late(request: Any) -> None:
            if threading.current_thread() is thread:
                on_its_way.set()
                assert go_on.wait(DEADLINE)
            post(request)

        monkeypatch.setattr(outgoing, "_post", post_late)
        thread.start()
        assert on_its_way.wait(DEADLINE)
        slider.value = 2
        go_on.set()
        thread.join(DEADLINE)
        session.force_roundtrip()
        assert server.edit(session.id, lambda there: model(there, "slider").value, "/slider") == slider.value


def test_a_change_that_is_overtaken_though_its_thread_has_changed_something_else(
    server: LiveServer, blocking: Face
) -> None:
    document = made()
    slider, other = model(document, "slider"), Slider(start=0, end=9, value=0)
    document.add_root(other)
    overtaken, go_on = threading.Event(), threading.Event()

    def wait(attr: str, old: object, new: object) -> None:
        if new == 1 and not overtaken.is_set():
            overtaken.set()
            assert go_on.wait(DEADLINE)
            other.value = 9

    slider.on_change("value", wait)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        thread = threading.Thread(target=setattr, args=[slider, "value", 1])
        thread.start()
        assert overtaken.wait(DEADLINE)
        slider.value = 2
        session.force_roundtrip()
        go_on.set()
        thread.join(DEADLINE)
        session.force_roundtrip()
        assert server.edit(session.id, lambda there: model(there, "slider").value, "/slider") == slider.value


def test_a_change_of_a_model_that_another_thread_takes_out_meanwhile(server: LiveServer, blocking: Face) -> None:
    """Sent behind the removal, the server would drop it, and with it whatever travels in the same message."""
    document = made()
    slider, source = model(document, "slider"), model(document, "source")
    column = Column(children=[child := Slider(start=0, end=9, value=0)])
    document.add_root(column)
    inside, go_on = threading.Event(), threading.Event()

    def wait(attr: str, old: object, new: object) -> None:
        inside.set()
        assert go_on.wait(DEADLINE)

    child.on_change("value", wait)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        thread = threading.Thread(target=setattr, args=[child, "value", 1])
        thread.start()
        assert inside.wait(DEADLINE)
        column.children = []
        session.force_roundtrip()
        slider.value = 3  # is under way, so that what follows travels together
        go_on.set()
        thread.join(DEADLINE)
        source.stream({"x": [7]})
        session.force_roundtrip()
        assert server.edit(session.id, contents, "/slider") == contents(document)
        assert contents(document) == ([3], [0, 7])


@pytest.mark.parametrize("rollover", [None, 4, 3, 2])
def test_rows_of_which_a_document_tells_after_a_push_that_has_them(
    rollover: int | None, server: LiveServer, blocking: Face
) -> None:
    """A handler of the source takes its time, and the session has not heard of the rows when the push is written."""
    document = made()
    source = model(document, "source")
    source.data = {"x": [1, 2]}
    inside, go_on = threading.Event(), threading.Event()

    def wait(attr: str, old: object, new: object) -> None:
        inside.set()
        assert go_on.wait(DEADLINE)

    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        source.on_change("data", wait)
        thread = threading.Thread(target=source.stream, args=[{"x": [7]}, rollover])
        thread.start()
        assert inside.wait(DEADLINE)
        session.push()
        go_on.set()
        thread.join(DEADLINE)
        source.stream({"x": [8]})
        session.force_roundtrip()
        rows = [2, 7, 8] if rollover == 2 else [1, 2, 7, 8]
        assert server.edit(session.id, contents, "/slider") == contents(document) == ([0], rows)


def test_the_removal_of_a_root_of_which_a_document_tells_after_a_push_without_it(
    server: LiveServer, blocking: Face
) -> None:
    """The server has it no more, and would drop what travels with the removal."""
    document = made()
    slider, source = model(document, "slider"), model(document, "source")
    document.add_root(root := Slider(start=0, end=9, value=7))
    inside, go_on = threading.Event(), threading.Event()

    def wait(event: Any) -> None:
        if isinstance(event, RootRemovedEvent):
            inside.set()
            assert go_on.wait(DEADLINE)

    document.on_change(wait)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        thread = threading.Thread(target=document.remove_root, args=[root])
        thread.start()
        assert inside.wait(DEADLINE)
        session.push()
        slider.value = 3  # is under way, so that what follows travels together
        source.stream({"x": [7]})
        go_on.set()
        thread.join(DEADLINE)
        source.stream({"x": [8]})
        session.force_roundtrip()
        assert server.edit(session.id, contents, "/slider") == contents(document) == ([3], [0, 7, 8])
        document.add_root(root)
        session.force_roundtrip()
        document.remove_root(root)
        session.force_roundtrip()
        assert server.edit(session.id, contents, "/slider") == ([3], [0, 7, 8])


WHILE_PULLED: dict[str, Callable[[Document], object]] = CHANGES | {
    "a title": lambda document: setattr(document, "title", "new"),
    "a root that goes": lambda document: document.remove_root(model(document, "slider")),
    "children": lambda document: setattr(model(document, "box"), "children", [Div(name="put in")]),
    "a child": lambda document: model(document, "box").children.append(Div(name="put in")),
}


def with_a_box() -> Document:
    document = made()
    document.add_root(Column(name="box", children=[Div(name="in it")]))
    return document


def summary(document: Document) -> Any:
    sliders = [root.value for root in document.roots if isinstance(root, Slider)]
    children = [child.name for child in model(document, "box").children]
    return document.title, sliders, list(model(document, "source").data["x"]), children


@pytest.mark.parametrize("place", ["begun", "written", "noted"])
@pytest.mark.parametrize("change", WHILE_PULLED.values(), ids=WHILE_PULLED)
def test_another_thread_pulls_while_a_change_is_being_sent(
    change: Callable[[Document], object],
    place: str,
    server: LiveServer,
    blocking: Face,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the pull overwrites here and the server is told of all the same comes back; what is not told is named."""
    document, expected = with_a_box(), with_a_box()
    change(expected)
    waiting: list[int] = []
    owner, name = {
        "begun": (Threads, "begin"),
        "written": (encoding, "encode_event"),
        "noted": (Conflicts, "changed"),
    }[place]
    real = getattr(owner, name)

    def pull_first(*arguments: Any, **options: Any) -> Any:
        if waiting:
            waiting.clear()
            in_another_thread(session.pull)
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, pull_first)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        waiting.append(1)
        with suppress(RuntimeError):  # Bokeh's, which may have been about to tell others of it
            change(document)
        assert not waiting
        for inside in document.select({"name": "in it"}):  # which the server may have no more
            cast(Any, inside).text = "changed"
        model(document, "slider").title = "changed"
        raised: list[str] = []
        for _ in range(2):
            try:
                session.force_roundtrip()
            except (UsageError, PatchRejected) as error:
                raised.append(str(error))
        there, here = server.edit(session.id, faces.contents, "/slider"), faces.contents(document)
        assert there == here, faces.differences(there, here)
        assert raised or summary(document) == summary(expected)
        assert (
            not raised or place == "begun" or "reference already known" in raised[0]
        )  # a warning of Bokeh's otherwise


def test_two_threads_bring_models_in_at_once(
    server: LiveServer, blocking: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that looks through the models finds those of the other, and each gets one id."""
    document = made()
    given: list[str] = []
    others: list[threading.Thread] = []

    def give() -> Any:
        if not others:
            others.append(threading.Thread(target=document.models.recompute))
            others[0].start()
            others[0].join(0.2)  # it has to wait for this thread, and would give the model another id if it did not
        given.append(make_globally_unique_id())
        return given[-1]

    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        monkeypatch.setattr(identity, "make_globally_unique_id", give)
        new = Div(name="new")
        document.add_root(new)
        others[0].join(DEADLINE)
        session.force_roundtrip()
        assert given == [new.id]
        new.text = "changed"
        session.force_roundtrip()
        assert server.edit(session.id, lambda there: model(there, "new").text, "/slider") == "changed"


ELSEWHERE: dict[str, Callable[[Document, Callable[[Callable[[Document], object]], object]], object]] = {
    "the server's data": lambda _, edit: edit(lambda there: setattr(model(there, "source"), "data", {"x": [5]})),
    "the server's rows": lambda _, edit: edit(lambda there: model(there, "source").stream({"x": [5]})),
    "rows": lambda document, _: model(document, "source").stream({"x": [5]}),
    "a patch": lambda document, _: model(document, "source").patch({"x": [(0, 5)]}),
    "data": lambda document, _: setattr(model(document, "source"), "data", {"x": [5]}),
}


@pytest.mark.parametrize("held", [False, True], ids=["", "held"])
@pytest.mark.parametrize("elsewhere", ELSEWHERE.values(), ids=ELSEWHERE)
def test_another_thread_comes_between_rows_and_their_being_told(
    elsewhere: Callable[[Document, Callable[[Callable[[Document], object]], object]], object],
    held: bool,
    server: LiveServer,
    blocking: Face,
) -> None:
    """Another listener of the document is slow; of held rows, others follow."""
    document = made()
    waiting: list[int] = []

    def elsewhere_first(event: object) -> None:
        if waiting:
            waiting.clear()
            in_another_thread(work)

    def work() -> None:
        elsewhere(document, lambda change: server.edit(session.id, change, "/slider"))
        session.force_roundtrip()

    document.on_change(elsewhere_first)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        waiting.append(1)
        if held:
            document.hold("collect")
        source = model(document, "source")
        with suppress(RuntimeError):  # Bokeh's, of data that is replaced meanwhile, when all is done
            source.stream({"x": [1]})
        if held:
            source.stream({"x": [2]})
            document.unhold()
        assert not waiting
        for _ in range(2):
            session.force_roundtrip()
        there = server.edit(session.id, contents, "/slider")
        assert there == contents(document)
        assert 1 in there[1] or elsewhere in (ELSEWHERE["data"], ELSEWHERE["the server's data"])


@pytest.mark.parametrize("held", [False, True], ids=["", "held"])
def test_a_close_sends_what_another_thread_is_just_telling(held: bool, server: LiveServer, blocking: Face) -> None:
    """It was made before the close, which does not wait for the handlers of others."""
    document = made()
    slider, source = model(document, "slider"), model(document, "source")
    inside, go_on = threading.Event(), threading.Event()

    def wait(attr: str, old: object, new: object) -> None:
        inside.set()
        assert go_on.wait(DEADLINE)

    slider.on_change("value", wait)

    def change() -> None:
        if held:
            document.hold("collect")
        slider.value = 1
        if held:
            source.stream({"x": [7]})
            document.unhold()

    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        thread = threading.Thread(target=change)
        thread.start()
        assert inside.wait(DEADLINE)
    go_on.set()
    thread.join(DEADLINE)
    assert server.edit(session.id, contents, "/slider") == ([1], [0, 7] if held else [0])


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


@pytest.mark.parametrize("change", WHILE_PULLED.values(), ids=WHILE_PULLED)
def test_another_thread_pulls_before_a_change_is_told(
    change: Callable[[Document], object], server: LiveServer, blocking: Face
) -> None:
    """It was made before, so that the pull must not take it back."""
    document, expected = with_a_box(), with_a_box()
    change(expected)
    waiting: list[int] = []

    def pull_first(event: object) -> None:
        if waiting:
            waiting.clear()
            in_another_thread(session.pull)

    document.on_change(pull_first)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        waiting.append(1)
        with suppress(RuntimeError):  # Bokeh's, of data that is replaced meanwhile, when all is done
            change(document)
        assert not waiting
        for _ in range(2):
            session.force_roundtrip()
        assert server.edit(session.id, summary, "/slider") == summary(document) == summary(expected)


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
    waiting: list[int] = []

    def meanwhile_first(event: object) -> None:
        if waiting:
            waiting.clear()
            in_another_thread(work)

    def work() -> None:
        meanwhile(session, lambda change: server.edit(session.id, change, "/slider"))
        session.force_roundtrip()

    document.on_change(meanwhile_first)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        document.hold("collect")
        model(document, "slider").title = "new"
        behind(document)
        waiting.append(1)
        document.unhold()
        assert not waiting
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
    waiting: list[int] = []

    def remove() -> None:
        server.edit(session.id, lambda there: setattr(model(there, "box"), "children", []), "/slider")
        session.force_roundtrip()
        server.edit(session.id, lambda there: setattr(model(there, "box"), "visible", False), "/slider")
        session.force_roundtrip()

    def have_it_sent(event: object) -> None:  # and not together with what is behind it
        if isinstance(event, TitleChangedEvent):
            in_another_thread(session.force_roundtrip)

    def remove_first(event: object) -> None:
        if waiting:
            waiting.clear()
            in_another_thread(remove)

    document.on_change(remove_first)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        document.on_change(have_it_sent)
        document.hold("collect")
        document.title = "new"
        other.children = [child]
        model(document, "source").stream({"x": [1]})
        waiting.append(1)
        document.unhold()
        assert not waiting
        with pytest.raises(PatchRejected, match="children changed"):
            session.force_roundtrip()
        session.force_roundtrip()
        there, here = server.edit(session.id, faces.contents, "/slider"), faces.contents(document)
        assert there == here, faces.differences(there, here)
        assert other.children == []
        assert contents(document)[1] == [0, 1]
