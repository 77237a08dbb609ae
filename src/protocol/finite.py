"""Whether a value holds a NaN or an infinity, at the speed of msgspec.

JSON has neither. msgspec writes both as null, as it writes None, and has no switch to refuse them; the encoder of the
standard library has one and takes five to ten times as long. But MessagePack has all doubles, and msgspec writes it in
a fifth to two thirds of the time of JSON. In it a double is the byte 0xcb and eight more, and a NaN or an infinity is
one whose exponent is all ones: 0xcb, then 0x7f or 0xff, then 0xf0 or more. The same three bytes can stand elsewhere,
inside a double or a text or as a length, so what looks like one is tried: its 0xcb is replaced by a byte that never
starts a value. If it did start one, the result can no longer be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

_encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
# Reads without making objects.
_skip: Callable[[bytearray], msgspec.Raw] = msgspec.msgpack.Decoder(msgspec.Raw).decode

_DOUBLE = 0xCB
_LEADS = (0x7F, 0xFF)
_NEVER_STARTS = 0xC1
# What a length of up to four bytes follows.
_BEFORE_LENGTH = frozenset({*range(0xC4, 0xCA), *range(0xD9, 0xE0)})


def may_hold_non_finite(value: Any) -> bool:
    """Say whether a value may hold a NaN or an infinity.

    Args:
        value: Anything that msgspec can write.

    Returns:
        False only if it holds none; true, with very few exceptions, only if it holds one.

    Raises:
        TypeError: msgspec cannot write the value.
        OverflowError: It holds an int that MessagePack has no room for.
        RecursionError: It nests too deep.
    """
    packed = _encode(value)
    certain: list[int] = []
    for start in _suspects(packed):
        # A length that is changed shifts all that follows, which could hide another suspect: it is tried alone.
        if _BEFORE_LENGTH.isdisjoint(packed[max(0, start - 4) : start]):
            certain.append(start)
        elif not _reads_without(packed, [start]):
            return True
    return bool(certain) and not _reads_without(packed, certain)


def _suspects(packed: bytes) -> Iterator[int]:
    """Yield where a NaN or an infinity may start."""
    # The second byte is the rare one, and finding a single byte is much faster than finding two or splitting.
    for lead in _LEADS:
        at = packed.find(lead, 1)
        while at > 0:
            if packed[at - 1] == _DOUBLE and packed[at + 1 : at + 2] >= b"\xf0":
                yield at - 1
            at = packed.find(lead, at + 1)


def _reads_without(packed: bytes, starts: list[int]) -> bool:
    """Say whether MessagePack can still be read when the bytes at these places are such that none starts a value."""
    marked = bytearray(packed)
    for start in starts:
        marked[start] = _NEVER_STARTS
    try:
        _skip(marked)
    except msgspec.MsgspecError:
        return False
    return True
