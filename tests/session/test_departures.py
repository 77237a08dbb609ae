"""What is remembered of models that were given another place."""

from __future__ import annotations

import msgspec
from bokeh.document import Document
from bokeh.models.widgets import Div

from bokehwire.session.departures import Departures
from bokehwire.session.requests import Ask, Request


def test_models_that_have_left_the_document_are_not_remembered_for_ever() -> None:
    document = Document()
    div = Div()
    document.add_root(div)
    departures = Departures()
    for name in [str(div.id), *map(str, range(10_000))]:
        event = {"kind": "RootAdded", "model": {"id": name}}
        departures.place(document, Request(Ask.PATCH, content=msgspec.Raw(msgspec.json.encode(event))))
    assert len(departures._placed_anew) < 200
    assert str(div.id) in departures._placed_anew


def test_only_references_give_a_place_and_not_what_comes_with_them() -> None:
    departures = Departures()
    new = {"type": "object", "name": "Div", "id": "new", "attributes": {"tags": [{"id": "old"}]}}
    event = {"kind": "ModelChanged", "model": {"id": "row"}, "attr": "children", "new": [new]}
    departures.place(Document(), Request(Ask.PATCH, content=msgspec.Raw(msgspec.json.encode(event))))
    assert departures._placed_anew == {"old"}
