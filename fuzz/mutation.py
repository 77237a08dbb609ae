"""Changes that a fuzzer makes to a scenario, so that it gets past the first quotation mark of a JSON text."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from .scenario import ACKS, SEPARATOR

Mutate = Callable[[bytes, int], bytes]

# What a JSON text consists of, roughly.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9.eE+]+|[a-zA-Z]+|[\[\]{}:,]')
_VALUES = (
    *(b'"%s"' % name for name in (b"msgid", b"msgtype", b"reqid", b"num_buffers", b"header", b"content", b"buffers")),
    *(b'"%s"' % kind for kind in (b"ACK", b"OK", b"ERROR", b"PATCH-DOC", b"PUSH-DOC", b"PULL-DOC-REQ", b"SYNC")),
    *(b'"%s"' % kind for kind in (b"PULL-DOC-REPLY", b"SERVER-INFO-REQ", b"SERVER-INFO-REPLY")),
    *(b'"1"', b'"2"', b'"m"', b'"id"', b'"text"', b'"traceback"', b'"events"', b'"doc"', b'""'),
    *(b"null", b"true", b"false", b"NaN", b"-Infinity", b"0", b"1", b"2", b"-1", b"1.5", b"2.0", b"1e999", b"-0.0"),
    *(b"18446744073709551616", b"01", b"\x1f1d", b"\x1f14", b"[]", b"{}", b"[{}]", b"\x1f[a", b"\x1f]a", b"\x1f[4"),
    *(b'"\\ud800"', b'"\\u0000"', b'"\\\\\\""', b'"\xff"', b'"\xc3\xa9"', b'"[[["', b"\xef\xbb\xbf", b" ", b'"', b"\\"),
)
_STEPS = (
    *(b"t" + frame for frames in ACKS.values() for frame in frames),
    *(b"P", b"U", b"L", b"R", b"I", b"O", b"E", b"D", b"J", b"K", b"z", b"s1000", b"c1000bye", b"bx", b"a", b"vxy"),
    *(b't{"id":"b"}', b't{"msgid":"n","msgtype":"PATCH-DOC","num_buffers":1}', b't{"msgid":"o","msgtype":"OK"}'),
    b't{"header":{"msgid":"n","msgtype":"PATCH-DOC"},"content":{},"buffers":["b"]}',
)


def mutate(scenario: bytes, size: int, seed: int, bytewise: Mutate) -> bytes:
    """Change a scenario.

    Args:
        scenario: The scenario.
        size: The most bytes that the result may have.
        seed: What the choices are drawn from.
        bytewise: The fuzzer's own way to change some bytes.
    """
    draw = random.Random(seed)
    if draw.random() < 0.3:
        return bytewise(scenario, size)
    records = scenario.split(SEPARATOR)
    for _ in range(draw.choice((1, 1, 2, 4))):
        _change(records, draw, bytewise)
    return SEPARATOR.join(records)[:size]


def _change(records: list[bytes], draw: random.Random, bytewise: Mutate) -> None:
    at = draw.randrange(len(records))
    match draw.randrange(8):
        case 0:
            records.insert(at + 1, draw.choice(_STEPS))
        case 1:
            records.insert(at + 1, draw.choice(records))
        case 2 if len(records) > 1:
            del records[at]
        case 3:
            other = draw.randrange(len(records))
            records[at], records[other] = records[other], records[at]
        case 4:
            records[at] = bytewise(records[at], len(records[at]) + 8)
        case _:
            records[at] = _change_token(records[at], draw)


def _change_token(record: bytes, draw: random.Random) -> bytes:
    tokens = list(_TOKEN.finditer(record, 1))
    if not tokens:
        return record + draw.choice(_VALUES)
    start, end = draw.choice(tokens).span()
    # Replaced, removed, or with something before it.
    value = draw.choice((*_VALUES, b"", draw.choice(tokens)[0]))
    return record[:start] + value + record[end if draw.random() < 0.7 else start :]
