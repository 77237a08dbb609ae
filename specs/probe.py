"""Ask the installed Bokeh server what it does where the specification says that versions differ.

    python specs/probe.py [--asgi]

starts a server on the loopback interface, sends it well-formed and malformed messages, each on a connection of its own,
and prints one line of Markdown for each observation. specs/deviations.md is made of such lines. It needs Bokeh (with
Tornado), and uvicorn for --asgi.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import bokeh
from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.models import ColumnDataSource, Slider
from bokeh.util.token import generate_jwt_token, generate_session_id
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

V4 = bokeh.__version__.startswith("4")
QUIET = 0.5  # seconds after which a server that has said nothing is taken to have nothing to say
Frame = str | bytes


def make_document(doc: Document) -> None:
    """A slider that moves itself to 7 when it is set to 5, and a data source with a binary column."""
    import numpy as np

    slider = Slider(start=0, end=10, value=1, name="slider")

    def react(_attr: str, _old: float, new: float) -> None:
        if new == 5:
            slider.value = 7

    slider.on_change("value", react)
    doc.add_root(slider)
    doc.add_root(ColumnDataSource({"x": np.arange(3.0)}, name="source"))


def message(kind: str, content: Any = None, *, msgid: Any = "m1", buffers: int = 0, **header: Any) -> list[Frame]:
    """The text frames of a message in the generation of the server; without msgid if that is None."""
    head = {"msgtype": kind, **header} | ({} if msgid is None else {"msgid": msgid})
    content = {} if content is None else content
    if V4:
        return [json.dumps({"header": head, "content": content, "buffers": [f"b{i}" for i in range(buffers)]})]
    return [json.dumps(head | ({"num_buffers": buffers} if buffers else {})), "{}", json.dumps(content)]


def kind_of(frames: list[Frame]) -> str:
    """What a message says of itself."""
    head = json.loads(frames[0])
    head = head["header"] if V4 else head
    return f"{head['msgtype']}" + (f" to {head['reqid']!r}" if "reqid" in head else "")


class Peer:
    """One raw WebSocket to the server, after the handshake."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self.socket = socket

    async def read(self) -> Frame | None:
        """The next frame; None once the server has closed."""
        frame: Frame | None = await asyncio.wait_for(self.socket.read_message(), QUIET)
        return frame

    async def read_message(self) -> list[Frame] | None:
        """The next message; None once the server has closed."""
        first = await self.read()
        if first is None:
            return None
        head = json.loads(first)
        more = len(head["buffers"]) if V4 else 2 + 2 * head.get("num_buffers", 0)
        rest = [await self.read() for _ in range(more)]
        assert None not in rest
        return [first, *[frame for frame in rest if frame is not None]]

    async def send(self, *frames: Frame) -> None:
        """Write frames, text and binary by their type."""
        for frame in frames:
            # A server that has had enough may close before it has read all; what it said is still to be read.
            with contextlib.suppress(WebSocketClosedError):
                await self.socket.write_message(frame, binary=isinstance(frame, bytes))

    async def reaction(self) -> str:
        """What the server does until it is quiet, in words."""
        seen: list[str] = []
        try:
            while (got := await self.read_message()) is not None:
                kind = kind_of(got)
                content = json.loads(got[0])["content"] if V4 else json.loads(got[2])
                if kind.startswith("ERROR"):
                    trace = "a traceback" if content.get("traceback") else "traceback null"
                    kind += f" ({content['text'][:60]!r}, {trace})"
                elif kind == "PATCH-DOC":
                    kind += f" ({', '.join(event['kind'] for event in content['events'])})"
                seen.append(kind)
        except TimeoutError:
            return ", ".join(seen) or "nothing"
        closed = f"close {self.socket.close_code} {self.socket.close_reason or ''!r}"
        return ", ".join([*seen, closed])


class Probe:
    """The observations, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def connect(self, *subprotocols: str, ack: bool = True) -> Peer:
        """Open a connection with the subprotocols given, by default those of a new session, and take the ACK."""
        offered = (
            list(subprotocols) if subprotocols or not ack else ["bokeh", generate_jwt_token(generate_session_id())]
        )
        peer = Peer(await websocket_connect(HTTPRequest(self.url), subprotocols=offered))
        if ack:
            assert await peer.read_message() is not None
        return peer

    async def upgrade(self, path: str = "", **headers: str) -> str:
        """What comes of a handshake at another path, or with headers."""
        request = HTTPRequest(self.url.replace("/app/ws", path or "/app/ws"), headers=headers)
        token = generate_jwt_token(generate_session_id())
        try:
            peer = Peer(await websocket_connect(request, subprotocols=["bokeh", token]))
        except HTTPClientError as error:
            return f"HTTP {error.code}"
        return await peer.reaction()

    async def refused(self, *subprotocols: str) -> str:
        """What comes of a handshake with these subprotocols."""
        try:
            peer = await self.connect(*subprotocols, ack=False)
        except HTTPClientError as error:
            return f"HTTP {error.code}"
        return await peer.reaction()

    async def raising(self) -> str:
        """What comes of a handshake with an application that raises when its session is made."""
        return await Probe(self.url.replace("/app/ws", "/raises/ws")).refused(
            "bokeh", generate_jwt_token(generate_session_id())
        )

    async def sent(self, *frames: Frame) -> str:
        """The reaction to frames."""
        peer = await self.connect()
        await peer.send(*frames)
        return await peer.reaction()

    async def pulled(self) -> tuple[Peer, dict[str, Any], list[Frame]]:
        """A connection, the document that it pulled and the frames of the reply."""
        peer = await self.connect()
        await peer.send(*message("PULL-DOC-REQ"))
        frames = await peer.read_message()
        assert frames is not None
        return peer, (json.loads(frames[0])["content"] if V4 else json.loads(frames[2]))["doc"], frames

    async def patched(self, **event: Any) -> str:
        """The reaction to a patch of the slider."""
        peer, doc, _frames = await self.pulled()
        slider = next(root for root in doc["roots"] if root["name"] == "Slider")
        change = {"kind": "ModelChanged", "model": {"id": slider["id"]}, "attr": "value", "new": 3} | event
        await peer.send(*message("PATCH-DOC", {"events": [change]}, msgid="m2"))
        return await peer.reaction()

    async def model(self, name: str) -> tuple[Peer, Any]:
        """A connection, and a root of the document that it pulled."""
        peer, doc, _frames = await self.pulled()
        return peer, next(root for root in doc["roots"] if root["name"] == name)

    async def patched_by(self, as_model: Callable[[Any], Any]) -> str:
        """The reaction to a patch of the slider that names it in this way."""
        peer, slider = await self.model("Slider")
        change = {"kind": "ModelChanged", "model": as_model(slider), "attr": "value", "new": 3}
        await peer.send(*message("PATCH-DOC", {"events": [change]}, msgid="m2"))
        return await peer.reaction()

    async def columns(self, kind: str) -> str:
        """The reaction to new columns without cols or rollover."""
        peer, source = await self.model("ColumnDataSource")
        data = {"type": "map", "entries": [["x", [1.0]]]}
        change = {"kind": kind, "model": {"id": source["id"]}, "attr": "data", "data": data}
        await peer.send(*message("PATCH-DOC", {"events": [change]}, msgid="m2"))
        return await peer.reaction()

    async def in_generation_3(self, *frames: Frame) -> str:
        """The reaction to frames that only generation 3 has."""
        return "-" if V4 else await self.sent(*frames)

    async def changed(self, *events: Any) -> str:
        """The reaction to a patch with these events."""
        return await self.sent(*message("PATCH-DOC", {"events": list(events)}))

    async def without_buffer(self) -> str:
        """The reaction to a patch that refers to a buffer that is not there."""
        array = {"type": "ndarray", "array": {"type": "bytes", "data": {"id": "b"}}, "shape": [1], "dtype": "int8"}
        return await self.patched(new=array | {"order": "little"})

    async def two_connections(self) -> str:
        """What two connections of one session see of a change that the first makes."""
        token = generate_jwt_token(generate_session_id())
        first, second = await self.connect("bokeh", token, ack=True), await self.connect("bokeh", token, ack=True)
        await first.send(*message("PATCH-DOC", {"events": [{"kind": "TitleChanged", "title": "t"}]}))
        return f"{await first.reaction()}; the other: {await second.reaction()}"

    async def patched_after_removal(self) -> str:
        """The reaction to a patch of a model that the document had and has no more."""
        peer, doc, _frames = await self.pulled()
        slider = {"id": next(root["id"] for root in doc["roots"] if root["name"] == "Slider")}
        await peer.send(*message("PATCH-DOC", {"events": [{"kind": "RootRemoved", "model": slider}]}, msgid="m2"))
        first = await peer.reaction()
        change = {"kind": "ModelChanged", "model": slider, "attr": "value", "new": 3}
        await peer.send(*message("PATCH-DOC", {"events": [change]}, msgid="m3"))
        return f"{first}; {await peer.reaction()}"

    async def first_frames(self) -> str:
        """The ACK as it stands on the wire."""
        peer = await self.connect("bokeh", generate_jwt_token(generate_session_id()), ack=False)
        frames = await peer.read_message()
        return " ".join(f"`{frame!s}`" for frame in frames or [])

    async def reply_header(self) -> str:
        """The header of a reply with a buffer, and the keys of the document."""
        _peer, doc, frames = await self.pulled()
        head = json.loads(frames[0])
        shape = [type(frame).__name__ for frame in frames]
        return f"keys {sorted(head)}, frames {shape}, document keys {sorted(doc)}"

    async def pushed(self, **changes: Any) -> str:
        """The reaction to the push of the document that was pulled, with changes."""
        peer, doc, frames = await self.pulled()
        doc |= changes
        names = json.loads(frames[0])["buffers"] if V4 else [json.loads(frame)["id"] for frame in frames[3::2]]
        data = frames[1:] if V4 else frames[4::2]
        if V4:
            head = {"msgid": "m2", "msgtype": "PUSH-DOC"}
            await peer.send(json.dumps({"header": head, "content": {"doc": doc}, "buffers": names}), *data)
        else:
            await peer.send(*message("PUSH-DOC", {"doc": doc}, msgid="m2", buffers=len(names)))
            for name, payload in zip(names, data, strict=True):
                await peer.send(json.dumps({"id": name}), payload)
        return await peer.reaction()

    async def too_early(self) -> str:
        """The reaction to a request that does not wait for the ACK."""
        peer = await self.connect("bokeh", generate_jwt_token(generate_session_id()), ack=False)
        await peer.send(*message("PULL-DOC-REQ"))
        return await peer.reaction()

    async def too_big(self) -> str:
        """The reaction to a frame of 21 MiB."""
        peer = await self.connect()
        await peer.send(*message("PATCH-DOC", {"events": ["x" * 21 * 1024 * 1024]}))
        return await peer.reaction()

    def observations(self) -> dict[str, Callable[[], Awaitable[str]]]:
        """Every observation by its name."""
        expired = generate_jwt_token(generate_session_id(), expiration=-10)
        signed = generate_jwt_token(generate_session_id(), signed=True, secret_key=b"wrong")
        nan = [str(frame).replace('"NAN"', "NaN") for frame in message("PATCH-DOC", {"events": [], "x": "NAN"})]
        digits = [str(frame).replace('"DIGITS"', "9" * 4301) for frame in message("PATCH-DOC", {"events": ["DIGITS"]})]
        pull, *_rest = message("PULL-DOC-REQ")
        buffered = message("PATCH-DOC", {"events": []}, buffers=1)
        found: dict[str, Callable[[], Awaitable[str]]] = {
            "the ACK": self.first_frames,
            "PULL-DOC-REPLY with a buffer": self.reply_header,
            "SERVER-INFO-REQ": lambda: self.sent(*message("SERVER-INFO-REQ")),
            "SYNC": lambda: self.sent(*message("SYNC")),
            "a PATCH-DOC": self.patched,
            "a PATCH-DOC that a callback reacts to": lambda: self.patched(new=5),
            "a PATCH-DOC with a value that is refused": lambda: self.patched(new="no number"),
            "a PATCH-DOC with an unknown reference": lambda: self.patched(model={"id": "nobody"}),
            "RootRemoved, then a PATCH-DOC of the removed model": self.patched_after_removal,
            "a PATCH-DOC without events in its content": lambda: self.sent(*message("PATCH-DOC")),
            "a PATCH-DOC with a list as content": lambda: self.sent(*message("PATCH-DOC", [])),
            "a PATCH-DOC with the literal NaN in its content": lambda: self.sent(*nan),
            "a PATCH-DOC with an empty list of events": self.changed,
            "a PATCH-DOC with an unknown kind of event": lambda: self.changed({"kind": "NoSuchKind"}),
            "an event with another key": lambda: self.changed({"kind": "TitleChanged", "title": "t", "x": 1}),
            "a PATCH-DOC that refers to a buffer that is not there": self.without_buffer,
            "a PATCH-DOC, seen by two connections of a session": self.two_connections,
            "an event with a reference that has a type": lambda: self.patched_by(
                lambda slider: {"type": "ref", "id": slider["id"]}
            ),
            "an event with a whole object as its model": lambda: self.patched_by(lambda slider: slider),
            "a ColumnDataChanged without cols": lambda: self.columns("ColumnDataChanged"),
            "a ColumnsStreamed without rollover": lambda: self.columns("ColumnsStreamed"),
            "a PUSH-DOC": self.pushed,
            "a PUSH-DOC with another title": lambda: self.pushed(title="another"),
            "a PUSH-DOC of an unknown model": lambda: self.pushed(roots=[{"type": "object", "name": "No", "id": "x"}]),
            "a PUSH-DOC without a document": lambda: self.sent(*message("PUSH-DOC")),
            "two requests at once": lambda: self.sent(*message("PULL-DOC-REQ"), *message("PULL-DOC-REQ", msgid="m2")),
            "a request with a used id": lambda: self.sent(*message("PULL-DOC-REQ"), *message("PULL-DOC-REQ")),
            "a request with a number as msgid": lambda: self.sent(*message("PULL-DOC-REQ", msgid=7)),
            "a request with an empty msgid": lambda: self.sent(*message("PULL-DOC-REQ", msgid="")),
            "a request without msgid": lambda: self.sent(*message("PULL-DOC-REQ", msgid=None)),
            "a request with another key in its header": lambda: self.sent(*message("PULL-DOC-REQ", other=1)),
            "an unknown message type": lambda: self.sent(*message("NO-SUCH-TYPE")),
            "an OK from the client": lambda: self.sent(*message("OK", reqid="x")),
            "a long message that is not for a server": lambda: self.sent(*message("ERROR", {"text": "x" * 200})),
            "a header or an envelope that is no JSON": lambda: self.sent("{", "{}", "{}"),
            "a header or an envelope that is a list": lambda: self.sent("[]", "{}", "{}"),
            "a header without msgtype": lambda: self.sent(
                *(['{"header":{"msgid":"a"},"content":{},"buffers":[]}'] if V4 else ['{"msgid":"a"}', "{}", "{}"])
            ),
            "metadata that is no JSON": lambda: self.in_generation_3(pull, "{", "{}"),
            "content that is no JSON": lambda: self.in_generation_3(pull, "{}", "{"),
            "content that is null": lambda: self.in_generation_3(pull, "{}", "null"),
            "an integer of 4,301 digits in the content": lambda: self.sent(*digits),
            "a buffer's header that is no JSON": lambda: self.in_generation_3(*buffered, "{"),
            "a buffer's header with another key": lambda: self.in_generation_3(*buffered, '{"id":"b","x":1}'),
            "a binary frame first": lambda: self.sent(b"{}"),
            "text where a buffer belongs": lambda: self.sent(
                *message("PATCH-DOC", {"events": []}, buffers=1), '{"id":"b0"}', "text"
            ),
            "a request before the ACK": self.too_early,
            "a frame of 21 MiB": self.too_big,
            "handshake at an unknown path": lambda: self.upgrade("/nowhere/ws"),
            "handshake with an origin that is not allowed": lambda: self.upgrade(Origin="http://example.com"),
            "handshake without subprotocols": self.refused,
            "handshake with the subprotocol bokeh alone": lambda: self.refused("bokeh"),
            "handshake with another first subprotocol": lambda: self.refused("other", generate_jwt_token("x")),
            "handshake with three subprotocols": lambda: self.refused("bokeh", generate_jwt_token("x"), "y"),
            "handshake with a token that is none": lambda: self.refused("bokeh", "garbage"),
            "handshake with an expired token": lambda: self.refused("bokeh", expired),
            "handshake with an empty session id": lambda: self.refused("bokeh", generate_jwt_token("")),
            "handshake with an application that raises": self.raising,
            "handshake with a signed token, at a server that does not sign": lambda: self.refused("bokeh", signed),
        }
        return found

    async def run(self) -> None:
        """Print every observation."""
        for name, observe in self.observations().items():
            try:
                print(f"| {name} | {await observe()} |", flush=True)
            except Exception as error:
                print(f"| {name} | not observed: {error!r} |", flush=True)


def no_document(_doc: Document) -> None:
    """An application that cannot make its document."""
    raise RuntimeError("no document")


@contextlib.asynccontextmanager
async def serving(asgi: bool) -> AsyncIterator[str]:
    """Run the server until the end of the block; give the URL of the WebSocket."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    apps = {"/app": Application(FunctionHandler(make_document)), "/raises": Application(FunctionHandler(no_document))}
    name = f"Bokeh {bokeh.__version__}, {'ASGI (uvicorn)' if asgi else 'Tornado'}, Python {sys.version.split()[0]}"
    print(f"\n| {name} | |\n|---|---|")
    if asgi:
        import uvicorn
        from bokeh.server.asgi import BokehASGI

        server = uvicorn.Server(uvicorn.Config(BokehASGI(apps), port=port, log_level="critical", lifespan="on"))
        running = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.05)
        yield f"ws://127.0.0.1:{port}/app/ws"
        server.should_exit = True
        await running
    else:
        from bokeh.server.server import Server

        tornado = Server(apps, port=port)
        tornado.start()
        yield f"ws://127.0.0.1:{port}/app/ws"
        tornado.stop()


async def main(asgi: bool) -> None:
    """Probe the server."""
    async with serving(asgi) as url:
        await Probe(url).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asgi", action="store_true", help="serve with uvicorn instead of Tornado")
    logging.disable(logging.CRITICAL)
    asyncio.run(main(parser.parse_args().asgi))
