"""A TCP proxy between clients and a server that records the WebSocket connections among what passes.

Bytes go through as they come, with one exception: the client's offer of WebSocket extensions is left out of its
request, so that no message is compressed.
"""

from __future__ import annotations

import asyncio
import re
import threading
from concurrent.futures import Future
from typing import Self

from .recording import DEADLINE, Recording
from .transcript import Side
from .websocket import Opcode, Reader

HOST = "127.0.0.1"

_HEAD_END = b"\r\n\r\n"
_EXTENSIONS = re.compile(rb"(?im)^sec-websocket-extensions:[^\r]*\r\n")
_UPGRADE = re.compile(rb"(?im)^upgrade:\s*websocket\s*\r\n")


class _Ear:
    """Listens to one direction."""

    def __init__(self, sender: Side, recording: Recording) -> None:
        self._sender = sender
        self._recording = recording
        self._reader = Reader()

    def hear(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            match message.opcode:
                case Opcode.TEXT:
                    self._recording.frame(self._sender, message.payload.decode())
                case Opcode.BINARY:
                    self._recording.frame(self._sender, message.payload)
                case Opcode.CLOSE:
                    self._recording.close(self._sender, *message.close)
                case _:
                    # Pings are the WebSocket's own affair, and come when the clock says so.
                    pass

    def end(self) -> None:
        self._recording.end(self._sender)


class Tap:
    """The proxy between `with` and the end of the block, on a loopback port of its own, in a thread of its own."""

    def __init__(self) -> None:
        self.port = 0
        self._target = 0
        self._recordings: list[Recording] = []
        self._opened = threading.Condition()
        self._started: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def forward_to(self, port: int) -> None:
        """Names the server's port. Before that, connections are refused."""
        self._target = port

    def recording(self, index: int = 0) -> Recording:
        """Waits for the WebSocket connection with this number, counted from 0."""
        with self._opened:
            if not self._opened.wait_for(lambda: len(self._recordings) > index, DEADLINE):
                raise TimeoutError(f"there are only {len(self._recordings)} connections")
            return self._recordings[index]

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._started.result(DEADLINE)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, HOST, 0)
        self._started.set_result(server.sockets[0].getsockname()[1])
        await self._stop.wait()
        server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.close()
            return
        request = await _read_head(reader)
        there_writer.write(_EXTENSIONS.sub(b"", request))
        ears: tuple[_Ear | None, _Ear | None] = (None, None)
        if _UPGRADE.search(request):
            response = await _read_head(there_reader)
            writer.write(response)
            # A refusal has no frames.
            if response.startswith(b"HTTP/1.1 101 "):
                recording = self._open()
                ears = (_Ear("client", recording), _Ear("server", recording))
        await asyncio.gather(_pump(reader, there_writer, ears[0]), _pump(there_reader, writer, ears[1]))
        writer.close()
        there_writer.close()

    def _open(self) -> Recording:
        with self._opened:
            recording = Recording()
            self._recordings.append(recording)
            self._opened.notify_all()
            return recording


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(_HEAD_END)
    except asyncio.IncompleteReadError as rest:
        return rest.partial


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ear: _Ear | None) -> None:
    # What is heard is recorded before it is passed on: a reply is never recorded before its request.
    try:
        while data := await reader.read(1 << 16):
            if ear is not None:
                ear.hear(data)
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        # Whoever reset the connection has ended it.
        writer.close()
    finally:
        if ear is not None:
            ear.end()
