"""A transport of one's own: it passes everything on, and keeps a record of the messages that went either way."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bokehwire.transports import ConnectionOptions, Frame, OutgoingFrame, Transport, WebSocket, resolve

from ..servers import DEADLINE


@dataclass
class SpyTransport:
    """A Transport that records.

    Attributes:
        name: The transport that does the work, or its name.
        sent: The messages sent, as decoded JSON texts, each message's frames in order.
        received: The text frames received, decoded.
        sent_buffers: The binary frames sent.
        received_buffers: The binary frames received.
        open: Cleared to keep messages from being sent, until it is set.
    """

    name: str | Transport
    sent: list[Any] = field(default_factory=list)
    received: list[Any] = field(default_factory=list)
    sent_buffers: list[bytes] = field(default_factory=list)
    received_buffers: list[bytes] = field(default_factory=list)
    options: ConnectionOptions | None = None
    changed: threading.Condition = field(default_factory=threading.Condition)
    open: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.open.set()

    def wait_for_event(self, kind: str, count: int = 1, *, sent: bool = False) -> None:
        """Block until so many document events of a kind have been received, or sent."""
        with self.changed:
            texts = self.sent if sent else self.received
            found = self.changed.wait_for(
                lambda: sum(event["kind"] == kind for text in texts for event in _events(text)) >= count, DEADLINE
            )
        assert found, f"no {kind} has gone by"

    async def connect(self, options: ConnectionOptions) -> WebSocket:
        """Connect through the transport that does the work."""
        self.options = options
        return SpySocket(await resolve(self.name).connect(options), self)

    def sent_kinds(self) -> list[str]:
        """The kinds of the messages sent, in order."""
        return _kinds(self.sent)

    def received_kinds(self) -> list[str]:
        """The kinds of the messages received, in order."""
        return _kinds(self.received)

    def most_together(self) -> int:
        """How many events have travelled in one message at the most."""
        return max(len(_events(text)) for text in self.sent)

    def sent_events(self) -> list[str]:
        """The kinds of the document events sent, in order."""
        return [event["kind"] for text in self.sent for event in _events(text)]


class SpySocket:
    """An open connection that records."""

    def __init__(self, inner: WebSocket, spy: SpyTransport) -> None:
        self._inner = inner
        self._spy = spy

    @property
    def subprotocol(self) -> str | None:
        """The selected subprotocol."""
        return self._inner.subprotocol

    @property
    def close_code(self) -> int | None:
        """The close code."""
        return self._inner.close_code

    @property
    def close_reason(self) -> str:
        """The close reason."""
        return self._inner.close_reason

    async def send(self, frames: Sequence[OutgoingFrame]) -> None:
        """Send, and record the texts."""
        if not self._spy.open.is_set():
            await asyncio.get_running_loop().run_in_executor(None, self._spy.open.wait, DEADLINE)
        await self._inner.send(frames)
        with self._spy.changed:
            self._spy.sent.extend(json.loads(frame) for frame in frames if isinstance(frame, str))
            self._spy.sent_buffers.extend(bytes(frame) for frame in frames if not isinstance(frame, str))
            self._spy.changed.notify_all()

    async def receive(self) -> list[Frame]:
        """Receive, and record the texts."""
        frames = await self._inner.receive()
        with self._spy.changed:
            self._spy.received.extend(json.loads(frame) for frame in frames if isinstance(frame, str))
            self._spy.received_buffers.extend(frame for frame in frames if isinstance(frame, bytes))
            self._spy.changed.notify_all()
        return frames

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close."""
        await self._inner.close(code, reason)

    def abort(self) -> None:
        """Drop the connection."""
        self._inner.abort()


def _kinds(texts: list[Any]) -> list[str]:
    headers = [text.get("header", text) for text in texts]
    return [header["msgtype"] for header in headers if "msgtype" in header]


def _events(text: Any) -> list[dict[str, Any]]:
    content = text.get("content", text)
    events: list[dict[str, Any]] = content.get("events", [])
    return events
