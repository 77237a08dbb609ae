"""Transcripts of sessions: recorded while a test runs against its app, and replayed later with no app at all.

They are files as specs/transcripts has them, with the frames of the WebSockets and nothing else. Each connection of the
session begins with a line that says what it is.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import bokeh

from ..transports import (
    ConnectError,
    ConnectionClosed,
    ConnectionOptions,
    Frame,
    OutgoingFrame,
    Transport,
    WebSocket,
    resolve,
)
from .errors import ReplayDeparted
from .matching import Matcher
from .recording import WrappedWebSocket

__all__ = ["ReplayTransport", "TranscriptTransport"]

Line: TypeAlias = dict[str, Any]


class TranscriptTransport:
    """Writes what passes over the connections of another transport into a file, each when it ends.

    Args:
        inner: The transport that does the work: "tornado", "aiohttp", or a Transport object.
        path: The file. What an earlier session has left there is replaced; two at once need a file each.

    Raises:
        FileNotFoundError: There is no folder to write the file into.
        IsADirectoryError: A folder is there instead of a file.
        FileExistsError: A session that is open in this process writes into that file.
        ValueError: There is no such transport.
        ImportError: The transport's library is not installed.
    """

    def __init__(self, inner: str | Transport, path: str | os.PathLike[str]) -> None:
        self._inner = resolve(inner)
        self._path = Path(path)
        if not self._path.parent.is_dir():  # found here, and not when all has been played
            raise FileNotFoundError(
                f"there is no folder {self._path.parent} to write a transcript into. Make it first."
            )
        if self._path.is_dir():
            raise IsADirectoryError(f"{self._path} is a folder; give a file to write the transcript into.")
        if self._is_taken():
            raise FileExistsError(self._taken())
        self._connections: list[list[Line]] = []
        self._open = 0

    async def connect(self, options: ConnectionOptions) -> WebSocket:
        """See `Transport.connect`.

        Raises:
            ConnectError: Besides, if a session that has connected meanwhile writes into the file.
        """
        if self._is_taken():
            raise ConnectError(self._taken(), url=options.url)
        socket = await self._inner.connect(options)
        self._open += 1
        _writing[self._path.resolve()] = self
        lines: list[Line] = []
        self._connections.append(lines)
        return _TranscribedWebSocket(socket, lines, self._ended)

    def _is_taken(self) -> bool:
        return _writing.get(self._path.resolve(), self) is not self

    def _taken(self) -> str:
        return (
            f"a session that is open writes its transcript into {self._path}, and a second one would replace it. Give "
            "each session a file of its own."
        )

    def _ended(self) -> None:
        """Write the file, which is another's to take once no connection is left."""
        lines = [line for connection in self._connections for line in (self._head(connection), *connection)]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        self._path.write_text(text, "utf-8", newline="\n")
        self._open -= 1
        if not self._open and not self._is_taken():
            _writing.pop(self._path.resolve(), None)

    def _head(self, connection: Sequence[Line]) -> Line:
        first = next((line["text"] for line in connection if line["from"] == "server" and "text" in line), "")
        generation = 3 if '"msgtype"' in first and '"header"' not in first else 4
        kept = {"bokeh": bokeh.__version__, "server": "any", "client": "bokehwire", "generation": generation}
        return kept | {"exchange": self._path.stem, "about": ""}


# Transports with an open connection, by the file that they will write; of those that are gone no trace is kept.
_writing: WeakValueDictionary[Path, TranscriptTransport] = WeakValueDictionary()


class _TranscribedWebSocket(WrappedWebSocket):
    def __init__(self, inner: WebSocket, lines: list[Line], ended: Callable[[], None]) -> None:
        super().__init__(inner)
        self._lines = lines
        self._ended = ended
        self._is_open = True

    async def send(self, frames: Sequence[OutgoingFrame]) -> None:
        # What answers a frame may be received before `send` returns.
        self._lines += [_line("client", frame) for frame in frames]
        await self._inner.send(frames)

    async def receive(self) -> list[Frame]:
        try:
            frames = await self._inner.receive()
        except ConnectionClosed as closed:
            end: Line = {"close": {"code": closed.code, "reason": closed.reason}} if closed.clean else {"end": True}
            self._end({"from": "server", **end})
            raise
        self._lines += [_line("server", frame) for frame in frames]
        return frames

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._end({"from": "client", "close": {"code": code, "reason": reason}})
        await self._inner.close(code, reason)

    def abort(self) -> None:
        self._end({"from": "client", "end": True})
        self._inner.abort()

    def _end(self, line: Line) -> None:
        """Note how the connection ended first, and write the file."""
        if self._is_open:
            self._is_open = False
            self._lines.append(line)
            self._ended()


class ReplayTransport:
    """Answers connections from a transcript: what the server sent, once the client has sent what it sent before that.

    What the client sends is compared frame by frame, JSON as JSON. Ids that the client makes up, of messages, buffers
    and new models, may be others than those of the transcript, as long as each stands for one of them throughout. The
    handshake is not compared, so that sessions may have any id and URL.

    Args:
        path: The transcript: of `TranscriptTransport`, `AppSession(record=...)`, or one of specs/transcripts.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no transcript.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._connections = _read(self._path)
        self._played: list[_ReplayedWebSocket] = []

    async def connect(self, options: ConnectionOptions) -> WebSocket:
        """Begin the next connection of the transcript.

        Args:
            options: The first subprotocol is selected; nothing else counts.

        Raises:
            ConnectError: The transcript has no further connection.
        """
        if len(self._played) == len(self._connections):
            raise ConnectError(
                f"{self._path} has {len(self._connections)} connection(s), and one more is asked for. Record it again.",
                url=options.url,
            )
        lines = self._connections[len(self._played)]
        socket = _ReplayedWebSocket(self._path, lines, next(iter(options.subprotocols), None))
        self._played.append(socket)
        return socket

    def check(self) -> None:
        """Say whether all of the transcript was played. To be called at the end.

        Raises:
            ReplayDeparted: What was sent departs from the transcript, or is less than it has.
        """
        for socket in self._played:
            socket.check()
        if len(self._played) < len(self._connections):
            raise ReplayDeparted(f"{self._path}: {len(self._connections) - len(self._played)} connection(s) not made.")


class _ReplayedWebSocket:
    def __init__(self, path: Path, lines: Sequence[tuple[int, Line]], subprotocol: str | None) -> None:
        self.subprotocol = subprotocol
        self.close_code: int | None = None
        self.close_reason = ""
        self._path = path
        self._lines = lines
        self._sent = 0  # how many of the client's frames have been sent
        self._read = 0  # how many lines have been read past
        self._matcher = Matcher()
        self._departure: ReplayDeparted | None = None
        self._changed = asyncio.Event()
        self._theirs = [(number, line) for number, line in lines if line["from"] == "client" and _is_frame(line)]

    def check(self) -> None:
        if self._departure is not None:
            raise self._departure
        if self._sent < len(self._theirs):
            number, line = self._theirs[self._sent]
            raise ReplayDeparted(f"{self._path}, line {number}: what follows was not sent: {_shown(line)}.")

    async def send(self, frames: Sequence[OutgoingFrame]) -> None:
        if self.close_code is not None:
            raise self._closed()
        for frame in frames:
            self._compare(frame if isinstance(frame, str) else bytes(frame))
            self._sent += 1
        self._changed.set()

    async def receive(self) -> list[Frame]:
        while True:
            if frames := self._available():
                return frames
            if self.close_code is not None:
                raise self._closed()
            self._changed.clear()
            await self._changed.wait()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        self._end(code, reason)

    def abort(self) -> None:
        self._end(1006, "")

    def _compare(self, frame: Frame) -> None:
        if self._sent == len(self._theirs):
            told = f"{self._path}: the transcript has nothing more of the client, and this was sent: {_shown(frame)}."
        else:
            number, line = self._theirs[self._sent]
            difference = self._matcher.difference(_frame(line), frame)
            if difference is None:
                return
            told = (
                f"{self._path}, line {number}: {difference}. Sent: {_shown(frame)}. In the transcript: {_shown(line)}."
            )
        self._departure = ReplayDeparted(f"{told} Record it again if the test or the app has changed.")
        raise self._departure

    def _available(self) -> list[Frame]:
        """Take what the server sent after the client's frames so far, up to the end of the connection."""
        frames: list[Frame] = []
        sent = 0
        for index, (_, line) in enumerate(self._lines):
            if line["from"] == "client":
                sent += 1
                if sent > self._sent:
                    break
            elif index >= self._read:
                if not _is_frame(line):
                    if not frames:
                        close = line.get("close", {"code": 1006, "reason": ""})
                        self._end(1005 if close["code"] is None else close["code"], close["reason"])
                    break
                self._read = index + 1
                frames.append(self._matcher.translated(_frame(line)))
        return frames

    def _end(self, code: int, reason: str) -> None:
        if self.close_code is None:
            self.close_code, self.close_reason = code, reason
            self._changed.set()

    def _closed(self) -> ConnectionClosed:
        return ConnectionClosed(code=self.close_code, reason=self.close_reason, clean=self.close_code != 1006)


def _line(sender: str, frame: OutgoingFrame) -> Line:
    if isinstance(frame, str):
        return {"from": sender, "text": frame}
    return {"from": sender, "binary": base64.b64encode(frame).decode()}


def _is_frame(line: Mapping[str, Any]) -> bool:
    return "text" in line or "binary" in line


def _frame(line: Mapping[str, Any]) -> Frame:
    return str(line["text"]) if "text" in line else base64.b64decode(line["binary"])


def _shown(what: Frame | Mapping[str, Any]) -> str:
    frame = _frame(what) if isinstance(what, Mapping) else what
    text = frame if isinstance(frame, str) else f"({len(frame):,} bytes)"
    return text if len(text) <= 300 else f"{text[:300]} ..."


def _read(path: Path) -> list[list[tuple[int, Line]]]:
    """Read the lines of each connection, with their numbers."""
    connections: list[list[tuple[int, Line]]] = []
    # Not splitlines(): JSON strings may hold other characters that Python takes for line ends.
    for number, text in enumerate(path.read_text("utf-8").removesuffix("\n").split("\n"), 1):
        try:
            line = json.loads(text)
            if "from" in line:
                if _is_frame(line):
                    _frame(line)
                connections[-1].append((number, line))
            elif "exchange" in line:
                connections.append([])
            elif "at" not in line:
                raise ValueError("it has none of the keys from, at and exchange")
        except (ValueError, TypeError, IndexError) as error:
            raise ValueError(f"{path}, line {number}, is no line of a transcript: {error}.") from error
    return connections
