"""Rows: patches that the server sends, applied to the document."""

from __future__ import annotations

import time
from itertools import count
from typing import Any

from bokeh.core.serialization import Serialized
from bokeh.document import Document

from .apps import PATCHES, made, named, patches
from .canned import TIMES
from .faces import BOKEH, Face
from .measuring import Meter
from .raw import RawClient, Requests, decoded
from .row import Place, Row, Turns, Work, sessions

REPEATED = 20


async def receive(face: Face, place: Place, canned: bool) -> Turns:
    """Pull the trigger and apply what comes of it."""
    session = await face.pull(_url(place, canned))
    trigger, end = named(session.document, "trigger"), named(session.document, "end")
    for number in count(1):
        with _meter(place, canned) as meter:
            await _turn(face, session, trigger, end, number)
        yield meter.sample


async def receive_burst(face: Face, place: Place) -> Turns:
    """All patches of the canned server, many times over in one burst; and what the last cost by what the first did."""
    session = await face.pull(_url(place, canned=True))
    trigger, target, end = (named(session.document, name) for name in ("trigger", "target", "end"))
    await _turn(face, session, trigger, end, 1)
    for number in count(1):
        laps = _Laps(target, end, -number * TIMES - REPEATED)
        with Meter(place.canned_pid, PATCHES * REPEATED) as meter:
            trigger.value = laps.asked
            await face.until(session, laps.are_over)
        sample = meter.sample
        sample.extra["last quarter by first, CPU"] = laps.last_quarter_by_first()
        yield sample


class _Laps:
    """Reads the process's clock once in each lap: the patches of each set a property to 1, 2, and so on.

    Args:
        target: What has the property.
        end: What says when all is over.
        asked: The value that it then has.
    """

    def __init__(self, target: Any, end: Any, asked: int) -> None:
        self.asked = asked
        self._target = target
        self._end = end
        self._far = True
        self._marks: list[float] = []

    def are_over(self) -> bool:
        """Take note of where the patches are, and say whether there are no more. Called after each."""
        before, self._far = self._far, bool(self._target.width > PATCHES // 2)
        if self._far and not before:
            self._marks.append(time.process_time())
        return bool(self._end.text == str(self.asked))

    def last_quarter_by_first(self) -> float:
        """What the last laps took by what as many first ones did."""
        quarter = len(self._marks) // 4
        return (self._marks[-1] - self._marks[-1 - quarter]) / (self._marks[quarter] - self._marks[0])


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
        f"one of {REPEATED * PATCHES:,} incoming patches in one burst, canned server",
        {**sessions(receive_burst, "tornado", "aiohttp", "tornado, async", "aiohttp, async")},
        rounds=1,
        limit="",
        note="Flat is a ratio of 1 between what the last quarter and the first cost. The background thread of a "
        "blocking session reads ahead, so that its work falls into the first quarters.",
        patience=180.0,
    ),
]
