"""Rows: patches that the server sends, applied to the document."""

from __future__ import annotations

from itertools import count
from typing import Any

from bokeh.core.serialization import Serialized
from bokeh.document import Document

from .apps import PATCHES, made, named, patches
from .faces import BOKEH, Face
from .measuring import Meter, Sample
from .raw import RawClient, Requests, decoded
from .row import Place, Row, Turns, Work, sessions

FLAT_TURNS = 20


async def receive(face: Face, place: Place, canned: bool) -> Turns:
    """Pull the trigger and apply what comes of it."""
    session = await face.pull(_url(place, canned))
    trigger, end = named(session.document, "trigger"), named(session.document, "end")
    for number in count(1):
        with _meter(place, canned) as meter:
            await _turn(face, session, trigger, end, number)
        yield meter.sample


async def receive_flat(face: Face, place: Place, canned: bool) -> Turns:
    """The same many times in a row, and what the last patches cost by what the first did."""
    session = await face.pull(_url(place, canned))
    trigger, end = named(session.document, "trigger"), named(session.document, "end")
    numbers = count(1)
    await _turn(face, session, trigger, end, next(numbers))
    while True:
        samples: list[Sample] = []
        for _ in range(FLAT_TURNS):
            with _meter(place, canned) as meter:
                await _turn(face, session, trigger, end, next(numbers))
            samples.append(meter.sample)
        quarter = FLAT_TURNS // 4
        first, last = (sum(sample.client for sample in part) for part in (samples[:quarter], samples[-quarter:]))
        seconds = sum(sample.seconds for sample in samples) / FLAT_TURNS
        client = sum(sample.client for sample in samples) / FLAT_TURNS
        yield Sample(seconds, client, None, {"last quarter by first, CPU": last / first})


async def _turn(face: Face, session: Any, trigger: Any, end: Any, number: int) -> None:
    trigger.value = number
    await face.until(session, lambda: bool(end.text == str(number)))


def raw_receive(canned: bool) -> Work:
    """The same of a raw client, which decodes what comes and does nothing with it."""

    async def turns(place: Place) -> Turns:
        port = place.canned_port if canned else place.port
        client, identity = RawClient.pulled(port, "/patches", "trigger")
        requests = Requests(client.generation)
        for number in count(1):
            event = {"kind": "ModelChanged", "model": {"id": identity}, "attr": "value", "new": number}
            request = requests.patch([event])
            with _meter(place, canned) as meter:
                client.send(request)
                for _ in range(PATCHES + 2):
                    decoded(client.read(), client.generation)
            yield meter.sample

    return turns


async def apply(place: Place) -> Turns:
    """What Bokeh needs to apply so many patches of one change, once they are decoded."""
    document = made(patches)
    identity = named(document, "target").id
    while True:
        contents = [
            {"events": [{"kind": "ModelChanged", "model": {"id": identity}, "attr": "width", "new": number + 1}]}
            for number in range(PATCHES)
        ]
        with place.meter(PATCHES) as meter:
            _apply_all(document, contents)
        yield meter.sample


def _apply_all(document: Document, contents: list[dict[str, Any]]) -> None:
    setter: Any = object()
    for content in contents:
        packed: Any = Serialized(content, [])
        document.apply_json_patch(packed, setter=setter)


def _url(place: Place, canned: bool) -> str:
    return f"http://127.0.0.1:{place.canned_port if canned else place.port}/patches"


def _meter(place: Place, canned: bool) -> Meter:
    return Meter(place.canned_pid if canned else place.pid, PATCHES)


def _row(key: str, server: str, canned: bool) -> Row:
    return Row(
        key,
        f"one of {PATCHES:,} incoming patches, {server}",
        {**sessions(receive, with_=(canned,)), "raw": raw_receive(canned), BOKEH: apply},
        rounds=5,
        adds_bokeh=True,
        goals=(8, None),
        note="bokeh.client runs with its recursion limit raised: without, it ends after some 300 in a row.",
    )


ROWS = [
    _row("incoming", "real server", False),
    _row("incoming-canned", "canned server", True),
    Row(
        "incoming-flat",
        f"one of {FLAT_TURNS * PATCHES:,} incoming patches in a row, canned server",
        {**sessions(receive_flat, "tornado", "aiohttp", "tornado, async", "aiohttp, async", with_=(True,))},
        rounds=1,
        limit="",
        note="Flat is a ratio of 1 between what the last quarter and the first cost.",
        patience=180.0,
    ),
]
