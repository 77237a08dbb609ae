"""Whether a value holds a NaN or an infinity, at the speed of msgspec.

JSON has neither. msgspec writes both as null, as it writes None, and has no switch to refuse them; the encoder of the
standard library has one and takes five to ten times as long. But MessagePack has all doubles, and msgspec writes it in
a fifth to two thirds of the time of JSON. In it a double is the byte 0xcb and eight more, and a NaN or an infinity is
one whose exponent is all ones: 0xcb, then 0x7f or 0xff, then 0xf0 or more. Where these three bytes are nowhere, there
is none.

They can also stand inside a double or an int, or be the length of an array and what follows. So in each place the 0xcb
is replaced by a byte that never starts a value: if the whole can still be read, none of them started one. That holds
as long as what is read are whole values one after the other. It is so with a length of an array or a map that becomes
less, which leaves values over, and with ASCII that was inserted as `msgspec.Raw`, each byte of which is a small int. It
is not so with the length of bytes and with Raw beyond ASCII: there, and where the rest cannot be read, the value is
looked through in one more pass.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from math import isfinite
from types import NoneType
from typing import Any

import msgspec

_encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder().encode
# Reads without making objects.
_skip: Callable[[bytearray], msgspec.Raw] = msgspec.msgpack.Decoder(msgspec.Raw).decode

_DOUBLE = 0xCB
_LEADS = (0x7F, 0xFF)
_NEVER_STARTS = 0xC1
# What a length of bytes follows, which itself has up to four.
_BEFORE_BYTES = frozenset({0xC4, 0xC5, 0xC6})
_PLAIN = frozenset({dict, list, tuple, str, int, float, bool, NoneType})


def may_hold_non_finite(value: Any, text: str) -> bool:
    """Say whether a value may hold a NaN or an infinity. The time that it takes is linear in the size of the value.

    Args:
        value: Anything that msgspec can write as JSON.
        text: What msgspec has written.

    Returns:
        Whether it does. Also true for a value of another type than JSON has, `msgspec.Raw` included, if it looks so.

    Raises:
        TypeError: msgspec cannot write the value.
        OverflowError: It holds an int that MessagePack has no room for.
        RecursionError: It nests too deep.
    """
    packed = _encode(value)
    starts = list(_suspects(packed))
    if not starts or (text.isascii() and _reads_without(packed, starts)):
        return False
    return _holds(value)


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
        if not _BEFORE_BYTES.isdisjoint(packed[max(0, start - 4) : start]):
            return False
        marked[start] = _NEVER_STARTS
    try:
        _skip(marked)
    except msgspec.MsgspecError:
        return False
    return True


def _holds(value: Any) -> bool:
    # Level by level, with nothing but calls of C code for each value.
    level = [value]
    while level:
        kinds = set(map(type, level))
        if not kinds <= _PLAIN or not all(map(isfinite, [item for item in level if type(item) is float])):
            return True
        level = gc.get_referents(*level)
    return False
