"""Sessions: the documented API of `bokeh.client.session`, blocking and asynchronous, on the protocol core."""

from .aio import AsyncClientSession
from .api import OpeningSession, async_pull_session, async_push_session, pull_session, push_session, show_session
from .client import ClientSession
from .constants import DEFAULT_SERVER_WEBSOCKET_URL, DEFAULT_SESSION_ID
from .errors import (
    ApplyError,
    ConnectionLost,
    DocumentInUse,
    DuplicateModelId,
    NotABokehServer,
    PatchRejected,
    ReplyTimeout,
    RequestRefused,
    SessionClosed,
    SessionRefused,
    UsageError,
    WaitTimeout,
)
from .options import SessionOptions

__all__ = [
    "DEFAULT_SERVER_WEBSOCKET_URL",
    "DEFAULT_SESSION_ID",
    "ApplyError",
    "AsyncClientSession",
    "ClientSession",
    "ConnectionLost",
    "DocumentInUse",
    "DuplicateModelId",
    "NotABokehServer",
    "OpeningSession",
    "PatchRejected",
    "ReplyTimeout",
    "RequestRefused",
    "SessionClosed",
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
