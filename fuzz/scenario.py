"""What a fuzzer's bytes mean: a connection, and what happens to it step by step.

A scenario is a list of records with 0x1e between them. The first record has the settings: one character for the flags,
then one for each limit that is set. Every other record is a step: a letter, then its data. Everything means something,
so no input is wasted, and a seed can be read with `cat -v`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from bokehwire.protocol import Generation, Limits, Role

SEPARATOR = b"\x1e"

SERVER, GENERATION_4, RAW, STRANGER = 1, 2, 4, 8
"""The flags. A stranger has not seen or sent the ACK; all others begin with it."""

LIMITS = (
    "max_message_size",
    "max_buffer_size",
    "max_total_size",
    "max_outgoing_size",
    "max_buffers",
    "max_frames_per_message",
    "max_depth",
    "max_pending",
)
MAXIMA = (None, 0, 1, 2, 4, 16, 64, 512)

UNLIMITED = Limits(**dict.fromkeys(LIMITS))

ACKS = {
    Generation.V3: (b'{"msgid":"s","msgtype":"ACK"}', b"{}", b"{}"),
    Generation.V4: (b'{"header":{"msgid":"s","msgtype":"ACK"},"content":{},"buffers":[]}',),
}

# 0x1f, a character and a hexadecimal digit n: the character 2 ** n times. Deep, long and large come cheap with it.
_REPEATED = re.compile(rb"\x1f([\x00-\xff])([0-9a-f])")


class Settings(NamedTuple):
    """How the connection is made."""

    role: Role
    generation: Generation
    raw_content: bool
    limits: Limits


class Step(NamedTuple):
    """One thing that happens to the connection.

    `t` is a text frame; `b`, `a` and `v` are binary ones held by bytes, bytearray and memoryview; `z` is no frame.
    `c` is the WebSocket's close, `s` asks for it; their data begins with a close code. The other letters, see
    fuzz/acting.py, ask for a message to be sent.
    """

    letter: str
    data: bytes


def parse(scenario: bytes) -> tuple[Settings, list[Step]]:
    """Read a scenario; there is none that cannot be read."""
    head, *records = scenario.split(SEPARATOR)
    flags = head[0] if head else 0
    role = Role.SERVER if flags & SERVER else Role.CLIENT
    generation = Generation.V4 if flags & GENERATION_4 else Generation.V3
    chosen = {LIMITS[byte >> 3 & 7]: MAXIMA[byte & 7] for byte in head[1:]}
    settings = Settings(role, generation, bool(flags & RAW), Limits(**chosen))
    steps = [Step(chr(record[0]), _REPEATED.sub(_repeat, record[1:])) for record in records if record]
    if flags & STRANGER:
        return settings, steps
    if role is Role.SERVER:
        return settings, [Step("K", b""), *steps]
    return settings, [*(Step("t", frame) for frame in ACKS[generation]), *steps]


def _repeat(found: re.Match[bytes]) -> bytes:
    return found[1] * (1 << int(found[2], 16))


def head(flags: int, **limits: int | None) -> bytes:
    """Write the first record of a scenario; the flags become one of the characters from 0 to ?."""
    return bytes(
        [0x30 | flags, *(0x40 | LIMITS.index(name) << 3 | MAXIMA.index(value) for name, value in limits.items())]
    )


def fed_by(step: Step) -> Any:
    """What a step feeds: a frame; for z something that is none."""
    match step.letter:
        case "b":
            return step.data
        case "a":
            return bytearray(step.data)
        case "v":
            return memoryview(step.data)
        case "z":
            return None
        case _:
            return text_of(step.data)


def text_of(data: bytes) -> str:
    """Any bytes as text; what is no UTF-8 becomes lone surrogates, which WebSockets do not deliver but callers can."""
    return data.decode("utf-8", "surrogateescape")


def join(first: bytes, *steps: bytes) -> bytes:
    """Write a scenario; the inverse of taking it apart at the separators."""
    return SEPARATOR.join([first, *steps])
