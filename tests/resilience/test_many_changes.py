"""Very many changes in a row, in both directions at once: each arrives once and in order, and nothing stays."""

from __future__ import annotations

import gc
import sys

import pytest

from ..apps import model
from ..processes import ServerProcess
from ..session.faces import Face, do
from .conftest import EVERYTHING, FACES

_CHANGES = 100_000 if EVERYTHING else 4_000
_TOGETHER = 1_000  # in a row without a look at the session
_VALUES = 97  # of the slider


def blocks() -> int:
    for _ in range(3):
        gc.collect()
    return sys.getallocatedblocks()


@pytest.mark.timeout(1800 if EVERYTHING else 300)
@pytest.mark.parametrize(("kind", "transport"), FACES)
def test_many_changes_in_a_row_leave_nothing(kind: str, transport: str, server_process: ServerProcess) -> None:
    async def scenario(face: Face) -> None:
        session = await face.pull(url=server_process.url("/slider"))
        slider, div = model(session.document, "slider"), model(session.document, "div")
        heard = 0

        def hear(attr: str, old: str, new: str) -> None:
            nonlocal heard
            assert new == f"slider: {heard % _VALUES + 2}"
            heard += 1

        div.on_change("text", hear)

        async def change(begin: int, end: int) -> None:
            for number in range(begin, end):
                slider.value = number % _VALUES + 2
            await do(session.force_roundtrip())
            assert heard == end

        await change(0, _TOGETHER)
        before = blocks()
        for begin in range(_TOGETHER, _CHANGES, _TOGETHER):
            await change(begin, begin + _TOGETHER)
        grown = blocks() - before
        # One object kept for each change would be as many blocks as there are changes.
        assert grown < _CHANGES / 10, f"{grown} blocks more after {_CHANGES} changes"

    Face(kind, transport).play(scenario)
