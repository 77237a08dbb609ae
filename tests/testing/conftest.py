"""Every way to drive an app."""

from __future__ import annotations

import pytest

from .places import Place

KINDS = ("blocking", "io_loop", "async")
TRANSPORTS = ("in-process", "tornado", "aiohttp")


@pytest.fixture(params=[(kind, transport) for kind in KINDS for transport in TRANSPORTS], ids="-".join)
def place(request: pytest.FixtureRequest) -> Place:
    """Every way to use sessions, over every transport."""
    return Place(*request.param)


@pytest.fixture(params=KINDS)
def face(request: pytest.FixtureRequest) -> Place:
    """Every way to use sessions, over the transport that this Bokeh has by default."""
    return Place(request.param, "auto")
