"""The server's side: Bokeh's own ServerSession, connections, codec and message handling, without sockets.

What is ours is what a server's WebSocket handler does between them: frames in, one message after another, frames out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from bokeh import __version__
from bokeh.document import Document
from bokeh.server.session import ServerSession

from bokehwire.transports import Frame

from .link import Link

__all__ = ["Peer"]

_IS_39 = __version__.startswith("3.9.")
_IS_4 = __version__.startswith("4.")


class _Lock:
    """The write lock that Bokeh 3's messages ask for; here nothing is ever written by two at once."""

    async def acquire(self) -> Any:
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *exc_info: object) -> None: ...


class _Socket:
    """What Bokeh sees of the WebSocket."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.write_lock = _Lock()

    async def write_message(self, message: Frame, binary: bool = False, locked: bool = True) -> None:
        self._link.to_client.append(message)

    async def send_message(self, message: Any) -> None:
        if _IS_4:
            self._link.to_client.extend(fragment for fragment, _ in message.fragments())
        else:
            await message.send(self)


class _Wire:
    """One connection as Bokeh's server has it: receiver, ServerConnection and handler of its version."""

    def __init__(self, link: Link, session: ServerSession) -> None:
        self.refusals = 0
        self.has_hidden = False
        self._document = session.document
        self.socket = _Socket(link)
        receiver: Any = import_module("bokeh.protocol.receiver").Receiver
        connection: Any = import_module("bokeh.server.connection").ServerConnection
        if _IS_4:
            self._receiver = receiver()
            self.connection = connection(self.socket, session)
            self._handle: Callable[[Any], Any] = self.connection.handle
            self._ack = import_module("bokeh.protocol").ack()
        else:
            protocol = cast(Any, import_module("bokeh.protocol")).Protocol()
            handler = import_module("bokeh.server.protocol_handler").ProtocolHandler()
            self._receiver = receiver(protocol)
            self.connection = connection(protocol, self.socket, None, session)
            self._handle = lambda message: handler.handle(message, self.connection)
            self._ack = protocol.create("ACK")

    async def greet(self) -> None:
        await self.socket.send_message(self._ack)

    async def receive(self, frame: Frame) -> None:
        message = self._receiver.consume(frame)
        if asyncio.iscoroutine(message):
            message = await message
        if message is not None:
            before = set(self._document.models)
            reply = await self._handle(message)
            if reply is not None and reply.msgtype == "ERROR":
                self.refusals += 1
                self.has_hidden |= _IS_39 and not before <= set(self._document.models)
            if reply is not None:  # Bokeh 3.10 and newer send the reply to a pull themselves
                await self.socket.send_message(reply)


class Peer:
    """A server with one session.

    Args:
        loop: Where everything runs.
        document: The session's document.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, document: Document) -> None:
        self._loop = loop
        self.document = document
        self.session = ServerSession(cast(Any, "machine"), document, io_loop=None)
        self._wires: dict[Link, _Wire] = {}
        self._tasks: list[asyncio.Task[Any]] = []

    def accept(self, link: Link) -> None:
        wire = self._wires[link] = _Wire(link, self.session)
        self._start(wire.greet())

    def receive(self, link: Link, count: int) -> None:
        """Take the next frames of a client, each handled to its end before the next, as Bokeh's servers do."""
        for _ in range(min(count, len(link.to_server))):
            self._start(self._wires[link].receive(link.to_server.popleft()))
            self._run()

    def edit(self, change: Callable[[Document], object]) -> None:
        """Change the document as a callback of the application does, with the lock held."""
        edited: Any = self.session.with_document_locked(change, self.document)
        self._start(edited)
        self._run()

    def refusals(self, link: Link) -> int:
        """How many requests of a client have been answered with an ERROR."""
        return self._wires[link].refusals

    def hides_removals_from(self, link: Link) -> bool:
        """Whether a model has gone that this client was never told of, and now refers to: 3.9 answers that with an OK.

        It tells nobody what a message has changed that fails in the end (specs/sync.md).
        """
        return any(wire.has_hidden for other, wire in self._wires.items() if other is not link)

    def link_being_served(self) -> Link | None:
        """Whose patch is being applied, if a client's is."""
        serving = self.session._current_patch_connection
        return next((link for link, wire in self._wires.items() if wire.connection is serving), None)

    def _start(self, coroutine: Any) -> None:
        async def run() -> None:
            await coroutine

        self._tasks.append(self._loop.create_task(run()))

    def _run(self) -> None:
        """Let everything that was started end, and raise what it raised: a server has no errors of its own here."""
        if not self._loop.is_running():
            self._loop.run_forever()
            tasks, self._tasks = self._tasks, []
            for task in tasks:
                assert task.done(), "the server waits for something"
                task.result()
