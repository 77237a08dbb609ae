"""The speed of `bokehwire.protocol` against `bokeh.protocol` and against bare msgspec, as a Markdown table.

    python -m benchmarks.protocol_codec

The table of the installed Bokeh's generation goes to benchmarks/protocol.md, where that of the other generation stays.

All contestants get the same frames or the same content, in one run, one after the other in each round, so that
whatever else the machine does hits all of them. Times are the fastest of the rounds, in CPU time of the thread, with
the garbage collector off, as in `timeit`: what else runs on the machine can only slow a round down. Bokeh's side of
encoding starts from content too, not from models: serialising models is no part of the protocol. `connection` is what a
user calls, with state, limits and events; `codec` is the decoder or encoder of the wire generation alone; `bare` is
what msgspec needs for the same bytes with no checks.
"""

from __future__ import annotations

import gc
import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import bokeh
import msgspec
from bokeh.core.json_encoder import serialize_json
from bokeh.document import Document
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, Model
from bokeh.models.widgets import DataTable, TableColumn
from bokeh.plotting import figure

from bokehwire.protocol import Connection, Frame, Generation, Limits, PatchDoc, PullDocReply, Role, wire3, wire4

GENERATION = Generation.V4 if bokeh.__version__.startswith("4") else Generation.V3
WORDS = [
    "lorem",
    "ipsum",
    "dolor",
    "sit",
    "amet",
    "consectetur",
    "adipiscing",
    "elit",
    "sed",
    "do",
    "eiusmod",
    "tempor",
    "incididunt",
    "ut",
    "labore",
    "et",
]
MEGABYTES_5 = 5_000_000

Call = Callable[[], Any]
_protocol: Any = import_module("bokeh.protocol")
_receiver: Any = import_module("bokeh.protocol.receiver")


def plain(model: Model) -> dict[str, Any]:
    """The content of a PUSH-DOC with this root, as it comes out of JSON."""
    document = Document()
    document.add_root(model)
    return {"doc": json.loads(serialize_json(document.to_json()))}


def figures(count: int, points: int) -> list[Model]:
    """Figures with a line and markers, whose sources hold lists of numbers."""
    numbers = random.Random(1)
    made: list[Model] = []
    for index in range(count):
        plot = figure(width=300, height=200, title=f"Figure {index}", x_axis_label="time", y_axis_label="value")
        xs, ys = ([numbers.random() * 100 for _ in range(points)] for _ in range(2))
        plot.line(xs, ys, legend_label="line")
        plot.scatter([1, 2, 3], [4, 5, 6])
        made.append(plot)
    return made


def table(rows: int) -> DataTable:
    """A table of text, a tenth of whose cells in one column are None."""
    numbers = random.Random(2)

    def text() -> str:
        return " ".join(numbers.choices(WORDS, k=15))

    source = ColumnDataSource(
        {
            "name": [f"row {index}" for index in range(rows)],
            "text": [text() for _ in range(rows)],
            "note": [None if index % 10 == 0 else text() for index in range(rows)],
        }
    )
    return DataTable(source=source, columns=[TableColumn(field=name, title=name) for name in source.data])


def patches() -> dict[str, dict[str, Any]]:
    """The content of small patches."""
    model = {"id": "p1001"}
    streamed = {"type": "map", "entries": [[name, [0.25 * index for index in range(10)]] for name in ("t", "x", "y")]}
    return {
        "PATCH-DOC, a slider": {"events": [{"kind": "ModelChanged", "model": model, "attr": "value", "new": 42.5}]},
        "PATCH-DOC, 10 rows streamed": {
            "events": [{"kind": "ColumnsStreamed", "model": model, "attr": "data", "data": streamed, "rollover": None}]
        },
    }


def documents() -> dict[str, dict[str, Any]]:
    """The content of documents of about 5 MB: of everything, and of one thing each."""
    return {
        "dashboard": plain(column(*figures(40, 1500), table(9000))),
        "models only": plain(column(*figures(40, 3))),
        "text table only": plain(table(22_000)),
    }


def by_frame(feed: Callable[[Frame], Any], frames: Sequence[Frame]) -> Call:
    """Feed these frames one by one and return what the last one gives. Without a loop, which costs as much as one."""
    if GENERATION is Generation.V4:
        (envelope,) = frames
        return lambda: feed(envelope)
    header, metadata, content = frames

    def decode() -> Any:
        feed(header)
        feed(metadata)
        return feed(content)

    return decode


def bokeh_decode(frames: Sequence[Frame]) -> Call:
    """Bokeh's receiver on these frames."""
    if GENERATION is Generation.V4:
        return by_frame(_receiver.Receiver().consume, frames)
    feed = _receiver.Receiver(_protocol.Protocol()).consume
    header, metadata, content = frames

    async def consume() -> Any:
        await feed(header)
        await feed(metadata)
        return await feed(content)

    def run() -> Any:
        try:
            consume().send(None)
        except StopIteration as stop:
            return stop.value

    return run


def bokeh_encode(kind: str, content: Any) -> Call:
    """Bokeh's creation of a message from its content, and its frames."""
    if GENERATION is Generation.V4:
        message_class = _protocol.Message
        return lambda: message_class(message_class.create_header(kind), content).fragments()
    message_class = _protocol.SPEC[kind]

    def encode() -> Any:
        message = message_class(message_class.create_header(), {}, content)
        return message.header_json, message.metadata_json, message.content_json

    return encode


def connected() -> tuple[Connection, Connection]:
    """A client and a server after the handshake, without a limit on what is in flight."""
    limits = Limits(max_pending=None)
    client = Connection(id_factory=lambda: "c", limits=limits)
    server = Connection(Role.SERVER, generation=GENERATION, limits=limits)
    for frame in server.ack().frames:
        client.receive_frame(frame)
    return client, server


def our_codec_decode(frames: Sequence[Frame]) -> Call:
    """The decoder of the wire generation on these frames."""
    return by_frame((wire4.Decoder4 if GENERATION is Generation.V4 else wire3.Decoder3)(Limits(), False).feed, frames)


def our_decode(client: Connection, frames: Sequence[Frame], *, pull: bool) -> Call:
    """A connection on these frames, with the request that they answer in flight."""
    decode = by_frame(client.receive_frame, frames)

    def pull_and_decode() -> Any:
        client.pull_doc()
        return decode()

    return pull_and_decode if pull else decode


_decode_header = msgspec.json.Decoder(wire3.Header).decode
_decode_any = msgspec.json.Decoder().decode
_decode_envelope = msgspec.json.Decoder(wire4.Envelope).decode
_encode = msgspec.json.Encoder().encode


class _Outgoing(msgspec.Struct):
    header: wire4.Header
    content: Any
    buffers: list[str]


def bare_decode(frames: Sequence[Any], *, pull: bool) -> Call:
    """The least that msgspec can do to make the same message of these frames."""

    def build(msgid: str, reqid: str | None, content: Any) -> Any:
        return PullDocReply(msgid, reqid, content) if pull else PatchDoc(msgid, content)

    first, metadata, content = frames if GENERATION is Generation.V3 else (*frames, "", "")

    def decode_4() -> Any:
        envelope = _decode_envelope(first)
        return build(envelope.header.msgid, envelope.header.reqid, envelope.content)

    def decode_3() -> Any:
        header = _decode_header(first)
        _decode_any(metadata)
        return build(header.msgid, header.reqid, _decode_any(content))

    return decode_4 if GENERATION is Generation.V4 else decode_3


def bare_encode(kind: Any, content: Any) -> Call:
    """The least that msgspec can do to make the same frames of this content."""

    def encode_4() -> Any:
        return (_encode(_Outgoing(wire4.Header("c", kind), content, [])).decode(),)

    def encode_3() -> Any:
        return (
            _encode(wire3.Header("c", kind)).decode(),
            _encode({}).decode(),
            _encode(content).decode(),
        )

    return encode_4 if GENERATION is Generation.V4 else encode_3


def our_encode(kind: str, content: Any, *, codec: bool) -> Call:
    """A connection's intent with this content, or the encoder of the wire generation alone."""
    encode = wire4.encode if GENERATION is Generation.V4 else wire3.encode
    if codec:
        return lambda: encode(kind, "c", None, content, ())
    # A server's patch is the intent that leaves nothing in flight; a push can only come from a client.
    if kind == "PATCH-DOC":
        _client, server = connected()
        return lambda: server.patch_doc(content)

    def push() -> Any:
        client, _server = connected()
        return client.push_doc(content)

    return push


def fastest(calls: Sequence[Call], seconds: float) -> list[float]:
    """CPU seconds of each call: the fastest of the rounds in which each has its turn."""
    for call in calls:
        call()
    started = time.thread_time()
    calls[0]()
    repeat = max(1, int(0.002 / max(time.thread_time() - started, 1e-7)))
    taken: list[list[float]] = [[] for _ in calls]
    end = time.monotonic() + seconds
    gc.collect()
    gc.disable()
    try:
        while time.monotonic() < end or len(taken[0]) < 5:
            for call, times in zip(calls, taken, strict=True):
                started = time.thread_time()
                for _ in range(repeat):
                    call()
                times.append((time.thread_time() - started) / repeat)
    finally:
        gc.enable()
    return [min(times) for times in taken]


def shown(seconds: float) -> str:
    """A time with a unit that suits it."""
    return f"{seconds * 1e6:.2f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"


def row(name: str, size: int, calls: Sequence[Call], seconds: float) -> str:
    """One line of the table, for (bokeh, connection, codec, bare)."""
    theirs, connection, codec, bare = fastest(calls, seconds)
    times = " | ".join(map(shown, (theirs, connection, codec, bare)))
    ratios = f"{theirs / connection:.1f} | {theirs / codec:.1f} | {theirs / bare:.1f}"
    ratios += f" | {connection / bare:.2f} | {codec / bare:.2f}"
    return f"| {name} | {size:,} | {times} | {ratios} |"


def rows(seconds: float) -> Iterator[str]:
    """Every line of the table."""
    for name, content in patches().items():
        client, server = connected()
        frames = server.patch_doc(content).frames
        size = sum(map(len, frames))
        calls = (
            bokeh_decode(frames),
            our_decode(client, frames, pull=False),
            our_codec_decode(frames),
            bare_decode(frames, pull=False),
        )
        yield row(f"decode {name}", size, calls, seconds)
        kind = "PATCH-DOC"
        ours = our_encode(kind, content, codec=False), our_encode(kind, content, codec=True)
        yield row(f"encode {name}", size, (bokeh_encode(kind, content), *ours, bare_encode(kind, content)), seconds)
    for name, content in documents().items():
        client, server = connected()
        for frame in client.pull_doc().frames:
            server.receive_frame(frame)
        frames = server.pull_doc_reply("c", content).frames
        client.receive_close()
        client, _server = connected()
        size = sum(map(len, frames))
        calls = (
            bokeh_decode(frames),
            our_decode(client, frames, pull=True),
            our_codec_decode(frames),
            bare_decode(frames, pull=True),
        )
        yield row(f"decode PULL-DOC-REPLY, {name}", size, calls, seconds * 3)
        kind = "PUSH-DOC"
        ours = our_encode(kind, content, codec=False), our_encode(kind, content, codec=True)
        calls = (bokeh_encode(kind, content), *ours, bare_encode(kind, content))
        yield row(f"encode PUSH-DOC, {name}", size, calls, seconds * 3)


REPORT = Path(__file__).with_name("protocol.md")
GOALS = """# The protocol's codec against Bokeh's and against bare msgspec

Written by `python -m benchmarks.protocol_codec`, once with each generation's Bokeh; its docstring says what is
measured. "bokeh/connection" is how many times as fast as Bokeh a user's call is. The goals for it: decode a small
PATCH-DOC 10, create and encode one 15, decode a PULL-DOC-REPLY of 5 MB 3, encode a PUSH-DOC of 5 MB 5; and
connection/bare 1.3. The tables say which are met; not all are.

## What stands between the connection and bare msgspec

- Decoding, small: where bokeh/bare itself is below 10, nothing that decodes with msgspec reaches 10. Otherwise it is
  calls: a user feeds the three frames of generation 3 one by one, and bare reads all of them in one Python function.
- Encoding, small: state, id, `Outgoing` and the calls between them, which is connection less codec; and where there is
  a null, as in the streamed rows, the search for a NaN.
- Decoding, large: the depth limit holds before anything is built, so that the text is scanned for brackets first.
- Encoding, large: msgspec writes NaN and infinities as null, and the protocol has to refuse them, so that the value is
  written as MessagePack too and searched (`src/protocol/finite.py`).
"""


def main(seconds: float = 3.0) -> None:
    """Measure, print the table, and put it into the report.

    Args:
        seconds: How long to measure each small line; the large ones take three times as long.
    """
    lines = [
        f"## Generation {GENERATION.value}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, Python {sys.version.split()[0]}, Bokeh {bokeh.__version__}, "
        f"msgspec {msgspec.__version__}",
        "",
        "| | bytes | bokeh | connection | codec | bare "
        "| bokeh/connection | bokeh/codec | bokeh/bare | connection/bare | codec/bare |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines))
    for line in rows(seconds):
        print(line, flush=True)
        lines.append(line)
    old = REPORT.read_text(encoding="utf-8") if REPORT.exists() else ""
    tables = dict(re.findall(r"^## Generation (\d)$(.*?)(?=^## |\Z)", old, re.MULTILINE | re.DOTALL))
    tables[str(GENERATION.value)] = "\n".join(["", *lines[1:]])
    parts = [f"## Generation {number}\n\n{tables[number].strip()}\n" for number in sorted(tables)]
    REPORT.write_text("\n".join([GOALS, *parts]), encoding="utf-8")


if __name__ == "__main__":
    main()
