"""Two threads that change one document at once: both sides end equal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from bokeh.document import Document
from bokeh.document.events import ModelChangedEvent
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Slider

from bokehwire import push_session
from bokehwire.session import encoding

from ..apps import model
from ..live import DEADLINE, LiveServer
from .faces import Face


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
            while not session._session._engine._begun:
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
