"""A client of a Bokeh server without any event loop: bokehwire.protocol over the blocking client of `websockets`.

`python examples/protocol/blocking_client.py ws://localhost:5006/app/ws slider value 7` pulls the document of a Bokeh
app, sets a property of the model with that name, and prints what the server changes in return.
It needs `pip install bokehwire websockets`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from bokeh.util.token import generate_jwt_token, generate_session_id
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bokehwire import protocol


class Client:
    """Asks for one thing at a time and keeps the server's changes; silence for `timeout` seconds is a TimeoutError."""

    def __init__(self, socket: ClientConnection, timeout: float = 30) -> None:
        if socket.subprotocol != "bokeh":
            raise ConnectionError("The server has not selected the subprotocol bokeh: it is no Bokeh server.")
        self.core, self.changes = protocol.Connection(), list[dict[str, Any]]()
        self._socket, self._timeout = socket, timeout
        while self.core.state is protocol.State.HANDSHAKE:
            self.receive()

    def ask(self, request: protocol.Outgoing) -> Any:
        with suppress(ConnectionClosed):  # What has arrived before is still read; then receive() says what happened.
            for frame in request.frames:
                self._socket.send(frame)
        event = self.receive()
        while request.msgid in self.core.pending:
            event = self.receive()
        if isinstance(event.message, protocol.Error):
            raise RuntimeError(f"The server refused: {event.message.text}")
        return event.message

    def receive(self) -> Any:
        try:
            event = self.core.receive_frame(self._socket.recv(self._timeout))
        except protocol.RemoteProtocolError as error:
            self._socket.close(*self.core.send_close(error.close_code))
            raise
        except ConnectionClosed as error:
            closed = self.core.receive_close(int(error.rcvd.code) if error.rcvd else None)
            raise ConnectionError(f"The connection is gone: {closed}") from error
        if isinstance(event, protocol.PatchReceived):
            self.changes += event.message.content["events"]
        return event


def models(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict) and node.get("type") == "object":
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from models(inner)


def set_property(url: str, name: str, attr: str, value: Any, timeout: float = 30) -> list[dict[str, Any]]:
    offered = [Subprotocol("bokeh"), Subprotocol(generate_jwt_token(generate_session_id()))]
    with connect(url, subprotocols=offered, max_size=20 * 2**20, open_timeout=timeout) as socket:
        client = Client(socket, timeout)
        roots = client.ask(client.core.pull_doc()).content["doc"]["roots"]
        model = next(model for model in models(roots) if model.get("attributes", {}).get("name") == name)
        change = {"kind": "ModelChanged", "model": {"id": model["id"]}, "attr": attr, "new": value}
        client.ask(client.core.patch_doc({"events": [change]}))
        return client.changes


if __name__ == "__main__":
    url, name, attr, value = sys.argv[1:]
    print(*map(json.dumps, set_property(url, name, attr, json.loads(value))), sep="\n")
