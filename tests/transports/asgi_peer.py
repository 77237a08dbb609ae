"""The other end of a connection to an ASGI application: an application that follows a script."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Self

from bokehwire.testing.conformance.peer import MessageConnection, Peer, Script
from bokehwire.transports.asgi import AsgiTransport


class AsgiConnection(MessageConnection):
    """One call of the application."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._ours: tuple[int, str] | None = None
        self._can_read = asyncio.Event()
        self._can_read.set()

    async def _read(self) -> Any:
        await self._can_read.wait()
        return await self._receive()

    async def accept(self, *, subprotocol: str | None = "bokeh") -> None:
        assert (await self._receive())["type"] == "websocket.connect"
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol})

    async def refuse(self) -> None:
        assert (await self._receive())["type"] == "websocket.connect"
        await self._send({"type": "websocket.close"})

    async def send(self, *messages: str | bytes) -> None:
        for message in messages:
            await self._pass_on({"type": "websocket.send", "text" if isinstance(message, str) else "bytes": message})

    async def delivered(self) -> None:
        pass  # it is where it belongs when `send` returns

    async def send_close(self, code: int | None = 1000, reason: str = "") -> None:
        with contextlib.suppress(ConnectionError):  # it is the answer to the client's
            await self._pass_on({"type": "websocket.close", "code": code, "reason": reason})

    async def _pass_on(self, event: Any) -> None:
        try:
            await self._send(event)
        except OSError as error:
            raise ConnectionError from error

    async def read_message(self) -> str | bytes:
        event = await self._read()
        if event["type"] == "websocket.disconnect":
            raise ConnectionError
        message: str | bytes = event["bytes"] if event.get("bytes") is not None else event["text"]
        return message

    async def messages(self) -> AsyncIterator[str | bytes]:
        with contextlib.suppress(ConnectionError):
            while True:
                yield await self.read_message()

    async def read_close(self) -> tuple[int | None, str]:
        event = await self._read()
        assert event["type"] == "websocket.disconnect", event
        return event["code"], event["reason"]

    async def read_end(self) -> bytes:
        data = b""
        while (event := await self._read())["type"] != "websocket.disconnect":
            data += b"%a" % event if event["type"] != "websocket.connect" else b""
        return data

    def pause_reading(self) -> None:
        self._can_read.clear()

    def resume_reading(self) -> None:
        self._can_read.set()


class AsgiPeer(Peer):
    """Is an application within an ``async with`` block."""

    def __init__(self, script: Script) -> None:
        super().__init__(script)
        self.transport = AsgiTransport(self._app)
        self._calls: list[Exception | None] = []
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def url(self) -> str:
        return "ws://in.process:5006/app/ws"

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "websocket"  # the lifespan is not supported
        self._running += 1
        self._idle.clear()
        try:
            await self._script(AsgiConnection(scope, receive, send))
        except ConnectionError:
            pass
        except Exception as error:
            self._calls.append(error)
            raise
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()

    async def finished(self) -> None:
        await self._idle.wait()

    def clients(self) -> int:
        return self._running

    def has_open_sockets(self) -> bool:
        return self._running > 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, *exc_info: object) -> None:
        failures = [call for call in self._calls if call is not None]
        if failures and exc_type is None:
            raise failures[0]
