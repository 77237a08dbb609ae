"""One exchange, from the start of the server to the file."""

from __future__ import annotations

from pathlib import Path

import bokeh

from . import bokehjs, python_client, script
from .reference import GENERATION
from .serve import Server
from .stage import Exchange, Stage
from .tap import Tap
from .transcript import Transcript, write

CLIENTS = {"python": python_client.EXCHANGES, "bokehjs": bokehjs.EXCHANGES, "script": script.EXCHANGES}


def find(client: str, name: str) -> Exchange:
    (exchange,) = (exchange for exchange in CLIENTS[client] if exchange.name == name)
    return exchange


def capture(server_kind: str, client: str, name: str, folder: Path) -> Path:
    """Plays the exchange and writes its transcript. To be called in a fresh process, where ids begin at the start."""
    exchange = find(client, name)
    with Tap() as tap, Server(server_kind) as server:
        tap.forward_to(server.port)
        exchange.play(Stage(server, tap))
        recording = tap.recording()
        recording.wait_for(lambda: recording.closed)
    head = (bokeh.__version__, server_kind, client, GENERATION, exchange.name, exchange.about)
    return write(Transcript(*head, recording.entries), folder)
