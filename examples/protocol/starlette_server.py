"""A Bokeh server in a Starlette application: bokehwire.protocol in the server role, for BokehJS and Python clients.

Start it with `uvicorn --ws websockets-sansio examples.protocol.starlette_server:app`, then open http://localhost:8000/
or call `pull_session(url="http://localhost:8000/")`. It needs `pip install bokehwire starlette uvicorn websockets`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import time
from urllib.parse import urlsplit

from bokeh.document import Document
from bokeh.models.widgets import Div, Slider
from bokeh.util.token import (
    check_token_signature,
    generate_jwt_token,
    generate_session_id,
    get_session_id,
    get_token_payload,
)
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.exceptions import WebSocketException
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from bokehwire.protocol import Outgoing, RemoteProtocolError

from .served_document import Viewer

documents: dict[str, Document] = {}
"""The document of each session, which begins with its first client. Nothing ends a session here."""


def make_document() -> Document:
    """What every session begins with: a slider, and a text that follows it by a callback on the server."""
    document, text = Document(title="Starlette"), Div(name="text")
    slider = Slider(name="slider", start=0, end=10, value=1)
    slider.on_change("value", lambda attr, old, new: setattr(text, "text", f"It is {new}."))
    document.add_root(slider)
    document.add_root(text)
    return document


def admitted(websocket: WebSocket) -> str:
    """The id of the session that the client may join, by its token and the page that it comes from."""
    try:
        name, token = websocket.scope["subprotocols"]
        session, expiry = get_session_id(token), get_token_payload(token)["session_expiry"]
        signed = check_token_signature(token)  # true for any, unless BOKEH_SIGN_SESSIONS is set
    except Exception as error:  # The token can be anything.
        raise WebSocketException(1008, "no token") from error
    origin = websocket.headers.get("origin")
    foreign = origin is not None and urlsplit(origin).netloc != websocket.headers["host"]
    if name != "bokeh" or not session or not signed or expiry < time() or foreign:
        raise WebSocketException(1008, "not admitted")
    return session


class BokehEndpoint(WebSocketEndpoint):
    """The WebSocket of one client."""

    async def on_connect(self, websocket: WebSocket) -> None:
        session = admitted(websocket)
        await websocket.accept("bokeh")
        # A queue, so that a client that reads slowly keeps nobody waiting but itself.
        self.queue = asyncio.Queue[Outgoing]()
        self.writer = asyncio.create_task(self.write(websocket))
        if session not in documents:
            documents[session] = make_document()
        self.viewer = Viewer(documents[session], self.queue.put_nowait)

    async def on_receive(self, websocket: WebSocket, data: str | bytes) -> None:
        try:
            self.viewer.receive(data)
        except RemoteProtocolError as error:
            await websocket.close(*self.viewer.core.send_close(error.close_code, str(error)))

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        self.viewer.leave()
        self.writer.cancel()

    async def write(self, websocket: WebSocket) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # The client has gone, or has been told to.
            while True:
                for frame in (await self.queue.get()).frames:
                    await (websocket.send_text(frame) if isinstance(frame, str) else websocket.send_bytes(bytes(frame)))


def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE.replace("TOKEN", generate_jwt_token(generate_session_id())))


PAGE = """<script src="static/js/bokeh.min.js"></script><script src="static/js/bokeh-widgets.min.js"></script>
<body><script>Bokeh.require("client/connection").pull_session(`ws://${location.host}/ws`, "TOKEN").then(session =>
  (Bokeh.mount ?? Bokeh.embed.add_document_standalone)(session.document, document.body)) </script>"""
STATIC = StaticFiles(packages=[("bokeh", "server/static")])
app = Starlette(routes=[Route("/", page), WebSocketRoute("/ws", BokehEndpoint), Mount("/static", STATIC)])
