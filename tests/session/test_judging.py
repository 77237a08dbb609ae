"""What is done about changes, in which order."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from bokeh.document import Document

from bokehwire import ChangesInDoubt, PatchRejected
from bokehwire.protocol import Error, Ok
from bokehwire.session.conflicts import Conflicts
from bokehwire.session.evidence import Told
from bokehwire.session.identity import Acquaintance
from bokehwire.session.judging import Judge
from bokehwire.session.requests import Ask, Change, Request


def change(name: str) -> Request:
    content = msgspec.Raw(b'{"kind": "ModelChanged"}')
    return Request(Ask.PATCH, Change((name,), ("model", name), replaces=True, alone=False), content, made_after=5)


def judge_with(order: list[Any]) -> tuple[Judge, Conflicts]:
    conflicts = Conflicts()
    resume = Mock(side_effect=lambda *arguments: order.append("resumed"))
    return Judge(conflicts, resume, lambda error: order.append(type(error)), Acquaintance()), conflicts


@pytest.mark.parametrize("verdict", ["dropped", "lost", "left"])
def test_a_program_is_told_when_the_sending_has_gone_on(verdict: str) -> None:
    """It may make a call when it is told."""
    order: list[Any] = []
    judge, _ = judge_with(order)
    requests = (change("first"),)
    if verdict == "dropped":
        none = Mock(return_value=())
        evidence = Mock(document=Document(), unclear=none, dangling=none, worth_naming=lambda gone: gone)
        judge.judge(requests, Ok("s", "r"), evidence, (0, 0))
    elif verdict == "lost":
        judge.judge_lost(requests, (0, 1))
    else:
        judge.leave(requests)
    assert order == ["resumed", PatchRejected if verdict == "dropped" else ChangesInDoubt]


@pytest.mark.parametrize("applied", [False, True])
def test_a_change_is_to_blame_where_the_one_behind_it_is_not(applied: bool) -> None:
    order: list[Any] = []
    judge, _ = judge_with(order)
    first, second = change("first"), change("second")
    evidence = Mock(document=Document(), counts=Mock(return_value=Told(frozenset({1}))))
    judge.judge((first, second), Error("s", "e", "r", "refused"), evidence, (1, 1))
    order.clear()
    assert [type(error) for error in judge.settled(second, applied=applied)] == ([PatchRejected] if applied else [])


@pytest.mark.parametrize("wrote_out", [True, False])
def test_what_was_made_after_a_change_that_has_not_brought_its_models_may_be_dropped_as_well(wrote_out: bool) -> None:
    judge, conflicts = judge_with([])
    later, lost = change("later"), change("dropped")
    conflicts.changed(later)
    if wrote_out:
        lost.content = msgspec.Raw(b'{"kind": "RootAdded", "model": {"type": "object", "id": "new"}}')
    judge.disown(lost, Document())
    assert (later.made_after < 0) is wrote_out


@pytest.mark.parametrize("second_fails", [False, True])
def test_of_refused_changes_that_are_applied_when_they_are_sent_again_all_are_named(second_fails: bool) -> None:
    """The server has failed at one of them, and nothing else would tell."""
    order: list[Any] = []
    judge, _ = judge_with(order)
    first, second = change("first"), change("second")
    evidence = Mock(document=Document(), counts=Mock(return_value=Told(frozenset({0}))))
    judge.judge((first, second), Error("s", "e", "r", "refused"), evidence, (0, 0))
    assert order == ["resumed"]
    assert judge.settled(first, applied=True) == []
    troubles = judge.settled(second, applied=not second_fails)
    assert [getattr(error, "changes", None) for error in troubles] == ([] if second_fails else [("first", "second")])
