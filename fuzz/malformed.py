"""Frames that break the protocol, or come close to it: what ends each, what it is, and the steps that feed it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from .scenario import RAW


class Case(NamedTuple):
    """One seed.

    Attributes:
        outcome: What comes of the last step: the name of an error or an event, or "part".
        what: The name of the seed.
        steps: The records after the first.
        flags: Those of the first record, besides the generation.
        limits: The limits that are set.
    """

    outcome: str
    what: str
    steps: tuple[bytes, ...]
    flags: int = 0
    limits: Mapping[str, int | None] = MappingProxyType({})


_PATCH = b't{"msgid":"m","msgtype":"PATCH-DOC"}'
_ONE_BUFFER = b't{"msgid":"m","msgtype":"PATCH-DOC","num_buffers":1}'
_TWO_BUFFERS = b't{"msgid":"m","msgtype":"PATCH-DOC","num_buffers":2}'
_EMPTY = b"t{}"
_BAD = "MalformedFrame"
_LIMIT = "LimitExceeded"

_HEADERS = {
    "empty": b"",
    "not-json": b'{"msgid":',
    "array": b"[]",
    "null": b"null",
    "without-msgid": b'{"msgtype":"OK"}',
    "without-msgtype": b'{"msgid":"m"}',
    "msgid-number": b'{"msgid":1,"msgtype":"OK"}',
    "msgid-null": b'{"msgid":null,"msgtype":"OK"}',
    "reqid-number": b'{"msgid":"m","msgtype":"OK","reqid":1}',
    "count-string": b'{"msgid":"m","msgtype":"PATCH-DOC","num_buffers":"2"}',
    "count-null": b'{"msgid":"m","msgtype":"PATCH-DOC","num_buffers":null}',
    "count-negative": b'{"msgid":"m","msgtype":"PATCH-DOC","num_buffers":-1}',
    "count-fraction": b'{"msgid":"m","msgtype":"PATCH-DOC","num_buffers":1.5}',
    "count-infinite": b'{"msgid":"m","msgtype":"PATCH-DOC","num_buffers":1e999}',
    "count-nan": b'{"msgid":"m","msgtype":"PATCH-DOC","num_buffers":NaN}',
    "count-endless": b'{"msgid":"m","msgtype":"PATCH-DOC","num_buffers":9\x1f95}',
    "long-number": b'{"msgid":"m","msgtype":"OK","other":\x1f1d}',
    "byte-order-mark": b'\xef\xbb\xbf{"msgid":"m","msgtype":"OK"}',
    "trailing": b'{"msgid":"m","msgtype":"OK"}x',
    "control-character": b'{"msgid":"m\n","msgtype":"OK"}',
}
_ENVELOPES = {
    "empty": b"",
    "not-json": b'{"header":',
    "array": b"[]",
    "header-array": b'{"header":[],"content":{},"buffers":[]}',
    "content-array": b'{"header":{"msgid":"m","msgtype":"OK"},"content":[],"buffers":[]}',
    "content-missing": b'{"header":{"msgid":"m","msgtype":"OK"},"buffers":[]}',
    "buffers-missing": b'{"header":{"msgid":"m","msgtype":"OK"},"content":{}}',
    "buffers-object": b'{"header":{"msgid":"m","msgtype":"OK"},"content":{},"buffers":{}}',
    "buffers-numbers": b'{"header":{"msgid":"m","msgtype":"OK"},"content":{},"buffers":[1]}',
    "buffers-twice": b'{"header":{"msgid":"m","msgtype":"PATCH-DOC"},"content":{},"buffers":["b","b"]}',
    "buffers-unnamed": b'{"header":{"msgid":"m","msgtype":"PATCH-DOC"},"content":{},"buffers":[""]}',
    "further-key": b'{"header":{"msgid":"m","msgtype":"OK"},"content":{},"buffers":[],"metadata":{}}',
    "further-header-key": b'{"header":{"msgid":"m","msgtype":"OK","num_buffers":0},"content":{},"buffers":[]}',
    "msgid-empty": b'{"header":{"msgid":"","msgtype":"OK"},"content":{},"buffers":[]}',
    "msgid-number": b'{"header":{"msgid":1,"msgtype":"OK"},"content":{},"buffers":[]}',
    "reqid-number": b'{"header":{"msgid":"m","msgtype":"OK","reqid":1},"content":{},"buffers":[]}',
    "long-number": b'{"header":{"msgid":"m","msgtype":"OK"},"content":{"a":\x1f1d},"buffers":[]}',
    "control-character": b'{"header":{"msgid":"m\n","msgtype":"OK"},"content":{},"buffers":[]}',
}
_CONTENTS = {
    "empty": b"",
    "truncated": b'{"events":[{"kind":',
    "single-quotes": b"{'events':[]}",
    "control-character": b'{"a":"\n"}',
    "leading-zero": b'{"a":01}',
    "bad-escape": b'{"a":"\\x"}',
    "long-number": b'{"a":\x1f1d}',
}
_LENIENT = {
    # What json.loads takes although JSON has it not, and what msgspec and json read differently.
    "nan": b'{"a":[NaN,Infinity,-Infinity]}',
    "out-of-range": b'{"a":[1e999,-1e999,1e-999]}',
    "surrogates": b'{"a":"\\ud800","\\udfff":"\\ud83d\\ude00"}',
    "raw-surrogate": b'{"a":"\xff"}',
    "duplicate-keys": b'{"a":1,"a":2}',
    "large-integers": b'{"a":[18446744073709551616,-9223372036854775809]}',
    "minus-zero": b'{"a":[-0,-0.0,0e5,1E+2]}',
    "white-space": b'\n\t {"a" : [ ] }\r\n',
}


def _enveloped(content: bytes, buffers: bytes = b"") -> bytes:
    return b't{"header":{"msgid":"m","msgtype":"PATCH-DOC"},"content":' + content + b',"buffers":[' + buffers + b"]}"


GENERATION_3 = (
    *(Case(_BAD, f"header-{name}", (b"t" + text,)) for name, text in _HEADERS.items()),
    *(Case(_BAD, f"content-{name}", (_PATCH, _EMPTY, b"t" + text)) for name, text in _CONTENTS.items()),
    *(Case("PatchReceived", f"content-{name}", (_PATCH, _EMPTY, b"t" + text)) for name, text in _LENIENT.items()),
    Case("PatchReceived", "content-string", (_PATCH, _EMPTY, b't"x"')),
    Case("UnknownMessageType", "kind-of-generation-4", (b't{"msgid":"m","msgtype":"SYNC"}',)),
    Case("UnknownMessageType", "kind-empty", (b't{"msgid":"m","msgtype":""}',)),
    Case(_BAD, "binary-header", (b"b{}",)),
    Case(_BAD, "binary-metadata", (_PATCH, b"b{}")),
    Case(_BAD, "binary-content", (_PATCH, _EMPTY, b"b{}")),
    Case(_BAD, "metadata-not-json", (_PATCH, b"t{")),
    Case(_BAD, "metadata-null", (_PATCH, b"tnull")),
    Case(_BAD, "content-null", (_PATCH, _EMPTY, b"t\n null ")),
    Case(_BAD, "content-null-undecoded", (_PATCH, _EMPTY, b"t\n null "), RAW),
    Case("part", "metadata-number", (_PATCH, b"t1")),
    Case("part", "count-true", (b't{"msgid":"m","msgtype":"PATCH-DOC","num_buffers":true}',)),
    Case("part", "count-float", (b't{"msgid":"m","msgtype":"PATCH-DOC","num_buffers":2.0}',)),
    Case("part", "further-header-key", (b't{"msgid":"m","msgtype":"OK","other":[NaN]}',)),
    Case(_BAD, "buffer-header-binary", (_ONE_BUFFER, _EMPTY, _EMPTY, b"bx")),
    Case(_BAD, "buffer-header-array", (_ONE_BUFFER, _EMPTY, _EMPTY, b"t[]")),
    Case(_BAD, "buffer-header-further-key", (_ONE_BUFFER, _EMPTY, _EMPTY, b't{"id":"b","a":1}')),
    Case(_BAD, "buffer-header-number", (_ONE_BUFFER, _EMPTY, _EMPTY, b't{"id":1}')),
    Case(_BAD, "buffer-header-empty", (_ONE_BUFFER, _EMPTY, _EMPTY, b"t")),
    Case(_BAD, "buffer-text", (_ONE_BUFFER, _EMPTY, _EMPTY, b't{"id":"b"}', b"tx")),
    Case("PatchReceived", "buffer-header-surrogate", (_ONE_BUFFER, _EMPTY, _EMPTY, b't{"id":"\xff"}', b"bx")),
    Case("PatchReceived", "content-undecoded-surrogate", (_PATCH, _EMPTY, b't{"a":"\xff"}'), RAW),
    Case("PatchReceived", "depth-in-strings", (_PATCH, _EMPTY, b't{"a\\\\":"\\"[[[{[["}'), 0, {"max_depth": 2}),
    Case("InvalidFrame", "no-frame", (_ONE_BUFFER, b"z")),
    Case("Closed", "closed-in-the-middle", (_ONE_BUFFER, _EMPTY, _EMPTY, b't{"id":"b"}', b"c1006")),
    Case(_LIMIT, "max-buffers", (_TWO_BUFFERS,), 0, {"max_buffers": 1}),
    Case(_LIMIT, "max-frames", (_TWO_BUFFERS,), 0, {"max_frames_per_message": 4}),
    Case(
        _LIMIT, "max-buffer-size", (_ONE_BUFFER, _EMPTY, _EMPTY, b't{"id":"b"}', b"b12345"), 0, {"max_buffer_size": 4}
    ),
    Case(_LIMIT, "max-message-size", (_PATCH, _EMPTY, b't{"a":"\x1fx6"}'), 0, {"max_message_size": 64}),
    Case(
        _LIMIT, "max-total-size", (_ONE_BUFFER, _EMPTY, _EMPTY, b't{"id":"b"}', b"b\x1fx6"), 0, {"max_total_size": 64}
    ),
    Case(_LIMIT, "max-depth", (_PATCH, _EMPTY, b't[[[["]"]]]]'), 0, {"max_depth": 2}),
    Case(_LIMIT, "max-depth-default", (_PATCH, _EMPTY, b"t\x1f[a\x1f]a")),
    Case(_LIMIT, "max-depth-header", (b't{"msgid":"m","msgtype":"OK","other":\x1f[a\x1f]a}',)),
    Case(_BAD, "depth-unlimited", (_PATCH, _EMPTY, b"t\x1f[e\x1f]e"), 0, {"max_depth": None}),
)
GENERATION_4 = (
    *(Case(_BAD, f"envelope-{name}", (b"t" + text,)) for name, text in _ENVELOPES.items()),
    *(Case(_BAD, f"content-{name}", (_enveloped(text),)) for name, text in _CONTENTS.items()),
    *(Case("PatchReceived", f"content-{name}", (_enveloped(text),)) for name, text in _LENIENT.items()),
    Case("UnknownMessageType", "kind-of-generation-3", (_enveloped(b"{}").replace(b"PATCH-DOC", b"SERVER-INFO-REQ"),)),
    Case(_BAD, "binary-envelope", (b"b{}",)),
    Case(_BAD, "buffer-text", (_enveloped(b"{}", b'"b"'), b"tx")),
    Case("PatchReceived", "content-undecoded-surrogate", (_enveloped(b'{"a":"\xff"}'),), RAW),
    Case("PatchReceived", "depth-in-strings", (_enveloped(b'{"a\\\\":"\\"[[[{[["}'),), 0, {"max_depth": 2}),
    Case("InvalidFrame", "no-frame", (_enveloped(b"{}", b'"b"'), b"z")),
    Case("Closed", "closed-in-the-middle", (_enveloped(b"{}", b'"b","c"'), b"bx", b"c")),
    Case(_LIMIT, "max-buffers", (_enveloped(b"{}", b'"b","c"'),), 0, {"max_buffers": 1}),
    Case(_LIMIT, "max-frames", (_enveloped(b"{}", b'"b","c"'),), 0, {"max_frames_per_message": 2}),
    Case(_LIMIT, "max-buffer-size", (_enveloped(b"{}", b'"b"'), b"b12345"), 0, {"max_buffer_size": 4}),
    Case(_LIMIT, "max-message-size", (_enveloped(b'{"a":"\x1fx9"}'),), 0, {"max_message_size": 512}),
    Case(_LIMIT, "max-total-size", (_enveloped(b"{}", b'"b"'), b"b\x1fx9"), 0, {"max_total_size": 512}),
    Case(_LIMIT, "max-depth", (_enveloped(b'{"a":[["]"]]}'),), 0, {"max_depth": 2}),
    Case(_LIMIT, "max-depth-default", (_enveloped(b'{"a":\x1f[a\x1f]a}'),)),
    Case(_BAD, "depth-unlimited", (_enveloped(b'{"a":\x1f[e\x1f]e}'),), 0, {"max_depth": None}),
)
