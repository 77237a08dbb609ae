"""examples/protocol/starlette_server.py, served by uvicorn: our own sessions, bokeh.client's, and bare WebSockets."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import bokeh
import numpy as np
import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.models.layouts import Column, Row
from bokeh.models.widgets import Div
from bokeh.util.token import generate_jwt_token
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from bokehwire import ClientSession, PatchRejected, pull_session, push_session
from bokehwire.protocol import Ok, ServerInfoReply
from examples.protocol.blocking_client import Client, set_property
from examples.protocol.starlette_server import app, documents

from ..apps import model
from ..live import DEADLINE
from ..reference import pulled, pushed
from .programs import running
from .serving import Served

if TYPE_CHECKING:
    from bokeh.core.types import ID


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(app) as running:
        yield running
    documents.clear()


def a_document() -> Document:
    """One whose columns travel as binary buffers."""
    document = Document(title="pushed")
    columns = {"x": np.arange(1000.0), "y": np.arange(1000, dtype=np.int32)}
    document.add_root(ColumnDataSource(name="source", data=columns))
    return document


def opened(served: Served, session_id: str) -> ClientConnection:
    token = generate_jwt_token(cast("ID", session_id))
    return connect(served.websocket_url, subprotocols=[Subprotocol("bokeh"), Subprotocol(token)])


def masked(text: str) -> bytes:
    """A text frame as a client sends it, with a mask of zeros."""
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode()


def column(document: Document | None, name: str) -> Any:
    return model(document, "source").data[name]


def test_a_pulled_session_changes_the_document_and_gets_the_reaction(served: Served) -> None:
    with pull_session(url=served.url) as session:
        assert session.document is not None
        assert session.document.title == "Starlette"
        model(session.document, "slider").value = 7
        session.force_roundtrip()
        assert model(session.document, "text").text == "It is 7."
        theirs = documents[session.id]
        assert served.call(lambda: model(theirs, "slider").value) == 7
        assert session.request_server_info()["version_info"]["bokeh"] == bokeh.__version__


def test_a_pushed_document_arrives_with_its_buffers_and_is_kept_equal(served: Served) -> None:
    ours = a_document()
    with push_session(ours, url=served.url) as session:
        theirs = documents[session.id]
        assert theirs.title == "pushed"
        assert np.array_equal(column(theirs, "x"), np.arange(1000.0))
        model(ours, "source").data = {"x": np.arange(500.0) / 2}
        ours.add_root(Div(name="later", text="added"))
        session.force_roundtrip()
        assert served.call(lambda: np.array_equal(column(theirs, "x"), np.arange(500.0) / 2))
        assert served.call(lambda: model(theirs, "later").text) == "added"
        with pull_session(session.id, url=served.url) as viewer:
            assert np.array_equal(column(viewer.document, "x"), np.arange(500.0) / 2)


def test_what_the_server_changes_by_itself_reaches_every_client(served: Served) -> None:
    with pull_session(url=served.url) as first, pull_session(first.id, url=served.url) as second:
        theirs = documents[first.id]

        def change() -> None:
            theirs.title = "changed"
            # A model that no client has seen, with a buffer.
            theirs.add_root(ColumnDataSource(name="source", data={"x": np.arange(100.0)}))
            # A change that refers to a model which the clients know by now.
            theirs.add_root(Column(name="column", children=[Div(name="late")]))
            theirs.add_root(Row(name="row", children=[model(theirs, "late")]))

        def arrived(session: ClientSession) -> bool:
            assert session.document is not None
            return session.document.select_one({"name": "row"}) is not None

        served.call(change)
        for session in (first, second):
            session.wait_for(partial(arrived, session), timeout=DEADLINE)
            assert session.document is not None
            assert session.document.title == "changed"
            assert np.array_equal(column(session.document, "x"), np.arange(100.0))
            assert model(session.document, "row").children[0] is model(session.document, "column").children[0]


def test_a_change_by_one_client_reaches_the_others_and_is_not_echoed(served: Served) -> None:
    with pull_session(url=served.url) as viewer, opened(served, viewer.id) as socket:
        client = Client(socket)
        client.ask(client.core.pull_doc())
        slider, text = (model(viewer.document, name).id for name in ("slider", "text"))
        change = {"kind": "ModelChanged", "model": {"id": slider}, "attr": "value", "new": 3}
        client.ask(client.core.patch_doc({"events": [change]}))
        assert client.changes == [{"kind": "ModelChanged", "model": {"id": text}, "attr": "text", "new": "It is 3."}]
        # What the callback of the slider changes is passed on before the change that has set it off.
        viewer.wait_for(lambda: model(viewer.document, "slider").value == 3, timeout=DEADLINE)
        assert model(viewer.document, "text").text == "It is 3."


def test_it_answers_what_its_generation_asks_for(served: Served) -> None:
    with opened(served, "some session") as socket:
        client = Client(socket)
        reply = client.ask(client.core.roundtrip())
        assert isinstance(reply, ServerInfoReply if bokeh.__version__.startswith("3.") else Ok)
        assert client.core.generation == int(bokeh.__version__.split(".")[0])


def test_a_change_that_the_document_refuses_is_answered_by_an_error(served: Served) -> None:
    def refuse(attr: str, old: object, new: object) -> None:
        raise ValueError(f"{new} is too much")

    with pull_session(url=served.url) as session:
        served.call(lambda: model(documents[session.id], "slider").on_change("value", refuse))
        model(session.document, "slider").value = 9
        with pytest.raises(PatchRejected, match="9 is too much"):
            session.force_roundtrip()
        session.force_roundtrip()


def test_the_client_of_bokeh_pulls_and_changes(served: Served) -> None:
    with pulled(served.url) as session:
        model(session.document, "slider").value = 5
        session.force_roundtrip()
        assert served.call(lambda: model(documents[session.id], "text").text) == "It is 5."


def test_the_client_of_bokeh_pushes(served: Served) -> None:
    with pushed(a_document(), served.url) as session:
        session.force_roundtrip()
        theirs = documents[session.id]
        assert served.call(lambda: np.array_equal(column(theirs, "y"), np.arange(1000)))
        model(session.document, "source").data["x"] = np.arange(1000.0) * 2
        session.force_roundtrip()
        assert served.call(lambda: column(theirs, "x")[-1]) == 1998


def test_a_client_that_breaks_the_protocol_is_told_and_dropped(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "level", logging.ERROR)
    with opened(served, "some session") as socket:
        Client(socket)
        # More than one frame in one write, so that others are under way when the first is refused.
        socket.socket.sendall(masked("[]") * 3)
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1002
    assert caught.value.rcvd.reason
    assert not caplog.records


FOREIGN = {"Origin": "http://example.com"}
# Made when they are offered, since they expire: after five minutes, in which a machine may not come to these tests.
TOKEN = partial(generate_jwt_token, cast("ID", "some session"))
EXPIRED = partial(TOKEN, expiration=-10)
NO_SESSION = partial(generate_jwt_token, cast("ID", ""))


@pytest.mark.parametrize(
    ("name", "tokens", "headers"),
    [
        (None, [], {}),
        ("bokeh", [], {}),
        ("other", [TOKEN], {}),
        ("bokeh", [TOKEN, lambda: "more"], {}),
        ("bokeh", [lambda: "garbage"], {}),
        ("bokeh", [EXPIRED], {}),
        ("bokeh", [NO_SESSION], {}),
        ("bokeh", [TOKEN], FOREIGN),
    ],
    ids=["nothing", "no token", "another name", "more", "no such token", "expired", "no session", "another page"],
)
def test_who_has_no_business_here_is_refused(
    served: Served, name: str | None, tokens: list[Callable[[], str]], headers: dict[str, str]
) -> None:
    names = None if name is None else [Subprotocol(name), *(Subprotocol(token()) for token in tokens)]
    with pytest.raises(InvalidStatus) as caught:
        connect(served.websocket_url, subprotocols=names, additional_headers=headers)
    assert caught.value.response.status_code == 403


def test_a_page_of_its_own_is_admitted(served: Served) -> None:
    names, origin = [Subprotocol("bokeh"), Subprotocol(TOKEN())], Origin(served.url.rstrip("/"))
    with connect(served.websocket_url, subprotocols=names, origin=origin) as socket:
        assert Client(socket).core.generation


def test_clients_that_have_left_are_forgotten() -> None:
    with Served(app) as served, pull_session(url=served.url) as session, pull_session(session.id, url=served.url):
        listening = served.call(lambda: len(documents[session.id].callbacks.change_callbacks()))
    # The application has ended, and with it every connection.
    left = documents.pop(session.id)
    assert len(left.callbacks.change_callbacks()) == listening - 2


def test_it_runs_as_its_docstring_says() -> None:
    program = "-m", "uvicorn", "--ws", "websockets-sansio", "--port", "0", "examples.protocol.starlette_server:app"
    with running(*program, ready="Uvicorn running on") as (line, _):
        (port,) = re.findall(r"127\.0\.0\.1:(\d+)", line)
        (change,) = set_property(f"ws://127.0.0.1:{port}/ws", "slider", "value", 2)
        assert change["new"] == "It is 2."
