"""The standard apps without a network. Importing this fails where Bokeh has no ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from bokeh.document import Document
from bokeh.server.asgi import BokehASGI

from bokehwire.transports.asgi import AsgiTransport

from ..apps import APPS
from ..live import DEADLINE

if TYPE_CHECKING:
    from bokeh.core.types import ID

T = TypeVar("T")


class InProcess:
    """The standard apps, in a BokehASGI that runs on whatever loop the sessions use.

    Attributes:
        transport: Reaches them by the path of any URL.
    """

    def __init__(self) -> None:
        self._asgi = BokehASGI(dict(APPS))
        self.transport = AsgiTransport(self._asgi)

        self.transport.__enter__()

    async def stop(self) -> None:
        """Shut the apps down, on the loop that they run on."""
        await self.transport.__aexit__(None, None, None)

    def stop_from_outside(self) -> None:
        """The same where no loop runs."""
        self.transport.__exit__(None, None, None)

    def edit(self, session_id: ID, change: Callable[[Document], T], path: str) -> T:
        """Change a session's document, as `LiveServer.edit` does."""
        return self._run(self.aedit(session_id, change, path))

    async def aedit(self, session_id: ID, change: Callable[[Document], T], path: str) -> T:
        """The same for a test that is a coroutine."""
        session: Any = self._asgi.core.get_session(path, session_id)
        result: T = await session.with_document_locked(change, session.document)
        return result

    def session_ids(self, path: str) -> set[str]:
        """The ids of the sessions that an app has."""
        return {str(session.id) for session in self._asgi.core.get_sessions(path)}

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        loop = self.transport.loop
        assert loop is not None
        if loop.is_running():
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result(DEADLINE)
        return loop.run_until_complete(coroutine)
