"""One face for every kind of session, so that each row is written once.

The methods are coroutines. Those of blocking sessions never suspend: they are run by hand, without an event loop, which
`bokeh.client` would not work inside of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from bokeh.document import Document

import bokehwire


class Face(Protocol):
    """What the rows do with sessions, which are whatever the face makes."""

    in_loop: bool

    async def pull(self, url: str, session_id: str | None = None) -> Any:
        """A session that has the server's document."""

    async def push(self, document: Document, url: str) -> Any:
        """A session that has given the server a document."""

    async def confirm(self, session: Any) -> None:
        """Wait until the server has processed everything."""

    async def until(self, session: Any, condition: Callable[[], bool]) -> None:
        """Take what the server sends until a condition holds."""

    async def close(self, session: Any) -> None:
        """End the session."""


@dataclass(frozen=True)
class OldFace:
    """`bokeh.client`."""

    in_loop = False

    async def pull(self, url: str, session_id: str | None = None) -> Any:
        return _old_client().pull_session(session_id, url=url)

    async def push(self, document: Document, url: str) -> Any:
        return _old_client().push_session(document, url=url)

    async def confirm(self, session: Any) -> None:
        session.force_roundtrip()

    async def until(self, session: Any, condition: Callable[[], bool]) -> None:
        # It has no such method; this is what _loop_until_closed() does, with another condition.
        session._connection._loop_until(condition)

    async def close(self, session: Any) -> None:
        session.close()


@dataclass(frozen=True)
class BlockingFace:
    """Blocking sessions of bokehwire."""

    options: dict[str, Any] = field(default_factory=dict)
    in_loop = False

    async def pull(self, url: str, session_id: str | None = None) -> Any:
        return bokehwire.pull_session(session_id, url=url, **self.options)

    async def push(self, document: Document, url: str) -> Any:
        return bokehwire.push_session(document, url=url, **self.options)

    async def confirm(self, session: Any) -> None:
        session.force_roundtrip()

    async def until(self, session: Any, condition: Callable[[], bool]) -> None:
        session.wait_for(condition)

    async def close(self, session: Any) -> None:
        session.close()


@dataclass(frozen=True)
class AsyncFace:
    """Asynchronous sessions of bokehwire."""

    options: dict[str, Any] = field(default_factory=dict)
    in_loop = True

    async def pull(self, url: str, session_id: str | None = None) -> Any:
        return await bokehwire.async_pull_session(session_id, url=url, **self.options)

    async def push(self, document: Document, url: str) -> Any:
        return await bokehwire.async_push_session(document, url=url, **self.options)

    async def confirm(self, session: Any) -> None:
        await session.force_roundtrip()

    async def until(self, session: Any, condition: Callable[[], bool]) -> None:
        await session.wait_for(condition)

    async def close(self, session: Any) -> None:
        await session.close()


def _old_client() -> Any:
    # Not at the top: it has no type information, and the other contestants do without it.
    return import_module("bokeh.client")


OLD = "bokeh.client"
RAW = "raw"
LIBRARY = "aiohttp alone"
BOKEH = "Bokeh alone"

FACES: dict[str, Face] = {
    OLD: OldFace(),
    "tornado": BlockingFace({"transport": "tornado"}),
    "aiohttp": BlockingFace({"transport": "aiohttp"}),
    "tornado, async": AsyncFace({"transport": "tornado"}),
    "aiohttp, async": AsyncFace({"transport": "aiohttp"}),
}
"""The contestants that are sessions, by name. The others of a row are functions of their own."""

ON_UVLOOP: dict[str, Face] = (
    {f"{name}, uvloop": FACES[name] for name in ("tornado", "aiohttp")} if find_spec("uvloop") is not None else {}
)
"""Blocking sessions that are served by a loop of uvloop, where that is installed. No other contestant has one."""
