"""Two threads that change one document at once: both sides end equal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.document.events import ModelChangedEvent, RootRemovedEvent
from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets import Div, Slider
from bokeh.util.serialization import make_globally_unique_id

from bokehwire import push_session
from bokehwire.session import encoding, identity, turns
from bokehwire.session.conflicts import Conflicts
from bokehwire.session.requests import Change, Request

from ..apps import model
from ..live import DEADLINE, LiveServer
from .faces import Face
from .interrupting import Meanwhile, in_another_thread


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

    def work() -> None:
        elsewhere(document, lambda change: server.edit(session.id, change, "/slider"))
        session.force_roundtrip()

    another = Meanwhile(work)
    document.on_change(another)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        another.is_due = True
        if held:
            document.hold("collect")
        source = model(document, "source")
        with suppress(RuntimeError):  # Bokeh's, of data that is replaced meanwhile, when all is done
            source.stream({"x": [1]})
        if held:
            source.stream({"x": [2]})
            document.unhold()
        assert not another.is_due
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


def test_two_threads_look_through_the_models_at_once(
    server: LiveServer, blocking: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the two, the one that has begun first and ends last would forget what the other has brought in."""
    document = made()
    others: list[threading.Thread] = []
    references = Slider.references

    def another_adds(slider: Slider) -> Any:
        found = references(slider)
        if not others:
            others.append(threading.Thread(target=document.add_root, args=[Div(name="new")]))
            others[0].start()
            others[0].join(0.2)  # it has to wait for this thread, and would bring the model in if it did not
        return found

    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        monkeypatch.setattr(Slider, "references", another_adds)
        document.models.recompute()
        others[0].join(DEADLINE)
        new = model(document, "new")
        assert new.document is document
        new.text = "changed"
        session.force_roundtrip()
        assert server.edit(session.id, lambda there: model(there, "new").text, "/slider") == "changed"


def test_a_model_leaves_while_another_threads_change_of_it_is_on_its_way(
    server: LiveServer, blocking: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent before the removal: behind it, the server would drop it, and with it whatever travels with it."""
    document = made()
    document.add_root(box := Column(children=[child := Slider(start=0, end=9, value=0)]))
    others: list[threading.Thread] = []
    posted: list[Change] = []
    encode_event, changed = encoding.encode_event, Conflicts.changed

    def another_removes(*arguments: Any) -> Any:
        if not others:
            others.append(threading.Thread(target=setattr, args=[box, "children", []]))
            others[0].start()
            others[0].join(0.2)  # it has to wait for this thread
        return encode_event(*arguments)

    def note(conflicts: Conflicts, request: Request) -> None:
        assert request.change is not None
        posted.append(request.change)
        changed(conflicts, request)

    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        monkeypatch.setattr(encoding, "encode_event", another_removes)
        monkeypatch.setattr(Conflicts, "changed", note)
        child.value = 1
        others[0].join(DEADLINE)
        session.force_roundtrip()
        assert [change.key for change in posted] == [(child.id, "value"), (box.id, "children")]


def test_a_change_that_is_told_for_long_is_not_taken_up_again(
    server: LiveServer, blocking: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread makes as many changes meanwhile as are worth forgetting, and pulls."""
    document = made()
    slider, source = model(document, "slider"), model(document, "source")
    waiting: list[int] = []
    encode_event = encoding.encode_event

    def others_first(*arguments: Any) -> Any:
        if waiting:
            waiting.clear()
            in_another_thread(work)
        return encode_event(*arguments)

    def work() -> None:
        for number in range(600):
            slider.value = number % 9
        session.pull()

    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        monkeypatch.setattr(encoding, "encode_event", others_first)
        waiting.append(1)
        with suppress(RuntimeError):  # Bokeh's, of data that is replaced meanwhile, when all is done
            source.stream({"x": [7]})
        for _ in range(2):
            session.force_roundtrip()
        there = server.edit(session.id, contents, "/slider")
        assert there == contents(document)
        assert there[1] == [0, 7]
