"""What an exchange is played on: a server, a client, and the tap between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .recording import Recording
from .serve import Server
from .tap import HOST, Tap


@dataclass(frozen=True)
class Stage:
    """The client talks to the tap, and the tap to the server."""

    server: Server
    tap: Tap

    @property
    def recording(self) -> Recording:
        """The first WebSocket connection; waits for it."""
        return self.tap.recording()

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self.tap.port}{path}"

    def websocket_url(self, path: str) -> str:
        return f"ws://{HOST}:{self.tap.port}{path}/ws"


@dataclass(frozen=True)
class Exchange:
    """Something that a client and a server do, under the name that its transcript has.

    `play` returns when the client has closed or lost the connection; `about` says for readers what happens.
    """

    name: str
    about: str
    play: Callable[[Stage], None]
    # The ASGI server refuses some connections before there is a WebSocket.
    servers: tuple[str, ...] = ("tornado", "asgi")
