"""Wire generation 4, spoken by Bokeh 4.

A message is one text frame, `{"header": {...}, "content": {...}, "buffers": [id, ...]}`, then one binary frame for each
id.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from .errors import InvalidContent, MalformedFrame, UnknownMessageType
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
from .wire import BUILD, Buffers, Frame, check_counts, check_data, wrong_kind

KINDS: frozenset[str] = frozenset(kind.value for kind in MessageType) - {"SERVER-INFO-REQ", "SERVER-INFO-REPLY"}
"""The message types of this generation (bokeh/protocol/message.py of 4.0.0.dev8)."""


class Header(msgspec.Struct, forbid_unknown_fields=True):
    """The envelope's header; no other keys are allowed.

    Attributes:
        msgid: Id of this message, not empty.
        msgtype: Its kind.
        reqid: Id of the request that this message replies to.
    """

    msgid: str
    msgtype: str
    reqid: str | None = None


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """The text frame of a message; exactly these keys.

    Attributes:
        header: Ids and kind.
        content: What the kind defines.
        buffers: The ids of the buffers, in the order of the binary frames that follow; not empty, all different.
    """

    header: Header
    content: dict[str, Any]
    buffers: list[str]


class RawEnvelope(msgspec.Struct, forbid_unknown_fields=True):
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
    return Envelope(Header(msgid, msgtype, reqid), content, buffers)


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
    """

    __slots__ = (
        "_buffers",
        "_content",
        "_decode",
        "_header",
        "_limits",
        "_names",
        "_none",
        "_slow",
        "_total",
        "_unchecked",
    )

    _header: Header

    def __init__(self, limits: Limits, raw_content: bool) -> None:
        self._limits = limits
        self._unchecked = unchecked_length(limits)
        self._none = limits.max_frames_per_message is not None and limits.max_frames_per_message < 1
        self._decode: Callable[[str], Envelope | RawEnvelope] = _decode_raw if raw_content else _decode
        self._slow: Callable[[str], Envelope | RawEnvelope] = _slow_raw_envelope if raw_content else _slow_envelope
        self._names: list[str] = []
        self._content: Any = None
        self._buffers: list[Buffer] = []
        self._total = 0

    @property
    def mid_message(self) -> bool:
        """Whether some but not all frames of a message have been taken."""
        return bool(self._names)

    def feed(self, frame: Frame) -> Message | None:
        """Take the next frame; return the message that it completes, if it completes one.

        Raises:
            MalformedFrame: The frame is not what has to come next.
            LimitExceeded: It is too large, nests too deep, or announces too much.
            InvalidFrame: It is neither text nor binary; nothing has happened.
        """
        if self._names:
            return self._take_buffer(frame)
        if not isinstance(frame, str):
            raise wrong_kind(frame, "a text frame with a message's envelope")
        if len(frame) > self._unchecked:
            check_text(frame, self._limits)
        try:
            envelope = self._decode(frame)
        except READ_ERRORS:
            envelope = self._slow(frame)
        header, names = envelope.header, envelope.buffers
        if header.msgtype not in KINDS:
            message = f"{header.msgtype[:80]!r} is not a message type of generation 4 (Bokeh 4)."
            raise UnknownMessageType(message, msgtype=header.msgtype)
        if not header.msgid:
            raise MalformedFrame("The header's msgid is empty.")
        if not (names or self._none):
            if header.msgtype == "PATCH-DOC":
                return PatchDoc(header.msgid, envelope.content)
            return BUILD[header.msgtype](header.msgid, header.reqid, envelope.content, ())
        check_counts(len(names), 1 + len(names), self._limits)
        if "" in names or len(set(names)) != len(names):
            raise MalformedFrame("The ids of the buffers are not all different and non-empty.")
        self._header, self._names, self._content = header, names, envelope.content
        self._total = utf8_size(frame)
        return None

    def _take_buffer(self, frame: Frame) -> Message | None:
        if not isinstance(frame, bytes | bytearray | memoryview):
            raise wrong_kind(frame, "a binary frame with a buffer's data")
        self._total += check_data(frame, self._limits)
        check_total(self._total, self._limits)
        self._buffers.append(Buffer(self._names[len(self._buffers)], frame))
        if len(self._buffers) < len(self._names):
            return None
        header, content, buffers = self._header, self._content, tuple(self._buffers)
        self._names, self._content, self._buffers = [], None, []
        return BUILD[header.msgtype](header.msgid, header.reqid, content, buffers)


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
    if text[:1] != "{" and not text.lstrip().startswith("{"):
        raise InvalidContent("The content is no JSON object, and no receiver of generation 4 takes anything else.")
    answer = "" if reqid is None else f',"reqid":{quote(reqid)}'
    names = ",".join([quote(buffer.id) for buffer in buffers])
    head = f'{{"header":{{"msgid":{quote(msgid)},"msgtype":"{kind}"{answer}}},"content":'
    envelope = f'{head}{text},"buffers":[{names}]}}'
    return envelope, *[buffer.data for buffer in buffers]
