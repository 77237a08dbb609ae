"""What of the server's patches is taken for the echo of a push."""

from __future__ import annotations

from typing import Any

import pytest

from bokehwire.session.echo import PushEcho


def patch(kind: str, identity: str) -> dict[str, Any]:
    return {"events": [{"kind": kind, "model": {"id": identity}}]}


ADDED_A, ADDED_B = patch("RootAdded", "a"), patch("RootAdded", "b")
REMOVED_A, REMOVED_B = patch("RootRemoved", "a"), patch("RootRemoved", "b")
OTHER: dict[str, Any] = {"events": [{"kind": "TitleChanged", "title": "other"}]}


def test_what_comes_between_the_roots_and_after_them_counts() -> None:
    echo = PushEcho(["a", "b"])
    patches = [patch("RootRemoved", "older"), ADDED_A, OTHER, ADDED_B, OTHER]
    assert [echo.swallows(content) for content in patches] == [True, True, False, True, False]
    assert not echo.is_unclear


@pytest.mark.parametrize("told", [OTHER, patch("RootAdded", "of a callback"), {"events": [{"kind": "ModelChanged"}]}])
def test_what_a_callback_makes_of_a_root_is_told_before_the_root(told: dict[str, Any]) -> None:
    echo = PushEcho(["a"])
    assert [echo.swallows(content) for content in (told, ADDED_A)] == [True, True]
    assert echo.is_unclear  # it may concern what the push overwrites


def test_another_client_s_push_of_the_same_roots_is_not_the_echo() -> None:
    echo = PushEcho(["a", "b"])
    theirs = [ADDED_A, ADDED_B]
    ours = [REMOVED_A, REMOVED_B, ADDED_A, ADDED_B]
    assert all(echo.swallows(content) for content in theirs + ours)
    assert echo.is_unclear  # a callback may have taken the first root out instead
    assert not echo.swallows(OTHER)


@pytest.mark.parametrize("heard", [False, True])
def test_nothing_comes_back_of_a_document_without_roots(heard: bool) -> None:
    echo = PushEcho([])
    assert not heard or echo.swallows(OTHER)
    assert echo.is_unclear is heard


@pytest.mark.parametrize("content", [None, {}, {"events": []}, {"events": [{"kind": "RootAdded"}]}])
def test_what_is_no_patch_of_a_root_begins_nothing(content: Any) -> None:
    echo = PushEcho(["a"])
    assert echo.swallows(content)
    assert echo.swallows(OTHER)


def test_messages_are_no_part_of_what_a_push_overwrites() -> None:
    message = {"events": [{"kind": "MessageSent", "msg_type": "note", "msg_data": None}]}
    echo = PushEcho(["a"])
    assert [echo.swallows(content) for content in (message, ADDED_A, message)] == [False, True, False]
    assert not PushEcho([]).swallows(message)
