"""Rows: many sessions held open at once by one process."""

from __future__ import annotations

import ctypes
import gc
import resource
from pathlib import Path
from typing import Any

import msgspec
from bokeh.document import Document

from .apps import named
from .faces import BOKEH, OLD, Face
from .measuring import Sample
from .openings import descriptors
from .raw import RawClient, Requests, decoded
from .row import Place, Row, Turns, sessions

_STATUS = Path("/proc/self/statm")
WARM = 20


async def hold(face: Face, place: Place, number: int) -> Turns:
    """Open and pull them, change and confirm each in turn, measure, close them."""
    _raise_descriptor_limit()
    await _warm_up(face, place)
    kilobytes = None
    while True:
        open_before, memory_before = descriptors(), resident()
        held: list[Any] = []
        with place.meter(number) as opening:
            for _ in range(number):
                session = await face.pull(place.url("/widgets"))
                held.append(session)
        open_after, memory_after = descriptors(), resident()
        with place.meter(number) as turns:
            for index, session in enumerate(held):
                named(session.document, "slider").value = index + 1
                await face.confirm(session)
        with place.meter(number) as closing:
            for session in held:
                await face.close(session)
        # The memory of later turns is what earlier ones have left.
        kilobytes = kilobytes or (memory_after - memory_before) / number / 1000
        extra = {
            "open and pull, ms": opening.sample.seconds * 1000,
            "change and confirm, ms": turns.sample.seconds * 1000,
            "close, ms": closing.sample.seconds * 1000,
            "descriptors": (open_after - open_before) / number,
            "KB": kilobytes,
        }
        yield _total([opening.sample, turns.sample, closing.sample], extra)
        held.clear()


async def documents(place: Place, number: int) -> Turns:
    """What as many Documents need without sessions."""
    client = RawClient(place.port, "/widgets")
    client.send(Requests(client.generation).pull())
    content, _buffers = decoded(client.read(), client.generation)
    text = msgspec.json.encode(content["doc"])
    for _ in range(WARM):
        Document.from_json(msgspec.json.decode(text))
    kilobytes = None
    while True:
        memory_before = resident()
        with place.meter(number) as building:
            held = [Document.from_json(msgspec.json.decode(text)) for _ in range(number)]
        kilobytes = kilobytes or (resident() - memory_before) / number / 1000
        extra = {"KB": kilobytes}
        yield _total([building.sample], extra)
        held.clear()


async def _warm_up(face: Face, place: Place) -> None:
    """What the first sessions cost is not what further ones do."""
    held = [await face.pull(place.url("/widgets")) for _ in range(WARM)]
    for session in held:
        named(session.document, "slider").value = 1
        await face.confirm(session)
    for session in held:
        await face.close(session)


def resident() -> int:
    """Bytes of memory that this process holds, garbage collected and free memory given back; Linux only."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(_STATUS.read_text().split()[1]) * resource.getpagesize()


def _raise_descriptor_limit() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _total(samples: list[Sample], extra: dict[str, float]) -> Sample:
    servers = [sample.server for sample in samples if sample.server is not None]
    server = sum(servers) if len(servers) == len(samples) else None
    return Sample(sum(sample.seconds for sample in samples), sum(sample.client for sample in samples), server, extra)


def _row(number: int) -> Row:
    names = ("tornado", "aiohttp", "tornado, async", "aiohttp, async", *([OLD] if number <= 100 else []))
    return Row(
        f"scale-{number}",
        f"one of {number:,} sessions held open at once: pulled, changed and confirmed in turn, closed",
        {**sessions(hold, *names, with_=(number,)), BOKEH: lambda place: documents(place, number)},
        rounds=2 if number < 1000 else 1,
        warm_up=0,
        limit="",
        note="KB and descriptors of each; what Bokeh alone shows in KB is the Document."
        + ("" if number <= 100 else " bokeh.client would take minutes."),
        patience=300.0,
    )


ROWS = [_row(number) for number in (10, 100, 1000)]
