"""One thread pulls, or takes over what the server has, while another changes the document: nothing is lost unnamed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest
from bokeh.document import Document
from bokeh.document.events import RootAddedEvent, RootRemovedEvent
from bokeh.models import Column
from bokeh.models.widgets import Div, Slider

from bokehwire import PatchRejected, UsageError, async_push_session, push_session
from bokehwire.session import encoding
from bokehwire.session.conflicts import Conflicts
from bokehwire.session.threads import Threads

from ..apps import model
from ..live import LiveServer
from . import faces
from .faces import Face
from .interrupting import Meanwhile, in_another_thread
from .test_threads import CHANGES, made

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


@pytest.mark.parametrize("settled", [False, True], ids=["", "and settles"])
@pytest.mark.parametrize("place", ["begun", "written", "noted"])
@pytest.mark.parametrize("change", WHILE_PULLED.values(), ids=WHILE_PULLED)
def test_another_thread_pulls_while_a_change_is_being_sent(
    change: Callable[[Document], object],
    place: str,
    settled: bool,
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

    def pull() -> None:
        session.pull()
        if settled:  # what the server has counts from here on, and the change is not sent yet
            session.force_roundtrip()

    def pull_first(*arguments: Any, **options: Any) -> Any:
        if waiting:
            waiting.clear()
            in_another_thread(pull)
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, pull_first)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        waiting.append(1)
        with suppress(RuntimeError):  # Bokeh's, which may have been about to tell others of it
            change(document)
        assert not waiting
        if place != "begun" and change is not WHILE_PULLED["a child"]:
            # So that what follows is in a message of its own.
            server.wait_for(session.id, lambda there: summary(there) == summary(expected), "/slider")
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
        if not raised:
            assert summary(document) == summary(expected)
        elif place == "begun":
            assert "was overwritten" in raised[0]
        else:  # for what is a warning of Bokeh's elsewhere, and an error in these tests
            assert "children changed" in raised[0]


@pytest.mark.parametrize("change", WHILE_PULLED.values(), ids=WHILE_PULLED)
def test_another_thread_pulls_before_a_change_is_told(
    change: Callable[[Document], object], server: LiveServer, blocking: Face
) -> None:
    """It was made before, so that the pull must not take it back."""
    document, expected = with_a_box(), with_a_box()
    change(expected)

    another = Meanwhile(lambda: session.pull())
    document.on_change(another)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        another.is_due = True
        with suppress(RuntimeError):  # Bokeh's, of data that is replaced meanwhile, when all is done
            change(document)
        assert not another.is_due
        for _ in range(2):
            session.force_roundtrip()
        assert server.edit(session.id, summary, "/slider") == summary(document) == summary(expected)


def before_the_next_is_told(document: Document, work: Callable[[], object], patch: pytest.MonkeyPatch) -> None:
    """Has another thread do something when the next change is made, and Bokeh has not begun to tell of it."""
    tell = document.callbacks.trigger_on_change

    def another_thread_first(event: Any) -> None:
        patch.setattr(document.callbacks, "trigger_on_change", tell)
        in_another_thread(work)
        tell(event)

    patch.setattr(document.callbacks, "trigger_on_change", another_thread_first)


CALLS: dict[str, Callable[[Any], object]] = {
    "pull": lambda session: session.pull(),
    "all in doubt": lambda session: (
        session._session._engine._conflicts.doubt_everything(),
        session.force_roundtrip(),
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "change",
    (
        WHILE_PULLED
        | {"data": lambda document: setattr(model(document, "source"), "data", {"x": [7]})}
        | {"a patch": lambda document: model(document, "source").patch({"x": [(0, 7)]})}
    ).items(),
    ids=lambda change: change[0],
)
def test_a_change_that_is_made_and_that_bokeh_has_not_begun_to_tell(
    change: tuple[str, Callable[[Document], object]],
    call: Callable[[Any], object],
    server: LiveServer,
    blocking: Face,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody can know of it when another thread's call overwrites it. Then it is made all the same, or named."""
    document, expected = with_a_box(), with_a_box()
    name, make = change
    make(expected)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        before_the_next_is_told(document, lambda: call(session), monkeypatch)
        failed: list[Exception] = []
        try:
            make(document)
        except RuntimeError as error:  # Bokeh's, of what is replaced while it is being looked through
            failed.append(error)
        for _ in range(2):
            try:
                session.force_roundtrip()
            except UsageError as error:
                failed.append(error)
        there, here = server.edit(session.id, faces.contents, "/slider"), faces.contents(document)
        assert there == here, faces.differences(there, here)
        assert failed or summary(document) == summary(expected)
        assert all(
            "was overwritten by what the server has" in str(error) for error in failed if isinstance(error, UsageError)
        )
        assert name != "a title" or not failed


THEIRS: dict[str, tuple[Callable[[Document], object], Callable[[Document], object]]] = {
    "a value": (
        lambda document: setattr(model(document, "slider"), "value", 7),
        lambda there: setattr(model(there, "slider"), "value", 5),
    ),
    "a title": (lambda document: setattr(document, "title", "7"), lambda there: setattr(there, "title", "5")),
    "data": (
        lambda document: setattr(model(document, "source"), "data", {"x": [7]}),
        lambda there: setattr(model(there, "source"), "data", {"x": [5]}),
    ),
    "children": (
        lambda document: setattr(model(document, "box"), "children", [Div(name="7")]),
        lambda there: setattr(model(there, "box"), "children", [Div(name="5")]),
    ),
}


@pytest.mark.parametrize(("ours", "theirs"), THEIRS.values(), ids=THEIRS)
def test_the_server_changes_what_bokeh_has_not_begun_to_tell(
    ours: Callable[[Document], object],
    theirs: Callable[[Document], object],
    server: LiveServer,
    blocking: Face,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another thread's call applies that first: ours is made all the same, or named."""
    document, expected = with_a_box(), with_a_box()
    ours(expected)
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()

        def apply() -> None:
            server.edit(session.id, theirs, "/slider")
            session.force_roundtrip()

        before_the_next_is_told(document, apply, monkeypatch)
        ours(document)
        named = False
        for _ in range(2):
            try:
                session.force_roundtrip()
            except UsageError as error:
                named = "was overwritten by what the server has" in str(error)
        assert server.edit(session.id, summary, "/slider") == summary(document)
        assert named or summary(document) == summary(expected)


def test_what_is_set_after_the_servers_value_stays(
    server: LiveServer, blocking: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the document tells of an older one behind it."""
    document = with_a_box()
    slider = model(document, "slider")
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()

        def set_later() -> None:
            server.edit(session.id, lambda there: setattr(model(there, "slider"), "value", 5), "/slider")
            session.force_roundtrip()
            slider.value = 3

        before_the_next_is_told(document, set_later, monkeypatch)
        slider.value = 7
        for _ in range(2):
            session.force_roundtrip()
        assert server.edit(session.id, summary, "/slider") == summary(document)
        assert slider.value == 3


@pytest.mark.parametrize("kind", [RootRemovedEvent, RootAddedEvent])
def test_a_root_that_a_listener_adds_while_a_pull_replaces_the_others(
    kind: type[object], server: LiveServer, blocking: Face
) -> None:
    """It stays, and the server is told that it has come, and nothing else."""
    document = made()
    told: list[str] = []
    added: list[Div] = []
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        new = Div(name="new")

        def add(event: object) -> None:
            if isinstance(event, kind) and not added:
                added.append(new)
                document.add_root(new)

        document.on_change(add)
        server.edit(
            session.id, lambda there: there.on_change(lambda event: told.append(type(event).__name__)), "/slider"
        )
        session.pull()
        for _ in range(2):
            session.force_roundtrip()
        new.text = "changed"
        session.force_roundtrip()
        assert new in document.roots
        assert told == ["RootAddedEvent", "ModelChangedEvent"]
        there, here = server.edit(session.id, faces.contents, "/slider"), faces.contents(document)
        assert there == here, faces.differences(there, here)


@pytest.mark.parametrize("shares", [False, True], ids=["new", "with a model that was there"])
def test_a_root_that_is_added_while_a_pull_is_under_way(shares: bool, server: LiveServer) -> None:
    """The answer cannot have it, which was written before. One that is new as a whole stays what it is."""

    async def scenario() -> None:
        document = made()
        session = await async_push_session(document, url=server.url("/slider"))
        await session.force_roundtrip()
        pull = asyncio.ensure_future(session.pull())
        await asyncio.sleep(0)
        new = Column(name="new", children=[model(document, "slider") if shares else Div()])
        document.add_root(new)
        await pull
        await session.force_roundtrip()
        assert (new in document.roots) is not shares
        model(document, "new").tags = ["changed"]
        await session.force_roundtrip()
        there, here = await server.aedit(session.id, faces.contents, "/slider"), faces.contents(document)
        assert there == here, faces.differences(there, here)
        assert len(document.roots) == 3
        await session.close()

    asyncio.run(scenario())


WHILE_UNDER_WAY: dict[str, tuple[Callable[[Document], object], Callable[[Document], object], object]] = {
    "a value": (
        lambda document: setattr(model(document, "slider"), "value", 5),
        lambda document: setattr(model(document, "slider"), "value", model(document, "slider").value + 1),
        ("Bokeh Application", [6], [0], ["in it"]),
    ),
    "a child": (
        lambda document: model(document, "box").children.append(Div(name="A")),
        lambda document: model(document, "box").children.append(Div(name="B")),
        ("Bokeh Application", [0], [0], ["in it", "A", "B"]),
    ),
    "rows": (
        lambda document: model(document, "source").stream({"x": [1]}),
        lambda document: setattr(model(document, "source"), "data", {"x": [*model(document, "source").data["x"], 2]}),
        ("Bokeh Application", [0], [0, 1, 2], ["in it"]),
    ),
}


@pytest.mark.parametrize(("first", "second", "expected"), WHILE_UNDER_WAY.values(), ids=WHILE_UNDER_WAY)
def test_what_is_changed_while_a_pull_is_under_way_is_there_when_it_is_done(
    first: Callable[[Document], object], second: Callable[[Document], object], expected: object, server: LiveServer
) -> None:
    """What builds upon it would take it back otherwise."""

    async def scenario() -> None:
        document = with_a_box()
        session = await async_push_session(document, url=server.url("/slider"))
        await session.force_roundtrip()
        pull = asyncio.ensure_future(session.pull())
        await asyncio.sleep(0)
        first(document)
        await pull
        second(document)
        await session.force_roundtrip()
        assert await server.aedit(session.id, summary, "/slider") == summary(document) == expected
        await session.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("wrapped", [False, True], ids=["as it is", "in another"])
def test_a_listener_puts_back_the_root_that_a_pull_takes_out(wrapped: bool, server: LiveServer, blocking: Face) -> None:
    """The model would be there twice under one id, since the pull brings another one."""
    document = made()
    slider = model(document, "slider")
    added: list[int] = []

    def put_back(event: object) -> None:
        if isinstance(event, RootRemovedEvent) and event.model is slider and not added:
            added.append(1)
            document.add_root(Column(name="wrapper", children=[cast(Any, slider)]) if wrapped else slider)

    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        document.on_change(put_back)
        session.pull()
        for _ in range(2):
            with suppress(PatchRejected):  # for what is a warning of Bokeh's elsewhere
                session.force_roundtrip()
        assert added
        there, here = server.edit(session.id, faces.contents, "/slider"), faces.contents(document)
        assert there == here, faces.differences(there, here)


def test_a_change_of_a_root_that_the_server_removes_before_it_is_told(server: LiveServer, blocking: Face) -> None:
    """Of a model that is gone, nothing is lost that could be there."""
    document = made()
    slider = model(document, "slider")
    with push_session(document, url=server.url("/slider"), transport=blocking.transport) as session:
        session.force_roundtrip()
        slider.on_change("value", lambda attr, old, new: session.force_roundtrip())
        server.edit(session.id, lambda there: there.remove_root(model(there, "slider")), "/slider")
        slider.value = 5
        session.force_roundtrip()
        assert len(document.roots) == 1
