"""What the outbox does when a connection is lost, by itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bokehwire.protocol import Error, Ok
from bokehwire.session.outbox import Outbox
from bokehwire.session.requests import Ask, Change, Group, Request


def change(name: str) -> Request:
    return Request(Ask.PATCH, Change((name,), (name, "value"), True, False), msgspec.Raw(f'"{name}"'.encode()))


def message(name: str) -> Request:
    return Request(Ask.PATCH, Change((name,)), msgspec.Raw(f'"{name}"'.encode()))


def sent(outbox: Outbox, msgid: str) -> Group:
    group = outbox.take()
    assert group
    outbox.sent(msgid, group)
    return group


def outbox_with(*requests: Request) -> Outbox:
    outbox = Outbox(lambda patch: False)
    for request in requests:
        outbox.post(request)
    return outbox


def test_changes_that_were_under_way_wait_for_a_decision_and_all_others_with_them() -> None:
    first, second = change("first"), change("second")
    outbox = outbox_with(first)
    sent(outbox, "1")
    outbox.post(second)
    assert outbox.interrupt() == ((), ())
    assert (outbox.doubted, outbox.take(), outbox.is_held) == ((first,), (), True)
    outbox.resume([(first,)], (first,), 1)
    assert sent(outbox, "2") == (first,)
    assert outbox.take() == ()
    # It was made before the loss, and what it refers to may have been taken out since.
    assert outbox.answered("2", Ok("s", "2")) == ((first,), True)
    outbox.resume((), (first,), 1)
    second.made_after = outbox.arrived
    assert sent(outbox, "3") == (second,)
    assert outbox.answered("3", Ok("s", "3")) == ((second,), False)


def test_a_decision_of_before_the_loss_is_kept_but_lets_nothing_go() -> None:
    first, second = change("first"), change("second")
    outbox = outbox_with(first, second)
    assert sent(outbox, "1") == (first, second)
    outbox.interrupt()
    outbox.resume([(second,)], (first, second), 0)
    assert (outbox.doubted, outbox.take(), outbox.is_held) == ((), (), True)
    outbox.resume((), (), 1)
    assert sent(outbox, "2") == (second,)


def test_a_push_that_was_under_way_is_sent_again_and_carries_what_came_before() -> None:
    before, push, after = change("before"), Request(Ask.PUSH), change("after")
    outbox = outbox_with(before, push, after)
    for msgid in ("1", "2"):
        sent(outbox, msgid)
    assert outbox.interrupt() == ((before,), ())
    outbox.resume([(before,)], (before,), 0)  # decided before the loss, and part of the push now
    assert (sent(outbox, "3"), sent(outbox, "4")) == ((push,), (after,))
    assert outbox.take() == ()


def test_what_was_asked_is_asked_again_but_not_what_was_urgent() -> None:
    pull, urgent, waiting = Request(Ask.PULL), Request(Ask.PULL, urgent=True), Request(Ask.ROUND_TRIP, urgent=True)
    outbox = outbox_with(pull, urgent)
    for msgid in ("1", "2"):
        sent(outbox, msgid)
    outbox.post(waiting)
    outbox.interrupt()
    outbox.resume((), (), 1)
    assert sent(outbox, "3") == (pull,)
    assert outbox.take() == ()


def test_a_push_can_carry_all_changes() -> None:
    doubted, again, posted, pull = change("doubted"), change("again"), change("posted"), Request(Ask.PULL)
    outbox = outbox_with(doubted, again)
    sent(outbox, "1")
    outbox.interrupt()
    outbox.resume([(again,)], (doubted, again), 0)
    for request in (posted, pull):
        outbox.post(request)
    assert outbox.drop_changes() == (again, posted)
    assert not outbox.holds_changes
    assert list(outbox.requests()) == [pull]


def test_a_push_carries_no_messages() -> None:
    doubted, again, posted = (message(name) for name in ("doubted", "again", "posted"))
    outbox = outbox_with(doubted)
    sent(outbox, "1")
    outbox.interrupt()
    outbox.resume([(again,)], (), 0)
    outbox.post(posted)
    assert outbox.drop_changes() == (doubted, posted)
    assert [request.sent_after is None for request in (doubted, again, posted)] == [False, True, True]
    assert all(request.is_message for request in (doubted, again, posted))


def test_nobody_can_tell_what_has_become_of_messages_around_a_push_that_is_sent_again() -> None:
    before, push, behind, after = message("before"), Request(Ask.PUSH), message("behind"), message("after")
    outbox = outbox_with(before, push, behind, after)
    for msgid in ("1", "2"):
        sent(outbox, msgid)
    assert outbox.answered("1", Ok("s", "1"))[0] == (before,)
    sent(outbox, "3")
    assert outbox.interrupt() == ((), (behind,))
    assert push.carries == ()
    assert (sent(outbox, "4"), sent(outbox, "5")) == ((push,), (after,))


@pytest.mark.parametrize("answered", [False, True])
def test_a_message_before_a_push_that_is_sent_again(answered: bool) -> None:
    before, push = message("before"), Request(Ask.PUSH)
    outbox = outbox_with(before, push)
    for msgid in ("1", "2"):
        sent(outbox, msgid)
    if answered:
        outbox.answered("1", Ok("s", "1"))
    assert outbox.interrupt() == ((), () if answered else (before,))
    assert (sent(outbox, "3"), outbox.take()) == ((push,), ())


def test_a_message_that_was_not_sent_before_a_push_is_lost_again() -> None:
    push, waiting = Request(Ask.PUSH), message("waiting")
    outbox = outbox_with(change("lost"))
    sent(outbox, "1")
    outbox.interrupt()
    outbox.resume([(push,), (waiting,)], outbox.doubted, 1)
    sent(outbox, "2")
    assert outbox.interrupt() == ((), ())
    assert (sent(outbox, "3"), sent(outbox, "4")) == ((push,), (waiting,))


def test_what_was_in_doubt_stays_in_doubt_at_a_further_loss() -> None:
    first = change("first")
    outbox = outbox_with(first)
    sent(outbox, "1")
    outbox.interrupt()
    outbox.interrupt()
    assert (outbox.doubted, outbox.is_held) == ((first,), True)
    outbox.resume([(first,)], (first,), 2)
    assert sent(outbox, "2") == (first,)


def test_a_push_that_is_sent_again_carries_also_what_was_refused_before() -> None:
    first, second, push = change("first"), change("second"), Request(Ask.PUSH)
    outbox = outbox_with(first, second, push)
    for msgid in ("1", "2"):
        sent(outbox, msgid)
    assert outbox.answered("1", Error("s", "1", "refused", "")) == ((first, second), True)
    assert outbox.interrupt() == ((first, second), ())
    assert (outbox.doubted, outbox.is_held) == ((), False)
    assert sent(outbox, "3") == (push,)


def test_what_another_thread_posts_while_a_push_takes_all_changes_is_not_lost() -> None:
    first, second = change("first"), change("second")
    outbox = outbox_with()

    class Intruded(Request):
        """Stands for a switch of threads at the place where it is looked at: another thread posts there."""

        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            if name == "ask" and second not in outbox.requests():
                outbox.post(second)
            return super().__getattribute__(name)

    pull = Intruded(Ask.PULL)
    for request in (first, pull):
        outbox.post(request)
    assert outbox.drop_changes() == (first,)
    assert list(outbox.requests()) == [pull, second]


def test_a_push_that_was_kept_from_being_sent_can_be_taken_back() -> None:
    before, push, after = change("before"), Request(Ask.PUSH), change("after")
    outbox = outbox_with(before)
    sent(outbox, "1")
    outbox.interrupt()
    outbox.resume([(push,)], (before,), 0)
    outbox.post(after)
    assert outbox.drop_changes() == (push, after)
    outbox.resume((), (), 1)
    assert outbox.take() == ()


def test_the_same_replacement_does_not_travel_twice_in_one_message() -> None:
    first, again = change("same"), change("same")
    outbox = outbox_with(change("before"))
    sent(outbox, "1")
    for request in (first, change("other"), again):
        outbox.post(request)
    outbox.answered("1", Ok("s", "1"))
    assert [request.key for request in sent(outbox, "2")] == [("same", "value"), ("other", "value")]
    outbox.answered("2", Ok("s", "2"))
    assert sent(outbox, "3") == (again,)
