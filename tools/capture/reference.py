"""Bokeh's own receiver, of the version that is installed: it says what the frames of a transcript mean."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import bokeh
from bokeh.protocol.receiver import Receiver

from .transcript import MessageSeen

GENERATION = int(bokeh.__version__.partition(".")[0])


class Fault(Exception):
    """Bokeh's receiver refuses the frame."""


class Reference:
    """What one side receives, put together by Bokeh."""

    def __init__(self) -> None:
        # The versions differ: those of generation 3 want a Protocol and make consume() a coroutine.
        receiver: Any = Receiver
        if GENERATION == 3:
            protocol: Any = importlib.import_module("bokeh.protocol")
            self._receiver = receiver(protocol.Protocol())
        else:
            self._receiver = receiver()
        self.mid_message = False

    def feed(self, frame: str | bytes) -> MessageSeen | None:
        """The message that the frame completes, None if it completes none; raises Fault."""
        self.mid_message = True
        try:
            message = _result(self._receiver.consume, frame)
        except Exception as fault:
            # Not only what Bokeh raises on purpose: its servers close the connection for a KeyError all the same.
            raise Fault(str(fault)) from fault
        if message is None:
            return None
        self.mid_message = False
        header = message.header
        buffers = tuple(str(buffer.id) for buffer in message.buffers)
        return MessageSeen(header["msgtype"], header["msgid"], header.get("reqid"), message.content, buffers)


def _result(function: Callable[..., Any], *args: Any) -> Any:
    result = function(*args)
    if not inspect.iscoroutine(result):
        return result
    # It never waits for anything, so it can be run where a loop is running already.
    try:
        result.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("Bokeh's receiver waits for something")
