"""WebSocket frames (RFC 6455) read off a byte stream without taking part in the conversation."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass


class Opcode(enum.IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True)
class Message:
    """A whole text or binary message, or a control frame."""

    opcode: Opcode
    payload: bytes

    @property
    def close(self) -> tuple[int | None, str]:
        """The code, if there is one, and the reason of a close frame."""
        code = int.from_bytes(self.payload[:2], "big") if self.payload else None
        return code, self.payload[2:].decode()


class Reader:
    """One direction of a connection, after the HTTP upgrade."""

    def __init__(self) -> None:
        self._buffered = bytearray()
        self._opcode = Opcode.CONTINUATION
        self._parts = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that these bytes complete."""
        self._buffered += data
        while (frame := self._take()) is not None:
            final, opcode, payload = frame
            if opcode >= Opcode.CLOSE:
                yield Message(opcode, payload)
                continue
            if opcode is not Opcode.CONTINUATION:
                self._opcode = opcode
            self._parts += payload
            if final:
                yield Message(self._opcode, bytes(self._parts))
                self._parts.clear()

    def _take(self) -> tuple[bool, Opcode, bytes] | None:
        buffered = self._buffered
        if len(buffered) < 2:
            return None
        first, second = buffered[:2]
        if first & 0x70:
            raise ValueError("a frame of an extension, though none has been agreed upon")
        length, start = second & 0x7F, 2
        if length > 125:
            extra = 2 if length == 126 else 8
            if len(buffered) < 2 + extra:
                return None
            length, start = int.from_bytes(buffered[2 : 2 + extra], "big"), 2 + extra
        key_size = 4 if second & 0x80 else 0
        end = start + key_size + length
        if len(buffered) < end:
            return None
        key, payload = buffered[start : start + key_size], buffered[start + key_size : end]
        if key_size:
            payload = bytearray(byte ^ key[index % 4] for index, byte in enumerate(payload))
        del buffered[:end]
        return bool(first & 0x80), Opcode(first & 0x0F), bytes(payload)
