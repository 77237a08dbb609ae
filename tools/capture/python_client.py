"""The exchanges of bokeh.client, of the same version as the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from bokeh.client import ClientSession
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.events import ButtonClick
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Div
from tornado.ioloop import IOLoop

from tests.apps import model

from .apps import data, text
from .reference import GENERATION
from .stage import Exchange, Stage


@contextmanager
def connected(stage: Stage, path: str) -> Iterator[ClientSession]:
    """A session after the handshake; closed by us at the end of the block, unless it is closed already."""
    session = ClientSession(cast(ID, "transcript"), websocket_url=stage.websocket_url(path), io_loop=IOLoop())
    session.connect()
    if not session.connected:
        raise RuntimeError("bokeh.client could not connect")
    yield session
    session.close()
    session._loop_until_closed()


@contextmanager
def pulled(stage: Stage, path: str) -> Iterator[tuple[ClientSession, Document]]:
    with connected(stage, path) as session:
        session.pull()
        assert session.document is not None
        yield session, session.document


def wait(session: ClientSession, predicate: Callable[[], bool]) -> None:
    """Reads messages until the predicate holds."""
    session._connection._loop_until(predicate)


def settle(stage: Stage, session: ClientSession, **counts: int) -> None:
    """Reads messages until so many have been recorded and every request is answered."""
    wait(session, lambda: stage.recording.settled(**counts))


def handshake(stage: Stage) -> None:
    with connected(stage, "/empty"):
        pass


def pull(stage: Stage) -> None:
    with pulled(stage, "/text"):
        pass


def pull_buffers(stage: Stage) -> None:
    with pulled(stage, "/data"):
        pass


def push(stage: Stage) -> None:
    document = Document()
    text(document)
    with connected(stage, "/empty") as session:
        session.push(document)


def push_again(stage: Stage) -> None:
    document = Document()
    text(document)
    with connected(stage, "/empty") as session:
        session.push(document)
        session.push()


def push_buffers(stage: Stage) -> None:
    document = Document()
    data(document)
    with connected(stage, "/empty") as session:
        session.push(document)


def patch_from_client(stage: Stage) -> None:
    with pulled(stage, "/text") as (session, document):
        model(document, "div").text = "aé漢𝄞"
        settle(stage, session, client_PATCH_DOC=1)


def patch_from_client_buffers(stage: Stage) -> None:
    with pulled(stage, "/data") as (session, document):
        model(document, "source").data = {"x": np.array([7], dtype="uint8"), "y": np.array([[1.0, 2.0], [3.0, np.inf]])}
        settle(stage, session, client_PATCH_DOC=1)


def patch_from_server(stage: Stage) -> None:
    with pulled(stage, "/text") as (session, document):
        stage.server.edit("/text")
        wait(session, lambda: model(document, "div").text == "two")


def patch_from_server_buffers(stage: Stage) -> None:
    with pulled(stage, "/data") as (session, document):
        stage.server.edit("/data")
        wait(session, lambda: len(model(document, "source").data["x"]) == 2)


def reaction(stage: Stage) -> None:
    with pulled(stage, "/slider") as (session, document):
        model(document, "slider").value = 5
        settle(stage, session, client_PATCH_DOC=1, server_PATCH_DOC=1)


def event(stage: Stage) -> None:
    with pulled(stage, "/button") as (session, document):
        document.callbacks.send_event(ButtonClick(model(document, "button")))
        settle(stage, session, client_PATCH_DOC=1, server_PATCH_DOC=1)


def rejected_patch(stage: Stage) -> None:
    with pulled(stage, "/broken") as (session, document):
        model(document, "slider").value = 3
        settle(stage, session, client_PATCH_DOC=1)


def changes(stage: Stage) -> None:
    document = Document()
    source = ColumnDataSource(data={"x": [1, 2], "y": np.array([1.0, 2.0])})
    document.add_root(source)
    div = Div(text="added")
    steps: list[Callable[[], Any]] = [
        lambda: setattr(document, "title", "changed"),
        lambda: document.add_root(div),
        lambda: document.remove_root(div),
        lambda: source.stream({"x": [3], "y": np.array([3.0])}, rollover=2),
        lambda: source.patch({"x": [(0, 9)], "y": [(slice(0, 2), [8.0, 9.0])]}),
    ]
    with connected(stage, "/empty") as session:
        session.push(document)
        for number, step in enumerate(steps, 1):
            step()
            settle(stage, session, client_PATCH_DOC=number)


def roundtrip(stage: Stage) -> None:
    with connected(stage, "/empty") as session:
        session.force_roundtrip()


def server_stops(stage: Stage) -> None:
    with pulled(stage, "/text") as (session, _):
        stage.server.stop()
        session._loop_until_closed()


EXCHANGES = (
    Exchange("handshake", "The server's ACK; then the client closes.", handshake),
    Exchange("pull", "The client asks for the document.", pull),
    Exchange("pull-buffers", "The document has columns that travel as buffers.", pull_buffers),
    Exchange("push", "The client sends its document and gets the echo before the OK.", push),
    Exchange("push-again", "The echo of a second push names the roots that it replaces.", push_again),
    Exchange("push-buffers", "A push, and its echo, with buffers.", push_buffers),
    Exchange("patch-from-client", "The client changes a property.", patch_from_client),
    Exchange("patch-from-client-buffers", "The client changes columns.", patch_from_client_buffers),
    Exchange("patch-from-server", "The server changes a property.", patch_from_server),
    Exchange("patch-from-server-buffers", "The server changes columns.", patch_from_server_buffers),
    Exchange("reaction", "The server's callback changes something; its patch comes before the OK.", reaction),
    Exchange("event", "The client sends a click, which the server's callback reacts to.", event),
    Exchange("rejected-patch", "The server's callback raises; the patch is answered by ERROR.", rejected_patch),
    Exchange("changes", "After a push the client changes the title, roots, streams and patches columns.", changes),
    Exchange("server-stops", "The server is stopped in good order while the client is connected.", server_stops),
    Exchange("server-info", "The client asks for the server's versions.", roundtrip)
    if GENERATION == 3
    else Exchange("sync", "The client asks for an OK.", roundtrip),
)
