"""What both wire generations share: frames, outgoing messages, building a message from its parts, checking buffers."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, NoReturn, Protocol, TypeAlias

import msgspec

from .errors import InvalidContent, InvalidFrame, LimitExceeded, LocalLimitExceeded, MalformedFrame
from .limits import Limits
from .messages import (
    Ack,
    Buffer,
    BytesLike,
    Error,
    Message,
    Ok,
    PatchDoc,
    PullDocReply,
    PullDocReq,
    PushDoc,
    ServerInfoReply,
    ServerInfoReq,
    Sync,
)
from .text import check_size, loads, utf8_size

Frame: TypeAlias = str | BytesLike
"""One WebSocket message: str for a text frame; bytes, bytearray or memoryview for a binary one."""

Buffers: TypeAlias = tuple[Buffer, ...]


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One message, ready to be sent.

    Attributes:
        msgid: Its id, which a reply will name as its reqid.
        frames: Its frames, to be written in this order and in one go: nothing may come between them.
    """

    msgid: str
    frames: tuple[Frame, ...]


class Decoder(Protocol):
    """Turns the frames of one wire generation into messages. It is finished once `feed` has raised."""

    @property
    def mid_message(self) -> bool:
        """Whether some but not all frames of a message have been taken."""

    @property
    def feed(self) -> Callable[[Frame], Message | InvalidFrame | None]:
        """Takes the next frame and returns the message that it completes, None if it completes none.

        Where the frame is neither text nor binary it returns the error to raise, because nothing has happened.

        Raises:
            MalformedFrame: The frame is not what has to come next.
            LimitExceeded: It is too large, nests too deep, or announces too much.
        """


Reading: TypeAlias = Generator[Message | InvalidFrame | None, Frame, NoReturn]
"""A decoder's generator: frames in, results of `Decoder.feed` out."""


class Progress:
    """What a decoder's generator tells of itself. It has no reference to the decoder, which would make a cycle."""

    __slots__ = ("mid_message",)

    def __init__(self) -> None:
        self.mid_message = False


Encode: TypeAlias = Callable[[str, str, str | None, Any, Buffers], tuple[Frame, ...]]
"""Turns (kind, msgid, reqid, content, checked buffers) into frames."""

Build: TypeAlias = Callable[[str, str | None, Any, Buffers], Message]


def _error(msgid: str, reqid: str | None, content: Any, buffers: Buffers) -> Error:
    if isinstance(content, msgspec.Raw):
        content = loads(bytes(content).decode("utf-8", "surrogatepass"), "The content of an ERROR")
    # Bokeh's receivers let any content pass here. That it is not as documented must not hide that there was an error.
    text, traceback = (content.get("text"), content.get("traceback")) if isinstance(content, dict) else (None, None)
    return Error(msgid, reqid, text if isinstance(text, str) else "", traceback if isinstance(traceback, str) else None)


BUILD: Mapping[str, Build] = {
    "ACK": lambda msgid, reqid, content, buffers: Ack(msgid),
    "OK": lambda msgid, reqid, content, buffers: Ok(msgid, reqid),
    "ERROR": _error,
    "PATCH-DOC": lambda msgid, reqid, content, buffers: PatchDoc(msgid, content, buffers),
    "PUSH-DOC": lambda msgid, reqid, content, buffers: PushDoc(msgid, content, buffers),
    "PULL-DOC-REQ": lambda msgid, reqid, content, buffers: PullDocReq(msgid),
    "PULL-DOC-REPLY": PullDocReply,
    "SERVER-INFO-REQ": lambda msgid, reqid, content, buffers: ServerInfoReq(msgid),
    "SERVER-INFO-REPLY": lambda msgid, reqid, content, buffers: ServerInfoReply(msgid, reqid, content),
    "SYNC": lambda msgid, reqid, content, buffers: Sync(msgid),
}
"""How each kind is built from its parts. A kind ignores the parts that have no meaning for it, as Bokeh does."""


def no_text(frame: object, expected: str) -> InvalidFrame:
    """Return the error for what is not even a frame, where a text frame is expected.

    Raises:
        MalformedFrame: It is a binary frame.
    """
    if isinstance(frame, bytes | bytearray | memoryview):
        raise MalformedFrame(f"Expected {expected}, got a binary frame.")
    return InvalidFrame(f"A frame is str, bytes, bytearray or memoryview, not {type(frame).__name__}.")


def no_data(frame: object, expected: str) -> InvalidFrame:
    """Return the error for what is not even a frame, where a binary frame is expected.

    Raises:
        MalformedFrame: It is a text frame.
    """
    if isinstance(frame, str):
        raise MalformedFrame(f"Expected {expected}, got a text frame.")
    return InvalidFrame(f"A frame is str, bytes, bytearray or memoryview, not {type(frame).__name__}.")


def check_counts(buffers: int, frames: int, limits: Limits) -> None:
    """Compare what a message announces with the limits, before its buffers come.

    Raises:
        LimitExceeded: Too many buffers, or too many frames altogether.
    """
    maximum = limits.max_buffers
    if maximum is not None and buffers > maximum:
        raise LimitExceeded("number of buffers", buffers, maximum, "max_buffers")
    maximum = limits.max_frames_per_message
    if maximum is not None and frames > maximum:
        raise LimitExceeded("number of frames of a message", frames, maximum, "max_frames_per_message")


def size_of(frame: Frame) -> int:
    """Return the bytes of a frame, a text frame's as UTF-8."""
    if isinstance(frame, str):
        return utf8_size(frame)
    return frame.nbytes if isinstance(frame, memoryview) else len(frame)


def check_data(data: BytesLike, limits: Limits) -> int:
    """Compare a received binary frame with the limits and return its bytes.

    Raises:
        LimitExceeded: They are too many.
    """
    size = size_of(data)
    maximum = limits.max_buffer_size
    if maximum is not None and size > maximum:
        raise LimitExceeded("size of a buffer in bytes", size, maximum, "max_buffer_size")
    check_size(size, limits)
    return size


def _flat(buffer: Buffer) -> Buffer:
    data = buffer.data
    if isinstance(data, bytes | bytearray):
        return buffer
    if not isinstance(data, memoryview):
        raise InvalidContent(f"The data of buffer {buffer.id!r} is {type(data).__name__}, not bytes.")
    try:
        contiguous = data.c_contiguous
    except ValueError:
        raise InvalidContent(f"The data of buffer {buffer.id!r} is a memoryview that has been released.") from None
    if not contiguous:
        raise InvalidContent(f"The data of buffer {buffer.id!r} is not C-contiguous; copy it first.")
    if data.format == "B" and data.ndim == 1:
        return buffer
    # A view without elements cannot be cast.
    return Buffer(buffer.id, data.cast("B") if data.nbytes else b"")


def outgoing_buffers(buffers: Iterable[Buffer], limits: Limits) -> Buffers:
    """Check buffers that are to be sent; their data becomes flat bytes, without a copy.

    Raises:
        InvalidContent: They are no iterable; one is no `Buffer`; an id is empty, repeated or no str; data is not bytes
            or not C-contiguous.
        LocalLimitExceeded: There are too many.
    """
    if not isinstance(buffers, Iterable):
        raise InvalidContent(f"The buffers of a message are an iterable of Buffer, not {type(buffers).__name__}.")
    checked: dict[str, Buffer] = {}
    for buffer in buffers:
        if not isinstance(buffer, Buffer):
            raise InvalidContent(f"A buffer is a bokehwire.protocol.Buffer, not {type(buffer).__name__}.")
        if type(buffer.id) is not str or not buffer.id:
            raise InvalidContent(f"The id of a buffer is a non-empty str, not {buffer.id!r:.80}.")
        if buffer.id in checked:
            raise InvalidContent(f"Two buffers of one message have the id {buffer.id!r}.")
        checked[buffer.id] = _flat(buffer)
    maximum = limits.max_buffers
    if maximum is not None and len(checked) > maximum:
        raise LocalLimitExceeded("number of buffers", len(checked), maximum, "max_buffers")
    return tuple(checked.values())


def check_outgoing(frames: Iterable[Frame], limits: Limits) -> None:
    """Compare the frames of a message that is to be sent with the limit.

    Raises:
        LocalLimitExceeded: One is too large.
    """
    maximum, size = limits.max_outgoing_size, max(map(size_of, frames))
    if maximum is not None and size > maximum:
        raise LocalLimitExceeded("size of a frame in bytes", size, maximum, "max_outgoing_size")
