"""Rows: a round trip, and a change with a round trip."""

from __future__ import annotations

import asyncio
from itertools import count

from . import library
from .apps import named
from .faces import FACES, LIBRARY, ON_UVLOOP, Face
from .frames import FrameCounter
from .raw import RawClient, Requests
from .row import Place, Row, Turns, sessions

REPEAT = 10


async def round_trip(face: Face, place: Place) -> Turns:
    """Round trips of a session that has nothing to send."""
    session = await face.pull(place.url("/widgets"))
    while True:
        with place.meter(REPEAT) as meter:
            for _ in range(REPEAT):
                await face.confirm(session)
        yield meter.sample


async def raw_round_trip(place: Place) -> Turns:
    """The same of a raw client."""
    client = RawClient(place.port, "/widgets")
    request = Requests(client.generation).round_trip()
    while True:
        with place.meter(REPEAT) as meter:
            for _ in range(REPEAT):
                client.send(request)
                client.read()
        yield meter.sample


async def loop_round_trip(place: Place) -> Turns:
    """The same over an asyncio loop, which every client that is built on one has to pay for."""
    client = RawClient(place.port, "/widgets")
    request = Requests(client.generation).round_trip()
    client.send(request)
    frames = len(client.read())
    with asyncio.Runner() as runner:
        counter = FrameCounter()
        transport = runner.run(counter.adopt(client.stream.sock))

        async def exchange() -> None:
            for _ in range(REPEAT):
                done = counter.expect(frames)
                transport.write(request)
                await done

        while True:
            with place.meter(REPEAT) as meter:
                runner.run(exchange())
            yield meter.sample


async def change(face: Face, place: Place) -> Turns:
    """One property changed, then a round trip."""
    session = await face.pull(place.url("/widgets"))
    slider = named(session.document, "slider")
    numbers = count(1)
    while True:
        with place.meter(REPEAT) as meter:
            for _ in range(REPEAT):
                slider.value = next(numbers)
                await face.confirm(session)
        yield meter.sample


async def raw_change(place: Place) -> Turns:
    """The same of a raw client: one write a message."""
    client, identity = RawClient.pulled(place.port, "/widgets", "slider")
    requests = Requests(client.generation)
    request = requests.round_trip()
    numbers = count(1)
    while True:
        patches = [
            requests.patch([{"kind": "ModelChanged", "model": {"id": identity}, "attr": "value", "new": next(numbers)}])
            for _ in range(REPEAT)
        ]
        with place.meter(REPEAT) as meter:
            for patch in patches:
                client.send(patch)
                client.send(request)
                client.read()
                client.read()
        yield meter.sample


ROWS = [
    Row(
        "roundtrip",
        "`force_roundtrip()`",
        {
            **sessions(round_trip, *FACES, *ON_UVLOOP),
            LIBRARY: library.round_trips("/widgets", REPEAT),
            "raw, asyncio": loop_round_trip,
            "raw": raw_round_trip,
        },
        rounds=15,
        goals=(50, 1.5),
    ),
    Row(
        "change",
        "one change, then `force_roundtrip()`",
        {**sessions(change, *FACES, *ON_UVLOOP), "raw": raw_change},
        rounds=15,
        goals=(20, 1.5),
    ),
]
