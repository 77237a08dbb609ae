"""Where an app runs for a test: in this process without a network, or on a real server."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

from ..transports import Transport, resolve
from ..transports.asgi import AsgiTransport
from .applications import App
from .server import AppServer
from .stage import Stage

__all__ = ["Host", "TransportName", "check_transport", "host", "served"]

TransportName: TypeAlias = Literal["auto", "in-process", "tornado", "aiohttp"]
"""How a session reaches an app: "in-process" calls it without a network, "tornado" and "aiohttp" speak to a real
server. "auto" is "in-process". Where Bokeh has no ASGI application, before 3.10, both are "tornado"."""


class Host(Protocol):
    """An app that sessions can be opened to.

    Attributes:
        stage: The app.
        url: Its address, for `pull_session`.
        transport: What reaches it.
    """

    stage: Stage
    url: str
    transport: Transport

    def stop(self) -> None:
        """End it, after its sessions. To be called from any thread; does nothing the second time."""


@dataclass
class _InProcess:
    """A host whose application runs as long as sessions are open, on their loop."""

    stage: Stage
    transport: Transport
    url: str = "http://localhost/"

    def stop(self) -> None:
        pass


@dataclass
class _OnServer:
    stage: Stage
    url: str
    transport: Transport
    server: AppServer

    def stop(self) -> None:
        self.server.stop()


def check_transport(name: str) -> TransportName:
    """Refuse the name of a transport that there is not.

    Args:
        name: The name.

    Returns:
        The name.

    Raises:
        ValueError: It is none.
    """
    for known in get_args(TransportName):
        if name == known:
            valid: TransportName = known
            return valid
    raise ValueError(f"unknown transport {name!r}: use one of {', '.join(map(repr, get_args(TransportName)))}.")


def host(app: App, transport: str) -> Host:
    """Give an app a place to run.

    Args:
        app: What makes the documents; see `AppServer`.
        transport: How it is to be reached; see `TransportName`.

    Returns:
        The host, started.

    Raises:
        ValueError: There is no such transport.
        ImportError: The transport's library is not installed.
        TypeError: The app is nothing that makes a document.
        FileNotFoundError: There is no file at the app's path.
        RuntimeError: The file cannot be an app.
    """
    name = check_transport(transport)
    if name in ("auto", "in-process") and importlib.util.find_spec("bokeh.server.asgi") is not None:
        from bokeh.server.asgi import BokehASGI

        stage = Stage(app)
        return _InProcess(stage, AsgiTransport(BokehASGI(stage.application)))
    reached_by = _network_transport(name)
    return _hosted(AppServer(app).start(), "/", reached_by)


def served(server: AppServer, path: str, transport: str) -> Host:
    """Give the place that an app has on a server that runs.

    Args:
        server: The server. Stopping the place stops it.
        path: The app's path.
        transport: How it is to be reached; see `TransportName`. Anything but "aiohttp" is "tornado", since there is
            no server without a network.

    Returns:
        The host.

    Raises:
        ValueError: There is no such transport, or no such app.
        ImportError: The transport's library is not installed.
    """
    return _hosted(server, path, _network_transport(check_transport(transport)))


def _hosted(server: AppServer, path: str, transport: Transport) -> Host:
    return _OnServer(server.stage(path), server.url(path), transport, server)


def _network_transport(name: TransportName) -> Transport:
    return resolve("aiohttp" if name == "aiohttp" else "tornado")
