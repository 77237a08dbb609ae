"""What Bokeh's own receiver makes of the same frames: both have to accept the same messages, and mean the same.

Only the generation of the Bokeh that is installed can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import bokeh
import bokeh.protocol
import bokeh.protocol.receiver

from bokehwire.protocol import Frame, Generation, RemoteProtocolError
from bokehwire.protocol.wire3 import Decoder3
from bokehwire.protocol.wire4 import Decoder4

from .contents import alike
from .scenario import UNLIMITED, fed_by, parse

INSTALLED = Generation(int(bokeh.__version__.split(".")[0]))


class Reading(NamedTuple):
    """One message as a receiver has it."""

    kind: Any
    msgid: Any
    reqid: Any
    content: Any
    buffers: list[tuple[Any, bytes]]


def check_against_bokeh(scenario: bytes) -> int:
    """Compare what both make of the frames of a scenario, without its other steps; return how many messages agreed."""
    settings, steps = parse(scenario)
    if settings.generation is not INSTALLED:
        return 0
    frames = [fed_by(step) for step in steps if step.letter in "tbav"]
    ours, theirs = list(_ours(frames)), list(_theirs(frames))
    assert len(ours) == len(theirs), ("one of them reads on", ours, theirs)
    for one, other in zip(ours, theirs, strict=True):
        told = [mine if mine is not _IGNORED else its for mine, its in zip(one, other, strict=True)]
        assert alike(told, list(other)), (one, other)
    return len(theirs)


# What a kind of message has no use for, and so does not keep.
_IGNORED: Any = object()


def _ours(frames: Sequence[Frame]) -> Iterator[Reading]:
    decoder = Decoder3(UNLIMITED, False) if INSTALLED is Generation.V3 else Decoder4(UNLIMITED, False)
    for frame in frames:
        try:
            message: Any = decoder.feed(frame)
        except RemoteProtocolError:
            return
        if message is not None:
            buffers: Any = getattr(message, "buffers", _IGNORED)
            yield Reading(
                message.type.value,
                message.msgid,
                getattr(message, "reqid", _IGNORED),
                getattr(message, "content", _IGNORED),
                buffers if buffers is _IGNORED else [(buffer.id, bytes(buffer.data)) for buffer in buffers],
            )


def _theirs(frames: Sequence[Frame]) -> Iterator[Reading]:
    three = INSTALLED is Generation.V3
    theirs: Any = bokeh.protocol
    receiver = theirs.receiver.Receiver(theirs.Protocol()) if three else theirs.receiver.Receiver()
    for frame in frames:
        fragment = frame if isinstance(frame, str) else bytes(frame)
        try:
            message: Any = _finished(receiver.consume(fragment)) if three else receiver.consume(fragment)
        except Exception:
            # Whatever it is: Bokeh 3 lets KeyError, TypeError and RecursionError out.
            return
        if message is None:
            continue
        header = message.header
        reading = Reading(
            header["msgtype"],
            header.get("msgid"),
            header.get("reqid"),
            message.content,
            [(buffer.id, buffer.to_bytes()) for buffer in message.buffers],
        )
        # Bokeh 3 looks at the types of ids only where it uses them. This package wants strings and refuses the message.
        names = [reading.msgid, "" if reading.reqid is None else reading.reqid, *[name for name, _ in reading.buffers]]
        if not all(isinstance(name, str) for name in names):
            return
        yield reading


def _finished(coroutine: Any) -> Any:
    # Bokeh 3's consume is a coroutine function that waits for nothing.
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("the receiver waits")
