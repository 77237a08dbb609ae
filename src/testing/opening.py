"""A session of an app, from the app: served, connected, pulled, and all of it ended afterwards."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from ..session import ConnectionLost
from ..session.urls import server_url, websocket_url
from .aio import AsyncAppSession
from .applications import App
from .blocking import AppSession
from .hosting import Host, host
from .transcripts import ReplayTransport

__all__ = ["async_open_app", "async_pulled", "open_app", "open_replay", "pulled", "session_for"]

S = TypeVar("S", AppSession, AsyncAppSession)


@contextmanager
def open_app(app: App, *, transport: str = "auto", **options: Any) -> Iterator[AppSession]:
    """Serve an app for the length of a `with` block, and pull a session of it.

    Args:
        app: A function that modifies a Document, a function without arguments that returns a Panel object, an
            Application, the path of a script, a notebook or a directory, or a Panel object.
        transport: "in-process", without a network; "tornado" or "aiohttp", to a real server on a free port; "auto" for
            the first that this Bokeh has.
        **options: Passed on to `AppSession`, such as `arguments`, `patience` or `frozen`.

    Yields:
        The session, which is closed at the end of the block.

    Raises:
        AppFailed: The app raised while it made the document.
        TypeError: The app is nothing that makes a document.
        FileNotFoundError: There is no file at the app's path.
        RuntimeError: The file cannot be an app.
        ValueError: There is no such transport.
    """
    place = host(app, transport)
    try:
        with pulled(session_for(AppSession, place, options)) as session:
            yield session
    finally:
        place.stop()


@asynccontextmanager
async def async_open_app(app: App, *, transport: str = "auto", **options: Any) -> AsyncIterator[AsyncAppSession]:
    """Serve an app for the length of an `async with` block, and pull a session of it. It is `open_app` for asyncio.

    Args:
        app: The app, as `open_app` takes it.
        transport: The transport, as `open_app` takes it.
        **options: Passed on to `AsyncAppSession`.

    Yields:
        The session, which is closed at the end of the block.

    Raises:
        AppFailed: The app raised while it made the document.
        TypeError: The app is nothing that makes a document.
        FileNotFoundError: There is no file at the app's path.
        RuntimeError: The file cannot be an app.
        ValueError: There is no such transport.
    """
    place = host(app, transport)
    try:
        async with async_pulled(session_for(AsyncAppSession, place, options)) as session:
            yield session
    finally:
        place.stop()


@contextmanager
def open_replay(path: str | os.PathLike[str], **options: Any) -> Iterator[AppSession]:
    """Pull a session from a transcript for the length of a `with` block: no app, no server, no network.

    An asynchronous test gives `transport=ReplayTransport(path)` to `AsyncAppSession` itself.

    Args:
        path: The transcript, as `open_app(app, record=path)` writes it.
        **options: Passed on to `AppSession`.

    Yields:
        The session, which is closed at the end of the block.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no transcript.
        ReplayDeparted: The block has sent something else than was recorded, or less. It is an AssertionError.
    """
    transport = ReplayTransport(path)
    session = AppSession(websocket_url="ws://transcript/ws", transport=transport, **options)
    try:
        with pulled(session):
            yield session
    except ConnectionLost:
        transport.check()  # a departure ends the connection, and says more
        raise
    transport.check()


@contextmanager
def pulled(session: AppSession) -> Iterator[AppSession]:
    """Pull a session, and close it at the end of the block.

    Args:
        session: The session, not connected.

    Yields:
        The session.

    Raises:
        AppFailed: The app raised while it made the document.
    """
    with session:
        try:
            session.pull()
        except Exception as error:
            session.check_app(error)
            raise
        session.check_app()
        yield session


@asynccontextmanager
async def async_pulled(session: AsyncAppSession) -> AsyncIterator[AsyncAppSession]:
    """Pull a session, and close it at the end of the block.

    Args:
        session: The session, not connected.

    Yields:
        The session.

    Raises:
        AppFailed: The app raised while it made the document.
    """
    async with session:
        try:
            await session.pull()
        except Exception as error:
            session.check_app(error)
            raise
        session.check_app()
        yield session


def session_for(kind: type[S], place: Host | str, options: dict[str, Any]) -> S:
    """Make a session, not connected.

    Args:
        kind: Its class.
        place: Where the app runs, or the http or https URL of one that runs anywhere.
        options: Passed on to the class.

    Returns:
        The session.
    """
    if isinstance(place, str):
        return kind(websocket_url=websocket_url(server_url(place)), **options)
    url = websocket_url(server_url(place.url))
    return kind(websocket_url=url, stage=place.stage, **{"transport": place.transport, **options})
