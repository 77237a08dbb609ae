"""The raw limit: a client that has its frames ready, and that does nothing with an answer but find its end."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Any, Self

import msgspec
from bokeh.core.serialization import Buffer, Serialized
from bokeh.core.types import ID
from bokeh.util.token import generate_jwt_token, generate_session_id

from bokehwire.protocol import Connection, Generation, Limits, Outgoing, Role

from .frames import CLOSE, Stream, frame, joined

HOST = "127.0.0.1"
_UPGRADE = (
    "GET {path}/ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: bokeh, {token}\r\n\r\n"
)

Message = list[bytes | bytearray]


class _Envelope(msgspec.Struct):
    buffers: list[str]


class _Header(msgspec.Struct):
    num_buffers: int = 0


_envelope = msgspec.json.Decoder(_Envelope).decode
_header = msgspec.json.Decoder(_Header).decode


class RawClient:
    """One connection to one session, open from the beginning.

    Attributes:
        generation: The wire generation that the server speaks.
        stream: The connection's frames.

    Args:
        port: The server's.
        path: The application's, without a slash at its end.
        session_id: The session to use; None for a new one.
    """

    def __init__(self, port: int, path: str, session_id: str | None = None) -> None:
        token = generate_jwt_token(generate_session_id() if session_id is None else session_id)  # type: ignore[arg-type]
        self.stream = Stream(socket.create_connection((HOST, port)))
        self.stream.send(_UPGRADE.format(path=path, host=HOST, port=port, token=token).encode())
        answer = self.stream.until(b"\r\n\r\n")
        if b" 101 " not in answer:
            raise ConnectionError(f"no WebSocket: {answer[:200]!r}")
        _opcode, first = self.stream.read()
        self.generation = Generation.V4 if b'"header"' in first else Generation.V3
        self._rest_of_message(first)

    @classmethod
    def pulled(cls, port: int, path: str, name: str) -> tuple[Self, str]:
        """A client and the id of a model in its session's document."""
        client = cls(port, path)
        client.send(Requests(client.generation).pull())
        content, _buffers = decoded(client.read(), client.generation)
        return client, find_named(content, name)

    def send(self, request: bytes) -> None:
        """Write the bytes of one or more messages at once."""
        self.stream.send(request)

    def read(self) -> Message:
        """The payloads of the next message."""
        return self._rest_of_message(self.stream.read()[1])

    def read_until_ok(self) -> None:
        """Read up to the next OK, whatever else comes before it."""
        while b'"OK"' not in self.read()[0][:300]:
            pass

    def skip(self, messages: int) -> None:
        """Read messages without buffers."""
        self.stream.skip(messages * (3 if self.generation is Generation.V3 else 1))

    def close(self) -> None:
        """Exchange close frames and close the socket."""
        self.stream.send(frame((1000).to_bytes(2, "big"), masked=True, opcode=CLOSE))
        while self.stream.read()[0] != CLOSE:
            pass
        self.stream.sock.close()

    def _rest_of_message(self, first: bytes | bytearray) -> Message:
        read = self.stream.read
        is_v4 = self.generation is Generation.V4
        rest = len(_envelope(first).buffers) if is_v4 else 2 + 2 * _header(first).num_buffers
        return [first, *(read()[1] for _ in range(rest))]


class Requests:
    """Makes requests for a raw client ahead of time."""

    def __init__(self, generation: Generation) -> None:
        self._connection = Connection(limits=Limits(max_pending=None))
        server = Connection(Role.SERVER, generation=generation)
        for text in server.ack().frames:
            self._connection.receive_frame(text)

    def pull(self) -> bytes:
        """PULL-DOC-REQ."""
        return _bytes(self._connection.pull_doc())

    def round_trip(self) -> bytes:
        """SERVER-INFO-REQ, or SYNC."""
        return _bytes(self._connection.roundtrip())

    def round_trip_frames(self) -> list[str]:
        """The same as the frames of one message, for a library to write."""
        return [str(frame) for frame in self._connection.roundtrip().frames]

    def pull_frames(self) -> list[str]:
        """PULL-DOC-REQ in the same way."""
        return [str(frame) for frame in self._connection.pull_doc().frames]

    def patch(self, events: Sequence[Any]) -> bytes:
        """PATCH-DOC."""
        return _bytes(self._connection.patch_doc({"events": events}))

    def push(self, content: Any) -> bytes:
        """PUSH-DOC."""
        return _bytes(self._connection.push_doc(content))

    def patches(self, events: Sequence[Any], each: int) -> list[bytes]:
        """PATCH-DOCs of so many events each."""
        return [self.patch(events[at : at + each]) for at in range(0, len(events), each)]


def _bytes(outgoing: Outgoing) -> bytes:
    return joined(outgoing.frames, masked=True)


def decoded(message: Message, generation: Generation) -> tuple[dict[str, Any], list[tuple[str, bytes | bytearray]]]:
    """The content of a message, and its buffers by id."""
    if generation is Generation.V4:
        envelope = msgspec.json.decode(message[0])
        return envelope["content"], list(zip(envelope["buffers"], message[1:], strict=True))
    ids: Iterable[str] = (msgspec.json.decode(text)["id"] for text in message[3::2])
    return msgspec.json.decode(message[2]), list(zip(ids, message[4::2], strict=True))


def packed(message: Message, generation: Generation) -> Any:
    """The document of a PULL-DOC-REPLY, as `Document.from_json` takes it."""
    content, buffers = decoded(message, generation)
    return Serialized(content["doc"], [Buffer(ID(name), bytes(data)) for name, data in buffers])


def find_named(node: Any, name: str) -> str:
    """The id of the model that has this name in decoded content."""
    stack: list[Any] = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if item.get("attributes", {}).get("name") == name:
                return str(item["id"])
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
    raise LookupError(f"no model is named {name!r}")
