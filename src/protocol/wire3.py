"""Wire generation 3, spoken by Bokeh 3.x.

A message is the text frames header, metadata and content, then for each buffer a text frame `{"id": ...}` and a binary
frame.
"""

from __future__ import annotations

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
from .wire import BUILD, Buffers, Frame, Progress, Reading, check_counts, check_data, no_data, no_text

Kind: TypeAlias = Literal[
    "ACK",
    "OK",
    "ERROR",
    "PATCH-DOC",
    "PUSH-DOC",
    "PULL-DOC-REQ",
    "PULL-DOC-REPLY",
    "SERVER-INFO-REQ",
    "SERVER-INFO-REPLY",
]
"""The message types of this generation (bokeh/protocol/__init__.py of 3.9.2 and 3.10.2)."""

KINDS: frozenset[str] = frozenset(get_args(Kind))
"""The same, to look one up."""


class Header(msgspec.Struct, gc=False):
    """The first frame of a message. Other keys are allowed and have no meaning.

    Attributes:
        msgid: Id of this message.
        msgtype: Its kind.
        reqid: Id of the request that this message replies to.
        num_buffers: How many pairs of frames follow the content. Bokeh sends 0 or nothing if there are none.
    """

    msgid: str
    msgtype: Kind
    reqid: str | None = None
    num_buffers: int = 0


class BufferHeader(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The text frame before each binary frame; exactly this key.

    Attributes:
        id: The buffer's name in the content.
    """

    id: str


_decode_header: Callable[[str], Header] = msgspec.json.Decoder(Header).decode
_decode_buffer_header: Callable[[str], BufferHeader] = msgspec.json.Decoder(BufferHeader).decode

# More frames than can ever come; also keeps numbers of thousands of digits out of messages for people.
_ENDLESS = 2**63


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
    if msgtype not in KINDS:
        message = f"{msgtype[:80]!r} is not a message type of generation 3 (Bokeh 3)."
        raise UnknownMessageType(message, msgtype=msgtype)
    return Header(msgid, cast(Kind, msgtype), reqid, int(count))


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
    """Read messages for ever, in a generator: it keeps its place at no cost, and small frames cost little else."""
    decode_header, patch = _decode_header, MessageType.PATCH_DOC.value
    decode_content: Callable[[str], Any] = _decode_raw_content if raw_content else decode_any
    slow_content: Callable[[str, str], Any] = slow_raw if raw_content else slow_loads
    unchecked = unchecked_length(limits)
    if limits.max_frames_per_message is not None and limits.max_frames_per_message < 3:
        unchecked = -1  # not even a message without buffers is allowed
    done: list[Message] = []
    frame = yield None
    while True:
        while not isinstance(frame, str):
            frame = yield no_text(frame, "a text frame with a message's header")
        if len(frame) > unchecked:
            header = _read_long_header(frame, limits)
        else:
            try:
                header = decode_header(frame)
            except READ_ERRORS:
                header = _slow_header(frame)
        count = header.num_buffers
        if count:
            _check_count(count, limits)
        progress.mid_message = True
        frame = yield None
        while not isinstance(frame, str):
            frame = yield no_text(frame, "a text frame with a message's metadata")
        if frame != "{}":
            _check_metadata(frame, limits)
        frame = yield None
        while not isinstance(frame, str):
            frame = yield no_text(frame, "a text frame with a message's content")
        if len(frame) > unchecked:
            check_text(frame, limits)
        try:
            content = decode_content(frame)
        except READ_ERRORS:
            content = slow_content(frame, "The content")
        if content is None:
            raise MalformedFrame("The content is null.")
        buffers = (yield from _read_buffers(count, utf8_size(frame), limits)) if count else ()
        progress.mid_message = False
        if header.msgtype == patch:
            message: Message = PatchDoc(header.msgid, content, buffers)
        else:
            message = BUILD[header.msgtype](header.msgid, header.reqid, content, buffers)
        if count or len(frame) > unchecked:
            # A large message must not stay here until the next one comes.
            done.append(message)
            del frame, content, buffers, message
            frame = yield done.pop()
        else:
            frame = yield message


def _read_long_header(text: str, limits: Limits) -> Header:
    check_text(text, limits)
    check_counts(0, 3, limits)
    return _slow_header(text)


def _read_buffers(count: int, total: int, limits: Limits) -> Generator[InvalidFrame | None, Frame, Buffers]:
    """Read the pairs of frames after the content.

    Args:
        count: How many.
        total: Bytes of the content.
        limits: What each frame, and all together, are compared with.
    """
    buffers: list[Buffer] = []
    for _ in range(count):
        frame = yield None
        while not isinstance(frame, str):
            frame = yield no_text(frame, "a text frame with a buffer's header")
        total += utf8_size(frame)
        check_text(frame, limits)
        check_total(total, limits)
        try:
            name = _decode_buffer_header(frame).id
        except READ_ERRORS:
            name = _slow_buffer_id(frame)
        frame = yield None
        while not isinstance(frame, bytes | bytearray | memoryview):
            frame = yield no_data(frame, "a binary frame with a buffer's data")
        total += check_data(frame, limits)
        check_total(total, limits)
        buffers.append(Buffer(name, frame))
    return tuple(buffers)


def _check_count(count: int, limits: Limits) -> None:
    if not 0 < count < _ENDLESS:
        raise MalformedFrame("The header's num_buffers is no count.")
    check_counts(count, 3 + 2 * count, limits)


def _check_metadata(text: str, limits: Limits) -> None:
    check_text(text, limits)
    # Bokeh's receiver never completes a message whose metadata or content is null.
    if loads(text, "The metadata") is None:
        raise MalformedFrame("The metadata is null.")


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
    if type(content) is not dict and text.strip() in ("null", ""):
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
