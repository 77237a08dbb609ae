"""The exchanges that no real client begins: what servers make of faults, and of requests sent without waiting.

The frames are written here by hand, in as few words as show the point.
"""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from bokeh.core.types import ID
from bokeh.util.token import generate_jwt_token

from .recording import DEADLINE
from .reference import GENERATION
from .stage import Exchange, Stage
from .tap import HOST
from .websocket import Opcode

# Masking is by this key, and so has no effect; RFC 6455 wants it to be unpredictable because of proxies that cache.
_KEY = bytes(4)


class Socket:
    """A WebSocket client that sends whatever it is told to, and reads nothing but the end."""

    def __init__(self, stage: Stage, path: str, token: str) -> None:
        self._recording = stage
        self._socket = socket.create_connection((HOST, stage.tap.port), DEADLINE)
        key = base64.b64encode(bytes(16)).decode()
        lines = [
            f"GET {path}/ws HTTP/1.1",
            f"Host: {HOST}:{stage.tap.port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Sec-WebSocket-Protocol: bokeh, {token}",
        ]
        self._socket.sendall("".join(f"{line}\r\n" for line in [*lines, ""]).encode())

    def send(self, *frames: str | bytes) -> None:
        """Sends the frames in one go."""
        self._socket.sendall(b"".join(map(_encode, frames)))

    def send_and_close(self, *frames: str | bytes) -> None:
        """Sends the frames and a close frame in one go."""
        self._socket.sendall(b"".join(map(_encode, frames)) + _encode(_CLOSE, Opcode.CLOSE))

    def echo_close(self, code: int | None) -> None:
        """Answers the server's close frame."""
        self._socket.sendall(_encode(b"" if code is None else code.to_bytes(2, "big"), Opcode.CLOSE))

    def drop(self) -> None:
        """Ends the TCP connection."""
        self._socket.shutdown(socket.SHUT_WR)

    def read_to_end(self) -> None:
        while self._socket.recv(1 << 16):
            pass
        self._socket.close()


_CLOSE = (1000).to_bytes(2, "big") + b"done"


def _encode(payload: str | bytes, opcode: Opcode | None = None) -> bytes:
    if opcode is None:
        opcode = Opcode.TEXT if isinstance(payload, str) else Opcode.BINARY
    data = payload.encode() if isinstance(payload, str) else payload
    assert len(data) < 1 << 16
    length = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
    return bytes([0x80 | opcode]) + length + _KEY + data


def message(kind: str, msgid: str, content: dict[str, Any] | None = None, **header: str) -> list[str]:
    """The frames of a message without buffers."""
    head, body = {"msgid": msgid, "msgtype": kind, **header}, content or {}
    if GENERATION == 3:
        return [json.dumps(head), "{}", json.dumps(body)]
    return [json.dumps({"header": head, "content": body, "buffers": []})]


def change(model: str, value: str) -> dict[str, Any]:
    """The content of a patch."""
    return {"events": [{"kind": "ModelChanged", "model": {"id": model}, "attr": "text", "new": value}]}


@contextmanager
def connected(stage: Stage, path: str) -> Iterator[Socket]:
    """A connection after the handshake; waits for its end at the end of the block."""
    client = Socket(stage, path, generate_jwt_token(cast(ID, "transcript")))
    stage.recording.wait_for(lambda: stage.recording.count("server_ACK") == 1)
    yield client
    client.read_to_end()


@contextmanager
def refused(stage: Stage) -> Iterator[Socket]:
    """A connection that the server closes because of what is sent within the block."""
    with connected(stage, "/empty") as client:
        yield client
        _wait_for_close(stage, client)


def _wait_for_close(stage: Stage, client: Socket) -> None:
    stage.recording.wait_for(lambda: stage.recording.close_of("server") is not None)
    closing = stage.recording.close_of("server")
    assert closing is not None
    client.echo_close(closing.code)


def unknown_kind(stage: Stage) -> None:
    with refused(stage) as client:
        client.send(*message("NOPE", "1"))


def not_json(stage: Stage) -> None:
    with refused(stage) as client:
        client.send(*["{"] * (3 if GENERATION == 3 else 1))


def binary_frame(stage: Stage) -> None:
    with refused(stage) as client:
        client.send(b"{}")


def reply_to_server(stage: Stage) -> None:
    with refused(stage) as client:
        client.send(*message("OK", "1", reqid="2"))


def bad_token(stage: Stage) -> None:
    client = Socket(stage, "/empty", generate_jwt_token(cast(ID, "transcript"), expiration=-1))
    _wait_for_close(stage, client)
    client.read_to_end()


def unknown_reference(stage: Stage) -> None:
    with connected(stage, "/text") as client:
        client.send(*message("PATCH-DOC", "1", change("nobody", "x")))
        stage.recording.wait_for(lambda: stage.recording.settled(server_ERROR=1))
        client.send_and_close()


def pipelined(stage: Stage) -> None:
    kind, reply = ("SERVER-INFO-REQ", "SERVER-INFO-REPLY") if GENERATION == 3 else ("SYNC", "OK")
    with connected(stage, "/empty") as client:
        client.send(*message(kind, "1"), *message("PULL-DOC-REQ", "2"), *message(kind, "3"))
        stage.recording.wait_for(lambda: stage.recording.settled(**{f"server_{reply.replace('-', '_')}": 2}))
        client.send_and_close()


def close_in_flight(stage: Stage) -> None:
    with connected(stage, "/empty") as client:
        client.send_and_close(*message("PULL-DOC-REQ", "1"))


def cut(stage: Stage) -> None:
    frames = message("PULL-DOC-REQ", "1")
    if GENERATION == 4:
        frames = [json.dumps({"header": {"msgid": "1", "msgtype": "PATCH-DOC"}, "content": {}, "buffers": ["2"]})]
    with connected(stage, "/empty") as client:
        client.send(frames[0])
        client.drop()


EXCHANGES = (
    Exchange("unknown-kind", "The client sends a message of a kind that does not exist.", unknown_kind),
    Exchange("not-json", "The client sends text that is not JSON.", not_json),
    Exchange("binary-frame", "The client sends a binary frame where text has to come.", binary_frame),
    Exchange("reply-to-server", "The client sends an OK, which only servers send.", reply_to_server),
    Exchange(
        "bad-token", "The client's token is out of date; the server closes without an ACK.", bad_token, ("tornado",)
    ),
    Exchange("unknown-reference", "The client changes a model that does not exist.", unknown_reference),
    Exchange("pipelined", "The client sends three requests without waiting.", pipelined),
    Exchange("close-in-flight", "The client closes right behind a request.", close_in_flight),
    Exchange("cut", "The connection ends in the middle of a message.", cut),
)
