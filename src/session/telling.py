"""Which changes a document is just telling of.

Bokeh makes a change, and calls the handlers of the model and the listeners of the document while it tells of it; the
session is one of these. Until it hears of the change, a handler may do something else, or another thread.
"""

from __future__ import annotations

import dis
import sys
from collections import deque
from contextlib import suppress
from functools import lru_cache
from itertools import accumulate, chain, repeat
from threading import get_ident
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bokeh.document import Document
    from bokeh.document.events import DocumentChangedEvent

__all__ = ["being_told", "calls", "told_here"]


def calls(document: Document) -> Iterator[FrameType]:
    """Give the calls of this thread in which a document tells of a change, or lets go of those that were held back.

    Args:
        document: The document.

    Yields:
        The calls of `trigger_on_change` and `unhold`, the innermost first.
    """
    manager = document.callbacks
    codes = type(manager).trigger_on_change.__code__, type(manager).unhold.__code__
    frame: FrameType | None = sys._getframe().f_back
    while frame is not None:
        if frame.f_code in codes and frame.f_locals.get("self") is manager:
            yield frame
        frame = frame.f_back


def told_here(document: Document) -> list[DocumentChangedEvent]:
    """Find the changes that this thread has made and of which not all have heard yet, as they were made.

    Args:
        document: The document.
    """
    telling = type(document.callbacks).trigger_on_change.__code__
    return [call.f_locals["event"] for call in calls(document) if call.f_code is telling][::-1]


def _stack(frame: FrameType) -> deque[FrameType | None]:
    """Give a stack of calls, the innermost first, and None behind the last.

    In one step, in which no other thread runs: Python 3.11 may crash where a stack changes while it is walked.

    Args:
        frame: The innermost call.
    """
    stack: deque[FrameType | None] = deque()
    with suppress(AttributeError):  # of None, at the end
        stack.extend(accumulate(chain((frame,), repeat("f_back")), cast(Any, getattr)))
    return stack


@lru_cache
def _first_step(code: CodeType) -> int:
    """Give the place of the first instruction at which the variables of a call can be looked at by another thread.

    Before it, they are being set up, and Python 3.11 may crash.
    """
    return next(step.offset for step in dis.get_instructions(code) if step.opname == "RESUME") + 2


def being_told(document: Document) -> list[DocumentChangedEvent]:
    """Find the changes that are made and of which not all have heard yet, in any thread. They are on the stacks.

    Args:
        document: The document.

    Returns:
        The changes; those of each thread as they were made, first those of this one.
    """
    manager = document.callbacks
    telling = type(manager).trigger_on_change.__code__
    begun = _first_step(telling)
    found: list[DocumentChangedEvent] = []
    current = sys._current_frames()
    stacks = [_stack(current.pop(get_ident())), *map(_stack, current.values())]
    try:
        for stack in stacks:
            place = len(found)
            for frame in stack:
                if frame is not None and frame.f_code is telling and frame.f_lasti >= begun:
                    local = frame.f_locals
                    if local.get("self") is manager and "event" in local:
                        found.insert(place, local["event"])
    finally:
        # One of them is this very call. With it, every caller's variables would wait for the garbage collector.
        current.clear()
        for stack in stacks:
            stack.clear()
        frame = None
    return found
