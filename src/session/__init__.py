"""Sessions: the documented API of `bokeh.client.session`, blocking and asynchronous, on the protocol core."""

from .aio import AsyncClientSession
from .api import OpeningSession, async_pull_session, async_push_session, pull_session, push_session, show_session
from .client import ClientSession
from .constants import DEFAULT_SERVER_WEBSOCKET_URL, DEFAULT_SESSION_ID
from .errors import (
    ApplyError,
    ChangesInDoubt,
    ConnectionLost,
    DocumentInUse,
    DuplicateModelId,
    InboxFull,
    NotABokehServer,
    PatchRejected,
    PendingLimitExceeded,
    ReplyTimeout,
    RequestRefused,
    SessionClosed,
    SessionLost,
    SessionRefused,
    UsageError,
    WaitTimeout,
)
from .options import SessionOptions
from .reconnecting import Reconnect, Reconnection

__all__ = [
    "DEFAULT_SERVER_WEBSOCKET_URL",
    "DEFAULT_SESSION_ID",
    "ApplyError",
    "AsyncClientSession",
    "ChangesInDoubt",
    "ClientSession",
    "ConnectionLost",
    "DocumentInUse",
    "DuplicateModelId",
    "InboxFull",
    "NotABokehServer",
    "OpeningSession",
    "PatchRejected",
    "PendingLimitExceeded",
    "Reconnect",
    "Reconnection",
    "ReplyTimeout",
    "RequestRefused",
    "SessionClosed",
    "SessionLost",
    "SessionOptions",
    "SessionRefused",
    "UsageError",
    "WaitTimeout",
    "async_pull_session",
    "async_push_session",
    "pull_session",
    "push_session",
    "show_session",
]
