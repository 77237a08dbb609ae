"""Bokeh's ASGI application as a server for the tests. Importing this fails where Bokeh or uvicorn do not have it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import uvicorn
from bokeh.server.asgi import BokehASGI
from bokeh.server.session import ServerSession

from .live import HOST, LiveServer
from .sockets import set_reset_on_close
from .uvicorns import Uvicorn

if TYPE_CHECKING:
    from bokeh.core.types import ID


class ASGIServer(LiveServer):
    """BokehASGI, served by uvicorn."""

    kind = "asgi"

    async def _serve(self, stop: asyncio.Event) -> None:
        # uvicorn reads the port only after the application exists; any origin does, since it listens on loopback.
        self._asgi = BokehASGI(self._apps, prefix=self._prefix, extra_websocket_origins=["*"], **self._options)
        config = uvicorn.Config(
            self._asgi, host=HOST, port=0, ws="websockets-sansio", log_config=None, access_log=False, lifespan="on"
        )
        self._uvicorn = Uvicorn(config, stop, self._port)
        await self._uvicorn.serve()

    def _session(self, session_id: str, path: str) -> ServerSession:
        session: ServerSession = self._asgi.core.get_session(path, cast("ID", session_id))
        return session

    def _sessions(self, path: str) -> list[ServerSession]:
        sessions: list[ServerSession] = self._asgi.core.get_sessions(path)
        return sessions

    def _count(self) -> int:
        return len(self._uvicorn.server_state.connections)

    def _reset(self) -> None:
        for connection in list(self._uvicorn.server_state.connections):
            set_reset_on_close(connection.transport.get_extra_info("socket"))
            connection.transport.abort()
