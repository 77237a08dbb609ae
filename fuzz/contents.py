"""What a received message may hold: compared with the limits and with the frames that it came in.

Nothing here recurses, because content may nest deeper than the interpreter can follow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from bokehwire.protocol import AnyEvent, Connection, Generation


def check_limits(event: AnyEvent, frames: Sequence[Any], connection: Connection) -> None:
    """Check that what made a message was within the limits, and that its buffers are the frames themselves."""
    limits = connection.limits
    sizes = [_size(frame) for frame in frames]
    message: Any = getattr(event, "message", None)
    buffers = getattr(message, "buffers", ())
    binary = [frame for frame in frames if not isinstance(frame, str)]
    if buffers:
        assert len(buffers) == len(binary)
        assert all(buffer.data is frame for buffer, frame in zip(buffers, binary, strict=True))
    assert within(max(sizes), limits.max_message_size)
    # Generation 3 counts from the content on, and only where buffers follow.
    counted = sizes[2:] if connection.generation is Generation.V3 else sizes
    assert within(sum(counted), limits.max_total_size)
    assert within(max(map(_size, binary), default=0), limits.max_buffer_size)
    assert within(len(binary), limits.max_buffers)
    assert within(len(frames), limits.max_frames_per_message)
    assert within(len(connection.pending), limits.max_pending)
    content = getattr(message, "content", None)
    if content is not None:
        envelope = 1 if connection.generation is Generation.V4 else 0
        assert within(envelope + depth(decoded(content)), limits.max_depth)


def within(value: int, maximum: int | None) -> bool:
    """Whether a limit, if there is one, is kept."""
    return maximum is None or value <= maximum


def decoded(content: Any) -> Any:
    """The content as the standard library has it, if it was left undecoded; None where Python cannot hold it."""
    if not isinstance(content, msgspec.Raw):
        return content
    try:
        return json.loads(bytes(content).decode("utf-8", "surrogatepass"))
    except RecursionError:
        return None
    except ValueError as error:
        assert "integer string conversion" in str(error), error
        return None


def depth(value: Any) -> int:
    """How deep lists and dicts nest."""
    deepest, level = 0, [value]
    while level := [item for item in level if isinstance(item, list | dict)]:
        deepest += 1
        level = [inner for item in level for inner in (item.values() if isinstance(item, dict) else item)]
    return deepest


def alike(left: Any, right: Any) -> bool:
    """Whether two decoded values are the same, down to the order of keys, int or float, minus zero and NaN."""
    pairs = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, dict):
            if list(one) != list(other):
                return False
            pairs += zip(one.values(), other.values(), strict=True)
        elif isinstance(one, list):
            if len(one) != len(other):
                return False
            pairs += zip(one, other, strict=True)
        elif repr(one) != repr(other):
            return False
    return True


def _size(frame: str | bytes | bytearray | memoryview) -> int:
    return len(frame.encode("utf-8", "surrogatepass")) if isinstance(frame, str) else len(frame)
