"""Rows: a round trip, and a change with a round trip."""

from __future__ import annotations

from itertools import count

from .apps import named
from .faces import Face
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
        {**sessions(round_trip), "raw": raw_round_trip},
        rounds=15,
        goals=(50, 1.5),
    ),
    Row(
        "change",
        "one change, then `force_roundtrip()`",
        {**sessions(change), "raw": raw_change},
        rounds=15,
        goals=(20, 1.5),
    ),
]
