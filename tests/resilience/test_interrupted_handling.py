"""Ctrl-C at every place of the session's own code, and of Bokeh's documents, while a call handles what has arrived."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets import Div, Slider

from bokehwire import ClientSession, PatchRejected, pull_session
from bokehwire.session.channel import Channel
from bokehwire.session.identity import Acquaintance
from bokehwire.session.requests import Ask, Request

from ..apps import model
from ..live import DEADLINE
from ..servers import LiveServer, TornadoServer
from ..session.faces import contents, differences
from ..session.interrupting import interrupted_at_every_check
from ..tally import TRIED
from .conftest import EVERYTHING

# Of a coroutine that an interruption keeps from being begun, or inside of a generator that is no longer needed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine .* was never awaited:RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

APP = "/handling"


def app(document: Document) -> None:
    """A slider that takes no even values, and some others."""

    def refuse(attr: str, old: Any, new: Any) -> None:
        if new % 2 == 0:
            raise ValueError("even")

    slider = Slider(name="slider", start=0, end=100, value=1)
    slider.on_change("value", refuse)
    roots = (
        slider,
        Div(name="div"),
        Div(name="other"),
        Column(name="box"),
        ColumnDataSource(name="source", data={"x": [0]}),
    )
    for root in roots:
        document.add_root(root)


@pytest.fixture(scope="module")
def handling_server() -> Iterator[LiveServer]:
    # Hundreds of sessions end, and the server makes a full collection for each that it discards.
    hours = 10 * 3600 * 1000
    with TornadoServer({APP: app}, unused_session_lifetime_milliseconds=hours) as running:
        yield running


def change_there(document: Document) -> None:
    model(document, "div").text = "server"
    model(document, "box").children.append(Div(text="server"))
    model(document, "source").stream({"x": [5]})
    document.add_root(Div(text="server"))


def change_here(document: Any) -> None:
    model(document, "div").text = "mine"
    model(document, "box").children = [*model(document, "box").children, Div(text="mine")]
    model(document, "source").stream({"x": [1]})
    document.title = "mine"


def be_refused(document: Any) -> None:
    model(document, "div").text = "first"
    model(document, "other").text = "joined"
    model(document, "slider").value = 2
    model(document, "source").stream({"x": [1]})


def take_out(document: Document) -> None:
    document.remove_root(model(document, "other"))


def nothing(document: Any) -> None:
    pass


SITUATIONS: dict[str, tuple[Callable[[Document], None], Callable[[Any], None]]] = {
    "applied": (change_there, nothing),
    "conflict": (change_there, change_here),
    "refused": (nothing, be_refused),
    "taken out": (take_out, nothing),
}
CALLS: dict[str, Callable[[ClientSession], object]] = {
    "force_roundtrip": ClientSession.force_roundtrip,
    "pull": ClientSession.pull,
}


def opened(situation: str, server: LiveServer, name: str) -> ClientSession:
    """Opens a session in a situation, without a look at what has arrived since."""
    there, here = SITUATIONS[situation]
    session = pull_session(name, server.url(APP), reply_timeout=DEADLINE, transport="tornado")
    server.edit(session.id, there, APP)
    here(session._session._engine.document)
    return session


def assert_goes_on(session: ClientSession, server: LiveServer) -> None:
    """Checks that a session can be used, that both sides are equal, and that no row is there twice."""
    for _ in range(2):
        with suppress(PatchRejected):
            session.force_roundtrip()
    ours, theirs = contents(session.document), server.edit(session.id, contents, APP)
    assert ours == theirs, differences(theirs, ours)
    rows = list(model(session.document, "source").data["x"])
    assert len(rows) == len(set(rows)), rows


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_wherever_ctrl_c_comes_both_sides_end_equal(situation: str, call: str, handling_server: LiveServer) -> None:
    numbers = itertools.count(1)
    mine = ("bokehwire.session.", "bokeh.document.")
    modules = [module for name, module in sys.modules.items() if name.startswith(mine)]

    def make() -> ClientSession:
        return opened(situation, handling_server, f"{situation}-{call}-{next(numbers)}")

    def act(session: ClientSession) -> None:
        with suppress(PatchRejected):
            CALLS[call](session)

    for session in interrupted_at_every_check(modules, make, act, step=1 if EVERYTHING else 97):
        TRIED["interruptions while what has arrived is handled"] += 1
        with session:
            assert_goes_on(session, handling_server)


def models_of(session: ClientSession) -> Any:
    """Gives the models of a session's document, without a look at what has arrived."""
    document: Any = session._session._engine.document
    return document.models


def interrupt_once(monkeypatch: pytest.MonkeyPatch, owner: Any, method: str) -> None:
    """Has Ctrl-C come when a method is called next."""

    def interrupted(*arguments: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, method, interrupted)


@pytest.mark.parametrize("is_posted", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize("situation", ["conflict", "refused"])
def test_ctrl_c_comes_when_the_server_is_asked_for_what_is_in_doubt(
    situation: str, is_posted: bool, handling_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the question will be sent or not, it must not be waited for in vain."""
    with opened(situation, handling_server, f"asked-{situation}-{is_posted}") as session:
        post = Channel.post

        def interrupted(channel: Channel, request: Request) -> Exception | None:
            if request.ask is not Ask.PULL:
                return post(channel, request)
            monkeypatch.undo()
            if is_posted:
                post(channel, request)
            raise KeyboardInterrupt

        monkeypatch.setattr(Channel, "post", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.force_roundtrip()
        assert_goes_on(session, handling_server)


def assert_known(session: ClientSession, server: LiveServer) -> None:
    """Checks that what has arrived keeps the server's ids when the models are looked through, as by the next change."""
    models = models_of(session)
    models.recompute()
    ids = {str(found.id) for found in models}
    assert ids <= server.edit(session.id, lambda there: {str(found.id) for found in there.models}, APP)


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_comes_before_bokeh_has_looked_through_the_models(
    call: str, handling_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened("applied", handling_server, f"looked-{call}") as session:
        interrupt_once(monkeypatch, models_of(session), "recompute")
        with pytest.raises(KeyboardInterrupt):
            CALLS[call](session)
        assert_known(session, handling_server)
        assert_goes_on(session, handling_server)
        (new,) = model(session.document, "box").children
        new.text = "changed here"
        assert_goes_on(session, handling_server)


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_comes_before_bokeh_has_missed_a_model(
    call: str, handling_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the change is applied once more, all is where it belongs, and Bokeh would not look any further."""
    with opened("taken out", handling_server, f"missed-{call}") as session:
        interrupt_once(monkeypatch, models_of(session), "recompute")
        with pytest.raises(KeyboardInterrupt):
            CALLS[call](session)
        assert_goes_on(session, handling_server)


@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_comes_when_models_have_arrived_and_are_not_known_yet(
    call: str, handling_server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened("applied", handling_server, f"known-{call}") as session:
        interrupt_once(monkeypatch, Acquaintance, "_meet")
        with pytest.raises(KeyboardInterrupt):
            CALLS[call](session)
        assert_known(session, handling_server)
        assert_goes_on(session, handling_server)
        assert not session._session._engine._acquaintance._arriving  # which would be known for ever
