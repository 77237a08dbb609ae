"""Wire generation 3, spoken by Bokeh 3.x.

A message is the text frames header, metadata and content, then for each buffer a text frame `{"id": ...}` and a binary
frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from .errors import InvalidContent, MalformedFrame, UnknownMessageType
from .limits import Limits
from .messages import Buffer, Message, MessageType, PatchDoc
from .text import (
    MAX_INT_DIGITS,
    READ_ERRORS,
    check_text,
    check_total,
    decode_any,
    decode_raw,
    dumps,
    loads,
    quote,
    slow_loads,
    slow_raw,
    unchecked_length,
    utf8_size,
)
from .wire import BUILD, Buffers, Frame, check_counts, check_data, wrong_kind

KINDS: frozenset[str] = frozenset(kind.value for kind in MessageType) - {"SYNC"}
"""The message types of this generation (bokeh/protocol/__init__.py of 3.9.2 and 3.10.2)."""


class Header(msgspec.Struct):
    """The first frame of a message. Other keys are allowed and have no meaning.

    Attributes:
        msgid: Id of this message.
        msgtype: Its kind.
        reqid: Id of the request that this message replies to.
        num_buffers: How many pairs of frames follow the content. Bokeh sends 0 or nothing if there are none.
    """

    msgid: str
    msgtype: str
    reqid: str | None = None
    num_buffers: int = 0


class BufferHeader(msgspec.Struct, forbid_unknown_fields=True):
    """The text frame before each binary frame; exactly this key.

    Attributes:
        id: The buffer's name in the content.
    """

    id: str


_decode_header: Callable[[str], Header] = msgspec.json.Decoder(Header).decode
_decode_buffer_header: Callable[[str], BufferHeader] = msgspec.json.Decoder(BufferHeader).decode

# More frames than can ever come; also keeps numbers of thousands of digits out of messages for people.
_ENDLESS = 2**63

_HEADER, _METADATA, _CONTENT, _BUFFER_HEADER, _BUFFER = range(5)
_EXPECTED = (
    "a text frame with a message's header",
    "a text frame with a message's metadata",
    "a text frame with a message's content",
    "a text frame with a buffer's header",
    "a binary frame with a buffer's data",
)


def _decode_raw_content(text: str) -> msgspec.Raw | None:
    content = decode_raw(text)
    return None if bytes(memoryview(content)[:4]) == b"null" else content


def _slow_header(text: str) -> Header:
    header = slow_loads(text, "The header")
    if not isinstance(header, dict):
        raise MalformedFrame("The header is not a JSON object.")
    msgtype, msgid, reqid = header.get("msgtype"), header.get("msgid"), header.get("reqid")
    if not isinstance(msgtype, str) or not isinstance(msgid, str):
        raise MalformedFrame("The header's msgtype or msgid is missing or not a string.")
    if reqid is not None and not isinstance(reqid, str):
        raise MalformedFrame("The header's reqid is not a string.")
    count = header.get("num_buffers", 0)
    # Bokeh compares the number with a count of buffers: 2.0 and true do as well as 2 and 1.
    if not isinstance(count, int | float) or count % 1:
        raise MalformedFrame("The header's num_buffers is not a whole number.")
    return Header(msgid, msgtype, reqid, int(count))


def _slow_buffer_id(text: str) -> str:
    header = slow_loads(text, "A buffer's header")
    if not isinstance(header, dict) or set(header) != {"id"} or not isinstance(header["id"], str):
        raise MalformedFrame('A buffer\'s header is not {"id": string}.')
    return header["id"]


class Decoder3:
    """Turns frames of generation 3 into messages.

    Args:
        limits: What is compared with each frame.
        raw_content: Leave content undecoded, as `msgspec.Raw`.
    """

    __slots__ = (
        "_buffer_id",
        "_buffers",
        "_content",
        "_decode_content",
        "_few",
        "_header",
        "_limits",
        "_slow_content",
        "_stage",
        "_total",
        "_unchecked",
    )

    _header: Header

    def __init__(self, limits: Limits, raw_content: bool) -> None:
        self._limits = limits
        self._unchecked = unchecked_length(limits)
        # Only where not even a message without buffers is allowed does each need a look at its frames.
        self._few = limits.max_frames_per_message is not None and limits.max_frames_per_message < 3
        self._decode_content: Callable[[str], Any] = _decode_raw_content if raw_content else decode_any
        self._slow_content: Callable[[str, str], Any] = slow_raw if raw_content else slow_loads
        self._stage = _HEADER
        self._content: Any = None
        self._buffers: list[Buffer] = []
        self._buffer_id = ""
        self._total = 0

    @property
    def mid_message(self) -> bool:
        """Whether some but not all frames of a message have been taken."""
        return self._stage != _HEADER

    def feed(self, frame: Frame) -> Message | None:
        """Take the next frame; return the message that it completes, if it completes one.

        Raises:
            MalformedFrame: The frame is not what has to come next.
            LimitExceeded: It is too large, nests too deep, or announces too much.
            InvalidFrame: It is neither text nor binary; nothing has happened.
        """
        # One function for the frames of a message without buffers: each call costs as much as decoding a small frame.
        if not isinstance(frame, str):
            return self._take_buffer(frame)
        if len(frame) > self._unchecked:
            check_text(frame, self._limits)
        stage = self._stage
        if stage == _METADATA:
            # Bokeh's receiver never completes a message whose metadata or content is null.
            if frame != "{}" and loads(frame, "The metadata") is None:
                raise MalformedFrame("The metadata is null.")
            self._stage = _CONTENT
            return None
        if stage == _HEADER:
            try:
                header = _decode_header(frame) if len(frame) <= MAX_INT_DIGITS else _slow_header(frame)
            except READ_ERRORS:
                header = _slow_header(frame)
            if header.msgtype not in KINDS or header.num_buffers or self._few:
                self._check_header(header)
            self._header = header
            self._stage = _METADATA
            return None
        if stage != _CONTENT:
            self._take_buffer_header(frame)
            return None
        try:
            content = self._decode_content(frame)
        except READ_ERRORS:
            content = self._slow_content(frame, "The content")
        if content is None:
            raise MalformedFrame("The content is null.")
        header = self._header
        if header.num_buffers:
            self._content = content
            self._total = utf8_size(frame)
            self._stage = _BUFFER_HEADER
            return None
        self._stage = _HEADER
        if header.msgtype == "PATCH-DOC":
            return PatchDoc(header.msgid, content)
        return BUILD[header.msgtype](header.msgid, header.reqid, content, ())

    def _check_header(self, header: Header) -> None:
        if header.msgtype not in KINDS:
            message = f"{header.msgtype[:80]!r} is not a message type of generation 3 (Bokeh 3)."
            raise UnknownMessageType(message, msgtype=header.msgtype)
        if not 0 <= header.num_buffers < _ENDLESS:
            raise MalformedFrame("The header's num_buffers is no count.")
        check_counts(header.num_buffers, 3 + 2 * header.num_buffers, self._limits)

    def _take_buffer_header(self, frame: str) -> None:
        if self._stage == _BUFFER:
            raise wrong_kind(frame, _EXPECTED[_BUFFER])
        try:
            self._buffer_id = _decode_buffer_header(frame).id
        except READ_ERRORS:
            self._buffer_id = _slow_buffer_id(frame)
        self._total += utf8_size(frame)
        check_total(self._total, self._limits)
        self._stage = _BUFFER

    def _take_buffer(self, frame: Frame) -> Message | None:
        if self._stage != _BUFFER or not isinstance(frame, bytes | bytearray | memoryview):
            raise wrong_kind(frame, _EXPECTED[self._stage])
        self._total += check_data(frame, self._limits)
        check_total(self._total, self._limits)
        self._buffers.append(Buffer(self._buffer_id, frame))
        header = self._header
        if len(self._buffers) < header.num_buffers:
            self._stage = _BUFFER_HEADER
            return None
        content, buffers = self._content, tuple(self._buffers)
        self._stage, self._content, self._buffers = _HEADER, None, []
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
        InvalidContent: The content is not JSON, or null.
    """
    text = dumps(content)
    # Raw is sent as it is, so that a null may have white space around it.
    if text[:1] != "{" and text.strip() in ("null", ""):
        raise InvalidContent("The content is null, which no receiver of generation 3 takes.")
    header = f'{{"msgid":{quote(msgid)},"msgtype":"{kind}"'
    if reqid is not None:
        header += f',"reqid":{quote(reqid)}'
    if not buffers:
        return header + "}", "{}", text
    frames: list[Frame] = [f'{header},"num_buffers":{len(buffers)}}}', "{}", text]
    for buffer in buffers:
        frames += f'{{"id":{quote(buffer.id)}}}', buffer.data
    return tuple(frames)
