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


def nothing(document: Any) -> None:
    pass


SITUATIONS: dict[str, tuple[Callable[[Document], None], Callable[[Any], None]]] = {
    "applied": (change_there, nothing),
    "conflict": (change_there, change_here),
    "refused": (nothing, be_refused),
}
CALLS: dict[str, Callable[[ClientSession], object]] = {
    "force_roundtrip": ClientSession.force_roundtrip,
    "pull": ClientSession.pull,
}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_wherever_ctrl_c_comes_both_sides_end_equal(situation: str, call: str, handling_server: LiveServer) -> None:
    there, here = SITUATIONS[situation]
    numbers = itertools.count(1)
    mine = ("bokehwire.session.", "bokeh.document.")
    modules = [module for name, module in sys.modules.items() if name.startswith(mine)]

    def make() -> ClientSession:
        session = pull_session(
            f"{situation}-{call}-{next(numbers)}", handling_server.url(APP), reply_timeout=DEADLINE, transport="tornado"
        )
        handling_server.edit(session.id, there, APP)
        here(session._session._engine.document)  # without a look at what has arrived
        return session

    def act(session: ClientSession) -> None:
        with suppress(PatchRejected):
            CALLS[call](session)

    for session in interrupted_at_every_check(modules, make, act, step=1 if EVERYTHING else 97):
        TRIED["interruptions while what has arrived is handled"] += 1
        with session:
            for _ in range(2):
                with suppress(PatchRejected):
                    session.force_roundtrip()
            ours, theirs = contents(session.document), handling_server.edit(session.id, contents, APP)
            assert ours == theirs, differences(theirs, ours)
            rows = list(model(session.document, "source").data["x"])
            assert len(rows) == len(set(rows)), rows
