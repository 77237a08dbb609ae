"""Drive Bokeh and Panel server sessions from Python: the documented API of `bokeh.client.session`, rebuilt.

The names are imported when they are first asked for, so that `import bokehwire.protocol` brings in neither Bokeh nor a
WebSocket library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .protocol import BokehWireError, LocalProtocolError, ProtocolError, RemoteProtocolError
    from .session import (
        DEFAULT_SERVER_WEBSOCKET_URL,
        DEFAULT_SESSION_ID,
        ApplyError,
        AsyncClientSession,
        ChangesInDoubt,
        ClientSession,
        ConnectionLost,
        DocumentInUse,
        DuplicateModelId,
        InboxFull,
        NotABokehServer,
        OpeningSession,
        PatchRejected,
        PendingLimitExceeded,
        Reconnect,
        Reconnection,
        ReplyTimeout,
        RequestRefused,
        SessionClosed,
        SessionLost,
        SessionOptions,
        SessionRefused,
        UsageError,
        WaitTimeout,
        async_pull_session,
        async_push_session,
        pull_session,
        push_session,
        show_session,
    )
    from .transports import ConnectError, ConnectTimeout, HandshakeRefused, InvalidURL

__all__ = [
    "DEFAULT_SERVER_WEBSOCKET_URL",
    "DEFAULT_SESSION_ID",
    "ApplyError",
    "AsyncClientSession",
    "BokehWireError",
    "ChangesInDoubt",
    "ClientSession",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "DocumentInUse",
    "DuplicateModelId",
    "HandshakeRefused",
    "InboxFull",
    "InvalidURL",
    "LocalProtocolError",
    "NotABokehServer",
    "OpeningSession",
    "PatchRejected",
    "PendingLimitExceeded",
    "ProtocolError",
    "Reconnect",
    "Reconnection",
    "RemoteProtocolError",
    "ReplyTimeout",
    "RequestRefused",
    "SessionClosed",
    "SessionLost",
    "SessionOptions",
    "SessionRefused",
    "UsageError",
    "WaitTimeout",
    "__version__",
    "async_pull_session",
    "async_push_session",
    "pull_session",
    "push_session",
    "show_session",
]

_PROTOCOL = {"BokehWireError", "LocalProtocolError", "ProtocolError", "RemoteProtocolError"}
_TRANSPORTS = {"ConnectError", "ConnectTimeout", "HandshakeRefused", "InvalidURL"}


def __getattr__(name: str) -> Any:
    """Import a public name from the layer that has it (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    layer = "protocol" if name in _PROTOCOL else "transports" if name in _TRANSPORTS else "session"
    value = globals()[name] = getattr(importlib.import_module(f".{layer}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
