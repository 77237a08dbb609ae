"""JSON text as Bokeh's endpoints read and write it, at msgspec's speed.

Bokeh reads with `json.loads` and writes with `json.dumps(..., allow_nan=False)`. msgspec is several times faster and
differs in corners: it refuses lone surrogates, NaN, infinities and numbers out of a double's range, and it writes NaN
and infinities as null. Everything here tries msgspec first and asks `json` in the corners. specs/json.md lists them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import msgspec

from .errors import InvalidContent, LimitExceeded, MalformedFrame
from .finite import may_hold_non_finite
from .limits import Limits

READ_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)
"""What msgspec raises for text that it does not accept; UnicodeEncodeError, for a lone surrogate, is a ValueError."""

MAX_INT_DIGITS = 4300
"""Python makes no int of more digits (`sys.get_int_max_str_digits`); msgspec does not mind where it skips a field."""

_KEEP = b'[]{}"'
_DROP = bytes(set(range(256)) - set(_KEEP))
_STEP = bytes(1 if byte in b"[{" else 255 if byte in b"]}" else 0 for byte in range(256))
_STRING = re.compile(rb'"[^"]*"')
decode_any: Callable[[str], Any] = msgspec.json.Decoder().decode
decode_raw: Callable[[str], msgspec.Raw] = msgspec.json.Decoder(msgspec.Raw).decode
_encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
# Texts from here on are mostly longer to search for a null than the value is to look through.
_LARGE = 1_000_000


def utf8_size(text: str) -> int:
    """Return the bytes that a text takes as UTF-8; a lone surrogate, which has no UTF-8, counts as three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def depth(text: str) -> int:
    """Return how deep arrays and objects nest in a JSON text, without building them.

    Args:
        text: The text. If it is not well-formed, the answer is at least the depth up to its first fault.
    """
    data = text.encode("utf-8", "surrogatepass")
    if b"\\" in data:
        # An escaped quote does not end a string. Pairs go first: the second backslash of a pair escapes nothing.
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = data.translate(None, _DROP).replace(b'""', b"")
    if b'"' in brackets:
        # What is left in quotes are brackets inside strings.
        brackets = _STRING.sub(b"", brackets)
    return max(accumulate(memoryview(brackets.translate(_STEP)).cast("b"), initial=0))


def unchecked_length(limits: Limits) -> int:
    """Return how many characters a text may have without any need to compare it with the limits."""
    # A character takes at most four bytes of UTF-8, and a level of nesting at least two characters.
    bounds = [MAX_INT_DIGITS]
    bounds += [size // 4 for size in (limits.max_message_size, limits.max_total_size) if size is not None]
    bounds += [limits.max_depth * 2] if limits.max_depth is not None else []
    return min(bounds)


def check_text(text: str, limits: Limits) -> None:
    """Compare a received text with the limits on size and depth, before anything is built from it.

    Raises:
        LimitExceeded: It is too long or nests too deep.
    """
    size = utf8_size(text)
    check_size(size, limits)
    check_total(size, limits)
    maximum = limits.max_depth
    if maximum is not None and len(text) > 2 * maximum and _has_more(text, "[", "{", maximum):
        found = depth(text)
        if found > maximum:
            raise LimitExceeded("nesting depth", found, maximum, "max_depth")


def _has_more(text: str, one: str, other: str, count: int) -> bool:
    """Say whether two characters together occur more often than this. Finding a few is faster than counting all."""
    for character in (one, other):
        at = text.find(character)
        while at >= 0:
            if count == 0:
                return True
            count -= 1
            at = text.find(character, at + 1)
    return False


def check_size(size: int, limits: Limits) -> None:
    """Compare the bytes of a received frame with the limit.

    Raises:
        LimitExceeded: They are too many.
    """
    maximum = limits.max_message_size
    if maximum is not None and size > maximum:
        raise LimitExceeded("size of a frame in bytes", size, maximum, "max_message_size")


def check_total(size: int, limits: Limits) -> None:
    """Compare the bytes of a received message so far with the limit.

    Raises:
        LimitExceeded: They are too many.
    """
    maximum = limits.max_total_size
    if maximum is not None and size > maximum:
        raise LimitExceeded("size of a message in bytes", size, maximum, "max_total_size")


def slow_loads(text: str, what: str) -> Any:
    """Read JSON exactly as Bokeh does.

    Args:
        text: The text, already within the limits.
        what: What it is, for the error.

    Returns:
        The value.

    Raises:
        MalformedFrame: It is not JSON by `json.loads`, or nests deeper than the interpreter can follow from here.
    """
    try:
        return json.loads(text)
    except RecursionError:
        message = (
            f"{what} nests deeper than Python's recursion limit lets us follow; a lower max_depth says so earlier."
        )
        raise MalformedFrame(message) from None
    except ValueError as error:
        raise MalformedFrame(f"{what} is not JSON: {error}.") from None


def loads(text: str, what: str) -> Any:
    """Read JSON as Bokeh does, fast. The text is already within the limits.

    Raises:
        MalformedFrame: As `slow_loads`.
    """
    try:
        return decode_any(text)
    except READ_ERRORS:
        return slow_loads(text, what)


def slow_raw(text: str, what: str) -> msgspec.Raw:
    """Check that a text is JSON as Bokeh has it, and return it undecoded.

    Raises:
        MalformedFrame: As `slow_loads`.
    """
    slow_loads(text, what)
    # Without white space around it, as msgspec leaves it.
    return msgspec.Raw(text.strip().encode("utf-8", "surrogatepass"))


def _plain(value: Any) -> Any:
    # What json.dumps asks for when it meets something that is not JSON.
    return json.loads(bytes(value)) if isinstance(value, msgspec.Raw) else msgspec.to_builtins(value)


def _slow_dumps(value: Any) -> str:
    try:
        return json.dumps(value, default=_plain, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidContent(f"The content cannot be sent as JSON: {error}.") from error


def dumps(value: Any) -> str:
    """Write JSON as Bokeh does, fast.

    Args:
        value: Made of dict with str keys, list or tuple, str, int, float, bool, None, and `msgspec.Raw` for what is
            JSON already, which nobody checks. Types beyond these that msgspec knows are written its way, without a
            complaint.

    Returns:
        The text.

    Raises:
        InvalidContent: The value is not JSON, or holds a NaN or an infinity.
    """
    try:
        text = _encode(value).decode()
        # msgspec writes null for NaN and infinities: only where there is a null can one hide. Raw is JSON already.
        if (
            (len(text) > _LARGE or "null" in text)
            and type(value) is not msgspec.Raw
            and may_hold_non_finite(value, text)
        ):
            text = _slow_dumps(value)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        text = _slow_dumps(value)
    return text


def quote(text: str) -> str:
    """Write a str as a JSON string."""
    # Letters and digits need no escaping, and this is several times as fast as asking.
    return f'"{text}"' if text.isalnum() else json.dumps(text)
