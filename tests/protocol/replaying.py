"""A transcript played to a connection in the place of one of its two sides.

What the connection should say stands in the transcript, put there by Bokeh's own receiver; nothing here asks
bokehwire.protocol what a frame means.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bokehwire.protocol import (
    Ack,
    AnyEvent,
    Buffer,
    Closed,
    Connection,
    Error,
    Event,
    Generation,
    Message,
    Ok,
    Outgoing,
    PatchDoc,
    PatchReceived,
    PullDocReply,
    PullDocReq,
    PushDoc,
    Ready,
    ReplyReceived,
    Request,
    RequestReceived,
    Role,
    ServerInfoReply,
    ServerInfoReq,
    Sync,
    UnknownReply,
)
from tools.capture.transcript import (
    FAULT,
    FOLDER,
    SUFFIX,
    Entry,
    Expected,
    MessageSeen,
    Sent,
    Side,
    Transcript,
    other,
    read,
)

Buffers = tuple[Buffer, ...]

TRANSCRIPTS = [read(file) for file in sorted(FOLDER.rglob(f"*{SUFFIX}"))]


@dataclass(frozen=True)
class Step:
    """A frame, and what it means to the side that receives it: an event of a complete message, a fault, or nothing.

    `captured` are the frames of the sender since its last message, up to this one.
    """

    sender: Side
    frame: str | bytes
    captured: tuple[str | bytes, ...]
    expected: Expected | None

    @property
    def buffers(self) -> Buffers:
        """The buffers of the message that this frame completes."""
        assert self.expected is not None
        assert self.expected.message is not None
        data = [frame for frame in self.captured if isinstance(frame, bytes)]
        return tuple(Buffer(name, content) for name, content in zip(self.expected.message.buffers, data, strict=True))

    @property
    def message(self) -> MessageSeen | None:
        """The message that this frame completes, unless the receiver does not accept it."""
        if self.expected is None or self.expected.name == FAULT:
            return None
        return self.expected.message


def steps(transcript: Transcript) -> list[Step]:
    """The frames of a transcript, without its closes."""
    found = []
    captured: dict[Side, tuple[str | bytes, ...]] = {"client": (), "server": ()}
    following: list[Entry | None] = [*transcript.entries[1:], None]
    for entry, after in zip(transcript.entries, following, strict=True):
        if not isinstance(entry, Sent):
            continue
        meant = isinstance(after, Expected) and after.at == other(entry.sender) and after.name != "Closed"
        expected = after if meant and isinstance(after, Expected) else None
        captured[entry.sender] += (entry.frame,)
        found.append(Step(entry.sender, entry.frame, captured[entry.sender], expected))
        if expected is not None:
            captured[entry.sender] = ()
    return found


_CLIENT_SENDS: Mapping[str, Callable[[Connection, MessageSeen, Buffers], Outgoing]] = {
    "PATCH-DOC": lambda connection, seen, buffers: connection.patch_doc(seen.content, buffers),
    "PUSH-DOC": lambda connection, seen, buffers: connection.push_doc(seen.content, buffers),
    "PULL-DOC-REQ": lambda connection, seen, buffers: connection.pull_doc(),
    "SERVER-INFO-REQ": lambda connection, seen, buffers: connection.roundtrip(),
    "SYNC": lambda connection, seen, buffers: connection.roundtrip(),
}
_SERVER_SENDS: Mapping[str, Callable[[Connection, MessageSeen, Buffers], Outgoing]] = {
    "ACK": lambda connection, seen, buffers: connection.ack(),
    "OK": lambda connection, seen, buffers: connection.ok(_reqid(seen)),
    "ERROR": lambda connection, seen, buffers: connection.refuse(_reqid(seen), **seen.content),
    "PATCH-DOC": lambda connection, seen, buffers: connection.patch_doc(seen.content, buffers),
    "PULL-DOC-REPLY": lambda connection, seen, buffers: connection.pull_doc_reply(_reqid(seen), seen.content, buffers),
    "SERVER-INFO-REPLY": lambda connection, seen, buffers: connection.server_info_reply(_reqid(seen), seen.content),
}
_MESSAGES: Mapping[str, Callable[[MessageSeen, Buffers], Message]] = {
    "ACK": lambda seen, buffers: Ack(seen.msgid),
    "OK": lambda seen, buffers: Ok(seen.msgid, seen.reqid),
    "ERROR": lambda seen, buffers: Error(seen.msgid, seen.reqid, **seen.content),
    "PATCH-DOC": lambda seen, buffers: PatchDoc(seen.msgid, seen.content, buffers),
    "PUSH-DOC": lambda seen, buffers: PushDoc(seen.msgid, seen.content, buffers),
    "PULL-DOC-REQ": lambda seen, buffers: PullDocReq(seen.msgid),
    "PULL-DOC-REPLY": lambda seen, buffers: PullDocReply(seen.msgid, seen.reqid, seen.content, buffers),
    "SERVER-INFO-REQ": lambda seen, buffers: ServerInfoReq(seen.msgid),
    "SERVER-INFO-REPLY": lambda seen, buffers: ServerInfoReply(seen.msgid, seen.reqid, seen.content),
    "SYNC": lambda seen, buffers: Sync(seen.msgid),
}


def _reqid(seen: MessageSeen) -> str:
    assert seen.reqid is not None
    return seen.reqid


def make_connection(transcript: Transcript, side: Side, *, raw_content: bool = False) -> Connection:
    """A connection in the place of one side, which gives its messages the ids that they have in the transcript."""
    names = [step.message.msgid for step in steps(transcript) if step.sender == side and step.message is not None]
    generation = None if side == "client" else Generation(transcript.generation)
    return Connection(Role(side), generation=generation, id_factory=iter(names).__next__, raw_content=raw_content)


def send(connection: Connection, step: Step) -> Outgoing:
    """Has the connection send the message that this step completes."""
    assert step.message is not None
    intents = _CLIENT_SENDS if connection.role is Role.CLIENT else _SERVER_SENDS
    return intents[step.message.kind](connection, step.message, step.buffers)


def expected_event(step: Step, transcript: Transcript) -> Event | None:
    """What receiving this frame should report, by the transcript."""
    expected, seen = step.expected, step.message
    if expected is None or seen is None:
        return None
    message: Any = _MESSAGES[seen.kind](seen, step.buffers)
    match expected.name:
        case "Ready":
            return Ready(Generation(transcript.generation), seen.msgid)
        case "ReplyReceived":
            return ReplyReceived(Request(expected.request), _reqid(seen), message)
        case "UnknownReply":
            return UnknownReply(message)
        case "PatchReceived":
            return PatchReceived(message)
        case "RequestReceived":
            return RequestReceived(Request(expected.request), message)
        case name:
            raise ValueError(f"{name} is no event of a received frame")


def expected_close(expected: Expected) -> Closed:
    """What the close should report, by the transcript."""
    mid_message = bool(expected.mid_message)
    return Closed(expected.code, expected.reason, expected.expected, expected.unanswered, mid_message)


def pending_after(done: list[Step]) -> dict[str, Request]:
    """The requests without a reply after these steps, by the transcript."""
    pending: dict[str, Request] = {}
    for step in done:
        if step.message is None or step.expected is None:
            continue
        if step.expected.name == "RequestReceived":
            pending[step.message.msgid] = Request(step.expected.request)
        elif step.expected.name == "ReplyReceived":
            del pending[_reqid(step.message)]
    return pending


def event_text(event: AnyEvent | None) -> str:
    """An event as a text, which tells 1 from 1.0 and true; content that was left undecoded is decoded."""
    return json.dumps(_open(event))


def _open(value: Any) -> Any:
    match value:
        case msgspec.Raw():
            return json.loads(bytes(value))
        case msgspec.Struct():
            fields = {name: _open(getattr(value, name)) for name in value.__struct_fields__}
            return {"": type(value).__name__, **fields}
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case tuple():
            return [_open(item) for item in value]
        case Request():
            return value.value
        case _:
            return value


def meaning(frames: tuple[Any, ...], generation: int) -> Iterator[str | bytes]:
    """The frames without what has no meaning: space, the order of keys, and in generation 3 a count of no buffers."""
    for index, frame in enumerate(frames):
        if not isinstance(frame, str):
            yield bytes(frame)
            continue
        value = json.loads(frame)
        if generation == 3 and index == 0 and not value.get("num_buffers", 1):
            del value["num_buffers"]
        yield json.dumps(value, sort_keys=True)


def is_fault(step: Step) -> bool:
    """Whether the receiver refuses this frame, or what it completes."""
    return step.expected is not None and step.expected.name == FAULT
