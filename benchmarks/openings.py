"""Rows: opening, pulling and closing; pushing; many sessions one after the other."""

from __future__ import annotations

import os
import time
from typing import Any

import msgspec
from bokeh.core.json_encoder import serialize_json
from bokeh.document import Document

from . import library
from .apps import made, plot
from .faces import BOKEH, LIBRARY, Face
from .measuring import Sample
from .raw import RawClient, Requests, packed
from .row import Place, Row, Turns, Work, sessions

IN_SEQUENCE = 20
# In one turn, so that not everything has left the caches since the turn before.
REPEAT = 3


async def reopen(face: Face, place: Place, path: str) -> Turns:
    """A session of the server that somebody else keeps, from opening to closing."""
    keeper = await face.pull(place.url(path))
    while True:
        with place.meter(REPEAT) as meter:
            for _ in range(REPEAT):
                await face.close(await face.pull(place.url(path), keeper.id))
        yield meter.sample


def raw_reopen(path: str) -> Work:
    """The same of a raw client."""

    async def turns(place: Place) -> Turns:
        name = f"kept{os.getpid()}"
        keeper = RawClient(place.port, path, name)
        request = Requests(keeper.generation).pull()
        while True:
            with place.meter(REPEAT) as meter:
                for _ in range(REPEAT):
                    client = RawClient(place.port, path, name)
                    client.send(request)
                    client.read()
                    client.close()
            yield meter.sample

    return turns


def build(path: str) -> Work:
    """What Bokeh needs to make a Document of what a pull brings, once that is decoded."""

    async def turns(place: Place) -> Turns:
        client = RawClient(place.port, path)
        client.send(Requests(client.generation).pull())
        message = client.read()
        while True:
            documents = [packed(message, client.generation) for _ in range(REPEAT)]
            with place.meter(REPEAT) as meter:
                for document in documents:
                    Document.from_json(document)
            yield meter.sample

    return turns


async def push(face: Face, place: Place) -> Turns:
    """A figure pushed into a new session, from opening to the confirmation."""
    while True:
        document = made(plot)
        with place.meter() as meter:
            session = await face.push(document, place.url("/"))
        yield meter.sample
        await face.close(session)


async def raw_push(place: Place) -> Turns:
    """The same of a raw client, with a document that is written already."""
    content = _plain(made(plot))
    while True:
        with place.meter() as meter:
            client = RawClient(place.port, "")
            client.send(Requests(client.generation).push(content))
            client.read_until_ok()
        yield meter.sample
        client.close()


async def serialise(place: Place) -> Turns:
    """What Bokeh needs to write the figure's Document out."""
    while True:
        document = made(plot)
        with place.meter() as meter:
            document.to_json(deferred=True)
        yield meter.sample


async def in_sequence(face: Face, place: Place) -> Turns:
    """New sessions of a few widgets, opened, pulled and closed one after the other."""
    while True:
        before = descriptors()
        with place.meter(IN_SEQUENCE) as meter:
            for _ in range(IN_SEQUENCE):
                await face.close(await face.pull(place.url("/widgets")))
        yield _with_leak(meter.sample, before)


async def raw_in_sequence(place: Place) -> Turns:
    """The same of a raw client."""
    request = b""
    while True:
        before = descriptors()
        with place.meter(IN_SEQUENCE) as meter:
            for _ in range(IN_SEQUENCE):
                client = RawClient(place.port, "/widgets")
                request = request or Requests(client.generation).pull()
                client.send(request)
                client.read()
                client.close()
        yield _with_leak(meter.sample, before)


def descriptors() -> int:
    """How many file descriptors this process has open."""
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


def _with_leak(sample: Sample, before: int) -> Sample:
    deadline = time.monotonic() + 0.2
    while descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    sample.extra["descriptors left, each"] = (descriptors() - before) / IN_SEQUENCE
    return sample


def _plain(document: Document) -> Any:
    return {"doc": msgspec.json.decode(serialize_json(document.to_json()))}


def _reopening(key: str, what: str, path: str, goal: float, rounds: int) -> Row:
    contestants = {
        **sessions(reopen, with_=(path,)),
        LIBRARY: library.reopenings(path, REPEAT),
        "raw": raw_reopen(path),
        BOKEH: build(path),
    }
    return Row(key, f"open, pull, close: {what}", contestants, rounds=rounds, adds_bokeh=True, goals=(goal, 1.3))


ROWS = [
    _reopening("open-widgets", "a page of a few widgets", "/widgets", 5, 15),
    _reopening("open-figure", "a figure", "/figure", 2.5, 15),
    _reopening("open-arrays", "2 columns of 1,000,000 float64", "/arrays", 1.8, 9),
    Row(
        "push",
        "open and push one figure",
        {**sessions(push), "raw": raw_push, BOKEH: serialise},
        adds_bokeh=True,
        note="Raw pushes a document that is written already; Bokeh alone writes it.",
    ),
    Row(
        "sequence",
        f"one of {IN_SEQUENCE} sessions of a few widgets, opened, pulled and closed in sequence",
        {
            **sessions(in_sequence),
            "raw": raw_in_sequence,
            BOKEH: build("/widgets"),
        },
        rounds=5,
        adds_bokeh=True,
        goals=(10, 1.3),
        note="The server makes a new session each time.",
    ),
]
