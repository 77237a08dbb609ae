"""What is remembered of models that were given another place."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from bokeh.document import Document
from bokeh.models import Column
from bokeh.models.widgets import Div

from bokehwire.session.departures import Departures, dangling
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


def _reference(name: str) -> dict[str, str]:
    return {"id": name}


def placing(*names: str) -> Request:
    event = {
        "kind": "ModelChanged",
        "model": {"id": "box"},
        "attr": "children",
        "new": [{"id": name} for name in names],
    }
    return Request(Ask.PATCH, content=msgspec.Raw(msgspec.json.encode(event)))


@pytest.fixture
def box() -> Column:
    column = Column(children=[Div(), Div()])
    for model, name in zip((column, *column.children), ("box", "kept", "gone"), strict=True):
        cast(Any, model)._id = name
    document = Document()
    document.add_root(column)
    return column


def departures_after_a_removal(box: Column, number: int) -> Departures:
    """What is remembered after a change of the server was passed over that takes one of two children out."""
    departures = Departures()
    event = {"kind": "ModelChanged", "model": {"id": "box"}, "attr": "children", "new": [{"id": "kept"}]}
    assert box.document is not None
    assert departures.missed(box.document, [event], number)
    return departures


@pytest.mark.parametrize(
    ("names", "returning", "dropped"),
    [(["kept"], [], False), (["kept", "gone"], [], True), (["kept", "gone"], ["gone"], False)],
    ids=["kept", "gone", "returning"],
)
def test_a_change_may_be_dropped_that_refers_to_what_the_server_has_taken_out(
    box: Column, names: list[str], returning: list[str], dropped: bool
) -> None:
    departures = departures_after_a_removal(box, 5)
    request = placing(*names)
    assert departures.mark(request, returning) is dropped
    assert request.missing == ({"gone": 5} if dropped else None)


@pytest.mark.parametrize(
    ("sent_after", "there", "doomed"),
    [(None, [], True), (5, [], True), (4, [], False), (5, ["gone"], False)],
    ids=["not sent", "sent after the removal", "sent before it", "there again"],
)
def test_a_change_is_doomed_that_was_sent_after_a_model_of_it_had_gone(
    box: Column, sent_after: int | None, there: list[str], doomed: bool
) -> None:
    departures = departures_after_a_removal(box, 5)
    request = placing("kept", "gone")
    departures.mark(request, ())
    request.sent_after = sent_after
    assert box.document is not None
    departures.doom(box.document, ["box", "kept", *there])
    assert request.is_doomed is doomed


@pytest.mark.parametrize("why", ["taken out here", "placed by the server", "held back"])
def test_a_change_is_not_doomed_where_a_model_may_have_gone_for_another_reason(box: Column, why: str) -> None:
    departures = departures_after_a_removal(box, 5)
    request = placing("kept", "gone")
    departures.mark(request, ())
    request.sent_after = 6
    document, gone = box.document, box.children[1]
    assert document is not None
    match why:
        case "taken out here":
            box.children = box.children[:1]
            departures.left(document)
            box.children = [*box.children, gone]
        case "placed by the server":
            departures.came_back(["gone"])
            later = placing("gone")
            later.sent_after = 7
            assert departures.mark(later, ())
            departures.doom(document, ["box", "kept"])
            assert not later.is_doomed
        case _:
            document.hold()
    departures.doom(document, ["box", "kept"])
    assert not request.is_doomed


def test_what_the_server_places_again_frees_a_change_that_was_doomed(box: Column) -> None:
    departures = departures_after_a_removal(box, 5)
    request = placing("gone")
    departures.mark(request, ())
    assert box.document is not None
    departures.doom(box.document, ["box", "kept"])
    assert request.is_doomed
    departures.came_back(["gone"])
    assert not request.is_doomed


def test_changes_that_are_answered_are_forgotten(box: Column) -> None:
    departures = departures_after_a_removal(box, 5)
    request = placing("gone")
    departures.mark(request, ())
    assert box.document is not None
    departures.found(box.document, ["box", "kept", "gone"])
    assert departures.knows_of_any_missing
    request.settle()
    departures.found(box.document, ["box", "kept", "gone"])
    assert not departures.knows_of_any_missing


def test_what_refers_to_what_was_dropped_is_dropped_as_well() -> None:
    new = {"type": "object", "name": "Div", "id": "new", "attributes": {}}
    event = {"kind": "ModelChanged", "model": {"id": "box"}, "attr": "children", "new": [{"id": "gone"}, new]}
    bringing = Request(Ask.PATCH, content=msgspec.Raw(msgspec.json.encode(event)))
    behind, other = placing("new"), placing("kept")
    assert dangling([bringing, behind, other], ["box", "kept"]) == (bringing, behind)
    assert dangling([bringing, behind, other], ["box", "kept", "gone"]) == ()
