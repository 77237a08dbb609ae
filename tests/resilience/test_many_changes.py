"""Very many changes in a row, in both directions at once: each arrives once and in order, and nothing stays."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import pytest

from ..apps import model
from ..processes import ServerProcess
from ..session.faces import Face, do
from .conftest import EVERYTHING, FACES

_CHANGES = 100_000 if EVERYTHING else 4_000
_TOGETHER = 1_000  # in a row without a look at the session
_VALUES = 97  # of the slider


def memory() -> tuple[int, int]:
    """The blocks and the bytes that are in use."""
    for _ in range(3):
        gc.collect()
    return sys.getallocatedblocks(), tracemalloc.get_traced_memory()[0]


def depth() -> int:
    """The calls that this one is inside of."""
    count, frame = 0, sys._getframe()
    while frame.f_back is not None:
        count, frame = count + 1, frame.f_back
    return count


@pytest.mark.timeout(1800 if EVERYTHING else 300)
@pytest.mark.parametrize(("kind", "transport"), FACES)
def test_many_changes_in_a_row_leave_nothing(kind: str, transport: str, server_process: ServerProcess) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server_process.url("/slider"))
        slider, div = model(session.document, "slider"), model(session.document, "div")
        heard = 0
        depths: set[int] = set()

        def hear(attr: str, old: str, new: str) -> None:
            nonlocal heard
            assert new == f"slider: {heard % _VALUES + 2}"
            heard += 1
            depths.add(depth())

        div.on_change("text", hear)

        async def change(begin: int, end: int) -> None:
            for number in range(begin, end):
                slider.value = number % _VALUES + 2
            await do(session.force_roundtrip())
            assert heard == end

        await change(0, _TOGETHER)
        blocks, size = memory()
        for begin in range(_TOGETHER, _CHANGES, _TOGETHER):
            await change(begin, begin + _TOGETHER)
        more_blocks, more = (now - before for now, before in zip(memory(), (blocks, size), strict=True))
        # One object kept for each change would be as many blocks as there are changes.
        assert more_blocks < _CHANGES / 10, f"{more_blocks} blocks more after {_CHANGES} changes"
        assert more < _CHANGES * 20, f"{more} bytes more after {_CHANGES} changes"
        assert max(depths) - min(depths) < 50

    tracemalloc.start()
    try:
        Face(kind, transport).play(scenario)
    finally:
        tracemalloc.stop()
