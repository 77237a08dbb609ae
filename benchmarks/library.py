"""aiohttp's own WebSocket client, with frames written ahead of time: the least that a session over it pays."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import aiohttp
from bokeh.core.types import ID
from bokeh.document import Document
from bokeh.util.token import generate_jwt_token, generate_session_id

from bokehwire.transports._socket import QuickSocket, prepare

from .measuring import Sample
from .raw import HOST, Message, RawClient, Requests, packed
from .row import Place, Turns, Work


class Library:
    """Connections of one `aiohttp.ClientSession`, on sockets like those of bokehwire: else each answer would stall."""

    def __init__(self, place: Place, path: str) -> None:
        self._url = f"ws://{HOST}:{place.port}{path}/ws"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=_make_socket, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def connect(self, session_id: ID, acknowledged: int) -> aiohttp.ClientWebSocketResponse:
        """A connection after the ACK, which has so many frames."""
        token = generate_jwt_token(session_id)
        connection = await self._session.ws_connect(self._url, protocols=("bokeh", token), max_msg_size=0)
        for _ in range(acknowledged):
            await connection.receive()
        return connection

    async def close(self) -> None:
        """Let go of everything."""
        await self._session.close()


def _make_socket(address: Any) -> QuickSocket:
    sock = QuickSocket(*address[:3])
    prepare(sock)
    return sock


async def exchange(connection: aiohttp.ClientWebSocketResponse, frames: list[str], answered: int) -> Message:
    """Send the frames of a message, and give those of the answer, which are so many."""
    for frame in frames:
        await connection.send_str(frame)
    answer: Message = []
    for _ in range(answered):
        data = (await connection.receive()).data
        answer.append(data.encode() if isinstance(data, str) else data)
    return answer


def round_trips(path: str, repeat: int) -> Work:
    """Round trips, so many in a turn."""

    async def turns(place: Place) -> Turns:
        client = RawClient(place.port, path)
        requests = Requests(client.generation)
        client.send(requests.round_trip())
        expected = len(client.read())
        frames = requests.round_trip_frames()

        async def turn(connection: aiohttp.ClientWebSocketResponse) -> None:
            for _ in range(repeat):
                await exchange(connection, frames, expected)

        with asyncio.Runner() as runner:
            library = runner.run(_library(place, path))
            try:
                # The ACK has as many frames.
                connection = runner.run(library.connect(generate_session_id(), expected))
                while True:
                    with place.meter(repeat) as meter:
                        runner.run(turn(connection))
                    yield meter.sample
            finally:
                runner.run(library.close())

    return turns


def reopenings(path: str, repeat: int) -> Work:
    """A connection to a session that exists, from opening to closing; and Bokeh builds the Document it brings."""

    async def turns(place: Place) -> Turns:
        name = ID(f"library{os.getpid()}")
        keeper = RawClient(place.port, path, name)
        requests = Requests(keeper.generation)
        keeper.send(requests.pull())
        expected = len(keeper.read())
        keeper.send(requests.round_trip())
        acknowledged = len(keeper.read())
        frames = requests.pull_frames()

        async def turn(library: Library) -> Sample:
            with place.meter(repeat) as meter:
                for _ in range(repeat):
                    connection = await library.connect(name, acknowledged)
                    answer = await exchange(connection, frames, expected)
                    Document.from_json(packed(answer, keeper.generation))
                    await connection.close()
            return meter.sample

        with asyncio.Runner() as runner:
            library = runner.run(_library(place, path))
            try:
                while True:
                    yield runner.run(turn(library))
            finally:
                runner.run(library.close())

    return turns


async def _library(place: Place, path: str) -> Library:
    return Library(place, path)  # which takes the running loop
