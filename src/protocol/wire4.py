"""Wire generation 4, spoken by Bokeh 4.

A message is one text frame, `{"header": {...}, "content": {...}, "buffers": [id, ...]}`, then one binary frame for each
id.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any, Literal, TypeAlias, cast, get_args

import msgspec

from .errors import InvalidContent, InvalidFrame, MalformedFrame, UnknownMessageType
from .limits import Limits
from .messages import Buffer, Message, MessageType, PatchDoc
from .text import (
    READ_ERRORS,
    check_text,
    check_total,
    dumps,
    quote,
    slow_loads,
    unchecked_length,
    utf8_size,
)
from .wire import BUILD, Buffers, Frame, Progress, Reading, check_counts, check_data, no_data, no_text

Kind: TypeAlias = Literal["ACK", "OK", "ERROR", "PATCH-DOC", "PUSH-DOC", "PULL-DOC-REQ", "PULL-DOC-REPLY", "SYNC"]
"""The message types of this generation (bokeh/protocol/message.py of 4.0.0.dev8)."""

KINDS: frozenset[str] = frozenset(get_args(Kind))
"""The same, to look one up."""


class Header(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The envelope's header; no other keys are allowed.

    Attributes:
        msgid: Id of this message, not empty.
        msgtype: Its kind.
        reqid: Id of the request that this message replies to.
    """

    msgid: str
    msgtype: Kind
    reqid: str | None = None


class Envelope(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The text frame of a message; exactly these keys.

    Attributes:
        header: Ids and kind.
        content: What the kind defines.
        buffers: The ids of the buffers, in the order of the binary frames that follow; not empty, all different.
    """

    header: Header
    content: dict[str, Any]
    buffers: list[str]


class RawEnvelope(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """An envelope whose content stays undecoded."""

    header: Header
    content: msgspec.Raw
    buffers: list[str]


_decode: Callable[[str], Envelope] = msgspec.json.Decoder(Envelope).decode
_decode_any_raw: Callable[[str], RawEnvelope] = msgspec.json.Decoder(RawEnvelope).decode


def _slow_envelope(text: str) -> Envelope:
    envelope = slow_loads(text, "The envelope")
    if not isinstance(envelope, dict) or set(envelope) != {"header", "content", "buffers"}:
        raise MalformedFrame("The envelope is not an object of header, content and buffers alone.")
    header, content, buffers = envelope["header"], envelope["content"], envelope["buffers"]
    if not isinstance(header, dict) or not set(header) <= {"msgid", "msgtype", "reqid"}:
        raise MalformedFrame("The header is not an object of msgid, msgtype and reqid alone.")
    msgtype, msgid, reqid = header.get("msgtype"), header.get("msgid"), header.get("reqid")
    if not isinstance(msgtype, str) or not isinstance(msgid, str):
        raise MalformedFrame("The header's msgtype or msgid is missing or not a string.")
    if reqid is not None and not isinstance(reqid, str):
        raise MalformedFrame("The header's reqid is not a string.")
    if not isinstance(content, dict):
        raise MalformedFrame("The content is not a JSON object.")
    if not isinstance(buffers, list) or not all(isinstance(name, str) for name in buffers):
        raise MalformedFrame("The envelope's buffers are not a list of strings.")
    if msgtype not in KINDS:
        message = f"{msgtype[:80]!r} is not a message type of generation 4 (Bokeh 4)."
        raise UnknownMessageType(message, msgtype=msgtype)
    return Envelope(Header(msgid, cast(Kind, msgtype), reqid), content, buffers)


def _slow_raw_envelope(text: str) -> RawEnvelope:
    slow = _slow_envelope(text)
    return RawEnvelope(slow.header, msgspec.Raw(json.dumps(slow.content).encode()), slow.buffers)


def _decode_raw(text: str) -> RawEnvelope:
    envelope = _decode_any_raw(text)
    if bytes(memoryview(envelope.content)[:1]) != b"{":
        raise MalformedFrame("The content is not a JSON object.")
    return envelope


class Decoder4:
    """Turns frames of generation 4 into messages.

    Args:
        limits: What is compared with each frame.
        raw_content: Leave content undecoded, as `msgspec.Raw`.

    Attributes:
        feed: Takes the next frame; see `Decoder.feed`.
    """

    __slots__ = ("_progress", "feed")

    def __init__(self, limits: Limits, raw_content: bool) -> None:
        self._progress = Progress()
        reading = _read_messages(limits, raw_content, self._progress)
        next(reading)
        self.feed: Callable[[Frame], Message | InvalidFrame | None] = reading.send

    @property
    def mid_message(self) -> bool:
        """Whether some but not all frames of a message have been taken."""
        return self._progress.mid_message


def _read_messages(limits: Limits, raw_content: bool, progress: Progress) -> Reading:
    """Read messages for ever. A generator, for the same reasons as in generation 3."""
    patch = MessageType.PATCH_DOC.value
    decode: Callable[[str], Envelope | RawEnvelope] = _decode_raw if raw_content else _decode
    slow: Callable[[str], Envelope | RawEnvelope] = _slow_raw_envelope if raw_content else _slow_envelope
    unchecked = unchecked_length(limits)
    if limits.max_frames_per_message is not None and limits.max_frames_per_message < 1:
        unchecked = -1  # not even a message without buffers is allowed
    done: list[Message] = []
    frame = yield None
    while True:
        while not isinstance(frame, str):
            frame = yield no_text(frame, "a text frame with a message's envelope")
        if len(frame) > unchecked:
            check_text(frame, limits)
            check_counts(0, 1, limits)
        try:
            envelope = decode(frame)
        except READ_ERRORS:
            envelope = slow(frame)
        header, names = envelope.header, envelope.buffers
        if not header.msgid:
            raise MalformedFrame("The header's msgid is empty.")
        buffers: Buffers = ()
        if names:
            _check_names(names, limits)
            progress.mid_message = True
            buffers = yield from _read_buffers(names, utf8_size(frame), limits)
            progress.mid_message = False
        if header.msgtype == patch:
            message: Message = PatchDoc(header.msgid, envelope.content, buffers)
        else:
            message = BUILD[header.msgtype](header.msgid, header.reqid, envelope.content, buffers)
        if names or len(frame) > unchecked:
            # A large message must not stay here until the next one comes.
            done.append(message)
            del frame, envelope, buffers, message
            frame = yield done.pop()
        else:
            frame = yield message


def _check_names(names: list[str], limits: Limits) -> None:
    check_counts(len(names), 1 + len(names), limits)
    if "" in names or len(set(names)) != len(names):
        raise MalformedFrame("The ids of the buffers are not all different and non-empty.")


def _read_buffers(names: list[str], total: int, limits: Limits) -> Generator[InvalidFrame | None, Frame, Buffers]:
    """Read the frames after the envelope.

    Args:
        names: The ids of the buffers.
        total: Bytes of the envelope.
        limits: What each frame, and all together, are compared with.
    """
    buffers: list[Buffer] = []
    for name in names:
        frame = yield None
        while not isinstance(frame, bytes | bytearray | memoryview):
            frame = yield no_data(frame, "a binary frame with a buffer's data")
        total += check_data(frame, limits)
        check_total(total, limits)
        buffers.append(Buffer(name, frame))
    return tuple(buffers)


def encode(kind: str, msgid: str, reqid: str | None, content: Any, buffers: Buffers) -> tuple[Frame, ...]:
    """Turn a message into its frames.

    Args:
        kind: Its kind.
        msgid: Its id.
        reqid: The id of the request that it answers.
        content: JSON, as `dumps` takes it.
        buffers: Its buffers, already checked.

    Raises:
        InvalidContent: The content is not a JSON object.
    """
    text = dumps(content)
    # Raw is sent as it is, so that an object may have white space before it.
    if type(content) is not dict and not text.lstrip().startswith("{"):
        raise InvalidContent("The content is no JSON object, and no receiver of generation 4 takes anything else.")
    answer = "" if reqid is None else f',"reqid":{quote(reqid)}'
    head = f'{{"header":{{"msgid":{quote(msgid)},"msgtype":"{kind}"{answer}}},"content":{text},"buffers":['
    if not buffers:
        return (head + "]}",)
    names = ",".join([quote(buffer.id) for buffer in buffers])
    return f"{head}{names}]}}", *[buffer.data for buffer in buffers]
