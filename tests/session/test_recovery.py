"""What the engine does after a reconnection, by itself: its requests are collected, and answered by the test."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, cast
from unittest.mock import Mock

import pytest
from bokeh.document import Document
from bokeh.events import MenuItemClick
from bokeh.models import Column, ColumnDataSource
from bokeh.models.widgets import Div, Slider

from bokehwire import ChangesInDoubt, ConnectionLost, PatchRejected, RequestRefused
from bokehwire.protocol import Error, Ok, PatchDoc, PullDocReply
from bokehwire.session import encoding, replaying
from bokehwire.session.encoding import encode_document
from bokehwire.session.identity import is_generated
from bokehwire.session.requests import Answered, Ask, Change, Doubted, Patched, Reconnected, Request

from ..live import DEADLINE
from .scripted import Scripted


def test_the_documents_are_compared_only_after_a_round_trip() -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.lose()
    script.reconnect()
    assert [request.ask for request in script.asked()[1:]] == [Ask.ROUND_TRIP]
    script.answer(Ok("s", "r"))
    assert [request.ask for request in script.asked()[1:]] == [Ask.ROUND_TRIP, Ask.PULL]
    assert script.resumed == []
    script.answer(script.contents())
    assert script.resumed == [((), (), 1)]
    assert [request.ask for request in script.posted[1:]] == [Ask.ROUND_TRIP, Ask.PULL]  # one document tells all


@pytest.mark.parametrize("before", [0, 1], ids=["round trip", "pull"])
def test_a_comparison_that_fails_ends_the_session(before: int) -> None:
    script = Scripted()
    for _ in range(1 + before):
        script.answer(Ok("s", "r"))
        if script.asked()[-1] is script.push:
            script.lose()
            script.reconnect()
    script.answer(Error("s", "e", "r", "refused"))
    assert len(script.given_up) == 1
    assert isinstance(script.given_up[0][0], RequestRefused)


def test_a_refusal_of_before_the_loss_is_reported_after_it() -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.slider.value = 2
    script.slider.title = "new"
    script.doubted = tuple(script.posted[1:])
    assert len(script.doubted) == 2
    script.engine.handle(Doubted(script.doubted, Error("s", "e", "r", "refused")))
    script.come_back()
    assert [type(trouble) for trouble in script.troubles] == [PatchRejected]


def test_a_push_into_a_new_session_settles_the_changes_it_carries() -> None:
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    script.slider.value = 2
    push = script.start_over()
    assert [request.done for request in script.unsent] == [True]
    assert push.ask is Ask.PUSH


def test_a_push_into_a_new_session_that_is_refused_ends_the_session_and_names_the_changes_it_carries() -> None:
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    script.slider.value = 2
    push = script.start_over()
    assert len(push.changes) == 1
    script.engine.handle(Answered((push,), Error("s", "e", "r", "refused")))
    ((failure, changes),) = script.given_up
    assert (type(failure), changes) == (RequestRefused, push.changes)
    assert script.recoveries == []


def test_a_push_into_a_new_session_has_what_another_thread_changes_while_it_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sent behind it, the rows would be there twice."""
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    thread = threading.Thread(target=script.source.stream, args=[{"x": [7], "y": [7]}])

    def encode(document: Document) -> Any:
        encoded = encode_document(document)
        if thread.ident is None:
            thread.start()
            while not script.engine._outgoing._threads.has_begun:
                assert thread.is_alive()
        return encoded

    monkeypatch.setattr(encoding, "encode_document", encode)
    push = script.start_over()
    thread.join(DEADLINE)
    assert list(script.source.data["x"]) == [0, 7]
    assert b"[0,7]" in bytes(push.content)
    assert [request.ask for request in script.posted if request.ask is Ask.PATCH] == []


def test_a_change_that_is_posted_while_a_push_into_a_new_session_is_written_is_carried_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one of another thread may be that had begun before."""
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))

    def encode(document: Document) -> Any:
        if script.slider.value == 1:
            script.slider.value = 2
            script.unsent = tuple(script.posted[-1:])
        return encode_document(document)

    monkeypatch.setattr(encoding, "encode_document", encode)
    push = script.start_over()
    assert [request.done for request in script.unsent] == [True]
    assert push.carries == script.unsent


@pytest.mark.parametrize("sent", [False, True])
def test_a_push_into_a_new_session_carries_no_messages(sent: bool) -> None:
    """One that was under way is named; one that waits is sent behind the push, to models by their new ids."""
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    model = {"type": "object", "name": "Slider", "id": "p1002", "attributes": {"start": 0, "end": 9}}
    script.receive({"kind": "RootAdded", "model": model})  # with an id that the old server has counted
    script.slider = cast(Slider, script.document.roots[-1])
    script.slider.value = 2
    script.document.callbacks.send_event(MenuItemClick(script.slider, "item"))
    message = script.posted[-1]
    if sent:
        message.sent_after = 0
    push = script.start_over()
    groups, _, _ = script.resumed[-1]
    assert len(push.changes) == 1
    named = [trouble.changes for trouble in script.troubles if isinstance(trouble, ChangesInDoubt)]
    assert named == [("message 'bokeh_event' sent",)] * sent
    assert message.done is sent
    assert groups == [(push,)] + [(message,)] * (not sent)
    assert (script.slider.id.encode() in bytes(message.content), script.slider.id == "p1002") == (True, False)


def test_a_refusal_of_before_a_push_into_a_new_session_is_not_reported_of_later_changes() -> None:
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    script.slider.value = 2
    script.slider.title = "new"
    script.doubted = tuple(script.posted[1:])
    script.engine.handle(Doubted(script.doubted, Error("s", "e", "r", "refused")))
    push = script.start_over()
    script.engine.handle(Answered((push,), Ok("s", "r")))
    assert [recovery.pushed for recovery in script.recoveries] == [True]
    script.slider.value = 3
    script.doubted = tuple(script.posted[-1:])
    script.come_back()
    assert script.troubles == []


def test_an_answer_of_before_a_second_loss_compares_nothing() -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.lose()
    script.reconnect()
    stale = [script.asked()[-1]]
    script.lose()
    script.engine.handle(Answered((stale[0],), Ok("s", "r")))
    assert script.asked()[-1] is stale[0]
    script.reconnect()
    fence = script.asked()[-1]
    script.engine.handle(Answered((fence,), Ok("s", "r")))
    stale.append(script.asked()[-1])
    script.lose()
    script.engine.handle(Answered((stale[1],), script.contents()))
    assert script.resumed == []


ROWS: dict[str, Any] = {"x": [1], "y": [1]}
EDITS: Mapping[str, Callable[[Scripted], object]] = {
    "add_root": lambda script: script.document.add_root(Slider(start=0, end=1, value=0)),
    "remove_root": lambda script: script.document.remove_root(script.slider),
    "patch": lambda script: script.source.patch({"x": [(0, 5)]}),
    "stream": lambda script: script.source.stream(ROWS),
    "rollover": lambda script: script.source.stream(ROWS, 1),
    "data": lambda script: setattr(script.source, "data", ROWS),
    "property": lambda script: setattr(script.slider, "value", 2),
    "title": lambda script: setattr(script.document, "title", "new"),
}


@pytest.mark.parametrize("kind", EDITS)
@pytest.mark.parametrize("arrived", [True, False])
def test_a_change_whose_answer_is_lost_is_found_on_the_server_or_sent_again(kind: str, arrived: bool) -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    before = script.contents()
    EDITS[kind](script)
    (change,) = script.doubted = tuple(script.posted[1:])
    script.come_back(script.contents() if arrived else before)
    assert script.troubles == []
    assert script.resumed == [((), (change,), 1) if arrived else (((change,),), (change,), 1)]


OVERWRITTEN: Mapping[str, tuple[Callable[[Scripted], object], dict[str, Any]]] = {
    "title": (
        lambda script: setattr(script.document, "title", "ours"),
        {"kind": "TitleChanged", "title": "theirs"},
    ),
    "property": (
        lambda script: setattr(script.slider, "title", "ours"),
        {"kind": "ModelChanged", "attr": "title", "new": "theirs"},
    ),
}


@pytest.mark.parametrize("kind", OVERWRITTEN)
def test_a_change_over_one_of_the_server_is_told_from_its_absence(kind: str) -> None:
    """The server's came before ours was sent, and is passed over here; where the server has it yet, ours is missing."""
    script = Scripted()
    script.answer(Ok("s", "r"))
    edit, event = OVERWRITTEN[kind]
    edit(script)
    (change,) = script.doubted = tuple(script.posted[1:])
    event = {"model": {"id": script.slider.id}, **event} if kind == "property" else event
    script.engine.handle(Patched(PatchDoc("s", {"events": [event]}), 1))
    change.sent_after = 1
    there = script.contents()
    there.content["doc"] = json.loads(json.dumps(there.content["doc"]).replace('"ours"', '"theirs"'))
    script.come_back(there)
    assert script.troubles == []
    assert script.resumed == [(((change,),), (change,), 1)]


def test_rows_of_a_source_that_came_in_a_while_ago_are_found_on_the_server() -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    source = ColumnDataSource(data={"x": [0]})
    script.document.add_root(source)
    script.engine.handle(Answered((script.posted[-1],), Ok("s", "r")))
    source.stream({"x": [1]})
    script.doubted = (script.posted[-1],)
    script.come_back()
    assert script.troubles == []
    assert script.resumed == [((), script.doubted, 1)]


def test_the_echo_of_a_push_that_is_sent_again_begins_anew() -> None:
    """By then the server has our roots from the first time, and tells that it takes them out."""
    script = Scripted()
    roots = script.document.roots

    def tell(number: int, kind: str, root: Any) -> None:
        script.engine.handle(Patched(PatchDoc("s", {"events": [{"kind": kind, "model": {"id": root.id}}]}), number))

    tell(1, "RootAdded", roots[0])
    script.lose()
    script.engine.handle(Reconnected(1, 0.0, True, True))
    tell(2, "RootRemoved", roots[0])
    for number, root in enumerate(roots, 3):
        tell(number, "RootAdded", root)
    script.answer(Ok("s", "r"))
    assert script.document.roots == roots
    assert script.troubles == []


def test_nothing_is_compared_while_the_first_push_is_not_sent() -> None:
    script = Scripted()
    script.lose()
    script.reconnect()
    assert script.asked() == [script.push]
    assert len(script.recoveries) == 1
    assert script.resumed == [((), (), 1)]


def test_models_that_are_pushed_into_a_new_session_have_ids_that_its_server_cannot_come_to() -> None:
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    there = Document.from_json(script.contents().content["doc"])
    theirs = Slider(start=0, end=1, value=0)
    there.add_root(theirs)
    event = json.loads(bytes(encode_document(there).content))["doc"]["roots"][-1]
    script.receive({"kind": "RootAdded", "model": event})
    root = script.document.roots[-1]
    assert (root.id, is_generated(root.id)) == (theirs.id, True)
    push = script.start_over()
    assert script.document.roots[-1] is root
    assert root.id != theirs.id
    assert theirs.id.encode() not in bytes(push.content)
    root.value = 1  # type: ignore[attr-defined]
    assert root.id.encode() in bytes(script.posted[-1].content)
    assert b"object" not in bytes(script.posted[-1].content)


@pytest.mark.parametrize("heard", [False, True])
def test_a_push_without_roots_is_followed_by_a_question_if_anything_was_heard_meanwhile(heard: bool) -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.document.clear()
    push = script.engine.push(script.document)
    if heard:
        script.receive({"kind": "TitleChanged", "title": "before the push, or in reaction to it"})
    for request in script.posted[1:]:
        script.engine.handle(Answered((request,), Ok("s", "r")))
    assert push.done
    assert (script.posted[-1].ask is Ask.PULL) is heard


def test_a_configuration_that_was_pulled_does_not_go_into_a_new_session() -> None:
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    theirs = script.contents()
    theirs.content["doc"]["config"]["id"] = "p7000"
    script.engine.handle(Answered((script.engine.pull(),), theirs))
    assert script.document.config.id == "p7000"
    assert b"p7000" not in bytes(script.start_over().content)


def test_what_a_push_that_is_sent_again_overwrites_is_not_heard_of() -> None:
    script = Scripted()
    value = script.slider.value
    script.receive({"kind": "RootAdded", "model": {"id": script.document.roots[0].id}})
    script.lose()
    script.engine.handle(Reconnected(1, 0.0, True, True))
    script.receive({"kind": "ModelChanged", "model": {"id": script.slider.id}, "attr": "value", "new": 5})
    assert script.slider.value == value


def test_a_second_loss_in_a_handler_while_the_server_s_document_is_taken_over_is_compared_as_well() -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    losses = iter([2])

    def lose(attr: str, old: object, new: object) -> None:
        for number in losses:
            script.lose(number)
            script.reconnect()

    script.slider.on_change("end", lose)
    there = Document.from_json(script.contents().content["doc"])
    cast(Any, there.roots[1]).end = 8
    content = PullDocReply("s", "r", json.loads(bytes(encode_document(there).content)))
    script.come_back(content)
    assert script.recoveries == []
    script.answer(Ok("s", "r"))
    script.answer(content)
    assert len(script.recoveries) == 1
    assert script.engine.is_settled


def chosen() -> Slider:
    """A model whose id a program has chosen."""
    slider = Slider(start=0, end=1, value=0)
    cast(Any, slider)._id = "chosen"
    return slider


def reconfigure(script: Scripted, there: PullDocReply) -> None:
    """Give the server's document another configuration than ours."""
    text = json.dumps(there.content["doc"]["config"])
    for number, model in enumerate(script.document.config.references()):
        text = text.replace(model.id, f"p{8000 + number}")
    there.content["doc"]["config"] = json.loads(text)


@pytest.mark.parametrize(
    ("config", "models", "goes_on"), [("old", "new", True), ("new", "old", True), ("new", "new", False)]
)
def test_a_session_is_recognised_by_its_documents_configuration_or_else_by_its_models(
    config: str, models: str, goes_on: bool
) -> None:
    """One model has an id that the application has chosen, which a new session has as well."""
    script = Scripted()
    script.document.add_root(chosen())
    for push_or_change in list(script.posted):
        script.engine.handle(Answered((push_or_change,), Ok("s", "r")))
    there = json.dumps(script.contents().content)
    if models == "new":
        others = script.document.models.synced_references - script.document.config.references()
        for number, model in enumerate(model for model in others if model.id != "chosen"):
            there = there.replace(model.id, f"p{9000 + number}")
    reply = PullDocReply("s", "r", json.loads(there))
    if config == "new":
        reconfigure(script, reply)
    script.come_back(reply)
    assert (len(script.recoveries), script.given_up) == ((1, []) if goes_on else (0, [(None, ())]))


@pytest.mark.parametrize("met", ["pulled", "pushed into a new session"])
def test_the_configuration_is_that_of_what_was_last_pulled_or_pushed(met: str) -> None:
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    if met == "pulled":
        theirs = script.contents()
        theirs.content["doc"]["config"]["id"] = "p7000"
        pull = script.engine.pull()
        script.engine.handle(Answered((pull,), theirs))
    else:
        script.engine.handle(Answered((script.start_over(),), Ok("s", "r")))
    script.recoveries.clear()
    there = Document()
    there.add_root(Slider(start=0, end=1, value=0))
    content = json.loads(bytes(encode_document(there).content))
    content["doc"]["config"]["id"] = "p7000" if met == "pulled" else str(script.document.config.id)
    script.come_back(PullDocReply("s", "r", content))
    assert [recovery.pushed for recovery in script.recoveries] == [False]


def test_a_document_without_a_configuration_is_recognised_by_its_models() -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    there = script.contents()
    del there.content["doc"]["config"]
    script.come_back(there)
    assert len(script.recoveries) == 1
    there.content["doc"]["roots"] = []
    script.come_back(there)
    assert script.given_up == [(None, ())]


def test_a_model_with_a_chosen_id_may_have_become_another_in_a_session_that_goes_on() -> None:
    script = Scripted()
    script.document.add_root(chosen())
    for push_or_change in list(script.posted):
        script.engine.handle(Answered((push_or_change,), Ok("s", "r")))
    there = Document.from_json(script.contents().content["doc"])
    there.remove_root(there.roots[-1])
    other = Div(text="on another page")
    cast(Any, other)._id = "chosen"
    there.add_root(other)
    script.come_back(PullDocReply("s", "r", json.loads(bytes(encode_document(there).content))))
    assert len(script.recoveries) == 1


@pytest.mark.parametrize("told", ["one root", "all roots"])
def test_a_session_is_recognised_though_its_roots_were_just_being_replaced(told: str) -> None:
    """As when another client pushes, whose document has another configuration, and the connection is cut meanwhile."""
    script = Scripted()
    script.answer(Ok("s", "r"))
    there = script.contents()
    reconfigure(script, there)
    for root in script.document.roots[: 1 if told == "one root" else 2]:
        script.receive({"kind": "RootRemoved", "model": {"id": root.id}})
    there.content["doc"]["roots"] = there.content["doc"]["roots"][:1]
    script.come_back(there)
    assert len(script.recoveries) == 1
    assert [root.id for root in script.document.roots] == [script.source.id]


@pytest.mark.parametrize("emptied_by", ["server", "program"])
def test_a_document_that_the_server_has_emptied_is_not_pushed(emptied_by: str) -> None:
    """The server may be about to fill it with what another client has pushed."""
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    if emptied_by == "program":
        script.document.clear()
    for root in script.document.roots:
        script.receive({"kind": "RootRemoved", "model": {"id": root.id}})
    for change in script.posted[1:]:
        script.engine.handle(Answered((change,), Ok("s", "r")))
    there = Document()
    there.add_root(Slider(start=0, end=1, value=0))
    script.come_back(PullDocReply("s", "r", json.loads(bytes(encode_document(there).content))))
    if emptied_by == "program":
        assert script.resumed[-1][0][0][0].ask is Ask.PUSH
    else:
        assert [recovery.pushed for recovery in script.recoveries] == [False]
        assert len(script.document.roots) == 1


@pytest.mark.parametrize("later", ["a change", "an answer"])
def test_roots_that_were_taken_out_a_while_ago_tell_nothing(later: str) -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    there = script.contents()
    reconfigure(script, there)
    there.content["doc"]["roots"] = there.content["doc"]["roots"][:1]
    script.receive({"kind": "RootRemoved", "model": {"id": script.source.id}})
    if later == "a change":
        script.receive({"kind": "TitleChanged", "title": "later"})
    else:
        script.engine.handle(Answered((script.engine.ask(Ask.ROUND_TRIP),), Ok("s", "r")))
    script.come_back(there)
    assert script.given_up == [(None, ())]


def test_what_the_server_had_before_a_push_is_not_taken_over() -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.slider.value = 2
    change = script.posted[-1]
    script.engine.handle(Answered((change,), Error("s", "e", "r", "refused")))
    question = script.posted[-1]
    push = script.engine.push(script.document)
    there = script.contents()
    there.content["doc"]["title"] = "theirs"
    script.engine.handle(Answered((question,), there))
    assert script.document.title != "theirs"
    script.engine.handle(Answered((push,), Ok("s", "r")))
    assert script.engine.is_settled


def test_what_a_refused_push_has_left_in_doubt_is_named_and_holds_nothing_up() -> None:
    script = Scripted()
    script.slider.value = 2
    (change,) = script.posted[1:]
    script.engine.handle(Answered((script.push,), Error("s", "e", "r", "refused")))
    script.doubted = (change,)
    script.lose()
    script.reconnect()
    assert script.resumed == [((), (change,), 1)]
    (trouble,) = script.troubles
    assert isinstance(trouble, ChangesInDoubt)
    assert trouble.changes == change.changes


def test_a_push_into_a_new_session_that_another_loss_has_kept_from_being_sent_is_replaced() -> None:
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    script.slider.value = 2
    first = script.start_over()
    script.slider.title = "newer"
    script.unsent = (first, script.posted[-1])
    names = (*first.changes, *script.posted[-1].changes)
    script.lose(2)
    script.reconnect()
    script.answer(Ok("s", "r"))
    script.answer(script.contents())  # whatever the new session is like, our document has still to go there
    ((second,),), doubted, losses = script.resumed[-1]
    assert (second.ask, doubted, losses) == (Ask.PUSH, (), 2)
    assert second is not first
    assert second.changes == names
    assert list(script.engine._echoes) == [second]


@pytest.mark.parametrize("refused", [False, True])
def test_a_push_of_the_program_that_waits_is_part_of_the_one_into_a_new_session(refused: bool) -> None:
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    older = script.engine.push(script.document)
    part = Request(Ask.PATCH, Change(("part of the older push",)))
    older.carries = (part,)
    script.source.stream(ROWS)
    first = script.start_over()
    assert script.unsent == (older, script.posted[2])
    script.unsent = (first,)  # another loss has kept it from being sent
    script.lose(2)
    script.reconnect()
    script.answer(Ok("s", "r"))
    script.answer(script.contents())
    second = script.resumed[-1][0][0][0]
    done = [older.done]
    assert second.changes == (*part.changes, *script.posted[2].changes)
    assert b'"x",[0,1]' in bytes(second.content)
    answer = Error("s", "e", "r", "refused") if refused else Ok("s", "r")
    script.engine.handle(Answered((second,), answer))
    done.append(older.done)
    assert done == [False, True]
    assert isinstance(older.error, RequestRefused) is refused
    assert (list(script.engine._echoes), script.engine._comeback._stood_for) == ([], {})


def test_a_push_that_is_part_of_another_ends_with_the_session() -> None:
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    older = script.engine.push(script.document)
    script.start_over()
    script.end()
    assert isinstance(older.error, ConnectionLost)


def test_a_change_after_a_contested_one_is_judged_by_what_the_server_has() -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.slider.value = 2
    script.posted[-1].sent_after = 0
    script.receive({"kind": "ModelChanged", "model": {"id": script.slider.id}, "attr": "value", "new": 5})
    script.engine.handle(Answered((script.posted[1],), Ok("s", "r")))
    script.engine.handle(Answered((script.posted[2],), script.contents()))
    script.slider.value = 3
    script.doubted = (script.posted[-1],)
    script.come_back()
    assert script.troubles == []


def test_finding_out_how_many_equal_rows_have_arrived_tries_no_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apply = Mock(wraps=replaying._with_columns)
    monkeypatch.setattr(replaying, "_with_columns", apply)
    script = Scripted()
    script.answer(Ok("s", "r"))
    for _ in range(60):
        script.source.stream(ROWS)
    there = script.contents()
    for _ in range(40):
        script.source.stream(ROWS)
    script.doubted = tuple(script.posted[1:])
    script.come_back(there)
    (again, *_), doubted, _ = script.resumed[-1]
    assert script.doubted == doubted
    assert len(again) == 1
    assert again[0] is script.doubted[60]
    assert not apply.called
    assert script.troubles == []


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"kind": "ColumnsStreamed", "data": {"x": [3]}, "rollover": None}, [1, 2, 3]),
        ({"kind": "ColumnsStreamed", "data": {"x": [3]}, "rollover": 2}, [2, 3]),
        ({"kind": "ColumnsPatched", "patches": {"x": [(0, 5), (slice(1, 2), [6])]}}, [5, 6]),
    ],
)
def test_finding_out_what_has_arrived_copies_no_column_for_each_change(
    event: dict[str, Any], expected: list[int]
) -> None:
    column = [1, 2]
    assert replaying._with_columns({"x": column}, event) == {"x": expected}
    assert column == expected


def test_a_change_made_in_an_outage_counts_as_made_before_what_the_server_has_done_in_it() -> None:
    """The server may have taken out what it refers to, and would drop it with an OK."""
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.lose()
    lost = script.received
    script.slider.value = 2
    script.receive({"kind": "TitleChanged", "title": "over the new connection already"})
    script.slider.value = 3
    assert [request.made_after < lost for request in script.posted[1:]] == [True, True]
    script.reconnect()
    script.answer(Ok("s", "r"))
    script.answer(script.contents())
    script.slider.value = 4
    assert script.posted[-1].made_after >= lost
    script.engine.handle(Doubted((script.posted[1],), Ok("s", "r")))
    assert script.asked()[-1].ask is Ask.PULL  # whether it has been dropped


@pytest.mark.parametrize("pushing", [True, False])
def test_a_change_made_after_a_push_over_a_new_connection_refers_to_what_was_pushed(pushing: bool) -> None:
    script = Scripted(new_session=True)
    script.answer(Ok("s", "r"))
    script.lose()
    if pushing:
        script.engine.handle(Reconnected(1, 0.0, True, True))
    else:
        script.reconnect(same_process=False)
        script.answer(Ok("s", "r"))
        script.answer(script.contents())
    script.slider.value = 4
    assert script.posted[-1].made_after >= script.received


def test_what_arrives_while_the_documents_wait_to_be_compared_contests_nothing() -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    script.slider.value = 2
    (first,) = script.doubted = tuple(script.posted[1:])
    first.sent_after = 0
    there = script.contents()
    script.lose()
    script.slider.value = 3
    script.receive({"kind": "ModelChanged", "model": {"id": script.slider.id}, "attr": "value", "new": 2})
    script.reconnect()
    script.answer(Ok("s", "r"))
    script.answer(there)
    assert script.resumed == [((), (first,), 1)]
    assert script.troubles == []


def test_an_interruption_while_the_server_s_document_is_taken_over_is_made_up_for() -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    there = Document.from_json(script.contents().content["doc"])
    cast(Any, there.roots[1]).update(start=-1, end=8, title="theirs")
    content = json.loads(bytes(encode_document(there).content))
    interruptions = iter([KeyboardInterrupt()])

    def interrupt(attr: str, old: object, new: object) -> None:
        for interruption in interruptions:
            raise interruption

    script.slider.on_change("end", interrupt)
    script.lose()
    script.reconnect()
    script.answer(Ok("s", "r"))
    answer = Answered((script.asked()[-1],), PullDocReply("s", "r", content))
    with pytest.raises(KeyboardInterrupt):
        script.engine.handle(answer)
    assert script.recoveries == []
    script.engine.handle(answer)  # as what was interrupted is handled once more
    assert (script.slider.start, script.slider.end, script.slider.title) == (-1, 8, "theirs")
    assert len(script.recoveries) == 1
    assert script.engine.is_settled


def test_a_push_that_was_not_sent_before_a_comparison_is_followed_by_a_question() -> None:
    """It has what was here before, and the document has the server's values by then."""
    script = Scripted()
    script.answer(Ok("s", "r"))
    pushed = script.contents()
    push = script.engine.push(script.document)
    theirs = script.contents()
    theirs.content["doc"]["title"] = "theirs"
    script.come_back(theirs)
    assert script.document.title == "theirs"
    script.engine.handle(Answered((push,), Ok("s", "r")))
    assert script.posted[-1].ask is Ask.PULL
    script.engine.handle(Answered((script.posted[-1],), pushed))
    assert script.document.title == pushed.content["doc"]["title"]
    assert script.engine.is_settled


@pytest.mark.parametrize("judged", [False, True], ids=["an outage", "a refusal"])
def test_a_model_that_a_held_change_brings_in_is_not_taken_for_one_of_the_server_with_the_same_id(judged: bool) -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    source = {"type": "object", "name": "ColumnDataSource", "id": "p8000001"}
    source["attributes"] = cast(Any, {"data": {"type": "map", "entries": [["x", [0]]]}})
    script.receive({"kind": "RootAdded", "model": source})
    theirs = cast(ColumnDataSource, script.document.roots[-1])
    before = len(script.posted)
    theirs.stream({"x": [1]})
    theirs.stream({"x": [2]})
    script.doubted = tuple(script.posted[before:])
    there = script.contents()
    script.document.hold()
    newcomer = Div(text="new")
    cast(Any, newcomer)._id = "p8000001"  # as if it were counted so far
    script.slider.tags = [{"inside": newcomer}]
    if judged:
        script.engine.handle(Doubted(script.doubted, Error("s", "e", "r", "refused")))
        script.answer(there)
        (trouble,) = script.troubles
        assert isinstance(trouble, PatchRejected)
        assert "failed" in str(trouble)
    else:
        script.come_back(there)
        assert script.given_up == []
        assert script.troubles == []
    assert script.resumed[-1][0] == ()  # it has both
    assert newcomer.id != "p8000001"
    assert script.document.get_model_by_id(cast(Any, "p8000001")) is theirs


def test_no_ok_is_believed_to_a_change_with_a_model_that_an_outage_may_have_taken_out() -> None:
    """What has been changed in the outage stays as it is, and so does the model in it, also for later changes."""
    script = Scripted()
    column = Column(children=[Div(text="gone")])
    script.document.add_root(column)
    push = script.engine.push(script.document)
    for request in script.posted:
        if not request.done:
            script.engine.handle(Answered((request,), Ok("s", "r")))
    assert push.done
    theirs = script.contents()
    (root,) = (root for root in theirs.content["doc"]["roots"] if root["id"] == column.id)
    root["attributes"]["children"] = []
    script.lose()
    column.children = [*column.children, Div(text="of the outage")]
    in_outage = script.posted[-1]
    script.reconnect()
    script.answer(Ok("s", "r"))
    script.answer(theirs)
    assert [cast(Div, child).text for child in column.children] == ["gone", "of the outage"]
    column.children = [*column.children, Div(text="later")]
    later = script.posted[-1]
    for request in (in_outage, later):
        asked = len(script.posted)
        script.engine.handle(Doubted((request,), Ok("s", "r")))
        assert [request.ask for request in script.posted[asked:]] == [Ask.PULL]
        script.answer(theirs)
        assert request.done


@pytest.mark.parametrize("between", ["data", "detached", "pull", "server"])
def test_rows_are_sent_that_make_a_source_as_long_as_it_was_when_it_was_pushed(between: str) -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    source = script.source
    match between:
        case "data":
            source.data = {"x": [], "y": []}
        case "detached":
            script.document.remove_root(source)
            source.data = {"x": [], "y": []}
            script.document.add_root(source)
        case "pull":
            theirs = script.contents()
            (root,) = (root for root in theirs.content["doc"]["roots"] if root["id"] == source.id)
            root["attributes"]["data"]["entries"] = [["x", []], ["y", []]]
            script.engine.handle(Answered((script.engine.pull(),), theirs))
            source = cast(ColumnDataSource, script.document.roots[0])
        case _:
            empty = {"type": "map", "entries": [["x", []], ["y", []]]}
            script.receive({"kind": "ModelChanged", "model": {"id": source.id}, "attr": "data", "new": empty})
    assert source.data == {"x": [], "y": []}
    posted = len(script.posted)
    source.stream({"x": [7], "y": [7]})
    assert [str(request.change) for request in script.posted[posted:]] == [
        f"ColumnDataSource(id={source.id!r}).data streamed"
    ]


@pytest.mark.parametrize("whose", ["ours", "the server's"])
def test_the_removal_of_a_root_that_has_come_after_the_push_is_sent(whose: str) -> None:
    script = Scripted()
    script.answer(Ok("s", "r"))
    if whose == "ours":
        script.document.add_root(Div())
    else:
        model = {"type": "object", "name": "Div", "id": "p7001", "attributes": {}}
        script.receive({"kind": "RootAdded", "model": model})
    root = script.document.roots[-1]
    script.document.remove_root(root)
    assert str(script.posted[-1].change) == f"root Div(id={root.id!r}) removed"
