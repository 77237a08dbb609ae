"""Where a Bokeh server itself keeps its clients from ending equal with it, whatever client that is.

Each case is the smallest one, and is shown with `bokeh.client`. `specs/sync.md` lists them;
the machine leaves out exactly these. A test that fails here says that Bokeh has mended something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from bokeh import __version__
from bokeh.client import ClientSession
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Div, Slider

from ..apps import model
from ..reference import pulled
from ..servers import SERVER_KINDS, LiveServer, make_server

PATH = "/impossible"
# From Bokeh 3.10 on, what a callback has changed is written out when the callback has ended, not as it is changed.
WRITES_LATE = not __version__.startswith("3.9.")


def app(document: Document) -> None:
    slider = Slider(name="slider", start=0, end=100, value=1)
    div = Div(name="div", text="")

    def clamp(attr: str, old: object, new: float) -> None:
        if new > 10:
            slider.value = 10

    def refuse(attr: str, old: object, new: object) -> None:
        raise ValueError("on purpose")

    def change_and_refuse(attr: str, old: object, new: object) -> None:
        document.title = "changed"
        raise ValueError("on purpose")

    slider.on_change("value", clamp)
    last = Div(name="last", text="")
    last.on_change("text", change_and_refuse)
    div.on_change("text", refuse)
    for root in (slider, div, last, ColumnDataSource(name="source", data={"x": [1]})):
        document.add_root(root)


@pytest.fixture(scope="module", params=SERVER_KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    with make_server(request.param, {PATH: app}) as running:
        yield running


def read_until(session: ClientSession, predicate: Callable[[Document], bool]) -> None:
    """Apply what the server sends. Its calls would drop it: they look for their reply only."""
    document = session.document
    assert document is not None
    session._connection._loop_until(lambda: not session.connected or predicate(document))
    assert predicate(document)


def there(server: LiveServer, session: ClientSession, look: Callable[[Document], Any]) -> Any:
    return server.edit(str(session.id), look, PATH)


def rows(document: Document | None) -> list[int]:
    return list(model(document, "source").data["x"])


def test_a_callback_that_corrects_the_value_it_is_told_of(server: LiveServer) -> None:
    """Bokeh runs the callback before it passes the change on: the correction is sent first, what it corrects last."""

    def set_too_high(document: Document) -> None:
        model(document, "slider").value = 50

    with pulled(server.url(PATH)) as session:
        seen: list[float] = []
        model(session.document, "slider").on_change("value", lambda attr, old, new: seen.append(new))
        there(server, session, set_too_high)
        read_until(session, lambda document: len(seen) == 2)
        assert seen == [10, 50]
        assert there(server, session, lambda document: model(document, "slider").value) == 10


def test_a_change_at_which_a_callback_raises_is_kept_from_the_other_clients(server: LiveServer) -> None:
    """The property is set before the callback runs, and the other clients would be told after it."""
    with pulled(server.url(PATH)) as ours, pulled(server.url(PATH), str(ours.id)) as other:
        model(ours.document, "div").text = "refused"
        ours.force_roundtrip()
        there(server, ours, lambda document: setattr(document, "title", "later"))
        read_until(other, lambda document: document.title == "later")
        assert there(server, ours, lambda document: model(document, "div").text) == "refused"
        assert model(other.document, "div").text == ""


def test_what_a_callback_has_changed_before_it_raised(server: LiveServer) -> None:
    """Bokeh 3.9 forgets what it had to send when the message that it is about fails."""
    with pulled(server.url(PATH)) as ours, pulled(server.url(PATH), str(ours.id)) as other:
        model(ours.document, "last").text = "refused"
        ours.force_roundtrip()
        there(server, ours, lambda document: setattr(model(document, "slider"), "value", 2))
        read_until(other, lambda document: bool(model(document, "slider").value == 2))
        assert there(server, ours, lambda document: document.title) == "changed"
        assert other.document is not None
        assert (other.document.title == "changed") is WRITES_LATE


def test_a_change_at_which_a_handler_of_the_client_raises(server: LiveServer) -> None:
    """Bokeh calls the handler first, and nobody else is told of the change then."""

    def refuse(attr: str, old: object, new: object) -> None:
        raise ValueError("on purpose")

    with pulled(server.url(PATH)) as session:
        slider = model(session.document, "slider")
        slider.on_change("value", refuse)
        with pytest.raises(ValueError, match="on purpose"):
            slider.value = 5
        session.force_roundtrip()
        assert slider.value == 5
        assert there(server, session, lambda document: model(document, "slider").value) == 1


def test_rows_that_are_streamed_to_new_data_in_one_callback(server: LiveServer) -> None:
    """The event of the new data has no data of its own: written late, it has the streamed rows, which follow again."""

    def refill(document: Document) -> None:
        source = model(document, "source")
        source.data = {"x": [2]}
        source.stream({"x": [3]})
        document.title = "refilled"

    with pulled(server.url(PATH)) as session:
        there(server, session, refill)
        read_until(session, lambda document: document.title == "refilled")
        assert there(server, session, rows) == [2, 3]
        assert rows(session.document) == ([2, 3, 3] if WRITES_LATE else [2, 3])


def test_rows_that_are_streamed_to_an_empty_array_in_one_callback(server: LiveServer) -> None:
    """The first rows become the column: written late, their event has the others, which follow again."""

    def fill(document: Document) -> None:
        source = model(document, "source")
        source.stream({"x": [2]})
        source.stream({"x": [3]})
        document.title = "filled"

    with pulled(server.url(PATH)) as session:
        there(server, session, lambda document: setattr(model(document, "source"), "data", {"x": np.array([], int)}))
        there(server, session, fill)
        read_until(session, lambda document: document.title == "filled")
        assert there(server, session, rows) == [2, 3]
        assert rows(session.document) == ([2, 3, 3] if WRITES_LATE else [2, 3])


def test_a_row_that_a_client_streams_while_the_server_holds(server: LiveServer) -> None:
    """When the server lets go it no longer knows whose change it was, and sends the row to the client that made it."""

    def let_go(document: Document) -> None:
        document.unhold()
        document.title = "let go"

    with pulled(server.url(PATH)) as session:
        there(server, session, lambda document: document.hold("collect"))
        model(session.document, "source").stream({"x": [2]})
        session.force_roundtrip()
        there(server, session, let_go)
        read_until(session, lambda document: document.title == "let go")
        assert there(server, session, rows) == [1, 2]
        assert rows(session.document) == [1, 2, 2]


def test_rows_that_are_streamed_to_new_data_while_the_server_holds(server: LiveServer) -> None:
    def refill(document: Document) -> None:
        document.hold("collect")
        source = model(document, "source")
        source.data = {"x": [2]}
        source.stream({"x": [3]})
        document.unhold()
        document.title = "refilled"

    with pulled(server.url(PATH)) as session:
        there(server, session, refill)
        read_until(session, lambda document: document.title == "refilled")
        assert there(server, session, rows) == [2, 3]
        assert rows(session.document) == [2, 3, 3]


@pytest.mark.filterwarnings("ignore:out of range integer")
def test_an_integer_that_a_browser_could_not_hold(server: LiveServer) -> None:
    """Bokeh's serializer writes it as the float that is nearest."""
    large = 2**60 + 1
    with pulled(server.url(PATH)) as session:
        model(session.document, "source").data = {"x": [large]}
        session.force_roundtrip()
        assert there(server, session, rows) == [2**60]
        assert rows(session.document) == [large]


def test_changes_that_a_server_combines(server: LiveServer) -> None:
    """The client's second value takes the place of its first, before that of the server, which came between."""

    def let_go(document: Document) -> None:
        document.unhold()
        model(document, "div").name = "let go"

    def text(document: Document | None) -> str:
        return str(model(document, "slider").title)

    with pulled(server.url(PATH)) as session:
        there(server, session, lambda document: document.hold("combine"))
        slider = model(session.document, "slider")
        slider.title = "first"
        session.force_roundtrip()
        there(server, session, lambda document: setattr(model(document, "slider"), "title", "between"))
        slider.title = "last"
        session.force_roundtrip()
        div = model(session.document, "div")
        there(server, session, let_go)
        read_until(session, lambda document: div.name == "let go")
        assert there(server, session, text) == "last"
        assert text(session.document) == "between"
