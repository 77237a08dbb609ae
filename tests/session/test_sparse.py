"""A weak set that is made when something is put in behaves as one that is there from the beginning."""

from __future__ import annotations

import gc
from weakref import WeakSet

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bokehwire.session import sparse as sparse_module
from bokehwire.session.sparse import SparseSet

from .interrupting import in_another_thread


class Thing:
    """What is put in."""


THINGS = [Thing() for _ in range(4)]
PUT_IN, TAKE_OUT = "update", "difference_update"
STEPS: st.SearchStrategy[tuple[str, list[Thing]]] = st.tuples(
    st.sampled_from([PUT_IN, TAKE_OUT]), st.lists(st.sampled_from(THINGS))
) | st.just(("clear", []))


@given(first=st.lists(st.sampled_from(THINGS)), steps=st.lists(STEPS))
def test_a_sparse_set_is_a_weak_set(first: list[Thing], steps: list[tuple[str, list[Thing]]]) -> None:
    sparse, weak = SparseSet(first), WeakSet(first)
    for step, things in steps:
        for either in (sparse, weak):
            getattr(either, step)(*([] if step == "clear" else [things]))
        assert set(sparse) == set(weak)
        assert len(sparse) == len(weak)
        assert [thing in sparse for thing in THINGS] == [thing in weak for thing in THINGS]


def test_two_threads_put_something_in_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = SparseSet[Thing]()

    def made_by_two() -> WeakSet[Thing]:
        monkeypatch.setattr(sparse_module, "WeakSet", WeakSet)
        in_another_thread(lambda: sparse.add(THINGS[0]))
        return WeakSet()

    monkeypatch.setattr(sparse_module, "WeakSet", made_by_two)
    sparse.add(THINGS[1])
    assert set(sparse) == set(THINGS[:2])


def test_a_sparse_set_keeps_nothing_alive() -> None:
    things = [Thing()]
    sparse = SparseSet[Thing]()
    sparse.add(things[0])
    assert list(sparse) == things
    things.clear()
    gc.collect()
    assert not sparse
