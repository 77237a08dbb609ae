"""What a session keeps of what went either way, and what it leaves for the garbage collector to find."""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, cast

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.models import ColumnDataSource
from bokeh.models.widgets import Div

import bokehwire
from bokehwire import ClientSession
from bokehwire.session.portal import Portal
from bokehwire.transports import ConnectionOptions, Frame, OutgoingFrame, Transport, WebSocket, resolve

from ..apps import model
from ..servers import LiveServer
from .faces import Face, do

TURNS = 100
FACES = [(kind, transport) for kind in ("blocking", "async") for transport in ("tornado", "aiohttp")]


@pytest.fixture(params=FACES, ids="-".join)
def networked(request: pytest.FixtureRequest) -> Face:
    return Face(*request.param)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing goes but what nobody refers to any more."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@dataclass
class WatchedTransport:
    """A transport that passes everything on, and keeps the binary frames."""

    name: str | Transport
    frames: list[Any] = field(default_factory=lambda: [bytes(1)])

    async def connect(self, options: ConnectionOptions) -> WebSocket:
        return WatchedSocket(await resolve(self.name).connect(options), self.frames)

    def are_kept_here_alone(self) -> bool:
        """Whether nobody else refers to any of the frames. To the first of them nobody ever did."""
        counts = [sys.getrefcount(frame) for frame in self.frames]
        return max(counts) == counts[0]


class WatchedSocket:
    """One of its connections."""

    def __init__(self, socket: WebSocket, frames: list[Any]) -> None:
        self._socket = socket
        self._frames = frames

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    async def send(self, frames: Sequence[OutgoingFrame]) -> None:
        self._frames += [frame for frame in frames if not isinstance(frame, str)]
        await self._socket.send(frames)

    async def receive(self) -> list[Frame]:
        frames = await self._socket.receive()
        self._frames += [frame for frame in frames if not isinstance(frame, str)]
        return frames


def columns(rows: float) -> dict[str, Any]:
    return {"x": np.full(1000, rows), "y": np.full(1000, rows)}


@pytest.mark.usefixtures("no_collector")
def test_no_message_is_kept_that_went_either_way(server: LiveServer, networked: Face) -> None:
    """Not even the last one, for as long as a session is idle: what is pulled may be as large as the document."""

    async def scenario(face: Face) -> None:
        watched = WatchedTransport(face.transport)
        document = Document()
        document.add_root(ColumnDataSource(name="source", data=columns(0)))

        async def let_go_of_all() -> None:
            """Wait until the session has let go of what has come and gone."""
            assert len(watched.frames) > 2
            for _ in range(TURNS):
                if watched.are_kept_here_alone():
                    break
                # A turn of the loop that carries the connection, whose reader and writer go on to wait for more.
                if face.kind == "async":
                    await asyncio.sleep(0)
                else:
                    Portal.current().run(asyncio.sleep(0))
            assert watched.are_kept_here_alone()
            del watched.frames[1:]

        session = await face.push(document, url=server.url(), transport=cast(Transport, watched))
        await let_go_of_all()
        model(document, "source").data = columns(1)
        await do(session.force_roundtrip())
        await let_go_of_all()
        await do(session.pull())
        await let_go_of_all()
        await face.edit(server, session, lambda there: setattr(model(there, "source"), "data", columns(2)))
        await do(session.wait_for(lambda: model(document, "source").data["x"][0] == 2))
        await let_go_of_all()

    networked.play(scenario)


def change_text(document: Document) -> None:
    model(document, "div").text += "."


def replace_columns(document: Document) -> None:
    model(document, "source").data = columns(1)


def replace_column(document: Document) -> None:
    model(document, "source").data["x"] = np.zeros(1000)


def stream(document: Document) -> None:
    model(document, "source").stream({"x": [1.0], "y": [1.0]}, 500)


def patch(document: Document) -> None:
    model(document, "source").patch({"x": [(0, 7.0)]})


def add_and_remove(document: Document) -> None:
    div = Div(text="new")
    document.add_root(div)
    document.remove_root(div)


def hold(document: Document) -> None:
    document.hold()
    change_text(document)
    document.unhold()


def change_title(document: Document) -> None:
    document.title += "."


CHANGES = (change_text, replace_columns, replace_column, stream, patch, add_and_remove, hold, change_title)


def ours(garbage: list[Any]) -> list[str]:
    """What of it has been left by this package: its objects, and any call."""
    return [
        f"{thing!r:.200}"
        for thing in garbage
        if isinstance(thing, FrameType) or type(thing).__module__.startswith("bokehwire")
    ]


@pytest.mark.usefixtures("no_collector")
def test_no_change_waits_for_the_garbage_collector(server: LiveServer, networked: Face) -> None:
    """Nor a document that was pulled, nor the variables of the program's calls."""

    async def scenario(face: Face) -> None:
        document = Document()
        document.add_root(ColumnDataSource(name="source", data=columns(0)))
        document.add_root(Div(name="div"))
        session = await face.push(document, url=server.url())

        async def look(what: str) -> None:
            await do(session.force_roundtrip())
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            gc.set_debug(0)
            left = ours(gc.garbage)
            gc.garbage.clear()
            assert not left, f"{what} has left {left}"

        await do(session.force_roundtrip())
        gc.collect()
        for change in CHANGES:
            change(document)
            await look(f"{change.__name__} here")
            await face.edit(server, session, change)
            await look(f"{change.__name__} there")
        await do(session.push())
        await look("a push")
        await do(session.pull())
        await look("a pull")
        await do(session.request_server_info())
        await look("a question for the server's versions")

    networked.play(scenario)


OWN = [Path(bokehwire.__file__).parent / "*", weakref.__file__, weakref.WeakSet.__init__.__code__.co_filename]
MANY = 10
LIMIT = 38_000  # bytes, of which 29,000 to 35,000 are taken; the library takes as many for the connection


def test_a_session_takes_little_memory_of_its_own(server: LiveServer, networked: Face) -> None:
    """Beyond what its document and the library of the connection take; the benchmark measures it all."""

    async def scenario(face: Face) -> None:
        await face.pull(url=server.url("/slider"))
        gc.collect()
        tracemalloc.start(1)
        try:
            before = tracemalloc.take_snapshot()
            sessions = [await face.pull(url=server.url("/slider")) for _ in range(MANY)]
            for session in sessions:
                model(cast(Document, session.document), "slider").value = 2
                await do(session.force_roundtrip())
            gc.collect()
            after = tracemalloc.take_snapshot()
        finally:
            tracemalloc.stop()
        own = [tracemalloc.Filter(True, str(name)) for name in OWN]
        grown = after.filter_traces(own).compare_to(before.filter_traces(own), "filename")
        assert sum(statistic.size_diff for statistic in grown) / MANY < LIMIT

    networked.play(scenario)


def test_what_the_server_was_the_last_to_change_is_not_remembered_for_ever(server: LiveServer, networked: Face) -> None:
    """Of some hundred properties at most."""

    async def scenario(face: Face) -> None:
        document = Document()
        for _ in range(300):
            document.add_root(Div())
        session = await face.push(document, url=server.url())

        def change_all(there: Document) -> None:
            for root in there.roots:
                cast(Div, root).update(text="changed", name="changed")

        await face.edit(server, session, change_all)
        await do(session.wait_for(lambda: document.roots[-1].name == "changed"))
        inner = session._session if isinstance(session, ClientSession) else session
        assert 100 < len(inner._engine._applier._theirs) <= 256

    networked.play(scenario)
