"""The functions of `bokeh.client.session`, and their asynchronous twins."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from .aio import AsyncClientSession
from .client import ClientSession
from .credentials import checked_id, new_session_id
from .options import SessionOptions
from .show import BrowserTarget, open_page
from .trouble import note_failed_close
from .urls import page_url, server_url, websocket_url

if TYPE_CHECKING:
    from bokeh.document import Document
    from bokeh.util.browser import BrowserLike
    from tornado.ioloop import IOLoop

__all__ = ["OpeningSession", "async_pull_session", "async_push_session", "pull_session", "push_session", "show_session"]


def pull_session(
    session_id: str | None = None,
    url: str = "default",
    io_loop: IOLoop | asyncio.AbstractEventLoop | None = None,
    arguments: Mapping[str, str | Sequence[str]] | None = None,
    max_message_size: int = 20 * 1024 * 1024,
    **options: Unpack[SessionOptions],
) -> ClientSession:
    """Create a session and load the server's document into it.

    Args:
        session_id: The name of the session on the server; None makes a new one.
        url: The http or https URL of the application, as in a browser; "default" is http://localhost:5006/.
        io_loop: A loop to drive in the calling thread; None uses a background thread.
        arguments: HTTP request arguments for the application. They count only when the session is new.
        max_message_size: The largest WebSocket message accepted from the server, in bytes.
        **options: Further options by keyword; `AsyncClientSession` lists them.

    Returns:
        The session, connected, whose `document` holds what the server's does.

    Raises:
        InvalidURL: The URL is malformed. It is a ValueError.
        ConnectError: No connection could be made. It is an OSError. Nothing is left behind.
        RequestRefused: The server refused the pull. It is a RuntimeError.
        ReplyTimeout: The server did not answer in time. It is a TimeoutError.
    """
    session = ClientSession(session_id, websocket_url(server_url(url)), io_loop, arguments, max_message_size, **options)
    _or_close(session, session.pull)
    return session


def push_session(
    document: Document,
    session_id: str | None = None,
    url: str = "default",
    io_loop: IOLoop | asyncio.AbstractEventLoop | None = None,
    max_message_size: int = 20 * 1024 * 1024,
    **options: Unpack[SessionOptions],
) -> ClientSession:
    """Create a session and overwrite the server's document with one of ours.

    Args:
        document: The document to push; it becomes the session's.
        session_id: The name of the session on the server; None makes a new one.
        url: The http or https URL of the application, as in a browser; "default" is http://localhost:5006/.
        io_loop: A loop to drive in the calling thread; None uses a background thread.
        max_message_size: The largest WebSocket message accepted from the server, in bytes.
        **options: Further options by keyword; `AsyncClientSession` lists them.

    Returns:
        The session, connected.

    Raises:
        InvalidURL: The URL is malformed. It is a ValueError.
        DocumentInUse: The document belongs to another open session. It is a ValueError.
        ConnectError: No connection could be made. It is an OSError. Nothing is left behind.
        RequestRefused: The server refused the push. It is a RuntimeError.
        ReplyTimeout: The server did not answer in time. It is a TimeoutError.
    """
    session = ClientSession(session_id, websocket_url(server_url(url)), io_loop, None, max_message_size, **options)
    _or_close(session, lambda: session.push(document))
    return session


def show_session(
    session_id: str | None = None,
    url: str = "default",
    session: ClientSession | AsyncClientSession | None = None,
    browser: str | None = None,
    new: BrowserTarget = "tab",
    controller: BrowserLike | None = None,
) -> None:
    """Open a session's page in a browser.

    Args:
        session_id: The name of the session on the server; None makes a new one.
        url: The http or https URL of the application; "default" is http://localhost:5006/.
        session: A session to show, instead of `session_id` and `url`.
        browser: The name of a browser as in the standard library's `webbrowser`; None takes the default.
        new: "tab", "window" or "same".
        controller: An object with the `open` of the `webbrowser` module, used instead of looking a browser up.

    Raises:
        InvalidURL: The URL is malformed. It is a ValueError.
        TypeError: `session_id` is not text.
        ValueError: `session_id` is empty, or `new` is none of the three.
        webbrowser.Error: There is no browser of that name, or none at all.
    """
    if session is not None:
        page = page_url(session.url, session.id)
    else:
        page = page_url(server_url(url), checked_id(session_id) if session_id is not None else new_session_id())
    open_page(page, browser, new, controller)


class OpeningSession:
    """A session about to be opened: await it for the session, or enter it with `async with` to have it closed too."""

    def __init__(self, session: AsyncClientSession, document: Document | None, *, push: bool) -> None:
        self._session = session
        self._document = document
        self._push = push

    def __await__(self) -> Generator[Any, None, AsyncClientSession]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncClientSession:
        return await self._open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.__aexit__(kind, error, traceback)

    async def _open(self) -> AsyncClientSession:
        try:
            if self._push:
                await self._session.push(self._document)
            else:
                await self._session.pull()
        except BaseException as error:
            try:
                await self._session.close("could not be opened")
            except Exception as trouble:
                note_failed_close(error, trouble)
            raise
        return self._session


def async_pull_session(
    session_id: str | None = None,
    url: str = "default",
    arguments: Mapping[str, str | Sequence[str]] | None = None,
    max_message_size: int = 20 * 1024 * 1024,
    **options: Unpack[SessionOptions],
) -> OpeningSession:
    """Create a session and load the server's document into it, on the running asyncio loop.

    Use it as `session = await async_pull_session(...)`, and close the session at the end, or as
    `async with async_pull_session(...) as session`.

    Args:
        session_id: The name of the session on the server; None makes a new one.
        url: The http or https URL of the application, as in a browser; "default" is http://localhost:5006/.
        arguments: HTTP request arguments for the application. They count only when the session is new.
        max_message_size: The largest WebSocket message accepted from the server, in bytes.
        **options: Further options by keyword; `AsyncClientSession` lists them.

    Returns:
        What to await or to enter. Either raises what `pull_session` raises.

    Raises:
        InvalidURL: The URL is malformed. It is a ValueError.
    """
    session = AsyncClientSession(session_id, websocket_url(server_url(url)), arguments, max_message_size, **options)
    return OpeningSession(session, None, push=False)


def async_push_session(
    document: Document,
    session_id: str | None = None,
    url: str = "default",
    max_message_size: int = 20 * 1024 * 1024,
    **options: Unpack[SessionOptions],
) -> OpeningSession:
    """Create a session and overwrite the server's document with one of ours, on the running asyncio loop.

    Args:
        document: The document to push; it becomes the session's.
        session_id: The name of the session on the server; None makes a new one.
        url: The http or https URL of the application, as in a browser; "default" is http://localhost:5006/.
        max_message_size: The largest WebSocket message accepted from the server, in bytes.
        **options: Further options by keyword; `AsyncClientSession` lists them.

    Returns:
        What to await or to enter, as with `async_pull_session`. Either raises what `push_session` raises.

    Raises:
        InvalidURL: The URL is malformed. It is a ValueError.
    """
    session = AsyncClientSession(session_id, websocket_url(server_url(url)), None, max_message_size, **options)
    return OpeningSession(session, document, push=True)


def _or_close(session: ClientSession, open_it: Any) -> None:
    """Open a session, leaving nothing behind when that fails."""
    try:
        open_it()
    except BaseException as error:
        try:
            session.close("could not be opened")
        except Exception as trouble:
            note_failed_close(error, trouble)
        raise
