"""Connections that differ in one setting and get the same frames have to tell the same story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokehwire.protocol import LimitError, MalformedFrame, ProtocolError

from .contents import alike, decoded
from .receive import Result, run
from .scenario import UNLIMITED, parse


def check_twins(scenario: bytes) -> list[Result]:
    """Check a scenario as it is, with content decoded or not, and without limits; return what came of each step."""
    settings, steps = parse(scenario)
    results = run(settings, steps)
    other = run(settings._replace(raw_content=not settings.raw_content), steps)
    _agree(results, other)
    if settings.limits != UNLIMITED:
        # A limit may end the story earlier and change nothing else.
        end = next((index for index, result in enumerate(results) if isinstance(result, LimitError)), len(results))
        _agree(results[:end], run(settings._replace(limits=UNLIMITED), steps)[:end])
    return results


def _agree(results: Sequence[Result], others: Sequence[Result]) -> None:
    for one, other in zip(results, others, strict=True):
        if type(one) is not type(other) and any(map(_is_long_number, (one, other))):
            # Undecoded content may hold an integer of more digits than Python makes an int of.
            return
        assert type(one) is type(other), (one, other)
        assert alike(_told(one), _told(other)), (one, other)


def _told(event: Result) -> list[Any]:
    # The fields of an event and of its message in a form that can be compared without recursion.
    if event is None or isinstance(event, ProtocolError):
        return [getattr(event, "close_code", None)]
    message: Any = getattr(event, "message", None)
    if message is None:
        return [repr(event)]
    fields = {name: getattr(message, name) for name in message.__struct_fields__}
    buffers = [repr((buffer.id, bytes(buffer.data))) for buffer in fields.pop("buffers", ())]
    content = decoded(fields.pop("content", None))
    event_fields = {name: getattr(event, name) for name in event.__struct_fields__ if name != "message"}
    return [repr(event_fields), type(message).__name__, fields, buffers, content]


def _is_long_number(result: Result) -> bool:
    return isinstance(result, MalformedFrame) and "integer string conversion" in str(result)
