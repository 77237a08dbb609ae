"""RFC 6455 with nothing to spare: whole frames over a blocking socket, for the raw client and the canned server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from bokehwire.protocol import Frame

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


def frame(payload: Frame, *, masked: bool, opcode: int | None = None) -> bytes:
    """One message as one WebSocket frame. The mask is zero: it costs nothing to apply."""
    data = payload.encode() if isinstance(payload, str) else bytes(payload)
    kind = opcode if opcode is not None else TEXT if isinstance(payload, str) else BINARY
    size = len(data)
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes((0x80 | kind, bit | size))
    elif size < 1 << 16:
        head = bytes((0x80 | kind, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | kind, bit | 127)) + size.to_bytes(8, "big")
    return head + bytes(4) + data if masked else head + data


def joined(payloads: Iterable[Frame], *, masked: bool) -> bytes:
    """The frames of a message as the bytes of one write."""
    return b"".join(frame(payload, masked=masked) for payload in payloads)


class Stream:
    """Reads from a connected socket, which it sets to acknowledge at once and never to hold back small segments."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._buffer = bytearray()
        self._at = 0

    def send(self, data: bytes) -> None:
        """One write."""
        self.sock.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """Everything up to a mark, such as the end of HTTP headers."""
        while (end := self._buffer.find(mark, self._at)) < 0:
            self._fill()
        data = bytes(self._buffer[self._at : end])
        self._at = end + len(mark)
        return data

    def read(self) -> tuple[int, bytes | bytearray]:
        """The opcode and the payload of the next frame that is no ping; the server does not mind about pongs."""
        while True:
            buffer, at = self._buffer, self._at
            available = len(buffer) - at
            if available < 2:
                self._fill()
                continue
            masked = buffer[at + 1] & 0x80
            size = buffer[at + 1] & 0x7F
            extra = 0 if size < 126 else 2 if size == 126 else 8
            head = 2 + extra + (4 if masked else 0)
            if available < head:
                self._fill()
                continue
            if extra:
                size = int.from_bytes(buffer[at + 2 : at + 2 + extra], "big")
            if available < head + size:
                if size > 1 << 16:
                    return buffer[at] & 0x0F, self._read_large(head, size)
                self._fill()
                continue
            self._at = at + head + size
            if buffer[at] & 0x0F == PING:
                continue
            payload = bytes(buffer[at + head : self._at])
            return buffer[at] & 0x0F, _unmasked(payload, buffer[at + head - 4 : at + head]) if masked else payload

    def skip(self, frames: int) -> None:
        """Read over unmasked frames of less than 64 KiB, without looking at what is in them."""
        while frames:
            buffer, at, end = self._buffer, self._at, len(self._buffer)
            while frames and at + 4 <= end:
                size = buffer[at + 1]
                after = at + 2 + size if size < 126 else at + 4 + (buffer[at + 2] << 8 | buffer[at + 3])
                if after > end:
                    break
                frames -= buffer[at] & 0x0F != PING
                at = after
            self._at = at
            if frames:
                self._fill()

    def _read_large(self, head: int, size: int) -> bytearray:
        """A payload that is received where it stays. (Nobody sends large masked frames here.)"""
        payload = bytearray(size)
        begun = self._buffer[self._at + head :]
        payload[: len(begun)] = begun
        self._buffer.clear()
        self._at = 0
        done = len(begun)
        with memoryview(payload) as view:
            while done < size:
                received = self.sock.recv_into(view[done:])
                if not received:
                    raise ConnectionError("the connection ended inside a frame")
                done += received
                self._acknowledge()
        return payload

    def _fill(self) -> None:
        data = self.sock.recv(256 * 1024)
        if not data:
            raise ConnectionError("the connection ended")
        self._acknowledge()
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += data

    def _acknowledge(self) -> None:
        acknowledge(self.sock)


class FrameCounter(asyncio.Protocol):
    """Counts small unmasked frames on an asyncio loop."""

    def __init__(self) -> None:
        self._buffer = b""
        self._expected = 0
        self._done: asyncio.Future[None] | None = None

    async def adopt(self, sock: socket.socket) -> asyncio.Transport:
        """Take over a socket that is connected."""
        self._socket = sock
        sock.setblocking(False)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, sock=sock)
        return transport

    def expect(self, frames: int) -> asyncio.Future[None]:
        """Wait for so many frames from now on."""
        self._expected = frames
        self._done = asyncio.get_running_loop().create_future()
        return self._done

    def data_received(self, data: bytes) -> None:
        """Count what has arrived whole."""
        acknowledge(self._socket)
        self._buffer += data
        while len(self._buffer) >= 4:
            size = self._buffer[1]
            end = 2 + size if size < 126 else 4 + int.from_bytes(self._buffer[2:4], "big")
            if len(self._buffer) < end:
                return
            self._buffer = self._buffer[end:]
            self._expected -= 1
            if not self._expected and self._done is not None:
                self._done.set_result(None)


def acknowledge(sock: socket.socket) -> None:
    """Have the kernel acknowledge at once what was read, where it can be told to."""
    if _QUICKACK is not None:
        sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def _unmasked(payload: bytes, mask: bytes | bytearray) -> bytes:
    if not any(mask):
        return payload
    pattern = bytes(mask) * (len(payload) // 4 + 1)
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(pattern[: len(payload)], "big")
    return mixed.to_bytes(len(payload), "big")
