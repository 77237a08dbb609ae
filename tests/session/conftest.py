"""Each face of a session over each transport, and the servers they meet."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..servers import LiveServer, TornadoServer
from .faces import Face

FACES = [(kind, transport) for kind in ("blocking", "io_loop", "async") for transport in ("tornado", "aiohttp")]


@pytest.fixture(params=FACES, ids="-".join)
def face(request: pytest.FixtureRequest) -> Face:
    """Every way to use a session."""
    kind, transport = request.param
    return Face(kind, transport)


@pytest.fixture(params=["tornado", "aiohttp"])
def blocking(request: pytest.FixtureRequest) -> Face:
    """The blocking session with its background thread."""
    return Face("blocking", request.param)


@pytest.fixture(params=["tornado", "aiohttp"])
def on_loop(request: pytest.FixtureRequest) -> Face:
    """The asynchronous session."""
    return Face("async", request.param)


@pytest.fixture
def own_server() -> Iterator[LiveServer]:
    """A server for one test alone."""
    with TornadoServer() as running:
        yield running
