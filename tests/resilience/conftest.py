"""How much of the resilience tests runs, and how much did."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest

from bokehwire.session.portal import Portal

from ..proxy import FaultProxy
from ..servers import LiveServer, TornadoServer
from ..session.faces import Face
from .exchange import APP, app

# `make test` tries some of the fault points; BOKEHWIRE_FAULTS=all, which `make conformance` sets, tries them all.
EVERYTHING = os.environ.get("BOKEHWIRE_FAULTS") == "all"

_KINDS = ("blocking", "async", "io_loop") if EVERYTHING else ("blocking", "async")
FACES = [(kind, transport) for kind in _KINDS for transport in ("tornado", "aiohttp")]


@pytest.fixture(scope="session", autouse=True)
def portal() -> None:
    """The thread of blocking sessions, which stays once it has started, runs before any leak is looked for."""
    Portal.current()


@pytest.fixture(params=FACES, ids="-".join)
def face(request: pytest.FixtureRequest) -> Face:
    """Every way to use a session."""
    kind, transport = request.param
    return Face(kind, transport)


@pytest.fixture(params=FACES if EVERYTHING else [("blocking", "tornado"), ("async", "aiohttp")], ids="-".join)
def some_face(request: pytest.FixtureRequest) -> Face:
    """Ways to use a session, for what takes long: two of them in `make test`."""
    kind, transport = request.param
    return Face(kind, transport)


@pytest.fixture(scope="module")
def exchange_server() -> Iterator[LiveServer]:
    """A server with the application of the exchange, on which no session expires while it runs."""
    hours = 10 * 3600 * 1000
    with TornadoServer({APP: app}, unused_session_lifetime_milliseconds=hours) as running:
        yield running
        # The server makes a full collection for each session that ends with it, and there are hundreds.
        gc.collect()
        gc.freeze()
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def proxy(exchange_server: LiveServer) -> Iterator[FaultProxy]:
    """A fault proxy in front of that server."""
    with FaultProxy(exchange_server.port) as running:
        yield running
