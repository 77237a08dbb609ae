"""Talking to the server under test: connections that keep to the protocol, until a check makes them break it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ...protocol import (
    Buffer,
    Connection,
    Error,
    Event,
    Generation,
    Ok,
    Outgoing,
    PatchDoc,
    PatchReceived,
    PullDocReply,
    Ready,
    ReplyReceived,
    UnknownReply,
)
from ...protocol.messages import Reply
from ...session.credentials import checked_id, new_session_id, new_token
from ...transports import ConnectionClosed, ConnectionOptions, Transport, WebSocket

__all__ = ["Broken", "Site", "Talk", "demand"]


class Broken(Exception):
    """The server does not do what the check demands; the text says what it did."""


def demand(condition: object, otherwise: str) -> None:
    """Go on only if a condition holds.

    Args:
        condition: The condition.
        otherwise: What the server did, if it does not hold.

    Raises:
        Broken: It does not.
    """
    if not condition:
        raise Broken(otherwise)


class Talk:
    """One open connection to the server under test.

    Args:
        socket: The WebSocket, of which nothing was read yet.

    Attributes:
        patches: What the server has sent on its own account, in order.
    """

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._connection = Connection()
        self._frames: deque[str | bytes] = deque()
        self.patches: list[PatchDoc] = []

    @property
    def generation(self) -> Generation:
        """The wire generation that the server speaks."""
        generation = self._connection.generation
        assert generation is not None, "the ACK was not taken"
        return generation

    async def take_ack(self) -> None:
        """Wait for the ACK.

        Raises:
            Broken: Something else comes first.
        """
        event = await self._event()
        demand(isinstance(event, Ready), f"the first message is {type(event).__name__}, not ACK")

    async def ask_all(self, *requests: Outgoing) -> list[Reply]:
        """Send requests in one go, and wait for all their replies.

        Args:
            requests: What `patch`, `push`, `pull` and `round_trip` give.

        Returns:
            The replies, in the order in which they came.

        Raises:
            Broken: There is a reply to something else.
        """
        await self._socket.send([frame for request in requests for frame in request.frames])
        replies: list[Reply] = []
        while len(replies) < len(requests):
            match event := await self._event():
                case ReplyReceived(message=reply):
                    replies.append(reply)
                case PatchReceived(message=patch):
                    self.patches.append(patch)
                case UnknownReply(message=reply):
                    raise Broken(f"the reqid {reply.reqid!r} of {reply.type} is of no request in flight")
                case _:
                    raise Broken(f"{type(event).__name__} came instead of a reply")
        return replies

    async def ask(self, request: Outgoing) -> Reply:
        """Send a request, and wait for its reply."""
        (reply,) = await self.ask_all(request)
        return reply

    async def done(self, request: Outgoing) -> None:
        """Send a request that the server has to answer with OK.

        Raises:
            Broken: It does not.
        """
        reply = await self.ask(request)
        if isinstance(reply, Error):
            raise Broken(f"refused: {reply.text}")
        demand(isinstance(reply, Ok), f"answered with {reply.type}, not OK")

    async def pulled(self) -> PullDocReply:
        """Pull the document.

        Raises:
            Broken: The server refuses.
        """
        reply = await self.ask(self.pull())
        if isinstance(reply, Error):
            raise Broken(f"refused: {reply.text}")
        assert isinstance(reply, PullDocReply), "the connection has let another reply pass"
        return reply

    def patch(self, *events: Mapping[str, Any], buffers: Sequence[Buffer] = ()) -> Outgoing:
        """Make a PATCH-DOC."""
        return self._connection.patch_doc({"events": list(events)}, buffers)

    def push(self, doc: Mapping[str, Any]) -> Outgoing:
        """Make a PUSH-DOC."""
        return self._connection.push_doc({"doc": doc})

    def pull(self) -> Outgoing:
        """Make a PULL-DOC-REQ."""
        return self._connection.pull_doc()

    def round_trip(self) -> Outgoing:
        """Make the round trip of the generation."""
        return self._connection.roundtrip()

    def message(self, kind: str, *, buffers: Sequence[str] = (), **header: Any) -> list[str]:
        """Make the text frames of a message that `Connection` would not make.

        Args:
            kind: Its msgtype; "" for none.
            buffers: The ids of the buffers that it announces.
            **header: Further keys of its header.
        """
        head: dict[str, Any] = {"msgid": "probe", **({"msgtype": kind} if kind else {}), **header}
        if self.generation is Generation.V4:
            return [json.dumps({"header": head, "content": {}, "buffers": list(buffers)})]
        return [json.dumps(head | ({"num_buffers": len(buffers)} if buffers else {})), "{}", "{}"]

    async def end_after(self, *frames: str | bytes) -> ConnectionClosed:
        """Send frames as they are, and wait for the server to close.

        Args:
            frames: What no client may send.

        Raises:
            Broken: The server answers instead.
        """
        with suppress(ConnectionClosed):  # the server may have had enough before it has everything
            await self._socket.send(frames)
        try:
            while True:
                event = await self._event()
                demand(isinstance(event, PatchReceived), f"answered with {type(event).__name__} instead of closing")
        except ConnectionClosed as closed:
            return closed

    async def close(self, code: int, reason: str) -> ConnectionClosed:
        """Close the connection, and give how it has ended."""
        await self._socket.close(code, reason)
        try:
            await self._socket.receive()
        except ConnectionClosed as closed:
            return closed
        raise Broken("sent on after the closing handshake")

    async def _event(self) -> Event:
        while True:
            while not self._frames:
                self._frames.extend(await self._socket.receive())
            event = self._connection.receive_frame(self._frames.popleft())
            if event is not None:
                return event


@dataclass(frozen=True, kw_only=True)
class Site:
    """The server under test, and how to reach it.

    Attributes:
        url: The application's WebSocket, a ws or wss URL.
        transport: What connections are made with.
        timeout: How long each check may take, in seconds.
        headers: Further headers of the handshake.
    """

    url: str
    transport: Transport
    timeout: float
    headers: Mapping[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def upgraded(self, *subprotocols: str, url: str | None = None) -> AsyncIterator[WebSocket]:
        """Give a connection of which nothing was read, dropped at the end of the block.

        Args:
            subprotocols: What to ask for; by default those of a new session.
            url: Another URL.
        """
        options = ConnectionOptions(
            url=url or self.url,
            subprotocols=subprotocols or ("bokeh", new_token(new_session_id())),
            headers=self.headers,
            connect_timeout=self.timeout,
            close_timeout=self.timeout,
        )
        socket = await self.transport.connect(options)
        try:
            yield socket
        finally:
            socket.abort()
            await socket.close()

    @asynccontextmanager
    async def talking(self, session_id: str | None = None) -> AsyncIterator[Talk]:
        """Give a connection whose ACK was taken.

        Args:
            session_id: A session that may exist already; a new one by default.
        """
        token = new_token(new_session_id() if session_id is None else checked_id(session_id))
        async with self.upgraded("bokeh", token) as socket:
            talk = Talk(socket)
            await talk.take_ack()
            yield talk
