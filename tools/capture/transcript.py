"""The files under specs/transcripts, read and written; the README there describes the format.

Nothing but the standard library is imported here: the replaying tests run without Bokeh.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

FOLDER = Path(__file__).parents[2] / "specs" / "transcripts"
SUFFIX = ".jsonl"
FAULT = "RemoteProtocolError"

Side: TypeAlias = Literal["client", "server"]


def other(side: Side) -> Side:
    return "server" if side == "client" else "client"


@dataclass(frozen=True)
class Sent:
    """A whole WebSocket message, text or binary."""

    sender: Side
    frame: str | bytes


@dataclass(frozen=True)
class SentClose:
    """A close frame; without a code it is empty."""

    sender: Side
    code: int | None
    reason: str


@dataclass(frozen=True)
class Ended:
    """The TCP connection ended from this side without a close frame."""

    sender: Side


@dataclass(frozen=True)
class MessageSeen:
    """A message as Bokeh's own receiver put it together."""

    kind: str
    msgid: str
    reqid: str | None
    content: Any
    buffers: tuple[str, ...]


@dataclass(frozen=True)
class Expected:
    """What the entry before this one means to the side that received it.

    `name` is that of an event of bokehwire.protocol, or FAULT. Of the other fields each event has those that it needs.
    """

    at: Side
    name: str
    message: MessageSeen | None = None
    request: str | None = None
    code: int | None = None
    reason: str = ""
    expected: bool = False
    unanswered: tuple[str, ...] = ()
    mid_message: bool | None = None


Entry: TypeAlias = Sent | SentClose | Ended | Expected


@dataclass(frozen=True)
class Transcript:
    """One connection between one client and one server, from the handshake's end to the close."""

    bokeh: str
    server: str
    client: str
    generation: int
    exchange: str
    about: str
    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        return str(self.path.with_suffix(""))

    @property
    def path(self) -> Path:
        """Where it belongs, relative to the folder of all transcripts."""
        return Path(f"{self.bokeh}-{self.server}-{self.client}") / f"{self.exchange}{SUFFIX}"


def write(transcript: Transcript, folder: Path = FOLDER) -> Path:
    """Writes the transcript into its place and returns the file."""
    head = {
        name: getattr(transcript, name) for name in ("bokeh", "server", "client", "generation", "exchange", "about")
    }
    lines = [head, *map(_to_json, transcript.entries)]
    file = folder / transcript.path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8", newline="\n")
    return file


def read(file: Path) -> Transcript:
    """The transcript in a file."""
    # Not splitlines(): JSON strings may hold other characters that Python takes for line ends.
    head, *entries = (json.loads(line) for line in file.read_text("utf-8").removesuffix("\n").split("\n"))
    return Transcript(**head, entries=tuple(map(_from_json, entries)))


def _to_json(entry: Entry) -> Mapping[str, Any]:
    match entry:
        case Sent(sender, str() as text):
            return {"from": sender, "text": text}
        case Sent(sender, bytes() as data):
            return {"from": sender, "binary": base64.b64encode(data).decode()}
        case SentClose(sender, code, reason):
            return {"from": sender, "close": {"code": code, "reason": reason}}
        case Ended(sender):
            return {"from": sender, "end": True}
        case Expected():
            return _expected_to_json(entry)
        case _:
            raise TypeError(f"{entry!r} is no entry of a transcript")


def _expected_to_json(entry: Expected) -> Mapping[str, Any]:
    line: dict[str, Any] = {"at": entry.at, "event": entry.name}
    if entry.request is not None:
        line["request"] = entry.request
    if entry.message is not None:
        line["message"] = {
            "type": entry.message.kind,
            "msgid": entry.message.msgid,
            "reqid": entry.message.reqid,
            "content": entry.message.content,
            "buffers": list(entry.message.buffers),
        }
    if entry.name == "Closed":
        line |= {"code": entry.code, "reason": entry.reason, "expected": entry.expected}
        line |= {"unanswered": list(entry.unanswered), "mid_message": entry.mid_message}
    return line


def _from_json(line: Mapping[str, Any]) -> Entry:
    match line:
        case {"from": sender, "text": text}:
            return Sent(sender, text)
        case {"from": sender, "binary": data}:
            return Sent(sender, base64.b64decode(data, validate=True))
        case {"from": sender, "close": {"code": code, "reason": reason}}:
            return SentClose(sender, code, reason)
        case {"from": sender, "end": True}:
            return Ended(sender)
        case {"at": side, "event": name, **rest}:
            return Expected(side, name, **_fields(rest))
        case _:
            raise ValueError(f"{line!r} is no line of a transcript")


def _fields(rest: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(rest)
    if "message" in fields:
        message = dict(fields["message"])
        kind, buffers = message.pop("type"), tuple(message.pop("buffers"))
        fields["message"] = MessageSeen(kind=kind, buffers=buffers, **message)
    if "unanswered" in fields:
        fields["unanswered"] = tuple(fields["unanswered"])
    return fields
