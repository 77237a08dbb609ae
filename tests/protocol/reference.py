"""Bokeh's own codec of whatever version is installed, behind one face for both of its interfaces."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any, NamedTuple

import bokeh

from bokehwire.protocol import Frame, Generation

# The two interfaces of bokeh.protocol have nothing in common, and only one is installed: no types.
_protocol: Any = import_module("bokeh.protocol")
_receiver: Any = import_module("bokeh.protocol.receiver")
_serialization: Any = import_module("bokeh.core.serialization")

GENERATION = Generation.V4 if bokeh.__version__.startswith("4") else Generation.V3


class Decoded(NamedTuple):
    """A message as Bokeh's receiver hands it on."""

    header: dict[str, Any]
    content: Any
    buffers: list[tuple[Any, bytes]]


class Refused(Exception):
    """Bokeh's receiver raised something, whatever it was."""


def _decode_3(frames: list[Frame]) -> list[Decoded]:
    receiver = _receiver.Receiver(_protocol.Protocol())
    decoded = []
    for frame in frames:
        consume = receiver.consume(frame)
        try:
            consume.send(None)
        except StopIteration as stop:
            if stop.value is not None:
                decoded.append(stop.value)
    return [Decoded(m.header, m.content, [(b.id, b.data) for b in m.buffers]) for m in decoded]


def _decode_4(frames: list[Frame]) -> list[Decoded]:
    receiver = _receiver.Receiver()
    decoded = [message for frame in frames if (message := receiver.consume(frame)) is not None]
    return [Decoded(m.header, m.content, [(b.id, b.data) for b in m.buffers]) for m in decoded]


def decode(frames: list[Frame]) -> list[Decoded]:
    """The messages that Bokeh's receiver makes of frames.

    Raises:
        Refused: It raised something.
    """
    try:
        return _decode_4(frames) if GENERATION is Generation.V4 else _decode_3(frames)
    except Exception as error:
        raise Refused(repr(error)) from error


def _encode_3(kind: str, reqid: str | None, content: Any, buffers: list[Any]) -> tuple[str, list[Frame]]:
    message_class = _protocol.SPEC[kind]
    message = message_class(message_class.create_header(reqid), {}, content)
    if buffers:
        message.add_buffers(*buffers)
    frames: list[Frame] = [message.header_json, message.metadata_json, message.content_json]
    for buffer in buffers:
        frames += json.dumps(buffer.ref), buffer.to_bytes()
    return message.header["msgid"], frames


def _encode_4(kind: str, reqid: str | None, content: Any, buffers: list[Any]) -> tuple[str, list[Frame]]:
    message = _protocol.Message(_protocol.Message.create_header(kind, reqid), content, buffers)
    return message.header["msgid"], [fragment for fragment, _binary in message.fragments()]


def encode(kind: str, reqid: str | None, content: Any, buffers: list[tuple[str, bytes]]) -> tuple[str, list[Frame]]:
    """The id and the frames that Bokeh makes of a message with this content."""
    held = [_serialization.Buffer(name, data) for name, data in buffers]
    return (_encode_4 if GENERATION is Generation.V4 else _encode_3)(kind, reqid, content, held)
