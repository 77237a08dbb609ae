"""bokeh.client as the reference: what its sessions do on a server, ours have to do too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from bokeh.client import ClientSession, pull_session, push_session
from bokeh.document import Document
from tornado.ioloop import IOLoop
from tornado.platform.asyncio import AsyncIOLoop

if TYPE_CHECKING:
    from bokeh.core.types import ID

# Of the sessions that are open, oldest first.
_loops: list[AsyncIOLoop] = []


@contextmanager
def _own_loop() -> Iterator[IOLoop]:
    # Left alone, bokeh.client makes a loop that it never closes, and asks for the current one when there is none, which
    # Python 3.12 warns about.
    loop = AsyncIOLoop(make_current=False)
    _loops.append(loop)
    asyncio.set_event_loop(loop.asyncio_loop)
    # It does not look at the outcome of its writes, which asyncio would log.
    loop.asyncio_loop.set_exception_handler(lambda loop, context: None)
    try:
        yield loop
    finally:
        _loops.remove(loop)
        asyncio.set_event_loop(_loops[-1].asyncio_loop if _loops else None)
        # bokeh.client leaves its sockets to the garbage collector.
        loop.close(all_fds=True)


def _close(session: ClientSession) -> None:
    session.close()
    # Its close() only begins the closing handshake; the connection would be left to the garbage collector.
    session._loop_until_closed()


@contextmanager
def pulled(url: str, session_id: str | None = None, **options: Any) -> Iterator[ClientSession]:
    """A session of bokeh.client, pulled from `url`; needs a thread in which no event loop runs."""
    with _own_loop() as loop:
        session = pull_session(cast("ID | None", session_id), url=url, io_loop=loop, **options)
        try:
            yield session
        finally:
            _close(session)


@contextmanager
def pushed(document: Document, url: str, session_id: str | None = None, **options: Any) -> Iterator[ClientSession]:
    """A session of bokeh.client to which `document` has been pushed."""
    with _own_loop() as loop:
        session = push_session(document, cast("ID | None", session_id), url=url, io_loop=loop, **options)
        try:
            yield session
        finally:
            _close(session)
