"""Rows: many changes made here and confirmed by the server at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bokeh.document.events import DocumentChangedEvent

from .apps import made, named, plot
from .faces import BOKEH, Face
from .raw import RawClient, Requests
from .row import Place, Row, Turns, Work, sessions

CHANGES = 2_000
STREAMED = 10
TOGETHER = 256
# How many messages a raw client sends ahead of the answers, so that neither end waits for the other to read.
AHEAD = 64


def _rows(number: int) -> dict[str, Any]:
    return {"x": list(range(number, number + STREAMED)), "y": [0.5 * number] * STREAMED}


def _width_event(identity: str, number: int) -> Any:
    return {"kind": "ModelChanged", "model": {"id": identity}, "attr": "width", "new": 300 + number}


def _stream_event(identity: str, number: int) -> Any:
    data = {"type": "map", "entries": [[name, column] for name, column in _rows(number).items()]}
    return {"kind": "ColumnsStreamed", "model": {"id": identity}, "attr": "data", "data": data, "rollover": None}


async def changes(face: Face, place: Place, streams: bool) -> Turns:
    """Many changes in a row, then a round trip."""
    while True:
        session = await face.pull(place.url("/figure"))
        document = session.document
        plot_model, source = named(document, "figure"), named(document, "source")
        with place.meter(CHANGES) as meter:
            if streams:
                for number in range(CHANGES):
                    source.stream(_rows(number))
            else:
                for number in range(CHANGES):
                    plot_model.width = 301 + number
            await face.confirm(session)
        yield meter.sample
        await face.close(session)


def raw_changes(streams: bool, each: int) -> Work:
    """The same of a raw client, with so many events in each message."""

    async def turns(place: Place) -> Turns:
        while True:
            client, identity = RawClient.pulled(place.port, "/figure", "source" if streams else "figure")
            event = _stream_event if streams else _width_event
            requests = Requests(client.generation)
            messages = requests.patches([event(identity, number + 1) for number in range(CHANGES)], each)
            with place.meter(CHANGES) as meter:
                send_all(client, messages)
            yield meter.sample
            client.close()

    return turns


def send_all(client: RawClient, messages: Sequence[bytes]) -> None:
    """Send messages and read their answers."""
    for number, message in enumerate(messages):
        client.send(message)
        if number >= AHEAD:
            client.read()
    client.skip(min(AHEAD, len(messages)))


def _listen(event: DocumentChangedEvent) -> None:
    """Be told of a change, as every session is."""


def bokeh_changes(streams: bool) -> Work:
    """What it costs Bokeh to make the changes and to tell somebody, who need not be its serialiser."""

    async def turns(place: Place) -> Turns:
        while True:
            document = made(plot)
            document.on_change(_listen)
            plot_model, source = named(document, "figure"), named(document, "source")
            with place.meter(CHANGES) as meter:
                if streams:
                    for number in range(CHANGES):
                        source.stream(_rows(number))
                else:
                    for number in range(CHANGES):
                        plot_model.width = 301 + number
            yield meter.sample

    return turns


def _row(key: str, title: str, streams: bool, goal: float) -> Row:
    contestants = {
        **sessions(changes, with_=(streams,)),
        "raw, one a message": raw_changes(streams, 1),
        "raw": raw_changes(streams, TOGETHER),
        BOKEH: bokeh_changes(streams),
    }
    note = f"Raw sends {TOGETHER} events a message. bokeh.client runs with its recursion limit raised."
    return Row(key, title, contestants, rounds=5, adds_bokeh=True, goals=(goal, None), note=note)


ROWS = [
    _row("changes", f"one of {CHANGES:,} property changes, confirmed", False, 10),
    _row("stream", f"one of {CHANGES:,} `stream()` of {STREAMED} rows, confirmed", True, 6),
]
