"""The last messages of a connection, kept to be shown when a test fails."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..transports import ConnectionOptions, Frame, OutgoingFrame, Transport, WebSocket

__all__ = ["MessageLog", "RecordingTransport", "WrappedWebSocket"]

_FRAMES = 120
_KEPT = 4_000  # characters of a text frame
_SHOWN = 600


@dataclass(frozen=True, slots=True)
class _Entry:
    at: float
    arrow: str
    text: str


class MessageLog:
    """The last frames of one session, both ways. `str` of it is a text to read.

    Only the last 120 frames are kept, of each text the first 4,000 characters and of each buffer only the size.
    """

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque(maxlen=_FRAMES)
        self._guard = threading.Lock()
        self._start = time.monotonic()

    def add(self, arrow: str, frames: Sequence[OutgoingFrame]) -> None:
        """Keep frames.

        Args:
            arrow: "->" for what goes to the server, "<-" for what comes from it.
            frames: The frames, in order.
        """
        now = time.monotonic() - self._start
        entries = [_Entry(now, arrow, _text_of(frame)) for frame in frames]
        with self._guard:
            self._entries.extend(entries)

    def __str__(self) -> str:
        with self._guard:
            entries = list(self._entries)
        return "\n".join(line for entry in entries for line in _lines(entry))


class RecordingTransport:
    """Keeps the messages of the connections that another transport makes.

    Args:
        inner: The transport that does the work.
        log: Where to keep them.

    Attributes:
        inner: As given; what is put in its place makes the connections from then on.
    """

    def __init__(self, inner: Transport, log: MessageLog) -> None:
        self.inner = inner
        self._log = log

    async def connect(self, options: ConnectionOptions) -> WebSocket:
        """See `Transport.connect`."""
        return _RecordingWebSocket(await self.inner.connect(options), self._log)


class WrappedWebSocket:
    """What stays the same of a connection that something is noted about.

    Args:
        inner: The connection.
    """

    def __init__(self, inner: WebSocket) -> None:
        self._inner = inner

    @property
    def subprotocol(self) -> str | None:
        """See `WebSocket.subprotocol`."""
        return self._inner.subprotocol

    @property
    def close_code(self) -> int | None:
        """See `WebSocket.close_code`."""
        return self._inner.close_code

    @property
    def close_reason(self) -> str:
        """See `WebSocket.close_reason`."""
        return self._inner.close_reason


class _RecordingWebSocket(WrappedWebSocket):
    def __init__(self, inner: WebSocket, log: MessageLog) -> None:
        super().__init__(inner)
        self._log = log
        self._has_ended = False

    async def send(self, frames: Sequence[OutgoingFrame]) -> None:
        self._log.add("->", frames)
        await self._inner.send(frames)

    async def receive(self) -> list[Frame]:
        try:
            frames = await self._inner.receive()
        except Exception as error:
            if not self._has_ended:
                self._has_ended = True
                self._log.add("<-", [f"({type(error).__name__}: {error})"])
            raise
        self._log.add("<-", frames)
        return frames

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._inner.close(code, reason)

    def abort(self) -> None:
        self._inner.abort()


def _text_of(frame: OutgoingFrame) -> str:
    if isinstance(frame, str):
        return frame[:_KEPT]
    size = frame.nbytes if isinstance(frame, memoryview) else len(frame)
    return f"({size:,} bytes)"


def _lines(entry: _Entry) -> Iterator[str]:
    """Show one frame: the kind of the message that it begins, and its contents."""
    prefix = f"{entry.at:8.3f} s {entry.arrow} "
    try:
        frame = json.loads(entry.text)
    except ValueError:
        yield prefix + _shortened(entry.text)
        return
    header = frame.get("header", frame) if isinstance(frame, dict) else {}
    if isinstance(header, dict) and "msgtype" in header:
        reply = f" to {header['reqid']}" if "reqid" in header else ""
        yield f"{prefix}{header['msgtype']} {header.get('msgid', '')}{reply}"
        frame = frame.get("content", {})
    if frame:
        yield " " * len(prefix) + _shortened(json.dumps(frame, ensure_ascii=False))


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ... ({len(text):,} characters)"
