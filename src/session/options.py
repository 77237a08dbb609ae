"""The options that every way of making a session takes, beyond the documented ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypedDict

from ..transports import Transport
from .errors import ConnectionLost
from .reconnecting import Reconnect, Reconnection

__all__ = ["SessionOptions"]


class SessionOptions(TypedDict, total=False):
    """Keyword-only options of sessions; `AsyncClientSession` says what each means and what it is when not given."""

    transport: str | Transport
    connect_timeout: float | None
    reply_timeout: float | None
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float | None
    headers: Mapping[str, str] | None
    token: str | Callable[[], str] | None
    on_error: Callable[[Exception], object] | None
    reconnect: bool | Reconnect
    on_disconnect: Callable[[ConnectionLost], object] | None
    on_reconnect: Callable[[Reconnection], object] | None
    max_inbox_size: int
