"""Transports: the only place that knows a WebSocket library.

Importing this package imports no library; `resolve` imports the one that is chosen.
"""

from .base import ConnectionOptions, Frame, OutgoingFrame, Transport, WebSocket
from .errors import (
    ConnectError,
    ConnectionClosed,
    ConnectTimeout,
    HandshakeRefused,
    InvalidHandshake,
    InvalidURL,
    MessageTooBig,
    WebSocketViolation,
    WrongSubprotocol,
)

__all__ = [
    "ConnectError",
    "ConnectTimeout",
    "ConnectionClosed",
    "ConnectionOptions",
    "Frame",
    "HandshakeRefused",
    "InvalidHandshake",
    "InvalidURL",
    "MessageTooBig",
    "OutgoingFrame",
    "Transport",
    "WebSocket",
    "WebSocketViolation",
    "WrongSubprotocol",
    "resolve",
]


def resolve(transport: str | Transport) -> Transport:
    """Give the transport that a caller chose.

    Args:
        transport: "tornado", "aiohttp", or a Transport object, which is returned as it is.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If it is neither a name nor has a ``connect`` method.
        ImportError: If the transport's library is not installed; the message says what to install.
    """
    if not isinstance(transport, str):
        if not callable(getattr(transport, "connect", None)):
            raise TypeError(f"transport must be a name or an object with a connect method, not {transport!r}")
        return transport
    if transport == "tornado":
        from .tornado import TornadoTransport

        return TornadoTransport()
    if transport == "aiohttp":
        try:
            from .aiohttp import AiohttpTransport
        except ModuleNotFoundError as error:
            if error.name != "aiohttp":
                raise
            raise ImportError(
                "transport='aiohttp' needs aiohttp: pip install 'bokehwire[aiohttp]', or use transport='tornado'",
                name="aiohttp",
            ) from error
        return AiohttpTransport()
    raise ValueError(f"unknown transport {transport!r}: use 'tornado', 'aiohttp' or a Transport object")
