"""One connection as it is recorded: the frames of both directions, and what they mean to the side that gets them."""

from __future__ import annotations

import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .reference import Fault, Reference
from .transcript import FAULT, Ended, Entry, Expected, MessageSeen, Sent, SentClose, Side, other

# Seconds until waiting for something fails; it only ends what hangs.
DEADLINE = 60.0

_EVENTS = {"ACK": "Ready", "PATCH-DOC": "PatchReceived"}
_ROOT = Path(__file__).parents[2]


class Recording:
    """What has passed between a client and a server. The tap writes it in its thread, the others read and wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._entries: list[Entry] = []
        self._references: dict[Side, Reference] = {"client": Reference(), "server": Reference()}
        self._pending: dict[str, str] = {}
        self._faulty: set[Side] = set()
        self._closing: set[Side] = set()
        self._closed: set[Side] = set()
        self._ended: set[Side] = set()
        self._owed: dict[Side, tuple[int | None, str]] = {}

    @property
    def entries(self) -> tuple[Entry, ...]:
        with self._changed:
            return tuple(self._entries)

    def frame(self, sender: Side, frame: str | bytes) -> None:
        """A whole message has come from this side and is about to be passed on."""
        with self._changed:
            self._add(Sent(sender, _without_paths(frame)))
            self._interpret(other(sender), frame)

    def close(self, sender: Side, code: int | None, reason: str) -> None:
        """A close frame has come from this side."""
        with self._changed:
            self._deliver(sender)
            self._add(SentClose(sender, code, reason))
            self._closing.add(sender)
            self._owe(other(sender), code, reason)

    def end(self, sender: Side) -> None:
        """The TCP connection has ended from this side; after a close frame or the other end that says nothing new."""
        with self._changed:
            self._deliver(sender)
            if sender not in self._closing and other(sender) not in self._ended:
                self._add(Ended(sender))
                self._ended.add(sender)
                self._owe(other(sender), None, "")

    def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Waits until the predicate holds; it is asked after every entry."""
        with self._changed:
            if not self._changed.wait_for(predicate, DEADLINE):
                raise TimeoutError(f"the exchange is stuck after {self._entries[-3:]!r}")

    def settled(self, **counts: int) -> bool:
        """Whether every request is answered and this many messages have been sent, e.g. `server_PATCH_DOC=1`."""
        if self._pending:
            return False
        return all(self.count(name) >= number for name, number in counts.items())

    def count(self, name: str) -> int:
        """How many messages of a kind there are from one side: `client_SERVER_INFO_REQ`."""
        sender, _, kind = name.partition("_")
        wanted = kind.replace("_", "-")
        return sum(message.kind == wanted for side, message in self._messages() if side == sender)

    def close_of(self, sender: Side) -> SentClose | None:
        """The close frame that this side has sent."""
        return next((entry for entry in self._entries if isinstance(entry, SentClose) and entry.sender == sender), None)

    @property
    def closed(self) -> bool:
        """Whether both sides know of the end."""
        return len(self._closed | self._ended) == 2

    def _messages(self) -> list[tuple[Side, MessageSeen]]:
        return [
            (other(entry.at), entry.message)
            for entry in self._entries
            if isinstance(entry, Expected) and entry.message is not None
        ]

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._changed.notify_all()

    def _interpret(self, at: Side, frame: str | bytes) -> None:
        # After a fault Bokeh's receiver is somewhere, and our connection is finished.
        if at in self._faulty:
            return
        try:
            message = self._references[at].feed(frame)
        except Fault:
            self._faulty.add(at)
            self._add(Expected(at, FAULT))
            return
        if message is not None:
            self._add(self._event(at, message))

    def _event(self, at: Side, message: MessageSeen) -> Expected:
        message = _clean(message)
        if at == "server":
            if message.kind not in ("PATCH-DOC", "PUSH-DOC", "PULL-DOC-REQ", "SERVER-INFO-REQ", "SYNC"):
                self._faulty.add(at)
                return Expected(at, FAULT, message)
            self._pending[message.msgid] = message.kind
            return Expected(at, "RequestReceived", message, message.kind)
        if message.kind in _EVENTS:
            return Expected(at, _EVENTS[message.kind], message)
        request = self._pending.pop(message.reqid or "", None)
        return Expected(at, "ReplyReceived" if request else "UnknownReply", message, request)

    def _owe(self, at: Side, code: int | None, reason: str) -> None:
        # A server that is busy reads the close late, and may send replies meanwhile. It has read it when it closes too.
        self._owed[at] = (code, reason)
        if at in self._closing:
            self._deliver(at)

    def _deliver(self, at: Side) -> None:
        if at not in self._owed or at in self._closed:
            return
        code, reason = self._owed[at]
        self._closed.add(at)
        self._add(
            Expected(
                at,
                "Closed",
                code=code,
                reason=reason,
                expected=at in self._closing or at in self._faulty,
                unanswered=tuple(self._pending),
                mid_message=None if at in self._faulty else self._references[at].mid_message,
            )
        )


def _folders() -> list[tuple[str, str]]:
    paths = sysconfig.get_paths()
    found = {
        **{paths[name]: "site-packages" for name in ("purelib", "platlib")},
        **{paths[name]: "lib" for name in ("stdlib", "platstdlib")},
        str(_ROOT): ".",
    }
    # The environment may lie inside the project or inside the folder of the standard library.
    return sorted(found.items(), key=lambda pair: -len(pair[0]))


_FOLDERS = _folders()


def _without_paths(frame: str | bytes) -> str | bytes:
    # Tracebacks name files; where they are on the machine that captured them is nobody's business.
    if isinstance(frame, str):
        for folder, name in _FOLDERS:
            frame = frame.replace(f"{folder}/", f"{name}/")
    return frame


def _clean(message: MessageSeen) -> MessageSeen:
    return MessageSeen(message.kind, message.msgid, message.reqid, _clean_json(message.content), message.buffers)


def _clean_json(value: Any) -> Any:
    match value:
        case str():
            return _without_paths(value)
        case dict():
            return {key: _clean_json(inner) for key, inner in value.items()}
        case list():
            return [_clean_json(inner) for inner in value]
        case _:
            return value
