"""Each face of a session over each transport, and the servers they meet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ..servers import HAS_ASGI, LiveServer, TornadoServer
from .faces import Face

KINDS = ("blocking", "io_loop", "async")
FACES = [(kind, transport) for kind in KINDS for transport in ("tornado", "aiohttp")]
if HAS_ASGI:
    FACES += [(kind, "asgi") for kind in KINDS]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the faces without a network where the test is about servers that are reached over one."""
    needless = [item for item in items if isinstance(item, pytest.Function) and _is_needless(item)]
    if needless:
        config.hook.pytest_deselected(items=needless)
        items[:] = [item for item in items if item not in needless]


def _is_needless(item: pytest.Function) -> bool:
    params: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    if params.get("face", ("", ""))[1] != "asgi":
        return False
    # The standard apps come in process as well, whichever kind of server offers them otherwise.
    has_own_apps = "server" not in item.fixturenames or "own_server" in item.fixturenames
    return has_own_apps or params.get("server") == "asgi" or item.path.name == "test_bad_input.py"


@pytest.fixture(params=FACES, ids="-".join)
def face(request: pytest.FixtureRequest) -> Face:
    """Every way to use a session."""
    kind, transport = request.param
    if transport != "asgi":
        return Face(kind, transport)
    from .inprocess import InProcess

    apps = InProcess()
    return Face(kind, apps.transport, apps=apps)


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
