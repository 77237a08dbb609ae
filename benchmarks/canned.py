"""A server that has its answers ready, in a process of its own: what a client can take when no server holds it up.

It serves one document, that of the application with the trigger, and ends when its standard input does.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import sys
import threading
from contextlib import suppress
from typing import Any

import bokeh
import msgspec
from bokeh.core.json_encoder import serialize_json

from bokehwire.protocol import (
    Connection,
    Generation,
    Limits,
    PatchDoc,
    PullDocReq,
    PushDoc,
    RequestReceived,
    Role,
)

from .apps import PATCHES, made, named, patches
from .frames import CLOSE, Stream, frame, joined

GENERATION = Generation.V4 if bokeh.__version__.startswith("4") else Generation.V3
TIMES = 1_000
"""A value below 0 asks for all patches as many times as it says, modulo this: the same value twice is no change."""
INFO = {"version_info": {"bokeh": bokeh.__version__, "server": bokeh.__version__}}
# What tornado and aiohttp expect is computed from the key; the raw client's key is fixed, and it does not look.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Canned:
    """The document and the patches, as the bytes of WebSocket frames."""

    def __init__(self) -> None:
        document = made(patches)
        self.content = {"doc": msgspec.json.decode(serialize_json(document.to_json()))}
        self._target = named(document, "target").id
        self._end = named(document, "end").id
        limits = Limits(max_pending=None)
        self._server = Connection(Role.SERVER, generation=GENERATION, limits=limits)
        self._server.ack()
        self.patches = b"".join(self._patch(self._target, "width", number + 1) for number in range(PATCHES))

    def end(self, value: Any) -> bytes:
        """The patch that says that this was all."""
        return self._patch(self._end, "text", str(value))

    def _patch(self, identity: str, attr: str, new: Any) -> bytes:
        event = {"kind": "ModelChanged", "model": {"id": identity}, "attr": attr, "new": new}
        return joined(self._server.patch_doc({"events": [event]}).frames, masked=False)


def handshake(stream: Stream) -> None:
    """Answer the upgrade request."""
    request = stream.until(b"\r\n\r\n")
    lines = (line.partition(b":") for line in request.split(b"\r\n")[1:])
    key = next(value.strip() for name, _, value in lines if name.lower() == b"sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    stream.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: bokeh\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def serve(sock: socket.socket, canned: Canned) -> None:
    """Serve one connection to its end."""
    with sock:
        stream = Stream(sock)
        handshake(stream)
        connection = Connection(Role.SERVER, generation=GENERATION, limits=Limits(max_pending=None))
        stream.send(joined(connection.ack().frames, masked=False))
        # The end of the process that held the other end is as good a close as any.
        with suppress(ConnectionError):
            answer_all(stream, connection, canned)


def answer_all(stream: Stream, connection: Connection, canned: Canned) -> None:
    """Answer requests until a close frame comes."""
    while True:
        opcode, payload = stream.read()
        if opcode == CLOSE:
            stream.send(frame(payload, masked=False, opcode=CLOSE))
            return
        match connection.receive_frame(payload.decode()):
            case RequestReceived(message=message):
                stream.send(answer(connection, message, canned))


def answer(connection: Connection, message: Any, canned: Canned) -> bytes:
    """What is sent because of a request."""
    match message:
        case PullDocReq(msgid=msgid):
            return joined(connection.pull_doc_reply(msgid, canned.content).frames, masked=False)
        case PatchDoc(msgid=msgid, content={"events": [{"new": int(value)}]}):
            done = joined(connection.ok(msgid).frames, masked=False)
            return canned.patches * (-value % TIMES if value < 0 else 1) + canned.end(value) + done
        case PatchDoc(msgid=msgid) | PushDoc(msgid=msgid):
            return joined(connection.ok(msgid).frames, masked=False)
        case _ if GENERATION is Generation.V4:
            return joined(connection.ok(message.msgid).frames, masked=False)
        case _:
            return joined(connection.server_info_reply(message.msgid, INFO).frames, masked=False)


def accept(listener: socket.socket, canned: Canned) -> None:
    """Serve each connection in a thread."""
    while True:
        sock, _address = listener.accept()
        threading.Thread(target=serve, args=(sock, canned), daemon=True).start()


if __name__ == "__main__":
    made_ready = Canned()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, args=(server, made_ready), daemon=True).start()
        print(server.getsockname()[1], flush=True)
        sys.stdin.read()
