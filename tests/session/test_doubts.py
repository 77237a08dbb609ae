"""What the engine asks the server for and when, by itself, and what it does with the answer."""

from __future__ import annotations

import json
import sys
import threading
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from typing import Any, cast
from unittest.mock import Mock

import numpy as np
import pytest
from bokeh.core.serialization import SerializationError, Serializer
from bokeh.document import Document
from bokeh.document.events import RootAddedEvent, RootRemovedEvent
from bokeh.models import Column, ColumnDataSource, Range1d
from bokeh.models.widgets import Button, DataTable, Slider
from bokeh.plotting import figure

from bokehwire import ApplyError, DuplicateModelId, PatchRejected, PendingLimitExceeded
from bokehwire.protocol import Error, LocalLimitExceeded, Ok, PullDocReply
from bokehwire.session import encoding
from bokehwire.session.changes import ROOTS
from bokehwire.session.conflicts import Conflicts, Verdict
from bokehwire.session.encoding import encode_document
from bokehwire.session.requests import Answered, Ask, Before, Change, Request

from .scripted import Scripted


def pushed() -> Scripted:
    script = Scripted()
    script.answer(Ok("s", "r"))
    return script


def pulls(script: Scripted) -> list[Request]:
    return [request for request in script.posted if request.ask is Ask.PULL]


def settle(script: Scripted, request: Request, reply: Any = None) -> None:
    script.engine.handle(Answered((request,), Ok("s", "r") if reply is None else reply))


def changed(script: Scripted, attr: str, value: Any) -> dict[str, Any]:
    return {"kind": "ModelChanged", "model": {"id": script.slider.id}, "attr": attr, "new": value}


def streamed(script: Scripted, *values: int) -> dict[str, Any]:
    data = {"type": "map", "entries": [["x", list(values)], ["y", list(values)]]}
    return {
        "kind": "ColumnsStreamed",
        "model": {"id": script.source.id},
        "attr": "data",
        "data": data,
        "rollover": None,
    }


def server_with(script: Scripted, edit: Callable[[Document], object]) -> PullDocReply:
    """The server's document: ours, with a change to it."""
    there = Document.from_json(script.contents().content["doc"])
    edit(there)
    return PullDocReply("s", "r", _content(there))


def _content(document: Document) -> Any:
    return json.loads(bytes(encode_document(document).content))


def slider_of(document: Document) -> Any:
    return document.select_one({"type": Slider})


def test_the_server_is_asked_though_the_program_never_pauses() -> None:
    script = pushed()
    script.slider.value = 2
    script.slider.title = "under way"
    settle(script, script.posted[1], Error("s", "e", "r", "refused"))
    (pull,) = pulls(script)
    script.slider.title = "and on"
    settle(script, pull, server_with(script, lambda there: setattr(slider_of(there), "end", 8)))
    assert (script.slider.end, script.slider.title) == (8, "and on")
    assert len(pulls(script)) == 1


def test_rows_that_are_streamed_after_the_question_are_added_to_the_answer() -> None:
    script = pushed()
    script.source.stream({"x": [1], "y": [1]})
    first = script.posted[-1]
    first.sent_after = 0
    script.receive(streamed(script, 5))
    assert script.source.data["x"] == [0, 1]
    settle(script, first)
    (pull,) = pulls(script)
    answer = server_with(script, lambda there: there.roots[0].stream({"x": [5], "y": [5]}))  # type: ignore[attr-defined]
    script.source.stream({"x": [2], "y": [2]})
    settle(script, pull, answer)
    assert script.source.data["x"] == [0, 1, 5, 2]
    assert len(pulls(script)) == 1
    assert script.troubles == []


def test_a_patch_that_does_not_fit_the_answer_is_left_to_the_server_to_refuse() -> None:
    script = pushed()
    script.slider.title = "under way"
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    script.source.patch({"x": [(0, "text")]})
    patch = script.posted[-1]
    numbers = np.array([1], np.int32)
    answer = script.contents()
    data = Serializer(deferred=False).encode({"x": numbers, "y": numbers})
    answer.content["doc"]["roots"][0]["attributes"]["data"] = data
    settle(script, pulls(script)[0], answer)
    settle(script, patch, Error("s", "e", "r", "does not fit"))
    for number in (1, 2):
        settle(script, pulls(script)[number], answer)
    assert list(script.source.data["x"]) == [1]
    assert [type(trouble) for trouble in script.troubles] == [PatchRejected, PatchRejected]
    assert script.engine.is_settled


def test_rows_that_were_streamed_before_the_question_and_wait_still_are_asked_for_again() -> None:
    script = pushed()
    script.source.stream({"x": [1], "y": [1]})
    first = script.posted[-1]
    first.sent_after = 0
    there = script.contents()
    script.receive(streamed(script, 5))
    settle(script, script.engine.ask(Ask.ROUND_TRIP))
    settle(script, pulls(script)[0], there)
    assert script.source.data["x"] == [0, 1]
    assert len(pulls(script)) == 2


@pytest.mark.parametrize("handled", ["start", "value"])
def test_rows_that_a_handler_streams_while_the_answer_is_taken_over_are_there_once(handled: str) -> None:
    script = pushed()
    script.slider.on_change(handled, lambda attr, old, new: script.source.stream({"x": [new], "y": [new]}))
    script.slider.title = "under way"

    def edit(there: Document) -> None:
        slider_of(there).update(start=-1, value=5)
        there.roots[0].stream({"x": [9], "y": [9]})  # type: ignore[attr-defined]

    settled = server_with(script, edit)
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    settle(script, pulls(script)[0], settled)
    assert list(script.source.data["x"]) == [0, 9, -1 if handled == "start" else 5]
    settle(script, script.posted[-1])
    assert script.engine.is_settled
    assert len(pulls(script)) == 1


def test_what_a_handler_replaces_while_the_answer_is_taken_over_stays() -> None:
    script = pushed()
    told: list[Any] = []
    script.slider.on_change("start", lambda attr, old, new: setattr(script.slider, "value", 7))
    script.slider.on_change("value", lambda attr, old, new: told.append(new))
    script.slider.title = "under way"
    answer = server_with(script, lambda there: slider_of(there).update(start=-1, step=2))
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    settle(script, pulls(script)[0], answer)
    settle(script, script.posted[-1])
    assert (script.slider.value, told) == (7, [7])
    assert len(pulls(script)) == 1


def test_an_older_answer_overwrites_nothing_that_a_newer_one_has_brought_meanwhile() -> None:
    """A handler of what the older one brings makes a call, in which the server is asked once more, and answers."""
    script = pushed()
    script.slider.title = "under way"
    older = server_with(script, lambda there: slider_of(there).update(start=-1, value=5))
    newer = server_with(script, lambda there: slider_of(there).update(start=-1, value=6))

    def call(attr: str, old: object, new: object) -> None:
        script.engine._conflicts.doubt_everything()
        settle(script, script.engine.ask(Ask.ROUND_TRIP))
        settle(script, pulls(script)[1], newer)

    script.slider.on_change("start", call)
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    settle(script, pulls(script)[0], older)
    assert script.slider.value == 6
    settle(script, pulls(script)[2], newer)
    assert script.slider.value == 6


def test_what_a_handler_changes_of_what_refers_to_models_is_asked_for() -> None:
    script = pushed()
    button = Button()
    script.document.add_root(button)
    settle(script, script.posted[-1])
    script.slider.on_change("tags", lambda attr, old, new: setattr(button, "tags", ["ours"]))
    script.slider.title = "under way"

    def edit(there: Document) -> None:
        slider_of(there).tags = ["theirs"]
        there.select_one({"type": Button}).tags = ["theirs"]  # type: ignore[union-attr]

    answer = server_with(script, edit)
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    settle(script, pulls(script)[0], answer)
    settle(script, next(request for request in script.posted if request.key == (button.id, "tags")))
    there = server_with(script, lambda there: setattr(there.select_one({"type": Button}), "tags", ["ours"]))
    settle(script, pulls(script)[1], there)
    assert button.tags == ["ours"]
    assert script.engine.is_settled


def test_what_arrives_in_a_call_of_a_handler_is_newer_than_what_is_taken_over() -> None:
    script = pushed()
    script.slider.on_change("start", lambda attr, old, new: script.receive(changed(script, "value", 3)))
    script.slider.title = "under way"
    answer = server_with(script, lambda there: slider_of(there).update(start=-1, value=2))
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    settle(script, pulls(script)[0], answer)
    settle(script, pulls(script)[1], server_with(script, lambda there: slider_of(there).update(start=-1, value=3)))
    assert script.slider.value == 3
    assert script.engine.is_settled


def test_what_arrives_in_a_call_of_a_handler_is_newer_than_what_comes_in_the_same_message() -> None:
    script = pushed()
    script.slider.on_change("start", lambda attr, old, new: script.receive(changed(script, "value", 3)))
    script.receive(changed(script, "start", -1), changed(script, "value", 2))
    settle(script, pulls(script)[0], server_with(script, lambda there: slider_of(there).update(start=-1, value=3)))
    assert script.slider.value == 3
    assert script.engine.is_settled


def test_a_model_that_has_just_come_in_is_known_after_a_call_of_a_handler() -> None:
    script = pushed()
    new = {"type": "object", "name": "Slider", "id": "new", "attributes": {"start": 0, "end": 1, "value": 0}}

    def hear(event: object) -> None:
        if isinstance(event, RootAddedEvent):
            script.receive({"kind": "TitleChanged", "title": "meanwhile"})
            cast(Any, event.model).title = "mine"

    script.document.on_change(hear)
    script.receive({"kind": "RootAdded", "model": new})
    assert script.posted[-1].key == ("new", "title")
    assert script.document.roots[-1].id == "new"


def test_a_handler_can_wait_for_the_server_while_the_documents_are_compared() -> None:
    script = pushed()
    settled: list[bool] = []
    script.slider.on_change("start", lambda attr, old, new: settled.append(script.engine.is_settled))
    script.come_back(server_with(script, lambda there: slider_of(there).update(start=-1)))
    assert settled == [True]


def test_a_change_of_a_model_that_is_not_here_and_that_it_writes_out_itself_is_asked_for() -> None:
    """As of a model that is its own tag, and has gone before a server that held its changes could tell of it."""
    script = pushed()
    model = {"type": "object", "name": "Div", "id": "gone", "attributes": {"tags": [{"id": "gone"}]}}
    script.receive({"kind": "ModelChanged", "model": {"id": "gone"}, "attr": "tags", "new": [model]})
    settle(script, pulls(script)[0], script.contents())
    assert script.troubles == []
    assert script.engine.is_settled


def test_a_patch_of_what_has_no_rows_is_an_error() -> None:
    script = pushed()
    script.document.add_root(figure(extra_x_ranges={"other": Range1d()}))
    plot = script.document.roots[-1]
    patches = {"type": "map", "entries": [["other", [[0, 1]]]]}
    script.receive({"kind": "ColumnsPatched", "model": {"id": plot.id}, "attr": "extra_x_ranges", "patches": patches})
    assert [type(trouble) for trouble in script.troubles] == [ApplyError]


def test_what_is_taken_over_costs_the_same_for_each_property(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bokeh looks at all models of a document for each message that it applies."""
    script = pushed()
    for _ in range(50):
        script.document.add_root(Slider(start=0, end=9, value=1))
    for request in script.posted[1:]:
        settle(script, request)

    def edit(there: Document) -> None:
        for slider in there.select({"type": Slider}):
            cast(Any, slider).update(value=2, title="theirs")

    script.slider.title = "under way"
    answer = server_with(script, edit)
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    apply = Mock(wraps=script.document.apply_json_patch)
    monkeypatch.setattr(script.document, "apply_json_patch", apply)
    settle(script, pulls(script)[0], answer)
    assert {cast(Any, root).value for root in script.document.roots[1:]} == {2}
    assert apply.call_count == 0


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2], [3], [1, 3, 0]])
def test_a_handler_that_raises_at_each_root_keeps_none_of_them_away(order: list[int]) -> None:
    script = pushed()

    def edit(there: Document) -> None:
        for end in (1, 2):
            there.add_root(Slider(start=0, end=end, value=0))

    answer = server_with(script, edit)
    roots = answer.content["doc"]["roots"]
    roots[:] = [roots[number] for number in order]

    def raising(event: object) -> None:
        if isinstance(event, RootAddedEvent | RootRemovedEvent):
            raise RuntimeError("handler")

    script.document.on_change(raising)
    script.slider.title = "under way"
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    settle(script, pulls(script)[0], answer)
    assert [root.id for root in script.document.roots] == [root["id"] for root in roots]
    assert len(pulls(script)) == 1


def test_a_replacement_that_was_made_before_the_question_and_waits_still_is_asked_for_again() -> None:
    script = pushed()
    there = script.contents()
    script.slider.value = 2
    script.slider.title = "under way"
    settle(script, script.posted[2], Error("s", "e", "r", "refused"))
    settle(script, pulls(script)[0], there)
    assert script.slider.value == 2
    settle(script, script.posted[1])
    assert len(pulls(script)) == 2


def test_roots_that_were_added_after_the_question_stay_and_are_asked_for_again() -> None:
    script = pushed()
    there = script.contents()
    script.slider.title = "under way"
    settle(script, script.posted[1], Error("s", "e", "r", "refused"))
    script.document.add_root(Slider(start=0, end=1, value=0))
    added = script.posted[-1]
    settle(script, pulls(script)[0], there)
    assert len(script.document.roots) == 3
    assert len(pulls(script)) == 1
    settle(script, added)
    assert len(pulls(script)) == 2


def test_what_the_server_has_changed_while_changes_were_held_back_is_forgotten_once_they_are_let_go() -> None:
    script = pushed()
    script.document.hold()
    script.receive(changed(script, "value", 5))
    script.document.unhold()
    script.receive(changed(script, "end", 8))
    script.slider.value = 3
    settle(script, script.posted[-1])
    assert pulls(script) == []


def test_a_replacement_does_away_with_a_doubt() -> None:
    script = pushed()
    script.slider.value = 2
    script.posted[-1].sent_after = 0
    script.receive(changed(script, "value", 5))
    settled = [script.engine.is_settled]
    script.slider.value = 3
    for request in script.posted[1:]:
        settle(script, request)
    settled.append(script.engine.is_settled)
    assert settled == [False, True]
    assert pulls(script) == []


def test_one_question_is_asked_at_a_time() -> None:
    script = pushed()
    for value in (2, 3, 4):
        script.slider.value = value
        settle(script, script.posted[-1] if value == 2 else _latest_patch(script), Error("s", "e", "r", "refused"))
    assert len(pulls(script)) == 1
    settle(script, pulls(script)[0], script.contents())
    assert len(pulls(script)) == 2


def test_what_comes_into_doubt_later_is_not_waited_for() -> None:
    script = pushed()
    answers = script.engine.answers
    script.slider.value = 2
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    settled: list[bool] = []
    for value in (3, 4, 5):
        script.slider.value = value  # each time while the server is asked
        settle(script, _latest_patch(script), Error("s", "e", "r", "refused"))
        settled.append(script.engine.is_settled_since(answers))
        settle(script, pulls(script)[-1], script.contents())
    assert settled == [False, False, True]
    assert not script.engine.is_settled


def _latest_patch(script: Scripted) -> Request:
    return [request for request in script.posted if request.ask is Ask.PATCH][-1]


def _raising(error: type[BaseException]) -> Callable[[str, object, object], None]:
    def handler(attr: str, old: object, new: object) -> None:
        raise error("handler")

    return handler


@pytest.mark.parametrize("error", [RuntimeError, CancelledError])
def test_a_handler_that_raises_keeps_nothing_else_from_being_taken_over(error: type[BaseException]) -> None:
    script = pushed()
    script.slider.value = 2

    def edit(there: Document) -> None:
        slider_of(there).update(end=8, start=-1, title="theirs", value=1)
        there.title = "theirs"

    answer = server_with(script, edit)
    for attr in ("start", "title"):
        script.slider.on_change(attr, _raising(error))
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    settle(script, pulls(script)[0], answer)
    slider: Any = script.slider
    found = (slider.end, slider.start, slider.title, slider.value, script.document.title)
    assert found == (8, -1, "theirs", 1, "theirs")
    assert [type(trouble) for trouble in script.troubles] == [PatchRejected, ApplyError, ApplyError]


@pytest.mark.parametrize("error", [RuntimeError, CancelledError])
def test_a_handler_that_raises_keeps_nothing_from_being_set_to_its_default(error: type[BaseException]) -> None:
    script = pushed()
    script.slider.update(step=0.5, title="ours")
    for request in script.posted[1:]:
        settle(script, request)
    for attr in ("step", "title"):
        script.slider.on_change(attr, _raising(error))
    script.slider.value = 2
    answer = script.contents()
    attributes = answer.content["doc"]["roots"][1]["attributes"]
    del attributes["step"], attributes["title"]
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    settle(script, pulls(script)[0], answer)
    plain = Slider(start=0, end=1, value=0)
    assert (script.slider.step, script.slider.title) == (plain.step, plain.title)
    assert [type(trouble) for trouble in script.troubles] == [PatchRejected, ApplyError, ApplyError]


def test_a_handler_is_not_told_of_what_is_asked_for_and_found_to_be_as_it_was() -> None:
    script = pushed()
    script.source.data = {"x": [float("nan")], "y": [1]}
    script.slider.tags = [float("nan"), {"deep": [1]}]
    for request in script.posted[1:]:
        settle(script, request)
    told: list[str] = []
    for model, attr in ((script.source, "data"), (script.slider, "tags")):
        model.on_change(attr, lambda attr, old, new: told.append(attr))
    there = server_with(script, lambda there: setattr(slider_of(there), "end", 8))
    script.slider.value = 2
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    settle(script, pulls(script)[0], there)
    assert script.slider.end == 8
    assert told == []


def test_what_comes_behind_a_change_whose_handler_raises_is_asked_for() -> None:
    script = pushed()
    script.slider.on_change("value", _raising(RuntimeError))
    script.receive(changed(script, "value", 5), changed(script, "end", 8))
    (pull,) = pulls(script)

    def edit(there: Document) -> None:
        slider_of(there).update(value=5, end=8)

    settle(script, pull, server_with(script, edit))
    assert (script.slider.value, script.slider.end) == (5, 8)
    assert [type(trouble) for trouble in script.troubles] == [ApplyError]
    script.receive(changed(script, "value", 6))
    assert len(pulls(script)) == 1  # nothing came behind it


def test_a_change_that_cannot_be_sent_is_named_and_taken_back() -> None:
    script = pushed()
    there = script.contents()
    script.slider.value = 2
    error = LocalLimitExceeded("number of buffers", 2, 1, "max_buffers")
    script.engine.handle(Answered((script.posted[-1],), None, error))
    assert script.troubles == [error]
    assert f"Slider(id='{script.slider.id}').value changed" in error.__notes__[0]
    settle(script, pulls(script)[0], there)
    assert script.slider.value == 1


@pytest.mark.parametrize("value", [10**5000, [object()]], ids=["integer", "object"])
def test_a_value_that_cannot_be_written_is_refused_where_it_is_set_and_taken_back(value: Any) -> None:
    script = pushed()
    there = script.contents()
    with pytest.raises(SerializationError):
        script.slider.tags = [value]
    settle(script, pulls(script)[0], there)
    assert script.slider.tags == []


def test_a_value_that_nests_too_deep_is_refused_where_it_is_set_and_taken_back() -> None:
    """But not one of depth 1,000: at that, Bokeh itself fails before it has told anybody of the change."""
    script = pushed()
    there = script.contents()
    value: Any = 1
    for _ in range(400):
        value = [value]
    with pytest.raises((SerializationError, RecursionError)):
        script.slider.tags = value
    for pull in pulls(script):
        settle(script, pull, there)
    assert script.slider.tags == []


def test_a_change_that_is_interrupted_before_it_is_sent_is_asked_for() -> None:
    script = pushed()
    there = script.contents()
    script.interruption = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        script.slider.value = 2
    script.interruption = None
    settle(script, script.engine.ask(Ask.ROUND_TRIP))
    settle(script, pulls(script)[0], there)
    assert script.slider.value == 1


def test_a_change_that_is_interrupted_before_it_is_written_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    script = pushed()
    there = script.contents()
    monkeypatch.setattr(encoding, "encode_event", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        script.slider.value = 2
    monkeypatch.undo()
    settle(script, script.engine.ask(Ask.ROUND_TRIP))
    settle(script, pulls(script)[0], there)
    assert script.slider.value == 1


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, RuntimeError])
def test_what_a_pull_has_not_replaced_when_it_ended_is_asked_for(interruption: type[BaseException]) -> None:
    script = pushed()
    there = server_with(script, lambda there: there.add_root(Slider(start=0, end=2, value=0)))
    interruptions = iter([interruption("once")])

    def interrupt(event: object) -> None:
        for once in interruptions:
            raise once

    script.document.on_change(interrupt)
    pull = script.engine.pull()
    if interruption is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            settle(script, pull, there)
        pull.abandoned = True
        settle(script, pull, there)  # as what was interrupted is handled once more
    else:
        settle(script, pull, there)
        assert isinstance(pull.error, ApplyError)
    settle(script, pulls(script)[1], there)
    assert [root.id for root in script.document.roots] == [root["id"] for root in there.content["doc"]["roots"]]
    assert script.engine.is_settled


@pytest.mark.parametrize(
    "end", [lambda script: script.engine.detach(), lambda script: script.end()], ids=["let go", "lost"]
)
def test_callbacks_of_a_document_that_is_not_followed_any_more_do_not_run(end: Callable[[Scripted], None]) -> None:
    script = pushed()
    script.schedule.replace.reset_mock()
    end(script)
    script.schedule.replace.assert_called_once_with(())


def test_text_with_lone_surrogates_is_sent() -> None:
    script = pushed()
    script.slider.tags = ["\ud800"]
    assert b"ud800" in bytes(script.posted[-1].content)
    script.slider.title = "\udfff"
    assert b"udfff" in bytes(script.posted[-1].content)


def test_a_root_with_the_id_of_another_is_refused_and_its_removal_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOKEH_SIMPLE_IDS", "yes")
    script = pushed()
    there = script.contents()
    twin = Slider(start=0, end=1, value=0)
    cast(Any, twin)._id = script.slider.id
    with pytest.raises(DuplicateModelId):
        script.document.add_root(twin)
    assert script.document.roots[1] is script.slider
    assert twin.document is None
    script.document.remove_root(twin)
    assert [request.ask for request in script.posted[1:]] == [Ask.PULL]
    settle(script, script.posted[-1], there)
    assert script.document.roots == [script.source, script.slider]


def test_what_a_pull_has_brought_back_may_be_gone_by_a_change_under_way() -> None:
    """And the server drops with an OK what refers to it."""
    script = pushed()
    layout = Column(children=[Slider(start=0, end=1, value=0)])
    script.document.add_root(layout)
    settle(script, script.posted[-1])
    there = script.contents()
    pull = script.engine.pull()
    layout.children = []
    change = script.posted[-1]
    settle(script, pull, there)
    script.document.title = "may be dropped"
    assert script.posted[-1].made_after < 0
    settle(script, script.posted[-1])
    settle(script, change)
    layout.children = []
    after = script.contents()
    settle(script, script.posted[-1])
    for question in pulls(script)[1:]:
        settle(script, question, after)
    assert script.engine.is_settled
    script.document.title = "cannot be dropped"
    assert script.posted[-1].made_after >= 0


def test_a_model_that_a_change_under_way_brings_back_keeps_what_it_was_given() -> None:
    script = pushed()
    there = script.contents()
    script.slider.tags = ["refused"]
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    (question,) = pulls(script)
    script.document.remove_root(script.slider)
    script.slider.title = "new"  # while nobody follows it
    script.document.add_root(script.slider)
    removed, added = script.posted[-2:]
    assert added.returns == {script.slider.id}
    settle(script, question, there)
    assert script.slider.title == "new"
    settle(script, removed)
    settle(script, added)
    for number in range(1, 3):
        settle(script, pulls(script)[number], script.contents())
    assert script.slider.title == "new"
    assert script.engine.is_settled


def test_a_model_that_was_changed_between_combined_changes_is_as_the_server_has_it() -> None:
    script = pushed()
    child = Slider(start=0, end=1, value=0, title="old")
    layout = Column(children=[child])
    script.document.add_root(layout)
    settle(script, script.posted[-1])
    there = script.contents()
    script.document.hold("combine")
    layout.children = []
    child.title = "new"
    layout.children = [child]
    script.document.unhold()
    settle(script, script.posted[-1] if script.posted[-1].ask is Ask.PATCH else script.posted[-2])
    for question in pulls(script):
        settle(script, question, there)
    assert child.title == "old"
    assert script.engine.is_settled


def test_a_message_that_is_handled_a_second_time_is_asked_about_and_not_applied() -> None:
    """As after an interruption, of which nobody knows how far it has let the first time come."""
    script = pushed()
    event = streamed(script, 5)
    script.receive(event)
    script.received -= 1
    script.receive(event)
    assert script.source.data["x"] == [0, 5]
    assert len(pulls(script)) == 1


def test_a_patch_that_does_not_fit_is_asked_about_at_once() -> None:
    script = pushed()
    patches = {"type": "map", "entries": [["x", [[7, 1]]]]}
    script.receive({"kind": "ColumnsPatched", "model": {"id": script.source.id}, "attr": "data", "patches": patches})
    assert len(pulls(script)) == 1


def test_what_a_handler_raises_while_models_are_taken_over_together_is_told() -> None:
    script = pushed()
    child = Slider(start=0, end=1, value=0)
    layout = Column(children=[child])
    script.document.add_root(layout)
    settle(script, script.posted[-1])

    def refuse(attr: str, old: object, new: object) -> None:
        raise ValueError("on purpose")

    layout.on_change("children", refuse)

    def empty(there: Document) -> None:
        cast(Any, there.roots[-1]).children = []

    there = server_with(script, empty)
    script.slider.title = "under way"
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    settle(script, pulls(script)[0], there)
    assert layout.children == []
    assert [type(trouble) for trouble in script.troubles] == [PatchRejected, ApplyError]


@pytest.mark.parametrize(("number", "verdict"), [(3, Verdict.STALE), (4, Verdict.DOUBT)])
def test_what_had_arrived_when_a_replacement_was_sent_is_stale(number: int, verdict: Verdict) -> None:
    conflicts = Conflicts()
    change = Request(Ask.PATCH, Change(("a change",), ("model", "value"), replaces=True), sent_after=3)
    conflicts.changed(change)
    assert conflicts.judge(("model", "value"), number) is verdict
    assert conflicts.is_contested(("model", "value")) is (verdict is Verdict.DOUBT)


@pytest.mark.parametrize("written", ["as a reference", "out"])
def test_a_root_that_comes_again_while_roots_are_in_doubt_may_have_changed(written: str) -> None:
    """As when another client pushes, which tells nothing of the properties where it is written as a reference."""
    script = pushed()
    script.document.add_root(Slider(start=0, end=1, value=0))
    ours = script.posted[-1]
    ours.sent_after = 0
    there = server_with(script, lambda there: there.roots[0].stream({"x": [5], "y": [5]}))  # type: ignore[attr-defined]
    root = there.content["doc"]["roots"][0]
    script.receive({"kind": "RootRemoved", "model": {"id": script.source.id}})
    script.receive({"kind": "RootAdded", "model": {"id": root["id"]} if written == "as a reference" else root})
    settle(script, ours)
    settle(script, pulls(script)[0], there)
    assert script.source.data["x"] == [0, 5]


@pytest.mark.parametrize("sent", [True, False])
def test_a_child_that_comes_again_while_its_place_is_ours_to_set_may_have_changed(sent: bool) -> None:
    script = pushed()
    child = Slider(start=0, end=1, value=0)
    layout = Column(children=[child])
    script.document.add_root(layout)
    settle(script, script.posted[-1])
    layout.children = [child, Slider(start=0, end=1, value=0)]
    ours = script.posted[-1]
    if sent:
        ours.sent_after = 0
    there = server_with(script, lambda there: setattr(cast(Any, there.roots[-1]).children[0], "title", "theirs"))
    event = {"kind": "ModelChanged", "model": {"id": layout.id}, "attr": "children", "new": [{"id": child.id}]}
    script.receive(event)
    settle(script, ours)
    settle(script, pulls(script)[0], there)
    assert child.title == "theirs"


def test_a_model_that_both_sides_put_back_at_once_is_as_the_server_has_it() -> None:
    """It has known the other one, when it came to read ours."""
    script = pushed()
    layout = Column(children=[])
    script.document.add_root(layout)
    settle(script, script.posted[-1])
    script.document.remove_root(script.slider)
    settle(script, script.posted[-1])
    script.slider.title = "ours"
    layout.children = [script.slider]
    ours = script.posted[-1]
    ours.sent_after = 0
    there = server_with(script, lambda there: there.roots[-1].children[0].update(title="theirs"))  # type: ignore[attr-defined]
    script.receive({"kind": "RootAdded", "model": {"id": script.slider.id}})
    settle(script, ours)
    settle(script, pulls(script)[0], there)
    settle(script, pulls(script)[-1], there)
    assert script.slider.title == "theirs"


def test_a_change_that_could_not_be_kept_is_taken_back() -> None:
    script = pushed()
    script.slider.value = 2
    error = PendingLimitExceeded("no room", changes=("the change",), size=2, limit=1)
    there = server_with(script, lambda there: setattr(slider_of(there), "value", 1))
    script.engine.handle(Answered((script.posted[-1],), None, error))
    settle(script, pulls(script)[0], there)
    assert script.slider.value == 1
    assert script.troubles == [error]


@pytest.mark.parametrize("change", ["replace", "append"])
def test_a_child_with_the_id_of_another_is_taken_out_again(change: str) -> None:
    script = pushed()
    child, twin = Slider(start=0, end=1, value=0), Slider(start=0, end=1, value=0)
    layout = Column(children=[child])
    script.document.add_root(layout)
    cast(Any, twin)._id = child.id
    children: Any = layout.children
    with pytest.raises(DuplicateModelId):
        children.append(twin) if change == "append" else setattr(layout, "children", [twin])
    assert [model is child for model in layout.children] == [True]
    assert (child.document, twin.document) == (script.document, None)
    assert [request.key for request in script.posted if request.ask is Ask.PATCH] == [ROOTS]


@pytest.mark.parametrize("place", ["root", "property"])
def test_rows_that_are_streamed_to_a_source_that_is_held_back_are_sent_once(place: str) -> None:
    script = pushed()
    table = DataTable(source=script.source)
    script.document.add_root(table)
    settle(script, script.posted[-1])
    script.document.hold()
    source = ColumnDataSource(data={"x": [1, 2], "y": [0, 0]})
    if place == "root":
        script.document.add_root(source)
    else:
        table.source = source
    source.stream({"x": [3], "y": [0]}, 2)
    source.patch({"x": [(0, 5)]})
    script.document.unhold()
    (brought,) = (request for request in script.posted[2:] if request.ask is Ask.PATCH)
    assert b'"x",[5,3]' in bytes(brought.content)
    source.stream({"x": [4], "y": [0]})
    assert b"ColumnsStreamed" in bytes(script.posted[-1].content)


def test_held_changes_behind_one_that_cannot_be_written_are_sent() -> None:
    script = pushed()
    script.document.hold()
    script.slider.tags = [object()]
    script.slider.value = 2
    script.slider.title = "held"
    script.document.unhold()
    patches = [request for request in script.posted if request.ask is Ask.PATCH]
    assert [request.key for request in patches] == [(script.slider.id, "value"), (script.slider.id, "title")]
    assert [type(trouble) for trouble in script.troubles] == [SerializationError]
    assert len(pulls(script)) == 1


def test_a_refused_push_of_a_document_that_was_in_sync_is_followed_by_a_question() -> None:
    script = pushed()
    there = script.contents()
    script.document.title = "ours"
    settle(script, script.posted[-1])
    push = script.engine.push(script.document)
    settle(script, push, Error("s", "e", "r", "refused"))
    settle(script, pulls(script)[0], there)
    assert script.document.title == there.content["doc"]["title"]


def test_what_the_server_takes_out_is_remembered_only_for_what_is_under_way() -> None:
    script = pushed()
    left, right = Slider(start=0, end=1, value=0), Slider(start=0, end=1, value=0)
    column = Column(children=[left, right])
    script.document.add_root(column)
    column.children = [right, left]  # each has a place by reference from now on
    for request in script.posted[1:]:
        settle(script, request)
    script.slider.value = 2
    first = second = script.posted[-1]
    for number in range(300):
        model = {"type": "object", "name": "Div", "id": f"d{number}"}
        event = {"kind": "ModelChanged", "model": {"id": column.id}, "attr": "children"}
        script.receive({**event, "new": [model]})
        if number == 200:
            script.slider.value = 3
            second = script.posted[-1]
            settle(script, first)
    assert len(script.engine._departures._gone) < 202
    settle(script, second)
    while questions := [question for question in pulls(script) if not question.done]:
        settle(script, questions[0], Error("s", "e", "r", "not now"))  # both have left that were given their places
    script.receive(changed(script, "title", "theirs"))
    assert len(script.engine._departures._gone) == 0


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Have threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
def test_a_thread_may_change_what_another_one_hears_of_from_the_server() -> None:
    key = ("model", "value")
    for _ in range(10):
        conflicts = Conflicts()
        made: list[Request] = []

        def change(conflicts: Conflicts = conflicts, made: list[Request] = made) -> None:
            for _ in range(2000):
                request = Request(Ask.PATCH, Change(("change",), key, True, False), sent_after=0)
                conflicts.changed(request)
                made.append(request)

        thread = threading.Thread(target=change)
        thread.start()
        answered = 0
        while thread.is_alive() or answered < len(made):
            assert conflicts.judge(key, answered + 1) in Verdict
            if answered < len(made):
                conflicts.answered(made[answered])
                answered += 1
        thread.join()
        assert conflicts.unanswered(key) == ()


def test_rows_that_a_handler_streams_between_those_of_the_server_and_ours_are_asked_for() -> None:
    script = pushed()
    script.slider.title = "under way"
    answer = server_with(script, lambda there: cast(Any, there.roots[0]).update(data={"x": [5], "y": [5]}))
    settle(script, script.posted[-1], Error("s", "e", "r", "refused"))
    script.source.stream({"x": [1], "y": [1]})
    told: list[Any] = []

    def add(attr: str, old: Any, new: Any) -> None:
        told.append(None)
        if len(told) == 1:
            script.source.stream({"x": [2], "y": [2]})

    script.source.on_change("data", add)
    settle(script, pulls(script)[0], answer)
    assert sorted(script.source.data["x"]) == [1, 2, 5]
    for request in [request for request in script.posted if request.ask is Ask.PATCH and not request.done]:
        settle(script, request)
    there = server_with(script, lambda there: cast(Any, there.roots[0]).update(data={"x": [5, 1, 2], "y": [5, 1, 2]}))
    settle(script, pulls(script)[1], there)
    assert list(script.source.data["x"]) == [5, 1, 2]
    assert script.engine.is_settled


def of_value(*, sent_after: int | None, replaces: bool = True) -> Request:
    return Request(Ask.PATCH, Change(("a change",), VALUE, replaces=replaces), sent_after=sent_after)


VALUE = ("model", "value")


@pytest.mark.parametrize(("number", "contested"), [(3, False), (4, True)])
def test_what_came_after_the_first_of_our_changes_was_sent_contests_it_though_the_last_overwrites_it(
    number: int, contested: bool
) -> None:
    conflicts = Conflicts()
    conflicts.changed(of_value(sent_after=3))
    conflicts.changed(of_value(sent_after=None))
    assert conflicts.judge(VALUE, number) is Verdict.STALE
    assert conflicts.is_contested(VALUE) is contested


def test_what_arrives_until_the_documents_are_compared_contests_nothing() -> None:
    conflicts = Conflicts()
    conflicts.changed(of_value(sent_after=3, replaces=False))
    conflicts.begin_comparing()
    assert conflicts.judge(VALUE, 4) is Verdict.DOUBT
    assert not conflicts.is_contested(VALUE)
    conflicts.end_comparing()
    assert conflicts.judge(VALUE, 5) is Verdict.DOUBT
    assert conflicts.is_contested(VALUE)


@pytest.mark.parametrize(("sent_after", "known"), [(None, True), (4, True), (3, True), (2, False)])
def test_what_the_server_had_before_a_change_is_what_had_arrived_when_it_was_sent(
    sent_after: int | None, known: bool
) -> None:
    conflicts = Conflicts()
    change = of_value(sent_after=sent_after)
    conflicts.changed(change)
    conflicts.preceded(VALUE, Before(1, ()), 3)
    assert (change.before is not None) is known


def test_what_another_thread_changes_while_a_message_is_applied_was_made_before_it() -> None:
    """It may refer to what the message takes out, and the server drops it then."""
    script = pushed()

    def change_elsewhere(attr: str, old: object, new: object) -> None:
        thread = threading.Thread(target=setattr, args=[script.slider, "value", 3])
        thread.start()
        thread.join()
        script.slider.end = 8

    script.slider.on_change("title", change_elsewhere)
    event = {"kind": "ModelChanged", "model": {"id": script.slider.id}, "attr": "title", "new": "theirs"}
    script.receive(event)
    script.slider.value = 4
    made_after = {str(request.change): request.made_after for request in script.posted[1:]}
    assert [request.made_after for request in script.posted[1:]] == [0, 1, 1], made_after
