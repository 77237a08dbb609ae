"""Which threads wait for each other."""

from __future__ import annotations

import itertools
import threading
from threading import get_ident

import pytest

from bokehwire import UsageError
from bokehwire.session import turns
from bokehwire.session.turns import Turns


@pytest.mark.parametrize("others", [1, 2])
def test_nobody_waits_in_a_circle_however_long(others: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The calling thread is inside the last of some sessions, each of whose threads waits for the next."""
    chain = [Turns() for _ in range(others + 1)]
    waiting = {}
    for number, (one, following) in enumerate(itertools.pairwise(chain), 1):
        one._thread = -number
        waiting[-number] = following
    monkeypatch.setattr(turns, "_waiting", waiting)
    lock = held_by_another_thread()
    with chain[-1].inside(), pytest.raises(UsageError, match="wait for ever"):
        chain[0].acquire(lock)
    assert not chain[0].acquire(lock, timeout=0)
    assert waiting.keys() == {-number for number in range(1, others + 1)}


def test_a_thread_that_has_left_a_handler_may_wait() -> None:
    own = Turns()
    with own.inside(), own.inside():
        pass
    assert not own.is_inside
    assert not own.acquire(held_by_another_thread(), timeout=0)
    assert not own._waits_for(get_ident())


def test_a_thread_takes_a_lock_that_it_has_once_more() -> None:
    lock = threading.RLock()
    with lock, Turns().inside():
        assert Turns().acquire(lock)
        lock.release()


def held_by_another_thread() -> threading.RLock:
    lock = threading.RLock()
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join()
    return lock
