"""Real Bokeh servers for the tests, each in a thread of its own with its own event loop, on a free loopback port.

Two kinds: Bokeh's Tornado server, and where Bokeh has it (3.10 and newer) its ASGI application, served by uvicorn.
Both offer the same face, LiveServer. What runs in the test's process shares Bokeh's model ids and curdoc with it;
tests.processes has a server that shares nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

from bokeh.server.server import BaseServer
from bokeh.server.session import ServerSession
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.iostream import IOStream
from tornado.netutil import bind_sockets

from .apps import APPS, App
from .live import DEADLINE, HOST, LiveServer
from .sockets import set_reset_on_close

try:
    from .asgi import ASGIServer
except ImportError:
    HAS_ASGI = False
else:
    HAS_ASGI = True

if TYPE_CHECKING:
    from bokeh.core.types import ID

__all__ = ["DEADLINE", "HAS_ASGI", "HOST", "SERVER_KINDS", "LiveServer", "TornadoServer", "make_server"]

# For what has to hold with every server: @pytest.mark.parametrize("server", SERVER_KINDS, indirect=True)
SERVER_KINDS = ("tornado", "asgi") if HAS_ASGI else ("tornado",)


class _TrackingHTTPServer(HTTPServer):
    """Remembers its connections: Tornado forgets those that have become WebSockets."""

    # HTTPServer's constructor is `initialize`, called by its __new__, hence no __init__ of our own.
    def initialize(self, *args: Any, **kwargs: Any) -> None:
        super().initialize(*args, **kwargs)
        self.streams: WeakSet[IOStream] = WeakSet()

    def handle_stream(self, stream: IOStream, address: Any) -> None:
        self.streams.add(stream)
        super().handle_stream(stream, address)

    def open_streams(self) -> list[IOStream]:
        return [stream for stream in self.streams if not stream.closed()]


class TornadoServer(LiveServer):
    """Bokeh's own server, put together from its public parts so that the connections can be reached."""

    kind = "tornado"

    async def _serve(self, stop: asyncio.Event) -> None:
        (listener,) = bind_sockets(0, HOST)
        port: int = listener.getsockname()[1]
        self._tornado = BokehTornado(
            self._apps, prefix=self._prefix, extra_websocket_origins=[f"{HOST}:{port}"], **self._options
        )
        self._http = _TrackingHTTPServer(self._tornado)
        self._http.add_sockets([listener])
        server = BaseServer(IOLoop.current(), self._tornado, self._http)
        server.start()
        self._port.set_result(port)
        await stop.wait()
        for stream in self._http.open_streams():
            stream.close()
        # Handlers learn about closed streams one turn later, and the server waits for nobody after stop().
        await self._http.close_all_connections()
        server.stop()
        if hasattr(server, "wait_until_stopped"):
            await server.wait_until_stopped()

    def _session(self, session_id: str, path: str) -> ServerSession:
        return self._tornado.get_session(path, cast("ID", session_id))

    def _sessions(self, path: str) -> list[ServerSession]:
        return self._tornado.get_sessions(path)

    def _count(self) -> int:
        return len(self._http.open_streams())

    def _reset(self) -> None:
        for stream in self._http.open_streams():
            set_reset_on_close(stream.socket)
            stream.close()


def make_server(
    kind: str = "tornado", apps: Mapping[str, App] = APPS, *, prefix: str = "", **options: Any
) -> LiveServer:
    """A server of the kind, one of SERVER_KINDS, not started."""
    if kind == "asgi" and HAS_ASGI:
        return ASGIServer(apps, prefix=prefix, **options)
    if kind == "tornado":
        return TornadoServer(apps, prefix=prefix, **options)
    raise ValueError(f"no server of kind {kind!r} with this Bokeh; there are {SERVER_KINDS}")
