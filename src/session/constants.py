"""The constants of `bokeh.client.session`."""

from __future__ import annotations

from bokeh.resources import DEFAULT_SERVER_HTTP_URL

from .urls import websocket_url

__all__ = ["DEFAULT_SERVER_WEBSOCKET_URL", "DEFAULT_SESSION_ID"]

DEFAULT_SESSION_ID = "default"
DEFAULT_SERVER_WEBSOCKET_URL = websocket_url(DEFAULT_SERVER_HTTP_URL)
