"""WebSocket frames (RFC 6455) from the server's side, without any judgement about what may be sent."""

from __future__ import annotations

import asyncio
import base64
import enum
import hashlib
import struct
from dataclasses import dataclass


class Opcode(enum.IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True)
class WireFrame:
    opcode: Opcode
    payload: bytes
    final: bool


def accept_value(key: str) -> str:
    """What a server has to put into Sec-WebSocket-Accept, given the client's Sec-WebSocket-Key."""
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return base64.b64encode(digest).decode()


def encode_frame(payload: str | bytes, opcode: Opcode | None = None, *, final: bool = True) -> bytes:
    """One unmasked frame; the opcode is that of text or binary unless given."""
    if opcode is None:
        opcode = Opcode.TEXT if isinstance(payload, str) else Opcode.BINARY
    data = payload.encode() if isinstance(payload, str) else payload
    first = opcode | (0x80 if final else 0)
    if len(data) < 126:
        head = struct.pack("!BB", first, len(data))
    elif len(data) < 1 << 16:
        head = struct.pack("!BBH", first, 126, len(data))
    else:
        head = struct.pack("!BBQ", first, 127, len(data))
    return head + data


def encode_close(code: int | None, reason: str) -> bytes:
    """A close frame; without a code it is empty, and so is the reason."""
    return encode_frame(b"" if code is None else struct.pack("!H", code) + reason.encode(), Opcode.CLOSE)


async def read_frame(reader: asyncio.StreamReader) -> WireFrame:
    """The next frame of a client, unmasked; IncompleteReadError when the connection ends first."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack("!Q", await reader.readexactly(8))
    mask = await reader.readexactly(4) if second & 0x80 else bytes(4)
    masked = await reader.readexactly(length)
    repeated = (mask * (length // 4 + 1))[:length]
    payload = (int.from_bytes(masked, "big") ^ int.from_bytes(repeated, "big")).to_bytes(length, "big")
    return WireFrame(Opcode(first & 0x0F), payload, final=bool(first & 0x80))
