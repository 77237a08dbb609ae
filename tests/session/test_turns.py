"""One thread at a time, and which threads wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from bokehwire import UsageError
from bokehwire.session import turns
from bokehwire.session.turns import Turn

from ..live import DEADLINE
from .interrupting import in_another_thread, interrupted_at_every_check


@contextmanager
def another_threads(turn: Turn) -> Iterator[None]:
    """It is the turn of another thread, until the end of the block."""
    inside, go = threading.Event(), threading.Event()

    def stay() -> None:
        inside.set()
        assert go.wait(DEADLINE)

    thread = threading.Thread(target=lambda: turn.run(stay))
    thread.start()
    assert inside.wait(DEADLINE)
    try:
        yield
    finally:
        go.set()
        thread.join(DEADLINE)


@pytest.mark.parametrize("others", [0, 1, 2])
def test_nobody_waits_in_a_circle_however_long(others: int) -> None:
    """The calling thread has the last of some turns, each of whose threads waits for the next."""
    chain = [Turn() for _ in range(others + 2)]
    before = dict(turns._waiting)

    def go(number: int) -> None:
        thread = threading.Thread(target=lambda: chain[number].run(lambda: go_on(number)))
        thread.start()
        threads.append(thread)

    def go_on(number: int) -> None:
        if number < others:
            go(number + 1)
        else:
            inside.set()
        chain[number + 1].run(lambda: None, DEADLINE)

    def ask() -> None:
        go(0)
        assert inside.wait(DEADLINE)
        while len(turns._waiting) < len(before) + others + 1:
            assert all(thread.is_alive() for thread in threads)
        with pytest.raises(UsageError, match="wait for ever"):
            chain[0].run(lambda: None)
        assert chain[0].run(lambda: True, 0) is None  # who does not wait is told no such thing

    threads: list[threading.Thread] = []
    inside = threading.Event()
    chain[-1].run(ask)
    for thread in threads:
        thread.join(DEADLINE)
    assert turns._waiting == before


def test_a_turn_is_over_when_its_work_is() -> None:
    turn = Turn()
    seen = [turn.is_mine]
    turn.run(lambda: seen.append(turn.is_mine))
    with pytest.raises(ZeroDivisionError):
        turn.run(lambda: 1 / 0)
    seen.append(turn.is_mine)
    assert seen == [False, True, False]
    in_another_thread(lambda: seen.append(turn.run(lambda: True, 0) or False))
    assert seen[-1]


def test_only_one_thread_has_its_turn() -> None:
    turn = Turn()
    with another_threads(turn):
        assert turn.run(lambda: True, 0) is None
        assert turn.run(lambda: True, 0.01) is None
        assert not turn.is_mine
    assert turn.run(lambda: True, DEADLINE)


def test_an_interruption_anywhere_leaves_nobody_out() -> None:
    done: list[bool | None] = []

    def take(turn: Turn) -> None:
        done.append(turn.run(lambda: True, 0))

    for turn in interrupted_at_every_check([turns], Turn, lambda turn: turn.run(lambda: True)):
        assert not turn.is_mine
        in_another_thread(partial(take, turn))
    assert len(done) > 3
    assert all(done)


def test_an_interruption_anywhere_while_it_waits_leaves_nobody_waiting() -> None:
    other = Turn()
    tried = 0
    with another_threads(other):
        for _ in interrupted_at_every_check([turns], lambda: other, lambda turn: turn.run(lambda: True, 0.001)):
            tried += 1
            assert threading.get_ident() not in turns._waiting
    assert tried > 5
